"""What Latchkey answers, as values."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

Fields = Mapping[str, Any]

_DATE_BEHIND_S = 2.0
"""How far a server's `Date` may lag behind its clock: whole seconds, and written once a second."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one check, with its reasons."""

    action: str
    resource: str
    allowed: bool
    lacking: tuple[tuple[str, str], ...]
    """What would have to be allowed for a yes: pairs of action and resource."""
    problem: str | None
    """Why it could not be asked at all; then it is a no."""
    decision_id: str | None
    """Proves a yes of `verify` in `record`, for a day."""

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """Read it from a response."""
        return cls(
            action=fields["action"],
            resource=fields["resource"],
            allowed=fields["allowed"] is True,
            lacking=tuple((lack["action"], lack["resource"]) for lack in fields["lacking"]),
            problem=fields["problem"],
            decision_id=fields["decisionId"],
        )

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers to checks, in their order. True if all are allowed."""

    allowed: tuple[bool, ...]
    decisions: tuple[Decision, ...] | None
    """Each with its reasons, if they were asked for."""

    @classmethod
    def of(cls, fields: Fields, asked: int) -> Self:
        """Read the answers to so many checks."""
        return cls(allowed=_allowed(fields, asked), decisions=_decisions(fields))

    def __bool__(self) -> bool:
        return all(self.allowed)


@dataclass(frozen=True, slots=True)
class VerifiedMember:
    """The member who owns a token."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """The token that a secret opens."""

    id: str
    kind: str
    """`PERSONAL`, `SERVICE` or `ACCOUNT`."""
    name: str
    member: VerifiedMember | None
    expires_at: datetime | None

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """Read it from a response."""
        member = fields["member"]
        return cls(
            id=fields["id"],
            kind=fields["kind"],
            name=fields["name"],
            member=VerifiedMember(member["id"], member["name"]) if member else None,
            expires_at=_time(fields["expiresAt"]),
        )


@dataclass(frozen=True, slots=True)
class Clock:
    """How time runs there and here, as far as an answer can be kept."""

    asked_at_s: float
    """When the question was sent, on this process's `time.monotonic()`."""
    server_time: datetime | None
    """The `Date` of the response."""
    lifetime_s: int
    """How long the account lets verdicts live."""

    def fresh_until_s(self, until: datetime | None, expires_at: datetime | None) -> float:
        """Say until when an answer may be kept, on this process's `time.monotonic()`; rather too early than too late.

        It is counted from before the question was sent, so no wall clock here, set wrong or put back, lengthens it.
        """
        if until is None or self.server_time is None:
            return self.asked_at_s
        left_s = (until - self.server_time).total_seconds()
        if expires_at is not None and expires_at <= until:
            left_s -= _DATE_BEHIND_S
        return self.asked_at_s + max(0.0, min(left_s, self.lifetime_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Answers):
    """What a secret opens, and what that may do. True if it is a living token that may do all that was asked."""

    active: bool
    token: VerifiedToken | None
    cache_until: datetime | None
    """Until when the server lets you go by this, on the server's clock; None: ask every time."""
    fresh_until_s: float
    """The same on this process's `time.monotonic()`."""

    @classmethod
    def read(cls, fields: Fields, asked: int, clock: Clock) -> Self:
        """Read the verification of a token and the answers to so many checks."""
        token = VerifiedToken.of(fields["token"]) if fields["token"] else None
        cache_until = _time(fields["cacheUntil"])
        return cls(
            active=fields["active"] is True,
            token=token,
            allowed=_allowed(fields, asked),
            decisions=_decisions(fields),
            cache_until=cache_until,
            fresh_until_s=clock.fresh_until_s(cache_until, token.expires_at if token else None),
        )

    @property
    def fresh(self) -> bool:
        """Whether the server still lets you go by this without asking again."""
        return time.monotonic() < self.fresh_until_s

    def __bool__(self) -> bool:
        return self.active and all(self.allowed)


def _allowed(fields: Fields, asked: int) -> tuple[bool, ...]:
    answers = tuple(answer is True for answer in fields["allowed"])
    if len(answers) != asked:
        raise ValueError(f"{len(answers)} answers to {asked} checks")
    return answers


def _decisions(fields: Fields) -> tuple[Decision, ...] | None:
    decisions = fields.get("decisions")
    return None if decisions is None else tuple(Decision.of(decision) for decision in decisions)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
