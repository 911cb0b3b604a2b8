"""Many rows at once, straight into the database: copies of a row that Latchkey itself wrote.

Ids grow as Latchkey's own do, digests are random. Indexes are made anew afterwards, which is what takes the least time;
they end up as they were.
"""

# ruff: noqa: S608 - all that stands in a statement is the benches' own

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.postgres import Postgres
from core.secret import Secret, SecretKind, ServerKeys

_TOKEN, _SECRET, _ENTRY, _ACCESS = range(4)


class Place(Protocol):
    """A database in which rows are multiplied."""

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on one connection; gives the rows of the last."""
        ...

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        ...

    def columns(self, table: str) -> list[str]:
        """List a table's columns."""
        ...

    def indexes(self, table: str) -> dict[str, str]:
        """List the indexes that are no constraints, each with the statement that makes it."""
        ...

    def numbers(self, first: int, last: int) -> str:
        """Write a table `n (i)` of numbers, to stand after FROM."""
        ...

    def id(self, kind: int, number: str) -> str:
        """Write an expression of an id that grows with a number."""
        ...

    def at(self, seconds: str) -> str:
        """Write an expression of a time, so many seconds after 1970."""
        ...

    def json(self, text: str) -> str:
        """Write an expression of JSON whose text is given."""
        ...

    @property
    def digest(self) -> str:
        """An expression of 64 random hex digits."""
        ...

    @property
    def settings(self) -> Sequence[str]:
        """Statements that make writing much at once faster."""
        ...


@dataclass(frozen=True, slots=True)
class File:
    """A SQLite file."""

    path: Path

    digest = "lower(hex(randomblob(32)))"
    settings = (
        "PRAGMA journal_mode = OFF",  # until Latchkey opens it again
        "PRAGMA synchronous = OFF",
        "PRAGMA cache_size = -4000000",
        "PRAGMA foreign_keys = OFF",
    )

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on one connection; gives the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                rows = connection.execute(statement).fetchall()
        return rows

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(statement, rows)

    def columns(self, table: str) -> list[str]:
        """List a table's columns."""
        return [row[0] for row in self.run(f"SELECT name FROM pragma_table_info('{table}')")]

    def indexes(self, table: str) -> dict[str, str]:
        """List the indexes that are no constraints, each with the statement that makes it."""
        kept = f"SELECT name, sql FROM sqlite_schema WHERE tbl_name = '{table}' AND type = 'index' AND sql > ''"
        return {str(name): str(statement) for name, statement in self.run(kept)}

    def numbers(self, first: int, last: int) -> str:
        """Write a table `n (i)` of numbers, to stand after FROM."""
        counting = f"SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}"
        return f"(WITH RECURSIVE n(i) AS ({counting}) SELECT i FROM n) AS n"

    def id(self, kind: int, number: str) -> str:
        """Write an expression of an id that grows with a number."""
        return f"printf('0190000{kind}-%04x-7%03x-8000-%012x', ({number}) >> 12, ({number}) & 4095, {number})"

    def at(self, seconds: str) -> str:
        """Write an expression of a time, so many seconds after 1970."""
        return f"strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch') || '.000000+00:00'"

    def json(self, text: str) -> str:
        """Write an expression of JSON whose text is given."""
        return text


@dataclass(frozen=True, slots=True)
class Tables:
    """A database on a PostgreSQL server."""

    postgres: Postgres

    digest = "md5(random()::text) || md5(random()::text)"
    settings = ("SET session_replication_role = replica", "SET maintenance_work_mem = '1GB'")

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on one connection; gives the rows of the last."""
        return self.postgres.run(*statements)

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        self.postgres.many(statement, rows)

    def columns(self, table: str) -> list[str]:
        """List a table's columns."""
        asked = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
        return [row[0] for row in self.run(asked)]

    def indexes(self, table: str) -> dict[str, str]:
        """List the indexes that are no constraints, each with the statement that makes it."""
        asked = f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename = '{table}'"
        asked += " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        return {str(name): str(statement) for name, statement in self.run(asked)}

    def numbers(self, first: int, last: int) -> str:
        """Write a table `n (i)` of numbers, to stand after FROM."""
        return f"generate_series({first}::bigint, {last}) AS n (i)"

    def id(self, kind: int, number: str) -> str:
        """Write an expression of an id that grows with a number."""
        parts = (f"(({number}) >> 12)", 4), (f"(({number}) & 4095)", 3), (f"({number})", 12)
        middle, low, tail = (f"lpad(to_hex({part}), {width}, '0')" for part, width in parts)
        return f"('0190000{kind}-' || {middle} || '-7' || {low} || '-8000-' || {tail})::uuid"

    def at(self, seconds: str) -> str:
        """Write an expression of a time, so many seconds after 1970."""
        return f"to_timestamp({seconds})"

    def json(self, text: str) -> str:
        """Write an expression of JSON whose text is given."""
        return f"({text})::jsonb"


