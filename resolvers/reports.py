"""What integrations report to the log: deeds done elsewhere, by whom they say or can prove it was."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from core.catalogue import Catalogue
from core.chain import LARGEST, canonical
from core.errors import Forbidden, Invalid
from core.receipt import Malformed, Receipt
from core.vocabulary import Action
from models import AuditEntry, Token, now
from resolvers import input as typed
from resolvers.access import Asked, Question
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.writing import Line, Said, append_all, because, opened

MOST = 100
"""How many deeds are reported at once."""
SKEW_S = 60
"""How far the clock of an integration may be ahead."""
PROOF_LIFETIME = timedelta(hours=24)
"""For how long a decision id proves something."""
DETAILS_BYTES = 4096
DETAILS_DEPTH = 16
RESOURCE_LENGTH = 512
"""What the log's column holds."""


@dataclass(frozen=True, slots=True)
class OnBehalfOf:
    """With whose token it was done: its id, which claims it, or the decision id of a yes, which proves it."""

    token_id: UUID | None = None
    decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """A deed as an integration reports it. `at` is when it says that it happened, now unless it says so."""

    action: str
    resource: str
    on_behalf_of: OnBehalfOf | None = None
    at: datetime | None = None
    comment: str | None = None
    details: object = None


@dataclass(frozen=True, slots=True)
class _Checked:
    """A deed whose words hold, whatever the catalogue is."""

    deed: Deed
    field: str
    at: datetime
    comment: str | None
    details: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Subject:
    """The token on whose behalf it was done, its owner fetched, and whether that is proven."""

    token: Token
    verified: bool

    @property
    def columns(self) -> dict[str, Any]:
        """What the entry says of it."""
        member = self.token.owner
        return {
            "behalf_member_id": member.id if member else None,
            "behalf_member_name": member.label if member else None,
            "behalf_token_id": self.token.id,
            "behalf_token_name": self.token.label,
            "behalf_token_ending": self.token.ending,
            "behalf_verified": self.verified,
        }


def require_reporter(caller: Caller) -> Token:
    """Give the token that reports. Raises `Forbidden` unless it is one, not a session, and may report."""
    caller.require(Action.RECORD_AUDIT_ENTRY, caller.account)
    if caller.token is None or caller.is_session:
        raise Forbidden(Action.RECORD_AUDIT_ENTRY.value, "acct", why="only a token reports deeds, not a session")
    return caller.token


async def record(caller: Caller, deeds: Sequence[Deed], said: Said) -> list[AuditEntry]:
    """Put what an integration did into the account's log, all of it or nothing.

    The actor is the integration. Nothing here changes what anybody may do. Raises `Forbidden`, `Invalid` naming the
    place beneath `entries`, `RateLimited`, and `Conflict` for a replay.
    """
    reporter = require_reporter(caller)
    if not 1 <= len(deeds) <= MOST:
        raise Invalid("entries", f"must be 1 to {MOST}")
    checked = [_checked(deed, f"entries[{index}]", said.comment) for index, deed in enumerate(deeds)]
    caller.request.house.reports.take(reporter.id, len(checked))
    async with opened(caller, said) as (fresh, head):
        allowed = because(Action.RECORD_AUDIT_ENTRY, fresh.require(Action.RECORD_AUDIT_ENTRY, fresh.account))
        asked = [_asked(each, fresh.catalogue) for each in checked]
        subjects = await _subjects(fresh, checked)
        lines = [
            _line(fresh, each, what, subject, [allowed])
            for each, what, subject in zip(checked, asked, subjects, strict=True)
        ]
        lines[0] = replace(lines[0], idempotency_key=said.idempotency_key)
        return await append_all(fresh, head, lines)


def _checked(deed: Deed, field: str, comment: str | None) -> _Checked:
    at = now() if deed.at is None else typed.past(f"{field}.at", deed.at, slack_s=SKEW_S)
    own_comment = typed.comment(f"{field}.comment", deed.comment)
    typed.refuse_secret(f"{field}.resource", deed.resource)
    details = None if deed.details is None else _details(f"{field}.details", deed.details)
    return _Checked(deed, field, at, own_comment or comment, details)


