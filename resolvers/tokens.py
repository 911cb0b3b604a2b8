"""Tokens: made by members for one use each, never able to do more than their owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tortoise.expressions import F, Q
from tortoise.queryset import QuerySet

from core import rates
from core.covers import side_covers
from core.errors import Conflict, Forbidden, Invalid
from core.law import Side, SideKind
from core.networks import Networks
from core.secret import Digest, Secret, SecretKind
from core.vocabulary import Action
from models import (
    Account,
    Member,
    MemberState,
    ScopeKind,
    SecretDigest,
    Token,
    TokenAccess,
    TokenDay,
    TokenKind,
    TokenState,
    living,
    new_id,
    now,
)
from resolvers import input as typed
from resolvers import notices, rights
from resolvers.callers import Caller, of_token
from resolvers.lifetimes import Lifetime
from resolvers.reading import readable
from resolvers.scopes import Checked, Scope, checked, refuse_hopeless, scope_side, tried
from resolvers.writing import At, Deed, Done, Said, any_row, asked_for, change

SECRET_KINDS = {TokenKind.PERSONAL: SecretKind.PERSONAL, TokenKind.SERVICE: SecretKind.SERVICE}
LONGEST_GRACE = timedelta(days=30)
"""How long an old secret may work beside the new one."""
ENDED = datetime(1970, 1, 1, tzinfo=UTC)
"""When a secret has ended that ends at once: long ago, so that it has also where a clock is behind."""
CUT_SHORT = datetime(1969, 12, 31, tzinfo=UTC)
"""When one has whose grace ended before its time: whoever kept it was promised more, so it never ends its token."""
ENDED_KEPT = 5
"""How many ended secrets of a token are known again, the latest."""
REUSED = "reusedSecret"
"""Under which name an entry says which ended secret was presented: by the id of its digest."""
DESCENDANTS = "revokedDescendants"
"""Under which name it says how many living tokens that were made with one ended with it."""
CHUNK = 500
"""How many ids stand in one statement, which no database takes in any number."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as a caller asks for it. Restrictions that are None are those of the token that it asks with, if any."""

    kind: TokenKind
    name: str
    scope: Scope
    description: str = ""
    expires_at: datetime | None = None
    networks: Sequence[str] | None = None
    rate_limits: Sequence[str] | None = None
    never_ends: bool = False
    """Whether it was said that it has no end. Where nothing is said, the account's default decides."""


@dataclass(frozen=True, slots=True)
class TokenChange:
    """What to change of a token; what is None stays as it is. What clears takes away what there was."""

    name: str | None = None
    description: str | None = None
    scope: Scope | None = None
    expires_at: datetime | None = None
    clear_expiry: bool = False
    networks: Sequence[str] | None = None
    rate_limits: Sequence[str] | None = None
    responsible_id: UUID | None = None
    clear_responsible: bool = False

    @property
    def restricts(self) -> bool:
        """Whether restrictions are to change."""
        return self.networks is not None or self.rate_limits is not None

    @property
    def sets_expiry(self) -> bool:
        """Whether it says when the token ends."""
        return self.clear_expiry or self.expires_at is not None

    @property
    def sets_responsible(self) -> bool:
        """Whether it says who answers for the token."""
        return self.clear_responsible or self.responsible_id is not None


@dataclass(frozen=True, slots=True)
class Reset(Done[Token]):
    """What a reset came to, and when the old secret ends; None if it has."""

    old_ends_at: datetime | None = None


async def create(caller: Caller, wanted: NewToken, said: Said) -> Done[Token]:
    """Make a token. Its secret is in the answer, and nowhere else ever again.

    A personal token is made by and for its own member. One made with a token is bounded by that token's scope,
    ceilings, expiry and restrictions; a service token also by its maker's rights of this moment.
    """
    if wanted.kind not in SECRET_KINDS:
        raise Invalid("kind", "must be `PERSONAL` or `SERVICE`")
    secret = Secret.mint(SECRET_KINDS[wanted.kind])
    row = begun(caller, wanted, secret.ending)
    async with change(caller, Action.CREATE_ACCESS_TOKEN, row, said) as deed:
        await refuse_too_many(deed.caller.account, row)
        scope = await fitted(deed.caller, row, wanted)
        deed.make(row, *scope.roles_of(row), opened_by(row, deed.caller.request.house.keys.digest(secret)))
        row.owner = deed.caller.member if row.owner_id else None
    return Done(row, deed.entry, secret.text)


