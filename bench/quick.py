"""The first six ratios, in under two minutes: Latchkey on SQLite beside a bare application and the stock view.

Ends with one JSON line. The ratios are of requests per second (`check100_vs_check1` of decisions); those in `_cpu` are
of the server's CPU time for a request, or a decision, lower is better and less noisy.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import paths
from bench.load import Measure, Target, alternating, contender, say
from bench.organisation import Organisation, founded, latchkey

RATIOS = {
    "viewer_vs_stock": ("viewer", "stock"),
    "viewer_vs_bare": ("viewer", "bare"),
    "tokens50_vs_stock_list": ("tokens50", "stock_list"),
    "forward_auth_vs_bare": ("forward_auth", "bare"),
    "introspect_vs_bare": ("introspect", "bare"),
    "check100_vs_check1": ("check100", "check1"),
}


def main() -> None:
    """Measure, print a table, and end with the ratios."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=int, default=3, help="of each round (default 3)")
    asked.add_argument("--rounds", type=int, default=3, help="of each path (default 3)")
    options = asked.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measures = alternating(targets(stack, folder), options.rounds, options.seconds)
    for name, measure in measures.items():
        say(f"{name:14} {measure.requests_per_s:10.0f} requests/s {measure.cpu_us:10.1f} us of CPU each")
    say(json.dumps(ratios(measures)))


def targets(stack: ExitStack, folder: Path) -> dict[str, Target]:
    """Start what is measured, and ask each path once."""
    organisation = paths.peopled(founded(stack.enter_context(latchkey(folder))))
    return {**beside(stack, folder), **asked_of(organisation)}


def beside(stack: ExitStack, folder: Path) -> dict[str, Target]:
    """Start what Latchkey is measured beside."""
    return {
        "bare": paths.bare(stack.enter_context(contender("bare", folder))),
        "stock": paths.stock(stack.enter_context(contender("stock", folder))),
        "stock_list": paths.stock_list(stack.enter_context(contender("stock_list", folder))),
    }


def asked_of(organisation: Organisation) -> dict[str, Target]:
    """Ask Latchkey each path once."""
    return {
        "viewer": paths.viewer(organisation),
        "tokens50": paths.tokens50(organisation),
        "forward_auth": paths.forward_auth(organisation),
        "introspect": paths.introspect(organisation),
        "check1": paths.check(organisation, 1),
        "check100": paths.check(organisation, paths.CHECKS),
    }


def ratios(measures: Mapping[str, Measure]) -> dict[str, float]:
    """Compare speeds, and the CPU time of a request."""
    compared = {}
    for name, (ours, theirs) in RATIOS.items():
        each = paths.CHECKS if ours == "check100" else 1
        compared[name] = each * measures[ours].requests_per_s / measures[theirs].requests_per_s
        compared[f"{name}_cpu"] = measures[ours].cpu_us / measures[theirs].cpu_us / each
    return {name: round(ratio, 3) for name, ratio in compared.items()}


if __name__ == "__main__":
    main()
