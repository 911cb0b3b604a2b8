"""The engines: whatever is cancelled, nothing is wedged, lost or half done. Of SQLite's also what is its own."""

import asyncio
import logging
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from aiosqlite import Connection
from strawberry.dataloader import DataLoader
from tortoise import fields
from tortoise.connection import get_connection
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError
from tortoise.functions import Count
from tortoise.models import Model
from tortoise.transactions import in_transaction

from models.database import plain, prepare, started, tortoise_config
from models.engines.sqlite import SqliteClient
from models.engines.transactions import Client
from models.engines.units import connect
from models.urls import parse
from models.writes import insert, update, write
from tests.databases import Elsewhere, Postgres

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("opened")


class Parcel(Model):
    id = fields.IntField(primary_key=True)
    batch = fields.IntField()
    weight_g = fields.IntField(default=0)
    name = fields.CharField(max_length=32, unique=True, null=True)
    labels: fields.ReverseRelation["Label"]


class Label(Model):
    id = fields.IntField(primary_key=True)
    parcel: fields.ForeignKeyRelation[Parcel] = fields.ForeignKeyField("parcels.Parcel", related_name="labels")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "engine.sqlite3"
    prepare(path)
    return path


@pytest.fixture
def engine_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own."""
    if request.param == "sqlite":
        yield f"sqlite://{request.getfixturevalue('path')}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.make("template0")
        yield url
        postgres.drop(url)


@pytest.fixture
def before() -> set[threading.Thread]:
    """The threads there were before the database was opened: other tests' modules have pools of their own."""
    return set(threading.enumerate())


@pytest.fixture
async def opened(engine_url: str, before: set[threading.Thread]) -> AsyncIterator[Client]:  # noqa: ARG001 - it comes first
    apps = {"parcels": {"models": [__name__], "default_connection": "default"}}
    async with started(tortoise_config(parse(engine_url), apps)) as context:
        await context.generate_schemas(safe=False)
        client = context.connections.get("default")
        assert isinstance(client, Client)
        yield client


@pytest.fixture
def client(opened: Client, sqlite: None) -> SqliteClient:  # noqa: ARG001 - the test is about SQLite's
    assert isinstance(opened, SqliteClient)
    return opened


@pytest.fixture
def outside(path: Path, opened: Client, sqlite: None) -> Iterator[sqlite3.Connection]:  # noqa: ARG001
    """Another process, as far as SQLite can tell; it waits for nobody."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    yield connection
    connection.close()


@pytest.fixture
def apart(engine_url: str) -> Elsewhere:
    """Another process on either database."""
    return Elsewhere(engine_url)


async def turns(count: int) -> None:
    """Let the other tasks go on until each has come to where it must wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def column(name: str) -> list[object]:
    return [row[name] for row in await Parcel.all().order_by("id").values(name)]


async def everything_works(apart: Elsewhere) -> None:
    async with asyncio.timeout(30):
        async with in_transaction():
            before = await Parcel.all().count()  # here, behind any cancelled write that was still in line
            await Parcel.create(batch=-1)
            await Parcel.bulk_create([Parcel(batch=-1), Parcel(batch=-1)])
        await Parcel.bulk_create([Parcel(batch=-1)])
        await Parcel.create(batch=-1)
        assert await Parcel.all().count() == before + 5
    apart("UPDATE parcel SET weight_g = weight_g")  # no transaction of ours holds a lock
    assert apart("SELECT count(*) FROM parcel") == [(before + 5,)]  # and nothing is held back in one


def threads_beside(expected: set[threading.Thread]) -> list[threading.Thread]:
    """List the threads that would keep the process from ending."""
    threads = [thread for thread in threading.enumerate() if thread not in expected]
    for thread in threads:
        thread.join(10)  # one that was told to end may be at its last line
    return [thread for thread in threads if thread.is_alive()]


class Gate:
    """Holds up the writer's thread until opened, so that what is sent meanwhile is surely still in line."""

    def __init__(self, client: SqliteClient) -> None:
        self._open = threading.Event()
        client.writer.post(self._hold)

    async def _hold(self, connection: Connection) -> None:
        await connection.create_function("hold", 0, lambda: self._open.wait(30))
        await connection.execute_fetchall("SELECT hold()")

    def open(self) -> None:
        self._open.set()