def begun(caller: Caller, wanted: NewToken, ending: str) -> Token:
    """Begin a new token, with all that does not depend on the rights of whoever makes it. Raises `Invalid`."""
    return Token(
        id=new_id(),
        account_id=caller.account.id,
        kind=wanted.kind,
        owner_id=_owner_id(caller, wanted.kind),
        creator_id=caller.person_id,
        parent_id=None if caller.is_session or caller.token is None else caller.token.id,
        name=typed.name("name", wanted.name),
        description=typed.description("description", wanted.description),
        responsible_id=None if wanted.kind is TokenKind.PERSONAL else _responsible_id(caller),
        ending=ending,
        expires_at=None if wanted.expires_at is None else typed.future("expiresAt", wanted.expires_at),
    )


async def fitted(caller: Caller, row: Token, wanted: NewToken) -> Checked:
    """Fit a new token into what its maker may give: its scope, ceilings, restrictions and end. Raises `Invalid`."""
    scope = await checked(caller, wanted.scope)
    scope.onto(row)
    _bound(caller, row)
    _restrict(caller, row, wanted)
    _end(caller, row, row.expires_at, never=wanted.never_ends)
    if scope.kind is not ScopeKind.BUILT_IN:
        refuse_hopeless(_side(caller, row, scope), caller.catalogue, caller.request.allowance)
    return scope


def _owner_id(caller: Caller, kind: TokenKind) -> UUID | None:
    if kind is not TokenKind.PERSONAL:
        return None
    if caller.member is None:
        raise Invalid("kind", "`PERSONAL` needs a member: only a member's session or personal token makes one")
    return caller.member.id


def _bound(caller: Caller, row: Token) -> None:
    """Set what the new token's maker bounds it by: ceilings, the member's attributes, and the maker's own expiry."""
    member, token = caller.member, caller.token
    live = row.kind is TokenKind.PERSONAL
    sides = caller.sides
    row.ceilings = [rights.frozen(side) for side in sides if not (live and side.kind is SideKind.OWNER)]
    row.scope_attributes = dict(member.role_attributes) if member else dict(token.scope_attributes if token else {})


def _end(caller: Caller, row: Token, said: datetime | None, *, never: bool) -> None:
    """Set when the new token ends, within its account's lifetimes and that of the token which asks."""
    own_end = None if caller.is_session or caller.token is None else caller.token.ends_at(caller.account)
    row.expires_at = Lifetime.of(caller.account, row.kind).end(said, never=never, otherwise=own_end)
    _refuse_outliving(caller, row.expires_at)


def _restrict(caller: Caller, row: Token, wanted: NewToken) -> None:
    maker = None if caller.is_session else caller.token
    inherited = ([], []) if maker is None else (maker.networks, maker.rate_limits)
    _set_restrictions(row, *inherited)
    _set_restrictions(row, wanted.networks, wanted.rate_limits)
    _refuse_wider(caller, row)


def _set_restrictions(row: Token, networks: Sequence[str] | None, rate_limits: Sequence[str] | None) -> None:
    if networks is not None:
        row.networks = Networks.parse(networks, "networks").texts
    if rate_limits is not None:
        row.rate_limits = [str(rate) for rate in rates.parse(rate_limits, "rateLimits")]


def _refuse_wider(caller: Caller, row: Token) -> None:
    """Refuse restrictions wider than those of the token that asks for them."""
    maker = None if caller.is_session else caller.token
    if maker is None:
        return
    if not Networks.of(row.networks).within(Networks.of(maker.networks)):
        raise Invalid("networks", f"must lie within those of the token that asks for it: {_listed(maker.networks)}")
    if not rates.within(rates.of(row.rate_limits), rates.of(maker.rate_limits)):
        raise Invalid("rateLimits", f"must keep those of the token that asks for it: {_listed(maker.rate_limits)}")


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


