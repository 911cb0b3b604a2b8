"""How verifying a token from the database, and making one, goes on as tokens and entries of the log become many.

Each round presents a thousand tokens, evenly spread over all there are, each once and just after the account got a new
version, so that nothing remembered of any of them helps. What is asked is forward-auth, the shortest way from a secret
to an answer. With `--large` up to ten million tokens are written, some GB on the disk.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import bulk, paths
from bench.load import Measure, alternating, say
from bench.organisation import KEYS, Organisation, founded, latchkey
from bench.postgres import Postgres, postgres
from bench.presenting import presented
from bench.results import keep

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
LOG_LENGTHS = (1_000, 100_000, 1_000_000)
PRESENTED = 1_000
ROOM_BYTES = 30 << 30


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--large", action=argparse.BooleanOptionalAction, default=False, help="up to ten million tokens")
    asked.add_argument("--rounds", type=int, default=3, help="of each size (default 3)")
    asked.add_argument("--seconds", type=int, default=4, help="of each round with the log (default 4)")
    asked.add_argument("--on", choices=("sqlite", "postgresql"), nargs="*", default=["sqlite", "postgresql"])
    options = asked.parse_args()
    keep("growth", measured(options.on, options.large, options.rounds, options.seconds))


@dataclass(frozen=True, slots=True)
class Run:
    """An organisation whose rows are multiplied, and how long each size is measured."""

    organisation: Organisation
    folder: Path
    database: Postgres | None
    rounds: int
    seconds: int

    @property
    def place(self) -> bulk.Place:
        """The database itself."""
        return bulk.place(self.folder, self.database)

    @contextmanager
    def served(self) -> Iterator[Organisation]:
        """Serve what is there now."""
        with latchkey(self.folder, self.database) as server:
            yield replace(self.organisation, server=server)


def measured(on: Sequence[str], large: bool, rounds: int, seconds: int) -> dict[str, Any]:
    """Measure on each kind of database."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if large and free < ROOM_BYTES:
        say(f"only {free >> 30} GB are free: up to a million tokens")
        large = False
    sizes = SIZES if large else SIZES[:-1]
    figures: dict[str, Any] = {}
    for kind in on:
        say(f"on {kind}")
        with ExitStack() as stack:
            database = stack.enter_context(stack.enter_context(postgres()).database()) if kind == "postgresql" else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
            with latchkey(folder, database) as server:
                organisation = founded(server)
            run = Run(organisation, folder, database, rounds, seconds)
            figures[kind] = {"log": _log(run), "tokens": _tokens(run, sizes)}
    return figures


def _log(run: Run) -> dict[str, Any]:
    """Make tokens while the log is longer and longer."""
    figures = {}
    for shorter, length in pairwise((0, *LOG_LENGTHS)):
        bulk.multiply_entries(run.place, shorter + 1, length)
        with run.served() as organisation:
            target = paths.create_token(organisation)
            measure = alternating({"": target}, run.rounds, run.seconds, connections=1)[""]
        figures[str(length)] = asdict(measure)
        say(f"{length:10} entries {_told(measure)}")
    return figures


def _tokens(run: Run, sizes: Sequence[int]) -> dict[str, Any]:
    """Verify tokens while there are more and more."""
    figures = {}
    for fewer, size in pairwise((0, *sizes)):
        begin = time.monotonic()
        bulk.multiply_tokens(run.place, fewer + 1, size, run.organisation.tokens["limited"].uuid)
        numbers = [1 + index * size // PRESENTED for index in range(PRESENTED)]
        known = bulk.known_secrets(run.place, run.folder / KEYS, numbers)
        took_s = time.monotonic() - begin
        with run.served() as organisation:
            measure = Measure.median([_once(run, organisation, known) for _ in range(run.rounds)])
        figures[str(size)] = asdict(measure)
        say(f"{size:10} tokens {_told(measure)} (written in {took_s:.0f} s)")
    return figures


def _told(measure: Measure) -> str:
    return f"{measure.requests_per_s:8.0f}/s {measure.cpu_us:8.1f} us of CPU each, p99 {measure.p99_ms:.1f} ms"


def _once(run: Run, organisation: Organisation, known: Sequence[str]) -> Measure:
    """Present each token once, with everything that is remembered out of date."""
    target = paths.forward_auth(organisation)
    run.place.run("UPDATE account SET version = version + 1")
    return presented(target, "Authorization", [f"Bearer {secret}" for secret in known])


if __name__ == "__main__":
    main()
