"""Sets of resources on one path of kinds, by the names and filters of their segments, and what is within what.

Every test errs to one side: a yes is proven, a no only means that it is not. A shape is read in one of two ways.
*Surely*: the resources that match whatever is left unstated, as an allow reads. *Possibly*: all that could, as a deny.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import prod
from typing import TypeAlias

from core.catalogue import Catalogue, Kind
from core.specifiers import Attributes, Filter, Segment, Specifier, glob_matches

Path: TypeAlias = tuple[str, ...]

MAX_SPLIT = 256
"""Into how many shapes one is split at most, so that each has one name per segment."""


@dataclass(frozen=True, slots=True)
class Step:
    """One segment: any of the names, all of the filters. A name is exact or a glob, None for a singleton."""

    names: tuple[str | None, ...]
    filters: tuple[Filter, ...] = ()


Shape: TypeAlias = tuple[Step, ...]
Meet: TypeAlias = tuple[Shape, ...]
"""What is in each of some shapes of one path. At most one of them is read as possibly."""


def whole(path: Path, catalogue: Catalogue) -> Shape:
    """Give all resources on a path."""
    return tuple(Step((None if catalogue.kinds[kind].singleton else "*",)) for kind in path)


def surely(specifier: Specifier, path: Path, catalogue: Catalogue, attributes: Attributes) -> Shape | None:
    """Give the resources on a path that a specifier surely matches; None if there are none."""
    if not specifier.segments:
        return whole(path, catalogue)
    if specifier.path != path:
        return None
    shape = tuple(Step(_names(segment, attributes, ()), segment.filters) for segment in specifier.segments)
    known = all(_knows(catalogue.kinds[each.kind], each.filters) for each in specifier.segments)
    return shape if known and all(step.names for step in shape) else None


def possibly(specifier: Specifier, path: Path, catalogue: Catalogue, attributes: Attributes) -> Shape | None:
    """Give the resources on a path that a specifier could match; None if there are none."""
    if not specifier.segments:
        return whole(path, catalogue)
    if specifier.path != path:
        return None
    return tuple(
        Step(
            _names(segment, attributes, ("*",)),
            tuple(each for each in segment.filters if _knows(catalogue.kinds[segment.kind], (each,))),
        )
        for segment in specifier.segments
    )


def split(shape: Shape) -> Iterator[Shape]:
    """Give the same resources as shapes of one name per segment, unless those would be too many."""
    if prod(len(step.names) for step in shape) > MAX_SPLIT:
        yield shape
        return
    for names in product(*(step.names for step in shape)):
        yield tuple(replace(step, names=(name,)) for step, name in zip(shape, names, strict=True))


def within(meet: Meet, shape: Shape) -> bool:
    """Prove that what is in all of `meet` is in `shape`. If any of `meet` is read as possibly, so is `shape`."""
    return all(_step_within([each[at] for each in meet], step) for at, step in enumerate(shape))


def apart(one: Shape, other: Shape) -> bool:
    """Prove that no resource is in both. At least one is read as surely."""
    return any(_steps_apart(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def empty(meet: Meet) -> bool:
    """Prove that no resource is in all of `meet`."""
    return any(apart(one, other) for one, other in combinations(meet, 2))


def _names(segment: Segment, attributes: Attributes, unresolved: tuple[str, ...]) -> tuple[str | None, ...]:
    if segment.attribute is None:
        return (segment.name,)
    values = attributes.get(segment.attribute)
    # A value is a literal name: with a star in it, it is the name of nothing.
    return tuple(value for value in values if "*" not in value) if values else unresolved


def _knows(kind: Kind, filters: Iterable[Filter]) -> bool:
    return all(kind.taggable if each.property is None else each.property in kind.properties for each in filters)


def _step_within(meet: Sequence[Step], step: Step) -> bool:
    return any(_names_within(each.names, step.names) for each in meet) and all(
        any(_implies(given, wanted) for each in meet for given in each.filters) for wanted in step.filters
    )


def _names_within(narrow: Sequence[str | None], wide: Sequence[str | None]) -> bool:
    return all(any(_name_within(mine, theirs) for theirs in wide) for mine in narrow)


def _name_within(narrow: str | None, wide: str | None) -> bool:
    if narrow is None or wide is None:
        return narrow is wide
    return _glob_within(narrow, wide)


def _implies(given: Filter, wanted: Filter) -> bool:
    if given.property is None and wanted.property is None:
        return _glob_within(given.value, wanted.value)
    return given == wanted


def _glob_within(narrow: str, wide: str) -> bool:
    # Read as text, a `*` is a character that no name has: what matches it is a `*` as well, and would match anything.
    return glob_matches(wide, narrow)


def _steps_apart(one: Step, other: Step) -> bool:
    if not any(_names_meet(mine, theirs) for mine in one.names for theirs in other.names):
        return True
    return any(
        mine.property is not None and mine.property == theirs.property and mine.value != theirs.value
        for mine in one.filters
        for theirs in other.filters
    )


def _names_meet(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    if "*" not in one or "*" not in other:
        return glob_matches(one, other) if "*" in one else glob_matches(other, one)
    # Between the longer beginning and the longer end there is room for all that either has in its middle.
    (first, *_, last), (their_first, *_, their_last) = one.split("*"), other.split("*")
    begins = first.startswith(their_first) or their_first.startswith(first)
    return begins and (last.endswith(their_last) or their_last.endswith(last))