async def refuse_too_many(account: Account, row: Token, more: int = 1) -> None:
    """Refuse more tokens like this than there may be. The account's head is locked: no other is made meanwhile."""
    if account.max_tokens is None and account.max_member_tokens is None:
        return
    tokens = Token.filter(living(now(), account), account_id=account.id, kind__not=TokenKind.SESSION)
    limits = [("maxTokens", account.max_tokens, tokens)]
    if row.kind is TokenKind.PERSONAL:
        own = tokens.filter(kind=TokenKind.PERSONAL, owner_id=row.owner_id)
        limits.append(("maxMemberTokens", account.max_member_tokens, own))
    for name, most, counted in limits:
        if most is not None and (count := await counted.count()) + more > most:
            raise Conflict(f"`{name}` is {most}, and there are {count} already", exceeded=name, limit=most, count=count)


def _responsible_id(caller: Caller) -> UUID | None:
    """Say who answers at first for a token that no member owns: its maker, or who answers for the token that asks."""
    if caller.member is not None:
        return caller.member.id
    return caller.token.responsible_id if caller.token else None


def _refuse_outliving(caller: Caller, at: datetime | None) -> None:
    """Refuse an end after that of the token which asks for it: nothing is made, nor prolonged, beyond its own."""
    ends = None if caller.is_session or caller.token is None else caller.token.ends_at(caller.account)
    if ends is not None and (at is None or at > ends):
        raise Invalid("expiresAt", f"must not be after that of the token that asks for it, {ends.isoformat()}")


def _side(caller: Caller, row: Token, scope: Checked) -> Side:
    return rights.of_scope(row, scope.roles, caller.catalogue, caller.member if row.owner_id else None)


def opened_by(row: Token, digest: Digest) -> SecretDigest:
    """Make the row of a secret that opens a token."""
    return SecretDigest(account_id=row.account_id, token_id=row.id, digest=digest.hex, key_id=digest.key_id)


async def update(caller: Caller, token_id: UUID, wanted: TokenChange, said: Said) -> Done[Token]:
    """Change a token. Each field needs its own action; widening needs the owner's own session.

    What has ended is not revived: its scope, expiry and restrictions are as they were.
    """
    async with change(caller, _actions(wanted), At(Token, token_id), said) as deed:
        token = deed.row
        await token.fetch_related("owner")
        if wanted.scope is not None or wanted.restricts or wanted.sets_expiry:
            _refuse_ended(token, deed.caller.account)
        if wanted.name is not None:
            token.name = typed.name("name", wanted.name)
        if wanted.description is not None:
            token.description = typed.description("description", wanted.description)
        if wanted.sets_expiry:
            await _expire(deed, wanted)
        if wanted.sets_responsible:
            token.responsible_id = await _responsible(deed, wanted.responsible_id)
        if wanted.scope is not None:
            await _rescope(deed, wanted.scope)
        if wanted.restricts:
            await _rerestrict(deed, wanted)
        await token.save()
    return Done(deed.row, deed.entry)


def _actions(wanted: TokenChange) -> list[Action]:
    return asked_for(
        (Action.UPDATE_ACCESS_TOKEN_NAME, wanted.name is not None),
        (Action.UPDATE_ACCESS_TOKEN_DESCRIPTION, wanted.description is not None),
        (Action.UPDATE_ACCESS_TOKEN_POLICY, wanted.scope is not None),
        (Action.UPDATE_ACCESS_TOKEN_EXPIRY, wanted.sets_expiry),
        (Action.UPDATE_ACCESS_TOKEN_RESPONSIBLE, wanted.sets_responsible),
        (Action.UPDATE_ACCESS_TOKEN_RESTRICTIONS, wanted.restricts),
    )


