"""Lists are cut as Relay's `connectionFromArray` cuts an array, wherever they stand, in a fixed number of queries."""

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from core.ids import global_id
from core.vocabulary import BuiltInRole
from models import Member, Token, TokenState
from tests.organisation import Organisation
from tests.schema import test_statements as lists
from tests.schema.conftest import Ask

PAGE = """totalCount edges { cursor node { name } } nodes { name }
pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
CURSORS = (
    "totalCount edges { cursor } nodes { __typename } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
)
TOKENS = f"""
query($first: Int, $after: String, $last: Int, $before: String, $orderBy: TokenOrder) {{
  tokens(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) {{ {PAGE} }}
}}"""
NESTED = f"""
query($first: Int, $after: String, $last: Int, $before: String, $orderBy: TokenOrder) {{
  members {{ nodes {{ name
    tokens(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) {{ {PAGE} }}
  }} }}
}}"""
FIELDS = ("NAME", "CREATED_AT", "EXPIRES_AT", "LAST_USED_AT", "CREATOR", "OWNER", "KIND")
ORDERS = [{"field": field, "direction": direction} for field, direction in product(FIELDS, ("ASC", "DESC"))]
COLUMNS = {
    "NAME": "name",
    "CREATED_AT": "id",
    "EXPIRES_AT": "expires_at",
    "LAST_USED_AT": "last_used_at",
    "CREATOR": "creator_id",
    "OWNER": "owner_id",
    "KIND": "kind",
}


async def some_tokens(organisation: Organisation, owner: Member, count: int = 7) -> list[Token]:
    """Make tokens with equal names, equal times and none."""
    noon = datetime(2040, 1, 1, 12, tzinfo=UTC)
    return [
        await Token.create(
            account_id=organisation.account.id,
            kind="PERSONAL",
            owner_id=owner.id,
            creator_id=None if n % 3 == 1 else owner.id,
            scope_kind="INLINE",
            ending="abcd",
            name=f"token {n % 3}",
            expires_at=None if n % 3 == 0 else noon + timedelta(microseconds=n % 2),
            last_used_at=None if n % 2 else noon - timedelta(days=20000 + n),
        )
        for n in range(count)
    ]


def in_order(rows: list[Token], order: dict[str, str]) -> list[Token]:
    """Sort as the schema says, without SQL."""
    column, descending = COLUMNS[order["field"]], order["direction"] == "DESC"
    known = [row for row in rows if getattr(row, column) is not None]
    unknown = [row for row in rows if getattr(row, column) is None]
    known.sort(key=lambda row: (getattr(row, column), row.id), reverse=descending)
    unknown.sort(key=lambda row: row.id, reverse=descending)
    return known + unknown


def cut(count: int, first: int | None, after: int | None, last: int | None, before: int | None) -> tuple[int, int]:
    """Say which part of an array is the page, as the specification's algorithm does."""
    start = 0 if after is None else after + 1
    end = count if before is None else before
    if first is not None:
        end = min(end, start + first)
    if last is not None:
        start = max(start, end - last)
    return start, max(start, end)


def expected(names: list[str], cursors: list[str], asked: dict[str, Any]) -> dict[str, Any]:
    """Give the page of an array, as graphql-relay does: tests/frontends/test_specifications.py compares the two."""
    first, last = asked.get("first"), asked.get("last")
    forward = first is not None or last is None
    start, end = cut(len(names), first if last is not None or first is not None else 25, *places(cursors, asked))
    lower = 0 if asked.get("after") is None else cursors.index(asked["after"]) + 1
    upper = len(names) if asked.get("before") is None else cursors.index(asked["before"])
    shown = list(zip(names, cursors, strict=True))[start:end]
    return {
        "totalCount": len(names),
        "edges": [{"cursor": cursor, "node": {"name": name}} for name, cursor in shown],
        "nodes": [{"name": name} for name, _ in shown],
        "pageInfo": {
            "hasNextPage": forward and end < upper,
            "hasPreviousPage": last is not None and start > lower,
            "startCursor": shown[0][1] if shown else None,
            "endCursor": shown[-1][1] if shown else None,
        },
    }


