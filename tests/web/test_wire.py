"""The short way below ASGI: whatever comes in, and however it is cut up, it answers as the long way does."""

import asyncio
import gc
import re
import time
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from json import dumps, loads
from typing import Any

import pytest
import uvicorn
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from models import AuditEntry, GateSource, Outcome, Token, TokenAccess, TokenDay, TokenOrigin
from models.listening import HeardVersions
from resolvers import accounts, callers, gates, tokens
from resolvers.accounts import AccountChange
from resolvers.callers import Caller
from resolvers.gates import NewGate
from resolvers.refusing import record
from resolvers.scopes import Scope
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.effort import tries
from tests.organisation import Organisation
from tests.resolvers.test_verification import verifier
from tests.web.conftest import until
from tests.web.test_forward_auth import ONE, ROUTES
from web import answers
from web.answers import Answers
from web.proxies import LOOPBACK
from web.wire import MAX_BODY_BYTES, PATIENCE, SELDOM, Wire

REQUEST_ID = re.compile(rb"(x-(?:latchkey-)?request-id: |, request |\"requestId\":\")[0-9a-f-]{36}")
DATE = b"Mon, 01 Jan 2024 00:00:00 GMT"
YES, NO = b"HTTP/1.1 200 OK", b"HTTP/1.1 403 Forbidden"
MALFORMED = (
    b"HTTP/1.1 400 Bad Request\r\ndate: " + DATE + b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 30"
    b"\r\nconnection: close\r\n\r\nInvalid HTTP request received."
)
STREAMS = tries(150)
CHECK = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed } }"
QUERIES = (
    "{ viewer { token { name } account { key } } }",
    "{ viewer { member { name email } } }",
    '{ viewer { may(action: "viewProject", resource: "proj/web") { allowed } } }',
    f'{CHECK}|{{"checks": [{{"action": "viewProject", "resource": "proj/web"}}]}}',
    f'{CHECK}|{{"checks": 1}}',
    'query ($all: Boolean!) { viewer { account { key version @include(if: $all) } } }|{"all": true}',
    'query ($all: Boolean!) { viewer { account { key } sessions @include(if: $all) { totalCount } } }|{"all": false}',
    "{ viewer { sessions { totalCount } } }",
    "{ tokens { totalCount } members { nodes { name } } }",
    "{ __typename }",
    "{ __schema { queryType { name } } }",
    "{ nothing }",
    "{ viewer {",
    "subscription { auditEntryAdded { id } }",
    'mutation { updateToken(input: {id: "x", name: "y"}) { token { name } } }',
)
"""Of every kind: answered at once, waiting, refused in part, malformed, none."""


