"""The resource kinds that policies speak of, their actions, and how the kinds nest."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary


class Mark(StrEnum):
    """What an action does to the world; built-in roles are granted by it."""

    READ = "READ"
    WRITE = "WRITE"
    MANAGE = "MANAGE"


@dataclass(frozen=True, slots=True)
class KindAction:
    """One action of one kind. A `gate` must be allowed on a resource before anything beneath it is."""

    key: str
    mark: Mark
    description: str = ""
    gate: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource. `parents` are the kinds it may stand beneath, none for the top level."""

    key: str
    actions: tuple[KindAction, ...]
    parents: tuple[str, ...] = ()
    name: str = ""
    description: str = ""
    properties: tuple[str, ...] = ()
    taggable: bool = False
    singleton: bool = False
    """A singleton has no name in a specifier: `acct`."""
    own: bool = False
    """True for Latchkey's own kinds, which no integration may define or remove."""


@dataclass(frozen=True)
class Catalogue:
    """All kinds of one account: Latchkey's own and the integrations'."""

    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @classmethod
    def of(cls, kinds: Iterable[Kind]) -> "Catalogue":
        """Make a catalogue of kinds, keyed by their keys. One of Latchkey's own is replaced by none that came later."""
        keyed: dict[str, Kind] = {}
        for kind in kinds:
            if kind.own or not (kind.key in keyed and keyed[kind.key].own):
                keyed[kind.key] = kind
        return cls(keyed)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self.kinds.values())

    @cached_property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Every way from a top-level kind down to a kind, as keys: `("proj", "env", "flag")`."""

        def above(key: str, seen: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
            if key in seen or key not in self.kinds:
                return
            parents = self.kinds[key].parents
            if not parents:
                yield (key,)
            for parent in parents:
                for path in above(parent, (*seen, key)):
                    yield (*path, key)

        return tuple(path for key in self.kinds for path in above(key, ()))

    @cached_property
    def gates(self) -> Mapping[str, tuple[str, ...]]:
        """The gate actions of each kind that has any."""
        return {
            kind.key: gates for kind in self if (gates := tuple(action.key for action in kind.actions if action.gate))
        }

    @cached_property
    def proper(self) -> set[tuple[tuple[str, ...], tuple[bool, ...]]]:
        """The paths of kinds that were found to be as they should, and where on them a name is missing, if one is."""
        return set()

    @cached_property
    def askable(self) -> set[tuple[tuple[str, ...], str]]:
        """The paths of kinds, with an action, that were found to be as they should where every segment has a name."""
        return set()

    @cached_property
    def compiled(self) -> WeakValueDictionary[Hashable, Any]:
        """What was made ready by this catalogue, found by what it says, each for as long as somebody uses it."""
        return WeakValueDictionary()

    def mark(self, kind: str, action: str) -> Mark | None:
        """The mark of an action of a kind; None for what the catalogue does not know."""
        return self._marks.get((kind, action))

    @cached_property
    def _marks(self) -> Mapping[tuple[str, str], Mark]:
        return {(kind.key, action.key): action.mark for kind in self for action in kind.actions}
