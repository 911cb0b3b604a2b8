"""Traces, by OpenTelemetry: a span for each request, for its GraphQL operation, and for each transaction in it.

The packages are of the group `tracing`; where they are, and to whom they send, `OTEL_*` variables say. No span tells a
document, a variable, a path below a route, an address or a program: what a client chose is the operation's name alone.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from starlette.types import Scope

from core.secret import redacted
from resolvers.courses import Course

MAX_NAME_LENGTH = 64
"""How much of an operation's name is told."""
_CARGO = frozenset({b"baggage", b"tracestate"})
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_ROUTES = {"forward_auth": "/authz/{account}:{gate}/{path}", "console": "/{file}"}
"""The paths of faces that have more than one."""

ErrorsTold = Callable[[Sequence[str]], None]
"""Is told the codes of the errors that an operation was answered with."""


class Spans(Protocol):
    """Whoever makes a span of an operation."""

    def operation(self, operation_type: str, name: str) -> AbstractContextManager[ErrorsTold]:
        """Make a span for as long as this is open."""
        ...


class Answered(Protocol):
    """What is sent in answer to a request."""

    status: int
    request_id: str | None


_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def is_installed() -> bool:
    """Say whether the packages are."""
    try:
        return all(map(find_spec, _PACKAGES))
    except ModuleNotFoundError:  # one of those that they are in is not
        return False


class Tracing:
    """Makes spans, and sends them from a thread of its own."""

    def __init__(self, database: str) -> None:
        """Make ready. `database` is its system, in OpenTelemetry's words. Raises ImportError without the packages."""
        # Here, as nobody who does not trace has them.
        from opentelemetry import propagate, trace  # noqa: PLC0415 - see above
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        resource = Resource.create()
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "latchkey"}))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("latchkey")
        self._trace, self._propagate = trace, propagate
        # Which trace it is, and nothing that its client would have every span of it tell.
        self._carried = {field.encode() for field in propagate.get_global_textmap().fields} - _CARGO
        self._database = database

    async def close(self) -> None:
        """Send what is left, and end."""
        await asyncio.to_thread(self._provider.shutdown)

    @contextmanager
    def request(self, scope: Scope, under_way: Course, answered: Answered) -> Iterator[None]:
        """Make a span of a request for as long as this is open: a part of its client's trace, if it says which."""
        method = scope.get("method", "GET")
        method = method if method in _METHODS else "_OTHER"
        route = _ROUTES.get(under_way.face, scope["path"])
        carried = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in self._carried
        }
        attributes = {
            "http.request.method": method,
            "http.route": route,
            "network.protocol.version": scope.get("http_version", ""),
            "url.scheme": scope.get("scheme", ""),
            "latchkey.face": under_way.face,
        }
        with self._spanning(
            f"{method} {route}", attributes, self._trace.SpanKind.SERVER, self._propagate.extract(carried)
        ) as span:
            try:
                yield
            finally:
                span.set_attributes(_outcome(under_way, answered))
                if answered.status >= 500:  # noqa: PLR2004 - the HTTP statuses of servers that failed
                    self._failed(span, str(answered.status))

    @contextmanager
    def operation(self, operation_type: str, name: str) -> Iterator[ErrorsTold]:
        """Make a span of a GraphQL operation for as long as this is open."""
        kind = self._trace.SpanKind.INTERNAL
        with self._spanning(operation_type, _operation(operation_type, name), kind) as span:

            def told(codes: Sequence[str]) -> None:
                if codes:
                    self._failed(span, codes[0])

            yield told

    def took(self, what: str, duration_s: float) -> None:
        """Make a span of a transaction that is over, if it belongs to a request."""
        if what == "transaction" and self._trace.get_current_span().is_recording():
            ended_ns = time.time_ns()
            attributes = {"db.system.name": self._database}
            began_ns = ended_ns - int(duration_s * 1e9)
            kind = self._trace.SpanKind.CLIENT
            self._tracer.start_span(what, kind=kind, attributes=attributes, start_time=began_ns).end(ended_ns)

    @contextmanager
    def _spanning(self, name: str, attributes: Any, kind: Any, parent: Any = None) -> Iterator[Any]:  # noqa: ANN401 - OpenTelemetry's own
        """Make a span. What was raised in it is told by its type alone: its message may hold whatever was sent."""
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                self._failed(span, type(error).__qualname__)
                raise

    def _failed(self, span: Any, what: str) -> None:  # noqa: ANN401 - OpenTelemetry's own
        span.set_attribute("error.type", what)
        span.set_status(self._trace.StatusCode.ERROR)


def _outcome(under_way: Course, answered: Answered) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        **_operation(under_way.operation_type, under_way.operation_name),
        "latchkey.decisions.allowed": under_way.allowed,
        "latchkey.decisions.refused": under_way.refused,
    }
    if answered.status:
        told["http.response.status_code"] = answered.status
    if answered.request_id:
        told["latchkey.request.id"] = answered.request_id
    return told


def _operation(operation_type: str, name: str) -> dict[str, str]:
    told = {"graphql.operation.type": operation_type, "graphql.operation.name": redacted(name)[:MAX_NAME_LENGTH]}
    return {key: value for key, value in told.items() if value}
