"""Metrics, traces and the access log: what they tell, what they never tell, and that nobody pays for them unasked."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from models import Delivery, now
from models.engines.transactions import watch
from resolvers import tokens
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.web.test_wire import NO, YES, Exchange, exchange, warmed
from tests.web.watched import attributes, differences, watching
from web import watching as watchers
from web.watching import MeteredWire

__all__ = ["exchange"]

ROOT = Path(__file__).parents[2]
BOUNDED = {"actor", "action", "channel", "code", "credential", "face", "kind", "le", "level", "logger", "memory"}
BOUNDED |= {"migration", "operation", "outcome", "place", "result", "state", "status", "type", "version", "what"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CREATE = 'mutation Make { createToken(input: {name: "named-by-somebody", scope: {builtInRole: READER}}) { secret } }'


async def test_metrics_count_what_was_asked_however_it_was_answered(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    organisation = exchange.organisation
    await warmed(exchange, exchange.authz(), exchange.introspect(), exchange.graphql(), exchange.graphql())
    async with watching(
        organisation, exchange.app, monkeypatch, caplog, traces=False, access_log=False, trusted_proxies="127.0.0.0/8"
    ) as watched:
        exchange.app = watched.app  # type: ignore[assignment] # as good as the one it is around
        line, before = exchange.line(MeteredWire), await watched.samples()
        for request, status in (
            (exchange.authz(), YES),
            (exchange.authz(uri="/app"), NO),
            (exchange.introspect(), YES),
        ):
            for _ in range(3):
                assert line.at_once(request).startswith(status)
        assert line.at_once(exchange.graphql()).startswith(YES)
        assert line.at_once(exchange.authz() + exchange.graphql()).count(YES) == 2  # each counts as what it is
        await line.hear(exchange.graphql(query=CREATE), exchange.graphql(query="{ tokens { nope } }"))
        assert organisation.owner.token
        other = organisation.secrets[str(organisation.owner.token.id)]
        await line.hear(exchange.graphql(query=CREATE, secret=other), exchange.authz(secret=exchange.dead))
        after = await watched.samples()
        grown = differences(
            before,
            after,
            (
                "latchkey_http_requests_total",
                "latchkey_http_request_duration_seconds_count",
                "latchkey_graphql_operations_total",
                "latchkey_errors_total",
                "latchkey_audit_entries_total",
                "latchkey_decisions_total",
            ),
        )
        assert grown == {
            "latchkey_http_requests_total{face=forward_auth,status=200}": 4,
            "latchkey_http_requests_total{face=forward_auth,status=401}": 1,
            "latchkey_http_requests_total{face=forward_auth,status=403}": 3,
            "latchkey_http_requests_total{face=introspection,status=200}": 3,
            "latchkey_http_requests_total{face=graphql_query,status=200}": 2,
            "latchkey_http_requests_total{face=graphql,status=200}": 1,
            "latchkey_http_requests_total{face=graphql_mutation,status=200}": 2,
            "latchkey_http_request_duration_seconds_count{face=forward_auth}": 8,
            "latchkey_http_request_duration_seconds_count{face=introspection}": 3,
            "latchkey_http_request_duration_seconds_count{face=graphql_query}": 2,
            "latchkey_http_request_duration_seconds_count{face=graphql}": 1,
            "latchkey_http_request_duration_seconds_count{face=graphql_mutation}": 2,
            "latchkey_graphql_operations_total{operation=,type=query}": 2,
            "latchkey_graphql_operations_total{operation=,type=mutation}": 2,
            "latchkey_errors_total{code=FORBIDDEN}": 1,
            "latchkey_errors_total{code=GRAPHQL_VALIDATION_FAILED}": 1,
            "latchkey_audit_entries_total{action=createAccessToken,actor=session}": 1,
            **{name: count for name, count in grown.items() if name.startswith("latchkey_decisions_total")},
        }
        assert grown["latchkey_decisions_total{outcome=allowed}"] >= 7
        assert grown["latchkey_decisions_total{outcome=refused}"] >= 4
        for what in ("begin", "commit", "read", "transaction", "write"):
            assert after["latchkey_database_duration_seconds_count", (("what", what),)] > 0
        line.hang_up()


async def test_metrics_are_named_and_told_as_prometheus_wants_and_their_labels_are_bounded(
    organisation: Organisation,
    elsewhere: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    manifest = tmp_path / "operations.json"
    manifest.write_text(json.dumps({"one": "query Listed { viewer { account { key } } }"}))
    app = assembled(Settings(operations_file=manifest), organisation.house)
    async with (
        watching(organisation, app, monkeypatch, caplog, traces=False, access_log=False) as watched,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(watched.app), base_url="http://127.0.0.1:8000") as client,
    ):
        assert organisation.owner.token
        headers = {"Authorization": organisation.secrets[str(organisation.owner.token.id)]}
        for asked in ({"id": "one"}, {"query": "query Unlisted { viewer { account { key } } }"}, {"query": CREATE}):
            assert "errors" not in (await client.post("/graphql", json=asked, headers=headers)).json()
        await client.get("/nothing/of/the/kind")
        assert (await client.get("/metrics")).status_code == 404  # there is a port for them
        text = (await watched.exposition()).text
        samples = await watched.samples()
        assert samples["latchkey_graphql_operations_total", (("operation", "Listed"), ("type", "query"))] == 1
        assert samples["latchkey_schema_info", (("migration", latest_migration()),)] == 1
        assert samples["latchkey_jobs_running", ()] == 0
        assert samples["process_resident_memory_bytes", ()] > 1 << 20
        for family in parsed(text):
            assert family.documentation.endswith("."), family.name
            assert re.fullmatch(r"(latchkey|process)_[a-z_]+", family.name)
            assert not re.search(r"_(count|sum|bucket|gauge|counter|histogram|ms|milliseconds)$", family.name)
            assert family.type != "histogram" or family.name.endswith("_seconds")
            assert {name for sample in family.samples for name in sample.labels} <= BOUNDED, family.name
        told = {value for family in parsed(text) for sample in family.samples for value in sample.labels.values()}
        assert not told & {organisation.account.key, "named-by-somebody", "Unlisted"}
        assert not [value for value in told if re.search("[^\\w.+-]", value)]
        manual = (ROOT / "docs" / "monitoring.md").read_text()
        described = {name.removesuffix("_bucket") for name in re.findall(r"latchkey_[a-z_]+", manual)}
        assert described == set(re.findall(r"^# TYPE (latchkey_\w+)", text, re.MULTILINE))
        elsewhere(f"ALTER TABLE {Delivery.Meta.table} RENAME TO mislaid")
        without = await watched.samples()
        assert without["latchkey_database_up", ()] == 0
        assert ("latchkey_jobs_running", ()) not in without
        assert without["latchkey_memory_entries", (("memory", "callers"),)] > 0


async def test_an_old_secret_that_comes_back_is_counted_each_time(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = await organisation.made(organisation.owner)
    new = await tokens.reset(organisation.owner, old.row.id, Said(), old_ends_at=now() + timedelta(hours=1))
    app = assembled(Settings(), organisation.house)
    async with (
        watching(organisation, app, monkeypatch, caplog, traces=False, access_log=False) as watched,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(watched.app), base_url="http://127.0.0.1:8000") as client,
    ):

        async def grown(*secrets: str | None) -> tuple[list[int], dict[str, float]]:
            before = await watched.samples()
            asked = {"query": "{ viewer { account { key } } }"}
            answers = [
                await client.post("/graphql", json=asked, headers={"Authorization": f"Bearer {secret}"})
                for secret in secrets
            ]
            grown = differences(before, await watched.samples(), ("latchkey_reused_secrets_total",))
            return [answer.status_code for answer in answers], grown

        assert await grown(old.secret, new.secret, "lkp_" + "0" * 36) == ([200, 200, 401], {})
        await tokens.reset(organisation.owner, old.row.id, Said())
        for secret in (old.secret, new.secret, new.secret):
            assert await grown(secret) == ([401], {"latchkey_reused_secrets_total{}": 1})


def latest_migration() -> str:
    return max(path.stem for path in (ROOT / "models" / "migrations").glob("0*.py"))


async def test_traces_follow_a_request_through_its_operation_to_the_database_and_tell_nothing_that_was_sent(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert organisation.owner.token
    secret = organisation.secrets[str(organisation.owner.token.id)]
    app = assembled(Settings(), organisation.house)
    headers = {"Authorization": secret, "Traceparent": TRACEPARENT, "User-Agent": "an agent"}
    headers |= {"Tracestate": "vendor=of-the-client", "Baggage": "key=of-the-client"}
    made = 'mutation Make { createToken(input: {name: "of n@example.com", comment: "hush, hush"'
    made += ", scope: {builtInRole: READER}}) { secret } }"
    async with (
        watching(organisation, app, monkeypatch, caplog, metrics_port=None) as watched,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(watched.app), base_url="http://127.0.0.1:8000") as client,
    ):
        answer = await client.post(f"/graphql?of={secret}", json={"query": made}, headers=headers)
        minted = answer.json()["data"]["createToken"]["secret"]
        await client.post(
            "/graphql", json={"query": "query lkp_secretname { viewer { account { key } } }"}, headers=headers
        )
        await client.request("LKP_METHOD", f"/authz/main:gate/of/n@example.com/{minted}")
    spans = {span.name: span for span in watched.spans}
    assert set(spans) == {
        "POST /graphql",
        "mutation",
        "query",
        "transaction",
        "_OTHER /authz/{account}:{gate}/{path}",
    }
    ours = [span for span in watched.spans if span.trace_id.hex() == TRACEPARENT.split("-")[1]]
    server, operation, transaction = (
        next(span for span in ours if span.name == name) for name in ("POST /graphql", "mutation", "transaction")
    )
    assert server.parent_span_id.hex() == TRACEPARENT.split("-")[2]
    assert operation.parent_span_id == server.span_id
    assert transaction.parent_span_id == operation.span_id
    told = attributes(server)
    assert told.pop("latchkey.decisions.allowed") > 0
    assert told == {
        "http.request.method": "POST",
        "http.route": "/graphql",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
        "latchkey.face": "graphql",
        "latchkey.request.id": answer.headers["x-request-id"],
        "latchkey.decisions.refused": 0,
        "graphql.operation.type": "mutation",
        "graphql.operation.name": "Make",
    }
    assert attributes(operation) == {"graphql.operation.type": "mutation", "graphql.operation.name": "Make"}
    assert attributes(spans["query"])["graphql.operation.name"] == "lkp_…"
    assert attributes(transaction)["db.system.name"] in {"sqlite", "postgresql"}
    assert attributes(spans["_OTHER /authz/{account}:{gate}/{path}"])["http.response.status_code"] == 403
    for untold in (secret, minted, "example.com", "hush", "an agent", "builtInRole", "secretname", "of-the-client"):
        assert untold.encode() not in watched.sent
    assert not watch.is_on


async def test_the_access_log_is_a_line_for_each_request_without_what_it_asked(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await warmed(exchange, exchange.authz())
    organisation = exchange.organisation
    async with watching(
        organisation, exchange.app, monkeypatch, caplog, metrics_port=None, traces=False, trusted_proxies="127.0.0.0/8"
    ) as watched:
        exchange.app = watched.app  # type: ignore[assignment] # as good as the one it is around
        line = exchange.line()
        caplog.clear()
        assert line.at_once(exchange.authz("X-Forwarded-For: 192.0.2.7")) == b""  # not where nobody would see it
        await line.hear()
        await line.hear(b"GET /healthz?token=lkp_" + b"a" * 36 + b" HTTP/1.1\r\nHost: l\r\n\r\n")
        line.hang_up()
    first, second = (vars(record)["told"] for record in caplog.records if record.name == "latchkey.access")
    assert first.pop("durationMs") > 0
    assert first.pop("requestId")
    told = {"message": "request", "method": "GET", "path": "/authz/main:forwarded", "status": 200, "bytes": 0}
    assert first == {**told, "address": "192.0.2.7"}
    assert (second["path"], second["status"], second["bytes"], second["address"]) == ("/healthz", 200, 3, "127.0.0.1")


def test_nobody_who_does_not_ask_for_it_loads_any_of_it() -> None:
    program = "import sys, server; from schema import schema; import web.app; print(*sys.modules, sep=chr(10))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not [name for name in loaded.stdout.split() if name.startswith(("opentelemetry", "prometheus_client"))]


async def test_unwatched_an_application_is_itself(organisation: Organisation, sqlite: None) -> None:  # noqa: ARG001
    from server import watched  # noqa: PLC0415 - the settings' own

    app = assembled(Settings(), organisation.house)
    async with watched(Settings(), organisation.house, app) as same:
        assert same is app
    assert not watch.is_on
    assert watchers.face_of("/authz/a:b/c") == "forward_auth"
