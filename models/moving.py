"""Takes all rows of the embedded database over to an empty one on a PostgreSQL server: in one transaction, or none."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from uuid import UUID

from core.errors import Conflict
from models.engines.asyncpg import Connection, Held, connect
from models.engines.units import address
from models.urls import Server

MIGRATIONS = "tortoise_migrations"
_READ: dict[str, Callable[[Any], Any]] = {
    "uuid": UUID,
    "timestamp with time zone": datetime.fromisoformat,
    "date": date.fromisoformat,
    "boolean": bool,
}
"""How what SQLite holds as text or number is read for a column of PostgreSQL's; all else is the same in both."""

_COLUMNS = """
    SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position
"""
_PARENTS = """
    SELECT child.relname AS child, parent.relname AS parent FROM pg_constraint
    JOIN pg_class AS child ON child.oid = conrelid JOIN pg_class AS parent ON parent.oid = confrelid
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid <> confrelid
"""


async def move(path: Path, server: Server) -> dict[str, int]:
    """Copy every row to a database that is migrated and empty; says how many there are of each table.

    Nobody may have the file open. Raises `Conflict` if the other one is not empty, or has not got all of them.
    """
    with closing(sqlite3.connect(address(str(path)), uri=True, isolation_level=None)) as source:
        source.execute("BEGIN IMMEDIATE")  # nobody writes meanwhile
        held = Held(await connect(server))
        try:
            return await held.run(lambda connection: _moved(source, connection))
        finally:
            await held.connection.close()


async def _moved(source: sqlite3.Connection, target: Connection) -> dict[str, int]:
    async with target.transaction():
        tables = await _tables(target)
        for table in await _ordered(target, tables):
            if await target.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table}")'):  # noqa: S608 - a name of the schema's
                raise Conflict(f"the other database is not empty: there are rows in `{table}`")
            names = list(tables[table])
            rows = _rows(source, table, tables[table])
            await target.copy_records_to_table(table, records=rows, columns=names)
        return {table: await _compared(source, target, table) for table in tables}


async def _tables(target: Connection) -> dict[str, dict[str, str]]:
    """Read which tables there are, and the types of their columns."""
    tables: dict[str, dict[str, str]] = {}
    for row in await target.fetch(_COLUMNS):
        if row["table_name"] != MIGRATIONS:
            tables.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    return tables


async def _ordered(target: Connection, tables: dict[str, dict[str, str]]) -> Sequence[str]:
    """List tables behind those that they refer to."""
    parents: dict[str, set[str]] = {table: set() for table in tables}
    for row in await target.fetch(_PARENTS):
        parents[row["child"]].add(row["parent"])
    return list(TopologicalSorter(parents).static_order())


def _rows(source: sqlite3.Connection, table: str, columns: dict[str, str]) -> Iterator[tuple[Any, ...]]:
    reads = [_READ.get(kind) for kind in columns.values()]
    names = ", ".join(f'"{name}"' for name in columns)
    for row in source.execute(f'SELECT {names} FROM "{table}" ORDER BY id'):  # noqa: S608 - names of the schema's
        yield tuple(
            value if read is None or value is None else read(value) for read, value in zip(reads, row, strict=True)
        )


async def _compared(source: sqlite3.Connection, target: Connection, table: str) -> int:
    counted = f'SELECT COUNT(*) FROM "{table}"'  # noqa: S608 - a name of the schema's
    [(wanted,)], found = source.execute(counted).fetchall(), int(await target.fetchval(counted))
    if found != wanted:
        raise Conflict(f"of {wanted} rows of `{table}`, {found} came over: nothing was changed")
    return found
