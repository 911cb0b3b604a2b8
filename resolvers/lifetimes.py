"""For how long tokens may live, as an account says it kind by kind; and what becomes of those that would live longer.

Whenever the end of a token is set, it is at most the maximum ahead of that moment. Tightening gives those that are
beyond it an end that is the maximum ahead of the tightening, and no sooner than a notice: nothing dies unannounced.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from tortoise.expressions import F, Q
from tortoise.query_utils import Prefetch
from tortoise.queryset import QuerySet

from core.errors import Invalid
from core.vocabulary import Action
from models import Account, Token, TokenKind, TokenRole, living, now
from resolvers import notices
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.writing import Deed, Line, because

KINDS = (TokenKind.PERSONAL, TokenKind.SERVICE)
SHORTEST_S = 60
LONGEST_S = 10 * 365 * 24 * 60 * 60
NOTICE_S = 14 * 24 * 60 * 60
"""How long those beyond a new maximum live on at least, unless the caller says otherwise."""
LEAST_S = 24 * 60 * 60
"""How long those without an end live on at least where one is required, and no maximum nor default says when."""
CHUNK = 500
"""How many tokens get an end in one transaction, so that other writers wait a moment only."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """For how long tokens of a kind may live, how long they do unless said, and whether an end must be given."""

    maximum_s: int | None = None
    default_s: int | None = None
    required: bool = False

    @classmethod
    def of(cls, account: Account, kind: TokenKind) -> "Lifetime":
        """Read what an account says of a kind of token."""
        return cls.parse(account.lifetimes.get(kind.value))

    @classmethod
    def parse(cls, stored: Mapping[str, Any] | None) -> "Lifetime":
        """Read what is stored for a kind."""
        return cls(*((stored or {}).get(name, unset) for name, unset in _UNSET.items()))

    def json(self) -> dict[str, Any]:
        """Show it as it is stored; nothing for one that limits nothing."""
        shown = dict(zip(_UNSET, (self.maximum_s, self.default_s, self.required), strict=True))
        return {} if shown == _UNSET else shown

    def end(self, said: datetime | None, *, never: bool, otherwise: datetime | None = None) -> datetime | None:
        """Set the end of a new token: as said, or else as early as the default, `otherwise` and the maximum ask for.

        Raises `Invalid` for one that was said and is too late, and where one must be given and none is.
        """
        if said is None and not never:
            said = self._unsaid(otherwise)
            if said is not None:
                return said
        self.refuse_beyond(said)
        return said

    def _unsaid(self, otherwise: datetime | None) -> datetime | None:
        """Find the end of a token of which nobody said one. A maximum alone gives none where one must be given."""
        at = now()
        seconds = (self.default_s, self.maximum_s)
        default, latest = (None if each is None else at + timedelta(seconds=each) for each in seconds)
        given = [each for each in (default, otherwise) if each is not None]
        if latest is not None and (given or not self.required):
            given.append(latest)
        return min(given, default=None)

    def refuse_beyond(self, ends_at: datetime | None) -> None:
        """Refuse an end that is later than may be."""
        if ends_at is None and self.maximum_s is None:
            if self.required:
                raise Invalid("expiresAt", "must be given: the account asks for it")
            return
        if self.maximum_s is None:
            return
        latest = now() + timedelta(seconds=self.maximum_s)
        if ends_at is None or ends_at > latest:
            raise Invalid(
                "expiresAt", f"must be at most {self.maximum_s} s ahead, as the account says: by {latest.isoformat()}"
            )

    def cut(self, at: datetime, notice_s: int) -> datetime | None:
        """Say which end those get that are beyond it, at the moment of tightening; None if nothing is beyond it."""
        longest_s = self.maximum_s
        if longest_s is None and self.required:
            longest_s = self.default_s or LEAST_S
        return None if longest_s is None else at + timedelta(seconds=max(longest_s, notice_s))

    def beyond(self, ends_at: datetime) -> Q:
        """Find those that are beyond it, and later than the end which they get."""
        endless = Q(expires_at__isnull=True)
        return endless if self.maximum_s is None else endless | Q(expires_at__gt=ends_at)


_UNSET = {"maximumS": None, "defaultS": None, "required": False}

Wanted = Mapping[TokenKind, Mapping[str, Any] | None]
"""What to change, kind by kind and name by name; what is left out stays as it is, and None is as if never said."""


@dataclass(frozen=True, slots=True)
class LifetimesChange:
    """How to change the lifetimes of an account, and how long those beyond the new ones live on at least."""

    kinds: Wanted
    notice_s: int = NOTICE_S

    def applied(self, account: Account) -> dict[str, dict[str, Any]]:
        """Show the lifetimes that there would be. Raises `Invalid` naming the field."""
        _within("tokenLifetimes.noticeS", self.notice_s, 0)
        lifetimes = {kind.value: Lifetime.of(account, kind).json() for kind in KINDS}
        for kind, wanted in self.kinds.items():
            lifetimes[kind.value] = _changed(lifetimes[kind.value], wanted, f"tokenLifetimes.{kind.value.lower()}")
        return {kind: lifetime for kind, lifetime in lifetimes.items() if lifetime}


def _changed(lifetime: Mapping[str, Any], wanted: Mapping[str, Any] | None, field: str) -> dict[str, Any]:
    if wanted is None:
        return {}
    for name in ("maximumS", "defaultS"):
        if wanted.get(name) is not None:
            _within(f"{field}.{name}", wanted[name], SHORTEST_S)
    changed = Lifetime.parse({**lifetime, **wanted})
    if changed.maximum_s is not None and changed.default_s is not None and changed.default_s > changed.maximum_s:
        if "defaultS" in wanted:
            raise Invalid(f"{field}.defaultS", f"must be at most the maximum, {changed.maximum_s}")
        raise Invalid(f"{field}.maximumS", f"must be at least the default, {changed.default_s}")
    return changed.json()


def _within(field: str, seconds: int, least: int) -> None:
    if not least <= seconds <= LONGEST_S:
        raise Invalid(field, f"must be from {least} to {LONGEST_S} seconds")


@dataclass(frozen=True, slots=True)
class Cut:
    """What tightening comes to: the ends that tokens beyond the lifetimes get, by their kinds."""

    lifetimes: Mapping[TokenKind, Lifetime]
    ends: Mapping[TokenKind, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Mapping[str, Mapping[str, Any]], notice_s: int) -> "Cut":
        """Cut by what is stored, now."""
        at = now()
        lifetimes = {kind: Lifetime.parse(stored.get(kind.value)) for kind in KINDS}
        ends = {kind: lifetime.cut(at, notice_s) for kind, lifetime in lifetimes.items()}
        return cls(lifetimes, {kind: end for kind, end in ends.items() if end is not None})

    def among(self, tokens: QuerySet[Token], account: Account) -> QuerySet[Token]:
        """Find the living tokens of an account that would get another end."""
        beyond = [Q(self.lifetimes[kind].beyond(end), kind=kind) for kind, end in self.ends.items()]
        return tokens.filter(living(now(), account), reduce(or_, beyond)) if beyond else tokens.filter(id__in=[])


@dataclass(frozen=True, slots=True)
class Preview:
    """Whom a change would hit: how many there are, and those that the caller sees."""

    cut: Cut
    count: int

    async def seen(self, caller: Caller) -> QuerySet[Token]:
        """List those that the caller sees, each with its owner."""
        return self.cut.among(readable(caller, Token), caller.account).select_related("owner")


async def preview(caller: Caller, wanted: LifetimesChange) -> Preview:
    """Say whom a change of the lifetimes would hit, for those who may make it. Nothing changes."""
    caller.require(Action.UPDATE_TOKEN_LIFETIMES, caller.account)
    cut = Cut.of(wanted.applied(caller.account), wanted.notice_s)
    return Preview(cut, await cut.among(Token.filter(account_id=caller.account.id), caller.account).count())


async def shorten(deed: Deed[Account], cut: Cut) -> int:
    """Give the next tokens beyond their lifetime an end, up to `CHUNK`, each with an entry and a notice of its own.

    Returns how many there were. The entry's action is the one on the account: whoever may set the lifetimes may this.
    """
    account_id = deed.row.id
    held = Prefetch("roles", queryset=TokenRole.filter(account_id=account_id).select_related("role"))
    beyond = cut.among(Token.filter(account_id=account_id), deed.row).order_by("id").limit(CHUNK)
    tokens = await beyond.select_for_update().prefetch_related(held)
    entries = await deed.add(_shortened(deed, tokens, cut))
    news = [notices.shortened(token, cut.ends[token.kind]) for token in tokens]
    await notices.tell(deed.caller, zip(entries, news, strict=True))
    for kind, end in cut.ends.items():
        ids = [token.id for token in tokens if token.kind is kind]
        if ids:
            of_kind = Token.filter(account_id=account_id, id__in=ids)
            await of_kind.update(expires_at=end, version=F("version") + 1, updated_at=now())
    return len(tokens)


def _shortened(deed: Deed[Account], tokens: Sequence[Token], cut: Cut) -> Iterable[Line]:
    action = Action.UPDATE_TOKEN_LIFETIMES
    allowed = because(action, next(verdict for each, verdict in deed.allowed if each is action))
    for token in tokens:
        before = token.snapshot()
        token.expires_at = cut.ends[token.kind]
        yield Line(
            target_kind=token.resource.path[-1],
            target_id=token.id,
            target_resource=str(token.resource),
            target_name=token.label,
            target_member_id=token.owner_id,
            accesses=[{"action": action.value, "resource": str(deed.row.resource)}],
            because=[allowed],
            before=before,
            after=token.snapshot(),
            comment=deed.said.comment,
        )
