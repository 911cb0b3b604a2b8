"""Brings a database up to the code: applies the migrations that `tortoise makemigrations` wrote, all of them or none.

Everything happens in one transaction, from asking what is applied to checking every foreign key. SQLite's write lock
makes two processes that start at once take turns, and a process that dies in the middle leaves nothing behind. Only
what starts the server calls this, never its workers.
"""

import asyncio
import pkgutil
from collections.abc import Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path

from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction

from models.database import APPS, path_of, plain, prepare, tortoise_config
from models.engines.sqlite_editor import KeepingSchemaEditor

PATIENCE_S = 600.0
"""How long one migrating process waits for another."""

_APPLIED = "SELECT app, name FROM tortoise_migrations"

Applied = set[tuple[str, str]]
"""Migrations, each as the label of its app and its name."""


class DatabaseTooNewError(RuntimeError):
    """The database was migrated by a later version of Latchkey."""


class BrokenMigrationError(RuntimeError):
    """A migration would have left rows that point to rows which are not there. Nothing was changed."""


async def migrate(url: str, apps: Mapping[str, Mapping[str, object]] = APPS) -> list[str]:
    """Apply what is missing and give back the names of what was applied. Quick when that is nothing.

    Raises ValueError on a bad URL, DatabaseTooNewError, BrokenMigrationError.
    """
    path = path_of(url)
    prepare(path)
    known = _known(apps)
    missing = known - _not_newer(await asyncio.to_thread(_applied, path), known)
    return await _apply(path, apps, known) if missing else []


async def _apply(path: Path, apps: Mapping[str, Mapping[str, object]], known: Applied) -> list[str]:
    async with TortoiseContext() as context:
        await context.init(config=tortoise_config(path, apps, foreign_keys=False, busy_timeout_s=PATIENCE_S))
        async with in_transaction() as transaction:
            executor = _Executor(transaction, {label: dict(app) for label, app in apps.items()})
            before = {(key.app_label, key.name) for key in await executor.recorder.applied_migrations()}
            _not_newer(before, known)  # asked again, now that no other process can migrate
            await executor.migrate(direction="forward")
            broken = await transaction.execute_query_dict("PRAGMA foreign_key_check")
            if broken:
                tables = ", ".join(sorted({f"`{row['table']}` to `{row['parent']}`" for row in broken}))
                raise BrokenMigrationError(f"the migration leaves {len(broken)} rows pointing nowhere: {tables}")
    return sorted(name for _, name in known - before)


class _Executor(MigrationExecutor):
    """Tortoise's executor with an editor that loses nothing."""

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> KeepingSchemaEditor:
        return KeepingSchemaEditor(self.connection, atomic=atomic, collect_sql=collect_sql)


def _known(apps: Mapping[str, Mapping[str, object]]) -> Applied:
    """List the migrations that this code has."""
    packages = {label: import_module(str(app["migrations"])) for label, app in apps.items()}
    return {
        (label, module.name)
        for label, package in packages.items()
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }


def _applied(path: Path) -> Applied:
    """List the migrations that the database has, without Tortoise: most starts end here."""
    with closing(plain(path)) as connection:
        exists = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tortoise_migrations'").fetchall()
        return set(connection.execute(_APPLIED).fetchall()) if exists else set()


def _not_newer(applied: Applied, known: Applied) -> Applied:
    if unknown := sorted(name for _, name in applied - known):
        raise DatabaseTooNewError(
            f"the database was migrated by a later version, which knows `{'`, `'.join(unknown)}`;"
            " start that version, or restore a backup"
        )
    return applied
