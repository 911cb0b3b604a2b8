"""`GET /metrics` on a port of its own: what an operator watches, as Prometheus reads it; see docs/monitoring.md.

No label holds what a client, a member or an account chose: each is one of a few words of the code's own, or the name of
an operation that the operator listed. What is counted is counted by this process since it began; what is kept in the
database is the same from every process.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.meters import BOUNDS_S, Spread
from models.standing import Standing, standing
from resolvers import callers, writing
from resolvers.background import beside
from resolvers.house import House
from web import errors, logs, watching
from web.app import Application
from web.wire import Wire

Labels = TypeVar("Labels", bound=tuple[str, ...])

PATH = "/metrics"
LOOK_TIMEOUT_S = 2.0
"""How long the database may take; without its answer all else is told."""
LAG_EVERY_S = 0.5

_BOUNDS = [f"{bound:g}" for bound in BOUNDS_S] + ["+Inf"]

_log = logging.getLogger(__name__)


class Metrics(Collector):
    """All that there is to tell of one process."""

    def __init__(self, house: House, app: Application, version: str) -> None:
        self._house = house
        self._app = app
        self._version = version
        self._statements: dict[str, Spread] = {}
        self._lag = Spread()
        self._standing: Standing | None = None
        self._tasks = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def took(self, what: str, duration_s: float) -> None:
        """Count what the database took for something."""
        spread = self._statements.get(what) or self._statements.setdefault(what, Spread())
        spread.took(duration_s)

    @property
    def app(self) -> Starlette:
        """The application that answers on the port."""
        return Starlette(routes=[Route(PATH, self._answer, methods=["GET"])])

    @asynccontextmanager
    async def measuring(self) -> AsyncIterator[None]:
        """See how long the event loop keeps what is due waiting, for as long as this is open."""
        async with beside(self._lags_forever()):
            yield

    async def _lags_forever(self) -> None:
        while True:
            due_s = time.perf_counter() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag.took(max(0.0, time.perf_counter() - due_s))

    async def _answer(self, request: Request) -> Response:
        self._standing = await self._looked()
        self._tasks = len(asyncio.all_tasks())
        encode, media = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": media, "Cache-Control": "no-store"})

    async def _looked(self) -> Standing | None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await standing()
        except Exception as error:  # noqa: BLE001 - whatever keeps the database from answering
            _log.warning("the database did not tell how it stands: %s", type(error).__name__)
            return None

    def describe(self) -> Iterable[Metric]:
        """Promise nothing beforehand; see prometheus_client."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Tell everything; see prometheus_client."""
        yield from self._requests()
        yield from self._credentials()
        yield from self._memory()
        yield from self._database()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        yield _counter(
            "http_requests",
            "Requests answered, by face and HTTP status; 499 where the client did not wait.",
            ("face", "status"),
            {(face, str(status)): sum(spread.counts) for (face, status), spread in watching.requests.items()},
        )
        yield _histogram(
            "http_request_duration_seconds",
            "How long requests took, from their last byte to the answer's, by face.",
            "face",
            ((face, spread) for (face, _), spread in watching.requests.items()),
        )
        yield _counter(
            "graphql_operations",
            "GraphQL operations run, over HTTP and WebSockets, by type, and by name where the operator listed it.",
            ("type", "operation"),
            self._app.engine.ran,
        )
        told = {(code,): count for code, count in errors.codes.items()}
        yield _counter("errors", "Errors that clients were told of in JSON, by `extensions.code`.", ("code",), told)
        yield _gauge("websocket_connections", "WebSockets that are open.", self._app.sockets.connections)
        yield _gauge("websocket_operations", "Operations that run on WebSockets.", self._app.sockets.operations)
        yield _histogram(
            "websocket_operation_duration_seconds",
            "How long queries and mutations took that came over WebSockets, until their answers were sent, by type.",
            "type",
            self._app.sockets.took.items(),
        )

    def _credentials(self) -> Iterator[Metric]:
        uses = self._house.uses
        waiting = uses.met()
        decided = {(outcome.name.lower(),): count for outcome, count in uses.decided.items()}
        yield _counter("decisions", "Decisions about an action on a resource, by what came out.", ("outcome",), decided)
        used = {("session" if is_session else "token",): count for is_session, count in uses.used.items()}
        yield _counter("credential_uses", "Requests with a credential that works.", ("credential",), used)
        yield _gauge("uses_waiting", "Counts about uses of tokens that are still to be written.", waiting)
        yield _counter(
            "reused_secrets",
            "Ended secrets that came back while their token was reset: somebody else may have it.",
            (),
            {(): self._house.reuses.times},
        )
        sealed = {(kind.value.lower(), action): count for (kind, action), count in writing.sealed.items()}
        yield _counter(
            "audit_entries",
            "Entries sealed for the audit log, by actor and action; the action is empty for what integrations report."
            " `possession` ends leaked secrets.",
            ("actor", "action"),
            sealed,
        )

    def _memory(self) -> Iterator[Metric]:
        lookups = {
            ("callers", "hit"): callers.lookups.found,
            ("callers", "miss"): callers.lookups.missed,
            ("requests", "hit"): watching.known[True],
            ("requests", "miss"): watching.known[False],
        }
        told = "How often memory was asked: for callers by their secrets, for answers by the bytes of requests."
        yield _counter("memory_lookups", told, ("memory", "result"), lookups)
        sizes = {
            "callers": callers.remembered(),
            "requests": len(Wire.sent),
            "questions": len(Wire.heard),
            "documents": self._app.engine.documents,
        }
        family = GaugeMetricFamily("latchkey_memory_entries", "How much memory holds of each.", labels=("memory",))
        for name, size in sizes.items():
            family.add_metric((name,), size)
        yield family

    def _database(self) -> Iterator[Metric]:
        yield _histogram(
            "database_duration_seconds",
            "How long statements took that read or write, waits for a turn to begin, commits, and transactions whole.",
            "what",
            self._statements.items(),
        )
        stands = self._standing
        yield _gauge("database_up", "Whether the database answered just now.", int(stands is not None))
        if stands is None:
            return
        yield _gauges("database_connections", "Connections to the database.", "state", stands.connections)
        yield InfoMetricFamily(
            "latchkey_schema", "The last migration that the database has.", {"migration": stands.migration}
        )
        yield _gauges(
            "deliveries_waiting", "Notices that are due and not delivered yet, by channel.", "channel", stands.due
        )
        yield _gauges(
            "delivery_lag_seconds", "For how long the oldest of them is due, by channel.", "channel", stands.due_for_s
        )
        yield _gauges(
            "feed_lag_entries", "Entries of the audit log that were not delivered yet, by place.", "place", stands.left
        )
        yield _gauges(
            "feeds_failing", "Feeds of accounts whose last delivery failed, by place.", "place", stands.failing
        )
        yield _gauge("jobs_running", "Jobs on many tokens that are under way.", stands.jobs)

    def _process(self) -> Iterator[Metric]:
        yield InfoMetricFamily("latchkey_build", "The version that runs.", {"version": self._version})
        yield _counter("log_events", "Events that were logged, by logger and level.", ("logger", "level"), logs.events)
        yield _gauge("asyncio_tasks", "Tasks of the event loop.", self._tasks)
        yield _histogram("event_loop_lag_seconds", "How late the event loop does what is due.", None, [("", self._lag)])


def _counter(name: str, told: str, labels: tuple[str, ...], counts: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(f"latchkey_{name}", told, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"latchkey_{name}", told, value)


def _gauges(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"latchkey_{name}", told, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _histogram(name: str, told: str, label: str | None, spreads: Iterable[tuple[str, Spread]]) -> Metric:
    family = HistogramMetricFamily(f"latchkey_{name}", told, labels=(label,) if label else ())
    summed: dict[str, list[Any]] = {}
    for key, spread in spreads:
        counts, total_s = summed.get(key, ([0] * len(_BOUNDS), 0.0))
        summed[key] = [list(map(sum, zip(counts, spread.counts, strict=True))), total_s + spread.total_s]
    for key, (counts, total_s) in summed.items():
        buckets = list(zip(_BOUNDS, accumulate(counts), strict=True))
        family.add_metric((key,) if label else (), buckets, total_s)
    return family
