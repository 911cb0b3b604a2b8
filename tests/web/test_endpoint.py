"""GraphQL over HTTP: statuses, media types, codes."""

import json
import logging
from itertools import product
from typing import Any

import httpx2
import pytest

from tests.web.house import ALIVE, ORIGIN, World, build

RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENTS = "text/event-stream"
BEARER = {"authorization": f"Bearer {ALIVE}"}


async def ask(client: httpx2.AsyncClient, query: object, accept: str = RESPONSE, **members: Any) -> httpx2.Response:
    return await client.post("/graphql", json={"query": query, **members}, headers={"accept": accept})


def codes(answer: httpx2.Response) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}; charset=utf-8, {JSON}; charset=utf-8", RESPONSE),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{RESPONSE};q=0.5, {JSON}", JSON),
        (f"{RESPONSE};q=0.5, */*;q=0.1", RESPONSE),
        (f"{RESPONSE};q=0, */*", JSON),
        (f"text/html, {JSON};q=0, */*;q=0.1", RESPONSE),
        (f"{RESPONSE}, application/graphql+json, {JSON}, {EVENTS}, multipart/mixed", RESPONSE),
        (f"{EVENTS};q=0.9, {JSON}", JSON),
        (f"*/*, {EVENTS};q=0.9", JSON),
    ],
)
async def test_the_answer_comes_in_the_media_type_that_is_preferred(
    world: World, accept: str | None, media: str
) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=build(world)), base_url=ORIGIN) as client:
        del client.headers["accept"]
        answer = await client.post(
            "/graphql", json={"query": "{ hello }"}, headers={"accept": accept} if accept else {}
        )
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{media}; charset=utf-8")
    assert answer.json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize(
    "accept",
    ["text/html", "text/*", f"{JSON};q=0", f"{JSON};charset=latin-1", "image/*", f"{JSON};q=x", f"{JSON};q=nan"],
)
async def test_an_answer_that_nobody_accepts_is_not_made(client: httpx2.AsyncClient, world: World, accept: str) -> None:
    answer = await ask(client, "{ hello }", accept)
    assert (answer.status_code, codes(answer), world.calls["hello"]) == (406, ["BAD_REQUEST"], 0)


@pytest.mark.parametrize(
    ("request_body", "status", "code"),
    [
        ({"query": "{"}, 400, "GRAPHQL_PARSE_FAILED"),
        ({"query": ""}, 400, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, 400, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query ($n: String!) { hello(name: $n) }"}, 400, "BAD_USER_INPUT"),
        ({"query": "query ($n: String!) { hello(name: $n) }", "variables": {"n": 1}}, 400, "BAD_USER_INPUT"),
        ({"query": "{ hello }", "operationName": "other"}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "{ hello }", "operationName": ""}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query a { hello } query b { hello }"}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "fragment f on Query { hello }"}, 400, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "subscription { count(to: 1) }"}, 400, "BAD_REQUEST"),
        ({"query": "{ __schema { queryType { name } } }"}, 401, "UNAUTHENTICATED"),
        (
            {"query": "{ members(first: 100) { nodes { friends(first: 100) { nodes { id } } } } }"},
            400,
            "QUERY_TOO_COMPLEX",
        ),
    ],
)
async def test_what_is_not_executed_is_a_400_or_under_the_old_type_a_200(
    client: httpx2.AsyncClient, world: World, request_body: dict[str, Any], status: int, code: str
) -> None:
    new = await client.post("/graphql", json=request_body, headers={"accept": RESPONSE})
    old = await client.post("/graphql", json=request_body, headers={"accept": JSON})
    assert (new.status_code, old.status_code) == (status, 200)
    assert set(codes(new)) == set(codes(old)) == {code}
    assert new.json() == old.json()
    assert "data" not in new.json()
    assert not world.calls


@pytest.mark.parametrize("accept", [RESPONSE, JSON])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'"x"',
        b"1",
        b"null",
        b"true",
        b"{}",
        b'[{"query": "{ hello }"}]',
        b'{"qeury": "{ hello }"}',
        *(f'{{"query": {bad}}}'.encode() for bad in ("null", "0", "false", "{}", '["{ hello }"]')),
        *(f'{{"query": "{{ hello }}", "operationName": {bad}}}'.encode() for bad in ("0", "false", "{}", "[]")),
        *(f'{{"query": "{{ hello }}", "variables": {bad}}}'.encode() for bad in ("0", "false", '"x"', "[]")),
        *(f'{{"query": "{{ hello }}", "extensions": {bad}}}'.encode() for bad in ("0", "false", '"x"', "[]")),
    ],
    ids=lambda body: body[:40].decode(errors="replace") if isinstance(body, bytes) else None,
)
async def test_a_malformed_request_is_a_400_under_both_types(
    client: httpx2.AsyncClient, world: World, accept: str, body: bytes
) -> None:
    answer = await client.post("/graphql", content=body, headers={"content-type": JSON, "accept": accept})
    assert (answer.status_code, codes(answer), dict(world.calls)) == (400, ["BAD_REQUEST"], {})


