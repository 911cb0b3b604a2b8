"""A clock that tests set, and a migrated database for every test, on SQLite and on PostgreSQL, copied and not made."""

import asyncio
import gc
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from models.database import Database, opened
from models.engines.transactions import Client
from models.migrator import migrate
from models.urls import path_of
from tests.databases import Elsewhere, Postgres, Rows, serving
from tests.effort import EFFORT
from tests.organisation import Founded, Organisation

settings.register_profile(
    "latchkey", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=EFFORT == 1, database=None
)
settings.load_profile("latchkey")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses a database on both, unless the test asks for `sqlite` or `postgresql` alone."""
    for name in ("database_url", "engine_url"):
        if name in metafunc.fixturenames:
            named = [kind for kind in ("sqlite", "postgresql") if kind in metafunc.fixturenames]
            metafunc.parametrize(name, named or ("sqlite", "postgresql"), indirect=True)


SLOW = ("cli", "clients", "console", "faults", "frontends", "proxies", "sign_in")
"""The folders of what starts servers, proxies and browsers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no file is left for the end that one worker runs while the others wait."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != here and item.path.relative_to(here).parts[0] not in SLOW)


SetClock = Callable[[datetime], None]


def pytest_collection_finish() -> None:
    """Leave what was imported to itself: looking through all of it for garbage takes a part of every test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Make it a certain time for every operation."""

    def to(at: datetime) -> None:
        for name, module in sys.modules.copy().items():
            if name.startswith("resolvers") and hasattr(module, "now"):
                monkeypatch.setattr(module, "now", lambda: at)

    return to


@pytest.fixture
def sqlite() -> None:
    """Run this test on SQLite alone: it is about the file, or not about the database."""


@pytest.fixture
def postgresql() -> None:
    """Run this test on PostgreSQL alone."""


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One empty, migrated database file; copied, never opened."""
    path = tmp_path_factory.mktemp("migrated") / "latchkey.sqlite3"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL server of the run."""
    with serving() as postgres:
        yield postgres


@pytest.fixture(scope="session")
def organised(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Founded]:
    """A database file with an organisation; copied, never opened again."""
    path = tmp_path_factory.mktemp("organised") / "latchkey.sqlite3"
    shutil.copy(migrated, path)
    founded = asyncio.run(Founded.of(f"sqlite://{path}"))
    assert not path.with_name(f"{path.name}-wal").exists()
    return path, founded


@pytest.fixture(scope="session")
def organised_rows(postgres: Postgres) -> tuple[Rows, Founded]:
    """The rows of an organisation on PostgreSQL."""
    with postgres.borrowed() as url:
        founded = asyncio.run(Founded.of(url))
        return postgres.rows(url), founded


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database of this test's own, which already has the organisation of a test that asks for it."""
    organised = "organisation" in request.fixturenames
    if request.param == "sqlite":
        path = tmp_path / "latchkey.sqlite3"
        shutil.copy(request.getfixturevalue("organised")[0] if organised else request.getfixturevalue("migrated"), path)
        yield f"sqlite://{path}"
    else:
        rows = request.getfixturevalue("organised_rows")[0] if organised else {}
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.borrowed(rows) as url:
            yield url


@pytest.fixture
def database_path(database_url: str, sqlite: None) -> Path:  # noqa: ARG001 - only SQLite's is a file
    """The file of the test's database."""
    return path_of(database_url)


@pytest.fixture
def elsewhere(database_url: str) -> Elsewhere:
    """The test's database as another process sees it."""
    return Elsewhere(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, open."""
    async with opened(database_url) as database:
        yield database


@pytest.fixture
async def organisation(request: pytest.FixtureRequest, database_url: str, database: Database) -> Organisation:
    """An account with its owner signed in and a small catalogue."""
    copied = "organised" if database_url.startswith("sqlite") else "organised_rows"
    founded: Founded = request.getfixturevalue(copied)[1]
    return await founded.again(database)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gather the statements that read from the database; clear it to begin counting."""
    seen: list[str] = []
    run = Client.execute_query

    async def noted(client: Client, query: str, values: list[Any] | None = None) -> Any:
        seen.append(query)
        return await run(client, query, values)

    monkeypatch.setattr(Client, "execute_query", noted)
    return seen
