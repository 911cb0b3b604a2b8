"""Members: invited, given roles, suspended, removed; and the links with which they set a password."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from tortoise.expressions import F

from core.catalogue import Catalogue
from core.covers import sides_cover
from core.errors import Conflict, Forbidden, Invalid, Unauthenticated
from core.law import Authority, Side
from core.secret import Malformed, Secret, SecretKind
from core.vocabulary import Action, BuiltInRole
from models import (
    Account,
    ActorKind,
    Link,
    Member,
    MemberRole,
    MemberState,
    Token,
    TokenKind,
    now,
)
from resolvers import input as typed
from resolvers import passwords, rights
from resolvers.callers import Caller, Request, of_token, with_credential
from resolvers.reading import readable
from resolvers.realms import roles_of_member
from resolvers.scopes import roles_named
from resolvers.sessions import proved, require_passwords, set_password
from resolvers.writing import At, Deed, Done, Said, any_row, change


@dataclass(frozen=True, slots=True)
class Grant:
    """Roles for a member; what is None stays as it is."""

    base_role: BuiltInRole | None = None
    custom_roles: Sequence[str] | None = None
    role_attributes: Mapping[str, Sequence[str]] | None = None

    @property
    def actions(self) -> list[Action]:
        """The actions that giving this takes."""
        asked = (
            (Action.UPDATE_ROLE, self.base_role is not None),
            (Action.UPDATE_CUSTOM_ROLE, self.custom_roles is not None),
            (Action.UPDATE_MEMBER_ROLE_ATTRIBUTES, self.role_attributes is not None),
        )
        return [action for action, is_asked in asked if is_asked]


async def invite(caller: Caller, email: str, name: str | None, grant: Grant, said: Said) -> Done[Member]:
    """Invite a member. The answer's secret is the link with which they set a password, shown once."""
    typed_email, email_key = typed.email("email", email)
    row = Member(
        account_id=caller.account.id,
        email=typed_email,
        email_key=email_key,
        name="" if name is None else typed.name("name", name),
        base_role=BuiltInRole.READER,
    )
    async with change(caller, Action.CREATE_MEMBER, row, said) as deed:
        living = Member.filter(account_id=caller.account.id, email_key=email_key).exclude(state=MemberState.REMOVED)
        if await living.exists():
            raise Conflict("`email` is that of a member already", field="email")
        await row.save()
        await _give(deed, grant)
        link = await _link(deed)
    return Done(row, deed.entry, link)


async def create_link(caller: Caller, member_id: UUID, said: Said) -> Done[Member]:
    """Make a new one-time link for a member who lost theirs, or their password. Earlier links end.

    Whoever has the link becomes the member, so this needs rights that cover the member's.
    """
    async with change(caller, Action.CREATE_MEMBER, At(Member, member_id), said) as deed:
        _refuse_oneself(deed, Action.CREATE_MEMBER, "one's own password is changed with the present one")
        if deed.row.state in (MemberState.SUSPENDED, MemberState.REMOVED):
            raise Invalid("id", "names a member who may not come in; reinstate or invite them")
        if deed.row.state is MemberState.ACTIVE and caller.actor is not ActorKind.COMMAND_LINE:
            require_passwords(caller.request, Action.CREATE_MEMBER)  # which is all that they need it for
        await _require_within(deed.caller, deed.row, Action.CREATE_MEMBER, becoming=True)
        link = await _link(deed)
    return Done(deed.row, deed.entry, link)


async def _link(deed: Deed[Member]) -> str:
    url = await write_link(deed.caller, deed.row)
    deed.note({}, {"linkMadeAt": now().isoformat()})
    return url


async def end_link(caller: Caller, member_id: UUID, link_id: UUID, said: Said) -> None:
    """End a one-time link of a member. The command line does, and whoever holds it, who sees no member."""
    async with change(caller, Action.CREATE_MEMBER, At(Member, member_id, any_row), said) as deed:
        if await Link.filter(account_id=deed.row.account_id, member_id=member_id, id=link_id).delete():
            deed.note({}, {"linkEndedAt": now().isoformat()})


async def write_link(caller: Caller, member: Member) -> str:
    """Keep a new one-time link for a member, ending earlier ones; returns its URL. Called inside a change."""
    house = caller.request.house
    secret = Secret.mint(SecretKind.LINK)
    digest = house.keys.digest(secret)
    await Link.filter(account_id=member.account_id, member_id=member.id).delete()
    await Link.create(
        account_id=member.account_id,
        member_id=member.id,
        inviter_id=caller.member.id if caller.member else None,
        inviter_token_id=None if caller.is_session or caller.token is None else caller.token.id,
        digest=digest.hex,
        key_id=digest.key_id,
        expires_at=now() + timedelta(seconds=house.link_lifetime_s),
    )
    return f"{house.public_url}/#/invite/{secret.text}"


