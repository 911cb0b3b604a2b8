"""The cost of an authenticated, permission-checked ten-field `viewer` query, beside the bare and the stock server.

And that of a yes of forward-auth, and of checks asked one by one or a hundred at once. Ends with one JSON line of
ratios: `viewer_vs_stock`, `viewer_vs_bare` and `forward_auth_vs_bare` are requests per second, `check100_vs_check1`
decisions per second, the `_cpu` ones the server's CPU time for a request (lower is better). Rounds alternate, so that a
busy machine is busy for all.
"""

import argparse
import json
import statistics
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.load import Measure, Target, latchkey, pressed, served

VIEWER = """{ viewer {
  member { id name email state baseRole createdAt }
  account { id key name }
  token { name }
} }"""
CHECKS = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed } }"
MANY = 100
JSON = {"Content-Type": "application/json"}


def main() -> None:
    """Measure, print a table, and end with the ratios."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=int, default=5, help="of each round (default 5)")
    asked.add_argument("--rounds", type=int, default=3, help="of each server (default 3)")
    options = asked.parse_args()
    with ExitStack() as stack:
        targets = _targets(stack)
        measures: dict[str, list[Measure]] = {name: [] for name in targets}
        for _ in range(options.rounds):
            for name, target in targets.items():
                measures[name].append(pressed(target, options.seconds))
    speed = {name: statistics.median(m.requests_per_s for m in taken) for name, taken in measures.items()}
    cpu = {name: statistics.median(m.cpu_us for m in taken) for name, taken in measures.items()}
    for name in targets:
        print(f"{name:12} {speed[name]:10.0f} requests/s {cpu[name]:10.1f} us of CPU each")  # noqa: T201 - what it is for
    ratios = {
        "viewer_vs_stock": speed["viewer"] / speed["stock"],
        "viewer_vs_bare": speed["viewer"] / speed["bare"],
        "forward_auth_vs_bare": speed["forward_auth"] / speed["bare"],
        "check100_vs_check1": MANY * speed["check100"] / speed["check1"],
        "viewer_vs_stock_cpu": cpu["viewer"] / cpu["stock"],
        "viewer_vs_bare_cpu": cpu["viewer"] / cpu["bare"],
        "forward_auth_vs_bare_cpu": cpu["forward_auth"] / cpu["bare"],
    }
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))  # noqa: T201


def _targets(stack: ExitStack) -> dict[str, Target]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    told, secrets, pid = stack.enter_context(latchkey(folder))
    bare, bare_pid = stack.enter_context(served("bare", 18_765))
    stock, stock_pid = stack.enter_context(served("stock", 18_766))
    viewer = Target(told["graphql"], json.dumps({"query": VIEWER}), pid, {**JSON, "Authorization": secrets["admin"]})
    one, many = (Target(told["graphql"], _checks(count), pid, viewer.headers) for count in (1, MANY))
    _check(viewer, lambda data: data["viewer"]["member"]["email"])
    _check(many, lambda data: data["checkAccess"]["allowed"] == [True] * MANY)
    hello = json.dumps({"query": "{ hello }"})
    return {
        "bare": Target(bare, hello, bare_pid, JSON),
        "stock": Target(stock, hello, stock_pid, JSON),
        "viewer": viewer,
        "forward_auth": Target(told["gates"]["forwarded"], "", pid, _forwarded(secrets["limited"]), "GET"),
        "check1": one,
        "check100": many,
    }


def _checks(count: int) -> str:
    """Ask whether so many flags may be switched, each another."""
    flags = [f"proj/web:env/production:flag/flag-{number}" for number in range(count)]
    checks = [{"action": "updateOn", "resource": flag} for flag in flags]
    return json.dumps({"query": CHECKS, "variables": {"checks": checks}})


def _forwarded(secret: str) -> dict[str, str]:
    """Write the headers of a proxy that asks about a request."""
    return {
        "Authorization": f"Bearer {secret}",
        "User-Agent": "curl/8.0",
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Uri": "/things/42?fields=all",
    }


def _check(target: Target, whole: Callable[[Any], object]) -> None:
    """See that it is the whole answer which is measured."""
    request = urllib.request.Request(target.url, target.body.encode(), dict(target.headers))  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
        said = json.load(answer)
    if "errors" in said or not whole(said["data"]):
        raise RuntimeError(json.dumps(said))


if __name__ == "__main__":
    main()