async def _rerestrict(deed: Deed[Token], wanted: TokenChange) -> None:
    token = deed.row
    networks, limits = Networks.of(token.networks), rates.of(token.rate_limits)
    _set_restrictions(token, wanted.networks, wanted.rate_limits)
    narrows = {
        "networks": Networks.of(token.networks).within(networks),
        "rateLimits": rates.within(rates.of(token.rate_limits), limits),
    }
    for field in (field for field, does in narrows.items() if not does):
        _refuse_widening(token, field)
    if not all(narrows.values()):
        _refuse_wider(deed.caller, token)
        await _require_power(deed, Action.UPDATE_ACCESS_TOKEN_RESTRICTIONS)


async def _expire(deed: Deed[Token], wanted: TokenChange) -> None:
    token = deed.row
    at = None if wanted.expires_at is None else typed.future("expiresAt", wanted.expires_at)
    _refuse_outliving(deed.caller, at)
    shorter = at is not None and (token.expires_at is None or at <= token.expires_at)
    if not shorter:
        _refuse_widening(token, "expiresAt")
        await _require_power(deed, Action.UPDATE_ACCESS_TOKEN_EXPIRY)
        Lifetime.of(deed.caller.account, token.kind).refuse_beyond(at)
    token.expires_at = at


async def _responsible(deed: Deed[Token], member_id: UUID | None) -> UUID | None:
    if deed.row.owner_id is not None:
        raise Invalid("responsibleId", "is for tokens that no member owns: its owner answers for this one")
    if member_id is not None:
        active = readable(deed.caller, Member).filter(id=member_id, state=MemberState.ACTIVE)
        if not await active.exists():
            raise Invalid("responsibleId", "must name an active member")
    return member_id


async def _rescope(deed: Deed[Token], wanted: Scope, *, only_narrower: bool = False) -> None:
    token, caller = deed.row, deed.caller
    if token.kind is TokenKind.SERVICE:
        raise Invalid("scope", "of a service token is fixed for good; make another token instead")
    before = await scope_side(token, caller.catalogue)
    scope = await checked(caller, wanted)
    scope.onto(token)
    token.trial = None  # it was narrower than the scope that went
    after = rights.of_scope(token, scope.roles, caller.catalogue, token.owner)
    refuse_hopeless(after, caller.catalogue, caller.request.allowance)
    stays = scope.stays_within(before)
    narrows = (stays or only_narrower or token.kind is TokenKind.ACCOUNT) and side_covers(
        before, after, caller.catalogue, caller.request.allowance
    )
    if only_narrower and not narrows:
        raise _not_narrower()
    if not narrows:
        _refuse_widening(token, "scope")
    await scope.save_roles(token)  # before asking for the right to its power, which is read from the rows
    if not (narrows and stays):
        await _require_power(deed, Action.UPDATE_ACCESS_TOKEN_POLICY)


def _refuse_widening(token: Token, field: str) -> None:
    """Refuse to widen what was imported, whoever asks: it shall go."""
    if token.kind is TokenKind.ACCOUNT:
        raise Invalid(field, "of an account-wide token can only get narrower, provably so")


async def try_scope(caller: Caller, token_id: UUID, wanted: Scope | None, said: Said) -> Done[Token]:
    """Try a narrower scope on a token without enforcing it; None ends the trial.

    From then on it is counted what that scope would have refused of what is allowed; an earlier trial's counts go.
    """
    async with change(caller, Action.UPDATE_ACCESS_TOKEN_POLICY, At(Token, token_id), said) as deed:
        token = deed.row
        await token.fetch_related("owner")
        _refuse_ended(token, deed.caller.account)
        token.trial = None if wanted is None else await _trial(deed, wanted)
        if token.trial is not None:
            of_token = {"account_id": token.account_id, "token_id": token.id}
            await TokenDay.filter(**of_token, trial_refused__gt=0).update(trial_refused=0)
            await TokenAccess.filter(**of_token, trial_refused__gt=0).update(trial_refused=0)
        await token.save()
    return Done(deed.row, deed.entry)


