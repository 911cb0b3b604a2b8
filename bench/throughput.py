"""Every path side by side: a bare application, Strawberry's stock view, Latchkey on SQLite and PostgreSQL, and peers.

Rates and CPU time come from as many connections as keep a server busy; latencies from a fixed load instead, eight
connections that each pause for 80 ms on average, so that they are those of a server with room to spare.
"""

import argparse
import importlib
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import paths, quick
from bench.load import Target, alternating, say
from bench.organisation import Organisation, founded, latchkey
from bench.postgres import postgres
from bench.results import keep

PEERS = ("jupyterhub", "better_auth", "knox")
CALM_CONNECTIONS = 8
CALM_PAUSE_MS = 80


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=5, help="of each path (default 5)")
    asked.add_argument("--seconds", type=int, default=4, help="of each round (default 4)")
    asked.add_argument("--peers", choices=PEERS, nargs="*", default=PEERS)
    options = asked.parse_args()
    keep("throughput", measured(options.peers, options.rounds, options.seconds))


def measured(peers: Sequence[str], rounds: int, seconds: int) -> dict[str, Any]:
    """Measure all of it in one run, alternating."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
        targets = quick.beside(stack, folder)
        targets |= _latchkeys(stack, folder)
        for name in peers:
            targets |= _peer(stack, folder, name)
        busy = alternating(targets, rounds, seconds)
        calm = alternating(targets, 1, seconds, connections=CALM_CONNECTIONS, pause_ms=CALM_PAUSE_MS)
    for name, measure in busy.items():
        say(
            f"{name:32} {measure.requests_per_s:8.0f} requests/s {measure.cpu_us:8.1f} us of CPU each, "
            f"calm p50 {calm[name].p50_ms:.2f} ms, p99 {calm[name].p99_ms:.2f} ms"
        )
    return {name: {"busy": asdict(busy[name]), "calm": asdict(calm[name])} for name in targets}


def _latchkeys(stack: ExitStack, folder: Path) -> dict[str, Target]:
    """Start Latchkey on each kind of database."""
    targets: dict[str, Target] = {}
    for ending, database in (
        ("", None),
        (", postgresql", stack.enter_context(stack.enter_context(postgres()).database())),
    ):
        own = folder / f"latchkey{ending}"
        own.mkdir()
        organisation = paths.peopled(founded(stack.enter_context(latchkey(own, database))))
        targets |= {f"{name}{ending}": target for name, target in _asked_of(organisation).items()}
    return targets


def _asked_of(organisation: Organisation) -> dict[str, Target]:
    return {
        **quick.asked_of(organisation),
        "forward_auth_10000": paths.forward_auth_varied(organisation),
        "forward_auth_noisy": paths.forward_auth_noisy(organisation),
        "verify_token": paths.verify_token(organisation),
    }


def _peer(stack: ExitStack, folder: Path, name: str) -> dict[str, Target]:
    """Install and start a peer; one that cannot be is told of and left out."""
    peer = importlib.import_module(f"bench.peers.{name}")
    try:
        peer.installed()
        served: dict[str, Target] = stack.enter_context(peer.serving(folder))
    except (OSError, RuntimeError) as problem:
        say(f"without {name}: {problem}")
        return {}
    return served


if __name__ == "__main__":
    main()
