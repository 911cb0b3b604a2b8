"""From a GraphQL request to its response: the one path that HTTP and WebSocket requests take.

It goes straight to graphql-core: a document that was seen before is neither parsed nor validated again, variables are
coerced once, and the cost is known before anything resolves. Extensions and operation directives given to the
Strawberry schema are not run.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationType
from graphql.execution import (
    Executor,
    create_source_event_stream,
    execute_subscription_event,
    map_source_to_response_event,
)

from core.errors import Refusal, TimedOut, TooComplex, Unauthenticated
from core.networks import neighbourhood
from core.rates import Rate
from resolvers import courses
from resolvers.rates import Standing
from schema.context import Context
from schema.plans import Run, is_awaitable
from web.budgets import Allowance, Budget
from web.costs import INTROSPECTION_COST
from web.documents import Document, Documents
from web.errors import Formatted, RequestError, counted, formatted, masked, refused
from web.limits import Audience, Limits
from web.tracing import Spans
from web.trusted import ManifestError, Trusted, id_of
from web.turns import Turns
from web.values import refuse_large

Response = dict[str, Any]
"""`data`, `errors` if there are any, and `extensions` if what it cost was asked for."""

READING_COST = 10
"""Of a document that was not asked for again and again, beside its own: it is parsed and validated."""
MAX_TOLD_COST = 1 << 31
"""Fragments multiply costs to numbers that no JSON holds; beyond this one, all are told alike."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """A well-formed GraphQL request: for the document with a text, or else for that with an id."""

    query: str | None
    operation_name: str | None
    variables: Mapping[str, Any] | None
    document_id: str = ""
    asks_cost: bool = False
    """Whether the answer is to say what it cost: `"extensions": {"cost": true}`."""

    @classmethod
    def parse(cls, raw: object) -> "Parameters":
        """Read what a client sent as JSON. Raises `RequestError` naming the first wrong member."""
        if isinstance(raw, list):
            raise _malformed("a batch of operations is not taken: send one")
        if not isinstance(raw, dict):
            raise _malformed("the request must be a JSON object")
        query, extensions = raw.get("query"), raw.get("extensions")
        if not isinstance(extensions, dict | None):
            raise _malformed("`extensions` must be an object or null")
        document_id = id_of(raw) if query is None else None
        if document_id is None and not isinstance(query, str):
            raise _malformed("`query` must be a string")
        operation_name, variables = raw.get("operationName"), raw.get("variables")
        if not isinstance(operation_name, str | None):
            raise _malformed("`operationName` must be a string or null")
        if not isinstance(variables, dict | None):
            raise _malformed("`variables` must be an object or null")
        asks_cost = extensions is not None and extensions.get("cost") is True
        return cls(query, operation_name, variables, document_id or "", asks_cost)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may be run: known, valid, within its budget, its variables coerced."""

    type: OperationType
    context: Context
    run: Run
    points: int
    """What it costs."""
    told: Mapping[str, int] | None
    """What the answer says that it cost, if it is to."""
    name: str = ""
    """Whatever its client called it."""
    listed: str = ""
    """Its name, if it is one of the manifest."""


