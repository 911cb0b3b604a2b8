"""GraphQL documents: parsed, measured, validated and costed once, and kept by their text."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    ObjectFieldNode,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from schema.plans import Plan, Shared
from schema.variables import Variables
from web.costs import Costs
from web.errors import RequestError
from web.limits import Limits
from web.shapes import CycleError, Shape, selections
from web.words import Words


class NullRule(MaybeNullValidationRule):
    """Strawberry's rule that what may be left out is not null, told without Python's words for it."""

    def report_error(self, error: GraphQLError) -> None:
        """Report it."""
        node = error.nodes[0] if error.nodes else None
        name = node.name.value if isinstance(node, ArgumentNode | ObjectFieldNode) else "it"
        super().report_error(GraphQLError(f"`{name}` may be left out, but must not be null", error.nodes))


RULES = (*specified_rules, NullRule, OneOfInputValidationRule)
"""What a document must obey: the specification, and what Strawberry adds to it."""
MAX_VALIDATION_ERRORS = 10
TOKEN_BYTES = 300
"""What one token weighs once it is a part of a syntax tree; measured."""
SELECTION_BYTES = 800
"""What one field weighs in a plan; measured."""
KEPT_DOCUMENTS = 1000
KEPT_BYTES = 64 << 20
DROPPED_DOCUMENTS = 10_000
"""How many texts are known to have been asked once, after they were dropped."""


class Operation:
    """An operation of a document, with what can be worked out about it before it is run."""

    __slots__ = ("_cost", "_costs", "name", "plan", "type", "variables")

    def __init__(self, schema: GraphQLSchema, shared: Shared, node: OperationDefinitionNode, costs: Costs) -> None:
        self.type = node.operation
        self.plan = Plan(schema, shared, node)
        self.variables = Variables(schema, node.variable_definitions or ())
        self.name = node.name.value if node.name else None
        self._costs = costs
        self._cost = None if node.variable_definitions else costs.evaluate(self.name, {})

    def cost(self, variables: Mapping[str, Any]) -> int:
        """Say what it may cost with these coerced variables: at least one, for the work that any operation is."""
        cost = self._costs.evaluate(self.name, variables) if self._cost is None else self._cost
        return cost or 1


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document within its limits."""

    introspects: bool
    size_bytes: int
    _operations: Mapping[str | None, Operation]

    def operation(self, name: str | None) -> Operation:
        """Choose the operation to run. Raises `RequestError` when the name does not tell which."""
        if name is None and len(self._operations) == 1:
            return next(iter(self._operations.values()))
        if found := self._operations.get(name):
            return found
        problem = f"unknown operation `{name}`" if name is not None else "the document has several: name one"
        raise RequestError.of(problem, "OPERATION_RESOLUTION_FAILURE")


class Kept:
    """Documents by their text, so many and so large in all. Those used longest ago make room."""

    def __init__(self, count: int, size_bytes: int) -> None:
        self._max_count = count
        self._max_bytes = size_bytes
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._bytes = 0

    def get(self, text: str) -> Document | None:
        """Find a document, which is now the one used last."""
        found = self._documents.get(text)
        if found is not None:
            self._documents.move_to_end(text)
        return found

    def pop(self, text: str) -> Document | None:
        """Take a document out."""
        found = self._documents.pop(text, None)
        if found is not None:
            self._bytes -= found.size_bytes
        return found

    def keep(self, text: str, document: Document) -> list[str]:
        """Put a document in; gives the texts of those that had to go: itself, if it is too large alone."""
        if document.size_bytes > self._max_bytes:
            return [text]
        self._documents[text] = document
        self._bytes += document.size_bytes
        dropped = []
        while len(self._documents) > self._max_count or self._bytes > self._max_bytes:
            oldest = next(iter(self._documents))
            self.pop(oldest)
            dropped.append(oldest)
        return dropped

    def __len__(self) -> int:
        return len(self._documents)