def places(cursors: list[str], asked: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    after, before = asked.get("after"), asked.get("before")
    return (
        None if after is None else cursors.index(after),
        asked.get("last"),
        None if before is None else cursors.index(before),
    )


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order['field']} {order['direction']}")
async def test_every_page_is_the_one_that_an_array_would_give(
    organisation: Organisation, ask: Ask, order: dict[str, str]
) -> None:
    owner = organisation.owner.member
    assert owner is not None
    rows = in_order(await some_tokens(organisation, owner), order)
    names = [row.name for row in rows]
    whole = await ask(organisation.owner, TOKENS, first=100, orderBy=order)
    cursors = [edge["cursor"] for edge in whole["data"]["tokens"]["edges"]]
    assert [edge["node"]["name"] for edge in whole["data"]["tokens"]["edges"]] == names
    sizes: list[dict[str, Any]] = [{}, {"first": 0}, {"first": 2}, {"last": 2}, {"last": 7}, {"first": 3, "last": 2}]
    for size, after, before in product(sizes, (None, cursors[0], cursors[3]), (None, cursors[5])):
        asked = {**size, "after": after, "before": before}
        answer = await ask(organisation.owner, TOKENS, orderBy=order, **asked)
        assert answer == {"data": {"tokens": expected(names, cursors, asked)}}, asked
        nested = await ask(organisation.owner, NESTED, orderBy=order, **asked)
        assert nested["data"]["members"]["nodes"][0]["tokens"] == expected(names, cursors, asked), asked


