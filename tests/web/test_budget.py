"""What is too much is refused before anything resolves."""

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import DocumentNode, Token, get_introspection_query, parse

from schema import schema
from tests.web.house import ALIVE, World, plain_schema
from web.costs import INTROSPECTION_COST, LIST_SIZE, Costs
from web.documents import Document, Documents
from web.errors import RequestError
from web.limits import Limits
from web.shapes import Shape
from web.words import Words


class Reading(Documents):
    """Documents that are read as the engine reads them, but at once."""

    def read(self, text: str, *, hints: bool) -> Document:
        """Find a document, or make and keep it."""
        return self.found(text) or self.keep(text, self.made(text, hints=hints))


BEARER = {"authorization": ALIVE}


def bomb(levels: int) -> str:
    """Two spreads of the next fragment in each: 2 to the power of `levels` members."""
    fragments = (f"fragment F{n} on Member{{x:self{{...F{n + 1}}}y:self{{...F{n + 1}}}}}" for n in range(levels))
    return f"{{viewer{{member{{...F0}}}}}}{''.join(fragments)}fragment F{levels} on Member{{id}}"


def loop(levels: int) -> str:
    """The bomb without a new field at each level, which depth does not see."""
    fragments = (f"fragment F{n} on Member{{...F{n + 1} ...{{...F{n + 1}}}}}" for n in range(levels))
    return f"{{viewer{{member{{...F0}}}}}}{''.join(fragments)}fragment F{levels} on Member{{id}}"


WHOLE = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)
WHOLE_SCHEMA, WHOLE_FRAGMENTS = WHOLE[WHOLE.index("__schema") :].split("fragment", 1)

SPREAD_TWICE = """
    { members(first: 2) { ...F } viewer { member { friends(first: 5) { ...F } } } }
    fragment F on MemberConnection { nodes { id } }
"""

