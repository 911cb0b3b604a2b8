"""What Latchkey answers, as values."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

Fields = Mapping[str, Any]


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
            id=fields["tokenId"],
            kind=fields["kind"],
            name=fields["name"],
            member=VerifiedMember(member["memberId"], member["name"]) if member else None,
            expires_at=_time(fields["expiresAt"]),
        )


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
    def read(cls, fields: Fields, asked: int, asked_at_s: float) -> Self:
        """Read the verification of a token and the answers to so many checks.

        `asked_at_s` is when the question was sent, on this process's `time.monotonic()`: counted from there, no wall
        clock, set wrong or put back, lets an answer live longer than the server says.
        """
        return cls(
            active=fields["active"] is True,
            token=VerifiedToken.of(fields["token"]) if fields["token"] else None,
            allowed=_allowed(fields, asked),
            decisions=_decisions(fields),
            cache_until=_time(fields["cacheUntil"]),
            fresh_until_s=asked_at_s + (fields["cacheForS"] or 0.0),
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
