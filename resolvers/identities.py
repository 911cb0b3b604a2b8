"""Signing in through the OpenID provider: which member somebody is whom it vouches for.

At the first time their e-mail address says so, if the provider vouches for that too. From then on only the id does that
the provider knows them by, so that whoever is given an address later is not given its member.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from uuid import UUID

from tortoise.expressions import F
from tortoise.queryset import QuerySet

from core.errors import Conflict, Invalid, Unauthenticated
from core.vocabulary import Action
from models import (
    Account,
    ActorKind,
    Identity,
    Link,
    Member,
    MemberState,
    SignInMethod,
    Token,
    TokenKind,
    now,
)
from resolvers import input as typed
from resolvers import sessions
from resolvers.callers import Caller, Request, with_credential
from resolvers.members import require_inviter
from resolvers.writing import At, Deed, Done, Said, change

ENTERING = (MemberState.ACTIVE, MemberState.INVITED)


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a provider vouches for: what it calls itself, and by which id it knows them.

    There is an e-mail address only if it vouches for that too.
    """

    issuer: str
    subject: str = field(repr=False)
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)


class Unvouched(Unauthenticated):
    """No member is known by this id, and the provider vouches for no e-mail address that might be one's."""


class SomebodyElse(Unauthenticated):
    """The member with this e-mail address is known by another id."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A member whom somebody may be, and the identity by which they are known; None if only the address says so."""

    member: Member
    identity: Identity | None = None


async def sign_in(request: Request, vouched: Vouched, account_key: str | None = None) -> Done[Token]:
    """Sign in whom the provider vouches for: a member, an invited one who accepts by it, or one whom it makes.

    Raises `Unauthenticated` alike for all who may not come in, but `Unvouched` and `SomebodyElse` say so; and
    `Conflict` with the accounts' keys where they are a member of several.
    """
    found = await _found(request, vouched, account_key)
    entering = [each for each in found if each.member.state in ENTERING]
    if len(entering) > 1:
        keys = sorted(each.member.account.key for each in entering)
        raise Conflict("`account` must say which one", field="account", accounts=keys)
    whom = entering or found
    try:
        identity = await (_known(request, vouched, whom[0]) if whom else _joined(request, vouched, account_key))
        member = await Member.get(id=identity.member_id).select_related("account")
        return await sessions.open_session(member, request, identity)
    except Unauthenticated:
        await sessions.note_failure(request, [each.member for each in whom], account_key, ActorKind.OIDC)
        raise


async def _known(request: Request, vouched: Vouched, found: _Found) -> Identity:
    """Take the identity of a member who may come in, or keep it from now on."""
    if found.member.state not in ENTERING:
        raise Unauthenticated
    if found.identity is not None:
        return found.identity
    return await _unless_faster(found.member.account_id, vouched, _bound(request, found.member, vouched))


async def _unless_faster(account_id: UUID, vouched: Vouched, first: Awaitable[Identity]) -> Identity:
    """Await somebody's first time, or take the identity that they have meanwhile, from another window of theirs."""
    try:
        return await first
    except Unauthenticated:
        faster = await _by_id(account_id, vouched).first()
        if faster is None:
            raise
        return faster


def _address(vouched: Vouched) -> tuple[str, str] | None:
    """Take the address as it is shown and as it is compared, if there is one."""
    try:
        return None if vouched.email is None else typed.email("email", vouched.email)
    except Invalid:
        return None


async def _found(request: Request, vouched: Vouched, account_key: str | None) -> list[_Found]:
    """Find whom somebody may be, one in each account: who is known by their id, else who has their address."""
    wanted = {request.house.admission.account_key, account_key} - {None}
    known = Identity.filter(issuer=vouched.issuer, subject=vouched.subject).select_related("member__account")
    found = [_Found(identity.member, identity) for identity in await known]
    address = _address(vouched)
    if address is not None:
        named = Member.filter(email_key=address[1]).select_related("account")
        found += [_Found(member) for member in await named]
    one_each: dict[UUID, _Found] = {}
    for each in found:
        if each.member.state is not MemberState.REMOVED and {each.member.account.key} >= wanted:
            one_each.setdefault(each.member.account_id, each)
    return list(one_each.values())


