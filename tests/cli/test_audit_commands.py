"""`latchkey audit` beside a running server, as an operator types it and an auditor checks it."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli.test_exports import SCRIPT
from tests.cli.test_kills import signed_in
from tests.cli.test_server import ask, ended, run, started, until_ready

CREATE = 'mutation { createToken(input: { name: "n", scope: { builtInRole: READER } }) { token { id } } }'


def audit(folder: Path, *arguments: str) -> tuple[int, str]:
    ran = run(folder, "audit", *arguments)
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout


def heads_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["head"] for line in file.read_text().splitlines()]


def entries_in(file: Path) -> list[int]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["data"]["sequence"] for line in lines]


def test_a_log_is_signed_written_out_verified_and_pruned(tmp_path: Path) -> None:
    folder, heads, log, keys = (tmp_path / name for name in ("data", "heads", "log", "keys"))
    entries = tmp_path / "entries"
    settings = {
        "LATCHKEY_AUDIT_HEADS_FILE": str(heads),
        "LATCHKEY_AUDIT_HEADS_EVERY_S": "1",
        "LATCHKEY_AUDIT_ENTRIES_FILE": str(entries),
    }
    with started(folder, "--workers", "2", **settings) as process:
        url, _ = until_ready(process)
        owner = signed_in(folder, url)
        for _ in range(3):
            for _ in range(10):
                assert "errors" not in ask(url, CREATE, owner)
            assert audit(folder, "verify", "--against", str(heads))[0] == 0
        written = json.loads(run(folder, "audit", "head").stdout)["head"]["sequence"]
        deadline = time.monotonic() + 60
        while len(delivered := entries_in(entries)) < written and time.monotonic() < deadline:
            time.sleep(0.1)
        assert delivered == list(range(1, written + 1)), "of two processes one delivers"
        assert ended(process)[0] in {0, 143, -15}
    signed = heads_in(heads)
    assert len(signed) >= 2
    assert len({head["sequence"] for head in signed}) == len(signed), "of two processes one signs"

    head = run(folder, "audit", "head").stdout
    with heads.open("a") as file:
        file.write(head)
    keys.write_text(audit(folder, "key")[1])
    assert audit(folder, "export", str(log))[0] == 0
    last = json.loads(head)["head"]["sequence"]
    script = [sys.executable, "-I", str(SCRIPT), str(log), "--key", str(keys), "--against", str(heads)]
    alone = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    said = audit(folder, "verify", str(log), "--against", str(heads), "--key", str(keys))
    assert (alone.returncode, alone.stdout) == said
    assert (said[0], said[1].splitlines()[0].partition(": ")[2]) == (0, f"whole: entries 1 to {last}")
    assert audit(folder, "verify")[1].splitlines()[0] == said[1].splitlines()[0]

    assert audit(folder, "prune", "--keep-days", "1")[1] == "nothing to prune\n"
    assert audit(folder, "prune", "--before", "2999-01-01")[0] == 2
    assert audit(folder, "verify", "--account", "other")[0] == 2
    assert audit(tmp_path / "none", "verify")[0] == 2
    assert not (tmp_path / "none").exists()
    assert audit(folder, "verify", str(tmp_path / "none"))[0] == 2

    with closing(sqlite3.connect(folder / "latchkey.sqlite3", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER audit_entry_no_update")
        connection.execute("UPDATE audit_entry SET comment = 'x' WHERE sequence = 3")
    code, out = audit(folder, "verify")
    assert (code, out.splitlines()[0].rpartition(": ")[2]) == (1, "entry 3 is altered")
    (folder / "latchkey.sqlite3").write_bytes(b"x" * 100_000)
    for kept in folder.glob("latchkey.sqlite3-*"):
        kept.unlink()
    assert audit(folder, "verify") == (2, "")
