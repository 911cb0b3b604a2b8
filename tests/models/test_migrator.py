"""Migrating: all or nothing, once, and nothing is lost on the way."""

import asyncio
import importlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tortoise.context import TortoiseContext
from tortoise.exceptions import OperationalError
from tortoise.migrations.autodetector import MigrationAutodetector

from models.database import TORTOISE
from models.migrator import BrokenMigrationError, DatabaseTooNewError, is_kept, migrate
from tests.databases import Elsewhere, Postgres

ROOT = Path(__file__).parents[2]

LIBRARY = """
from tortoise import fields
from tortoise.models import Model

class Shelf(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=64, null=True)
"""

HEAD = """
from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

class Migration(migrations.Migration):
"""

INITIAL = """
    initial = True
    operations = [
        ops.CreateModel(
            name="Room",
            fields=[("id", fields.IntField(generated=True, primary_key=True))],
            options={"table": "room", "app": "library", "pk_attr": "id"},
        ),
        ops.CreateModel(
            name="Shelf",
            fields=[
                ("id", fields.IntField(generated=True, primary_key=True)),
                ("name", fields.CharField(max_length=32)),
                ("colour", fields.CharField(max_length=32)),
                ("code", fields.CharField(max_length=32, unique=True)),
                ("room", fields.OneToOneField("library.Room", source_field="room_id", db_constraint=True,
                    to_field="id", null=True, related_name="shelf", on_delete=OnDelete.CASCADE)),
            ],
            options={
                "table": "shelf", "app": "library", "pk_attr": "id",
                "unique_together": (("name", "code"), ("colour", "code")),
                "indexes": [Index(fields=["colour"]), Index(fields=["name", "code"])],
            },
        ),
        ops.CreateModel(
            name="Book",
            fields=[
                ("id", fields.IntField(generated=True, primary_key=True)),
                ("shelf", fields.ForeignKeyField("library.Shelf", source_field="shelf_id", db_constraint=True,
                    to_field="id", related_name="books", on_delete=OnDelete.CASCADE)),
            ],
            options={"table": "book", "app": "library", "pk_attr": "id"},
        ),
        ops.RunSQL([
            "CREATE UNIQUE INDEX uid_shelf_red ON shelf (name) WHERE code LIKE 'red%'",
            "CREATE TRIGGER shelf_kept BEFORE DELETE ON shelf BEGIN SELECT RAISE(ABORT, 'kept; always'); END",
        ]),
    ]
"""

REBUILD = """
    dependencies = [("library", "0001_initial")]
    operations = [
        ops.AlterField(model_name="Shelf", name="name", field=fields.CharField(max_length=64, null=True)),
    ]
"""

DROP_COLUMN = """
    dependencies = [("library", "0001_initial")]
    operations = [ops.RemoveField(model_name="Shelf", name="colour")]
"""

LOSE_PARENTS = """
    dependencies = [("library", "0001_initial")]
    operations = [ops.RunSQL(["DROP TRIGGER shelf_kept", "DELETE FROM shelf WHERE id = 1"])]
"""

FAIL = """
    dependencies = [("library", "0002_second")]
    operations = [ops.RunSQL(["CREATE TABLE half (id INTEGER)", "INSERT INTO absent VALUES (1)"])]
"""

ASK = """
    dependencies = [("library", "0001_initial")]

    async def stamp(apps, editor):
        shelf, book = apps.get_model("library", "Shelf"), apps.get_model("library.Book")
        for each in await shelf.filter(name="a").order_by("id"):
            each.colour = f"{await book.filter(shelf__name=each.name).count()} books"
            await each.save(update_fields=["colour"])

    operations = [ops.RunPython(stamp)]
"""

ON_SERVER = INITIAL.partition("        ops.RunSQL([")[0] + "    ]"

Apps = dict[str, dict[str, object]]
Write = Callable[..., Apps]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the application's migrations, `0001_initial` and these."""
    package = f"library_{uuid4().hex}"
    folder = tmp_path / package / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text(LIBRARY)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**operations: str) -> Apps:
        for old in folder.glob("0*.py"):
            old.unlink()
        for number, (name, text) in enumerate({"initial": INITIAL, **operations}.items(), start=1):
            (folder / f"{number:04}_{name}.py").write_text(HEAD + text)
            sys.modules.pop(f"{package}.migrations.{number:04}_{name}", None)
        importlib.invalidate_caches()
        return {
            "library": {"models": [package], "default_connection": "default", "migrations": f"{package}.migrations"}
        }

    return write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.sqlite3"


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(query).fetchall()