@pytest.mark.parametrize("member", ["variables", "operationName", "extensions"])
async def test_a_member_may_be_null(client: httpx2.AsyncClient, member: str) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello }", member: None}, headers={"accept": RESPONSE})
    assert (answer.status_code, answer.json()) == (200, {"data": {"hello": "hello you"}})


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        f"{JSON}; charset=utf-16",
        "application/graphql",
    ],
)
async def test_only_json_in_utf8_is_taken(client: httpx2.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await client.post("/graphql", content=b'{"query": "{ hello }"}', headers=headers)
    assert (answer.status_code, codes(answer)) == (415, ["BAD_REQUEST"])


@pytest.mark.parametrize(
    "parameter", ["charset*=utf-8''x", "a*=utf-8''%ff", "a*" + "5" * 5000 + "=1", "a*=;a*1=b", '"', "="]
)
async def test_parameters_that_say_nothing_to_us_are_no_fault(client: httpx2.AsyncClient, parameter: str) -> None:
    headers = {"content-type": f"{JSON}; {parameter}", "accept": f"{JSON}; {parameter}, */*"}
    answer = await client.post("/graphql", content=b'{"query": "{ hello }"}', headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"data": {"hello": "hello you"}})


async def test_a_compressed_body_is_not_taken(client: httpx2.AsyncClient) -> None:
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    answer = await client.post("/graphql", content=b"{}", headers=headers)
    assert (answer.status_code, codes(answer)) == (415, ["BAD_REQUEST"])


@pytest.mark.parametrize("content_type", [f"{JSON}; charset=utf-8", f'{JSON};charset="UTF-8"', "Application/JSON"])
async def test_utf8_may_be_said(client: httpx2.AsyncClient, content_type: str) -> None:
    body = '{"query": "{ hello(name: \\"Run🏃Swim🏊\\") }"}'.encode()
    answer = await client.post("/graphql", content=body, headers={"content-type": content_type})
    assert answer.json() == {"data": {"hello": "hello Run🏃Swim🏊"}}


async def test_a_body_past_the_limit_is_refused_announced_or_not(client: httpx2.AsyncClient, world: World) -> None:
    async def chunks(count: int) -> Any:
        yield b'{"query": "{ hello }", "x": "'
        for _ in range(count):
            yield b"x" * 65536
        yield b'"}'

    announced = await client.post("/graphql", content=b" " * (2 << 20), headers={"content-type": JSON})
    streamed = await client.post("/graphql", content=chunks(17), headers={"content-type": JSON})
    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert announced.json() == streamed.json()
    assert not world.calls
    within = await client.post("/graphql", content=chunks(15), headers={"content-type": JSON})
    assert within.json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_no_other_method_is_taken(client: httpx2.AsyncClient, world: World, method: str) -> None:
    answer = await client.request(method, "/graphql?query={hello}")
    assert (answer.status_code, answer.headers["allow"], dict(world.calls)) == (405, "GET, POST", {})


