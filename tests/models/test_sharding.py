"""Accounts can be kept apart on as many databases as one likes: nothing that is asked reaches from one to another."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tortoise import connections
from tortoise.models import Model
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import models
from core.slices import sliced
from core.vocabulary import BuiltInRole
from models import Member, TokenKind, new_id
from models.database import Database
from models.engines.transactions import Statements
from resolvers import callers, verification
from resolvers.access import Question
from resolvers.scopes import Scope
from resolvers.uses import deed
from schema import schema
from schema.context import Context
from tests.organisation import Organisation, founded
from tests.schema.test_needs import EXAMPLES, World
from tests.web.test_wire import Exchange

TABLES: dict[str, type[Model]] = {
    model._meta.db_table: model  # noqa: SLF001 - where Tortoise keeps it
    for model in vars(models).values()
    if isinstance(model, type) and issubclass(model, Model) and not model._meta.abstract  # noqa: SLF001 - see above
}
KEYS = {
    ("account", "id"): "the account itself",
    ("account", "key"): "the account itself, by its name: unique everywhere",
    ("secret", "digest"): "whose credential it is: only the digest, unique everywhere, tells the account",
    ("link", "digest"): "likewise",
    ("secret", "id"): "the credential once more, inside the transaction",
    ("link", "id"): "likewise",
    ("audit_head", "id"): "a row that was read by its account in the same transaction, when it is written",
    **dict.fromkeys(
        [(table, "id") for table in ("member", "role", "token", "gate", "resource_kind", "webhook", "job")],
        "likewise, or one that such a row refers to",
    ),
}
"""By which columns rows are found without their account, all of them UUIDs or unique everywhere; and what for."""
ACROSS = {
    ("secret", "digest"): "whether what is imported is in use: a secret opens one token, whatever account is named"
}
"""By which columns other accounts' rows are looked for as well, and what for. docs/security.md says what that tells."""
UNLED: dict[tuple[str, ...], str] = {
    ("account", "key"): "the account's own name",
    ("secret", "digest"): "tells the account, see above",
    ("link", "digest"): "likewise",
    ("identity", "issuer", "subject"): "whoever signs in through a provider says no account",
    ("audit_entry", "previous"): "a seal covers its account, so that none is met twice anywhere",
    ("audit_entry", "seal"): "likewise",
    ("job", "state", "held_until"): "what a process that has the time goes on with, of all accounts at once",
    ("delivery", "next_at", "id"): "what is due, of all accounts at once",
    ("secret", "key_id"): "what is still under a server key, of all accounts at once, before it is retired",
    **dict.fromkeys(((table, "id") for table in TABLES), "a UUID, unique everywhere"),
    **dict.fromkeys(
        [
            ("member_role", "member_id"),
            ("member_role", "role_id"),
            ("token_role", "token_id"),
            ("token_role", "role_id"),
            ("token", "parent_id"),
            ("secret", "token_id"),
            ("token_day", "token_id"),
            ("token_origin", "token_id"),
            ("token_access", "token_id"),
            ("notice", "token_id"),
            ("delivery", "notice_id"),
            ("delivery", "webhook_id"),
            ("feed", "webhook_id"),
            ("link", "member_id"),
            ("link", "inviter_id"),
            ("identity", "member_id"),
            ("audit_access", "entry_id"),
        ],
        "a reference by UUID, looked along by the database when what is referred to goes",
    ),
}
"""The keys and indexes that the account does not lead, and why."""


@dataclass
class Trace:
    """The statements that were run, and to which account each row belongs that was ever written."""

    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)

    def note(self, sql: str, values: Sequence[Any]) -> None:
        many = not sql.startswith("INSERT") and bool(values) and isinstance(values[0], list | tuple)
        self.statements += [(sql, each) for each in (values if many else [values])]
        for row in inserted(sql, values):
            account = str(row["id"] if target(sql) == "account" else row["account_id"])
            names = ("id", "key") if target(sql) == "account" else ("id", "digest")
            self.owners |= {str(row[name]): account for name in names if name in row}


def target(sql: str) -> str:
    found = re.match(r'(?:INSERT INTO|UPDATE|DELETE FROM|SELECT .*? FROM) "?(\w+)', sql, re.DOTALL)
    return found[1] if found else ""