class Transport(asyncio.Transport):
    """A connection whose other end sends what a test says. What is written after the closing is lost."""

    def __init__(self, peer: str) -> None:
        super().__init__({"peername": (peer, 4711), "sockname": ("127.0.0.1", 8000)})
        self.written = bytearray()
        self.closing = False
        self.reading = True

    def write(self, data: Any) -> None:
        if not self.closing:
            self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Line:
    """One connection to the application, by uvicorn's protocol or by ours."""

    def __init__(self, app: Any, protocol: type[HttpToolsProtocol], peer: str = "127.0.0.1") -> None:
        config = uvicorn.Config(app, http=protocol, log_config=None, access_log=False, proxy_headers=False)
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", DATE)]
        self.transport = Transport(peer)
        self.protocol = protocol(config, self.state, {})
        self.protocol.connection_made(self.transport)

    async def hear(self, *pieces: bytes) -> bytes:
        """Send pieces one right after the other, wait, and give all answers so far, but for ids of requests."""
        for piece in pieces:
            if not self.transport.closing:
                self.protocol.data_received(piece)
        while self.state.tasks:
            waits = getattr(self.protocol.cycle, "more_body", False)  # for the rest of a body, in vain
            done, _ = await asyncio.wait(
                self.state.tasks, timeout=0.3 if waits else 10, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
        return REQUEST_ID.sub(rb"\1ID", bytes(self.transport.written))

    def at_once(self, data: bytes) -> bytes:
        """Send and give what was written before anything else could run."""
        before = len(self.transport.written)
        self.protocol.data_received(data)
        return bytes(self.transport.written[before:])

    def hang_up(self) -> None:
        self.protocol.connection_lost(None)


class Exchange:
    """An application with gates and a service that introspects, and requests to it."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation
        self.app = assembled(Settings(trusted_proxies=LOOPBACK), organisation.house)
        self.secret = self.client_id = self.client_secret = self.dead = ""

    async def furnish(self) -> "Exchange":
        owner = self.organisation.owner
        for source in (GateSource.FORWARDED, GateSource.PATH):
            wanted = NewGate(source.value.lower(), source.value, source, routes=ROUTES, preflights=True)
            await gates.define(owner, wanted, Said())
        self.secret = (await self.organisation.made(owner, Scope(statements=[ONE]))).secret or ""
        dead = await self.organisation.made(owner)
        await tokens.revoke(owner, dead.row.id, Said())
        self.dead = dead.secret or ""
        asker = await verifier(self.organisation)
        assert asker.token
        self.client_id, self.client_secret = str(asker.token.id), self.organisation.secrets[str(asker.token.id)]
        return self

    @property
    def basic(self) -> str:
        return f"Basic {b64encode(f'{self.client_id}:{self.client_secret}'.encode()).decode()}"

    def authz(self, *more: str, uri: str = "/web/x", version: str = "1.1", secret: str | None = None) -> bytes:
        told = ["X-Forwarded-Method: GET", f"X-Forwarded-Uri: {uri}", "X-Forwarded-Host: b.example"]
        lines = ["Host: l", f"Authorization: Bearer {secret or self.secret}", *told, *more]
        return raw(f"GET /authz/{self.organisation.account.key}:forwarded HTTP/{version}", lines)

    def introspect(self, *more: str, secret: str | None = None, form: str = "", version: str = "1.1") -> bytes:
        lines = ["Host: l", f"Authorization: {self.basic}", "Content-Type: application/x-www-form-urlencoded", *more]
        return raw(f"POST /oauth2/introspect HTTP/{version}", lines, f"token={secret or self.secret}{form}")

    def graphql(self, *more: str, query: str = "{ viewer { token { name } } }", secret: str | None = None) -> bytes:
        """Ask a query, with its variables behind a `|` if it has any."""
        text, _, variables = query.partition("|")
        body = dumps({"query": text, **({"variables": loads(variables)} if variables else {})})
        lines = ["Host: l", f"Authorization: Bearer {secret or self.secret}", "Content-Type: application/json", *more]
        return raw("POST /graphql HTTP/1.1", lines, body)

    def line(self, protocol: type[HttpToolsProtocol] = Wire, peer: str = "127.0.0.1") -> Line:
        return Line(self.app, protocol, peer)


def raw(first: str, lines: Sequence[str], body: str = "") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([first, *lines, *length, "", body]).encode("latin-1")


@pytest.fixture
async def exchange(organisation: Organisation, monkeypatch: pytest.MonkeyPatch, sqlite: None) -> Exchange:  # noqa: ARG001
    for memory in ("sent", "heard"):
        monkeypatch.setattr(Wire, memory, Answers())
    return await Exchange(organisation).furnish()


async def heard(exchange: Exchange) -> None:
    """Wait until this process has heard of all that was committed, and so may trust what it knows."""
    versions, asked_at_s = exchange.organisation.house.database.versions, time.monotonic()
    if isinstance(versions, HeardVersions):
        await until(lambda: versions._confirmed_at_s > asked_at_s)  # noqa: SLF001 - it tells nobody


async def warmed(exchange: Exchange, *requests: bytes) -> None:
    """Let memory know what the requests are decided by."""
    await heard(exchange)
    for request in requests:
        line = exchange.line(HttpToolsProtocol)
        await line.hear(request)
        line.hang_up()


def is_kept(request: bytes) -> bool:
    """Say whether the bytes themselves are known again."""
    return Wire.sent.digest(b"127.0.0.1\n" + request) in Wire.sent._kept  # noqa: SLF001 - it is about the memory


async def test_only_bytes_that_were_one_whole_request_are_known_again(exchange: Exchange) -> None:
    request = exchange.authz()
    await warmed(exchange, request)
    for pieces in ((request[:40], request[40:]), (request + request,), (request + b"G",)):
        await exchange.line().hear(*pieces)
        assert not any(map(is_kept, (*pieces, request)))
    closing, old, dead = exchange.authz("Connection: close"), exchange.authz(version="1.0"), exchange.dead
    for other in (closing, old, exchange.authz(secret=dead)):
        await exchange.line().hear(other)
        assert not is_kept(other)
    line = exchange.line()
    await line.hear(exchange.authz("Transfer-Encoding: chunked") + b"0\r\nX-A: b\r\n\r\n")
    assert line.at_once(request).startswith(YES)
    assert not is_kept(request)
    line = exchange.line()
    assert [line.at_once(request)[:15] for _ in range(2)] == [YES, YES]
    assert is_kept(request)
    assert exchange.secret not in repr([*Wire.sent._kept.items(), *Wire.heard._kept.items()])  # noqa: SLF001


async def test_headers_that_decide_nothing_do_not_keep_an_answer_from_being_known_again(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warmed(exchange, exchange.authz(), exchange.introspect())
    line = exchange.line()
    for request in (exchange.authz, exchange.introspect):
        assert line.at_once(request("X-Request-Id: 0", "Cookie: a=b")).startswith(YES)
    monkeypatch.setattr(type(exchange.app), "at_once", None)
    for number in range(PATIENCE + 3 * SELDOM):
        for request in (exchange.authz, exchange.introspect):
            assert line.at_once(request(f"X-Request-Id: {number}", "Traceparent: 00-1-2-01")).startswith(YES)


async def test_the_memory_has_an_end(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWERS_KEPT", 3)
    await warmed(exchange, exchange.authz())
    line = exchange.line()
    for number in range(20):
        assert line.at_once(exchange.authz(uri=f"/web/{number // 2}")).startswith(YES)
    assert len(Wire.sent._kept) == len(Wire.heard._kept) == 3  # noqa: SLF001


async def test_where_verdicts_may_be_kept_each_answer_says_its_own_until_when(exchange: Exchange) -> None:
    await accounts.update(exchange.organisation.owner, AccountChange(verdict_lifetime_s=30), Said())
    await warmed(exchange, exchange.introspect())
    line = exchange.line()
    assert all(b'"cache_until":' in line.at_once(exchange.introspect()) for _ in range(2))
    assert not Wire.heard._kept  # noqa: SLF001 - it is about the memory


async def test_every_use_is_noted(exchange: Exchange) -> None:
    house, token = exchange.organisation.house, await Token.get(id=exchange.client_id)
    agent = exchange.authz("User-Agent: curl/8", "X-Forwarded-For: 198.51.100.7")
    told = exchange.introspect("User-Agent: api", form="&address=198.51.100.8")
    await warmed(exchange, agent, told)
    line = exchange.line()
    await house.uses.flush()
    for _ in range(2):
        await TokenDay.all().delete()
        await TokenOrigin.all().delete()
        assert line.at_once(agent).startswith(YES)
        assert line.at_once(told).startswith(YES)
        await house.uses.flush()
        noted = await TokenOrigin.all().values_list("token_id", "address", "user_agent", "uses")
        asker = (token.id, "127.0.0.1", "api", 1)
        assert sorted(row[1:] for row in noted if row != asker) == [
            ("198.51.100.7", "curl/8", 1),
            ("198.51.100.8", "", 1),
        ]
        assert asker in noted
        days = await TokenDay.all().values_list("token_id", "action", "allowed", "refused")
        assert sorted(row[1:] for row in days if row[0] != token.id) == [("", 1, 0), ("viewProject", 1, 0)]
        assert [row[1:] for row in days if row[0] == token.id] == [("verifyAccessToken", 1, 0)]


async def test_a_scope_on_trial_changes_no_answer_and_what_it_would_refuse_is_counted(exchange: Exchange) -> None:
    house, owner = exchange.organisation.house, exchange.organisation.owner
    row = (await callers.identify(exchange.secret, exchange.organisation.request)).token
    assert row
    asked = [exchange.authz(), exchange.introspect(form="&action=viewProject&resource=proj/web")]

    async def told() -> list[bytes]:
        """Ask the long way, the short way, and twice in the same bytes."""
        long = [await exchange.line(HttpToolsProtocol).hear(request) for request in asked]
        lines = [exchange.line() for _ in asked]
        return long + [
            REQUEST_ID.sub(rb"\1ID", line.at_once(request))
            for _ in range(3)
            for line, request in zip(lines, asked, strict=True)
        ]

    before = await told()
    assert all(answer.startswith(YES) for answer in before)
    await tokens.try_scope(owner, row.id, Scope(statements=[]), Said())
    assert await told() == before
    await house.uses.flush()
    (access,) = await TokenAccess.filter(token_id=row.id)
    assert (access.action, access.specifier) == ("viewProject", "proj/web")
    assert (access.allowed, access.refused, access.trial_refused) == (16, 0, 8)
    day = await TokenDay.get(token_id=row.id, action="viewProject")
    assert (day.allowed, day.refused, day.trial_refused) == (16, 0, 8)
    await tokens.try_scope(owner, row.id, Scope(statements=[ONE]), Said())
    assert await told() == before
    await house.uses.flush()
    assert (await TokenAccess.get(token_id=row.id)).trial_refused == 0


async def test_who_is_no_trusted_proxy_is_not_taken_for_one_that_asked_the_same(exchange: Exchange) -> None:
    await warmed(exchange, exchange.authz())
    assert exchange.line().at_once(exchange.authz()).startswith(YES)
    stranger = exchange.line(peer="192.0.2.66")
    assert (await stranger.hear(exchange.authz())).startswith(NO)


async def test_no_answer_overtakes_another(exchange: Exchange) -> None:
    await warmed(exchange, exchange.authz())
    slow, quick = raw("GET /healthz HTTP/1.1", ["Host: l"]), exchange.authz()
    line = exchange.line()
    assert line.at_once(slow) == b""
    assert line.at_once(quick) == b""
    told = await line.hear()
    assert told.index(b"ok\n") < told.index(b"x-latchkey-account")


async def test_a_peer_that_does_not_read_is_not_written_to(exchange: Exchange) -> None:
    await warmed(exchange, exchange.authz())
    line = exchange.line()
    line.protocol.pause_writing()
    assert line.at_once(exchange.authz()) == b""
    line.protocol.resume_writing()
    assert (await line.hear()).startswith(YES)


async def test_connections_are_counted_kept_and_closed_as_ever(exchange: Exchange) -> None:
    await warmed(exchange, exchange.authz())
    line = exchange.line()
    for number in (1, 2, 3):
        assert line.at_once(exchange.authz()).startswith(YES)
        assert line.state.total_requests == number
        assert line.protocol.timeout_keep_alive_task
        assert not line.protocol.timeout_keep_alive_task.cancelled()
    assert line.state.connections == {line.protocol}
    line.protocol.shutdown()
    assert line.transport.closing
    closed = exchange.line()
    assert b"\r\nconnection: close\r\n" in closed.at_once(exchange.authz("Connection: close"))
    assert closed.transport.closing


async def test_what_memory_trips_over_is_left_to_the_application(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warmed(exchange, exchange.authz())
    line = exchange.line()
    assert line.at_once(exchange.authz()).startswith(YES)

    def broken(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(type(exchange.organisation.house.database.versions), "known", broken)
    assert (await exchange.line().hear(exchange.authz())).startswith(b"HTTP/1.1 503 ")


def messages(exchange: Exchange) -> st.SearchStrategy[bytes]:
    """Write requests, most of them well-formed: every way of asking, and what has broken servers before."""
    credential = st.sampled_from([exchange.secret, exchange.secret, exchange.dead, exchange.client_secret, "x", ""])
    target = st.sampled_from([
        "/authz/main:forwarded", "/authz/main:forwarded", "/authz/main:forwarded/x?y=z", "/authz/main:none", "/authz/",
        "/authz/main:path/web/x", "/authz/main:path/app", "/authz/main:path/web/../app", "/authz/main:path/web%2fx",
        "/authz/main:path/web#x", "/authz/main:path//web", "/authz/main:path/we%ff", "/authz/main:path/w\xe9b",
        "http://h/authz/main:forwarded", "//authz/main:forwarded", "/%61uthz/main:forwarded", "/authz", "*",
        "/oauth2/introspect", "/oauth2/introspect", "/oauth2/introspect?token=x", "/oauth2/introspect/",
        "/oauth2/introspection", "/oauth2/%69ntrospect", "/healthz", "h:80", "/graphql",
        "/graphql?x=y", "/graphql/", "/graphqls", "/%67raphql",
    ])  # fmt: skip
    header = st.one_of(
        st.sampled_from([
            "X-Forwarded-Method: GET", "x-forwarded-method:POST", "X-FORWARDED-URI: /web/x", "X-Forwarded-Uri:\t/web ",
            "X-Forwarded-Uri: /app", "X-Forwarded-Host: b.example", "x-forwarded-host: a.example", "Host: b.example",
            "X-Forwarded-For: 198.51.100.7, 127.0.0.1", "User-Agent: curl", "Cookie: latchkey_session=x", "X-Empty:",
            "Connection: close", "Connection: keep-alive", "Connection: x, Close", "Expect: 100-continue", "Expect: x",
            "Upgrade: h2c", "Connection: upgrade", "Origin: https://a.example", "Access-Control-Request-Method: PUT",
            "Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain", "Content-Encoding: gzip",
            "Content-Length: 0", "Content-Length: 00", "Content-Length: +1", "Content-Length: 1, 1", "X: a\r\n b",
            "Content-Length : 0", "Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "X Y: z", ": x", "none",
            "Transfer-Encoding: x, chunked", "Transfer-Encoding: chunked, x", "X: \x01", "X: \xe9", "X: a\rb", "X:\nb",
        ]),
        credential.map(lambda secret: f"Authorization: Bearer {secret}"),
        credential.map(lambda secret: f"AUTHORIZATION:  bearer  {secret} "),
        credential.map(lambda secret: f"authorization: {secret}"),
        st.just(f"Authorization: {exchange.basic}"),
    )  # fmt: skip
    body = st.sampled_from([
        "", f"token={exchange.secret}", f"token={exchange.dead}", "token=", "token=a&token=b", "0\r\n\r\n", "x" * 5_000,
        f"token={exchange.secret}&address=::1", f"token={exchange.secret}&action=viewProject&resource=proj/web",
        "5\r\ntoken\r\n0\r\n\r\n", "0\r\nAuthorization: Bearer x\r\n\r\n", "GET /healthz HTTP/1.1\r\n\r\n",
    ])  # fmt: skip
    method = st.sampled_from(["GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "get", "PRI"])
    version = st.sampled_from(["HTTP/1.1"] * 5 + ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""])
    odd = st.builds(lambda *first: " ".join(first), method, target, version)
    anything = st.builds(raw, odd, st.lists(header, max_size=8), body)
    usual = st.lists(header, max_size=2)
    return st.one_of(
        anything,
        usual.map(lambda more: exchange.authz(*more)),
        usual.map(lambda more: exchange.introspect(*more)),
        st.builds(lambda more, query: exchange.graphql(*more, query=query), usual, st.sampled_from(QUERIES)),
        st.sampled_from([exchange.authz(), exchange.authz(version="1.0"), exchange.introspect(), b"\r\n", b"\x00"]),
    )


def cut(data: bytes, places: Sequence[float]) -> list[bytes]:
    ends = sorted({int(place * len(data)) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


async def test_both_ways_answer_everything_alike(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes from nowhere in particular, cut up anywhere, as they come or one by one, with a cold memory and a warm."""
    caplog.set_level("CRITICAL")
    streams: list[tuple[list[bytes], list[float]]] = []

    @settings(max_examples=STREAMS, database=None, derandomize=True, phases=[Phase.generate], deadline=None)
    @given(st.lists(messages(exchange), min_size=1, max_size=4), st.lists(st.floats(0, 1), max_size=3))
    def gather(sent: list[bytes], places: list[float]) -> None:
        streams.append((sent, places))

    gather()
    short = 0
    for sent, places in streams:
        pieces = cut(b"".join(sent), places)
        one_by_one = await said(exchange.line(HttpToolsProtocol), *([message] for message in sent))
        for turns in ([pieces], [[piece] for piece in pieces]):
            long_way = await said(exchange.line(HttpToolsProtocol), *turns)
            for _ in range(3):
                line = exchange.line()
                told = await said(line, *turns)
                if told != long_way:  # uvicorn drops what is not answered yet when something malformed comes behind
                    told, long_way_told = (each.removesuffix(MALFORMED) for each in (told, long_way))
                    assert long_way == long_way_told + MALFORMED, sent
                    assert told.startswith(long_way_told), sent
                    assert one_by_one.startswith(told), sent
                short += line.protocol._settled is not None  # type: ignore[attr-defined] # noqa: SLF001
    assert short > STREAMS // 4, "the short way was hardly taken"


async def said(line: Line, *turns: Sequence[bytes]) -> bytes:
    told = b""
    for pieces in turns:
        told = await line.hear(*pieces)
    line.hang_up()
    return told


async def test_what_a_proxy_may_send_is_answered_as_ever(exchange: Exchange) -> None:
    """What is well-formed to the last, and needs the long way, or comes close to it."""
    await warmed(exchange, exchange.authz(), exchange.introspect())
    told = ["Host: b.example", f"Authorization: Bearer {exchange.secret}"]
    methods = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "QUERY", "CONNECT")
    places = (
        "/authz/main:path/web",
        "/authz/main:path/app",
        "http://b.example/authz/main:path/web",
        "/authz/main:none",
    )
    requests = [
        *(
            raw(f"{method} {place} HTTP/1.1", told, body)
            for method in methods
            for place in places
            for body in ("", "x")
        ),
        *(each("Expect: 100-continue") for each in (exchange.authz, exchange.introspect)),
        *(each("Connection: Upgrade", "Upgrade: h2c") for each in (exchange.authz, exchange.introspect)),
        *(each("Connection: close", "Connection: keep-alive") for each in (exchange.authz, exchange.introspect)),
        *(each("Connection: keep-alive", version="1.0") for each in (exchange.authz, exchange.introspect)),
        exchange.introspect("Content-Encoding: gzip"),
        exchange.introspect("Content-Type: text/plain"),
        exchange.introspect(secret=exchange.dead),
        exchange.introspect(form="&x=1&x=2"),
        exchange.authz(f"Authorization: Bearer {exchange.secret}"),
        exchange.authz("Content-Length: 0"),
        *(exchange.graphql(query=query) for query in QUERIES),
        exchange.graphql(query=f'{QUERIES[0]}|{{"x": {"[" * 101}{"]" * 101}}}'),  # nested too deeply, and not asked for
        exchange.graphql(secret=exchange.dead),
        exchange.graphql(f"Authorization: Bearer {exchange.secret}"),
        *(
            exchange.graphql(header)
            for header in (
                "Accept: application/graphql-response+json",
                "Accept: text/html",
                "Accept: text/plain",
                "Content-Type: text/plain",
                "Content-Encoding: gzip",
                "Content-Encoding: identity",
                "Origin: https://a.example",
                "Cookie: latchkey_session=x",
                "X-Forwarded-For: 198.51.100.7",
                "Expect: 100-continue",
            )
        ),
        *(
            raw("POST /graphql HTTP/1.1", [*told, "Content-Type: application/json"], body)
            for body in ("", "{", "[]", "{}", '{"query": 1}', '{"query": "{ viewer { id } }", "extensions": 1}', "\xff")
        ),
        raw(
            "POST /graphql HTTP/1.1", [*told, "Content-Type: text/plain"], '{"query": "{ viewer { token { name } } }"}'
        ),
        raw("GET /graphql HTTP/1.1", [*told, "Accept: text/html"]),
        raw("PUT /graphql HTTP/1.1", [*told, "Content-Type: application/json"], '{"query": "{ __typename }"}'),
        exchange.authz("Origin: https://a.example", "Access-Control-Request-Method: PUT"),
    ]
    for request in requests:
        long_way = await exchange.line(HttpToolsProtocol).hear(request)
        assert long_way.startswith(b"HTTP/1.1 ")
        for _ in range(3):
            assert await exchange.line().hear(request) == long_way, request


