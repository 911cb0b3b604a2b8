"""On either database, the short way below ASGI is taken where memory knows, and only while it does."""

from datetime import timedelta

import pytest

from core.secret import Secret, SecretKind
from models import Token, TokenKind, now
from resolvers import tokens
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.web.test_forward_auth import ONE
from tests.web.test_restrictions import exchange
from tests.web.test_wire import NO, QUERIES, YES, Exchange, warmed

__all__ = ["exchange"]


async def test_what_memory_knows_is_answered_before_anything_else_runs(exchange: Exchange) -> None:
    asked = [
        (YES, exchange.authz()),
        (YES, exchange.authz("Connection: close", uri="/web/y")),
        (YES, exchange.authz(version="1.0")),
        (NO, exchange.authz(uri="/app")),
        (YES, exchange.introspect()),
        (YES, exchange.introspect(form="&action=viewProject&resource=proj/web")),
    ]
    for _, request in asked:
        assert exchange.line().at_once(request) == b""
    await warmed(exchange, *(request for _, request in asked))
    for status, request in asked * 2:
        assert exchange.line().at_once(request).startswith(status)


@pytest.mark.parametrize("ends", ["token", "grace"])
async def test_an_answer_ends_with_what_it_depends_on(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    owner, soon = exchange.organisation.owner, now() + timedelta(hours=1)
    end = soon if ends == "token" else None
    mortal = await exchange.organisation.made(owner, Scope(statements=[ONE]), expires_at=end)
    if ends == "grace":
        await tokens.reset(owner, mortal.row.id, Said(), old_ends_at=soon)
    secret = mortal.secret or ""
    asked = [exchange.authz(secret=secret), exchange.introspect(secret=secret)]
    await warmed(exchange, *asked)
    lines = [exchange.line() for _ in asked]
    both = list(zip(lines, asked, strict=True))
    assert [line.at_once(request)[:15] for line, request in both * 2] == [YES] * 4
    monkeypatch.setattr("resolvers.callers.now", lambda: soon - timedelta(seconds=1))
    assert [line.at_once(request)[:15] for line, request in both] == [YES] * 2
    monkeypatch.setattr("resolvers.callers.now", lambda: soon)
    for line in lines:
        line.transport.written.clear()
    assert [line.at_once(request) for line, request in both] == [b"", b""]
    unknown = Secret.mint(SecretKind.PERSONAL).text
    never = [await exchange.line().hear(ask(secret=unknown)) for ask in (exchange.authz, exchange.introspect)]
    assert [await line.hear() for line in lines] == never
    assert never[0].startswith(b"HTTP/1.1 401 ")
    assert never[1].endswith(b'{"active":false}')
    monkeypatch.undo()
    await tokens.revoke(owner, mortal.row.id, Said())
    told = [(await exchange.line().hear(request)) for request in asked]
    assert told[0].startswith(b"HTTP/1.1 401 ")
    assert told[1].endswith(b'{"active":false}')


async def test_the_asker_too_must_still_be_one(exchange: Exchange) -> None:
    await warmed(exchange, exchange.introspect())
    line = exchange.line()
    assert [line.at_once(exchange.introspect())[:15] for _ in range(2)] == [YES, YES]
    row = await Token.get(id=exchange.client_id)
    assert row.kind is TokenKind.SERVICE
    await tokens.revoke(exchange.organisation.owner, row.id, Said())
    assert (await exchange.line().hear(exchange.introspect())).startswith(b"HTTP/1.1 401 ")


async def test_a_query_that_waits_for_nothing_is_answered_before_anything_else_runs(exchange: Exchange) -> None:
    at_once, waits = QUERIES[0], QUERIES[7]
    asked = {query: exchange.graphql(query=query) for query in (at_once, waits)}
    for request in asked.values():
        await warmed(exchange, request, request)
    line = exchange.line()
    for _ in range(3):
        assert line.at_once(asked[at_once]).startswith(YES)
    assert line.at_once(asked[waits]) == b""
    assert (await line.hear()).count(YES) == 4


async def test_a_revoked_token_is_not_answered_at_once(exchange: Exchange) -> None:
    mortal = await exchange.organisation.made(exchange.organisation.owner)
    request = exchange.graphql(secret=mortal.secret)
    await warmed(exchange, request, request)
    line = exchange.line()
    assert line.at_once(request).startswith(YES)
    await tokens.revoke(exchange.organisation.owner, mortal.row.id, Said())
    assert line.at_once(request) == b""
    assert b"HTTP/1.1 401 " in await line.hear()