@pytest.mark.parametrize("field", ["OWNER", "KIND"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_tokens_are_ordered_by_whose_and_of_what_kind_they_are(
    organisation: Organisation, ask: Ask, field: str, direction: str
) -> None:
    members = [await organisation.member() for _ in range(2)]
    whose = [("PERSONAL", 1), ("SERVICE", None), ("PERSONAL", 0), ("ACCOUNT", None), ("PERSONAL", 1), ("SERVICE", None)]
    made = [
        await Token.create(
            account_id=organisation.account.id,
            kind=kind,
            owner_id=None if place is None else members[place].id,
            scope_kind="INLINE",
            ending="abcd",
            name=f"token {n}",
        )
        for n, (kind, place) in enumerate(whose)
    ]
    order = {"field": field, "direction": direction}
    names = [row.name for row in in_order(made, order)]
    whole = await ask(organisation.owner, TOKENS, orderBy=order)
    cursors = [edge["cursor"] for edge in whole["data"]["tokens"]["edges"]]
    assert [edge["node"]["name"] for edge in whole["data"]["tokens"]["edges"]] == names
    for cursor in cursors:
        for asked in ({"first": 2, "after": cursor}, {"last": 2, "before": cursor}):
            answer = await ask(organisation.owner, TOKENS, orderBy=order, **asked)
            assert answer == {"data": {"tokens": expected(names, cursors, asked)}}, asked


async def test_every_combination_of_arguments_gives_the_page_of_an_array(
    organisation: Organisation,
    ask: Ask,
    sqlite: None,  # noqa: ARG001
) -> None:
    assert organisation.owner.member
    await some_tokens(organisation, organisation.owner.member, 4)
    whole = (await ask(organisation.owner, TOKENS))["data"]["tokens"]
    names, cursors = [node["name"] for node in whole["nodes"]], [edge["cursor"] for edge in whole["edges"]]
    between = list(product((None, *cursors), repeat=2))
    listed = "l{}: tokens(first: $first, last: $last, after: {}, before: {}) {{ {} }}"
    shown = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    lists = " ".join(listed.format(n, *map(json.dumps, places), shown) for n, places in enumerate(between))
    for first, last in product((None, 0, 2, 5), repeat=2):
        answer = await ask(organisation.owner, f"query($first: Int, $last: Int) {{ {lists} }}", first=first, last=last)
        for n, (after, before) in enumerate(between):
            asked = {"first": first, "last": last, "after": after, "before": before}
            page, wanted = answer["data"][f"l{n}"], expected(names, cursors, asked)
            assert [edge["cursor"] for edge in page["edges"]] == [edge["cursor"] for edge in wanted["edges"]], asked
            assert page["pageInfo"] == wanted["pageInfo"], asked


CONNECTIONS = [way for way in lists.PLACES if "after" in way[-1][2].args]
SIZES: list[dict[str, Any]] = [{}, {"first": 0}, {"first": 2}, {"last": 2}, {"first": 3, "last": 2}]
ROWS = 4


@pytest.mark.usefixtures("sqlite")
async def test_every_list_of_the_schema_gives_the_page_of_an_array(organisation: Organisation, ask: Ask) -> None:
    world, uncounted = await lists.World.of(organisation, ROWS), set()
    for way in CONNECTIONS:
        [whole] = await pages(ask, world, way, {"first": 100})
        cursors = [edge["cursor"] for edge in whole["edges"]]
        assert len(set(cursors)) == len(cursors) >= ROWS, way[-1][:2]
        count = whole["totalCount"]
        if count is None:
            uncounted.add(".".join(way[-1][:2]))
        between = product(SIZES, (None, cursors[0], cursors[2]), (None, cursors[-1]))
        wanted = [{**size, "after": after, "before": before} for size, after, before in between]
        for asked, page in zip(wanted, await pages(ask, world, way, *wanted), strict=True):
            wanted_page = {**expected(cursors, cursors, asked), **({} if count else {"totalCount": None})}
            assert shown(page) == shown(wanted_page), (way[-1][:2], asked)
    assert uncounted == {"Query.advice", "WhoMay.members", "WhoMay.tokens"}
    assert len(CONNECTIONS) > 15


async def pages(ask: Ask, world: lists.World, way: lists.Fields, *asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for pages of a list, beneath the first of those above that there are several of."""
    *above, (_, name, _) = way
    arguments = (", ".join(f"{key}: {json.dumps(value)}" for key, value in each.items()) for each in asked)
    query = " ".join(f"p{place}: {name}({each}) {{ {CURSORS} }}" for place, each in enumerate(arguments))
    for type_name, field, listed in reversed(above):
        query = f"{field}{world.given(type_name, field, listed, 2)} {{ {world.listed(listed, query)} }}"
    asker = world.service if way[0][1] == "verifyToken" else world.organisation.owner
    answer = await ask(asker, f"{{ {query} }}")
    assert "errors" not in answer, (way[-1][:2], answer["errors"][:3])
    beneath: Any = answer["data"]
    for _, field, listed in above:
        beneath = beneath[field]["nodes"] if "first" in listed.args else beneath[field]
        beneath = beneath[0] if isinstance(beneath, list) else beneath
    return [beneath[f"p{place}"] for place in range(len(asked))]


def shown(page: dict[str, Any]) -> dict[str, Any]:
    """Leave of a page what every list has."""
    return {**page, "edges": [{"cursor": edge["cursor"]} for edge in page["edges"]], "nodes": len(page["nodes"])}


async def test_nested_lists_of_many_parents_are_those_of_each_alone(organisation: Organisation, ask: Ask) -> None:
    for count in (0, 1, 5):
        await some_tokens(organisation, await organisation.member(name=f"has {count}"), count)
    one = """query($id: ID!, $orderBy: TokenOrder, $first: Int, $last: Int) {
      member(id: $id) { tokens(orderBy: $orderBy, first: $first, last: $last) { %s } }
    }"""
    listed = await ask(organisation.owner, "{ members { nodes { id } } }")
    ids = [node["id"] for node in listed["data"]["members"]["nodes"]]
    assert len(ids) == 4
    for order, size in product(ORDERS, ({"first": 2}, {"last": 2}, {"first": 0}, {})):
        together = await ask(organisation.owner, NESTED, orderBy=order, **size)
        alone = [await ask(organisation.owner, one % PAGE, id=id_, orderBy=order, **size) for id_ in ids]
        assert [node["tokens"] for node in together["data"]["members"]["nodes"]] == [
            answer["data"]["member"]["tokens"] for answer in alone
        ]


def conditions(organisation: Organisation, role: str) -> dict[str, list[dict[str, Any]]]:
    """Give filters that look at each thing that there is to filter by, in turn, beneath what they are asked."""
    assert organisation.owner.member
    owner, noon = global_id("Member", organisation.owner.member.id), "2040-01-01T12:00:00Z"
    states = [{"state": state.value} for state in TokenState]
    tokens: list[dict[str, Any]] = [{name: owner} for name in ("owner", "creator", "responsible")]
    tokens += [{f"{name}{side}": noon} for name in ("created", "expires", "lastUsed") for side in ("From", "Before")]
    tokens += [{name: each} for name in ("unattended", "hasNoExpiry", "neverUsed") for each in (True, False)]
    tokens += [{"kind": "PERSONAL"}, {"role": role}, {"builtInRole": "READER"}, {"text": "token"}]
    members = [{"state": "ACTIVE"}, {"baseRole": "READER"}, {"role": role}, {"text": "a"}, {"email": "x@example.com"}]
    return {"TokenFilterInput": tokens + states, "SessionFilterInput": states, "MemberFilterInput": members}


NOTHING = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/none"]}
NESTED_LISTS = (
    ("member", "tokens", "TokenFilterInput", "TokenOrder", FIELDS),
    ("member", "sessions", "SessionFilterInput", "SessionOrder", ("CREATED_AT", "EXPIRES_AT")),
    ("role", "members", "MemberFilterInput", "MemberOrder", ("NAME", "CREATED_AT")),
)


@pytest.mark.parametrize("nested", NESTED_LISTS, ids=lambda nested: f"{nested[0]}.{nested[1]}")
async def test_nested_lists_are_filtered_and_ordered_for_many_as_for_one(
    nested: tuple[str, str, str, str, tuple[str, ...]], organisation: Organisation, ask: Ask
) -> None:
    one, many, filter_type, order_type, fields = nested
    first, second = [await organisation.role(key, NOTHING) for key in ("first", "second")]
    for custom in ([first], [second], [first, second]):
        await some_tokens(organisation, member := await organisation.member(custom=custom), 5)
        await organisation.session(member)
    page = f"{many}(filter: $filter, orderBy: $orderBy, first: 2) {{ {CURSORS} }}"
    head = f"$filter: {filter_type}, $orderBy: {order_type}"
    together = f"query({head}) {{ {one}s {{ nodes {{ id {page} }} }} }}"
    alone = f"query($id: ID!, {head}) {{ {one}(id: $id) {{ {page} }} }}"
    found = 0
    for wanted in (None, *conditions(organisation, "second")[filter_type]):
        for order in [{"field": field, "direction": "DESC"} for field in fields]:
            answer = await ask(organisation.owner, together, filter=wanted, orderBy=order)
            assert "errors" not in answer, (wanted, order, answer["errors"])
            nodes = answer["data"][f"{one}s"]["nodes"]
            for node in nodes if order["field"] == fields[0] else ():
                single = await ask(organisation.owner, alone, id=node["id"], filter=wanted, orderBy=order)
                assert single["data"][one][many] == node[many], (wanted, order)
            found += sum(node[many]["totalCount"] for node in nodes)
    assert found


async def test_who_holds_a_role_is_found_among_the_holders_of_another(organisation: Organisation, ask: Ask) -> None:
    first, second = [await organisation.role(key, NOTHING) for key in ("first", "second")]
    both = await organisation.member(custom=[first, second], name="both")
    await organisation.member(custom=[first], name="first")
    answer = await ask(
        organisation.owner,
        '{ roles { nodes { key members(filter: {role: "second"}) { nodes { name } totalCount } } } }',
    )
    held = {"nodes": [{"name": both.name}], "totalCount": 1}
    assert answer["data"]["roles"]["nodes"] == [{"key": key, "members": held} for key in ("first", "second")]


async def test_walking_page_by_page_shows_every_row_once(organisation: Organisation, ask: Ask) -> None:
    owner = organisation.owner.member
    assert owner is not None
    rows = await some_tokens(organisation, owner)
    for order in ORDERS:
        seen, after = [], None
        while True:
            answer = await ask(organisation.owner, TOKENS, first=2, after=after, orderBy=order)
            page = answer["data"]["tokens"]
            seen += [node["name"] for node in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert seen == [row.name for row in in_order(rows, order)]


def cursor(*place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


UUID_TEXT = "01a20bb4-8e12-7096-ba4a-19a9dbb2fad7"
BAD = [
    ({"first": -1}, "first"),
    ({"first": 101}, "first"),
    ({"last": -1}, "last"),
    ({"last": 101}, "last"),
    ({"first": 1, "last": 101}, "last"),
    ({"first": 101, "last": 1}, "first"),
    *(
        ({"after": text}, "after")
        for text in (
            "",
            "x",
            "é",
            "arrayconnection:-5",
            "YXJyYXljb25uZWN0aW9uOi01",
            cursor("NAME", False, "a"),
            cursor("NAME", False, None, UUID_TEXT),
            cursor("NAME", False, 1, UUID_TEXT),
            cursor("NAME", False, "\ud800", UUID_TEXT),
            cursor("NAME", False, "a" * 257, UUID_TEXT),
            cursor("NAME", True, "a", UUID_TEXT),
            cursor("CREATED_AT", False, UUID_TEXT, UUID_TEXT),
            cursor("NAME", False, "a", "no uuid"),
            cursor({"NAME": []}, False, "a", UUID_TEXT),
        )
    ),
    ({"before": "x"}, "before"),
]


@pytest.mark.parametrize(("asked", "field"), BAD)
async def test_what_is_no_page_is_refused_by_the_name_of_the_argument(
    organisation: Organisation, ask: Ask, asked: dict[str, Any], field: str
) -> None:
    order = {"field": "NAME", "direction": "ASC"}
    answer = await ask(organisation.owner, TOKENS, orderBy=order, **asked)
    assert answer["data"] == {"tokens": None}
    (error,) = answer["errors"]
    assert (error["code"], error["field"], error["path"]) == ("BAD_USER_INPUT", field, ["tokens"])


async def test_a_page_is_25_rows_unless_said(organisation: Organisation, ask: Ask) -> None:
    owner = organisation.owner.member
    assert owner is not None
    await some_tokens(organisation, owner, 26)
    page = (await ask(organisation.owner, TOKENS))["data"]["tokens"]
    assert (len(page["nodes"]), page["totalCount"], page["pageInfo"]["hasNextPage"]) == (25, 26, True)


async def test_a_list_costs_as_many_statements_for_many_rows_as_for_one(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    query = """query($first: Int) { members(first: $first) { nodes {
        name customRoles { key members(first: 2) { totalCount nodes { name } } }
        sessions { totalCount nodes { id } }
        tokens(first: 2) { totalCount nodes {
          name state owner { name } creator { name } scope { customRoles { key } } exceedsOwner { index }
          effectiveScope { name statements { effect } }
          auditEntries(first: 1) { totalCount nodes { sequence actor { member { name } } } }
        } }
    } } }"""
    role = await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    other = await organisation.role("cd", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    for n in range(4):
        member = await organisation.member(BuiltInRole.WRITER, custom=(role, other), name=f"member {n}")
        session = await organisation.session(member)
        for _ in range(2):
            await organisation.token(session)
    counts = []
    for first in (2, 4):
        statements.clear()
        answer = await ask(organisation.owner, query, first=first)
        assert "errors" not in answer
        assert len(answer["data"]["members"]["nodes"]) == first
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 26


async def test_rows_are_counted_only_when_asked(organisation: Organisation, ask: Ask, statements: list[str]) -> None:
    statements.clear()
    await ask(organisation.owner, "{ tokens { nodes { name } } }")
    assert len(statements) == 1
    await ask(organisation.owner, "{ tokens { totalCount } }")
    assert len(statements) == 3
