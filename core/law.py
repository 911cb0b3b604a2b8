"""The law of access: a caller may do what every one of its sides allows, now. The least of all sides decides."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from core.policy import CompiledPolicy, Reason
from core.specifiers import Resource
from core.vocabulary import OWNER_ONLY

MAX_KNOWN = 512
"""Of how many actions on paths of kinds an authority remembers whether it allows all there."""


class SideKind(StrEnum):
    """Where a limit comes from."""

    SCOPE = "SCOPE"
    """What the token was made for."""
    OWNER = "OWNER"
    """What the member behind it may do now."""
    CEILING = "CEILING"
    """What whoever minted it could hand on, frozen at that moment."""


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy and where it is written: a role's key, or `inline`."""

    name: str
    policy: CompiledPolicy


@dataclass(frozen=True, slots=True)
class Side:
    """One limit. It allows if any of its policies does: roles add up, each decided alone."""

    kind: SideKind
    policies: tuple[NamedPolicy, ...]

    def allows(self, action: str, resource: Resource) -> bool:
        """Say whether any policy allows."""
        for named in self.policies:  # noqa: SIM110 - asked for every row, where `any` costs as much as the asking
            if named.policy.allows(action, resource):
                return True
        return False

    def opens(self, action: str, resource: Resource) -> bool:
        """Say whether any policy allows, gates aside."""
        return any(named.policy.opens(action, resource) for named in self.policies)


@dataclass(frozen=True, slots=True)
class SideReason:
    """One deciding statement, the role it stands in, and the side that role is on."""

    side: SideKind
    role: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all sides allow, and why.

    A yes gives every statement that allowed, on every side. A no gives the denies of the sides that refused, and
    `missing` names each of those, in their order; one that is missing without a reason was silent. With `guard` no side
    was asked: it is the account owner's alone.
    """

    allowed: bool
    because: tuple[SideReason, ...] = ()
    missing: tuple[SideKind, ...] = ()
    guard: bool = False

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Authority:
    """All that limits one caller. Every side must allow; without any, nothing is allowed.

    `owner_id` is the member who owns the account, `member_id` the member behind the caller, None for a service.
    """

    sides: tuple[Side, ...]
    owner_id: str | None
    member_id: str | None
    _all: dict[tuple[tuple[str, ...], str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Whether an action is allowed on whatever is on a path of kinds, the owner's own aside."""
    mark: object = field(default_factory=object, init=False, repr=False, compare=False)
    """Stands for it where what it decided is remembered, as comparing it would take longer than to decide."""

    def decide(self, action: str, resource: Resource) -> Verdict:
        """Decide, with the statements that decided."""
        if self._guards(action, resource):
            return Verdict(allowed=False, guard=True)
        weighed = [_weigh(side, action, resource) for side in self.sides]
        missing = tuple(side.kind for side, (allowed, _) in zip(self.sides, weighed, strict=True) if not allowed)
        allowed = bool(weighed) and not missing
        because = tuple(reason for passed, reasons in weighed if passed is allowed for reason in reasons)
        return Verdict(allowed, because, missing)

    def allows(self, action: str, resource: Resource) -> bool:
        """Say whether `decide` allows, without its reasons."""
        if not self.sides or self._guards(action, resource):
            return False
        if None not in resource.names and self._allows_all(action, resource.path):
            return True
        for side in self.sides:  # noqa: SIM110 - as above
            if not side.allows(action, resource):
                return False
        return True

    def _allows_all(self, action: str, path: tuple[str, ...]) -> bool:
        known = self._all.get((path, action))
        if known is None:
            known = all(any(named.policy.allows_all(action, path) for named in side.policies) for side in self.sides)
            if len(self._all) < MAX_KNOWN:
                self._all[path, action] = known
        return known

    def lacking(self, action: str, resource: Resource) -> tuple[tuple[str, Resource], ...]:
        """Say what some side that refuses does not allow: the action itself, and gates above, each looked at alone."""
        refusing = [side for side in self.sides if not side.allows(action, resource)]
        policies = [named.policy for side in refusing for named in side.policies]
        wanted = dict.fromkeys(
            [(action, resource), *(gate for policy in policies for gate in policy.gates_above(resource))]
        )
        lacking = [want for want in wanted if not all(side.opens(*want) for side in refusing)]
        return tuple(lacking) or ((action, resource),)

    def unknown(self, action: str, resource: Resource) -> tuple[str, ...]:
        """Say what a refusal did not know and might have been decided otherwise by: unstated, or without a value."""
        refusing = (side for side in self.sides if not side.allows(action, resource))
        policies = (named.policy for side in refusing for named in side.policies)
        return tuple(dict.fromkeys(what for policy in policies for what in policy.unknown(action, resource)))

    def _guards(self, action: str, resource: Resource) -> bool:
        """Say whether this is the owner's alone, whatever policies say: handing the account over, editing the owner."""
        if self.member_id is not None and self.member_id == self.owner_id:
            return False
        if (resource.path[-1], action) in OWNER_ONLY:
            return True
        first = resource.segments[0]
        # Every action that only reads a member, or what is beneath one, is called view…: kept by a test.
        return first.kind == "member" and first.name == self.owner_id and not action.startswith("view")


def _weigh(side: Side, action: str, resource: Resource) -> tuple[bool, tuple[SideReason, ...]]:
    """Say whether a side allows, with the reasons of those of its policies that say the same."""
    decisions = [(named.name, named.policy.decide(action, resource)) for named in side.policies]
    allowed = any(decision.allowed for _, decision in decisions)

    def reasons() -> Iterator[SideReason]:
        for name, decision in decisions:
            if decision.allowed is allowed:
                yield from (SideReason(side.kind, name, reason) for reason in decision.because)

    return allowed, tuple(reasons())
