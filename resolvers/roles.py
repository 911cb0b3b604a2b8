"""Custom roles: made, changed and deleted; what members and tokens hold of them is followed live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tortoise.queryset import QuerySet

from core import ids
from core.errors import Conflict, Forbidden, Invalid
from core.law import Side
from core.policy import check, parse_policy
from core.vocabulary import Action, BuiltInRole
from models import Account, BasePermissions, Member, MemberRole, Role, Token, TokenRole, living, now
from resolvers import input as typed
from resolvers import rights
from resolvers.callers import Caller, of_token
from resolvers.reading import readable
from resolvers.realms import roles_of_member
from resolvers.rights import INLINE
from resolvers.writing import At, Deed, Done, Said, asked_for, change

RESERVED = frozenset({*BuiltInRole, INLINE})
"""What reasons call policies that are no custom role's."""


@dataclass(frozen=True, slots=True)
class NewRole:
    """A role as a caller asks for it. `policy` is a list of statements in LaunchDarkly's public JSON form."""

    key: str
    name: str
    policy: Sequence[Mapping[str, Any]]
    description: str = ""
    base_permissions: BasePermissions = BasePermissions.NO_ACCESS


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What to change of a role; what is None stays as it is. The key is for good."""

    name: str | None = None
    description: str | None = None
    policy: Sequence[Mapping[str, Any]] | None = None
    base_permissions: BasePermissions | None = None


async def create(caller: Caller, wanted: NewRole, said: Said) -> Done[Role]:
    """Make a role. Nobody holds it yet, so nobody gains by it."""
    row = Role(
        account_id=caller.account.id,
        key=free_key("key", wanted.key),
        name=typed.name("name", wanted.name),
        description=typed.description("description", wanted.description),
        base_permissions=wanted.base_permissions,
    )
    async with change(caller, Action.CREATE_ROLE, row, said) as deed:
        if await Role.filter(account_id=row.account_id, key=row.key).exists():
            raise Conflict(f"`key` is taken: `{row.key}`", field="key")
        row.policy = _checked(deed.caller, wanted.policy)
        await row.save()
    return Done(row, deed.entry)


def free_key(field: str, text: str) -> str:
    """Take a key that a custom role may have. Raises `Invalid`."""
    key = typed.key(field, text)
    if key in RESERVED:
        raise Invalid(field, f"is a word for what every account has: `{key}`")
    return key


async def update(caller: Caller, role_id: UUID, wanted: RoleChange, said: Said) -> Done[Role]:
    """Change a role. What its holders then have must be within the caller's rights, and none of it the caller's own.

    Holders are members, and tokens without an owner that have it in their scope.
    """
    async with change(caller, _actions(wanted), At(Role, role_id), said) as deed:
        role = deed.row
        if wanted.name is not None:
            role.name = typed.name("name", wanted.name)
        if wanted.description is not None:
            role.description = typed.description("description", wanted.description)
        if wanted.policy is not None:
            role.policy = _checked(deed.caller, wanted.policy)
        if wanted.base_permissions is not None:
            role.base_permissions = wanted.base_permissions
        await role.save()
        if wanted.policy is not None or wanted.base_permissions is not None:
            await _require_holders_within(deed)
    return Done(deed.row, deed.entry)


def _actions(wanted: RoleChange) -> list[Action]:
    return asked_for(
        (Action.UPDATE_NAME, wanted.name is not None),
        (Action.UPDATE_DESCRIPTION, wanted.description is not None),
        (Action.UPDATE_POLICY, wanted.policy is not None),
        (Action.UPDATE_BASE_PERMISSIONS, wanted.base_permissions is not None),
    )


def _checked(caller: Caller, raw: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    policy = parse_policy(raw, "statements")
    check(policy, caller.catalogue, "statements")
    return [statement.json() for statement in policy]


async def _require_holders_within(deed: Deed[Role]) -> None:
    caller, role = deed.caller, deed.row
    action = deed.allowed[-1][0]
    own_id = str(caller.member.id) if caller.member else None
    if await _is_own(caller, role):
        raise Forbidden(action.value, str(role.resource), why="nobody changes their own rights")
    given: list[tuple[Side, ...]] = [
        (rights.of_member(member, await roles_of_member(member), caller.catalogue, own_id),)
        for member in await Member.filter(account_id=role.account_id, roles__role_id=role.id).distinct()
    ]
    # A personal token never does more than its owner, so only those without one can gain by themselves.
    unowned = await _tokens_with(role, caller.account).filter(owner_id=None).select_related("owner")
    given += [(await of_token(token, caller.account, caller.request)).sides for token in unowned]
    if not all(map(caller.covers, given)):
        raise Forbidden(action.value, str(role.resource), why="this would give rights that are not within your own")


def _tokens_with(role: Role, account: Account) -> QuerySet[Token]:
    """Find the living tokens that have a role in their scope."""
    return Token.filter(living(now(), account), account_id=account.id, roles__role_id=role.id).distinct()


async def _is_own(caller: Caller, role: Role) -> bool:
    own = caller.person_id
    if own is not None:
        held = MemberRole.filter(account_id=role.account_id, role_id=role.id, member_id=own)
        if await held.exists() or await _tokens_with(role, caller.account).filter(owner_id=own).exists():
            return True
    return caller.token is not None and await _tokens_with(role, caller.account).filter(id=caller.token.id).exists()


async def delete(caller: Caller, role_id: UUID, said: Said) -> Done[Role]:
    """Delete a role that nobody holds. One in use is refused, naming its holders as far as the caller sees them."""
    async with change(caller, Action.DELETE_ROLE, At(Role, role_id), said) as deed:
        await _refuse_held(deed)
        await TokenRole.filter(account_id=deed.row.account_id, role_id=deed.row.id).delete()
        await deed.delete()
    return Done(deed.row, deed.entry)


async def _refuse_held(deed: Deed[Role]) -> None:
    caller, role = deed.caller, deed.row
    members = await MemberRole.filter(account_id=role.account_id, role_id=role.id).count()
    tokens = await _tokens_with(role, caller.account).count()
    if not members + tokens:
        return
    seen_members = await readable(caller, Member).filter(roles__role_id=role.id).distinct()
    seen_tokens = await readable(caller, Token).filter(living(now(), caller.account), roles__role_id=role.id).distinct()
    holders = [
        {"id": ids.target_id(str(row.resource), row.resource.path[-1], row.id), "name": row.label}
        for row in (*seen_members, *seen_tokens)
    ]
    raise Conflict(
        f"the role is held by {members} members and {tokens} tokens",
        holders=holders,
        hiddenHolders=members + tokens - len(holders),
    )