def _details(field: str, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Invalid(field, "must be an object")
    _check_details(field, given, 1)
    try:
        size_bytes = len(canonical(given))
    except ValueError:  # the one thing left: half of a surrogate pair
        raise Invalid(field, "must be text that has a UTF-8 form") from None
    if size_bytes > DETAILS_BYTES:
        raise Invalid(field, f"must have at most {DETAILS_BYTES} bytes")
    return given


def _check_details(field: str, value: object, depth: int) -> None:
    """Refuse what the log cannot hold, and what it must not, naming the place."""
    if depth > DETAILS_DEPTH:
        raise Invalid(field, f"must not nest more than {DETAILS_DEPTH} deep")
    match value:
        case dict():
            for key, inner in value.items():
                typed.refuse_secret(field, key)
                _check_details(f"{field}.{key[:64]}", inner, depth + 1)
        case list():
            for index, inner in enumerate(value):
                _check_details(f"{field}[{index}]", inner, depth + 1)
        case str():
            typed.refuse_secret(field, value)
        case float():
            raise Invalid(field, "must not be a fraction: write it as text")
        case int() if abs(value) > LARGEST:
            raise Invalid(field, "must be a number below 2**53")


def _asked(checked: _Checked, catalogue: Catalogue) -> Asked:
    """Read the deed's words by the catalogue. What is Latchkey's own, only Latchkey records."""
    deed, field = checked.deed, checked.field
    asked = Asked.of(Question(deed.action, deed.resource), catalogue, f"{field}.")
    if any(catalogue.kinds[kind].own for kind in asked.resource.path):
        raise Invalid(f"{field}.action", "is Latchkey's own, which only Latchkey records")
    if len(str(asked.resource)) > RESOURCE_LENGTH:
        raise Invalid(f"{field}.resource", f"must have at most {RESOURCE_LENGTH} characters")
    return asked


async def _subjects(caller: Caller, deeds: Sequence[_Checked]) -> list[_Subject | None]:
    """Find the tokens on whose behalf the deeds were done.

    A proof names one that the caller was told of, whatever else it sees. To claim one takes seeing it: one that is
    hidden and one that is not there are refused alike, after the same statement.
    """
    named = [_named(caller, each) for each in deeds]
    ids = list({each.token_id for each in named if each})
    told = Token.filter(account_id=caller.account.id)  # of no session: those are not verified
    tokens = {
        verified: {token.id: token for token in await rows.filter(id__in=ids).select_related("owner")}
        for verified, rows in ((True, told), (False, readable(caller, Token)))
        if any(each and each.verified is verified for each in named)
    }
    return [_Subject(_found(tokens[each.verified], each), each.verified) if each else None for each in named]


@dataclass(frozen=True, slots=True)
class _Named:
    """The token that a deed names, where it does, and whether that is proven."""

    field: str
    token_id: UUID
    verified: bool


def _named(caller: Caller, checked: _Checked) -> _Named | None:
    behalf, field = checked.deed.on_behalf_of, f"{checked.field}.onBehalfOf"
    if behalf is None:
        return None
    if behalf.decision_id is not None:
        return _Named(f"{field}.decisionId", _proof(caller, checked, behalf.decision_id), verified=True)
    if behalf.token_id is None:
        raise Invalid(field, "must name a token or a decision id")
    return _Named(f"{field}.token", behalf.token_id, verified=False)


def _proof(caller: Caller, checked: _Checked, decision_id: str) -> UUID:
    """Read whose token a decision id is about. Raises `Invalid`, alike for one that is none and one that is too old."""
    assert caller.token is not None  # noqa: S101 - a reporter is one
    asked, keys = (checked.deed.action, checked.deed.resource), caller.request.house.keys
    oldest_ms = int((now() - PROOF_LIFETIME).timestamp() * 1000)
    with suppress(Malformed):
        receipt = Receipt.read(decision_id, caller.token.id.bytes, *asked, keys)
        if receipt.at_ms >= oldest_ms:
            return UUID(bytes=receipt.subject)
    field = f"{checked.field}.onBehalfOf.decisionId"
    raise Invalid(field, "is none that you were given within a day for this action and resource")


def _found(tokens: Mapping[UUID, Token], named: _Named) -> Token:
    token = tokens.get(named.token_id)
    if token is None:
        raise Invalid(named.field, "is no token that you can see")
    return token


def _line(
    caller: Caller, checked: _Checked, asked: Asked, subject: _Subject | None, allowed: list[dict[str, Any]]
) -> Line:
    resource = str(asked.resource)
    last = asked.resource.segments[-1]
    return Line(
        target_kind=last.kind,
        target_id=uuid5(caller.account.id, resource),
        target_resource=resource,
        target_name=last.name or last.kind,
        accesses=[{"action": asked.action, "resource": resource}],
        because=allowed,
        after=checked.details,
        comment=checked.comment,
        reported={"reported_at": checked.at, **(subject.columns if subject else {})},
    )
