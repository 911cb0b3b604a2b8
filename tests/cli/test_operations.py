"""What an operator does to a running server: other keys, a backup, the end of it; and what a backup is good for."""

import asyncio
import base64
import errno
import json
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from core.errors import Conflict, Unauthenticated
from core.secret import ServerKeys
from models import Account, AuditEntry, Link, Member, Role, SecretDigest, backups, now
from models.database import opened
from resolvers import callers, chains
from resolvers.callers import Request
from resolvers.house import House
from resolvers.signatures import PublicKeys
from server import main
from tests.cli.test_kills import signed_in
from tests.cli.test_many import CREATE, PATIENCE_S, REVOKE, status, until, works
from tests.cli.test_server import ask, started, until_ready
from tests.organisation import forget

ROLE = 'mutation { createRole(input: { key: "%s", name: "A role", statements: [] }) { role { id version } } }'
RENAME = 'mutation { updateRole(input: { id: "%s", name: "%s", expectedVersion: %d }) { role { version } } }'
RESET = 'mutation { resetToken(input: { id: "%s", oldSecretExpiresAt: %s }) { secret } }'
INVITED = 'mutation { inviteMember(input: { email: "invited@localhost" }) { inviteUrl member { id } } }'
ANEW = 'mutation { createMemberLink(input: { id: "%s" }) { inviteUrl } }'
FOLLOW = "subscription { auditEntryRecorded { sequence } }"


@dataclass
class Server:
    """A running server, the owner's session, and tokens by a word of the test's."""

    process: subprocess.Popen[str]
    folder: Path
    url: str
    owner: str
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "latchkey.sqlite3"

    def own(self, query: str) -> Any:
        """Ask as the owner; nothing may be refused."""
        answer = ask(self.url, query, self.owner)
        assert "errors" not in answer, answer
        return answer["data"]

    def make(self, name: str) -> str:
        self.made[name] = self.own(CREATE)["createToken"]
        return str(self.made[name]["secret"])

    def works(self, name: str) -> bool:
        return works(self.url, self.made[name]["secret"])

    def revoke(self, name: str) -> None:
        self.own(REVOKE % self.made[name]["token"]["id"])

    def keys_of(self, *names: str) -> set[str]:
        """Tell under which keys tokens are kept."""
        found = rows(self.database, "SELECT secret.key_id, token_id FROM secret")
        ids = {row_id(self.made[name]["token"]["id"]) for name in names}
        return {key_id for key_id, token_id in found if token_id in ids}


def row_id(global_id: str) -> str:
    """Read the row's own id out of one that GraphQL gives."""
    return base64.b64decode(global_id).decode().partition(":")[2]


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


Latchkey = Callable[..., tuple[int, str, str]]


