"""The shape of a document, measured without a schema and before validation."""

from collections.abc import Iterable, Iterator
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


class CycleError(ValueError):
    """A fragment spreads itself, so that the document has no end."""

    def __init__(self, fragment: str) -> None:
        super().__init__(f"fragment `{fragment}` spreads itself")


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a document is, in the units of `Limits`."""

    depth: int
    root_fields: int
    fragments: int
    introspects: bool

    @classmethod
    def of(cls, document: DocumentNode) -> "Shape":
        """Measure a parsed document, walking each fragment once.

        Raises `CycleError`, and `RecursionError` for a document nested deeper than the interpreter goes.
        """
        walk = _Walk(document)
        depth = max((walk.depth(node.selection_set) for node in _operations(document)), default=0)
        for name in walk.fragments:
            walk.depth_of(name)
        return cls(
            depth,
            max((len(walk.names(node.selection_set)) for node in _operations(document)), default=0),
            len(walk.fragments),
            walk.introspects,
        )


def selections(document: DocumentNode, limit: int) -> int:
    """Count the fields once fragments are put in; see `Limits.selections`.

    Merges fields as execution does, and stops beyond the limit. The document has no cycles. Fragments that no operation
    spreads count too: they are a mistake, but validation reads them before it says so.
    """
    fragments = _fragments(document)
    unread = dict(fragments)
    count = 0
    pending = [[node.selection_set] for node in _operations(document)]
    while pending or unread:
        selection_sets = pending.pop() if pending else [unread.popitem()[1].selection_set]
        merged = _merged(selection_sets, fragments, unread)
        count += sum(len(fields) ** 2 for fields in merged.values())
        if count > limit:
            break
        within = ([field.selection_set for field in fields if field.selection_set] for fields in merged.values())
        pending.extend(selection_sets for selection_sets in within if selection_sets)
    return count


class _Walk:
    """One pass over a document. What a fragment comes to is kept by its name."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = _fragments(document)
        self.introspects = False
        self._open: set[str] = set()
        self._depths: dict[str, int] = {}
        self._names: dict[str, frozenset[str]] = {}

    def depth(self, selection_set: SelectionSetNode) -> int:
        """Walk a selection set: its depth in fields, counting all else on the way."""
        deepest = 0
        for selection in _flat(selection_set):
            if isinstance(selection, FragmentSpreadNode):
                deepest = max(deepest, self.depth_of(selection.name.value))
                continue
            self.introspects |= selection.name.value in INTROSPECTION_FIELDS
            deepest = max(deepest, 1 + (self.depth(selection.selection_set) if selection.selection_set else 0))
        return deepest

    def depth_of(self, name: str) -> int:
        """Walk a fragment, the first time only."""
        if name in self._open:
            raise CycleError(name)
        if name not in self._depths:
            self._open.add(name)
            fragment = self.fragments.get(name)
            self._depths[name] = self.depth(fragment.selection_set) if fragment else 0
            self._open.remove(name)
        return self._depths[name]

    def names(self, selection_set: SelectionSetNode) -> frozenset[str]:
        """Find the distinct response names of a selection set, its fragments' included."""
        found: set[str] = set()
        for selection in _flat(selection_set):
            if isinstance(selection, FragmentSpreadNode):
                found |= self._names_of(selection.name.value)
            else:
                found.add(_response_name(selection))
        return frozenset(found)

    def _names_of(self, name: str) -> frozenset[str]:
        if name not in self._names:
            fragment = self.fragments.get(name)
            self._names[name] = self.names(fragment.selection_set) if fragment else frozenset()
        return self._names[name]


def _merged(
    selection_sets: Iterable[SelectionSetNode],
    fragments: dict[str, FragmentDefinitionNode],
    unread: dict[str, FragmentDefinitionNode],
) -> dict[str, list[FieldNode]]:
    """Put the fields of several selection sets together by their response names, each fragment taken once.

    The fragments met are taken out of `unread`.
    """
    merged: dict[str, list[FieldNode]] = {}
    spread: set[str] = set()
    pending = list(selection_sets)
    while pending:
        for selection in _flat(pending.pop()):
            if isinstance(selection, FieldNode):
                merged.setdefault(_response_name(selection), []).append(selection)
            elif selection.name.value not in spread:
                spread.add(selection.name.value)
                unread.pop(selection.name.value, None)
                if fragment := fragments.get(selection.name.value):
                    pending.append(fragment.selection_set)
    return merged


def _flat(selection_set: SelectionSetNode) -> Iterator[FieldNode | FragmentSpreadNode]:
    """Take inline fragments for what they merge into: the fields and the spreads of one selection set."""
    pending = [selection_set]
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif isinstance(selection, FieldNode | FragmentSpreadNode):
                yield selection


def _response_name(field: FieldNode) -> str:
    return (field.alias or field.name).value


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