async def get(client: httpx2.AsyncClient, accept: str = RESPONSE, **parameters: object) -> httpx2.Response:
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return await client.get("/graphql", params=told, headers={"accept": accept})


async def test_a_query_may_be_asked_by_get(client: httpx2.AsyncClient) -> None:
    query = "query a { hello } query b($name: String!) { hello(name: $name) }"
    answer = await get(client, query=query, operationName="b", variables={"name": "Grün & Söhne"}, extensions={})
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{RESPONSE}; charset=utf-8")
    assert (answer.json(), answer.headers["cache-control"]) == ({"data": {"hello": "hello Grün & Söhne"}}, "no-store")
    empty = await get(client, "*/*", query="{ hello }", operationName="", variables="", extensions="")
    assert (empty.headers["content-type"], empty.json()) == (f"{JSON}; charset=utf-8", {"data": {"hello": "hello you"}})
    invalid = [await get(client, accept, query="{ nothing }") for accept in (RESPONSE, JSON)]
    assert [(each.status_code, codes(each)) for each in invalid] == [
        (400, ["GRAPHQL_VALIDATION_FAILED"]),
        (200, ["GRAPHQL_VALIDATION_FAILED"]),
    ]


async def test_nothing_is_changed_by_get(client: httpx2.AsyncClient, world: World) -> None:
    several = "query a { hello } mutation b { change(input: {}) }"
    for accept in (RESPONSE, JSON, EVENTS):
        refused = await get(client, accept, query=several, operationName="b")
        assert (refused.status_code, refused.headers["allow"], codes(refused)) == (405, "POST", ["BAD_REQUEST"])
    assert not world.calls


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("query=", 400),
        ("query={hello}&query={hello}", 400),
        ("query={hello}&operationName=a&operationName=b", 400),
        ("query=%ff", 400),
        ("query={hello}&variables={", 400),
        *((f"query={{hello}}&{name}={bad}", 400) for name in ("variables", "extensions") for bad in ("[]", "0", "x")),
        ("query={hello}" + "&x=1" * 16, 400),
        ("query={hello}&x=" + "x" * (1 << 15), 414),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
async def test_a_malformed_url_is_refused_under_every_type(
    client: httpx2.AsyncClient, world: World, query: str, status: int
) -> None:
    for accept in (RESPONSE, JSON, EVENTS):
        answer = await client.get(f"/graphql?{query}", headers={"accept": accept})
        assert (answer.status_code, codes(answer), dict(world.calls)) == (status, ["BAD_REQUEST"], {})


async def test_who_is_not_let_in_is_told_by_the_status_under_every_type(
    client: httpx2.AsyncClient, world: World
) -> None:
    cookie = {"cookie": "latchkey_session=lkt_session"}
    for accept, method in product((RESPONSE, JSON, EVENTS), ("GET", "POST")):
        asked: dict[str, Any] = (
            {"params": {"query": "{ hello }"}} if method == "GET" else {"json": {"query": "{ hello }"}}
        )
        headers = [{"authorization": "Bearer lkp_dead"}, cookie, {**cookie, "sec-fetch-site": "cross-site"}]
        answers = [
            await client.request(method, "/graphql", headers={"accept": accept, **each}, **asked) for each in headers
        ]
        told = [(answer.status_code, codes(answer)) for answer in answers]
        assert told == [(401, ["UNAUTHENTICATED"]), (403, ["FORBIDDEN"]), (403, ["FORBIDDEN"])]
        assert answers[0].headers["www-authenticate"] == "Bearer"
        media = JSON if accept == EVENTS else accept
        assert {answer.headers["content-type"] for answer in answers} == {f"{media}; charset=utf-8"}
        ours = {**cookie, "sec-fetch-site": "same-origin", "accept": accept}
        assert (await client.request(method, "/graphql", headers=ours, **asked)).status_code == 200
    assert world.calls["hello"] == 6


