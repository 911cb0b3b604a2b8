"""Whether some policies provably allow all that others do. Sound, not complete: what it cannot prove, it denies.

What the narrower policy allows is taken apart into *regions*. Each must lie within one allow of one wider policy, and
whatever that policy refuses inside the region must be refused by the narrower as well, or not be there at all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from math import prod
from typing import TypeAlias

from core.catalogue import Catalogue
from core.law import Side
from core.policy import CompiledPolicy, Effect, Statement
from core.shapes import Meet, Path, Shape, apart, empty, possibly, split, surely, whole, within
from core.specifiers import Specifier
from core.vocabulary import OWNER_ONLY

MAX_STEPS = 200_000
"""How many shapes are held against each other at most, about a second's work. A proof that needs more is none."""


WORDS_A_STEP = 4
"""How many words are read off a policy in the time of a step."""


@dataclass(slots=True)
class Allowance:
    """How much work is left for proofs, in steps. What needs more than is left is not proven."""

    steps: int = MAX_STEPS

    def takes(self, steps: int) -> bool:
        """Spend some, if they are left."""
        if steps > self.steps:
            self.steps = 0  # or many that are too large would each be measured for nothing
            return False
        self.steps -= steps
        return True


@dataclass(frozen=True, slots=True)
class Refused:
    """Resources that are refused: all that are possibly in a shape; with `outside`, all that are not surely in one."""

    shapes: tuple[Shape, ...]
    outside: bool = False

    def holds(self, meet: Meet) -> bool:
        """Prove that all of `meet` is refused."""
        if self.outside:
            return all(any(apart(mine, each) for each in meet) for mine in self.shapes)
        return any(within(meet, mine) for mine in self.shapes)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one statement allows: what is surely in a shape, except what its own words leave out."""

    shapes: tuple[Shape, ...]
    left_out: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a policy's statements say of one action on one path: allowed by any, unless refused by any."""

    allowed: tuple[Allowed, ...]
    refused: tuple[Refused, ...]


Readings: TypeAlias = tuple[Reading, ...]
"""Of an action and of every gate above it. A policy allows what all of its readings do."""


