"""better-auth with its API key plugin: `verifyApiKey` over HTTP."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.load import Target, answers_at, checked, free_port, served
from bench.peers import HERE, INSTALLED, is_installed, run, stamp
from bench.peers.node import programs

SOURCES = HERE / "better_auth"
FOLDER = INSTALLED / "better_auth"
STORAGES = ("database", "memory")


def installed() -> None:
    """Install better-auth, and SQLite for Node, which comes built or is built here."""
    lock = SOURCES / "package-lock.json"
    if not is_installed(FOLDER, lock):
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(SOURCES / name, FOLDER)
        _, npm = programs()
        run(*npm, "ci", cwd=FOLDER)
        run(*npm, "rebuild", "better-sqlite3", "--ignore-scripts=false", cwd=FOLDER)
        stamp(FOLDER, lock)


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, Target]]:
    """Serve it with keys in SQLite, and with keys in memory."""
    installed()
    shutil.copy(SOURCES / "server.mjs", FOLDER)  # modules are looked for where the file is
    node, _ = programs()
    with ExitStack() as stack:
        targets = {}
        for storage in STORAGES:
            port, key = free_port(), folder / f"better-auth-{storage}-key"
            told = {"PORT": str(port), "STORAGE": storage, "FOLDER": str(folder), "KEY_FILE": str(key)}
            log = folder / f"better-auth-{storage}.log"
            told |= {"NODE_ENV": "production"}
            pid = stack.enter_context(served([node, FOLDER / "server.mjs"], log, answers_at(port), told))
            body = json.dumps({"key": key.read_text()})
            asked = Target(f"http://127.0.0.1:{port}/", (pid,), {"Content-Type": "application/json"}, body)
            targets[f"better_auth_{storage}"] = checked(asked, '"valid":true', '"name":"bench"', '"referenceId"')
        yield targets