def inserted(sql: str, values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    if found := re.match(r'INSERT INTO "?\w+"? \(([^)]*)\)', sql):
        columns = [column.strip('" ') for column in found[1].split(",")]
        many = values and isinstance(values[0], list | tuple)
        for one in values if many else sliced(values, len(columns)):
            yield dict(zip(columns, one, strict=True))


def compared(sql: str, values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Give the columns that are compared with values, each with one of its values."""
    places = list(re.finditer(r"\?|\$(\d+)", sql))
    for found in re.finditer(r'(\w+)"?(?: ?= ?| IN \()((?:(?:\?|\$\d+)(?:, ?)?)+)', sql):
        for index, place in enumerate(places):
            if found.start(2) <= place.start() < found.end(2):
                yield found[1], values[int(place[1]) - 1 if place[1] else index]


def asked_of_all(sql: str, values: Sequence[Any]) -> set[str]:
    """Give the values that a statement looks for in all accounts, as it may."""
    if not sql.startswith("SELECT"):
        return set()
    return {str(value) for column, value in compared(sql, values) if (target(sql), column) in ACROSS}


def problem(sql: str, values: Sequence[Any], account: str, owners: dict[str, str]) -> str | None:
    """Say what is wrong with a statement that is run for an account; None if nothing is."""
    strangers = {str(value) for value in values if owners.get(str(value), account) != account}
    if strangers := strangers - asked_of_all(sql, values):
        return f"names what is another account's: {strangers}"
    rows = list(inserted(sql, values))
    if rows:
        column = "id" if target(sql) == "account" else "account_id"
        return None if all(str(row[column]) == account for row in rows) else "writes a row of no account"
    for join in re.findall(r"JOIN .*? ON (.*?) (?:LEFT|JOIN|WHERE)", sql):
        if not re.fullmatch(r'"\w+"\."(id|\w+_id)"="\w+"\."(id|\w+_id)"', join):
            return f"joins by {join}"
    _, where, conditions = sql.partition(" WHERE ")
    named = re.findall(r'(?:FROM|UPDATE) "?(\w+)"?(?!\.)', sql)  # not what EXTRACT is from
    tables = [name for name in named if name in TABLES]
    bound = [value for column, value in compared(sql, values) if column == "account_id"]
    if tables and where and len(bound) >= len(tables) and {str(value) for value in bound} == {account}:
        return None
    first = re.match(r'(?:"\w+"\.)?"?(\w+)"?(?: ?= ?| IN )', conditions)
    if len(tables) == 1 and first and (tables[0], first[1]) in KEYS:
        return None
    return None if not tables else "is bound to no account"


@pytest.fixture
def trace(database: Database, monkeypatch: pytest.MonkeyPatch) -> Trace:  # noqa: ARG001 - migrated before
    """Gather every statement, of transactions too."""
    trace = Trace()
    for name in ("execute_query", "execute_insert", "execute_many"):
        run = getattr(Statements, name)

        async def noted(client: Statements, sql: str, values: Any = None, run: Any = run) -> Any:
            trace.note(sql, values or ())
            return await run(client, sql, values)

        monkeypatch.setattr(Statements, name, noted)
    several = Statements.execute_several

    async def all_noted(client: Statements, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        for sql, values in statements:
            trace.note(sql, values)
        await several(client, statements)

    monkeypatch.setattr(Statements, "execute_several", all_noted)
    return trace


async def test_no_statement_reaches_from_one_account_to_another(
    trace: Trace, database: Database, organisation: Organisation
) -> None:
    other = await founded(database, "other", organisation.house)  # so that equal secrets have equal digests
    await other.define()
    for neighbour in (other, organisation):
        world = await World.of(neighbour)
        trace.statements.clear()
        await everything(world)
        account = str(neighbour.account.id)
        wrong = {
            (what, re.sub("SELECT .*? FROM", "SELECT … FROM", sql))
            for sql, values in trace.statements
            if (what := problem(sql, values, account, trace.owners))
        }
        assert wrong == set()
        assert len(trace.statements) > 500
    across = {trace.owners.get(value) for sql, values in trace.statements for value in asked_of_all(sql, values)}
    assert str(other.account.id) in across, "what may be looked for across accounts is"


async def everything(world: World) -> None:
    """Do and ask all that the schema and the other faces offer, as a server does request by request."""
    organisation = world.organisation
    owners = Member.filter(account_id=organisation.account.id, base_role=BuiltInRole.OWNER)
    for name, text in EXAMPLES.items():
        if name.startswith("Subscription") or name == "Mutation.signIn":
            continue
        caller = await organisation.session(await owners.get())
        if "ecordAuditEntries" in name or "erif" in name:
            caller = await organisation.token(caller, Scope(BuiltInRole.OWNER), TokenKind.SERVICE)
        await schema.execute(world.filled(text), context_value=Context(organisation.request, caller))
    member = await owners.get()
    service = await organisation.made(await organisation.session(member), kind=TokenKind.SERVICE)
    asker = await organisation.identify(service)
    await verification.verify(asker, service.secret or "", None, [Question("viewMember", f"member/{member.id}")])
    await callers.bearer(service.secret or "", organisation.account.id, organisation.request)
    organisation.owner = await organisation.session(await owners.get())
    exchange = await Exchange(organisation).furnish()
    for request in (exchange.authz(), exchange.introspect()):
        assert (await exchange.line(HttpToolsProtocol).hear(request)).startswith(b"HTTP/1.1 200 ")


async def test_the_flush_of_uses_alone_is_of_all_accounts_and_finds_tokens_by_their_ids(
    trace: Trace, database: Database, organisation: Organisation
) -> None:
    """Nobody waits for it, and one transaction for each account would be as many as there are."""
    house, other = organisation.house, await founded(database, "other", organisation.house)
    for neighbour in (organisation, other):
        service = await neighbour.made(neighbour.owner, kind=TokenKind.SERVICE)
        caller = await callers.used(service.secret or "", neighbour.request)
        callers.note_deeds(caller, deed("viewProject", "proj/web", allowed=True))
    trace.statements.clear()
    await house.uses.flush()
    rows = [(target(sql), row) for sql, values in trace.statements for row in inserted(sql, values)]
    assert all(trace.owners[row["token_id"]] == row["account_id"] for _, row in rows)
    accounts = {str(organisation.account.id), str(other.account.id)}
    assert {(table, row["account_id"]) for table, row in rows} == {
        (table, account) for table in ("token_day", "token_origin", "token_access") for account in accounts
    }
    others = [(sql, values) for sql, values in trace.statements if not sql.startswith("INSERT")]
    assert others
    for sql, values in others:
        named = list(compared(sql, values))
        by_token = [value for column, value in named if column in ("id", "token_id")]
        by_account = [str(value) for column, value in named if column == "account_id"]
        assert by_token or by_account, sql
        assert {*(trace.owners[str(value)] for value in by_token), *by_account} <= accounts


async def test_what_reaches_across_is_seen() -> None:
    account, stranger = str(new_id()), str(new_id())
    owners = {stranger: str(new_id())}
    good = 'SELECT "id" FROM "token" WHERE "token"."account_id"=? AND "id"=?'
    assert problem(good, [account, account], account, owners) is None
    assert problem(good, [account, stranger], account, owners) is not None
    assert problem(good, [str(new_id()), account], account, owners) is not None
    assert problem('SELECT "id" FROM "token" WHERE "name"=$1', ["x"], account, owners) is not None
    assert problem('SELECT "id" FROM "token"', [], account, owners) is not None
    proof = 'SELECT "id" FROM "secret" WHERE "digest" IN (?,?)'
    assert problem(proof, [stranger, "x"], account, owners) is None
    for across in (proof.replace("secret", "link"), proof.replace('SELECT "id"', "DELETE")):
        assert problem(across, [stranger, "x"], account, owners) is not None
    nested = 'SELECT "id" FROM "token" WHERE "account_id"=$1 AND "id" IN (SELECT "token_id" FROM "token_role")'
    assert problem(nested, [account], account, owners) is not None
    assert problem('INSERT INTO "role" ("id","account_id") VALUES (?,?)', [account, stranger], account, {}) is not None


async def test_keys_and_indexes_are_led_by_the_account(database: Database, organisation: Organisation) -> None:  # noqa: ARG001 - an open one
    client = connections.get("default")
    if client.capabilities.dialect == "sqlite":
        named = "SELECT m.name AS index_, m.tbl_name AS table_ FROM sqlite_master m WHERE m.type = 'index'"
        indexes = {}
        for row in await client.execute_query_dict(named):
            columns = await client.execute_query_dict(f"PRAGMA index_info('{row['index_']}')")
            indexes[row["index_"]] = (row["table_"], [column["name"] for column in columns])
    else:
        found = await client.execute_query_dict(
            "SELECT c.relname AS index_, t.relname AS table_, array_agg(a.attname::text ORDER BY k.ord) AS columns"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
            " JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, ord) ON true"
            " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum"
            " JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = 'public' GROUP BY 1, 2"
        )
        indexes = {row["index_"]: (row["table_"], list(row["columns"])) for row in found}
    unled = {(table, *columns) for table, columns in indexes.values() if columns[0] != "account_id" and table in TABLES}
    assert unled == UNLED.keys()