@pytest.fixture
def latchkey(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Latchkey:
    """Run commands on the folder of the test's server, in this process: gives the status and what was said."""
    server: Server = request.getfixturevalue("server")
    monkeypatch.setenv("LATCHKEY_DATA_DIR", str(server.folder))

    def run(*typed: object) -> tuple[int, str, str]:
        capsys.readouterr()
        ended = main([str(each) for each in typed])
        return (ended, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("operated")
    with started(folder, LATCHKEY_SHUTDOWN_GRACE_S="60") as process:
        url, _ = until_ready(process)
        threading.Thread(target=process.stderr.read if process.stderr else None, daemon=True).start()
        yield Server(process, folder, url, signed_in(folder, url))


def test_keys_are_rotated_while_tokens_are_used(server: Server, latchkey: Latchkey) -> None:
    for name in ("used", "late", "unused"):
        server.make(name)
    keys_file = server.folder / "latchkey.keys.json"
    answers: list[bool] = []
    over = threading.Event()

    def use() -> None:
        while not over.is_set():
            answers.append(server.works("used"))

    with ThreadPoolExecutor() as pool:
        using = pool.submit(use)
        try:
            code, said, _ = latchkey("keys", "rotate")
            newest, old = list(ServerKeys.parse(keys_file.read_text()).keys)
            assert (code, old, f"`{newest}` is the newest key" in said) == (0, "1", True)
            until(lambda: server.keys_of("used") == {newest})
        finally:
            over.set()
        using.result()
    assert len(answers) > 3
    assert all(answers)
    assert keys_file.stat().st_mode & 0o777 == 0o600
    assert server.keys_of("late", "unused") == {"1"}

    code, said, _ = latchkey("keys", "list")
    listed = {line.split()[0]: line.split()[1:] for line in said.splitlines()}
    assert (listed[newest][0], listed["1"][0]) == ("1", "2")
    assert server.works("late")
    assert works(server.url, server.owner)
    code, _, said = latchkey("keys", "retire", "1")
    assert code == 2
    assert "1 tokens, 0 one-time links and 0 webhooks hang on the key `1`" in said
    assert row_id(server.made["unused"]["token"]["id"]) in said
    assert row_id(server.made["late"]["token"]["id"]) not in said
    code, _, said = latchkey("keys", "retire", newest)
    assert (code, f"`{newest}` is the newest key" in said) == (2, True)
    public = PublicKeys.of(ServerKeys.parse(keys_file.read_text())).pem("1")

    code, said, _ = latchkey("keys", "retire", "1", "--force")
    assert (code, "1 tokens revoked" in said, public in said) == (0, True, True)
    assert list(ServerKeys.parse(keys_file.read_text()).keys) == [newest]
    assert [server.works(name) for name in ("used", "late", "unused")] == [True, True, False]
    server.make("after")
    assert server.keys_of("after") == {newest}
    assert sorted(path.name for path in server.folder.iterdir() if "keys" in path.name) == ["latchkey.keys.json"]


def test_a_backup_of_a_running_server_is_restored_without_a_version_coming_twice(
    server: Server, latchkey: Latchkey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept" / "backup.sqlite3"
    for name in ("stays", "goes", "stale", "reset", "passing"):
        server.make(name)
        assert server.works(name)
    server.revoke("stale")
    invited = server.own(INVITED)["inviteMember"]["member"]["id"]
    role = server.own(ROLE % "before")["createRole"]["role"]
    with ThreadPoolExecutor() as pool:
        making = pool.submit(lambda: [server.make(f"meanwhile {number}") for number in range(20)])
        code, said, _ = latchkey("backup", file)
        making.result()
    assert (code, "checked" in said, str(server.folder / "latchkey.keys.json") in said) == (0, True, True)
    assert (file.stat().st_mode & 0o777, [path.name for path in file.parent.iterdir()]) == (0o600, [file.name])
    keys_text = json.loads((server.folder / "latchkey.keys.json").read_text())["keys"][0]["key"]
    copied = file.read_bytes()
    assert not [told for told in (keys_text, server.owner, server.made["stays"]["secret"]) if told.encode() in copied]
    assert latchkey("backup", file)[::2] == (2, f"latchkey: `{file}` is there already\n")
    assert latchkey("backup", server.database, "--force")[0] == 2
    assert latchkey("backup", file, "--force")[0] == 0

    server.revoke("goes")
    server.own(RESET % (server.made["reset"]["token"]["id"], "null"))
    server.own(RESET % (server.made["passing"]["token"]["id"], f'"{datetime.now(UTC) + timedelta(days=2):%FT%TZ}"'))
    server.own(ANEW % invited)
    server.make("later")
    changed = server.own(RENAME % (role["id"], "Renamed", role["version"]))["updateRole"]["role"]
    assert latchkey("restore", file)[0] == 2
    code, _, said = latchkey("restore", file, "--force")
    assert (code, "is in use: stop the server first" in said) == (2, True)
    assert server.works("later")

    # Another folder stands for this one after its server has ended.
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / "latchkey.keys.json").write_bytes((server.folder / "latchkey.keys.json").read_bytes())
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("VACUUM INTO ?", (str(folder / "latchkey.sqlite3"),))
    other = Server(server.process, folder, server.url, server.owner, server.made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATCHKEY_DATA_DIR", str(folder))
        before = rows(other.database, "SELECT version FROM account")[0][0]
        assert main(["restore", str(file)]) == 2, "there is a database"
        capsys.readouterr()
        assert main(["restore", str(file), "--force"]) == 0
        told = capsys.readouterr().out
        assert "2 secrets and 1 one-time links that ended since end again" in told, told
        asyncio.run(restored(other, before, changed["version"]))
        (folder / "latchkey.keys.json").write_text(ServerKeys.mint("1").json())
        assert main(["restore", str(file), "--force"]) == 2, "these are not its keys"
    assert len([path for path in folder.iterdir() if path.name.startswith("latchkey.sqlite3.")]) == 1


async def restored(server: Server, before: int, version: int) -> None:
    """Look at what was restored: what was done since is undone, but for the revocation."""
    forget()
    keys = ServerKeys.parse((server.folder / "latchkey.keys.json").read_text())
    async with opened(f"sqlite://{server.database}") as database:
        request = Request(House(database, keys), "restored")

        async def alive(name: str) -> bool:
            try:
                await callers.identify(server.made[name]["secret"], request)
            except Unauthenticated:
                return False
            return True

        names = ("stays", "passing", "stale", "goes", "later", "reset")
        assert [await alive(name) for name in names] == [True, True, False, False, False, False]
        [passing] = await SecretDigest.filter(token_id=row_id(server.made["passing"]["token"]["id"]))
        assert passing.expires_at
        assert passing.expires_at > now()
        invited = await Member.get(email="invited@localhost")
        assert not await Link.filter(member_id=invited.id).exists(), "the link that ended opens nothing"
        account = await Account.get()
        assert account.version > before
        role = await Role.get(key="before")
        assert (role.name, role.version > version) == ("A role", True)
        finding = await chains.verify(account.id, "main", (), PublicKeys.of(keys).signed)
        assert not finding.broken
        last = await AuditEntry.all().order_by("-sequence").first()
        assert last
        assert (last.comment, str(last.target_id)) == (
            "Revoked after the backup that was restored.",
            row_id(server.made["goes"]["token"]["id"]),
        )
    forget()


def test_a_database_is_replaced_at_once_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, draft, at = tmp_path / "database", tmp_path / "draft", now()

    def made(file: Path, value: int) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(f"PRAGMA journal_mode = WAL; CREATE TABLE kept AS SELECT {value} AS value")

    def kept(file: Path) -> int:
        return int(rows(file, "SELECT value FROM kept")[0][0])

    def no(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    made(path, 1)
    made(draft, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", no)
        with pytest.raises(Conflict, match=r"was not replaced: .* What was there is `.*/database\.\d+T\d+Z`"):
            backups.replace(draft, path, at)
    aside = next(tmp_path.glob("database.*Z"))
    assert (kept(path), kept(aside), kept(draft)) == (1, 1, 2)
    aside.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", no)  # as on a file system without such links
        assert backups.replace(draft, path, at) == aside
        assert (kept(path), kept(aside)) == (2, 1)
        made(draft, 3)
        with pytest.raises(FileExistsError):
            backups.put(draft, path)
        backups.put(draft, tmp_path / "new")
    made(draft, 4)
    assert backups.replace(draft, path, at + timedelta(seconds=1))
    assert [kept(path), kept(tmp_path / "new")] == [4, 3]


@pytest.mark.parametrize("damage", ["nothing there", "no database", "another's", "cut off", "overwritten", "beheaded"])
def test_what_is_no_whole_backup_is_refused_and_nothing_touched(
    damage: str, migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LATCHKEY_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "latchkey.keys.json").write_text(ServerKeys.mint("1").json())
    file = tmp_path / "file"
    whole = migrated.read_bytes()
    match damage:
        case "no database":
            file.write_text("swordfish" * 1000)
        case "another's":
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("CREATE TABLE token (id)")
        case "cut off":
            file.write_bytes(whole[: len(whole) // 2])
        case "overwritten":
            [(page,), (size,)] = rows(migrated, ROOT_OF_TOKENS)
            file.write_bytes(whole[: (page - 1) * size] + bytes(size) + whole[page * size :])
        case "beheaded":
            file.write_bytes(whole)
            with closing(sqlite3.connect(file)) as connection:
                connection.executescript(BEHEADED)
    assert main(["restore", str(file)]) == 2
    said = capsys.readouterr().err
    assert (str(file) in said, "Traceback" in said, "swordfish" in said) == (True, False, False)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["latchkey.keys.json"]


ROOT_OF_TOKENS = """
    SELECT rootpage FROM sqlite_schema WHERE name = 'token' UNION ALL SELECT page_size FROM pragma_page_size
"""
BEHEADED = """
    PRAGMA foreign_keys = OFF;
    INSERT INTO account (id, key, name, version, created_at, updated_at) VALUES ('a', 'main', 'Main', 1, '', '');
    INSERT INTO audit_head (id, account_id, sequence, seal) VALUES ('h', 'a', 2, 'second');
    INSERT INTO audit_entry (id, account_id, sequence, at, request_id, outcome, actor_kind, target_kind, target_id,
    target_resource, target_name, accesses, because, previous, seal)
    VALUES ('e', 'a', 1, '2026-01-01 00:00:00+00:00', '', 'DONE', 'SYSTEM', 'acct', 'a', 'acct', '', '[]', '[]',
    'genesis', 'first');
"""


def test_a_backup_of_postgresql_is_for_its_own_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LATCHKEY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LATCHKEY_DATABASE_URL", "postgresql://latchkey:swordfish@localhost/latchkey")
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        assert main([command, str(tmp_path / "file")]) == 2
        said = capsys.readouterr().err
        assert (f"`{tool}`" in said, "docs/databases.md" in said, "swordfish" in said) == (True, True, False)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def asking(server: Server, query: str) -> Iterator[Callable[[], Any]]:
    """Begin to ask as the owner; the server has the head and waits for the rest. Gives what sends that and answers."""
    body = json.dumps({"query": query}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: latchkey\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Authorization: Bearer {server.owner}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"

        def answered() -> Any:
            connection.sendall(body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200 ")
            return json.loads(answer.partition(b"\r\n\r\n")[2])

        yield answered


def test_what_is_under_way_is_answered_before_the_end_and_what_was_gathered_written(server: Server) -> None:
    secret = server.make("last used")
    with connect(f"ws{server.url.removeprefix('http')}/graphql", subprotocols=["graphql-transport-ws"]) as following:  # type: ignore[list-item]
        following.send(json.dumps({"type": "connection_init", "payload": {"authorization": server.owner}}))
        assert json.loads(following.recv())["type"] == "connection_ack"
        following.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": FOLLOW}}))
        assert works(server.url, secret)
        with asking(server, CREATE) as answered:
            server.process.send_signal(signal.SIGTERM)
            until(lambda: status(server.url, "/healthz") is None)
            assert server.process.poll() is None
            made = answered()["data"]["createToken"]
        with pytest.raises(ConnectionClosed) as told:
            following.recv()
    assert server.process.wait(PATIENCE_S) == 0
    assert told.value.rcvd
    assert told.value.rcvd.code == 1012, "the client comes back by itself"
    used = dict(rows(server.database, "SELECT id, last_used_at FROM token"))
    assert used[row_id(server.made["last used"]["token"]["id"])]
    assert used[row_id(made["token"]["id"])] is None
    assert not server.database.with_name("latchkey.sqlite3-wal").exists()