async def accept_invite(request: Request, link: str, name: str | None, password: str) -> Done[Member]:
    """Set a password with a one-time link, and a name if one is given. Sessions of the member end.

    A link is worth no more than who made it: their rights of now must still cover the member's.
    """
    require_passwords(request, Action.ACCEPT_INVITE)
    with request.house.attempts.opening(request.address):
        row = await _living_link(request, link)
    kept = await passwords.hashed(typed.password("password", password))
    caller = await with_credential(row.account, request, ActorKind.LINK, row.member, row)
    async with change(caller, Action.ACCEPT_INVITE, At(Member, row.member_id)) as deed:
        member = deed.row
        if member.state not in (MemberState.INVITED, MemberState.ACTIVE):
            raise Unauthenticated
        await require_inviter(deed, row)
        member.state = MemberState.ACTIVE
        if name is not None:
            member.name = typed.name("name", name)
        await set_password(member, kept)
    return Done(deed.row, deed.entry)


async def _living_link(request: Request, link: str) -> Link:
    try:
        digests = request.house.keys.candidates(Secret.parse(link))
    except Malformed:
        raise Unauthenticated from None
    found = Link.filter(digest__in=[digest.hex for digest in digests], expires_at__gt=now())
    row = await found.select_related("account", "member", "inviter").first()
    if row is None:
        raise Unauthenticated
    return row


async def require_inviter(deed: Deed[Member], link: Link) -> None:
    """Raise `Unauthenticated` unless the rights of whoever made a link still cover the member's."""
    request = deed.caller.request
    if link.inviter_token_id is not None:
        token = await Token.get(id=link.inviter_token_id).select_related("owner")
        asleep = token.owner is not None and token.owner.state is not MemberState.ACTIVE
        inviter = (
            None
            if asleep or token.dead(now(), deed.caller.account)
            else await of_token(token, deed.caller.account, request)
        )
        sides: tuple[Side, ...] = inviter.sides if inviter else ()
    elif link.inviter_id is not None:
        member = await Member.get(id=link.inviter_id)
        awake = member.state is MemberState.ACTIVE
        held = await roles_of_member(member)
        sides = (rights.of_member(member, held, deed.caller.catalogue),) if awake else ()
    else:
        return
    if deed.row.base_role is BuiltInRole.OWNER:  # became it since: what is the owner's alone, no rights cover
        raise Unauthenticated
    invited = deed.row.state is MemberState.INVITED
    own_id = str(link.inviter_id) if invited and link.inviter_id else None
    catalogue, allowance = deed.caller.catalogue, request.allowance
    if not all(
        sides_cover(sides, [given], catalogue, allowance) for given in await _given(deed.row, catalogue, own_id)
    ):
        raise Unauthenticated


async def update(caller: Caller, member_id: UUID, name: str, said: Said) -> Done[Member]:
    """Change a member's name."""
    async with change(caller, Action.UPDATE_MEMBER_NAME, At(Member, member_id), said) as deed:
        deed.row.name = typed.name("name", name)
        await deed.row.save()
    return Done(deed.row, deed.entry)


async def assign_roles(caller: Caller, member_id: UUID, grant: Grant, said: Said) -> Done[Member]:
    """Give a member another base role, other custom roles or other attributes; nobody their own.

    Custom roles replace the base role, which sleeps until they are gone; both must be within the caller's rights.
    """
    if not grant.actions:
        raise Invalid("input", "must change something")
    async with change(caller, grant.actions, At(Member, member_id), said) as deed:
        _refuse_oneself(deed, grant.actions[0])
        if deed.row.base_role is BuiltInRole.OWNER:
            raise Invalid("id", "names the owner, whose rights are fixed; transfer the ownership instead")
        await _give(deed, grant)
    return Done(deed.row, deed.entry)


async def _give(deed: Deed[Member], grant: Grant) -> None:
    member, caller = deed.row, deed.caller
    if grant.base_role is BuiltInRole.OWNER:
        raise Invalid("baseRole", "cannot be `owner`; transfer the ownership instead")
    if grant.base_role is not None:
        member.base_role = grant.base_role
    if grant.role_attributes is not None:
        member.role_attributes = typed.role_attributes("roleAttributes", grant.role_attributes)
    await member.save()
    if grant.custom_roles is not None:
        await MemberRole.filter(account_id=member.account_id, member_id=member.id).delete()
        for role in await roles_named(caller, "customRoles", grant.custom_roles):
            await MemberRole.create(account_id=member.account_id, member_id=member.id, role_id=role.id)
    await _require_within(caller, member, (grant.actions or [Action.CREATE_MEMBER])[0])


async def _require_within(caller: Caller, member: Member, action: Action, *, becoming: bool = False) -> None:
    """Refuse to give what the caller does not provably have.

    `becoming` the member, not giving to them, takes their rights over themselves as well, once they are in.
    """
    as_oneself = caller.member and not (becoming and member.state is not MemberState.INVITED)
    own_id = str(caller.member.id) if caller.member and as_oneself else None
    for given in await _given(member, caller.catalogue, own_id):
        if isinstance(caller.rights, Authority) and not caller.covers([given]):
            raise Forbidden(
                action.value, str(member.resource), why="this would give rights that are not within your own"
            )


