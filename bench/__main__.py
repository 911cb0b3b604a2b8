"""Every part of the benches one after the other, then the report, whose ratios are the last line."""

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from bench import attacks, growth, machine, making, memory, questions, report, revoking, staleness, throughput
from bench.load import say
from bench.results import keep

BOTH = ("sqlite", "postgresql")


def main() -> int:
    """Run all parts; one that fails is told of and spoils no other."""
    asked = argparse.ArgumentParser(prog="bench", description=__doc__)
    asked.add_argument(
        "--large", action=argparse.BooleanOptionalAction, default=True, help="up to ten million tokens (default)"
    )
    options = asked.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "machine": machine.described,
        "throughput": lambda: throughput.measured(throughput.PEERS, rounds=5, seconds=4),
        "making": lambda: making.measured(BOTH, rounds=5, seconds=4),
        "staleness": lambda: staleness.measured(BOTH, rounds=50),
        "memory": memory.measured,
        "revoking": revoking.measured,
        "attacks": attacks.measured,
        "questions": lambda: questions.measured(BOTH, rounds=30),
        "growth": lambda: growth.measured(BOTH, large=options.large, rounds=3, seconds=4),
    }
    failed = 0
    for name, measured in parts.items():
        begin = time.monotonic()
        say(f"\n{name}")
        try:
            keep(name, measured())
        except Exception:  # noqa: BLE001 - whatever it is, the other parts are worth their time
            traceback.print_exc()
            failed = 1
        say(f"({time.monotonic() - begin:.0f} s)")
    report.main()
    return failed


if __name__ == "__main__":
    sys.exit(main())
