"""From a GraphQL request to its response: the one path that HTTP and WebSocket requests take.

It goes straight to graphql-core: a document that was seen before is neither parsed nor validated again, variables are
coerced once, and the cost is known before anything resolves. Extensions and operation directives given to the
Strawberry schema are not run.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationType
from graphql.execution import create_source_event_stream, map_source_to_response_event

from core.errors import Refusal, Unauthenticated
from schema.context import Context
from schema.plans import Run, is_awaitable
from web.documents import Documents
from web.documents import Operation as Known
from web.errors import Formatted, RequestError, formatted, masked, refused
from web.limits import Limits
from web.trusted import ManifestError, Trusted, id_of

Response = dict[str, Any]
"""`data`, and `errors` if there are any."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """A well-formed GraphQL request: for the document with a text, or else for that with an id."""

    query: str | None
    operation_name: str | None
    variables: Mapping[str, Any] | None
    document_id: str = ""

    @classmethod
    def parse(cls, raw: object) -> "Parameters":
        """Read what a client sent as JSON. Raises `RequestError` naming the first wrong member."""
        if isinstance(raw, list):
            raise _malformed("a batch of operations is not taken: send one")
        if not isinstance(raw, dict):
            raise _malformed("the request must be a JSON object")
        query = raw.get("query")
        if not isinstance(raw.get("extensions"), dict | None):
            raise _malformed("`extensions` must be an object or null")
        document_id = id_of(raw) if query is None else None
        if document_id is None and not isinstance(query, str):
            raise _malformed("`query` must be a string")
        operation_name, variables = raw.get("operationName"), raw.get("variables")
        if not isinstance(operation_name, str | None):
            raise _malformed("`operationName` must be a string or null")
        if not isinstance(variables, dict | None):
            raise _malformed("`variables` must be an object or null")
        return cls(query, operation_name, variables, document_id or "")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may be run: known, valid, within its budget, its variables coerced."""

    type: OperationType
    context: Context
    run: Run


class Engine:
    """Prepares and runs the operations of one schema."""

    def __init__(
        self, schema: strawberry.Schema, limits: Limits, *, open_introspection: bool, trusted: Trusted | None = None
    ) -> None:
        """Make ready. Raises `ManifestError` naming the first trusted document that the schema does not answer."""
        self._schema = schema._schema  # noqa: SLF001 - Strawberry offers no public way to the graphql-core schema
        self._limits = limits
        self._open_introspection = open_introspection
        self._documents = Documents(self._schema, limits)
        self._trusted = trusted or Trusted()
        self._unfinished: set[asyncio.Task[Response]] = set()
        for document_id, text in self._trusted.texts.items():
            try:
                self.learn(text)
            except RequestError as error:
                raise ManifestError(f"the trusted document `{document_id}` is not answered: {error}") from None

    def learn(self, text: str) -> None:
        """Read a document ahead of its use, and keep it. Raises `RequestError` if the schema does not answer it."""
        self._documents.learn(text)

    def prepare(self, parameters: Parameters, context: Context) -> Operation:
        """Decide whether and what to run. Raises `RequestError`; nothing has been resolved then."""
        hints = context.anyone is not None
        document = self._documents.read(self._text(parameters), hints=hints)
        if document.introspects and not (hints or self._open_introspection):
            raise RequestError.because(Unauthenticated(), status=401)
        return self._affordable(document.operation(parameters.operation_name), parameters, context)

    def _affordable(self, operation: Known, parameters: Parameters, context: Context) -> Operation:
        hints = context.anyone is not None
        variables = operation.variables.read(parameters.variables or {}, hints=hints)
        if isinstance(variables, list):
            raise RequestError.labelled(variables, "BAD_USER_INPUT")
        operation.afford(variables.coerced, self._limits.cost)
        return Operation(operation.type, context, Run(operation.plan, context, variables, hide_suggestions=not hints))

    def _text(self, parameters: Parameters) -> str:
        if parameters.query is None:
            return self._trusted.text(parameters.document_id)
        if self._trusted.only and not self._documents.has_learnt(parameters.query):
            raise RequestError.of("only listed operations are run", "QUERY_NOT_IN_SAFELIST")
        return parameters.query

    def at_once(self, parameters: Parameters, context: Context) -> Response | None:
        """Run a caller's query that is known, and known to wait for nothing; None for any other.

        Raises as `prepare` does.
        """
        document = self._documents.known(self._text(parameters))
        if document is None:
            return None
        operation = document.operation(parameters.operation_name)
        if operation.plan.waits is not False:
            return None
        result = self._affordable(operation, parameters, context).run.answer_at_once()
        return None if result is None else _response(result, context.request.id)

    async def run(self, operation: Operation) -> Response:
        """Run a query or a mutation to its end. A mutation goes on when whoever waits for it is cancelled."""
        if operation.type is not OperationType.MUTATION:
            return await _completed(operation)
        task = self._started(_completed(operation))
        return await asyncio.shield(task)

    async def subscribe(self, operation: Operation) -> AsyncGenerator[Response, None]:
        """Run a subscription, a response for each event, until its source ends.

        Raises `RequestError` if there is no source, or when the source fails.
        """
        executor, request_id = operation.run.executor(), operation.context.request.id
        source = create_source_event_stream(executor)
        stream = cast("AsyncIterable[Any] | ExecutionResult", await source if is_awaitable(source) else source)
        if isinstance(stream, ExecutionResult):
            raise RequestError(formatted(stream.errors or [], request_id))
        async with aclosing(map_source_to_response_event(executor, stream)) as results:
            try:
                async for result in results:
                    yield _response(result, request_id)
            except Exception as error:
                raise RequestError([_of_source(error, request_id)]) from error

    async def finish(self) -> None:
        """Wait for the mutations whose callers left."""
        while self._unfinished:
            await asyncio.wait(self._unfinished)

    def _started(self, running: Coroutine[Any, Any, Response]) -> asyncio.Task[Response]:
        task = asyncio.create_task(running)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task


async def _completed(operation: Operation) -> Response:
    return _response(await operation.run.answer(), operation.context.request.id)


def _response(result: ExecutionResult, request_id: str) -> Response:
    if result.errors:
        return {"data": result.data, "errors": formatted(result.errors, request_id)}
    return {"data": result.data}


def _of_source(error: Exception, request_id: str) -> Formatted:
    if isinstance(error, GraphQLError):
        return formatted([error], request_id)[0]
    return refused(error) if isinstance(error, Refusal) else masked(error, request_id)


def _malformed(problem: str) -> RequestError:
    return RequestError.of(problem, "BAD_REQUEST")
