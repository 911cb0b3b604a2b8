"""GraphQL documents: parsed, measured, validated and costed once, and kept by their text."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from core.errors import TooComplex
from web.costs import Costs
from web.errors import RequestError
from web.limits import Limits
from web.shapes import CycleError, Shape, selections_fit

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
"""What a document must obey: the specification, and what Strawberry adds to it."""
MAX_VALIDATION_ERRORS = 10
MAX_TOLD_COST = 1 << 31
"""Fragments multiply costs to numbers that no JSON holds; beyond this one, all are told alike."""
TOKEN_BYTES = 300
"""What one token weighs once it is a part of a syntax tree; measured."""
KEPT_DOCUMENTS = 1000
KEPT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document within its limits."""

    tree: DocumentNode
    introspects: bool
    size_bytes: int
    _operations: Mapping[str | None, OperationDefinitionNode]
    _costs: Costs

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """Choose the operation to run. Raises `RequestError` when the name does not tell which."""
        if name is None and len(self._operations) == 1:
            return next(iter(self._operations.values()))
        if found := self._operations.get(name):
            return found
        problem = f"unknown operation `{name}`" if name is not None else "the document has several: name one"
        raise RequestError.of(problem, "OPERATION_RESOLUTION_FAILURE")

    def afford(self, operation: OperationDefinitionNode, variables: Mapping[str, Any], limit: int) -> None:
        """Raise `RequestError` if the operation may cost more than the limit with these coerced variables."""
        cost = self._costs.evaluate(operation.name.value if operation.name else None, variables)
        if cost > limit:
            raise RequestError.because(TooComplex(min(cost, MAX_TOLD_COST), limit))


class Documents:
    """The documents of one schema. Those used longest ago make room, by count and by bytes."""

    def __init__(
        self, schema: GraphQLSchema, limits: Limits, *, count: int = KEPT_DOCUMENTS, size_bytes: int = KEPT_BYTES
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._max_count = count
        self._max_bytes = size_bytes
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._kept_bytes = 0

    def read(self, text: str, *, hints: bool) -> Document:
        """Make a document of its text, or find it made. `hints` lets errors suggest names of the schema."""
        document = self._kept.get(text)
        if document is None:
            document = self._made(text, hints=hints)
            self._keep(text, document)
        else:
            self._kept.move_to_end(text)
        return document

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, text: str, document: Document) -> None:
        self._kept[text] = document
        self._kept_bytes += document.size_bytes
        while self._kept and (len(self._kept) > self._max_count or self._kept_bytes > self._max_bytes):
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.size_bytes

    def _made(self, text: str, *, hints: bool) -> Document:
        try:
            tree = self._parsed(text)
            shape = Shape.of(tree)
            self._fit(shape, tree)
            self._obey(tree, hints=hints)
            costs = Costs.of(self._schema, tree)
        except CycleError as error:
            raise RequestError.of(str(error), "GRAPHQL_VALIDATION_FAILED") from None
        except RecursionError:
            raise _over("nests deeper than can be read", self._limits.depth) from None
        operations = {
            node.name.value if node.name else None: node
            for node in tree.definitions
            if isinstance(node, OperationDefinitionNode)
        }
        size_bytes = 4 * len(text) + TOKEN_BYTES * (tree.token_count or 0)
        return Document(tree, shape.introspects, size_bytes, operations, costs)

    def _parsed(self, text: str) -> DocumentNode:
        if len(text) > self._limits.text_length:
            raise _over(f"has {len(text)} characters", self._limits.text_length)
        limit = self._limits.tokens
        try:
            return parse(text, max_tokens=limit)
        except GraphQLSyntaxError as error:
            if error.message == f"Syntax Error: Document contains more than {limit} tokens. Parsing aborted.":
                raise _over(f"has more than {limit} tokens", limit) from None
            raise RequestError.labelled([error], "GRAPHQL_PARSE_FAILED") from None

    def _fit(self, shape: Shape, tree: DocumentNode) -> None:
        for number, limit, problem in (
            (shape.fragments, self._limits.fragments, "defines {} fragments"),
            (shape.depth, self._limits.depth, "is {} fields deep"),
            (shape.aliases, self._limits.aliases, "has {} aliases"),
            (shape.root_fields, self._limits.root_fields, "asks for {} root fields"),
        ):
            if number > limit:
                raise _over(problem.format(number), limit)
        if not selections_fit(tree, self._limits.selections):
            raise _over("asks for too many fields once its fragments are put in", self._limits.selections)

    def _obey(self, tree: DocumentNode, *, hints: bool) -> None:
        errors = validate(self._schema, tree, RULES, MAX_VALIDATION_ERRORS, hide_suggestions=not hints)
        if errors:
            raise RequestError.labelled(errors, "GRAPHQL_VALIDATION_FAILED")


def _over(problem: str, limit: int) -> RequestError:
    return RequestError.of(f"the document {problem}, the limit is {limit}", "QUERY_TOO_COMPLEX", limit=limit)
