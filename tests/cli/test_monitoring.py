"""What a server tells whoever runs it: JSON on standard error, metrics on a port, traces over HTTP."""

import json
import sqlite3
import urllib.request
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.error import HTTPError

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families as parsed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from bench.watched import collecting
from core.secret import Secret, SecretKind
from tests.cli.test_server import ended, started
from web.sockets import PROTOCOL

SETTINGS = {
    "LATCHKEY_METRICS_PORT": "0",
    "LATCHKEY_LOG_FORMAT": "json",
    "LATCHKEY_ACCESS_LOG": "true",
    "LATCHKEY_TRACES": "true",
}


def until(process: Popen[str], *begun: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the log until a message begins with each of some words; gives all lines, and what those words told."""
    assert process.stderr
    lines, told = [], dict.fromkeys(begun, "")
    for line in process.stderr:
        lines.append(json.loads(line))
        for words in begun:
            if lines[-1]["message"].startswith(words):
                told[words] = lines[-1]["message"].removeprefix(words)
        if all(told.values()):
            return lines, list(told.values())
    raise AssertionError(lines)


def asked(url: str, secret: str = "", body: bytes | None = None) -> tuple[int, str, str]:
    """Ask; gives the status, the request's id and the answer."""
    headers = {"Authorization": secret, "Content-Type": "application/json", "X-Request-Id": "mine"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:  # noqa: S310 - our own
            return answer.status, answer.headers["X-Request-Id"], answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.headers["X-Request-Id"], refused.read().decode()


def test_a_server_tells_all_of_it_and_no_secret(tmp_path: Path) -> None:
    secret = Secret.mint(SecretKind.PERSONAL).text
    query = json.dumps({"query": "{ viewer { account { key } } }"}).encode()
    sent: list[bytes] = []
    with (
        collecting(sent.append) as collector,
        started(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector, **SETTINGS) as run,
    ):
        lines, [metrics, url] = until(run, "metrics: ", "ready: ")
        status, unknown, _ = asked(f"{url}/graphql?of={secret}", secret, query)
        assert status == 401
        with sqlite3.connect(tmp_path / "latchkey.sqlite3") as other:
            other.execute("ALTER TABLE secret RENAME TO mislaid")
        status, broken, _ = asked(f"{url}/graphql", secret, query)
        assert status == 500
        assert asked(f"{url}/metrics")[0] == 404
        with connect(f"{url.replace('http', 'ws')}/graphql", subprotocols=[Subprotocol(PROTOCOL)]) as socket:
            socket.send(json.dumps({"type": "connection_init"}))
            socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}))
            assert [json.loads(socket.recv())["type"] for _ in range(3)] == ["connection_ack", "next", "complete"]
        exposition = asked(metrics)[2]
        status, out, rest = ended(run)
    lines += map(json.loads, rest.splitlines())
    assert (status, out) == (0, "")
    assert {"time", "level", "logger", "message"} == set.intersection(*map(set, lines))
    assert "uvicorn.error" in {line["logger"] for line in lines}
    requests = [line for line in lines if line["logger"] == "latchkey.access"]
    told = [(line.get("requestId"), line["method"], line["path"], line["status"]) for line in requests]
    assert told[:2] == [(unknown, "POST", "/graphql", 401), (broken, "POST", "/graphql", 500)]
    [failed] = [line for line in lines if line["level"] == "error"]
    assert (failed["requestId"], failed["message"]) == (broken, f"request {broken} failed")
    assert "no such table" in failed["exception"]
    samples = {
        (each.name, *sorted(each.labels.values())): each.value for one in parsed(exposition) for each in one.samples
    }
    assert samples["latchkey_http_requests_total", "500", "graphql"] == 1
    assert samples["latchkey_log_events_total", "error", "web.errors"] == 1
    assert samples["latchkey_websocket_operation_duration_seconds_count", "query"] == 1
    assert samples["latchkey_audit_entries_total", "command_line", "createAccount"] == 1
    [resource] = {
        resource.resource.SerializeToString(deterministic=True)
        for body in sent
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
    }
    assert b"latchkey" in resource
    for place in (*map(json.dumps, lines), exposition, *(body.decode("latin-1") for body in sent)):
        assert secret not in place