async def _trial(deed: Deed[Token], wanted: Scope) -> dict[str, Any]:
    token, caller = deed.row, deed.caller
    if token.kind is TokenKind.SERVICE:
        raise Invalid("scope", "of a service token is fixed for good, so that none can be tried; make another token")
    scope = await checked(caller, wanted)
    trial = {"at": now().isoformat(), **scope.trial}
    before = await scope_side(token, caller.catalogue)
    token.trial = trial
    after = rights.of_trial(token, scope.roles, caller.catalogue, token.owner)
    refuse_hopeless(after, caller.catalogue, caller.request.allowance)
    if not side_covers(before, after, caller.catalogue, caller.request.allowance):
        raise _not_narrower()
    return trial


def _not_narrower() -> Invalid:
    return Invalid("scope", "must be narrower: it is not proven to lie within the scope that the token has")


async def enforce_trial(caller: Caller, token_id: UUID, said: Said) -> Done[Token]:
    """Make the scope that is tried on a token its scope, as `update` would, if it is narrower still. Its secret stays.

    Custom roles in it may have grown since it was tried.
    """
    async with change(caller, Action.UPDATE_ACCESS_TOKEN_POLICY, At(Token, token_id), said) as deed:
        token = deed.row
        await token.fetch_related("owner")
        _refuse_ended(token, deed.caller.account)
        if token.trial is None:
            raise Invalid("id", "names a token on which no scope is tried")
        await _rescope(deed, tried(token.trial), only_narrower=True)
        await token.save()
    return Done(deed.row, deed.entry)


async def reset(caller: Caller, token_id: UUID, said: Said, *, old_ends_at: datetime | None = None) -> Reset:
    """Give a token a new secret, which is in this answer alone. The old one works until `old_ends_at`, or no longer.

    Within that grace the token has two secrets, never three: whatever was in an earlier grace ends now.
    """
    async with change(caller, Action.RESET_ACCESS_TOKEN, At(Token, token_id), said) as deed:
        token = deed.row
        await token.fetch_related("owner")
        if not (caller.token and caller.token.id == token.id):
            await _require_power(deed, Action.RESET_ACCESS_TOKEN)
        _refuse_ended(token, deed.caller.account)
        kind = SECRET_KINDS.get(token.kind)
        if kind is None:
            raise Invalid("id", "names an account-wide token: those end, they are not renewed")
        ends_at = _grace(token, old_ends_at)
        await _end_secrets(token, ends_at)
        secret = Secret.mint(kind)
        await opened_by(token, deed.caller.request.house.keys.digest(secret)).save()
        token.ending, token.reset_at = secret.ending, now()
        await token.save()
        if ends_at is not None:
            deed.note({}, {"oldSecretExpiresAt": ends_at.isoformat()})
    return Reset(deed.row, deed.entry, secret.text, ends_at)


def _grace(token: Token, wanted: datetime | None) -> datetime | None:
    """Take the end of an old secret's grace, which is never after the end that its token has now."""
    if wanted is None:
        return None
    at = typed.future("oldSecretExpiresAt", wanted)
    if at > now() + LONGEST_GRACE:
        raise Invalid("oldSecretExpiresAt", f"must be within {LONGEST_GRACE.days} days")
    return at if token.expires_at is None else min(at, token.expires_at)


async def _end_secrets(token: Token, ends_at: datetime | None) -> None:
    """End a token's secrets: the present one at a time if it is given, all others at once."""
    secrets = SecretDigest.filter(account_id=token.account_id, token_id=token.id)
    await cut_short(secrets)
    await secrets.filter(expires_at=None).update(expires_at=ends_at or ENDED)
    ended = await secrets.filter(expires_at__lte=now()).order_by("-id").offset(ENDED_KEPT).limit(CHUNK).only("id")
    if ended:
        await SecretDigest.filter(id__in=[secret.id for secret in ended]).delete()


async def cut_short(secrets: QuerySet[SecretDigest]) -> int:
    """End those of some secrets that are in their grace, at once; returns how many were."""
    return await secrets.filter(expires_at__gt=now()).update(expires_at=CUT_SHORT)


