"""From rows to rights: the policies a member has, those a token's scope holds, and ceilings frozen by value.

Policies that say the same by the same catalogue are one object, and so are authorities of the same sides.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from core.built_in_roles import built_in_policy, everywhere, on_oneself
from core.catalogue import Catalogue
from core.law import Authority, NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy, parse_policy
from core.vocabulary import BuiltInRole
from models import BasePermissions, Member, Role, ScopeKind, Token, TokenKind
from models.columns import text

Attributes = Mapping[str, Sequence[str]]

INLINE = "inline"
"""What a token's own statements are called, where a role would have its key."""


def of_role(role: Role, catalogue: Catalogue, attributes: Attributes, self_id: str | None) -> NamedPolicy:
    """Read a custom role: its own statements, joined by those it builds on, so that its denies bind both."""
    if role.base_permissions is not BasePermissions.READER:
        return NamedPolicy(role.key, _written(text(role, "policy"), "policy", catalogue, attributes))

    def joined() -> CompiledPolicy:
        own = _written(text(role, "policy"), "policy", catalogue, attributes)
        return own.and_then(built_in_policy(BuiltInRole.READER, catalogue, self_id))

    said = (text(role, "policy"), _frozen(attributes), BuiltInRole.READER, self_id)
    return NamedPolicy(role.key, _shared(catalogue, said, joined))


def of_built_in(role: BuiltInRole, catalogue: Catalogue, self_id: str | None) -> NamedPolicy:
    """Read a built-in role as the catalogue stands now."""

    def anybody() -> CompiledPolicy:
        return CompiledPolicy(everywhere(role, catalogue), catalogue)

    def own() -> CompiledPolicy:
        return _shared(catalogue, (role, None), anybody).and_then(on_oneself(role, catalogue, self_id))

    return NamedPolicy(role.value, _shared(catalogue, (role, self_id), own if self_id else anybody))


def of_member(member: Member, roles: Iterable[Role], catalogue: Catalogue, self_id: str | None = None) -> Side:
    """Read what a member may do. Custom roles, when there are any, replace the base role.

    `self_id` stands in for the member's own id where rights over oneself are compared with another's.
    """
    own_id = self_id or str(member.id)
    held = tuple(of_role(role, catalogue, member.role_attributes, own_id) for role in roles)
    return Side(SideKind.OWNER, held or (of_built_in(member.base_role, catalogue, own_id),))


def of_scope(token: Token, roles: Iterable[Role], catalogue: Catalogue, owner: Member | None) -> Side:
    """Read a token's scope. Custom roles are followed live, filled with the owner's attributes of now."""
    self_id, attributes = _whose(token, owner)
    match token.scope_kind:
        case ScopeKind.CUSTOM_ROLES:
            policies = tuple(of_role(role, catalogue, attributes, self_id) for role in roles)
        case ScopeKind.INLINE:
            written = text(token, "scope_policy")
            policies = (NamedPolicy(INLINE, _written(written, "policy", catalogue, attributes)),)
        case _:
            policies = (of_built_in(token.scope_role or BuiltInRole.NO_ACCESS, catalogue, self_id),)
    return Side(SideKind.SCOPE, policies)


def of_trial(token: Token, roles: Iterable[Role], catalogue: Catalogue, owner: Member | None) -> Side:
    """Read the scope that is tried on a token, as `of_scope` would if it were the token's."""
    self_id, attributes = _whose(token, owner)
    match token.trial:
        case {"roles": _}:
            policies = tuple(of_role(role, catalogue, attributes, self_id) for role in roles)
        case {"policy": statements}:
            policies = (NamedPolicy(INLINE, _written(json.dumps(statements), "policy", catalogue, attributes)),)
        case {"role": role}:
            policies = (of_built_in(BuiltInRole(role), catalogue, self_id),)
        case _:
            policies = ()
    return Side(SideKind.SCOPE, policies)


def _whose(token: Token, owner: Member | None) -> tuple[str | None, Attributes]:
    return (str(owner.id), owner.role_attributes) if owner else (None, token.scope_attributes)


def of_token(
    token: Token, roles: Iterable[Role], owner: Member | None, held: Iterable[Role], catalogue: Catalogue
) -> tuple[Side, ...]:
    """Read all sides that must allow what a token does, the scope first. `held` are its owner's custom roles.

    A session has no scope: there its owner alone decides.
    """
    scope = () if token.kind is TokenKind.SESSION else (of_scope(token, roles, catalogue, owner),)
    owned = () if owner is None else (of_member(owner, held, catalogue),)
    ceilings = json.loads(text(token, "ceilings"))  # read without being kept: they may be long
    return (*scope, *owned, *(of_ceiling(ceiling, catalogue) for ceiling in ceilings))


def authority(sides: tuple[Side, ...], owner_id: str | None, member_id: str | None, catalogue: Catalogue) -> Authority:
    """Make the authority of a caller; those with the same sides share one."""
    made = Authority(sides, owner_id, member_id)
    shared: Authority = catalogue.compiled.setdefault(made, made)
    return shared


def frozen(side: Side) -> dict[str, Any]:
    """Freeze a side by value, as a ceiling is stored: later edits of roles no longer reach it."""
    return {
        "policies": [
            {
                "name": named.name,
                "statements": [statement.json() for statement in named.policy.policy],
                "attributes": {key: list(values) for key, values in named.policy.attributes.items()},
            }
            for named in side.policies
        ]
    }


def of_ceiling(ceiling: Mapping[str, Any], catalogue: Catalogue) -> Side:
    """Read a frozen ceiling."""
    return Side(
        SideKind.CEILING,
        tuple(
            NamedPolicy(
                stored["name"], _written(json.dumps(stored["statements"]), "ceiling", catalogue, stored["attributes"])
            )
            for stored in ceiling["policies"]
        ),
    )


def _written(written: str, field: str, catalogue: Catalogue, attributes: Attributes) -> CompiledPolicy:
    """Read a policy that is written in JSON; null is one that says nothing."""

    def compiled() -> CompiledPolicy:
        return CompiledPolicy(parse_policy(json.loads(written) or [], field), catalogue, dict(values))

    values = _frozen(attributes)
    return _shared(catalogue, (written, values), compiled)


def _shared(catalogue: Catalogue, said: Hashable, compile_: Callable[[], CompiledPolicy]) -> CompiledPolicy:
    policy: CompiledPolicy | None = catalogue.compiled.get(said)
    if policy is None:
        policy = catalogue.compiled[said] = compile_()
    return policy


def _frozen(attributes: Attributes) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple([(key, tuple(values)) for key, values in attributes.items()])