async def _bound(request: Request, member: Member, vouched: Vouched) -> Identity:
    """Keep who a member is at the provider, from their first time there on. One who is invited accepts by it."""
    is_invited = member.state is MemberState.INVITED
    actions = [Action.BIND_IDENTITY, *([Action.ACCEPT_INVITE] if is_invited else [])]
    caller = await with_credential(member.account, request, ActorKind.OIDC, member)
    async with change(caller, actions, At(Member, member.id)) as deed:
        if await Identity.exists(account_id=member.account_id, member_id=member.id, issuer=vouched.issuer):
            raise SomebodyElse
        await _forget_removed(member.account_id, vouched)
        if is_invited:
            await _accept(deed, vouched)
        return await _bind(deed, vouched)


async def _forget_removed(account_id: UUID, vouched: Vouched) -> None:
    """Let go of whom the provider knew by this id, as they were removed and invited anew."""
    for identity in await _by_id(account_id, vouched).select_related("member"):
        if identity.member.state is not MemberState.REMOVED:
            raise Unauthenticated
        await identity.delete()


async def _accept(deed: Deed[Member], vouched: Vouched) -> None:
    """Let an invited member in, if whoever invited them still may. When the link ends does not matter: it is not used.

    Nor is it of use any more.
    """
    member = deed.row
    links = Link.filter(account_id=member.account_id, member_id=member.id)
    link = await links.first()
    if link is None:
        raise Unauthenticated
    await require_inviter(deed, link)
    await links.delete()
    member.state = MemberState.ACTIVE
    member.name = member.name or _name(vouched)
    await member.save()


async def _joined(request: Request, vouched: Vouched, account_key: str | None) -> Identity:
    """Make a member of somebody who is none, if the settings welcome them."""
    address = _address(vouched)
    if address is None:
        raise Unvouched
    admission = request.house.admission
    account = await Account.get_or_none(key=admission.joined_key)
    if account is None or account_key not in (None, account.key) or not admission.welcomes(address[1]):
        raise Unauthenticated
    row = Member(
        account_id=account.id,
        email=address[0],
        email_key=address[1],
        name=_name(vouched),
        state=MemberState.ACTIVE,
        base_role=admission.role,
    )
    caller = await with_credential(account, request, ActorKind.OIDC)
    return await _unless_faster(account.id, vouched, _made(caller, row, vouched))


async def _made(caller: Caller, row: Member, vouched: Vouched) -> Identity:
    async with change(caller, [Action.CREATE_MEMBER, Action.BIND_IDENTITY], row) as deed:
        # Also of those who were removed: they come back only if they are invited.
        namesakes = Member.filter(account_id=row.account_id, email_key=row.email_key)
        if await namesakes.exists() or await _by_id(row.account_id, vouched).exists():
            raise Unauthenticated
        await row.save()
        return await _bind(deed, vouched)


def _name(vouched: Vouched) -> str:
    """Take the name that the provider tells, if it may be one here."""
    try:
        return typed.name("name", vouched.name or "")
    except Invalid:
        return ""


def _by_id(account_id: UUID, vouched: Vouched) -> QuerySet[Identity]:
    return Identity.filter(account_id=account_id, issuer=vouched.issuer, subject=vouched.subject)


async def _bind(deed: Deed[Member], vouched: Vouched) -> Identity:
    deed.note({}, {"issuer": vouched.issuer, "subject": vouched.subject})
    member = deed.row
    return await Identity.create(
        account_id=member.account_id, member_id=member.id, issuer=vouched.issuer, subject=vouched.subject
    )


async def unbind(caller: Caller, member_id: UUID, said: Said) -> Done[Member]:
    """Forget who a member is at the provider, so that their address says so once more. Sessions got by it end."""
    async with change(caller, Action.UNBIND_IDENTITY, At(Member, member_id), said) as deed:
        of_member = Identity.filter(account_id=deed.row.account_id, member_id=deed.row.id)
        bound = [{"issuer": each.issuer, "subject": each.subject} for each in await of_member.order_by("id")]
        if bound:
            deed.note({"identities": bound}, {})
        await of_member.delete()
        got_by_it = Token.filter(
            account_id=deed.row.account_id,
            owner_id=deed.row.id,
            kind=TokenKind.SESSION,
            method=SignInMethod.OIDC,
            revoked_at=None,
        )
        await got_by_it.update(revoked_at=now(), version=F("version") + 1)
    return Done(deed.row, deed.entry)