async def test_a_browser_that_asks_for_a_page_is_led_to_the_console(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/graphql", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_field_that_fails_leaves_its_siblings(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, "{ hello invalid }")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "data": {"hello": "hello you", "invalid": None},
            "errors": [
                {
                    "message": "`name` must not be empty",
                    "locations": [{"line": 1, "column": 9}],
                    "path": ["invalid"],
                    "extensions": {"code": "BAD_USER_INPUT", "field": "name"},
                }
            ],
        },
    )


async def test_the_unexpected_is_masked_and_logged_without_secrets(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask(client, "{ broken }")
    request_id = answer.headers["x-request-id"]
    assert answer.json() == {
        "data": {"broken": None},
        "errors": [
            {
                "message": "internal error",
                "locations": [{"line": 1, "column": 3}],
                "path": ["broken"],
                "extensions": {"code": "INTERNAL", "requestId": request_id},
            }
        ],
    }
    assert request_id in caplog.text
    assert "could not read lkp_…" in caplog.text
    assert "0123456789" not in caplog.text


@pytest.mark.parametrize("query", ['mutation { change(input: { link: "%s" }) }', "{ hello(name: %s) }"])
async def test_a_secret_in_a_wrong_place_is_not_repeated(client: httpx2.AsyncClient, query: str) -> None:
    answer = await ask(client, query % "lkl_0123456789abcdefghij")
    assert codes(answer)
    assert "0123456789abcdefghij" not in answer.text


async def test_an_error_of_somebody_elses_is_masked_whatever_it_carries(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, "{ misleading }")
    assert codes(answer) == ["INTERNAL"]
    assert "nobody" not in answer.text


async def test_an_argument_that_turns_out_wrong_is_bad_input(client: httpx2.AsyncClient, world: World) -> None:
    answer = await ask(client, "query ($n: String) { hello(name: $n) }", variables={"n": None})
    assert (answer.status_code, codes(answer), world.calls["hello"]) == (200, ["BAD_USER_INPUT"], 0)


async def test_an_expected_refusal_is_no_error_in_the_log(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await ask(client, "{ invalid viewer { account { key } } }")
    assert codes(answer) == ["BAD_USER_INPUT", "UNAUTHENTICATED"]
    assert [record for record in caplog.records if record.levelno >= logging.INFO and record.name != "httpx2"] == []


async def test_an_answer_that_cannot_be_written_is_masked(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, "{ unreadable }")
    assert (answer.status_code, codes(answer)) == (500, ["INTERNAL"])


async def test_a_failure_before_execution_is_masked(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello }"}, headers={"authorization": "lkp_broken"})
    assert (answer.status_code, codes(answer)) == (500, ["INTERNAL"])
    assert "lkp_… on fire" in caplog.text


async def test_a_field_refused_on_fifty_rows_is_one_error_with_a_count(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, "{ members(first: 50) { nodes { id secretive other: secretive } } }")
    assert [(error["message"], error["path"], error["extensions"]) for error in answer.json()["errors"]] == [
        (
            "needs `viewMemberEmail`",
            ["members", "nodes", 0, field],
            {"code": "FORBIDDEN", "action": "viewMemberEmail", "count": 50},
        )
        for field in ("secretive", "other")
    ]
    one = await ask(client, "{ members(first: 1) { nodes { secretive } } }")
    assert [error["extensions"] for error in one.json()["errors"]] == [
        {"code": "FORBIDDEN", "action": "viewMemberEmail", "resource": "member/0"}
    ]


async def test_left_out_is_not_null(client: httpx2.AsyncClient, world: World) -> None:
    document = "mutation ($input: Change!) { change(input: $input) }"
    out = await ask(client, document, variables={"input": {}})
    null = await ask(client, document, variables={"input": {"name": None}})
    literal = await ask(client, "mutation { change(input: {name: null}) }")
    assert out.json() == {"data": {"change": None}}
    assert (codes(null), codes(literal)) == (["BAD_USER_INPUT"], ["GRAPHQL_VALIDATION_FAILED"])
    assert literal.json()["errors"][0]["message"] == "`name` may be left out, but must not be null"
    assert world.calls["change"] == 1


MISSPELT = (
    "{ helo }",
    "{ hello(nam: 1) }",
    "query ($x: Viewr) { hello }",
    "fragment f on Viewr { account } { ...f }",
    "mutation { change(input: {nam: 1}) }",
    "{ ... on Qury { hello } }",
    "{ hello @skp(if: true) }",
)


@pytest.mark.parametrize("query", MISSPELT)
async def test_names_of_the_schema_are_suggested_to_the_signed_in_only(client: httpx2.AsyncClient, query: str) -> None:
    stranger = await client.post("/graphql", json={"query": query})
    known = await client.post("/graphql", json={"query": query}, headers=BEARER)
    assert set(codes(stranger)) == set(codes(known)) == {"GRAPHQL_VALIDATION_FAILED"}
    assert "Did you mean" not in stranger.text
    if "@skp" not in query:
        assert "Did you mean" in known.text


async def test_names_in_variables_are_suggested_to_the_signed_in_only(client: httpx2.AsyncClient) -> None:
    body = {"query": "mutation ($i: Change!) { change(input: $i) }", "variables": {"i": {"nam": "x"}}}
    stranger = await client.post("/graphql", json=body)
    known = await client.post("/graphql", json=body, headers=BEARER)
    assert ("Did you mean" in stranger.text, "Did you mean" in known.text) == (False, True)


async def test_introspection_needs_a_caller_unless_it_is_opened(client: httpx2.AsyncClient, world: World) -> None:
    body = {"query": '{ __type(name: "Member") { ...f } } fragment f on __Type { name }'}
    assert (await client.post("/graphql", json=body)).json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await client.post("/graphql", json=body, headers=BEARER)).json() == {"data": {"__type": {"name": "Member"}}}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=build(world, introspection="anyone")), base_url=ORIGIN
    ) as opened:
        assert (await opened.post("/graphql", json=body)).json() == {"data": {"__type": {"name": "Member"}}}