async def test_a_task_cancelled_while_it_awaits_begin_holds_up_nobody(
    outside: sqlite3.Connection,
    apart: Elsewhere,
) -> None:
    outside.execute("BEGIN IMMEDIATE")

    async def begin() -> None:
        async with in_transaction():
            pytest.fail("somebody else is writing")

    beginning, waiting = asyncio.create_task(begin()), asyncio.create_task(begin())
    await turns(5)
    waiting.cancel()
    beginning.cancel()
    cancelled = await asyncio.gather(beginning, waiting, return_exceptions=True)
    assert [type(error) for error in cancelled] == [asyncio.CancelledError] * 2
    assert await Parcel.all().count() == 0
    outside.execute("ROLLBACK")
    await everything_works(apart)


async def test_a_begin_that_still_succeeds_after_its_task_was_cancelled_is_undone(
    client: SqliteClient, apart: Elsewhere
) -> None:
    sent = threading.Event()
    may_go_on = threading.Event()

    def slow_begin(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            sent.set()
            may_go_on.wait(30)

    await client.writer.run(lambda connection: connection.set_trace_callback(slow_begin))
    task = asyncio.create_task(transfer(batch=1))
    await asyncio.to_thread(sent.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_go_on.set()
    await client.writer.run(lambda connection: connection.set_trace_callback(lambda _: None))
    assert await client.writer.run(in_transaction_now) is False
    await everything_works(apart)


async def in_transaction_now(connection: Connection) -> bool:
    return connection.in_transaction


async def transfer(batch: int) -> None:
    """Write the four parcels of a batch, or none."""
    async with in_transaction():
        await Parcel.create(batch=batch)
        seen = await Parcel.filter(batch=batch).count()
        async with in_transaction():
            await Parcel.create(batch=batch, weight_g=seen)
        await Parcel.bulk_create([Parcel(batch=batch), Parcel(batch=batch)])


async def transfer_and_swallow(batch: int) -> None:
    """Do the same, but carry on after a cancellation as if nothing had happened."""
    async with in_transaction():
        for _ in range(4):
            with suppress(asyncio.CancelledError):
                await Parcel.create(batch=batch)


async def bulk(batch: int) -> None:
    await Parcel.bulk_create([Parcel(batch=batch) for _ in range(4)])


async def one_statement(batch: int) -> None:
    values = ", ".join(f"({batch}, 0)" for _ in range(4))
    await get_connection("default").execute_query(f"INSERT INTO parcel (batch, weight_g) VALUES {values}")  # noqa: S608 - a number


async def read(batch: int) -> None:
    assert await Parcel.filter(batch=batch).count() == 0
    await Parcel.all().limit(50)


async def test_five_hundred_random_cancellations_wedge_nothing_and_lose_nothing(
    apart: Elsewhere,
) -> None:
    chance = random.Random(20260401)  # noqa: S311 - repeatable chance is the point
    deeds = (transfer, transfer_and_swallow, bulk, one_statement, read)
    outcomes: dict[int, str] = {}

    async def run(batch: int, turns_before: int, pause_s: float) -> None:
        task = asyncio.create_task(deeds[batch % len(deeds)](batch))
        await turns(turns_before)
        await asyncio.sleep(pause_s)
        if batch % 8:  # one in eight is left alone
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            outcomes[batch] = "cancelled"
        except TransactionManagementError:
            outcomes[batch] = "refused"
        else:
            outcomes[batch] = "acknowledged"

    async with asyncio.timeout(120):
        while list(outcomes.values()).count("cancelled") < 500:
            plans = [(chance.randrange(40), chance.choice([0, chance.random() / 50])) for _ in range(8)]
            await asyncio.gather(*(run(len(outcomes) + i, *plan) for i, plan in enumerate(plans)))
    written = dict(await Parcel.all().group_by("batch").annotate(n=Count("id")).values_list("batch", "n"))
    told = list(outcomes.values())
    assert told.count("acknowledged") >= len(told) / 8
    assert set(written.values()) == {4}, "no transaction is seen in part"
    owed = {batch for batch, outcome in outcomes.items() if outcome == "acknowledged" and deeds[batch % 5] is not read}
    assert owed <= set(written), "no acknowledged write is lost"
    assert {batch for batch, outcome in outcomes.items() if outcome == "refused"}.isdisjoint(written)
    await everything_works(apart)


async def test_a_commit_that_was_sent_is_carried_to_its_end(client: SqliteClient) -> None:
    gate: asyncio.Future[Gate] = asyncio.Future()

    async def write() -> None:
        async with in_transaction():
            await Parcel.create(batch=1)
            gate.set_result(Gate(client))

    task = asyncio.create_task(write())
    await gate
    for _ in range(3):
        await turns(5)
        task.cancel()
    await turns(5)
    assert not task.done(), "it waits until it is known how the commit ended"
    gate.result().open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Parcel.all().count() == 1


async def test_a_cancelled_statement_loses_its_transaction_even_if_the_body_carries_on(client: SqliteClient) -> None:
    async def write() -> None:
        async with in_transaction():
            await Parcel.create(batch=1)
            gate = Gate(client)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01), in_transaction():
                    await Parcel.create(batch=2)
            gate.open()
            with pytest.raises(TransactionManagementError, match="its transaction is lost"):
                await Parcel.create(batch=3)

    with pytest.raises(TransactionManagementError, match="nothing of its transaction was written"):
        await write()
    assert await Parcel.all().count() == 0


async def test_bulk_writes_cancelled_outside_a_transaction_leave_none_open(
    apart: Elsewhere,
) -> None:
    for turn in range(30):
        task = asyncio.create_task(bulk(batch=turn))
        await turns(turn)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await everything_works(apart)
    counts = await Parcel.filter(batch__gte=0).group_by("batch").annotate(n=Count("id")).values_list("n", flat=True)
    assert set(counts) <= {4}


async def test_a_write_cancelled_while_still_in_line_never_happens(client: SqliteClient) -> None:
    gate = Gate(client)
    task = asyncio.create_task(one_statement(batch=1))
    await turns(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await one_statement(batch=2)
    assert await column("batch") == [2] * 4


async def test_a_bulk_write_that_fails_writes_nothing() -> None:
    with pytest.raises(IntegrityError):
        await Parcel.bulk_create([Parcel(batch=1, name="twice"), Parcel(batch=1, name="twice")])
    assert await Parcel.all().count() == 0


async def test_several_statements_are_all_run_or_none() -> None:
    one, two = (insert(Parcel(id=number, batch=1, name="same")) for number in (1, 2))
    with pytest.raises(IntegrityError):
        await write(one, two)
    assert await Parcel.all().count() == 0
    with suppress(IntegrityError):
        async with in_transaction():
            await Parcel.create(id=3, batch=1)
            await write(one, two)
    assert await Parcel.all().count() == 0
    await write(one, insert(Parcel(id=2, batch=1)), update(Parcel(id=1, batch=7, name="other"), "batch", "weight_g"))
    assert await Parcel.all().order_by("id").values_list("id", "batch", "name") == [(1, 7, "same"), (2, 1, None)]


async def test_a_read_is_served_while_a_write_transaction_is_open() -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> int:
        async with in_transaction():
            await Parcel.create(batch=1)
            written.set()
            await go_on.wait()
            return await Parcel.all().count()

    task = asyncio.create_task(write())
    await written.wait()
    assert await Parcel.all().count() == 0, "others see what is committed"
    go_on.set()
    assert await task == 1, "the transaction sees its own"
    assert await Parcel.all().count() == 1


async def test_a_task_started_inside_a_transaction_reads_what_is_committed_and_may_not_write() -> None:
    async def load(keys: list[int]) -> list[int]:
        return [await Parcel.filter(batch=key).count() for key in keys]

    async def nested() -> None:
        async with in_transaction():
            pytest.fail("it is another task's transaction")

    go_on = asyncio.Event()

    async def outlives() -> None:
        await go_on.wait()
        assert await Parcel.all().count() == 1
        await Parcel.create(batch=2)

    async with in_transaction():
        await Parcel.create(batch=1)
        assert await DataLoader(load_fn=load).load(1) == 0
        for stray in (Parcel.create(batch=2), nested(), bulk(2)):
            with pytest.raises(TransactionManagementError, match="a task started inside a transaction"):
                await asyncio.create_task(stray)
        later = asyncio.create_task(outlives())
    go_on.set()
    with pytest.raises(TransactionManagementError, match="the transaction is over"):
        await later
    assert await Parcel.all().count() == 1


async def test_a_statement_that_fails_after_its_task_was_cancelled_harms_nobody(
    client: SqliteClient, apart: Elsewhere
) -> None:
    sent, may_go_on = threading.Event(), threading.Event()

    def fail() -> None:
        sent.set()
        may_go_on.wait(30)
        raise ZeroDivisionError

    await client.writer.run(lambda connection: connection.create_function("fail", 0, fail))
    task = asyncio.create_task(client.execute_script("SELECT fail()"))
    await asyncio.to_thread(sent.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_go_on.set()
    await everything_works(apart)


async def test_prefetching_inside_a_transaction_sees_its_own_rows() -> None:
    async with in_transaction():
        parcel = await Parcel.create(batch=1)
        await Label.create(parcel=parcel)
        await parcel.fetch_related("labels")
        assert len(parcel.labels) == 1
        assert [len(found.labels) for found in await Parcel.all().prefetch_related("labels")] == [1]


async def test_a_task_that_would_wait_for_itself_is_told(client: SqliteClient) -> None:
    async with in_transaction():
        with pytest.raises(TransactionManagementError, match="would wait for itself"):
            await Parcel.create(batch=1, using_db=client)


async def test_an_inner_transaction_can_fail_alone() -> None:
    async def fail() -> None:
        async with in_transaction():
            await Parcel.create(batch=2)
            await Parcel.create(batch=2, name="taken")

    async with in_transaction():
        await Parcel.create(batch=1, name="taken")
        with pytest.raises(IntegrityError):
            await fail()
        async with in_transaction():
            await Parcel.create(batch=3)
    assert await column("batch") == [1, 3]


@pytest.mark.usefixtures("sqlite")
async def test_nothing_is_written_after_the_database_itself_rolled_back() -> None:
    async def write() -> None:
        async with in_transaction() as transaction:
            await Parcel.create(batch=1, name="taken")
            with pytest.raises(IntegrityError):
                await transaction.execute_query(
                    "INSERT OR ROLLBACK INTO parcel (batch, weight_g, name) VALUES (2, 0, 'taken')"
                )
            with pytest.raises(TransactionManagementError, match="already rolled"):
                await Parcel.create(batch=3)

    with pytest.raises(TransactionManagementError, match="already rolled"):
        await write()
    assert await Parcel.all().count() == 0


async def test_a_text_that_no_database_takes_is_found_nowhere() -> None:
    await Parcel.create(batch=1, name="a name")
    for nowhere in ("\0", "a name\0", "\0a name", "a\0name", "%\0%"):
        assert await Parcel.filter(name=nowhere) == []
        assert await Parcel.filter(name__in=[nowhere]) == []
        assert len(await Parcel.exclude(name=nowhere)) == 1
        async with in_transaction():
            assert not await Parcel.filter(name=nowhere).exists()
    assert len(await Parcel.all()) == 1


async def test_a_script_stays_inside_its_transaction_and_keeps_triggers_whole(client: SqliteClient) -> None:
    script = """
        CREATE TRIGGER heavy AFTER INSERT ON parcel WHEN new.weight_g > 10 BEGIN
            UPDATE parcel SET name = 'heavy; too heavy' WHERE id = new.id; -- a comment; with semicolon
        END;
        INSERT INTO parcel (batch, weight_g) VALUES (1, 11)
    """
    with suppress(ZeroDivisionError):
        async with in_transaction() as transaction:
            await transaction.execute_script(script)
            assert await column("name") == ["heavy; too heavy"]
            raise ZeroDivisionError
    assert await client.execute_query_dict("SELECT name FROM sqlite_schema WHERE type = 'trigger'") == []
    assert await Parcel.all().count() == 0
    await client.execute_script(script)
    assert await column("name") == ["heavy; too heavy"]


async def test_a_raw_begin_outside_a_transaction_is_not_left_open(client: SqliteClient, apart: Elsewhere) -> None:
    await client.execute_query("BEGIN IMMEDIATE")
    await client.execute_script("BEGIN; INSERT INTO parcel (batch, weight_g) VALUES (1, 0)")
    assert await Parcel.all().count() == 0
    await everything_works(apart)


async def test_a_change_counts_the_rows_it_named_not_those_that_followed() -> None:
    parcel = await Parcel.create(batch=1)
    await Label.bulk_create([Label(parcel=parcel) for _ in range(3)])
    assert await Parcel.filter(batch=1).update(weight_g=5) == 1
    assert await Parcel.filter(batch=1).delete() == 1
    assert await Label.all().count() == 0
    assert await Parcel.filter(batch=1).delete() == 0


async def test_the_connections_are_what_they_should_be(client: SqliteClient) -> None:
    async def pragmas(connection: Connection) -> dict[str, Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "query_only", "busy_timeout")
        rows = [next(iter(await connection.execute_fetchall(f"PRAGMA {name}"))) for name in names]
        return {name: row[0] for name, row in zip(names, rows, strict=True)}

    writing, reading = await client.writer.run(pragmas), await client.readers.run(pragmas)
    full = 2
    assert writing == {
        "journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "query_only": 0, "busy_timeout": 10_000,
    }  # fmt: skip
    assert (reading["journal_mode"], reading["query_only"], reading["busy_timeout"]) == ("wal", 1, 10_000)
    with pytest.raises(OperationalError, match="readonly"):
        await client.readers.run(lambda connection: connection.execute("DELETE FROM parcel"))


async def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # SQLite's own patience does not cover making this a WAL database
        connecting = asyncio.create_task(connect(str(path), query_only=False))
        done, _ = await asyncio.wait((connecting,), timeout=0.2)
        assert not done
        other.execute("ROLLBACK")
        await (await connecting).close()


async def test_a_file_that_is_not_there_is_not_made_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "absent.sqlite3"
    for query_only in (True, False):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            await connect(str(path), query_only=query_only)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        plain(path)
    assert not path.exists()


async def test_a_file_that_is_no_database_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "letter.sqlite3"
    path.write_text("dear reader, " * 100)
    before = set(threading.enumerate())
    client = SqliteClient(str(path), connection_name="letter")
    for _ in range(2):
        with pytest.raises(OperationalError, match="not a database"):
            await client.create_connection(with_db=True)
    assert threads_beside(before) == []
    await client.close()


async def test_an_opening_that_is_cancelled_leaves_nothing_open(path: Path) -> None:
    before = set(threading.enumerate())
    for turn in range(40):
        task = asyncio.create_task(connect(str(path), query_only=False))
        await asyncio.sleep(turn / 20_000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await (await task).close()
    assert threads_beside(before) == []


async def test_a_connection_keeps_nothing_of_the_request_that_was_first(client: SqliteClient) -> None:
    request: ContextVar[str] = ContextVar("request")
    request.set("the first")

    async def seen(_: Connection) -> str | None:
        return request.get(None)

    assert await client.readers.run(seen) is None


async def test_what_is_written_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await Parcel.create(batch=1, name="a digest")
    assert await column("name") == ["a digest"]
    assert "digest" not in caplog.text


async def test_closing_finishes_what_is_in_line_and_leaves_no_thread(
    client: SqliteClient, before: set[threading.Thread]
) -> None:
    writes = [asyncio.create_task(bulk(batch)) for batch in range(3)]
    await turns(10)
    await asyncio.gather(client.close(), client.close())
    await client.close()
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(outcome) for outcome in ended} <= {type(None), OperationalError}
    with pytest.raises(OperationalError, match="the database is closed"):
        await Parcel.all().count()
    with pytest.raises(OperationalError, match="the database is closed"):
        async with in_transaction():
            pytest.fail("it is closed")
    assert threads_beside(before) == []


PROCESS = """
import asyncio, gc, sys, threading, time
from pathlib import Path
from tortoise import fields
from tortoise.models import Model
from tortoise.transactions import in_transaction
from models.database import prepare, started, tortoise_config
from models.engines.sqlite import SqliteClient

class Counter(Model):
    id = fields.IntField(primary_key=True)
    n = fields.IntField(default=0)

async def main(path, deed):
    prepare(path)
    apps = {"counters": {"models": ["__main__"], "default_connection": "default"}}
    async with started(tortoise_config(path, apps)) as context:
        await context.generate_schemas()
        for _ in range(100 if deed == "count" else 0):
            async with in_transaction():
                counter = await Counter.get_or_none(id=1) or Counter(id=1)
                counter.n += 1
                await counter.save()
        assert await Counter.all().count() < 2
        if deed == "forget":
            context.close_connections = lambda: asyncio.sleep(0)
    if deed == "lose":
        await SqliteClient(str(path), connection_name="lost").create_connection(with_db=True)
        gc.collect()
    if deed == "drop":
        client = SqliteClient(str(path), connection_name="dropped")
        left = [asyncio.create_task(client.writer.carry(slow)) for _ in range(2)]
        await asyncio.to_thread(started_slow.wait)

started_slow = threading.Event()

def pause():
    started_slow.set()
    time.sleep(0.1)

async def slow(connection):
    await connection.create_function("pause", 0, pause)
    await connection.execute("SELECT pause()")

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def start(path: Path, deed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", PROCESS, str(path), deed]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE)


def test_processes_that_read_and_then_write_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "counter.sqlite3"
    processes = [start(path, "count") for _ in range(4)]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert ended == [("", 0)] * 4
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT n FROM counter").fetchall() == [(400,)]
    connection.close()


@pytest.mark.parametrize("deed", ["close", "forget", "lose", "drop"])
def test_a_process_ends_when_its_work_does(tmp_path: Path, deed: str) -> None:
    process = start(tmp_path / "ends.sqlite3", deed)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0