TOO_MUCH = {
    "3000 aliases": ("{" + "".join(f"a{n}:hello " for n in range(3000)) + "}", "has more than 1000 tokens"),
    "a long string": (f'{{hello(name:"{"x" * 65536}")}}', "has 65552 characters, the limit is 65536"),
    "101 aliases": (
        "{viewer{member{" + "".join(f"a{n}:name " for n in range(101)) + "}}}",
        "has 101 aliases, the limit is 100",
    ),
    "101 directives": (
        "{viewer{member{" + "name@skip(if:false) " * 99 + "}}...@include(if:true){hello@skip(if:false)}}",
        "has 101 directives, the limit is 100",
    ),
    "a flood of directives that nobody knows": ("{hello" + "@x" * 450 + "}", "has 450 directives, the limit is 100"),
    "21 root fields": (
        "{" + "".join(f"a{n}:hello " for n in range(21)) + "}",
        "asks for 21 root fields, the limit is 20",
    ),
    "21 root fields by fragments": (
        "{"
        + "".join(f"...F{n} " for n in range(21))
        + "}"
        + "".join(f"fragment F{n} on Query{{a{n}:hello}}" for n in range(21)),
        "asks for 21 root fields, the limit is 20",
    ),
    "one field 240 times": (
        "{viewer{" + "account{key}" * 240 + "}}",
        "asks for too many fields once its fragments are put in, the limit is 5000",
    ),
    "one field 240 times in a fragment that nothing spreads": (
        "{hello}fragment F on Viewer{" + "account{key}" * 240 + "}",
        "asks for too many fields once its fragments are put in, the limit is 5000",
    ),
    "one field 240 times inline": (
        "{viewer{" + "...{account{key}}" * 130 + "}}",
        "asks for too many fields once its fragments are put in, the limit is 5000",
    ),
    "one field in 80 fragments": (
        "{"
        + "".join(f"...F{n} " for n in range(80))
        + "}"
        + "".join(f"fragment F{n} on Query{{hello}}" for n in range(80)),
        "asks for too many fields once its fragments are put in, the limit is 5000",
    ),
    "16 deep": ("{viewer{member{" + "self{" * 13 + "id" + "}" * 15 + "}", "is 16 fields deep, the limit is 15"),
    "150 deep": ("{viewer{member{" + "self{" * 150 + "id" + "}" * 152 + "}", "is 153 fields deep, the limit is 15"),
    "a fragment bomb by depth": (bomb(20), "is 23 fields deep, the limit is 15"),
    "101 fragments": (
        "{hello}" + "".join(f"fragment F{n} on Query{{hello}}" for n in range(101)),
        "defines 101 fragments, the limit is 100",
    ),
    "one field again within itself": (
        "{viewer{member{" + ("self{" + ("self{" + "self{id}" * 5 + "}") * 4 + "}") * 10 + "}}}",
        "asks for too many fields once its fragments are put in, the limit is 5000",
    ),
    "a fragment bomb within the depth": (
        bomb(12),
        "asks for too many fields once its fragments are put in, the limit is 5000",
    ),
    "100 times 100": (
        "{members(first:100){nodes{friends(last:100){edges{node{id}}}}}}",
        "the operation costs 20201, the limit is 5000",
    ),
    "the whole schema six times": (
        "{"
        + "".join(f"a{n}:{WHOLE_SCHEMA.rstrip().removesuffix('}')}" for n in range(6))
        + "}fragment"
        + WHOLE_FRAGMENTS,
        "the operation costs 15000, the limit is 5000",
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
async def test_too_much_is_refused_before_any_resolver_runs(
    client: httpx2.AsyncClient, world: World, name: str
) -> None:
    query, problem = TOO_MUCH[name]
    headers = {**BEARER, "accept": "application/graphql-response+json"}
    answer = await client.post("/graphql", json={"query": query}, headers=headers)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (400, "QUERY_TOO_COMPLEX")
    assert problem in error["message"]
    assert error["extensions"]["limit"] > 0
    assert dict(world.calls) == {"identify": 1}


async def test_a_cost_beyond_all_numbers_is_told_as_one(client: httpx2.AsyncClient) -> None:
    spreads = "".join(f"fragment F{n} on Query{{...F{n + 1} ...F{n + 1}}}" for n in range(98))
    query = f"{{...F0}}{spreads}fragment F98 on Query{{viewer{{account{{key}}}}}}"
    answer = await client.post("/graphql", json={"query": query}, headers=BEARER)
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "QUERY_TOO_COMPLEX", "cost": 2**31, "limit": 5000}


@pytest.mark.parametrize("name", ["itself", "through another"])
async def test_a_fragment_cycle_is_a_mistake_not_an_endless_walk(client: httpx2.AsyncClient, name: str) -> None:
    cycle = {
        "itself": "{viewer{...F}} fragment F on Viewer{account{key} ...F}",
        "through another": "{viewer{...F}} fragment F on Viewer{...G} fragment G on Viewer{...F}",
    }
    answer = await client.post("/graphql", json={"query": cycle[name]})
    assert answer.json()["errors"] == [
        {"message": "fragment `F` spreads itself", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
    ]


async def test_a_fragment_may_be_spread_again_and_again(client: httpx2.AsyncClient) -> None:
    query = "{" + "...F " * 240 + "...{" + "...F " * 240 + "}} fragment F on Query{hello}"
    assert (await client.post("/graphql", json={"query": query})).json() == {"data": {"hello": "hello you"}}


def test_each_fragment_is_walked_and_counted_once() -> None:
    tree = parse(bomb(80))
    assert Shape.of(tree).depth == 83
    assert Costs.of(plain_schema, tree).evaluate(None, {}) == 2**81


def test_a_fragment_spread_everywhere_costs_what_it_says() -> None:
    tree = parse(loop(30))
    assert Shape.of(tree).depth == 3
    assert Costs.of(plain_schema, tree).evaluate(None, {}) == 2


@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ hello }", {}, 0),
        ("{ viewer { account { key } } }", {}, 2),
        ("{ members { nodes { id } } }", {}, 1 + 25),
        ("{ members { edges { node { id } } } }", {}, 1 + 25 + 25),
        ("{ members(first: 3) { nodes { id } edges { node { id } } } }", {}, 1 + 3 + 3 + 3),
        ("{ members(last: 3) { nodes { id } } }", {}, 1 + 3),
        ("{ members(first: 0) { nodes { id } } }", {}, 1),
        ("{ members(first: -5) { nodes { id } } }", {}, 1),
        ("{ members(first: 1000000) { nodes { id } } }", {}, 1 + 100),
        ("{ members(first: null) { nodes { id } } }", {}, 1 + 25),
        ("{ members(first: 2, last: 7) { nodes { id } } }", {}, 1 + 7),
        ("query ($n: Int) { members(first: $n) { nodes { id } } }", {"n": 4}, 1 + 4),
        ("query ($n: Int) { members(first: $n) { nodes { id } } }", {"n": None}, 1 + 25),
        ("query ($n: Int) { members(first: $n) { nodes { id } } }", {}, 1 + 25),
        ("{ members(first: 2) { nodes { friends(first: 3) { nodes { id } } } } }", {}, 1 + 2 * (1 + 1 + 3)),
        ("{ members(first: 2) { nodes { tags { key } } } }", {}, 1 + 2 * (1 + LIST_SIZE)),
        ("{ nodes(ids: [1, 2]) { id } }", {}, LIST_SIZE),
        (f"{{ nodes(ids: {'1' * 4301}) {{ id }} }}", {}, LIST_SIZE),
        ("{ nodes(ids: [1,2,3,4,5,6,7,8,9,10,11,12]) { id } }", {}, 12),
        ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["1"] * 40}, 40),
        (SPREAD_TWICE, {}, (1 + 2) + (1 + 1 + 1 + 5)),
        ("{ members(first: 2) { ... { nodes { id } } ... on MemberConnection { nodes { id } } } }", {}, 1 + 2 + 2),
        (WHOLE.replace("IntrospectionQuery", ""), {}, INTROSPECTION_COST),
        ("{ __schema { queryType { name } } }", {}, 2),
        ('{ __type(name: "Member") { fields { name } } }', {}, 5),
        ("{ __typename viewer { __typename } }", {}, 1),
    ],
)  # fmt: skip
def test_the_cost_is_the_objects_that_may_be_resolved(query: str, variables: dict[str, Any], cost: int) -> None:
    assert Costs.of(plain_schema, parse(query)).evaluate(None, variables) == cost