async def test_a_query_that_waits_after_all_is_answered_once_and_no_longer_at_once(exchange: Exchange) -> None:
    house = exchange.organisation.house
    secret = (await exchange.organisation.made(exchange.organisation.owner)).secret
    query = "query ($all: Boolean!) { viewer { member { email } } members @include(if: $all) { nodes { email } } }"
    some, every = (exchange.graphql(query=f'{query}|{{"all": {each}}}', secret=secret) for each in ("false", "true"))
    await warmed(exchange, some, some)
    line = exchange.line()
    assert line.at_once(some).startswith(YES)
    await house.uses.flush()
    await TokenDay.all().delete()
    assert line.at_once(every) == b""
    assert (await line.hear()).count(YES) == 2
    for turn in (3, 4):
        assert line.at_once(some) == b""
        assert (await line.hear()).count(b"owner@main.example") == turn + 1
    await house.uses.flush()
    assert await TokenDay.all().order_by("action").values_list("action", "allowed", "refused") == [
        ("viewMember", 1, 0),
        ("viewMemberEmail", 3, 0),
    ]


async def test_a_query_is_noted_alike_on_both_ways(exchange: Exchange) -> None:
    house = exchange.organisation.house
    for query in QUERIES[:7]:
        request = exchange.graphql("User-Agent: curl/8", query=query)
        await warmed(exchange, request, request)
        noted = []
        for protocol in (HttpToolsProtocol, Wire):
            await house.uses.flush()
            await TokenDay.all().delete()
            await TokenOrigin.all().delete()
            await exchange.line(protocol).hear(request)
            await house.uses.flush()
            days = await TokenDay.all().order_by("action").values_list("action", "allowed", "refused")
            noted.append((days, await TokenOrigin.all().values_list("address", "user_agent", "uses")))
        assert noted[0] == noted[1], query
        assert noted[0][1] == [("127.0.0.1", "curl/8", 1)]


