"""The shape of a document, measured without a schema and before validation, each fragment walked once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

INTROSPECTION_FIELDS = frozenset({"__schema", "__type"})


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a document is, in the units of `Limits`."""

    depth: int
    aliases: int
    root_fields: int
    fragments: int
    repeats: int
    introspects: bool

    @classmethod
    def of(cls, document: DocumentNode) -> "Shape":
        """Measure a parsed document. Raises `RecursionError` for one nested deeper than the interpreter goes."""
        walk = _Walk(document)
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        depth = max((walk.depth(node.selection_set) for node in operations), default=0)
        for name in walk.fragments:
            walk.depth_of(name)
        return cls(
            depth,
            walk.aliases,
            max((len(walk.names(node.selection_set)) for node in operations), default=0),
            len(walk.fragments),
            walk.repeats,
            walk.introspects,
        )


class _Walk:
    """One pass over a document. A fragment is kept by name once walked; a cycle counts as nothing: it is invalid."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.aliases = 0
        self.repeats = 0
        self.introspects = False
        self._depths: dict[str, int] = {}
        self._names: dict[str, frozenset[str]] = {}

    def depth(self, selection_set: SelectionSetNode) -> int:
        """Walk a selection set: its depth in fields, counting all else on the way."""
        fields, spreads = _flat(selection_set)
        counts = Counter(_response_name(field) for field in fields)
        self.repeats = max(self.repeats, *counts.values(), *Counter(spreads).values(), 0)
        deepest = max(map(self.depth_of, spreads), default=0)
        for field in fields:
            self.aliases += field.alias is not None
            self.introspects |= field.name.value in INTROSPECTION_FIELDS
            deepest = max(deepest, 1 + (self.depth(field.selection_set) if field.selection_set else 0))
        return deepest

    def depth_of(self, name: str) -> int:
        """Walk a fragment, the first time only."""
        if name not in self._depths:
            self._depths[name] = 0
            fragment = self.fragments.get(name)
            self._depths[name] = self.depth(fragment.selection_set) if fragment else 0
        return self._depths[name]

    def names(self, selection_set: SelectionSetNode) -> frozenset[str]:
        """Find the distinct response names of a selection set, its fragments' included."""
        fields, spreads = _flat(selection_set)
        return frozenset(map(_response_name, fields)).union(*map(self._names_of, spreads))

    def _names_of(self, name: str) -> frozenset[str]:
        if name not in self._names:
            self._names[name] = frozenset()
            fragment = self.fragments.get(name)
            self._names[name] = self.names(fragment.selection_set) if fragment else frozenset()
        return self._names[name]


def _response_name(field: FieldNode) -> str:
    return (field.alias or field.name).value


def _flat(selection_set: SelectionSetNode) -> tuple[list[FieldNode], list[str]]:
    """Take inline fragments for what they merge into: the fields and the spreads of one selection set."""
    fields: list[FieldNode] = []
    spreads: list[str] = []
    for selection in _selections(selection_set):
        if isinstance(selection, FieldNode):
            fields.append(selection)
        else:
            spreads.append(selection.name.value)
    return fields, spreads


def _selections(selection_set: SelectionSetNode) -> Iterator[FieldNode | FragmentSpreadNode]:
    pending = [selection_set]
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif isinstance(selection, FieldNode | FragmentSpreadNode):
                yield selection