class Engine:
    """Prepares and runs the operations of one schema."""

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: Limits,
        *,
        introspection: Audience = "callers",
        trusted: Trusted | None = None,
    ) -> None:
        """Make ready. Raises `ManifestError` naming the first trusted document that the schema does not answer."""
        self._schema = schema._schema  # noqa: SLF001 - Strawberry offers no public way to the graphql-core schema
        self._limits = limits
        self._introspection = introspection
        self._callers = Allowance.of(limits.cost, limits.cost_a_minute)
        self._strangers = Allowance.of(limits.anonymous_cost, limits.anonymous_cost_a_minute)
        self._documents = Documents(self._schema, limits)
        self._trusted = trusted or Trusted()
        self._turns = Turns(limits.running, limits.waiting)
        self._reading = Turns(1, limits.running + limits.waiting)
        self._reader = ThreadPoolExecutor(1, "reader")
        self._unfinished: set[asyncio.Task[Response]] = set()
        self.spans: Spans | None = None
        """Makes spans of operations, if anybody wants them."""
        self.ran: Counter[tuple[str, str]] = Counter()
        """How many operations were run since the process began, by type, and by name for those of the manifest."""
        for document_id, text in self._trusted.texts.items():
            try:
                self.learn(text)
            except RequestError as error:
                raise ManifestError(f"the trusted document `{document_id}` is not answered: {error}") from None

    def learn(self, text: str) -> None:
        """Read a document ahead of its use, and keep it. Raises `RequestError` if the schema does not answer it."""
        self._documents.learn(text)

    async def prepare(self, parameters: Parameters, context: Context) -> Operation:
        """Decide whether and what to run. Raises `RequestError` or `RateLimited`; nothing has been resolved then."""
        if parameters.variables:
            refuse_large(parameters.variables, self._limits)
        document = await self._read(self._text(parameters), context)
        if document.introspects and not self._shows_schema(context):
            raise self._hidden()
        return self._affordable(document, parameters, context)

    async def _read(self, text: str, context: Context) -> Document:
        """Find a document, or make it. Where there is a budget that costs, also if no document comes of it.

        A large one takes tens of milliseconds, so it is made beside the event loop, and one after the other for each
        caller.
        """
        document = self._documents.known(text)
        if document is not None:
            return document
        budget, whose = self._allowance(context).budget, _whose(context)
        if budget is not None:
            budget.spend(whose, min(READING_COST, budget.points))
        await self._reading.begin(whose)
        try:
            if (document := self._documents.found(text)) is not None:
                return document
            making = partial(self._documents.made, text, hints=self._shows_schema(context))
            document = await asyncio.get_running_loop().run_in_executor(self._reader, making)
        finally:
            self._reading.end(whose)
        return self._documents.keep(text, document)

    def _allowance(self, context: Context) -> Allowance:
        return self._strangers if context.anyone is None else self._callers

    def _shows_schema(self, context: Context) -> bool:
        """Say whether the caller may ask what the schema is, and is told of what is like a name that it lacks."""
        if self._introspection == "callers":
            return context.anyone is not None
        return self._introspection == "anyone"

    def _hidden(self) -> RequestError:
        if self._introspection == "nobody":
            return RequestError.of("introspection is turned off", "GRAPHQL_VALIDATION_FAILED")
        return RequestError.because(Unauthenticated(), status=401)

    def _affordable(self, document: Document, parameters: Parameters, context: Context) -> Operation:
        operation, hints = document.operation(parameters.operation_name), self._shows_schema(context)
        variables = operation.variables.read(parameters.variables or {}, hints=hints)
        if isinstance(variables, list):
            raise RequestError.labelled(variables, "BAD_USER_INPUT")
        cost = operation.cost(variables.coerced)
        allowance = self._allowance(context)
        limit = allowance.cost
        if document.introspects and context.anyone is None:
            # The schema is read from memory, and whether a stranger may read it is not a question of what it costs.
            limit = allowance.with_more(INTROSPECTION_COST)
        if cost > limit:
            raise RequestError.because(TooComplex(min(cost, MAX_TOLD_COST), limit))
        left = None if allowance.budget is None else _spent(allowance.budget, cost, context)
        told = _told(cost, limit, left) if parameters.asks_cost else None
        run = Run(operation.plan, context, variables, hide_suggestions=not hints)
        name = operation.name or ""
        return Operation(operation.type, context, run, cost, told, name, name if self._is_listed(parameters) else "")

    def _is_listed(self, parameters: Parameters) -> bool:
        if parameters.query is None:
            return True
        return bool(self._trusted.texts) and self._documents.has_learnt(parameters.query)

    def _text(self, parameters: Parameters) -> str:
        if parameters.query is None:
            return self._trusted.text(parameters.document_id)
        if self._trusted.only and not self._documents.has_learnt(parameters.query):
            raise RequestError.of("only listed operations are run", "QUERY_NOT_IN_SAFELIST")
        return parameters.query

    def at_once(self, parameters: Parameters, context: Context) -> Response | None:
        """Run a caller's query that is known, and known to wait for nothing; None for any other.

        It takes no turn, as it is over before anything else happens. Raises as `prepare` does.
        """
        document = self._documents.known(self._text(parameters))
        if document is None or self._callers.budget is not None:
            return None
        if document.introspects and self._introspection == "nobody":
            return None
        if document.operation(parameters.operation_name).plan.waits:
            return None
        if parameters.variables:
            refuse_large(parameters.variables, self._limits)
        operation = self._affordable(document, parameters, context)
        result = operation.run.answer_at_once()
        if result is None:
            return None
        self.ran[operation.type.value, operation.listed] += 1
        return _response(result, operation)

    @property
    def documents(self) -> int:
        """How many documents are kept."""
        return len(self._documents)

    async def run(self, operation: Operation) -> Response:
        """Run a query or a mutation to its end, once it is the caller's turn.

        A query that takes too long ends there. A mutation that was begun goes on, whoever waits for it: after that time
        it begins no further field, and what it did is told. Raises `RequestError` where nothing was done, and
        `RateLimited` if too many wait for their turn.
        """
        self._begin(operation)
        if self.spans is None:
            return await self._answered(operation)
        with self.spans.operation(operation.type.value, operation.name) as told:
            response = await self._answered(operation)
            told([error["extensions"]["code"] for error in response.get("errors", ())])
            return response

    def _begin(self, operation: Operation) -> None:
        self.ran[operation.type.value, operation.listed] += 1
        courses.runs(operation.type.value, operation.name)

    async def _answered(self, operation: Operation) -> Response:
        whose = _whose(operation.context)
        deadline = asyncio.timeout(self._limits.seconds)
        try:
            async with deadline:
                await self._turns.begin(whose)
                if operation.type is not OperationType.MUTATION:
                    return await self._queried(operation, whose)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise RequestError.because(self._late(), status=503) from None
        return await asyncio.shield(self._changing(operation, whose, deadline.when() or 0))

    async def _queried(self, operation: Operation, whose: Hashable) -> Response:
        try:
            return _response(await operation.run.answer(), operation)
        finally:
            self._turns.end(whose)

    def _changing(self, operation: Operation, whose: Hashable, ends_at_s: float) -> asyncio.Task[Response]:
        """Start a mutation that nobody can stop."""
        loop = asyncio.get_running_loop()

        def refusal() -> TimedOut | None:
            return self._late() if loop.time() > ends_at_s else None

        async def changed() -> Response:
            return _response(await operation.run.answer(refusal), operation)

        task = loop.create_task(changed())
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        task.add_done_callback(lambda _: self._turns.end(whose))
        return task

    def _late(self) -> TimedOut:
        return TimedOut(self._limits.seconds)

    def subscribe(self, operation: Operation) -> AsyncGenerator[Response, None]:
        """Run a subscription, a response for each event, until its source ends.

        Each event costs what the operation does, takes a turn, and may take as long as a query. Raises `RequestError`
        if there is no source, when the source fails, and for an event that is not answered.
        """
        self._begin(operation)
        return self._responses(operation) if self.spans is None else self._traced(operation, self.spans)

    async def _traced(self, operation: Operation, spans: Spans) -> AsyncGenerator[Response, None]:
        with spans.operation(operation.type.value, operation.name):
            async with aclosing(self._responses(operation)) as responses:
                async for response in responses:
                    yield response

    async def _responses(self, operation: Operation) -> AsyncGenerator[Response, None]:
        executor, request_id = operation.run.executor(), operation.context.request.id
        source = create_source_event_stream(executor)
        stream = cast("AsyncIterable[Any] | ExecutionResult", await source if is_awaitable(source) else source)
        if isinstance(stream, ExecutionResult):
            raise RequestError(formatted(stream.errors or [], request_id))

        def answered(event: Executor[Any]) -> Awaitable[ExecutionResult]:
            return self._of_event(operation, event)

        async with aclosing(map_source_to_response_event(executor, stream, answered)) as results:
            try:
                async for result in results:
                    yield _response(result, operation)
            except Exception as error:
                raise RequestError([_of_source(error, request_id)]) from error

    async def _of_event(self, operation: Operation, event: Executor[Any]) -> ExecutionResult:
        whose, budget = _whose(operation.context), self._allowance(operation.context).budget
        if budget is not None:
            budget.spend(whose, operation.points)
        deadline = asyncio.timeout(self._limits.seconds)
        try:
            async with deadline:
                await self._turns.begin(whose)
                try:
                    result = execute_subscription_event(event)
                    return cast("ExecutionResult", await result if is_awaitable(result) else result)
                finally:
                    self._turns.end(whose)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise self._late() from None

    async def finish(self) -> None:
        """Wait for the mutations whose callers left."""
        while self._unfinished:
            await asyncio.wait(self._unfinished)


