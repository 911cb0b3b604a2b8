"""Sessions: got by signing in, listed and ended like tokens."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from tortoise.expressions import F
from tortoise.queryset import QuerySet

from core.errors import Conflict, Forbidden, Invalid, Unauthenticated
from core.networks import neighbourhood
from core.secret import Secret, SecretKind
from core.vocabulary import Action
from models import (
    Account,
    ActorKind,
    Identity,
    Link,
    Member,
    MemberState,
    ScopeKind,
    SecretDigest,
    SignInMethod,
    Token,
    TokenKind,
    new_id,
    now,
)
from resolvers import devices, passwords, refusing
from resolvers import input as typed
from resolvers.attempts import Attempt
from resolvers.callers import Caller, Credential, Request, with_credential
from resolvers.passwords import KNOWN, STRANGERS, Line
from resolvers.reading import readable_sessions
from resolvers.writing import At, Done, Said, change

UNNAMED = 2
"""How many passwords are tried at least for whoever does not say which account: as many as for an e-mail address that
is in two of them, so that the time tells nobody of the other."""
SESSIONS_SEEN = 200
"""How many of somebody's sessions are looked through for it, the newest first."""


async def sign_in(request: Request, email: str, password: str, account_key: str | None = None) -> Done[Token]:
    """Sign a member in; the session's bearer secret is in the answer.

    Raises `Unauthenticated` alike for everything that is wrong, `RateLimited` after too many failures or for too many
    at once, and `Conflict` with the accounts' keys where the same e-mail address and password open several.
    """
    require_passwords(request, Action.CREATE_SESSION)
    _, email_key = typed.email("email", email)
    least = UNNAMED if account_key is None else 1
    found, trying, line = await _tried(request, email_key, account_key, least)
    line.require_room()
    with trying as attempt:
        members = await _with_password(found, password, least, line)
        if not members:
            await note_failure(request, found, account_key)
            raise Unauthenticated
        # What opens one account is still a guess at the others.
        attempt.is_failure = len(members) < len(_active(found))
    if len(members) > 1:
        keys = sorted(member.account.key for member in members)
        raise Conflict("`account` must say which one", field="account", accounts=keys)
    return await open_session(members[0], request)


async def _tried(
    request: Request, email_key: str, account_key: str | None, least: int
) -> tuple[list[Member], AbstractContextManager[Attempt], Line]:
    """Find whose password is tried, by what that is counted, and in which line it waits.

    While strangers have to wait, or their line is full, it is theirs alone who are known on this device, or else in
    this network.
    """
    attempts, address = request.house.attempts, request.address
    found = await _named(email_key, account_key)
    is_full = STRANGERS.is_full
    if is_full or attempts.holds_up(email_key, address):
        for member in found:
            if devices.knows(request, member):
                return [member], attempts.signing_in_again(str(member.id)), KNOWN
    if is_full or attempts.presses(email_key):
        known = await _known_here(found, address, least)
        if known:
            return known, attempts.signing_in(email_key, address, is_known_here=True), KNOWN
    return found, attempts.signing_in(email_key, address), STRANGERS


async def _named(email_key: str, account_key: str | None) -> list[Member]:
    found = Member.filter(email_key=email_key, state__not=MemberState.REMOVED).select_related("account")
    return [member for member in await found if account_key in (None, member.account.key)]


async def _known_here(found: Sequence[Member], address: str | None, least: int) -> list[Member]:
    """Give those of whom a session was used in this network of late. `least` are asked for, if need be of nobody."""
    whose = [(member.account_id, member.id) for member in found] + [(new_id(), new_id())] * (least - len(found))
    known = {member_id for account_id, member_id in whose if await _was_here(account_id, member_id, address)}
    return [member for member in found if member.id in known]


async def _was_here(account_id: UUID, member_id: UUID, address: str | None) -> bool:
    sessions = Token.filter(
        kind=TokenKind.SESSION,
        account_id=account_id,
        owner_id=member_id,
        last_used_at__gte=now() - devices.REMEMBERED,
    )
    seen = await sessions.order_by("-id").limit(SESSIONS_SEEN).only("id", "last_used_address")
    return neighbourhood(address) in {neighbourhood(each.last_used_address) for each in seen if each.last_used_address}


def _active(found: Sequence[Member]) -> list[Member]:
    return [member for member in found if member.state is MemberState.ACTIVE]


async def _with_password(found: Sequence[Member], password: str, least: int, line: Line) -> list[Member]:
    """Give the active ones with this password. `least` as many hashes are run, if need be for nobody."""
    members = _active(found)
    kept = [member.password_hash for member in members] + [None] * (least - len(members))
    held = await asyncio.gather(*(passwords.holds(password, each, line) for each in kept))
    return [member for member, is_theirs in zip(members, held, strict=False) if is_theirs]