def written(path: Path) -> tuple[int, bytes]:
    """When the file was last written, and what."""
    return path.stat().st_mtime_ns, path.read_bytes()


def schema(path: Path) -> dict[str, str]:
    return dict(rows(path, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def unique(path: Path) -> set[tuple[str, ...]]:
    """The columns of every unique constraint and whole unique index of the shelves."""
    names = [row[1] for row in rows(path, "PRAGMA index_list(shelf)") if row[2] and not row[4]]
    return {tuple(column[2] for column in rows(path, f"PRAGMA index_info('{name}')")) for name in names}


async def stocked(path: Path, apps: Apps) -> None:
    """Migrate and put two shelves there, one with books."""
    await migrate(f"sqlite://{path}", apps)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO room VALUES (1)")
        connection.execute("INSERT INTO shelf (id, name, colour, code, room_id) VALUES (1, 'a', 'x', 'red', 1)")
        connection.execute("INSERT INTO shelf (id, name, colour, code) VALUES (2, 'b', 'x', 'blue')")
        connection.execute("INSERT INTO book VALUES (1, 1), (2, 1)")
        connection.commit()


async def test_a_new_database_gets_every_migration_once(path: Path) -> None:
    files = sorted(file.stem for file in (ROOT / "models/migrations").glob("0*.py"))
    assert await migrate(f"sqlite://{path}") == files
    before = written(path)
    assert await migrate(f"sqlite://{path}") == []
    assert written(path) == before


def test_processes_that_start_at_once_migrate_once(path: Path) -> None:
    script = "import asyncio, sys; from models.migrator import migrate; print(*asyncio.run(migrate(sys.argv[1])))"
    command = [sys.executable, "-W", "error", "-c", script, f"sqlite://{path}"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    files = sorted(file.stem for file in (ROOT / "models/migrations").glob("0*.py"))
    assert sorted(name for out, _ in told for name in out.split()) == files


@pytest.fixture
def server_url(postgres: Postgres) -> Iterator[str]:
    """An empty database on the server."""
    url = postgres.make("template0")
    yield url
    postgres.drop(url)


def tables(server_url: str) -> set[str]:
    found = Elsewhere(server_url)("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {str(name) for (name,) in found}


async def test_a_new_database_on_a_server_gets_every_migration_once(server_url: str) -> None:
    files = sorted(file.stem for file in (ROOT / "models/migrations").glob("0*.py"))
    assert not await is_kept(server_url)
    assert await migrate(server_url) == files
    assert await migrate(server_url) == []
    assert await is_kept(server_url)


def test_processes_that_start_at_once_on_a_server_migrate_once(server_url: str) -> None:
    script = "import asyncio, sys; from models.migrator import migrate; print(*asyncio.run(migrate(sys.argv[1])))"
    command = [sys.executable, "-W", "error", "-c", script, server_url]
    processes = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    files = sorted(file.stem for file in (ROOT / "models/migrations").glob("0*.py"))
    assert sorted(name for out, _ in told for name in out.split()) == files


async def test_a_migration_that_dies_or_is_cancelled_on_a_server_leaves_nothing(server_url: str) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    elsewhere, failed = Elsewhere(server_url), 0
    for turn in range(8):
        task = asyncio.create_task(migrate(server_url))
        await asyncio.sleep(0.03 + turn / 50)
        if turn % 2:
            task.cancel()
        else:
            elsewhere(f"SELECT pg_terminate_backend(pid, 5000) {others}")
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError | OperationalError | ConnectionError | list), outcome
        if isinstance(outcome, list):  # it was too quick
            elsewhere("DROP SCHEMA public CASCADE")
            elsewhere("CREATE SCHEMA public")
            continue
        while elsewhere(f"SELECT 1 {others}"):  # noqa: ASYNC110 - it is the server's doing
            await asyncio.sleep(0.01)
        failed += 1
        assert tables(server_url) == set()
    assert failed > 2
    await migrate(server_url)
    assert "audit_entry" in tables(server_url)


async def test_a_migration_that_fails_on_a_server_changes_nothing(server_url: str, library: Write) -> None:
    await migrate(server_url, library(initial=ON_SERVER))
    elsewhere = Elsewhere(server_url)
    before = elsewhere.everything()
    with pytest.raises(OperationalError, match="absent"):
        await migrate(server_url, library(initial=ON_SERVER, second=REBUILD, third=FAIL))
    assert elsewhere.everything() == before
    assert await migrate(server_url, library(initial=ON_SERVER, second=REBUILD)) == ["0002_second"]
    with pytest.raises(DatabaseTooNewError, match="a later version, which knows `0002_second`"):
        await migrate(server_url, library(initial=ON_SERVER))


async def test_texts_on_a_server_compare_by_code_point_whatever_a_migration_did(
    server_url: str, library: Write
) -> None:
    await migrate(server_url, library(initial=ON_SERVER))
    elsewhere = Elsewhere(server_url)
    elsewhere(
        "INSERT INTO shelf (name, colour, code)"
        " VALUES ('a', 'x', '1'), ('B', 'x', '2'), ('_', 'x', '3'), ('é', 'x', '4')"
    )
    for apps in (library(initial=ON_SERVER), library(initial=ON_SERVER, second=REBUILD)):
        await migrate(server_url, apps)
        assert elsewhere("SELECT name FROM shelf ORDER BY name") == [("B",), ("_",), ("a",), ("é",)]
    [(length,)] = elsewhere(
        "SELECT character_maximum_length FROM information_schema.columns"
        " WHERE column_name = 'name' AND table_name = 'shelf'"
    )
    assert length == 64


async def test_every_text_of_ours_compares_by_code_point_and_json_stays_as_it_was_written(postgres: Postgres) -> None:
    columns = Elsewhere(postgres.template)(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name <> 'tortoise_migrations' AND (data_type LIKE 'json%'"
        " OR data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C')"
    )
    assert columns == []


async def test_the_models_and_the_migrations_agree() -> None:
    async with TortoiseContext() as context:
        await context.init(config=TORTOISE)
        assert context.apps
        changes = await MigrationAutodetector(context.apps, TORTOISE["apps"]).changes()
    assert [change.operations for change in changes] == [], "run `.venv/bin/tortoise makemigrations`"


def test_the_tool_finds_its_configuration() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tortoise", "heads"], cwd=ROOT, text=True, capture_output=True, check=True, timeout=60
    )
    newest = max(file.stem for file in (ROOT / "models/migrations").glob("0*.py"))
    assert f"models.{newest}" in told.stdout


async def test_rebuilding_a_table_keeps_its_rows_its_children_its_indexes_and_its_triggers(
    path: Path, library: Write
) -> None:
    await stocked(path, library())
    before, unique_before = schema(path), unique(path)
    assert await migrate(f"sqlite://{path}", library(second=REBUILD)) == ["0002_second"]
    after = schema(path)
    assert ("VARCHAR(64)" in before["shelf"], "VARCHAR(64)" in after["shelf"]) == (False, True)
    kept = {name: sql for name, sql in before.items() if name not in {"shelf", "sqlite_sequence"}}
    assert {name: after.get(name) for name in kept} == kept
    assert unique(path) == unique_before == {("code",), ("room_id",), ("name", "code"), ("colour", "code")}
    assert rows(path, "SELECT id, name, colour, code, room_id FROM shelf ORDER BY id") == [
        (1, "a", "x", "red", 1),
        (2, "b", "x", "blue", None),
    ]
    assert rows(path, "SELECT * FROM book") == [(1, 1), (2, 1)]
    assert rows(path, "PRAGMA foreign_key_check") == []
    with pytest.raises(sqlite3.IntegrityError, match="kept; always"):
        rows(path, "DELETE FROM shelf")


async def test_a_migration_may_ask_the_models_as_they_are_then(path: Path, library: Write) -> None:
    await stocked(path, library())
    await migrate(f"sqlite://{path}", library(second=ASK))
    assert rows(path, "SELECT name, colour FROM shelf ORDER BY id") == [("a", "2 books"), ("b", "x")]


async def test_only_the_indexes_of_a_removed_column_go_with_it(path: Path, library: Write) -> None:
    await stocked(path, library())
    before = schema(path)
    await migrate(f"sqlite://{path}", library(second=DROP_COLUMN))
    gone = [name for name in before if name not in schema(path)]
    assert [before[name].split("(")[1] for name in gone] == ['"colour")']
    assert unique(path) == {("code",), ("room_id",), ("name", "code")}
    assert rows(path, "SELECT * FROM book") == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("migrations", "error"),
    [
        (
            {"second": LOSE_PARENTS},
            BrokenMigrationError("the migration leaves 2 rows pointing nowhere: `book` to `shelf`"),
        ),
        ({"second": REBUILD, "third": FAIL}, OperationalError("no such table: absent")),
    ],
)
async def test_a_migration_that_fails_changes_nothing(
    path: Path, library: Write, migrations: dict[str, str], error: Exception
) -> None:
    await stocked(path, library())
    tables = ("shelf", "book", "tortoise_migrations")
    before = schema(path), [rows(path, f"SELECT * FROM {table}") for table in tables]  # noqa: S608 - named above
    with pytest.raises(type(error), match=str(error)):
        await migrate(f"sqlite://{path}", library(**migrations))
    assert (schema(path), [rows(path, f"SELECT * FROM {table}") for table in tables]) == before  # noqa: S608 - as above
    assert await migrate(f"sqlite://{path}", library(second=REBUILD)) == ["0002_second"]


async def test_a_database_of_a_later_version_is_refused_untouched(path: Path, library: Write) -> None:
    await migrate(f"sqlite://{path}", library(second=REBUILD))
    before = written(path)
    with pytest.raises(DatabaseTooNewError, match="a later version, which knows `0002_second`"):
        await migrate(f"sqlite://{path}", library())
    assert written(path) == before


async def test_a_cancelled_migration_happens_whole_or_not_at_all(path: Path, library: Write) -> None:
    apps = library(second=REBUILD)
    tables = {"room", "shelf", "book"}
    for count in (1, 10, 40, 80):
        task = asyncio.create_task(migrate(f"sqlite://{path}", apps))
        for _ in range(count):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        assert tables & set(schema(path)) in (set(), tables)
    done = [] if "shelf" in schema(path) else ["0001_initial", "0002_second"]
    assert await migrate(f"sqlite://{path}", apps) == done
    assert rows(path, "SELECT name FROM tortoise_migrations") == [("0001_initial",), ("0002_second",)]


def _filled(path: Path, table: str, **values: object) -> None:
    """Insert a row, with something in every column that needs it."""
    columns = {name: (kind, needed) for _, name, kind, needed, default, _ in rows(path, f"PRAGMA table_info({table})")}
    some = {"INT": 1, "BIGINT": 1, "JSON": "[]", "TIMESTAMP": "2026-01-01 00:00:00+00:00"}
    needed = {name: some.get(kind, "x") for name, (kind, needed) in columns.items() if needed}
    row = {**needed, **values}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608 - our own names


@pytest.mark.parametrize("migration", sorted(file.stem for file in (ROOT / "models/migrations").glob("0*.py"))[1:])
async def test_every_migration_takes_along_the_rows_there_are(
    migration: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"older_{uuid4().hex}"
    older = tmp_path / package
    older.mkdir()
    (older / "__init__.py").write_text("")
    for file in (ROOT / "models/migrations").glob("0*.py"):
        if file.stem < migration:
            shutil.copy(file, older)
    monkeypatch.syspath_prepend(str(tmp_path))
    apps: Apps = {"models": {"models": ["models"], "default_connection": "default", "migrations": package}}
    await migrate(f"sqlite://{path}", apps)
    _filled(path, "account", id="a", key="acme")
    _filled(path, "member", id="m", account_id="a")
    _filled(path, "token", id="t", account_id="a", owner_id="m")
    _filled(path, "secret", id="s", account_id="a", token_id="t")
    _filled(path, "audit_entry", id="e", account_id="a")
    _filled(path, "audit_head", id="h", account_id="a")
    assert migration in await migrate(f"sqlite://{path}")
    found = rows(path, "SELECT account.key, member.id, token.id, secret.id FROM account, member, token, secret")
    assert found == [("acme", "m", "t", "s")]
    assert rows(path, "SELECT id FROM audit_entry") == [("e",)]
    if migration <= "0011_clock":
        assert rows(path, "SELECT latest_at, clocked_from FROM audit_head") == [("2026-01-01 00:00:00+00:00", 0)]
