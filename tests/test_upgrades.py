"""A database that an earlier version left goes on with this one: every secret, every right, and the whole log.

`upgrades/0006.sql` was made by the code of commit acc76eb, which had six migrations, and `upgrades/0006.json` holds the
keys and secrets that go with it: they have never opened anything else.
"""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import Unauthenticated
from core.secret import ServerKeys
from core.specifiers import Resource
from models import Account, AuditEntry, Token
from models.database import APPS, opened
from models.migrator import migrate, refuse_newer
from models.moving import move
from models.urls import Server, parse
from resolvers import callers, chains, tokens
from resolvers.callers import Caller, Request
from resolvers.house import House
from resolvers.signatures import PublicKeys
from resolvers.writing import Said
from server import main
from tests.databases import Elsewhere, Postgres
from tests.organisation import forget

UPGRADES = Path(__file__).parent / "upgrades"
MIGRATIONS = UPGRADES.parents[1] / "models/migrations"
NEWEST = "0006_life"
FLAG = "proj/web:env/production:flag/checkout"


def earlier(path: Path) -> None:
    """Make the database that an earlier version left."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((UPGRADES / "0006.sql").read_text(encoding="utf-8"))


async def earlier_served(path: Path, url: str) -> None:
    """Have PostgreSQL keep the same rows, in tables as the migrations of that version make them.

    The folder of the file must be one that modules are imported from.
    """
    package = path.parent / f"earlier_{uuid4().hex}"
    package.mkdir()
    (package / "__init__.py").touch()
    for file in MIGRATIONS.glob("0*.py"):
        if file.stem <= NEWEST:
            shutil.copy(file, package)
    await migrate(url, {"models": {**APPS["models"], "migrations": package.name}})
    server = parse(url)
    assert isinstance(server, Server)
    await move(path, server)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    path = tmp_path / "latchkey.sqlite3"
    earlier(path)
    return path


async def test_what_an_earlier_version_left_goes_on(left: Path) -> None:
    assert await migrate(f"sqlite://{left}") == later()
    await goes_on(f"sqlite://{left}")


def test_what_an_earlier_version_left_on_postgresql_goes_on(
    left: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(left.parent))
    url = postgres.make("template0")
    asyncio.run(earlier_served(left, url))
    assert asyncio.run(migrate(url)) == later()
    asyncio.run(goes_on(url))
    postgres.drop(url)


def test_what_an_earlier_version_left_moves_to_postgresql(
    left: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LATCHKEY_DATA_DIR", str(left.parent))
    (left.parent / "latchkey.keys.json").write_text((UPGRADES / "0006.json").read_text(encoding="utf-8"))
    url = postgres.make("template0")
    assert main(["move", "--to", url]) == 0
    said = capsys.readouterr().out
    assert ("rows of" in said, "main" in said, str(left.parent / "latchkey.keys.json") in said) == (True, True, True)
    assert counted(left, Elsewhere(url)) == counted(left, Elsewhere(f"sqlite://{left}"))
    assert main(["move", "--to", url]) == 2
    assert "the other database is not empty" in capsys.readouterr().err
    asyncio.run(goes_on(url))
    assert main(["move", "--to", "postgresql://x:swordfish@localhost"]) == 2
    assert "swordfish" not in capsys.readouterr().err
    postgres.drop(url)


def later() -> list[str]:
    """List the migrations that came afterwards."""
    return sorted(file.stem for file in MIGRATIONS.glob("0*.py") if file.stem > NEWEST)


def counted(path: Path, elsewhere: Elsewhere) -> dict[str, int]:
    """Count the rows of each of a file's tables elsewhere."""
    tables = Elsewhere(f"sqlite://{path}")("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ours = [name for (name,) in tables if name not in {"sqlite_sequence", "tortoise_migrations"}]
    return {table: elsewhere(f"SELECT COUNT(*) FROM {table}")[0][0] for table in ours}  # noqa: S608 - our own names


async def goes_on(url: str) -> None:
    """Use all that was left: what worked works, with the rights it had, and the log is whole before and after."""
    told = json.loads((UPGRADES / "0006.json").read_text(encoding="utf-8"))
    keys = ServerKeys.parse(json.dumps({"keys": told["keys"]}))
    forget()
    async with opened(url) as database:
        request = Request(House(database, keys), "upgraded", "192.0.2.1")
        known: dict[str, Caller] = {}
        for name, secret in told["secrets"].items():
            try:
                known[name] = await callers.identify(secret, request)
            except Unauthenticated:
                continue
        assert sorted(told["secrets"].keys() - known.keys()) == ["before its reset", "revoked", "suspended"]
        flag = Resource.parse(FLAG)
        may = {name: bool(caller.rights.decide("updateOn", flag)) for name, caller in known.items()}
        assert may == {
            "reader": False,
            "reset": False,
            "writer": True,
            "role": True,
            "inline": True,
            "service": True,
        }
        await whole(keys)
        reader = known["reader"].token
        assert reader
        await tokens.revoke(known["writer"], known["writer"].token.id, Said())  # type: ignore[union-attr]
        with pytest.raises(Unauthenticated):
            await callers.identify(told["secrets"]["writer"], request)
        await whole(keys)
        assert (await Token.get(id=reader.id)).snapshot() == reader.snapshot()
    forget()


async def whole(keys: ServerKeys) -> None:
    """Verify the log, to its last entry."""
    account = await Account.get()
    finding = await chains.verify(account.id, "main", (), PublicKeys.of(keys).signed)
    assert not finding.broken
    assert finding.last == await AuditEntry.all().count()


def test_a_database_of_a_later_version_is_refused_in_one_line(
    migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "latchkey.sqlite3"
    path.write_bytes(migrated.read_bytes())
    (tmp_path / "latchkey.keys.json").write_text(ServerKeys.mint("1").json())
    Elsewhere(f"sqlite://{path}")(LATER)
    before = path.read_bytes()
    monkeypatch.setenv("LATCHKEY_DATA_DIR", str(tmp_path))
    for typed in (["serve", "--port", "0"], ["migrate"], ["restore", str(path), "--force"]):
        assert main(typed) == 2
        said = capsys.readouterr()
        assert "later version, which knows `0099_later`" in said.err
        assert "Traceback" not in said.err
    assert path.read_bytes() == before


LATER = "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '0099_later', '2026-01-01 00:00:00')"


async def test_a_server_notices_that_a_later_version_migrated_its_database(database_url: str) -> None:
    elsewhere = Elsewhere(database_url)
    async with opened(database_url):
        await refuse_newer()
        elsewhere(LATER)
        with pytest.raises(RuntimeError, match="0099_later"):
            await refuse_newer()
        elsewhere("DELETE FROM tortoise_migrations WHERE name = '0099_later'")
        await refuse_newer()