async def note_failure(
    request: Request, found: Sequence[Member], account_key: str | None, kind: ActorKind = ActorKind.PASSWORD
) -> None:
    """Note whom somebody failed to sign in as; if no member, then to which account, if it was said or there is one."""
    if account_key is not None and not typed.KEY.fullmatch(account_key):
        return
    among = Account.all() if account_key is None else Account.filter(key=account_key)
    accounts = await among.limit(2)  # asked also where it is known, so that it takes as long
    for member in found:
        refusing.sign_in(request, member.account, member, kind).note()
    if not found and len(accounts) == 1:
        refusing.sign_in(request, accounts[0], None, kind).note()


async def open_session(member: Member, request: Request, identity: Identity | None = None) -> Done[Token]:
    """Open a session for a member who has just proved who they are; their account is fetched.

    `identity` is who they are at the provider that vouched for them; without one they had a password.
    """
    if member.state is not MemberState.ACTIVE:  # any more, where they were a moment ago
        raise Unauthenticated
    method = SignInMethod.PASSWORD if identity is None else SignInMethod.OIDC
    caller = await with_credential(member.account, request, ActorKind(method.value), member)
    secret = Secret.mint(SecretKind.SESSION)
    row = Token(
        id=new_id(),
        account_id=member.account_id,
        kind=TokenKind.SESSION,
        owner_id=member.id,
        creator_id=member.id,
        scope_kind=ScopeKind.MEMBER,
        method=method,
        ending=secret.ending,
        expires_at=now() + timedelta(seconds=request.house.session_lifetime_s),
        last_used_at=now(),
        last_used_address=request.address,
        last_used_agent=request.user_agent,
    )
    async with change(caller, Action.CREATE_SESSION, row) as deed:
        if identity is not None:
            if not await Identity.exists(account_id=row.account_id, id=identity.id):
                raise Unauthenticated
            deed.note({}, {"issuer": identity.issuer})
        digest = request.house.keys.digest(secret)
        opened = SecretDigest(account_id=row.account_id, token_id=row.id, digest=digest.hex, key_id=digest.key_id)
        deed.make(row, opened)
    return Done(row, deed.entry, secret.text)


async def sign_out(caller: Caller) -> Done[Token]:
    """End the caller's own session."""
    if not caller.is_session or caller.token is None:
        raise Forbidden(Action.REVOKE_SESSION, why="only a session signs out; revoke a token instead")
    return await revoke(replace(caller, rights=Credential()), caller.token.id, Said())


async def revoke(caller: Caller, session_id: UUID, said: Said) -> Done[Token]:
    """End a session at once. Ending it twice changes nothing."""
    async with change(caller, Action.REVOKE_SESSION, At(Token, session_id, _sessions), said) as deed:
        if deed.row.revoked_at is None:
            deed.row.revoked_at = now()
            await deed.row.save()
    return Done(deed.row, deed.entry)


def _sessions(caller: Caller, _: type[Token]) -> QuerySet[Token]:
    return readable_sessions(caller)


async def change_password(caller: Caller, current: str, new: str, said: Said) -> Done[Member]:
    """Set a new password with the present one, from a session. All other sessions of the member end."""
    member = await proved(caller, Action.UPDATE_PASSWORD, "currentPassword", current)
    kept = await passwords.hashed(typed.password("newPassword", new))
    by_password = replace(caller, rights=Credential())
    async with change(by_password, Action.UPDATE_PASSWORD, At(Member, member.id), said) as deed:
        if deed.row.password_hash != member.password_hash:
            raise Unauthenticated
        await set_password(deed.row, kept, but=caller.token)
    return Done(deed.row, deed.entry)


def require_passwords(request: Request, action: Action) -> None:
    """Refuse where the settings have turned signing in with a password off."""
    if not request.house.password_sign_in:
        raise Forbidden(action.value, why="signing in with a password is turned off on this server")


async def set_password(member: Member, kept: str, but: Token | None = None) -> None:
    """Keep a new password; end the member's sessions, but the one at hand, and their link. Called inside a change."""
    member.password_hash, member.password_changed_at = kept, now()
    await member.save()
    await Link.filter(account_id=member.account_id, member_id=member.id).delete()
    sessions = Token.filter(account_id=member.account_id, owner_id=member.id, kind=TokenKind.SESSION, revoked_at=None)
    if but is not None:
        sessions = sessions.exclude(id=but.id)
    await sessions.update(revoked_at=now(), version=F("version") + 1)


async def proved(caller: Caller, action: Action, field: str, password: str) -> Member:
    """Ask a session for its member's password again. Raises `Invalid` naming the field, or `RateLimited`."""
    member = caller.member
    if not caller.is_session or member is None:
        raise Forbidden(action.value, why="only a session may do this, with the password")
    require_passwords(caller.request, action)
    if member.password_hash is None:
        raise Invalid(field, "cannot be right: you have no password, a one-time link sets one")
    KNOWN.require_room()
    # Counted apart from signing in, where anybody may fail in the member's name.
    with caller.request.house.attempts.proving(str(caller.token and caller.token.id), caller.request.address):
        if not await passwords.holds(password, member.password_hash, KNOWN):
            raise Invalid(field, "is not your password")
    return member
