"""What would have to change for a refusal to become a yes."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from core.catalogue import Catalogue
from core.law import Authority, NamedPolicy, Side, SideKind
from core.policy import Effect
from core.specifiers import Match, Resource


class RemedyKind(StrEnum):
    """What is to be done."""

    ADD_ALLOW = "ADD_ALLOW"
    REMOVE_DENY = "REMOVE_DENY"
    OPEN_GATE = "OPEN_GATE"
    STATE_UNKNOWN = "STATE_UNKNOWN"
    CHANGE_ROLE = "CHANGE_ROLE"
    CHANGE_SCOPE = "CHANGE_SCOPE"
    MAKE_ANOTHER_TOKEN = "MAKE_ANOTHER_TOKEN"  # noqa: S105 - a word, not a password
    REVIVE = "REVIVE"
    OWNER_ONLY = "OWNER_ONLY"


_SENTENCES = {
    RemedyKind.ADD_ALLOW: "Add a statement to {role} that allows `{action}` on `{resource}`.",
    RemedyKind.REMOVE_DENY: "Remove or narrow statement {index} of {role}, which denies `{action}` on `{resource}`.",
    RemedyKind.OPEN_GATE: "Add a statement to {role} that allows `{action}` on `{resource}`: without it nothing "
    "beneath is allowed.",
    RemedyKind.STATE_UNKNOWN: "State {unknown}, on which {role} depends: it may be a yes then.",
    RemedyKind.CHANGE_ROLE: "Give the member a role that allows `{action}` on `{resource}`; built-in roles are fixed.",
    RemedyKind.CHANGE_SCOPE: "Give the token a scope that allows `{action}` on `{resource}`.",
    RemedyKind.MAKE_ANOTHER_TOKEN: "Make another token: what bounds this one is fixed for good.",
    RemedyKind.REVIVE: "Let the member in again: who is not active may do nothing, and neither may their tokens.",
    RemedyKind.OWNER_ONLY: "Leave it to the account's owner, whose alone it is, whatever policies say.",
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to change. `role` names the policy and `index` the statement in it, where it is about one."""

    kind: RemedyKind
    action: str
    resource: str
    """In the form of a specifier: what was asked for, or what is above it, without what was stated about it."""
    side: SideKind | None = None
    role: str | None = None
    index: int | None = None
    unknown: str | None = None
    """What is not known, in words."""

    def sentence(self, *, names_role: bool = True) -> str:
        """Say it for people, with or without the role's name."""
        role = f"`{self.role}`" if self.role and names_role else "a role that you may not see"
        words = {"action": self.action, "resource": self.resource, "index": self.index, "unknown": self.unknown}
        return _SENTENCES[self.kind].format(role=role, **words)


@dataclass(frozen=True, slots=True)
class Remedies:
    """Finds what would turn a refusal into a yes.

    Every side that refuses has to be mended. On a side one policy is enough, by all that is listed for it together, but
    for what is unknown, which may be enough by itself. What is `fixed` cannot be edited: policies of these names, and
    with `scope_is_fixed` the token's scope.
    """

    catalogue: Catalogue
    fixed: AbstractSet[str] = frozenset()
    scope_is_fixed: bool = False

    def find(self, authority: Authority, action: str, resource: Resource) -> list[Remedy]:
        """Find all of them, side by side; none on a yes."""
        known = resource.known_to(self.catalogue)
        verdict = authority.decide(action, known)
        if verdict:
            return []
        if verdict.guard:
            return [Remedy(RemedyKind.OWNER_ONLY, action, str(known))]
        refusing = (side for side in authority.sides if not side.allows(action, known))
        return list(dict.fromkeys(chain.from_iterable(self._side(side, action, known) for side in refusing)))

    def _side(self, side: Side, action: str, resource: Resource) -> Iterator[Remedy]:
        editable = [] if side.kind is SideKind.CEILING else [each for each in side.policies if self._is_editable(each)]
        for named in editable:
            yield from self._policy(side.kind, named, action, resource)
        if not editable:
            yield Remedy(self._replacing(side.kind), action, str(resource), side.kind)
        for named in side.policies:
            for unknown in dict.fromkeys(named.policy.unknown(action, resource)):
                yield Remedy(RemedyKind.STATE_UNKNOWN, action, str(resource), side.kind, named.name, unknown=unknown)

    def _is_editable(self, named: NamedPolicy) -> bool:
        return named.name not in self.fixed

    def _replacing(self, side: SideKind) -> RemedyKind:
        if side is SideKind.OWNER:
            return RemedyKind.CHANGE_ROLE
        if side is SideKind.CEILING or self.scope_is_fixed:
            return RemedyKind.MAKE_ANOTHER_TOKEN
        return RemedyKind.CHANGE_SCOPE

    def _policy(self, side: SideKind, named: NamedPolicy, action: str, resource: Resource) -> Iterator[Remedy]:
        yield from _mended(RemedyKind.ADD_ALLOW, side, named, action, resource)
        for ancestor in resource.ancestors:
            for gate in self.catalogue.gates.get(ancestor.path[-1], ()):
                yield from _mended(RemedyKind.OPEN_GATE, side, named, gate, ancestor)


def _mended(kind: RemedyKind, side: SideKind, named: NamedPolicy, action: str, resource: Resource) -> Iterator[Remedy]:
    """Find what makes one policy allow one action: no deny that could match, and an allow that surely does."""
    text, allowed = str(resource), False
    for index, line in enumerate(named.policy.policy):
        match = line.match(action, resource, named.policy.attributes)
        if line.effect is Effect.DENY and match is not Match.NO:
            yield Remedy(RemedyKind.REMOVE_DENY, action, text, side, named.name, index)
        allowed = allowed or (line.effect is Effect.ALLOW and match is Match.SURE)
    if not allowed:
        yield Remedy(kind, action, text, side, named.name)