async def _given(member: Member, catalogue: Catalogue, own_id: str | None) -> tuple[Side, Side]:
    """Read the member's rights: those of now, and those of their base role when custom roles are gone one day.

    Rights over oneself are compared as such: `own_id` stands in for the member's own.
    """
    now = rights.of_member(member, await roles_of_member(member), catalogue, own_id)
    return now, rights.of_member(member, (), catalogue, own_id)


def _refuse_oneself(deed: Deed[Member], action: Action, why: str = "nobody changes their own rights") -> None:
    if deed.caller.person_id == deed.row.id:
        raise Forbidden(action.value, str(deed.row.resource), why=why)


def manageable(caller: Caller, member: Member, *actions: Action) -> bool:
    """Say whether the caller has one of some actions on a member who is neither the owner, nor gone, nor oneself."""
    fixed = member.base_role is BuiltInRole.OWNER or member.state is MemberState.REMOVED
    return not fixed and caller.person_id != member.id and any(caller.sees(action, member) for action in actions)


async def suspend(caller: Caller, member_id: UUID, said: Said) -> Done[Member]:
    """Suspend a member: their sessions and personal tokens stop with the next request, until they are reinstated."""
    async with change(caller, Action.UPDATE_MEMBER_STATE, At(Member, member_id), said) as deed:
        _refuse_oneself(deed, Action.UPDATE_MEMBER_STATE)
        _refuse_owner(deed)
        if deed.row.state in (MemberState.INVITED, MemberState.REMOVED):
            raise Invalid("id", "names a member who is not in; remove an invited one instead")
        deed.row.state = MemberState.SUSPENDED
        await deed.row.save()
    return Done(deed.row, deed.entry)


async def reinstate(caller: Caller, member_id: UUID, said: Said) -> Done[Member]:
    """Let a suspended member back in, with tokens and sessions as they were; needs rights that cover theirs."""
    async with change(caller, Action.UPDATE_MEMBER_STATE, At(Member, member_id), said) as deed:
        _refuse_oneself(deed, Action.UPDATE_MEMBER_STATE)
        if deed.row.state not in (MemberState.SUSPENDED, MemberState.ACTIVE):
            raise Invalid("id", "names a member who is not suspended")
        await _require_within(deed.caller, deed.row, Action.UPDATE_MEMBER_STATE)
        deed.row.state = MemberState.ACTIVE
        await deed.row.save()
    return Done(deed.row, deed.entry)


async def remove(caller: Caller, member_id: UUID, said: Said) -> Done[Member]:
    """Remove a member for good. Their personal tokens and sessions are revoked; service tokens live on."""
    async with change(caller, Action.DELETE_MEMBER, At(Member, member_id), said) as deed:
        _refuse_oneself(deed, Action.DELETE_MEMBER)
        _refuse_owner(deed)
        member = deed.row
        if member.state is not MemberState.REMOVED:
            own = Token.filter(account_id=member.account_id, owner_id=member.id, revoked_at=None)
            tokens = await own.filter(kind=TokenKind.PERSONAL).count()
            await own.update(revoked_at=now(), version=F("version") + 1)
            await MemberRole.filter(account_id=member.account_id, member_id=member.id).delete()
            await Link.filter(account_id=member.account_id, member_id=member.id).delete()
            member.state, member.password_hash = MemberState.REMOVED, None
            await member.save()
            deed.note({}, {"revokedTokens": tokens})
    return Done(deed.row, deed.entry)


def _refuse_owner(deed: Deed[Member]) -> None:
    if deed.row.base_role is BuiltInRole.OWNER:
        raise Invalid("id", "names the owner; transfer the ownership first")


async def transfer_ownership(caller: Caller, member_id: UUID, password: str, said: Said) -> Done[Account]:
    """Hand the account over, from the owner's session and with their password. The old owner becomes an admin."""
    caller.require(Action.UPDATE_ACCOUNT_OWNER, caller.account)
    old = await proved(caller, Action.UPDATE_ACCOUNT_OWNER, "password", password)
    account = At(Account, caller.account.id)
    async with change(caller, Action.UPDATE_ACCOUNT_OWNER, account, said) as deed:
        new = await readable(deed.caller, Member).filter(id=member_id).select_for_update().first()
        if new is None or new.state is not MemberState.ACTIVE or new.id == old.id:
            raise Invalid("id", "must name another active member")
        if await roles_of_member(new):
            raise Invalid("id", "names a member with custom roles; take them away first")
        for member, role in ((old, BuiltInRole.ADMIN), (new, BuiltInRole.OWNER)):
            await Member.filter(id=member.id).update(base_role=role, version=F("version") + 1, updated_at=now())
        # A link made before would let whoever has it become an owner, or one who still knows the old one's rights.
        await Link.filter(account_id=deed.caller.account.id, member_id__in=[old.id, new.id]).delete()
        deed.note({"owner": str(old.id)}, {"owner": str(new.id)})
    return Done(deed.row, deed.entry)