async def test_a_body_beyond_the_limit_is_refused_however_short_the_way(exchange: Exchange) -> None:
    exchange.app = assembled(Settings(max_body_bytes=1024), exchange.organisation.house)
    request, long = exchange.graphql(), exchange.graphql(query=QUERIES[0] + " " * 1024)
    await warmed(exchange, request, request, long, long)
    assert exchange.line().at_once(request).startswith(YES)
    assert exchange.line().at_once(long) == b""
    assert b" 413 " in await exchange.line().hear(long)


async def test_what_is_limited_or_a_browsers_is_not_answered_at_once(exchange: Exchange) -> None:
    limited = await exchange.organisation.made(exchange.organisation.owner, rate_limits=["100/minute"])
    free = exchange.graphql()
    for request in (
        exchange.graphql(secret=limited.secret),
        exchange.graphql("Origin: https://a.example"),
        free.replace(b"Authorization: Bearer ", b"Cookie: latchkey_session="),
    ):
        await warmed(exchange, free, free, request, request)
        assert exchange.line().at_once(free).startswith(YES)
        line = exchange.line()
        assert line.at_once(request) == b""
        assert (await line.hear()).startswith(b"HTTP/1.1 ")


async def test_a_body_is_never_taken_for_a_request(exchange: Exchange) -> None:
    """Not even where it is the very bytes of one that was answered before, and its own request is answered early."""
    inner = exchange.authz()
    await warmed(exchange, inner)
    assert exchange.line().at_once(inner).startswith(YES)
    for first in ("POST /nowhere", "POST /authz/main:forwarded", "POST /oauth2/introspect"):
        head = raw(f"{first} HTTP/1.1", ["Host: l", f"Content-Length: {len(inner)}"])
        chunked = raw(f"{first} HTTP/1.1", ["Host: l", "Transfer-Encoding: chunked"]) + f"{len(inner):x}\r\n".encode()
        for outer in (head, chunked):
            line = exchange.line()
            before = await line.hear(outer)
            assert before.count(b"HTTP/1.1 ") == 1
            assert await line.hear(inner) == before


