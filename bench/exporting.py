"""How long an export of the log takes, and how much memory, as the log grows: as lines of JSON and as CSV."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import bulk
from bench.load import ROOT, say
from bench.organisation import founded, latchkey, settings
from bench.results import keep

LENGTHS = (10_000, 100_000, 1_000_000)
LARGE = 10_000_000
LAUNCH = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
"""Starts the export out of a small process: the peak of one also counts what started it had in memory."""


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument(
        "--large", action=argparse.BooleanOptionalAction, default=False, help="up to ten million entries, some 30 GB"
    )
    options = asked.parse_args()
    keep("exporting", measured((*LENGTHS, LARGE) if options.large else LENGTHS))


def measured(lengths: Sequence[int]) -> dict[str, Any]:
    """Measure each length, on SQLite."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name:
        folder = Path(name)
        with latchkey(folder) as server:
            founded(server)
        for shorter, length in pairwise((0, *lengths)):
            bulk.multiply_entries(bulk.place(folder, None), shorter + 1, length)
            figures[str(length)] = {form: _exported(folder, form, length) for form in ("jsonl", "csv")}
    return figures


def _exported(folder: Path, form: str, length: int) -> dict[str, float]:
    file = folder / f"export.{form}"
    export = [sys.executable, "server.py", "audit", "export", "--format", form, str(file)]
    begin = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", LAUNCH, *export],
        cwd=ROOT,
        env={**os.environ, **settings(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    peak_bytes = int(done.stdout) << 10
    took_s, size = time.monotonic() - begin, file.stat().st_size
    file.unlink()
    say(
        f"{length:10} entries as {form:5} {took_s:6.1f} s, {length / took_s:6.0f}/s, {peak_bytes >> 20:4} MiB"
        f" of memory at most, {size >> 20} MiB written"
    )
    return {"seconds": round(took_s, 1), "peak_bytes": peak_bytes, "size_bytes": size}


if __name__ == "__main__":
    main()
