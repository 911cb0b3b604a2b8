"""What needs all rights of an admin, beside its action: changes by which others could gain."""

from core.built_in_roles import built_in_policy
from core.errors import Forbidden
from core.law import NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy
from core.vocabulary import Action, BuiltInRole
from models import Row
from resolvers.callers import Caller


def require_full_admin(caller: Caller, row: Row, action: Action) -> None:
    """Raise `Forbidden` unless the caller may do all that an admin may."""
    own_id = str(caller.member.id) if caller.member else None
    policy = built_in_policy(BuiltInRole.ADMIN, caller.catalogue, own_id)
    admin = Side(SideKind.OWNER, (NamedPolicy("admin", CompiledPolicy(policy, caller.catalogue, {})),))
    if not caller.covers([admin]):
        raise Forbidden(
            action.value, str(row.resource), why="others could gain by this, so it needs all rights of an admin"
        )
