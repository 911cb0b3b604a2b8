"""How much memory a credential takes that the server remembers: each of ten thousand, verified once."""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import bulk, paths
from bench.load import Target, pressed, resident_bytes, say
from bench.organisation import KEYS, Organisation, founded, latchkey
from bench.presenting import presented
from bench.results import keep

CREDENTIALS = 10_000
WAYS: dict[str, Callable[[Organisation], Target]] = {"viewer": paths.viewer, "forward_auth": paths.forward_auth}
"""The second remembers answers as well."""


def main() -> None:
    """Measure and keep the figures."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    keep("memory", measured())


def measured() -> dict[str, Any]:
    """Measure each way with a server that has just started."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name:
        folder = Path(name)
        with latchkey(folder) as server:
            organisation = founded(server)
        place = bulk.place(folder, None)
        bulk.multiply_tokens(place, 1, CREDENTIALS, organisation.tokens["limited"].uuid)
        known = bulk.known_secrets(place, folder / KEYS, range(1, CREDENTIALS + 1))
        headers = [f"Bearer {secret}" for secret in known]
        for way, asking in WAYS.items():
            with latchkey(folder) as server:
                target = asking(replace(organisation, server=server))
                pressed(target, 2)  # so that what any load takes is there before
                before = resident_bytes(server.pid)
                presented(target, "Authorization", headers)
                after = resident_bytes(server.pid)
            each = round((after - before) / CREDENTIALS)
            figures[way] = {"empty": before, "full": after, "each": each}
            say(f"{way:14} {before >> 20} MiB, with {CREDENTIALS} remembered {after >> 20} MiB: {each} bytes each")
    return figures


if __name__ == "__main__":
    main()
