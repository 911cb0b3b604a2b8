"""What is provably allowed on every resource of a kind, whatever its name, its tags and its properties are.

As in `core.covers`: a yes is proven for every side, with the gates above; what is not proven is left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from core.catalogue import Catalogue
from core.covers import WORDS_A_STEP, Allowance, Allowed, Question, Reader, Reading, words
from core.law import Side
from core.policy import CompiledPolicy, Statement
from core.shapes import Path, whole

Word: TypeAlias = tuple[str, str]
"""A kind and one of its actions."""


def allowed_everywhere(sides: Sequence[Side], catalogue: Catalogue, allowance: Allowance) -> Iterator[Word]:
    """Give the actions of the integrations' kinds that all sides allow on every resource of the kind.

    Latchkey's own kinds are left out, and so is all that the allowance does not suffice to prove.
    """
    policies = [named.policy for side in sides for named in side.policies]
    if not sides or not allowance.takes(words(policies) // WORDS_A_STEP):
        return
    indexed = [[_Indexed(named.policy) for named in side.policies] for side in sides]
    for kind in catalogue:
        places = [_Place(path, indexed, catalogue, allowance) for path in catalogue.paths if path[-1] == kind.key]
        if kind.own or not places:
            continue
        for action in kind.actions:
            if all(place.allows(action.key) for place in places):
                yield kind.key, action.key


class _Indexed:
    """A policy of which the statements that concern a path of kinds are found without reading them all."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self._policy = policy
        self._by_path: dict[Path, set[int]] = defaultdict(set)
        for index, statement in enumerate(policy.policy):
            for specifier in statement.resources or ():
                self._by_path[specifier.path].add(index)
            if statement.not_resources:
                self._by_path[()].add(index)

    def on(self, path: Path) -> tuple[Statement, ...]:
        """Give the statements that have a say about a path, or about one above it."""
        lengths = range(len(path) + 1)
        found: set[int] = set().union(*(self._by_path.get(path[:length], ()) for length in lengths))
        return tuple(self._policy.policy[index] for index in sorted(found))

    def read(self, path: Path, catalogue: Catalogue, allowance: Allowance) -> Reader | None:
        """Read what it says on a path; None if the allowance does not suffice."""
        concerned = CompiledPolicy(self.on(path), catalogue, self._policy.attributes)
        deeds = sum(len(statement.actions or statement.not_actions or ()) for statement in concerned.policy)
        cost = words([concerned]) * (1 + len(path)) + deeds * len(catalogue.kinds[path[-1]].actions) // WORDS_A_STEP
        return Reader(concerned, path, catalogue) if allowance.takes(cost) else None


@dataclass(frozen=True, slots=True)
class _Place:
    """All resources on one path of kinds."""

    path: Path
    sides: Sequence[Sequence[_Indexed]]
    catalogue: Catalogue
    allowance: Allowance
    _readers: dict[int, list[Reader]] = field(default_factory=dict)

    def allows(self, action: str) -> bool:
        """Prove that every side allows an action on all of them."""
        return all(self._side_allows(index, action) for index in range(len(self.sides)))

    def _side_allows(self, side: int, action: str) -> bool:
        everything = Reading((Allowed((whole(self.path, self.catalogue),)),), ())
        question = Question(tuple(reader.read(action) for reader in self._read(side)), (everything,))
        return self.allowance.takes(question.steps) and question.is_yes()

    def _read(self, side: int) -> list[Reader]:
        """Read what a side's policies say; one that the allowance does not suffice for says nothing."""
        if side not in self._readers:
            read = (policy.read(self.path, self.catalogue, self.allowance) for policy in self.sides[side])
            self._readers[side] = [reader for reader in read if reader]
        return self._readers[side]