class Documents:
    """The documents of one schema, by their text. Those used longest ago make room, by count and by bytes.

    What was asked once is kept apart from what was asked again, so that a flood of texts that never come again drops
    only its own.
    """

    def __init__(
        self, schema: GraphQLSchema, limits: Limits, *, count: int = KEPT_DOCUMENTS, size_bytes: int = KEPT_BYTES
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._once = Kept(count // 4, size_bytes // 4)
        self._again = Kept(count - count // 4, size_bytes - size_bytes // 4)
        self._learnt: dict[str, Document] = {}
        """What is kept whatever comes: our own, and those that an operator trusts."""
        self._dropped: OrderedDict[int, None] = OrderedDict()
        """Hashes of texts that were asked once and dropped: the next time is asking again."""

    def learn(self, text: str) -> None:
        """Make a document ahead of its use. Raises `RequestError`."""
        if text not in self._learnt:
            self._learnt[text] = self.made(text, hints=True)

    def has_learnt(self, text: str) -> bool:
        """Say whether a document was made ahead of its use."""
        return text in self._learnt

    def known(self, text: str) -> Document | None:
        """Find a document that was asked for again, or made ahead of its use."""
        return self._learnt.get(text) or self._again.get(text)

    def found(self, text: str) -> Document | None:
        """Find a document that was asked for before, which is to ask for it again."""
        document = self.known(text)
        if document is None and (document := self._once.pop(text)) is not None:
            self._again.keep(text, document)
        return document

    def keep(self, text: str, document: Document) -> Document:
        """Keep a document that was made, unless another was while it was; gives the one that is kept."""
        if (other := self.found(text)) is not None:
            return other
        if hash(text) in self._dropped:
            self._again.keep(text, document)
        else:
            self._drop(self._once.keep(text, document))
        return document

    def __len__(self) -> int:
        return len(self._learnt) + len(self._once) + len(self._again)

    def _drop(self, texts: Sequence[str]) -> None:
        self._dropped.update((hash(text), None) for text in texts)
        while len(self._dropped) > DROPPED_DOCUMENTS:
            self._dropped.popitem(last=False)

    def made(self, text: str, *, hints: bool) -> Document:
        """Make a document, in whatever thread. Raises `RequestError`, which suggests names if `hints`."""
        try:
            tree = self._parsed(text)
            shape = Shape.of(tree)
            count = self._fit(shape, tree)
            self._obey(tree, hints=hints)
            costs, shared = Costs.of(self._schema, tree), Shared(tree)
            operations = {
                node.name.value if node.name else None: Operation(self._schema, shared, node, costs)
                for node in tree.definitions
                if isinstance(node, OperationDefinitionNode)
            }
        except CycleError as error:
            raise RequestError.of(str(error), "GRAPHQL_VALIDATION_FAILED") from None
        except RecursionError:
            raise _over("nests deeper than can be read", self._limits.depth) from None
        shapes = max((operation.plan.shapes for operation in operations.values()), default=1)
        size_bytes = 4 * len(text) + TOKEN_BYTES * (tree.token_count or 0) + SELECTION_BYTES * count * shapes
        return Document(shape.introspects, size_bytes, operations)

    def _parsed(self, text: str) -> DocumentNode:
        if len(text) > self._limits.text_length:
            raise _over(f"has {len(text)} characters", self._limits.text_length)
        limit = self._limits.tokens
        words = Words.of(text, limit)
        if words.count > limit:
            raise _over(f"has more than {limit} tokens", limit)
        for number, most, what in (
            (words.aliases, self._limits.aliases, "aliases"),
            (words.directives, self._limits.directives, "directives"),
        ):
            if number > most:
                raise _over(f"has {number} {what}", most)
        if words.repeats**2 > self._limits.selections:
            raise self._many_fields()
        try:
            return _unlinked(parse(text, max_tokens=limit))
        except GraphQLSyntaxError as error:
            if error.message == f"Syntax Error: Document contains more than {limit} tokens. Parsing aborted.":
                raise _over(f"has more than {limit} tokens", limit) from None
            raise RequestError.labelled([error], "GRAPHQL_PARSE_FAILED") from None

    def _fit(self, shape: Shape, tree: DocumentNode) -> int:
        for number, limit, problem in (
            (shape.fragments, self._limits.fragments, "defines {} fragments"),
            (shape.depth, self._limits.depth, "is {} fields deep"),
            (shape.root_fields, self._limits.root_fields, "asks for {} root fields"),
        ):
            if number > limit:
                raise _over(problem.format(number), limit)
        count = selections(tree, self._limits.selections)
        if count > self._limits.selections:
            raise self._many_fields()
        return count

    def _many_fields(self) -> RequestError:
        return _over("asks for too many fields once its fragments are put in", self._limits.selections)

    def _obey(self, tree: DocumentNode, *, hints: bool) -> None:
        errors = validate(self._schema, tree, RULES, MAX_VALIDATION_ERRORS, hide_suggestions=not hints)
        if errors:
            raise RequestError.labelled(errors, "GRAPHQL_VALIDATION_FAILED")


def _unlinked(tree: DocumentNode) -> DocumentNode:
    """Take a tree's tokens apart: as each holds the next and the last, only the collector's walks could free them."""
    token = tree.loc.start_token if tree.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following
    return tree


def _over(problem: str, limit: int) -> RequestError:
    return RequestError.of(f"the document {problem}, the limit is {limit}", "QUERY_TOO_COMPLEX", limit=limit)
