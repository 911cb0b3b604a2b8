"""Requests made to cost as much as they can are refused before anything is resolved or read, within a moment of CPU."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import graphql.execution
import httpx2
import pytest

from bench.hostile import REQUESTS
from schema import plans
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from web import execution

CPU_MS = 50
SLOWER = 3
"""How much slower than the machine on which the limit was set those may be that run the tests."""


@pytest.fixture
async def client(organisation: Organisation) -> AsyncIterator[httpx2.AsyncClient]:
    """The owner, remembered."""
    assert organisation.owner.token
    secret = organisation.secrets[str(organisation.owner.token.id)]
    headers = {
        "authorization": secret,
        "content-type": "application/json",
        "accept": "application/graphql-response+json",
    }
    transport = httpx2.ASGITransport(assembled(Settings(), organisation.house))
    async with httpx2.AsyncClient(transport=transport, base_url="http://latchkey.test", headers=headers) as client:
        yield client


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the fields that are resolved, and the subscriptions that are begun."""
    count: Counter[str] = Counter()
    field, source = plans.Run._field, graphql.execution.create_source_event_stream  # noqa: SLF001 - all come through it

    def counted(run: Any, step: Any, *rest: Any) -> Any:
        count[step.name] += 1
        return field(run, step, *rest)

    def begun(*arguments: Any) -> Any:
        count["subscription"] += 1
        return source(*arguments)

    monkeypatch.setattr(plans.Run, "_field", counted)
    monkeypatch.setattr(execution, "create_source_event_stream", begun)
    return count


@pytest.mark.usefixtures("sqlite")
async def test_an_attack_reaches_no_resolver_and_no_database_and_costs_a_moment(
    client: httpx2.AsyncClient, resolved: Counter[str], statements: list[str]
) -> None:
    answer = await client.post("/graphql", json={"query": "{ tokens { totalCount } }"})
    assert answer.json()["data"]
    assert resolved["tokens"]
    assert statements
    took_ms = {}
    for name, hostile in REQUESTS.items():
        resolved.clear()
        statements.clear()
        tries = []
        for _ in range(3):
            begin_s = time.process_time()
            answer = await client.post("/graphql", content=hostile.fresh())
            tries.append((time.process_time() - begin_s) * 1e3)
            assert answer.status_code == 400, name
            codes = {error["extensions"]["code"] for error in answer.json()["errors"]}
            assert codes == {hostile.code}, (name, answer.json()["errors"][:2])
            assert len(answer.content) < 4096, name
        assert (dict(resolved), statements) == ({}, []), name
        took_ms[name] = min(tries)
    assert {name: ms for name, ms in took_ms.items() if ms > CPU_MS * SLOWER} == {}
