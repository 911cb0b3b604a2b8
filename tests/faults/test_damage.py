"""A file that is damaged is refused by its name, at the start or as soon as it is met, and never half served."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from core.secret import ServerKeys
from models.database import check
from models.engines.soundness import DamagedError
from models.migrator import is_current, migrate
from tests.cli.test_server import ROOT, environment
from tests.databases import asynchronous
from tests.faults import away

PAGE_BYTES = 4096


def headless(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"what stands here is no database")


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)


def overwritten(path: Path) -> None:
    """Write over a page that holds rows."""
    with closing(sqlite3.connect(path)) as connection:
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'tortoise_migrations'")
    away.overwrite(path, root)


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "its header": headless,
    "its end": cut_short,
    "its middle": overwritten,
}


@pytest.mark.parametrize("where", DAMAGES)
def test_a_damaged_file_is_refused_by_name(where: str, migrated: Path, tmp_path: Path) -> None:
    path = tmp_path / "latchkey.sqlite3"
    shutil.copy(migrated, path)
    assert check(f"sqlite://{path}")
    DAMAGES[where](path)
    with pytest.raises(DamagedError, match=f"the database file `{path}` is damaged .*: restore a backup"):
        check(f"sqlite://{path}")
    if where != "its end":  # of which only what is looked at can be known
        for reading in (migrate, is_current):
            with pytest.raises(DamagedError, match=f"`{path}` is damaged"):
                asynchronous(reading(f"sqlite://{path}"))


def test_a_server_does_not_start_on_a_damaged_file(migrated: Path, tmp_path: Path) -> None:
    path = tmp_path / "latchkey.sqlite3"
    shutil.copy(migrated, path)
    (tmp_path / "latchkey.keys.json").write_text(ServerKeys.mint("1").json())
    overwritten(path)
    command = [sys.executable, str(ROOT / "server.py"), "--port", "0"]
    refused = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    [line] = refused.stderr.splitlines()
    assert line.startswith(f"latchkey: the database file `{path}` is damaged (")