async def test_a_request_may_come_byte_by_byte(exchange: Exchange) -> None:
    for request in (exchange.authz(), exchange.introspect()):
        await warmed(exchange, request)
        whole = await exchange.line().hear(request)
        line = exchange.line()
        assert await line.hear(*(request[at : at + 1] for at in range(len(request)))) == whole
        for at in range(1, len(request)):
            assert await exchange.line().hear(request[:at], request[at:]) == whole
            assert await exchange.line().hear(request + request[:at], request[at:]) == whole + whole


async def test_a_long_body_is_the_applications(exchange: Exchange) -> None:
    long = exchange.introspect(form="&x=" + "y" * MAX_BODY_BYTES)
    await warmed(exchange, exchange.introspect())
    line = exchange.line()
    assert line.at_once(long) == b""
    assert await line.hear() == await exchange.line(HttpToolsProtocol).hear(long)


async def test_what_comes_behind_a_body_is_no_header(exchange: Exchange) -> None:
    body = b'{"query":"{viewer{account{key}}}"}'
    head = raw("POST /graphql HTTP/1.1", ["Host: l", "Content-Type: application/json", "Transfer-Encoding: chunked"])
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    trailer = f"Authorization: Bearer {exchange.secret}\r\n\r\n".encode()
    assert b"UNAUTHENTICATED" in await exchange.line().hear(head + chunks + trailer)


