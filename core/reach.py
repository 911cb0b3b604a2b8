"""The resources that a statement names, indexed: finding one costs as many look-ups as there are shapes, not names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeAlias

from core.specifiers import (
    Attributes,
    Filter,
    Match,
    Resource,
    ResourceSegment,
    Segment,
    Specifier,
    glob_matches,
    turned,
)

Names: TypeAlias = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to ask of a resource when its kinds and the exact names agree. `best` caps the answer."""

    names: tuple[tuple[int, Callable[[str], bool]], ...]
    filters: tuple[tuple[int, Filter], ...]
    best: Match

    @classmethod
    def of(cls, segments: tuple[Segment, ...], attributes: Attributes) -> Self:
        """Take from each segment what no look-up answers."""
        loose = [(position, segment) for position, segment in enumerate(segments) if not _is_exact(segment)]
        unresolved = any(segment.attribute and not attributes.get(segment.attribute) for _, segment in loose)
        return cls(
            names=tuple((position, _name_test(segment, attributes)) for position, segment in loose),
            filters=tuple((position, each) for position, segment in enumerate(segments) for each in segment.filters),
            best=Match.MAYBE if unresolved else Match.SURE,
        )

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left to ask but that there are names."""
        return self.best is Match.SURE and not self.filters and all(fits is _always for _, fits in self.names)

    def match(self, segments: tuple[ResourceSegment, ...]) -> Match:
        """Say whether the other names and the filters match as well."""
        for position, fits in self.names:
            name = segments[position].name
            if name is None or not fits(name):
                return Match.NO
        return min([self.best, *[each.match(segments[position]) for position, each in self.filters]])


class Reach:
    """What a list of specifiers matches: a statement's `resources`, or with `inverted` its `notResources`."""

    __slots__ = ("_everything", "_inverted", "_shapes")

    def __init__(self, specifiers: Iterable[Specifier], attributes: Attributes, *, inverted: bool) -> None:
        self._inverted = inverted
        self._everything = False
        # kinds from the top down -> which positions have exact names -> those names -> what is left to ask
        self._shapes: dict[tuple[str, ...], dict[tuple[int, ...], dict[Names, list[Rest]]]] = {}
        for specifier in specifiers:
            if specifier.segments:
                self._add(specifier, attributes)
            else:
                self._everything = True

    def _add(self, specifier: Specifier, attributes: Attributes) -> None:
        segments = specifier.segments
        exact = tuple(position for position, segment in enumerate(segments) if _is_exact(segment))
        names = tuple(segments[position].name for position in exact)
        shape = self._shapes.setdefault(specifier.path, {}).setdefault(exact, {})
        shape.setdefault(names, []).append(Rest.of(segments, attributes))

    def concerns(self, path: tuple[str, ...]) -> bool:
        """Say whether any resource of these kinds may match at all."""
        return self._inverted or self._everything or path in self._shapes

    def holds_all(self, path: tuple[str, ...]) -> bool:
        """Say whether every resource of these kinds surely matches, if all its segments have names."""
        if self._inverted:
            return False  # it may well be, but nobody writes so
        by_names = self._shapes.get(path, {}).get((), {})
        return self._everything or any(rest.is_nothing for left in by_names.values() for rest in left)

    def match(self, resource: Resource) -> Match:
        """Say whether the resource matches."""
        found = self._match_any(resource)
        return turned(found) if self._inverted else found

    def _match_any(self, resource: Resource) -> Match:
        if self._everything:
            return Match.SURE
        found = Match.NO
        for exact, by_names in self._shapes.get(resource.path, {}).items():
            for rest in by_names.get(tuple([resource.names[position] for position in exact]), ()):
                found = max(found, rest.match(resource.segments))
                if found is Match.SURE:
                    return found
        return found


def _is_exact(segment: Segment) -> bool:
    return segment.attribute is None and not segment.is_glob


def _name_test(segment: Segment, attributes: Attributes) -> Callable[[str], bool]:
    if segment.attribute is not None:
        values = frozenset(attributes.get(segment.attribute, ()))
        return values.__contains__ if values else _always
    glob = segment.name or ""
    if glob == "*":
        return _always
    return partial(glob_matches, glob)


def _always(_name: str) -> bool:
    return True