async def test_the_cost_is_known_from_the_coerced_variables(client: httpx2.AsyncClient, world: World) -> None:
    query = "query ($n: Int = 100) { members(first: $n) { nodes { friends(first: 100) { nodes { id } } } } }"
    refused = await client.post("/graphql", json={"query": query}, headers=BEARER)
    assert refused.json()["errors"][0]["extensions"] == {"code": "QUERY_TOO_COMPLEX", "cost": 10201, "limit": 5000}
    assert dict(world.calls) == {"identify": 1}
    allowed = await client.post("/graphql", json={"query": query, "variables": {"n": 2}}, headers=BEARER)
    assert "errors" not in allowed.json()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each text is parsed."""
    times: Counter[str] = Counter()

    def counted(text: str, **settings: Any) -> DocumentNode:
        times[text] += 1
        return parse(text, **settings)

    monkeypatch.setattr("web.documents.parse", counted)
    return times


def test_a_document_is_made_once_and_the_oldest_makes_room() -> None:
    documents = Reading(plain_schema, Limits(), count=8)
    first = documents.read("{ a: hello }", hints=False)
    documents.read("{ b: hello }", hints=False)
    assert documents.read("{ a: hello }", hints=True) is first
    for name in "cdefghijk":
        documents.read(f"{{ {name}: hello }}", hints=False)
        documents.read(f"{{ {name}: hello }}", hints=False)
        assert documents.read("{ a: hello }", hints=False) is first
    assert len(documents) == 1 + 6


def test_a_flood_of_texts_that_never_come_again_drops_only_its_own(parsed: Counter[str]) -> None:
    documents = Reading(plain_schema, Limits(), count=40)
    busy = [f"{{ busy{n}: hello }}" for n in range(30)]
    for _ in range(2):
        for text in busy:
            documents.read(text, hints=False)
    parsed.clear()
    for n in range(2_000):
        documents.read(f"{{ flood{n}: hello }}", hints=False)
    for text in busy:
        documents.read(text, hints=False)
    assert [text for text in busy if parsed[text]] == []
    assert len(documents) == 40


def test_what_is_new_and_busy_is_kept_in_a_flood(parsed: Counter[str]) -> None:
    documents = Reading(plain_schema, Limits(), count=40)
    for n in range(2_000):
        documents.read(f"{{ flood{n}: hello }}", hints=False)
        if n % 100 == 0:
            documents.read("{ busy: hello }", hints=False)
    assert parsed["{ busy: hello }"] == 2


def test_documents_are_kept_by_bytes_too() -> None:
    documents = Reading(plain_schema, Limits(), size_bytes=40_000)
    for n in range(20):
        documents.read(f"{{ a{n}: hello }} #{'x' * 500}", hints=False)
    assert len(documents) == 2
    documents.read("#" + "x" * 3000 + "\n{ hello }", hints=False)
    assert len(documents) == 2


def test_what_is_refused_is_not_kept() -> None:
    documents = Reading(plain_schema, Limits())
    for text in ("{", "{ nothing }", bomb(20)):
        with pytest.raises(RequestError):
            documents.read(text, hints=False)
    assert len(documents) == 0


async def test_documents_are_read_beside_the_event_loop_and_for_each_caller_one_after_the_other(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, went_on, threads = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def waiting(text: str, **settings: Any) -> DocumentNode:
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(begun.set)
        assert went_on.wait(10)
        return parse(text, **settings)

    monkeypatch.setattr("web.documents.parse", waiting)
    sent = [asyncio.create_task(client.post("/graphql", json={"query": "{ same: hello }"})) for _ in range(2)]
    await begun.wait()
    await asyncio.sleep(0.05)
    went_on.set()
    assert [(await each).json() for each in sent] == [{"data": {"same": "hello you"}}] * 2
    assert len(threads) == 1
    assert threading.main_thread() not in threads


def test_what_was_read_leaves_the_collector_nothing_to_find() -> None:
    documents = Reading(plain_schema, Limits())
    gc.collect()
    gc.disable()
    try:
        documents.read("{ hello }", hints=False)
        with pytest.raises(RequestError):
            documents.read("{ hello nothing }", hints=False)
        with pytest.raises(RequestError):
            documents.read("{" + "...{hello}" * 130 + "}", hints=False)
        assert [each for each in gc.get_objects() if isinstance(each, Token) and (each.prev or each.next)] == []
    finally:
        gc.enable()


async def test_inline_fragments_may_not_nest_past_what_can_be_read(client: httpx2.AsyncClient, world: World) -> None:
    nested = "".join(f"fragment F{n} on Query{{{'...{' * 90}...F{n + 1}{'}' * 90}}}" for n in range(3))
    answer = await client.post("/graphql", json={"query": f"{{...F0}}{nested}fragment F3 on Query{{hello}}"})
    assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert not world.calls


async def test_many_bombs_do_not_keep_others_waiting(client: httpx2.AsyncClient) -> None:
    bombs = (client.post("/graphql", json={"query": bomb(26) + f"# {n}"}) for n in range(20))
    answers = await asyncio.gather(*bombs)
    assert {answer.json()["errors"][0]["extensions"]["code"] for answer in answers} == {"QUERY_TOO_COMPLEX"}


def test_a_document_of_many_operations_is_read_in_linear_time() -> None:
    def cpu_s(count: int) -> float:
        text = " ".join(f"query a{number}{{__typename}}" for number in range(count))
        documents, began_s = Reading(schema._schema, Limits()), time.process_time()  # noqa: SLF001 - as the engine
        documents.read(text, hints=False)
        return time.process_time() - began_s

    cpu_s(50)
    few = min(cpu_s(40) for _ in range(3))
    assert min(cpu_s(180) for _ in range(3)) < 3 * 4.5 * few


def nested(depth: int, wrap: Callable[[object], object]) -> object:
    """Put something into itself."""
    value: object = "1"
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["1"] * 20_000, "hold too many values, the limit is 20000"),
        ([["1"] * 99] * 250, "hold too many values, the limit is 20000"),
        (nested(100, lambda within: [within]), "nest too deeply, the limit is 100"),
        (nested(100, lambda within: {"a": within}), "nest too deeply, the limit is 100"),
    ],
    ids=["a long list", "long lists in a list", "lists within lists", "objects within objects"],
)
async def test_too_much_in_variables_is_refused_before_it_is_read(
    client: httpx2.AsyncClient, world: World, ids: object, problem: str
) -> None:
    body = {"query": "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", "variables": {"ids": ids}}
    answer = await client.post("/graphql", json=body)
    (error,) = answer.json()["errors"]
    assert (error["message"], error["extensions"]["code"]) == (f"the variables {problem}", "QUERY_TOO_COMPLEX")
    assert not world.calls


def test_words_are_counted_as_the_parser_counts_them_and_what_has_too_many_is_not_parsed(parsed: Counter[str]) -> None:
    queries = [path.read_text() for path in Path("console/src/asked").glob("*.graphql")]
    odd = [
        '{a(b:"x\\"y#{",c:-1.5e+3,d:"",e:"""a "quoted" \\""" {{{""")#end\n@x...on B{c}}',
        "{\ufeffa,,b(c:$d,e:[1 2])}",
        "{a(b:[1-1])}",
        "{a(b:[0-0-0.5-1e5-1E-5-1.5e+5[]-12$c-1])}",
    ]
    for text in (*queries, *odd):
        count = parse(text).token_count or 0
        assert Words.of(text, 2000).count == count
    for text, repeats in (
        ("{a a a{b b} x:a ...{a a} ...a @a}", 3),
        ("query on($a:a=a a:a){on a(on:on on:{on:on on:on})...on on{on on on}}fragment on on on{a}", 3),
        ("{a a a a", 4),
        ("a a a}a a a", 0),
        ("", 0),
    ):
        assert Words.of(text, 2000).repeats == repeats, text
    documents = Reading(plain_schema, Limits())
    for text in (
        "{" + "b " * 80 + "}",
        "{" + "a" * 9 + " a" * 2000 + "}",
        "{" * 3000,
        '"' * 60_001,
        '"""' + '\\"""' * 9000,
        "#\n" * 3000,
    ):
        with pytest.raises(RequestError):
            documents.read(text, hints=False)
    assert {text[:9]: times for text, times in parsed.items()} == {'"""\\"""\\"': 1}