async def test_answers_keep_no_caller_alive(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, Caller) for each in gc.get_objects())

    monkeypatch.setattr(callers, "MEMORY_SIZE", 5)
    owner, scope = exchange.organisation.owner, Scope(statements=[ONE])
    secrets = [(await exchange.organisation.made(owner, scope)).secret for _ in range(40)]
    before = alive()
    line, slow = exchange.line(), exchange.line(HttpToolsProtocol)
    for secret in secrets:
        await slow.hear(exchange.authz(secret=secret))
        assert line.at_once(exchange.authz(secret=secret)).startswith(YES)
        line.transport.written.clear()
        slow.transport.written.clear()
    assert alive() - before < 20


async def test_every_refusal_is_recorded_whether_memory_gives_it_or_not(exchange: Exchange) -> None:
    asked = [exchange.authz(uri="/app"), exchange.introspect(form="&action=updateOn&resource=proj/a%3Bt:env/b:flag/c")]
    asked += [
        exchange.authz(),
        exchange.introspect(),
        exchange.introspect(form="&action=viewProject&resource=proj/web"),
    ]
    await warmed(exchange, *asked)
    line = exchange.line()
    for _ in range(4):
        assert all(line.at_once(request) for request in asked)
    await record(exchange.organisation.house, all_=True)
    entries = await AuditEntry.filter(outcome=Outcome.REFUSED).order_by("sequence")
    told = sorted((*entry.accesses[0].values(), (entry.after or {})["count"]) for entry in entries)
    assert told == [("updateOn", "proj/a:env/b:flag/c", 5), ("viewProject", "proj/app", 5)]
    assert {(str(entry.token_id), entry.actor_kind.value) for entry in entries} == {
        (str((await exchange.organisation.identify(exchange.secret)).token.id), "PERSONAL")  # type: ignore[union-attr]
    }