async def end_secret(
    caller: Caller, token_id: UUID, secret_id: UUID, said: Said, *, at: datetime | None = None
) -> None:
    """End one secret of a token, or a session, at once or at a time; the token lives on. The command line does."""
    async with change(caller, Action.RESET_ACCESS_TOKEN, At(Token, token_id, any_row), said) as deed:
        secret = SecretDigest.filter(account_id=deed.row.account_id, token_id=token_id, id=secret_id)
        ends_at = at or ENDED
        ended = 0 if at else await cut_short(secret)
        if ended or await secret.filter(Q(expires_at=None) | Q(expires_at__gt=ends_at)).update(expires_at=ends_at):
            deed.note({}, {"oldSecretExpiresAt": at.isoformat() if at else None})


def _refuse_ended(token: Token, account: Account) -> None:
    if token.dead(now(), account) is not None:
        raise Invalid("id", "names a token that has ended; make another token instead")


async def _require_power(deed: Deed[Token], action: Action) -> None:
    """Require the right to hold the token's power: its owner's session, or rights that cover its scope."""
    caller, token = deed.caller, deed.row
    if token.kind is TokenKind.PERSONAL:
        if not (caller.is_session and caller.member and caller.member.id == token.owner_id):
            raise Forbidden(
                action.value, str(token.resource), why="only the owner's own session may do this to a personal token"
            )
        return
    holder = await of_token(token, deed.caller.account, deed.caller.request)
    if not caller.covers(holder.sides):
        raise Forbidden(action.value, str(token.resource), why="this needs rights that cover all that the token may do")


async def revoke(caller: Caller, token_id: UUID, said: Said) -> Done[Token]:
    """End a token's life at once, and that of all that was made with it: who had it may have those too.

    Revoking twice changes nothing.
    """
    async with change(caller, Action.DELETE_ACCESS_TOKEN, At(Token, token_id), said) as deed:
        await end(deed)
    return Done(deed.row, deed.entry)


async def revoke_reused(caller: Caller, token_id: UUID, secret_id: UUID) -> None:
    """End a token of which an ended secret was presented, and all that was made with it. Latchkey does, by itself."""
    actions = (Action.REUSE_ACCESS_TOKEN, Action.DELETE_ACCESS_TOKEN)
    async with change(caller, actions, At(Token, token_id, any_row), Said()) as deed:
        if deed.row.revoked_at is None:
            deed.note({}, {REUSED: str(secret_id)})
            news = notices.reused(deed.row, secret_id, now())
            deed.following.append(lambda entry: notices.tell(deed.caller, [(entry, news)]))
            await end(deed)


async def end(deed: Deed[Token], at: datetime | None = None) -> None:
    """End the token that a change is about, now or as of a moment, and all that was made with it."""
    if deed.row.revoked_at is None:
        deed.row.revoked_at = at or now()
        await deed.row.save()
    if ended := await revoke_descendants(deed.row):
        deed.note({}, {DESCENDANTS: ended})


async def revoke_descendants(token: Token) -> int:
    """Revoke what was made with a token, with that, and so on; returns how many were living."""
    ended, found = 0, [token.id]
    while found:
        some, found = found[:CHUNK], found[CHUNK:]
        children = Token.filter(account_id=token.account_id, parent_id__in=some)
        ended += await children.filter(revoked_at=None).update(revoked_at=now(), version=F("version") + 1)
        found += [child.id for child in await children.only("id")]
    return ended


def state(token: Token, account: Account, owner: Member | None, at: datetime) -> TokenState:
    """Say whether a token works at a moment, and if not, why."""
    if over := token.dead(at, account):
        return over
    if owner is not None and owner.state is not MemberState.ACTIVE:
        return TokenState.OWNER_INACTIVE
    return TokenState.ACTIVE


def resettable(caller: Caller, token: Token) -> bool:
    """Say whether the caller may give a token a new secret; for a service token, as far as can be said beforehand."""
    if (
        token.kind not in SECRET_KINDS
        or token.dead(now(), caller.account)
        or not caller.sees(Action.RESET_ACCESS_TOKEN, token)
    ):
        return False
    itself = caller.token is not None and caller.token.id == token.id
    own = caller.is_session and caller.member is not None and caller.member.id == token.owner_id
    return itself or own or token.kind is TokenKind.SERVICE
