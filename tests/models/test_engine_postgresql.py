"""What is PostgreSQL's own about its engine: connections that are lost, held, too few, or cancelled on the server."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from tortoise import fields
from tortoise.connection import get_connection
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError
from tortoise.models import Model
from tortoise.transactions import in_transaction

from models.database import started, tortoise_config
from models.engines import asyncpg, asyncpg_units
from models.engines.asyncpg import PostgresClient
from models.engines.asyncpg_units import LostError
from models.engines.transactions import AwayError
from models.urls import Server, parse
from tests.databases import Elsewhere, Postgres


class Crate(Model):
    id = fields.IntField(primary_key=True)
    batch = fields.IntField(default=0)
    name = fields.CharField(max_length=32, unique=True, null=True)


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Server]:
    """An empty database on the server; at most two connections, so that a lost one is missed."""
    url = postgres.make("template0")
    server = parse(f"{url}&pool_max=2" if "?" in url else f"{url}?pool_max=2")
    assert isinstance(server, Server)
    yield server
    postgres.drop(url)


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[PostgresClient]:
    apps = {"crates": {"models": [__name__], "default_connection": "default"}}
    async with started(tortoise_config(server, apps)) as context:
        client = context.connections.get("default")
        assert isinstance(client, PostgresClient)
        yield client


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PostgresClient]:
    async with opened(server) as client:
        await client.execute_script("CREATE TABLE crate (id SERIAL PRIMARY KEY, batch INT, name VARCHAR(32) UNIQUE)")
        yield client


@pytest.fixture
def apart(server: Server) -> Elsewhere:
    return Elsewhere(server)


async def everything_works() -> None:
    async with asyncio.timeout(20):
        before = await Crate.all().count()
        async with in_transaction():
            await Crate.create()
            assert await asyncio.create_task(count()) == before
        await Crate.bulk_create([Crate(), Crate()])
        assert await Crate.all().count() == before + 3


async def count() -> int:
    return await Crate.all().count()


def backends(apart: Elsewhere, what: str = "true") -> int:
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    [(number,)] = apart(f"SELECT count(*) FROM pg_stat_activity WHERE {others} AND {what}")  # noqa: S608 - our own words
    return int(number)


def cut_all(apart: Elsewhere) -> None:
    """End every connection but this one, as a restart of the server does."""
    apart(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def until(answer: int, apart: Elsewhere, what: str) -> None:
    async with asyncio.timeout(20):
        while backends(apart, what) != answer:  # noqa: ASYNC110 - it is the server's doing
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("client")
async def test_begins_that_are_cancelled_leak_no_connection() -> None:
    async def begin() -> None:
        async with in_transaction():
            await Crate.create()
            await asyncio.sleep(10)

    for turns in range(60):
        task = asyncio.create_task(begin())
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        await asyncio.sleep(turns % 5 / 2000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await count() == 0
    await everything_works()


async def test_a_cancelled_statement_is_ended_on_the_server_too_and_nobody_waits(
    client: PostgresClient, apart: Elsewhere
) -> None:
    for query in ("SELECT pg_sleep(60)", "INSERT INTO crate (batch) SELECT 1 FROM pg_sleep(60)"):
        task = asyncio.create_task(client.execute_query(query))
        await until(1, apart, "state = 'active'")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(0, apart, "state = 'active'")
    assert await count() == 0
    await everything_works()


@pytest.mark.parametrize("at_once", ["bulk", "several"])
async def test_many_rows_that_are_cancelled_while_they_are_sent_keep_nobody_waiting(
    client: PostgresClient, at_once: str
) -> None:
    insert = "INSERT INTO crate (batch, name) VALUES ($1, $2)"
    rows = [[number, f"{number:032}"] for number in range(6_000)]

    async def write() -> None:
        async with in_transaction() as transaction:
            if at_once == "bulk":
                await transaction.execute_many(insert, rows)
            else:
                await get_connection("default").execute_several([(insert, row) for row in rows])  # type: ignore[attr-defined] # the engine's own
            await asyncio.sleep(20)

    for turns in range(16):
        task = asyncio.create_task(write())
        await asyncio.sleep(turns % 4 / 100)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        assert await asyncio.wait([task], timeout=10) == ({task}, set())
        assert task.cancelled()
    assert client.connections["open"] == client.connections["idle"]
    assert await count() == 0
    await everything_works()


async def test_many_rows_are_all_written_in_their_order(client: PostgresClient) -> None:
    size = asyncpg_units.PORTION_BYTES
    batches = [0, 1, size // 2, size, 3 * size, 5 * size, 1]
    for rows in ([(batch, "é" * batch) for batch in batches], [(number, "") for number in range(5_000)]):
        await client.execute_script("DROP TABLE IF EXISTS text; CREATE TABLE text (id SERIAL, batch INT, said TEXT)")
        await client.execute_several([("INSERT INTO text (batch, said) VALUES ($1, $2)", row) for row in rows])
        found = await client.execute_query_dict("SELECT batch, said FROM text ORDER BY id")
        assert [(row["batch"], row["said"]) for row in found] == rows


async def test_a_commit_that_was_sent_is_carried_to_its_end(client: PostgresClient, apart: Elsewhere) -> None:
    await client.execute_script("""
        CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON crate DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slowly();
    """)

    async def write() -> None:
        async with in_transaction():
            await Crate.create()

    task = asyncio.create_task(write())
    await until(1, apart, "query = 'COMMIT' AND state = 'active'")
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done(), "it waits until it is known how the commit ended"
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count() == 1


@pytest.mark.usefixtures("client")
async def test_a_cancelled_statement_loses_its_transaction_even_if_the_body_carries_on() -> None:
    async def write() -> None:
        async with in_transaction() as transaction:
            await Crate.create(batch=1)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05), in_transaction():
                    await transaction.execute_query("SELECT pg_sleep(60)")
            with pytest.raises(TransactionManagementError, match="its transaction is lost"):
                await Crate.create(batch=3)

    with pytest.raises(TransactionManagementError, match="nothing of its transaction was written"):
        await write()
    assert await count() == 0
    await everything_works()


@pytest.mark.usefixtures("client")
async def test_what_follows_a_swallowed_failure_is_not_said_to_be_written() -> None:
    async def write() -> None:
        async with in_transaction():
            await Crate.create(name="taken")
            with suppress(IntegrityError):
                await Crate.create(name="taken")

    with pytest.raises(TransactionManagementError, match="a statement failed"):
        await write()
    assert await count() == 0
    await everything_works()


@pytest.mark.usefixtures("client")
async def test_lost_connections_are_replaced_where_they_can_be(apart: Elsewhere) -> None:
    await asyncio.gather(count(), count())
    for _ in range(3):
        cut_all(apart)
        assert await count() == 0
        cut_all(apart)
        async with in_transaction():
            assert await Crate.all().count() == 0


async def test_who_waits_too_long_for_a_connection_has_none_of_the_others_replaced(
    client: PostgresClient, apart: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping = [asyncio.create_task(client.execute_query_dict("SELECT pg_sleep(60)")) for _ in range(2)]
    await until(2, apart, "state = 'active'")
    monkeypatch.setattr(asyncpg, "ACQUIRE_TIMEOUT_S", 0.05)
    expire = client._pool._generation  # noqa: SLF001 - how often the pool was told that its connections are old
    with pytest.raises(AwayError, match="no connection came free") as told:
        await count()
    assert not isinstance(told.value, LostError)
    assert client._pool._generation == expire  # noqa: SLF001 - as above
    for task in sleeping:
        task.cancel()
    await asyncio.gather(*sleeping, return_exceptions=True)


async def replaced(crate: Crate) -> None:
    async with in_transaction():
        await Crate.create()
        await Crate.filter(id=crate.id).delete()


async def test_who_waits_too_long_for_a_lock_gives_up_and_leaves_all_as_it_was(
    client: PostgresClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncpg_units, "LOCKS_WITHIN_S", 0.05)
    crate = await Crate.create()
    other = await asyncpg.connect(server)
    try:
        await other.execute(f"BEGIN; SELECT FROM crate WHERE id = {crate.id} FOR UPDATE")
        with pytest.raises(AwayError, match="lock timeout"):
            async with asyncio.timeout(30):
                await replaced(crate)
        assert client.connections["open"] == client.connections["idle"]
        assert await count() == 1
    finally:
        await other.close()
    await replaced(crate)
    await everything_works()


@pytest.mark.usefixtures("client")
async def test_a_transaction_that_lost_its_connection_fails_and_hurts_nobody(apart: Elsewhere) -> None:
    async def write(*, swallow: bool) -> None:
        async with in_transaction():
            await Crate.create()
            cut_all(apart)
            with suppress(OperationalError if swallow else ZeroDivisionError):
                await Crate.create()

    for swallow in (True, False, True, False):
        with pytest.raises(OperationalError) as error:
            await write(swallow=swallow)
        assert isinstance(error.value, LostError)
    assert await count() == 0
    await everything_works()


@pytest.mark.usefixtures("client")
async def test_a_read_whose_connection_is_lost_meanwhile_is_asked_again(apart: Elsewhere) -> None:
    reading = asyncio.create_task(get_connection("default").execute_query_dict("SELECT 1 AS one, pg_sleep(1)"))
    await until(1, apart, "state = 'active'")
    cut_all(apart)
    assert [row["one"] for row in await reading] == [1]
    await everything_works()


@pytest.mark.usefixtures("client")
async def test_transactions_never_take_the_connection_with_which_they_read_what_is_committed() -> None:
    async def write(batch: int) -> int:
        async with in_transaction():
            await Crate.create(batch=batch)
            return await asyncio.create_task(count())

    async with asyncio.timeout(20):
        seen = await asyncio.gather(*(write(batch) for batch in range(12)), *(count() for _ in range(12)))
    assert sorted(seen[:12]) == list(range(12))


async def test_a_transaction_reads_what_is_committed_meanwhile_whatever_the_server_likes(
    server: Server, apart: Elsewhere
) -> None:
    stubborn = replace(
        server,
        arguments={**server.arguments, "server_settings": {"default_transaction_isolation": "serializable"}},
    )
    async with opened(stubborn) as client:
        await client.execute_script("CREATE TABLE crate (id SERIAL PRIMARY KEY, batch INT, name VARCHAR(32))")
        async with in_transaction():
            assert await count() == 0
            apart("INSERT INTO crate (batch) VALUES (1)")
            assert await count() == 1


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("INSERT INTO crate (name) VALUES ($1)", "s3cret"),
        ("SELECT $1::int", "s3cret"),
        ("SELECT $1::text::int", "s3cret"),
        ("UPDATE crate SET name = $1", "s3cret\x00"),
        ("SELECT $1::text::uuid", "s3cret"),
        ("UPDATE crate SET name = $1", "s3cret" * 9),
    ],
)
async def test_errors_and_logs_tell_no_values(
    client: PostgresClient, caplog: pytest.LogCaptureFixture, query: str, value: str
) -> None:
    caplog.set_level(logging.DEBUG)
    await client.execute_query("INSERT INTO crate (name) VALUES ($1)", ["s3cret"])
    with pytest.raises(OperationalError) as error:
        await client.execute_query(query, [value])
    logging.getLogger("tests").error("it failed", exc_info=error.value)
    assert "it failed" in caplog.text
    assert "s3cret" not in caplog.text
    assert "s3cret" not in "".join(traceback.format_exception(error.value))
    assert isinstance(error.value, IntegrityError) is query.startswith("INSERT")
    await everything_works()


async def test_closing_leaves_nothing_on_the_server(client: PostgresClient, apart: Elsewhere) -> None:
    writes = [asyncio.create_task(Crate.create()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.gather(client.close(), client.close())
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(outcome, Crate | OperationalError) for outcome in ended)
    for refused in (count(), Crate.create(), in_transaction().__aenter__()):
        with pytest.raises(OperationalError, match="the database is closed"):
            await refused
    assert backends(apart) == 0


async def test_a_server_that_is_not_there_is_told_without_the_password(server: Server) -> None:
    for wrong in ({"port": 1}, {"database": "none"}, {"user": "nobody"}, {"host": "127.0.0.1", "port": 1}):
        absent = replace(server, arguments={**server.arguments, "password": "s3cret", **wrong})
        with pytest.raises(ConnectionError, match="the database cannot be reached: ") as error:
            async with opened(absent):
                pytest.fail("nobody is there")
        assert "s3cret" not in "".join(traceback.format_exception(error.value))
    assert "s3cret" not in repr(replace(server, arguments={"password": "s3cret"}))