async def test_nobody_is_told_of_the_schema_where_that_is_turned_off(world: World) -> None:
    app = build(world, introspection="nobody")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=BEARER) as client:
        for query in MISSPELT:
            answer = await ask(client, query)
            assert codes(answer) == ["GRAPHQL_VALIDATION_FAILED"] * len(codes(answer))
            assert "Did you mean" not in answer.text
        document = "mutation ($i: Change!) { change(input: $i) }"
        assert "Did you mean" not in (await ask(client, document, variables={"i": {"nam": "x"}})).text
        for query in (
            "{ __schema { queryType { name } } }",
            '{ hello ...f } fragment f on Query { __type(name: "A") { name } }',
        ):
            answer = await ask(client, query)
            assert (answer.status_code, codes(answer)) == (400, ["GRAPHQL_VALIDATION_FAILED"])
        assert (await client.get("/schema.graphql")).status_code == 404
        assert (await ask(client, "{ __typename }")).json() == {"data": {"__typename": "Query"}}


async def test_nobody_keeps_an_answer_and_each_has_its_id(client: httpx2.AsyncClient, world: World) -> None:
    answers = [
        await ask(client, "{ hello }"),
        await ask(client, "{"),
        await client.get("/graphql"),
        await client.post("/graphql", json={"query": "{ hello }"}, headers={"authorization": "nonsense"}),
        await client.post("/session", json={}),
        await client.get("/session"),
    ]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert [answer.headers["x-request-id"] for answer in answers] == [request.id for request in world.requests]
    assert len({request.id for request in world.requests}) == len(answers)
    assert {request.id[14] for request in world.requests} == {"7"}


async def test_entries_will_know_where_a_request_came_from(client: httpx2.AsyncClient, world: World) -> None:
    await client.post("/graphql", json={"query": "{ hello }"}, headers={"user-agent": "x" * 1000})
    request = world.requests[0]
    assert (request.address, request.user_agent) == ("127.0.0.1", "x" * 256)
