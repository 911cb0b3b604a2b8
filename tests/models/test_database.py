"""Opening a database: for every task of the process, for its owner's eyes, and closed again."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tortoise.connection import get_connection
from tortoise.exceptions import ConfigurationError
from tortoise.transactions import in_transaction

from models import Account
from models.database import opened, outside_transaction
from models.listening import HeardVersions
from models.migrator import migrate
from models.urls import Server, parse, path_of
from tests.databases import Elsewhere


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///srv/latchkey.sqlite3", "/srv/latchkey.sqlite3"),
        ("sqlite:////srv/latchkey.sqlite3", "/srv/latchkey.sqlite3"),
        ("sqlite:///srv/with%20space/a.db", "/srv/with space/a.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert path_of(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "", "/srv/latchkey.sqlite3", "sqlite://", "sqlite:///", "sqlite://relative.sqlite3", "sqlite:a/b",
        "sqlite://:memory:", "sqlite:///:memory:", "sqlite:///srv/a.db?mode=ro", "postgres://host/latchkey",
    ],
)  # fmt: skip
def test_a_url_of_another_form_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message follows
        path_of(url)
    assert str(refused.value) == "the database URL is not of the form `sqlite:///absolute/path.sqlite3`"


async def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    async with opened(f"sqlite://{folder / 'latchkey.sqlite3'}"):
        await get_connection("default").execute_script("CREATE TABLE t (id INTEGER)")
        made = {path.name: oct(path.stat().st_mode & 0o777) for path in (*folder.iterdir(), folder, folder.parent)}
    assert made == {
        "new": "0o700",
        "data": "0o700",
        "latchkey.sqlite3": "0o600",
        "latchkey.sqlite3-wal": "0o600",
        "latchkey.sqlite3-shm": "0o600",
    }
    left = [path.name for path in folder.iterdir()]
    assert left == ["latchkey.sqlite3"], "the last connection to be closed takes the WAL away"


def test_what_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "latchkey.sqlite3"
    path.touch(mode=0o640)
    tmp_path.chmod(0o750)
    asyncio.run(migrate(f"sqlite://{path}"))
    assert (oct(path.stat().st_mode & 0o777), oct(tmp_path.stat().st_mode & 0o777)) == ("0o640", "0o750")


async def test_requests_of_a_real_server_reach_the_database(database_url: str) -> None:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with opened(database_url):
            yield

    async def make(request: Request) -> PlainTextResponse:
        async with in_transaction():
            await Account.create(key=request.query_params["key"], name="A")
        return PlainTextResponse(str(await Account.all().count()))

    app = Starlette(routes=[Route("/", make)], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, loop="asyncio"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(30):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answers = [(await client.get("/", params={"key": key})).text for key in ("one", "two")]
        server.should_exit = True
        await serving
    assert answers == ["1", "2"]


async def test_a_version_is_what_is_committed_now_whoever_committed_it(database_url: str, elsewhere: Elsewhere) -> None:
    async with opened(database_url) as database:
        account = await Account.create(key="acme", name="Acme")
        assert await database.versions.read(account.id) == 1
        async with in_transaction():
            await Account.filter(id=account.id).update(version=2)
            assert await database.versions.read(account.id) == 1
        assert await database.versions.read(account.id) == 2
        elsewhere("UPDATE account SET version = 3")
        assert await database.versions.read(account.id) == 3
        if elsewhere.is_file:
            [(busy, *_)] = elsewhere("PRAGMA wal_checkpoint(TRUNCATE)")
            assert busy == 0, "looking at versions holds no old state in place"
        absent = uuid4()
        with pytest.raises(LookupError, match=f"there is no account `{absent}`"):
            await database.versions.read(absent)
        assert database.versions.known(absent) is None


@pytest.mark.usefixtures("postgresql")
async def test_behind_a_pooler_that_loses_notices_nothing_is_remembered(database_url: str) -> None:
    server = parse(database_url)
    assert isinstance(server, Server)

    class Pooled(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
        def get_server_pid(self) -> int:
            """Name another process than the one that answers, as poolers do."""
            return 1

    async def read(_: UUID) -> int:
        return 7

    for kind, known in ((Pooled, None), (asyncpg.Connection, 7)):
        versions, account_id = HeardVersions(read), uuid4()
        async with versions.listening(partial(asyncpg.connect, connection_class=kind, **server.arguments)):
            await asyncio.sleep(0.3)
            assert await versions.read(account_id) == 7
            assert versions.known(account_id) == known


async def test_one_database_is_open_at_a_time_and_one_after_the_other(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url):
        await Account.create(key="acme", name="Acme")
        with pytest.raises(ConfigurationError, match="already enabled"):
            async with opened(f"sqlite://{tmp_path / 'second.sqlite3'}"):
                pytest.fail("queries would go to the first one")
        assert await Account.all().count() == 1
    for _ in range(3):
        async with opened(database_url):
            assert await Account.all().count() == 1


async def test_closing_is_finished_even_if_cancelled(database_url: str) -> None:
    closing_now = asyncio.Event()

    async def use() -> None:
        async with opened(database_url):
            closing_now.set()

    task = asyncio.create_task(use())
    await closing_now.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with opened(database_url):
        assert await Account.all().count() == 0


async def test_a_background_task_started_outside_the_transaction_writes_on_its_own(database_url: str) -> None:
    tasks = []

    async def flush() -> None:
        await Account.create(key="flushed", name="Flushed")

    async def fail() -> None:
        async with in_transaction():
            await Account.create(key="undone", name="Undone")
            tasks.append(asyncio.create_task(flush(), context=outside_transaction()))
            raise ZeroDivisionError

    async with opened(database_url):
        with pytest.raises(ZeroDivisionError):
            await fail()
        await asyncio.gather(*tasks)
        assert [account.key for account in await Account.all()] == ["flushed"]


async def test_a_file_behind_a_link_is_watched_where_it_is(migrated: Path, tmp_path: Path) -> None:
    """Beside the link may lie what a server left that was killed when the file was still there."""
    async with opened(f"sqlite://{_linked(migrated, tmp_path)}") as database:
        account = await Account.create(key="acme", name="Acme")
        assert await database.versions.read(account.id) == 1
        await Account.filter(id=account.id).update(version=2)
        assert await database.versions.read(account.id) == 2


def _linked(migrated: Path, folder: Path) -> Path:
    (folder / "data").mkdir()
    real, link = folder / "data" / "latchkey.sqlite3", folder / "latchkey.sqlite3"
    shutil.copy(migrated, real)
    Path(f"{link}-shm").write_bytes(bytes(32768))
    link.symlink_to(real)
    return link
