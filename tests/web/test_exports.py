"""The inventory as a file: what the caller may see, as the filter says, safe to open, and whole or broken."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import pytest

from core.vocabulary import BuiltInRole
from models import AuditEntry, Token, TokenKind, now
from resolvers import events, imports, members, retirement, tokens
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema.nodes import global_id
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from web import budgets, exports
from web.tables import ENTRIES, TOKENS


@pytest.fixture
async def client(organisation: Organisation) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the assembled application, as the account's owner."""
    app = assembled(Settings(), organisation.house)
    assert organisation.owner.token
    headers = {"Authorization": organisation.secrets[str(organisation.owner.token.id)]}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as client:
        yield client


def table(answer: httpx2.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def lines(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_both_files_hold_every_token_flat(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    role = {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]}
    await organisation.role("ci", role)
    parent = await organisation.made(
        organisation.owner, name='Deploy, "nightly"', networks=["192.0.2.0/24", "10.0.0.1"]
    )
    child = await organisation.made(
        organisation.owner, Scope(custom_roles=["ci"]), TokenKind.SERVICE, name="robot", rate_limits=["5/minute"]
    )
    await Token.filter(id=parent.row.id).update(last_used_address="192.0.2.7", last_used_agent="curl")
    answer = await client.get("/tokens/export.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="tokens.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.splitlines()[0] == ",".join(TOKENS.columns)
    first, second = table(answer)
    assert organisation.owner.member
    owner = global_id("Member", organisation.owner.member.id)
    assert (
        first
        | {
            "id": global_id("Token", parent.row.id),
            "resource": str(parent.row.resource),
            "name": 'Deploy, "nightly"',
            "builtInRole": "OWNER",
            "owner": "Owner",
            "ownerId": owner,
            "networks": "192.0.2.0/24 10.0.0.1/32",
            "lastUsedAddress": "192.0.2.7",
            "lastUsedAgent": "curl",
            "expiresAt": "",
        }
        == first
    )
    assert (second["customRoles"], second["ownerId"], second["responsible"]) == ("ci", "", "Owner")
    one, two = lines(await client.get("/tokens/export.jsonl"))
    assert tuple(one) == TOKENS.columns
    assert one["networks"] == ["192.0.2.0/24", "10.0.0.1/32"]
    assert (one["expiresAt"], one["customRoles"], two["rateLimits"]) == (None, [], ["5/minute"])
    assert [one["id"], two["id"]] == [first["id"], second["id"]]
    assert two["id"] == global_id("Token", child.row.id)


async def test_a_cell_is_no_formula(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    for name in ("=1+1", "+1", "-1", "@SUM(A1)", "a=1"):
        await organisation.made(organisation.owner, name=name)
    cells = [row["name"] for row in table(await client.get("/tokens/export.csv"))]
    assert cells == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "a=1"]
    assert lines(await client.get("/tokens/export.jsonl"))[0]["name"] == "=1+1"


async def test_a_file_says_when_account_wide_tokens_end_with_all_of_them(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    await imports.bring(organisation.owner, [imports.Import("old", "api-4f1d8e0a-legacy")], Said())
    retired = await retirement.retire(organisation.owner, now() + timedelta(days=9), Said())
    assert retired.at
    [row] = table(await client.get("/tokens/export.csv"))
    assert (row["expiresAt"], row["endsAt"]) == ("", retired.at.isoformat())


async def test_every_page_is_there_once_and_filtered_as_in_graphql(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    template = (await organisation.made(organisation.owner, name="first")).row
    columns = ("account_id", "kind", "owner_id", "creator_id", "scope_kind", "scope_role", "ending")
    shared = {column: getattr(template, column) for column in columns}
    await Token.bulk_create([Token(name=f"n{number:03}", **shared) for number in range(120)])
    await tokens.revoke(organisation.owner, template.id, Said())
    names = [line["name"] for line in lines(await client.get("/tokens/export.jsonl"))]
    assert names == ["first", *(f"n{number:03}" for number in range(120))]
    for asked, count in (
        ({"state": "REVOKED"}, 1),
        ({"text": "n00", "hasNoExpiry": "true"}, 10),
        ({"neverUsed": "false"}, 0),
        ({"createdBefore": "2020-01-01T00:00:00Z"}, 0),
        ({"owner": global_id("Member", template.owner_id or "")}, 121),
    ):
        assert len(table(await client.get("/tokens/export.csv", params=asked))) == count, asked


async def test_a_reader_gets_their_own_and_no_column_that_is_refused(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    theirs = await organisation.made(reader, name="theirs")
    await organisation.made(organisation.owner, name="mine")
    await Token.all().update(last_used_address="192.0.2.7")
    assert reader.token
    headers = {"Authorization": organisation.secrets[str(reader.token.id)]}
    (row,) = table(await client.get("/tokens/export.csv", headers=headers))
    assert (row["name"], row["lastUsedAddress"]) == ("theirs", "192.0.2.7")
    allow = {"effect": "allow", "actions": ["viewAccessToken"], "resources": [f"member/*:token/{theirs.row.id}"]}
    role = await organisation.role("narrow", allow)
    narrow = await organisation.session(await organisation.member(custom=(role,)))
    assert narrow.token
    headers = {"Authorization": organisation.secrets[str(narrow.token.id)]}
    (row,) = table(await client.get("/tokens/export.csv", headers=headers))
    assert (row["name"], row["lastUsedAddress"], row["owner"], row["creatorId"]) == ("theirs", "", "", "")


async def test_the_log_is_a_file_too(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    for number in range(60):
        await organisation.made(organisation.owner, name=f"n{number}")
    await members.update(organisation.owner, organisation.owner.member.id, "=1+1", Said("+1\n"))  # type: ignore[union-attr]
    rows = await AuditEntry.all().order_by("sequence")
    answer = await client.get("/audit/export.jsonl")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.jsonl"'
    told = lines(answer)
    assert told == [events.shown(row) for row in rows]
    listed = table(await client.get("/audit/export.csv"))
    assert [int(row["sequence"]) for row in listed] == [row.sequence for row in rows]
    assert (listed[-1]["targetName"], listed[-1]["comment"]) == ("'=1+1", "'+1")
    assert listed[-1] == {name: str(value) for name, value in listed[-1].items()} | {"seal": rows[-1].seal}
    some = {"since": rows[9].at.isoformat(), "until": rows[-3].at.isoformat(), "after": "12"}
    found = lines(await client.get("/audit/export.jsonl", params=some))
    assert [line["sequence"] for line in found] == list(range(13, rows[-3].sequence))
    assert lines(await client.get("/audit/export.jsonl", params={"after": str(10**17)})) == []


async def test_the_log_as_a_file_hides_what_the_list_hides(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    await organisation.made(reader, name="theirs")
    allow = {"effect": "allow", "actions": ["viewAuditLog"], "resources": ["acct"]}
    auditor = await organisation.session(await organisation.member(custom=(await organisation.role("audit", allow),)))
    for who, count in ((reader, 2), (auditor, await AuditEntry.all().count())):
        assert who.token
        headers = {"Authorization": organisation.secrets[str(who.token.id)]}
        asked = {"query": ENTRIES.page, "variables": {}}
        listed = (await client.post("/graphql", json=asked, headers=headers)).json()["data"]["auditEntries"]["nodes"]
        told = lines(await client.get("/audit/export.jsonl", headers=headers))
        assert told == listed
        assert len(told) == count
        if who is auditor:
            assert not any(line["before"] or line["after"] for line in told)
        rows = table(await client.get("/audit/export.csv", headers=headers))
        assert [row["address"] for row in rows] == [line["address"] or "" for line in told]
        assert [bool(row["after"]) for row in rows] == [bool(line["after"]) for line in told]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/audit/export.csv?since=yesterday", 400, "BAD_USER_INPUT"),
        ("/audit/export.csv?after=-1", 400, "BAD_USER_INPUT"),
        ("/audit/export.csv?after=1&after=2", 400, "BAD_USER_INPUT"),
        ("/tokens/export.csv?after=1", 400, "BAD_USER_INPUT"),
        ("/tokens/export.csv?owner=x", 400, "BAD_USER_INPUT"),
        ("/tokens/export.csv?colour=red", 400, "BAD_USER_INPUT"),
        ("/tokens/export.csv?neverUsed=maybe", 400, "BAD_USER_INPUT"),
        ("/tokens/export.csv?text=a&text=b", 400, "BAD_USER_INPUT"),
        ("/tokens/export.jsonl?createdFrom=2020-01-01T00:00:00", 400, "BAD_USER_INPUT"),
    ],
)
async def test_a_filter_that_is_wrong_is_refused(client: httpx2.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (status, code)


async def test_who_may_not_look_is_refused(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    nobody = await organisation.as_role(BuiltInRole.NO_ACCESS)
    assert nobody.token
    headers = {"Authorization": organisation.secrets[str(nobody.token.id)]}
    for path in ("/tokens/export.csv", "/audit/export.csv"):
        refused = await client.get(path, headers=headers)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    assert (await client.get("/tokens/export.csv", headers={"Authorization": "lkp_x"})).status_code == 401
    assert (await client.post("/tokens/export.csv")).status_code == 405


async def test_a_file_waits_for_what_its_pages_cost(
    organisation: Organisation, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = (await organisation.made(organisation.owner, name="first")).row
    columns = ("account_id", "kind", "owner_id", "creator_id", "scope_kind", "scope_role", "ending")
    shared = {column: getattr(template, column) for column in columns}
    await Token.bulk_create([Token(name="n", **shared) for _ in range(120)])
    whole = (await client.get("/tokens/export.csv")).text
    asked = {"query": TOKENS.page, "variables": {}, "extensions": {"cost": True}}
    cost = (await client.post("/graphql", json=asked)).json()["extensions"]["cost"]["requested"]
    at_s, waited_s = 1000.0, []

    async def sleep(wait_s: int) -> None:
        nonlocal at_s
        waited_s.append(wait_s)
        at_s += wait_s

    monkeypatch.setattr(budgets, "Budget", partial(budgets.Budget, clock_s=lambda: at_s))
    monkeypatch.setattr(exports, "sleep", sleep)

    async def under(settings: Settings) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=assembled(settings, organisation.house))
        async with httpx2.AsyncClient(transport=transport, base_url=client.base_url, headers=client.headers) as other:
            return await other.get("/tokens/export.csv")

    assert (await under(Settings(max_cost_a_minute=2 * cost))).text == whole
    assert waited_s == [30]
    refused = await under(Settings(max_query_cost=cost - 1))
    told = {"code": "QUERY_TOO_COMPLEX", "cost": cost, "limit": cost - 1}
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]) == (400, told)


async def test_an_export_ends_broken_when_its_caller_may_not_go_on(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    assert admin.token
    made = (await organisation.made(admin, name="first")).row
    columns = ("account_id", "kind", "owner_id", "creator_id", "scope_kind", "scope_role", "ending")
    await Token.bulk_create([Token(name="n", **{name: getattr(made, name) for name in columns}) for _ in range(120)])
    engine, pages = exports.Exports._page, 0  # noqa: SLF001 - to do something between two pages

    async def interrupted(self: exports.Exports, *args: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 2:
            await members.assign_roles(organisation.owner, admin.member.id, Grant(BuiltInRole.NO_ACCESS), Said())  # type: ignore[union-attr]
        return await engine(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports.Exports, "_page", interrupted)
        headers = {"Authorization": organisation.secrets[str(admin.token.id)]}
        with pytest.raises(Exception, match=r".") as broken:
            await client.get("/tokens/export.csv", headers=headers)
    assert broken.type is not AssertionError
    assert pages == 3
