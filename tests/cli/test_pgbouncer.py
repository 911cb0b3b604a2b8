"""PostgreSQL behind a real pgbouncer, in the modes of which docs/databases.md says that they work."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from models.urls import Server, parse
from tests.cli.test_server_postgresql import empty
from tests.databases import asynchronous
from tests.faults.load import pressed
from tests.faults.servers import quiet_port
from tests.faults.trials import standing

__all__ = ["empty"]

PROGRAM = "pgbouncer"
SHARED = 3
"""How many connections all share: fewer than there are clients."""


@contextmanager
def pooled(server: Server, mode: str) -> Iterator[str]:
    """Run pgbouncer in front of a server; gives the URL."""
    given, port = server.arguments, quiet_port()
    size = SHARED if mode == "transaction" else 50
    with tempfile.TemporaryDirectory(prefix="latchkey-pgbouncer-") as folder:
        configuration = Path(folder, "pgbouncer.ini")
        words = [f"host={given['host']} port={given['port']} user={given['user'] or 'postgres'}"]
        if given["password"]:
            words.append(f"password='{given['password']}'")
        configuration.write_text(
            f"[databases]\n{given['database']} = {' '.join(words)}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\n"
        )
        words = [PROGRAM, "-q", str(configuration)]
        if os.getuid() == 0:  # as whom it does not run
            user = Path(given["host"]).owner() if given["host"].startswith("/") else "nobody"
            shutil.chown(folder, user)
            shutil.chown(configuration, user)
            words += ["-u", user]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                url = f"postgresql://any@127.0.0.1:{port}/{quote(given['database'])}?sslmode=disable"
                _await(url)
                yield url
            finally:
                process.terminate()


def _await(url: str) -> None:
    server, until = parse(url), time.monotonic() + 20
    assert isinstance(server, Server)
    while True:
        with suppress(OSError, asyncpg.PostgresError):
            asynchronous(asynchronous(asyncpg.connect(timeout=5, **server.arguments)).close())
            return
        assert time.monotonic() < until, "pgbouncer does not answer"
        time.sleep(0.05)


@pytest.mark.parametrize(("mode", "given"), [("session", ""), ("transaction", "&statement_cache=0")])
def test_it_serves_behind_pgbouncer(mode: str, given: str, empty: str, tmp_path: Path) -> None:
    server = parse(empty)
    assert isinstance(server, Server)
    with (
        pooled(server, mode) as url,
        standing(tmp_path / "data", LATCHKEY_DATABASE_URL=url + given) as place,
        pressed([place.server.url], place.owner, writers=6) as load,
    ):
        load.until_acknowledged(60)
        assert load.checked() == ((), ())
        assert not load.refused
        assert load.hung_up == 0
    assert "it is reached through a pooler" in place.server.log.read_text()