def covers(
    wider: Sequence[CompiledPolicy],
    narrower: Sequence[CompiledPolicy],
    catalogue: Catalogue,
    allowance: Allowance | None = None,
) -> bool:
    """Say whether `wider` provably allows whatever `narrower` does; each allows what any of its policies does.

    Whatever: each action of the catalogue on each resource of its kinds, whatever is stated of tags and properties.
    Left out is what is OWNER_ONLY: no policy grants it. A kind that the catalogue no longer knows may come back, so a
    policy with an allow that speaks of one is covered by the same policy only. Proofs that share an `allowance` are
    refused together when it is spent.
    """
    allowance = allowance or Allowance()
    others = [narrow for narrow in narrower if not any(_same(narrow, wide) for wide in wider)]
    if not all(_is_known(narrow, catalogue) for narrow in others):
        return False
    for narrow in others:
        if not allowance.takes(words((*wider, narrow)) * len(catalogue.paths) // WORDS_A_STEP):
            return False
        for question in _questions(wider, narrow, catalogue):
            if not allowance.takes(question.steps) or not question.is_yes():
                return False
    return True


def side_covers(wide: Side, narrow: Side, catalogue: Catalogue, allowance: Allowance | None = None) -> bool:
    """Say whether one side provably allows all that another does."""
    wider, narrower = ([named.policy for named in side.policies] for side in (wide, narrow))
    return covers(wider, narrower, catalogue, allowance)


def sides_cover(
    wider: Sequence[Side], narrower: Sequence[Side], catalogue: Catalogue, allowance: Allowance | None = None
) -> bool:
    """Say whether all that must allow in `narrower` is provably within all that must allow in `wider`."""
    return bool(wider) and all(
        any(side_covers(wide, narrow, catalogue, allowance) for narrow in narrower) for wide in wider
    )


def words(policies: Sequence[CompiledPolicy]) -> int:
    """Count what must be read on every path before anything is held against anything."""
    return sum(
        len(statement.resources or statement.not_resources or ()) for each in policies for statement in each.policy
    )


@dataclass(frozen=True, slots=True)
class Question:
    """Whether one of the wider policies allows what the narrower does, for one action on one path."""

    wider: tuple[Readings, ...]
    narrow: Readings

    @property
    def steps(self) -> int:
        """How much work the answer is, at most."""
        regions = prod(_size(reading.allowed) for reading in self.narrow)
        refused = 1 + sum(_size(reading.refused) for reading in self.narrow)
        wide = sum(_size(reading.allowed) + _size(reading.refused) for readings in self.wider for reading in readings)
        return regions * refused * (1 + wide)

    def is_yes(self) -> bool:
        """Prove it for every region: a choice of one shape that is allowed for each reading."""
        always = tuple(each for reading in self.narrow for each in reading.refused)
        choices = (
            [(shape, each.left_out) for each in reading.allowed for shape in each.shapes] for reading in self.narrow
        )
        return all(
            self._covers_region(tuple(shape for shape, _ in chosen), (*always, *chain(*(left for _, left in chosen))))
            for chosen in product(*choices)
        )

    def _covers_region(self, region: Meet, refused: tuple[Refused, ...]) -> bool:
        if empty(region) or any(each.holds(region) for each in refused):
            return True
        return any(all(_allows(reading, region, refused) for reading in readings) for readings in self.wider)


def _size(said: Sequence[Allowed | Refused]) -> int:
    return sum(len(each.shapes) for each in said)


def _allows(wide: Reading, region: Meet, refused: Sequence[Refused]) -> bool:
    """Prove that a wider reading allows all of a region but what is `refused` anyway."""
    return all(_is_harmless(each, region, refused) for each in wide.refused) and any(
        any(within(region, shape) for shape in each.shapes)
        and all(_is_harmless(left_out, region, refused) for left_out in each.left_out)
        for each in wide.allowed
    )


def _is_harmless(obstacle: Refused, region: Meet, refused: Sequence[Refused]) -> bool:
    """Prove that an obstacle takes nothing from a region but what is `refused` anyway."""
    if obstacle.outside:
        return any(within(region, shape) for shape in obstacle.shapes) or any(
            each.outside and _is_outside(each, obstacle, region) for each in refused
        )
    hits = ((shape, *region) for shape in obstacle.shapes)
    return all(empty(hit) or any(each.holds(hit) for each in refused) for hit in hits)


def _is_outside(refused: Refused, obstacle: Refused, region: Meet) -> bool:
    """Prove that in a region, what one leaves is within what the other leaves."""
    left = ((shape, *region) for shape in refused.shapes)
    return all(empty(meet) or any(within(meet, shape) for shape in obstacle.shapes) for meet in left)


def _same(one: CompiledPolicy, other: CompiledPolicy) -> bool:
    return one.policy == other.policy and one.attributes == other.attributes


def _is_known(policy: CompiledPolicy, catalogue: Catalogue) -> bool:
    allows = (statement for statement in policy.policy if statement.effect is Effect.ALLOW)
    specifiers = (specifier for statement in allows for specifier in statement.resources or ())
    return all(specifier.path in catalogue.paths for specifier in specifiers if specifier.segments)


def _questions(wider: Sequence[CompiledPolicy], narrow: CompiledPolicy, catalogue: Catalogue) -> Iterator[Question]:
    for path in catalogue.paths:
        wide_readers = [Reader(wide, path, catalogue) for wide in wider]
        reader = Reader(narrow, path, catalogue)
        actions = (action.key for action in catalogue.kinds[path[-1]].actions)
        # Many actions are spoken of by the same statements: their question is one.
        yield from dict.fromkeys(
            Question(tuple(each.read(action) for each in wide_readers), reader.read(action))
            for action in actions
            if (path[-1], action) not in OWNER_ONLY
        )


class Reader:
    """What one policy's statements say on one path, and of the gates above it."""

    def __init__(self, policy: CompiledPolicy, path: Path, catalogue: Catalogue) -> None:
        self._lines = tuple(_lines(policy, path, path, catalogue))
        self._gates = tuple(
            _reading(gate, tuple(_lines(policy, path[:length], path, catalogue)))
            for length in range(1, len(path))
            for gate in catalogue.gates.get(path[length - 1], ())
        )

    def read(self, action: str) -> Readings:
        """Read the policy for one action."""
        return (_reading(action, self._lines), *self._gates)


def _lines(
    policy: CompiledPolicy, above: Path, path: Path, catalogue: Catalogue
) -> Iterator[tuple[Statement, Allowed | Refused]]:
    """Read each statement on a path, or on one above it, as shapes of the whole path."""
    everything = whole(path, catalogue)
    for statement in policy.policy:
        specifiers = statement.resources or statement.not_resources or ()

        def shapes(
            read: Callable[..., Shape | None], specifiers: Sequence[Specifier] = specifiers
        ) -> tuple[Shape, ...]:
            found = (read(specifier, above, catalogue, policy.attributes) for specifier in specifiers)
            return tuple((*shape, *everything[len(above) :]) for shape in found if shape is not None)

        match statement.effect, bool(statement.resources):
            case Effect.ALLOW, True:
                yield statement, Allowed(tuple(chain.from_iterable(map(split, shapes(surely)))))
            case Effect.ALLOW, False:
                yield statement, Allowed((everything,), (Refused(shapes(possibly)),))
            case Effect.DENY, True:
                yield statement, Refused(shapes(possibly))
            case Effect.DENY, False:
                yield statement, Refused(shapes(surely), outside=True)


def _reading(action: str, lines: Sequence[tuple[Statement, Allowed | Refused]]) -> Reading:
    said = [each for statement, each in lines if statement.speaks_of(action)]
    return Reading(
        allowed=tuple(each for each in said if isinstance(each, Allowed) and each.shapes),
        refused=tuple(each for each in said if isinstance(each, Refused) and (each.shapes or each.outside)),
    )
