"""A migrated database for every test, copied from one that was migrated once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.database import Database, opened
from models.engines.sqlite import SqliteClient
from models.migrator import migrate
from tests.organisation import Organisation, founded


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One empty, migrated database file; copied, never opened."""
    path = tmp_path_factory.mktemp("migrated") / "latchkey.sqlite3"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture
def database_path(migrated: Path, tmp_path: Path) -> Path:
    """A fresh database file of this test's own."""
    path = tmp_path / "latchkey.sqlite3"
    shutil.copy(migrated, path)
    return path


@pytest.fixture
async def database(database_path: Path) -> AsyncIterator[Database]:
    """The test's database, open."""
    async with opened(f"sqlite://{database_path}") as database:
        yield database


@pytest.fixture
async def organisation(database: Database) -> Organisation:
    """An account with its owner signed in and a small catalogue."""
    founding = await founded(database)
    await founding.define()
    return founding


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gather the statements that read from the database; clear it to begin counting."""
    seen: list[str] = []
    run = SqliteClient.execute_query

    async def noted(client: SqliteClient, query: str, values: list[Any] | None = None) -> Any:
        seen.append(query)
        return await run(client, query, values)

    monkeypatch.setattr(SqliteClient, "execute_query", noted)
    return seen
