"""An application that is watched: asked over the wire, with what its watchers tell, from where they tell it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from server import watched
from settings import Settings
from tests.organisation import Organisation
from tests.web.receiver import Receiver, receiving
from web.app import Application
from web.watching import Watched

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values, by the names of metrics and their labels."""


class Watching:
    """What watches, and tells."""

    def __init__(self, app: Application | Watched, metrics_url: str, receiver: Receiver) -> None:
        self.app = app
        self._metrics_url = metrics_url
        self._receiver = receiver

    async def exposition(self, accept: str = "text/plain") -> httpx2.Response:
        """Ask for the metrics as Prometheus does."""
        async with httpx2.AsyncClient() as client:
            return await client.get(self._metrics_url, headers={"Accept": accept})

    async def samples(self) -> Samples:
        """Read the metrics by Prometheus' own parsers, of both formats."""
        answer = await self.exposition(OPEN_METRICS)
        assert list(open_metrics(answer.text))  # type: ignore[no-untyped-call] # it has no types
        families = parsed((await self.exposition()).text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    @property
    def spans(self) -> list[Span]:
        """The spans that were sent, as whoever receives OTLP reads them. All are, once nobody watches any more."""
        requests = [ExportTraceServiceRequest.FromString(each.body) for each in self._receiver.received]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def sent(self) -> bytes:
        """All that was sent to whoever receives traces."""
        return b"".join(each.body for each in self._receiver.received)


def attributes(span: Span) -> dict[str, Any]:
    """Read what a span tells."""
    return {
        each.key: each.value.string_value if each.value.HasField("string_value") else each.value.int_value
        for each in span.attributes
    }


def differences(before: Samples, after: Samples, names: Iterable[str]) -> dict[str, float]:
    """Say by how much metrics grew, each written as Prometheus does."""
    return {
        f"{name}{{{','.join(f'{label}={value}' for label, value in labels)}}}": value - before.get((name, labels), 0)
        for (name, labels), value in after.items()
        if name in names and value != before.get((name, labels), 0)
    }


@asynccontextmanager
async def watching(
    organisation: Organisation,
    app: Application,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    **settings: Any,
) -> AsyncIterator[Watching]:
    """Watch an application by all means, unless `settings` say otherwise."""
    async with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        caplog.set_level("INFO", "latchkey")
        wanted = Settings(**{"metrics_port": 0, "traces": True, "access_log": True, **settings})
        async with watched(wanted, organisation.house, app) as outer:
            found = None
            while wanted.metrics_port is not None and found is None:  # it says so as soon as they are served
                await asyncio.sleep(0.01)
                found = re.search(r"metrics: (http://\S+)", caplog.text)
            yield Watching(outer, found[1] if found else "", receiver)
