"""Brings a database up to the code: applies the migrations that `tortoise makemigrations` wrote, all of them or none.

Everything happens in one transaction, from asking what is applied to checking every foreign key. SQLite's write lock,
and on PostgreSQL an advisory one, makes two processes that start at once take turns, and a process that dies in the
middle leaves nothing behind. Only what starts the server calls this, never its workers.
"""

import asyncio
import pkgutil
import sqlite3
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import closing
from functools import cache
from importlib import import_module
from pathlib import Path

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connections
from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.schema_editor import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State
from tortoise.models import Model
from tortoise.transactions import in_transaction

from models.database import APPS, CONNECTION, plain, prepare, tortoise_config
from models.engines.asyncpg import Connection, Held, connect
from models.engines.soundness import Soundness
from models.engines.sqlite_editor import KeepingSchemaEditor
from models.migration_state import LateApps, LateState
from models.urls import Server, parse

PATIENCE_S = 600.0
"""How long one migrating process waits for another."""

Apps = Mapping[str, Mapping[str, object]]
Applied = set[tuple[str, str]]
"""Migrations, each as the label of its app and its name."""

_APPLIED = "SELECT app, name FROM tortoise_migrations"

_ALONE = f"""
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = '{PATIENCE_S}s';
    SELECT pg_advisory_xact_lock(hashtext('latchkey migrates'));
"""

_INEXACT = """
    SELECT format('ALTER TABLE %s %s', attrelid::regclass, string_agg(change, ', ')) AS statement FROM (
        SELECT attrelid, format(
            'ALTER COLUMN %1$I TYPE %2$s COLLATE "C" USING %1$I::%2$s',
            attname, CASE typname WHEN 'jsonb' THEN 'text' ELSE format_type(atttypid, atttypmod) END
        ) AS change
        FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
        WHERE attrelid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name)
        AND attnum > 0 AND (typname = 'jsonb' OR attcollation NOT IN (0, '"C"'::regcollation))
    ) AS changes GROUP BY attrelid
"""
"""The statements that are still needed for a list of tables, one for each."""


class DatabaseTooNewError(RuntimeError):
    """The database was migrated by a later version of Latchkey."""


class BrokenMigrationError(RuntimeError):
    """A migration would have left rows that point to rows which are not there. Nothing was changed."""


async def migrate(url: str, apps: Apps = APPS) -> list[str]:
    """Apply what is missing and give back the names of what was applied. Quick when that is nothing.

    Raises ValueError on a bad URL, ConnectionError, DatabaseTooNewError, BrokenMigrationError.
    """
    place = parse(url)
    if isinstance(place, Path):
        prepare(place)
    known = _known(apps)
    missing = known - _not_newer(await _applied(place), known)
    return await _apply(place, apps, known) if missing else []


async def is_current(url: str) -> bool:
    """Say whether the database exists and has every migration. Changes nothing. Raises DatabaseTooNewError."""
    known = _known(APPS)
    return await is_kept(url) and _not_newer(await _applied(parse(url)), known) == known


async def refuse_newer() -> None:
    """Ask the open database which migrations it has by now. Raises DatabaseTooNewError, or why it does not answer."""
    rows = await get_connections().get(CONNECTION).execute_query_dict(_APPLIED)
    _not_newer({(row["app"], row["name"]) for row in rows}, _ours())


async def is_kept(url: str) -> bool:
    """Say whether there is anything in the database yet."""
    place = parse(url)
    return place.exists() if isinstance(place, Path) else bool(await _applied(place))