def _whose(context: Context) -> Hashable:
    """Say with whose operations this one is counted: those of its credential, or of a network that sent none."""
    caller = context.anyone
    return caller.token.id if caller and caller.token else neighbourhood(context.request.address)


def _spent(budget: Budget, cost: int, context: Context) -> int | None:
    """Spend what an operation costs, and have the answer say how the budget stands then.

    A stranger is not told: what others spend at the same address is theirs to know.
    """
    left, whole_in_s = budget.spend(_whose(context), cost)
    if context.anyone is None:
        return None
    context.request.standings.append(Standing("cost", Rate(budget.points, "minute"), left, whole_in_s))
    return left


def _told(cost: int, limit: int, left: int | None) -> Mapping[str, int]:
    told = {"requested": cost, "limit": limit}
    return told if left is None else {**told, "remaining": left}


def _response(result: ExecutionResult, operation: Operation) -> Response:
    response: Response = {"data": result.data}
    if result.errors:
        response["errors"] = counted(formatted(result.errors, operation.context.request.id))
    if operation.told is not None:
        response["extensions"] = {"cost": operation.told}
    return response


def _of_source(error: Exception, request_id: str) -> Formatted:
    if isinstance(error, GraphQLError):
        return formatted([error], request_id)[0]
    return refused(error) if isinstance(error, Refusal) else masked(error, request_id)


def _malformed(problem: str) -> RequestError:
    return RequestError.of(problem, "BAD_REQUEST")
