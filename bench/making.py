"""What making a token costs, its entry in the audit log included, beside what the disk can make durable.

On SQLite every commit waits for the disk, so the rate is told as a part of the disk's own, measured in the same folder
in turns with it. So is that of sqlite3 with nothing around it, committing as many rows: no server does better.
On PostgreSQL accounts do not wait for each other: one is compared with eight.
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import paths
from bench.load import ROOT, Measure, Target, Varied, fsyncs_per_s, pressed, say
from bench.organisation import Organisation, founded, latchkey, settings
from bench.peers import run
from bench.postgres import Postgres, postgres
from bench.results import keep

ROWS_BYTES = (500, 150, 100, 900, 250)
"""About how long the rows are that making a token writes: token, secret, head, entry and access."""
TOGETHER = 16
ACCOUNTS = 8


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=3, help="of each (default 3)")
    asked.add_argument("--seconds", type=int, default=4, help="of each round (default 4)")
    asked.add_argument("--on", choices=("sqlite", "postgresql"), nargs="*", default=["sqlite", "postgresql"])
    options = asked.parse_args()
    keep("making", measured(options.on, options.rounds, options.seconds))


def measured(on: Sequence[str], rounds: int, seconds: int) -> dict[str, Any]:
    """Measure on each kind of database."""
    figures: dict[str, Any] = {}
    for kind in on:
        with ExitStack() as stack:
            database = stack.enter_context(stack.enter_context(postgres()).database()) if kind == "postgresql" else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
            organisation = founded(stack.enter_context(latchkey(folder, database)))
            taken = _taken(_ways(organisation, database), folder, rounds, seconds)
        fsyncs = statistics.median(rate for rate, _ in taken["sequential"])
        measures = {name: Measure.median([measure for _, measure in each]) for name, each in taken.items()}
        if database is None:
            measures["bare"] = Measure.median([_bare(seconds) for _ in range(rounds)])
        figures[kind] = {"fsyncs_per_s": fsyncs, **{name: asdict(measure) for name, measure in measures.items()}}
        say(f"{kind}: {fsyncs:.0f} fsyncs/s")
        for name, measure in measures.items():
            say(f"    {name:14} {measure.requests_per_s:8.0f} tokens/s {measure.cpu_us:8.1f} us of CPU each")
    return figures


def _taken(
    ways: dict[str, tuple[Target, int]], folder: Path, rounds: int, seconds: int
) -> dict[str, list[tuple[float, Measure]]]:
    """Measure each way in turns, and the disk before each."""
    taken: dict[str, list[tuple[float, Measure]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (target, together) in ways.items():
            disk = fsyncs_per_s(folder, 1)
            taken[name].append((disk, pressed(target, seconds, connections=together)))
    return taken


def _bare(seconds: int) -> Measure:
    """Commit such rows with sqlite3 alone, in one thread."""
    took_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as folder:
        connection = sqlite3.connect(f"{folder}/bare.sqlite3", isolation_level=None)
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (id, said)")
        begin, begin_cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds:
            at = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            for number, length in enumerate(ROWS_BYTES):
                connection.execute("INSERT INTO row VALUES (?, ?)", (len(took_ms) * TOGETHER + number, "x" * length))
            connection.execute("COMMIT")
            took_ms.append((time.perf_counter() - at) * 1e3)
        took_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
        connection.close()
    percentiles = statistics.quantiles(took_ms, n=100)
    return Measure(len(took_ms) / took_s, cpu_s / len(took_ms) * 1e6, percentiles[49], percentiles[89], percentiles[98])


def _ways(organisation: Organisation, database: Postgres | None) -> dict[str, tuple[Target, int]]:
    """Tell what is pressed, and over how many connections."""
    alone = paths.create_token(organisation)
    ways = {"sequential": (alone, 1), "concurrent": (alone, TOGETHER)}
    if database is not None:
        others = [_account(organisation, database, f"account-{number}") for number in range(1, ACCOUNTS)]
        sessions = [each.sessions["writer"] for each in (organisation, *others)]
        varied = Varied("Authorization", [f"Bearer {session}" for session in sessions])
        ways["accounts_1"] = (alone, ACCOUNTS)
        ways["accounts_8"] = (replace(alone, varied=varied), ACCOUNTS)
    return ways


def _account(organisation: Organisation, database: Postgres, key: str) -> Organisation:
    """Make another account, as the command line does."""
    told = settings(organisation.server.folder, database)
    command = (sys.executable, ROOT / "server.py", "account", "create", key, "--owner-email", f"owner@{key}.example")
    said = run("env", *(f"{name}={value}" for name, value in told.items()), *command)
    link = next(word for word in said.split() if word.startswith("http"))
    return founded(organisation.server, link, key)


if __name__ == "__main__":
    main()