async def _apply(place: Path | Server, apps: Apps, known: Applied) -> list[str]:
    patience = {"foreign_keys": False, "busy_timeout_s": PATIENCE_S} if isinstance(place, Path) else {}
    async with TortoiseContext() as context:
        await context.init(config=tortoise_config(place, apps, **patience))
        await context.connections.get(CONNECTION).create_connection(with_db=True)
        async with in_transaction() as transaction:
            if isinstance(place, Server):
                await transaction.execute_script(_ALONE)
            executor = _Executor(transaction, {label: dict(app) for label, app in apps.items()})
            before = await executor.applied()
            _not_newer(before, known)  # asked again, now that no other process can migrate
            await executor.migrate(direction="forward")
            if isinstance(place, Server):
                await _make_exact(transaction, [model._meta.db_table for model in _models(context)])  # noqa: SLF001 - Tortoise's word for a model's table
            else:
                await _check_foreign_keys(transaction)
    return sorted(name for _, name in known - before)


async def _check_foreign_keys(transaction: BaseDBAsyncClient) -> None:
    broken = await transaction.execute_query_dict("PRAGMA foreign_key_check")
    if broken:
        tables = ", ".join(sorted({f"`{row['table']}` to `{row['parent']}`" for row in broken}))
        raise BrokenMigrationError(f"the migration leaves {len(broken)} rows pointing nowhere: {tables}")


async def _make_exact(transaction: BaseDBAsyncClient, tables: list[str]) -> None:
    """Have PostgreSQL keep and compare as SQLite does, whatever the migrations said.

    Texts compare by code point, so that a prefix is a key range and every page is cut at the same row. JSON stays as it
    was written: JSONB rewrites it, and would break the seals of entries.
    """
    for row in await transaction.execute_query_dict(_INEXACT, [tables]):
        await transaction.execute_script(row["statement"])


def _models(context: TortoiseContext) -> Iterator[type[Model]]:
    for models in (context.apps or {}).values():
        yield from models.values()


class _Executor(MigrationExecutor):
    """Tortoise's executor with an editor that loses nothing."""

    async def applied(self) -> Applied:
        """List the migrations that the database has."""
        await self.recorder.ensure_schema(self._schema_editor(atomic=False))  # a failed query ends a transaction
        return {(key.app_label, key.name) for key in await self.recorder.applied_migrations()}

    async def _project_state(self, applied: set[MigrationKey], *, upto: MigrationKey | None = None) -> State:
        connections = {label: str(app["default_connection"]) for label, app in self.loader.apps_config.items()}
        state = LateState({}, lambda: LateApps(connections))
        for key in self._full_plan():
            if key == upto:
                break
            if key in applied and (migration := self.loader.graph.nodes[key]):
                await migration.apply(state, dry_run=True)
        return state

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return KeepingSchemaEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)


def _known(apps: Apps) -> Applied:
    """List the migrations that this code has."""
    packages = {label: import_module(str(app["migrations"])) for label, app in apps.items()}
    return {
        (label, module.name)
        for label, package in packages.items()
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }


@cache
def _ours() -> frozenset[tuple[str, str]]:
    return frozenset(_known(APPS))


async def _applied(place: Path | Server) -> Applied:
    """List the migrations that the database has, without Tortoise: most starts end here."""
    if isinstance(place, Path):
        return await asyncio.to_thread(_applied_to_file, place)
    held = Held(await connect(place))
    try:
        return await held.run(_applied_to_server)
    finally:
        held.connection.terminate()


async def _applied_to_server(connection: Connection) -> Applied:
    exists = await connection.fetchval("SELECT to_regclass('tortoise_migrations') IS NOT NULL")
    return {(row["app"], row["name"]) for row in await connection.fetch(_APPLIED)} if exists else set()


def _applied_to_file(path: Path) -> Applied:
    try:
        with closing(plain(path)) as connection:
            exists = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tortoise_migrations'").fetchall()
            return set(connection.execute(_APPLIED).fetchall()) if exists else set()
    except sqlite3.DatabaseError as error:
        raise Soundness(path).told(error)  # noqa: B904 - it says so itself


def _not_newer(applied: Applied, known: AbstractSet[tuple[str, str]]) -> Applied:
    if unknown := sorted(name for _, name in applied - known):
        raise DatabaseTooNewError(
            f"the database was migrated by a later version, which knows `{'`, `'.join(unknown)}`;"
            " start that version, or restore a backup"
        )
    return applied
