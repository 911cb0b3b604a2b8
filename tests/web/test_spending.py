"""What callers may spend: in one operation, in a minute, in time, and at once. What is too much has done nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest
from graphql import get_introspection_query

from core.errors import RateLimited
from tests.web.house import ALIVE, ORIGIN, World, build
from web.budgets import Budget
from web.errors import MAX_ERRORS
from web.limits import Limits
from web.turns import Turns

ASKING = {"cost": True}
OTHER = {"authorization": "lkp_other"}
Asking = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def limited(world: World) -> Asking:
    """Serve the world within other limits, to a client with a credential."""

    @asynccontextmanager
    async def limited(secret: str | None = ALIVE, **limits: Any) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(app=build(world, limits=Limits(**limits)))
        headers = {"accept": "application/graphql-response+json"}
        if secret is not None:
            headers["authorization"] = secret
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
            yield client

    return limited


async def ask(client: httpx2.AsyncClient, query: str, **members: Any) -> httpx2.Response:
    return await client.post("/graphql", json={"query": query, **members})


async def came(world: World, count: int) -> None:
    """Wait until so many requests have come."""
    while world.calls["identify"] < count:  # noqa: ASYNC110 - the world counts, and tells nobody
        await asyncio.sleep(0)


def code(answer: httpx2.Response) -> str:
    (error,) = answer.json()["errors"]
    told: str = error["extensions"]["code"]
    return told


async def test_an_answer_says_what_it_cost_if_it_is_asked(limited: Asking, world: World) -> None:
    members = "query ($n: Int) { members(first: $n) { nodes { id } } }"
    async with limited(cost=50) as client:
        silent = await ask(client, members, variables={"n": 3})
        assert "extensions" not in silent.json()
        told = await ask(client, members, variables={"n": 3}, extensions=ASKING)
        assert told.json() == {**silent.json(), "extensions": {"cost": {"requested": 4, "limit": 50}}}
        free = await ask(client, "{ hello invalid }", extensions=ASKING)
        assert free.json()["extensions"] == {"cost": {"requested": 1, "limit": 50}}
        changed = await ask(client, "mutation { change(input: {}) }", extensions=ASKING)
        assert changed.json()["extensions"] == {"cost": {"requested": 1, "limit": 50}}
        for odd in ({"cost": False}, {"cost": "true"}, {"cost": None}, {}):
            assert "extensions" not in (await ask(client, "{ hello }", extensions=odd)).json()
        world.calls.clear()
        refused = await ask(client, members, variables={"n": 50}, extensions=ASKING)
    assert refused.json()["errors"][0]["extensions"] == {"code": "QUERY_TOO_COMPLEX", "cost": 51, "limit": 50}
    assert dict(world.calls) == {"identify": 1}


async def test_who_sends_no_credential_may_spend_less(limited: Asking, world: World) -> None:
    query = "{ members(first: 100) { nodes { id } } }"
    async with limited() as client:
        assert (await ask(client, query)).status_code == 200
    async with limited(None) as client:
        world.calls.clear()
        refused = await ask(client, query)
        assert refused.json()["errors"][0]["extensions"] == {"code": "QUERY_TOO_COMPLEX", "cost": 101, "limit": 100}
        assert not world.calls
        assert (await ask(client, query.replace("100", "99"))).status_code == 200


async def test_a_credential_may_spend_so_much_in_a_minute(limited: Asking, world: World) -> None:
    world.callers["lkp_other"] = "bob"
    query = "{ members(first: 9) { nodes { id } } }"
    async with limited(cost_a_minute=45) as client:
        answers = [await ask(client, query, extensions=ASKING) for _ in range(3)]
        left = [answer.json()["extensions"]["cost"] for answer in answers[:2]]
        assert left == [{"requested": 10, "limit": 45, "remaining": each} for each in (25, 5)]
        assert answers[0].headers["ratelimit-policy"] == '"cost";q=45;w=60'
        assert answers[0].headers["ratelimit"] == '"cost";r=25;t=27'
        assert (answers[2].status_code, code(answers[2])) == (429, "RATE_LIMITED")
        retry_after_s = answers[2].json()["errors"][0]["extensions"]["retryAfter"]
        assert (answers[2].headers["retry-after"], 5 <= retry_after_s <= 7) == (str(retry_after_s), True)
        assert world.calls["members"] == 2
        other = await client.post("/graphql", json={"query": query}, headers=OTHER)
        assert other.status_code == 200
        too_much = await client.post("/graphql", json={"query": query.replace("9", "99")}, headers=OTHER)
        assert too_much.json()["errors"][0]["extensions"] == {"code": "QUERY_TOO_COMPLEX", "cost": 100, "limit": 45}
    async with limited(None, anonymous_cost_a_minute=45) as client:
        assert [(await ask(client, query)).status_code for _ in range(3)] == [200, 200, 429]


def test_a_budget_comes_back_evenly_and_is_forgotten_when_it_is_whole() -> None:
    at_s = 1000.0
    budget = Budget(60, lambda: at_s)
    assert budget.spend("ada", 60) == (0, 60)
    with pytest.raises(RateLimited) as refused:
        budget.spend("ada", 5)
    assert refused.value.retry_after_s == 5
    at_s += 5
    assert budget.spend("ada", 5) == (0, 60)
    at_s += 90
    assert budget.spend("bob", 1) == (59, 1)
    assert len(budget) == 1
    for number in range(1000):
        at_s += 0.5
        budget.spend(number, 1)
    assert len(budget) < 10


async def test_a_query_that_takes_too_long_is_ended(limited: Asking, world: World) -> None:
    async with limited(seconds=0.05) as client:
        answer = await ask(client, "{ hello waiting }")
        assert (answer.status_code, answer.json()) == (
            503,
            {
                "errors": [
                    {
                        "message": "the operation took longer than 0.05 s",
                        "extensions": {"code": "TIMED_OUT", "limit": 0.05},
                    }
                ]
            },
        )
        assert world.finished == ["cancelled"]
        world.gate.set()
        assert (await ask(client, "{ waiting }")).json() == {"data": {"waiting": "waited"}}


async def test_a_mutation_that_takes_too_long_ends_what_it_began_and_begins_nothing_more(
    limited: Asking, world: World
) -> None:
    query = 'mutation { one: slow(name: "one") two: slow(name: "two") change(input: {}) }'
    async with limited(seconds=0.05) as client:
        asking = asyncio.create_task(ask(client, query))
        await world.entered.wait()
        await asyncio.sleep(0.06)  # its time was running when it was entered, so it is over now
        world.gate.set()
        answer = await asking
    late = {"code": "TIMED_OUT", "limit": 0.05}
    assert (answer.status_code, answer.json()["data"]) == (200, {"one": "one", "two": None, "change": None})
    assert [(error["path"], error["extensions"]) for error in answer.json()["errors"]] == [
        (["two"], late),
        (["change"], late),
    ]
    assert (world.finished, world.calls["change"]) == (["one"], 0)


async def test_a_credential_runs_so_many_operations_at_once_and_a_few_more_wait(limited: Asking, world: World) -> None:
    world.callers["lkp_other"] = "bob"
    async with limited(running=2, waiting=3, seconds=20) as client:
        begun = [asyncio.create_task(ask(client, query)) for query in ("{ waiting }", 'mutation { slow(name: "x") }')]
        await came(world, 2)
        waiting = [asyncio.create_task(ask(client, "{ waiting }")) for _ in range(3)]
        await came(world, 5)
        refused = [await ask(client, query) for query in ("{ waiting }", 'mutation { slow(name: "y") }')]
        assert [(each.status_code, code(each)) for each in refused] == [(429, "RATE_LIMITED")] * 2
        assert [each.headers["retry-after"] for each in refused] == ["1", "1"]
        assert world.calls["waiting"] == 1
        assert (await client.post("/graphql", json={"query": "{ hello }"}, headers=OTHER)).status_code == 200
        left = waiting.pop()
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        waiting.append(asyncio.create_task(ask(client, "{ waiting }")))  # into the place that is free again
        world.gate.set()
        answers = await asyncio.gather(*begun, *waiting)
        assert {answer.status_code for answer in answers} == {200}
        assert world.calls["waiting"] == 4
        assert world.finished == ["x"]


async def test_a_mutation_whose_caller_left_keeps_its_turn_and_one_in_line_is_not_begun(
    limited: Asking, world: World
) -> None:
    async with limited(running=1, waiting=1) as client:
        first = asyncio.create_task(ask(client, 'mutation { slow(name: "kept") }'))
        await world.entered.wait()
        second = asyncio.create_task(ask(client, 'mutation { slow(name: "never") }'))
        await came(world, 2)
        for task in (first, second):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        third = asyncio.create_task(ask(client, "{ hello }"))
        await came(world, 3)
        assert world.calls["hello"] == 0
        world.gate.set()
        assert (await third).status_code == 200
    assert world.finished == ["kept"]


def told(answer: httpx2.Response) -> list[Any]:
    """Read what was told in a stream of events."""
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


async def test_every_event_of_a_subscription_is_an_operation_of_its_own(limited: Asking, world: World) -> None:
    events = {"query": "subscription { events(to: 9) { number } }"}
    streamed = {"accept": "text/event-stream"}
    async with limited(cost_a_minute=15) as client:  # ten to read it, one to begin it, and one for each event
        heard = told(await client.post("/graphql", json=events, headers=streamed))
        assert [each["data"]["events"]["number"] for each in heard[:-1]] == [0, 1, 2, 3]
        assert [error["extensions"]["code"] for error in heard[-1]["errors"]] == ["RATE_LIMITED"]
    waiting = {"query": "subscription { events(to: 1) { waiting } }"}
    async with limited(seconds=0.05) as client:
        (late,) = told(await client.post("/graphql", json=waiting, headers=streamed))
        assert [error["extensions"]["code"] for error in late["errors"]] == ["TIMED_OUT"]
    world.entered.clear()
    async with limited(running=1, waiting=0) as client:
        following = asyncio.create_task(client.post("/graphql", json=waiting, headers=streamed))
        await world.entered.wait()
        assert (await ask(client, "{ hello }")).status_code == 429
        world.gate.set()
        assert told(await following) == [{"data": {"events": {"waiting": "waited"}}}]
        assert (await ask(client, "{ hello }")).status_code == 200


async def test_who_may_read_the_schema_within_a_minute_that_is_too_short_for_it_is_told_so(world: World) -> None:
    app = build(world, limits=Limits(anonymous_cost_a_minute=500), introspection="anyone")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as client:
        refused = await ask(client, get_introspection_query())
        assert (code(refused), refused.json()["errors"][0]["extensions"]["limit"]) == ("QUERY_TOO_COMPLEX", 500)


async def test_turns_are_given_in_order_and_lines_that_are_empty_are_forgotten() -> None:
    turns, order = Turns(1, 10), []
    await turns.begin("ada")

    async def run(number: int) -> None:
        await turns.begin("ada")
        order.append(number)
        turns.end("ada")

    running = [asyncio.create_task(run(number)) for number in range(5)]
    await asyncio.sleep(0)
    running[2].cancel()
    await turns.begin("bob")
    assert len(turns) == 2
    turns.end("bob")
    turns.end("ada")
    await asyncio.gather(*running, return_exceptions=True)
    assert (order, len(turns)) == ([0, 1, 3, 4], 0)


async def test_so_many_errors_are_told(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, "{ members(first: 99) { nodes { wrong other: wrong } } }")
    errors = answer.json()["errors"]
    assert len(errors) == MAX_ERRORS + 1
    assert {error["extensions"]["code"] for error in errors[:-1]} == {"BAD_USER_INPUT"}
    assert errors[-1] == {"message": "98 more errors", "extensions": {"code": "TOO_MANY_ERRORS", "count": 98}}