def place(folder: Path, database: Postgres | None) -> Place:
    """Find the database of whatever is served from a folder."""
    return Tables(database) if database else File(folder / "latchkey.sqlite3")


def multiply_tokens(place: Place, first: int, last: int, template: str) -> None:
    """Copy a token and its secret; `template` is its id."""
    numbers = place.numbers(first, last)
    with _unindexed(place, "token", "secret"):
        token = {"id": place.id(_TOKEN, "i")}
        secret = {"id": place.id(_SECRET, "i"), "token_id": place.id(_TOKEN, "i"), "digest": place.digest}
        place.run(
            *place.settings,
            "BEGIN",
            _copied(place, "token", token, f"o.id = '{template}'", numbers),
            _copied(place, "secret", secret, f"o.token_id = '{template}'", numbers),
            "COMMIT",
        )


def known_secrets(place: Place, keys: Path, numbers: Sequence[int]) -> list[str]:
    """Give some of the copied tokens secrets that are known: those that are presented."""
    ring = ServerKeys.parse(keys.read_text())
    known = [Secret.mint(SecretKind.PERSONAL) for _ in numbers]
    rows = ",".join(
        f"({place.id(_SECRET, str(number))}, '{ring.digest(secret).hex}')"
        for number, secret in zip(numbers, known, strict=True)
    )
    place.run(
        "CREATE TABLE bench_known (id "
        + ("uuid" if isinstance(place, Tables) else "text")
        + " PRIMARY KEY, digest text)",
        f"INSERT INTO bench_known VALUES {rows}",
        "UPDATE secret SET digest = k.digest FROM bench_known AS k WHERE secret.id = k.id",
        "DROP TABLE bench_known",
    )
    return [secret.text for secret in known]


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What is otherwise in copies of an entry and of its access: expressions of the number `i`, by column."""

    entry: Mapping[str, str] = field(default_factory=dict)
    access: Mapping[str, str] = field(default_factory=dict)


def multiply_entries(
    place: Place, first: int, last: int, account: str = "main", otherwise: Otherwise = Otherwise()
) -> None:
    """Copy the first entry of an account's log and its access, and let the log go on behind them.

    Their seals are random, so that the chain does not hold: it is as long and as wide as one that does.
    """
    head = "SELECT a.id, h.sequence FROM audit_head AS h JOIN account AS a ON a.id = h.account_id"
    ((account_id, sequence),) = place.run(f"{head} WHERE a.key = '{account}'")
    base, numbers = sequence - first + 1, place.numbers(first, last)
    with _unindexed(place, "audit_entry", "audit_access"):
        entry = {
            "id": place.id(_ENTRY, "i"),
            "sequence": f"{base} + i",
            "previous": place.digest,
            "seal": place.digest,
            **otherwise.entry,
        }
        access = {"id": place.id(_ACCESS, "i"), "entry_id": place.id(_ENTRY, "i"), "sequence": f"{base} + i"}
        access |= otherwise.access
        original = f"(SELECT id FROM audit_entry WHERE account_id = '{account_id}' ORDER BY sequence LIMIT 1)"
        one = "SELECT id FROM audit_access WHERE entry_id = "
        place.run(
            *place.settings,
            "BEGIN",
            _copied(place, "audit_entry", entry, f"o.id = {original}", numbers),
            _copied(place, "audit_access", access, f"o.id = ({one}{original} LIMIT 1)", numbers),
            f"UPDATE audit_head SET sequence = {base + last} WHERE account_id = '{account_id}'",
            "COMMIT",
        )


def _copied(place: Place, table: str, changed: Mapping[str, str], which: str, numbers: str) -> str:
    columns = place.columns(table)
    values = ", ".join(changed.get(column, f'o."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {numbers}, {table} AS o WHERE {which}"


@contextmanager
def _unindexed(place: Place, *tables: str) -> Iterator[None]:
    indexes = {name: statement for table in tables for name, statement in place.indexes(table).items()}
    place.run(*(f'DROP INDEX "{name}"' for name in indexes))
    yield
    place.run(*place.settings, *indexes.values(), "ANALYZE")
