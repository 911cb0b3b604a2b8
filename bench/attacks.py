"""What requests cost that were made to cost as much as they can, and what an ordinary request takes meanwhile.

One client sends each of them ten times a second, in turns with idle times: what is refused for what it asks with a
credential of its own, wrong sign-ins and reports of leaks each from another address. Another client asks all the while
who it is, a hundred times a second.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench import paths
from bench.hostile import REQUESTS, Hostile
from bench.load import LOAD_CORE, Target, cpu_s, say
from bench.organisation import JSON, SIGN_IN, Organisation, founded, latchkey
from bench.results import keep
from core.secret import Secret, SecretKind

ALONE = 50
"""How many of a kind are sent one after the other, to see what one costs."""
ATTACK_EVERY_S = 0.1
ASK_EVERY_S = 0.01
"""How long from one request to the next, whenever the answers come."""
SECONDS = 4
ROUNDS = 2
UNTOLD_S = 0.3
"""How long is asked before it counts."""
REPORTED = 100
"""How many secrets a report tells of: as many as it may."""


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each (default {ROUNDS})")
    asked.add_argument("--seconds", type=int, default=SECONDS, help=f"of each round (default {SECONDS})")
    options = asked.parse_args()
    keep("attacks", measured(options.rounds, options.seconds))


def measured(rounds: int = ROUNDS, seconds: int = SECONDS) -> dict[str, Any]:
    """Measure on SQLite."""
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name, latchkey(Path(name)) as server:
        organisation = founded(server)
        os.sched_setaffinity(0, {LOAD_CORE})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measured(organisation, rounds, seconds))


async def _measured(organisation: Organisation, rounds: int, seconds: int) -> dict[str, Any]:
    viewer, figures = paths.viewer(organisation), {}
    # The server closes what is idle for five seconds.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2)) as session:
        for name, attack in _attacks(session, organisation).items():
            taken: dict[str, list[float]] = {"idle": [], "meanwhile": []}
            cpu_ms = await attack.alone(viewer.pids)
            for _ in range(rounds):
                for when, told in taken.items():
                    told.append(await _p99_ms(session, viewer, attack if when == "meanwhile" else None, seconds))
            medians = {f"{when}_p99_ms": round(statistics.median(each), 2) for when, each in taken.items()}
            figures[name] = {"bytes": len(attack.make()[0]), "cpu_ms": round(cpu_ms, 2), **medians}
            say(json.dumps({name: figures[name]}))
    return figures


def _attacks(session: aiohttp.ClientSession, organisation: Organisation) -> dict[str, "_Attack"]:
    bearer = {**JSON, "Authorization": f"Bearer {organisation.sessions['writer']}"}
    url = organisation.server.url
    asked = {name: _asking(session, f"{url}/graphql", bearer, hostile) for name, hostile in REQUESTS.items()}
    return {
        **asked,
        "wrong sign-ins from everywhere": _Attack(session, f"{url}/graphql", _sign_in, _is_refused),
        "reports of a hundred leaks": _Attack(session, f"{url}/tokens/revoke-leaked", _report, _is_taken),
    }


def _asking(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], hostile: Hostile) -> "_Attack":
    def is_right(said: Any) -> bool:  # noqa: ANN401 - JSON
        return bool(said["errors"][0]["extensions"]["code"] == hostile.code)

    return _Attack(session, url, lambda: (hostile.fresh(), headers), is_right)


def _sign_in() -> tuple[bytes, Mapping[str, str]]:
    """Guess at a member that there never was."""
    wrong = {"email": f"{secrets.token_hex(8)}@main.example", "password": secrets.token_hex(8)}
    return json.dumps({"query": SIGN_IN, "variables": {"input": wrong}}).encode(), _from_anywhere()


def _is_refused(said: Any) -> bool:  # noqa: ANN401 - JSON
    return bool(said["errors"][0]["extensions"]["code"] in {"UNAUTHENTICATED", "RATE_LIMITED"})


def _report() -> tuple[bytes, Mapping[str, str]]:
    """Report secrets that there never were."""
    made = [Secret.mint(SecretKind.PERSONAL).text for _ in range(REPORTED)]
    return json.dumps({"tokens": made}).encode(), _from_anywhere()


def _is_taken(said: Any) -> bool:  # noqa: ANN401 - JSON
    return bool(said == {"reported": REPORTED})


def _from_anywhere() -> Mapping[str, str]:
    """Headers of a request that a proxy passes on for somebody new."""
    return {**JSON, "X-Forwarded-For": f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"}


@dataclass(frozen=True, slots=True)
class _Attack:
    """Requests of one kind."""

    session: aiohttp.ClientSession
    url: str
    make: Callable[[], tuple[bytes, Mapping[str, str]]]
    """Gives a body and headers."""
    is_right: Callable[[Any], bool]
    """Says whether an answer is as it should be."""

    async def alone(self, pids: Sequence[int]) -> float:
        """Send some one after the other; gives the milliseconds of CPU that each takes the server."""
        await self.send()
        before = cpu_s(pids)
        for _ in range(ALONE):
            await self.send()
        return (cpu_s(pids) - before) / ALONE * 1e3

    async def send(self) -> None:
        """Send one. Raises RuntimeError unless it is answered as it should be."""
        body, headers = self.make()
        async with self.session.post(self.url, data=body, headers=headers) as response:
            said = await response.json()
        if not self.is_right(said):
            raise RuntimeError(f"{body[:100]!r} is answered {said!r}"[:1000])


async def _p99_ms(session: aiohttp.ClientSession, target: Target, attack: _Attack | None, seconds: int) -> float:
    """Ask at a fixed rate, without waiting for answers, while an attack goes on or nothing else does."""
    took_ms: list[float] = []
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        if attack is not None:
            for number in range(int(seconds / ATTACK_EVERY_S)):
                tasks.create_task(_at(begin + number * ATTACK_EVERY_S, attack.send()))
        for number in range(int(seconds / ASK_EVERY_S)):
            told = took_ms if number * ASK_EVERY_S > UNTOLD_S else []
            tasks.create_task(_at(begin + number * ASK_EVERY_S, _ask(session, target, told)))
    return statistics.quantiles(took_ms, n=100, method="inclusive")[98]


async def _at(due: float, sending: Any) -> None:  # noqa: ANN401 - a coroutine
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await sending


async def _ask(session: aiohttp.ClientSession, target: Target, told: list[float]) -> None:
    begin = time.perf_counter()
    async with session.post(target.url, data=target.body, headers=target.headers) as response:
        await response.read()
    told.append((time.perf_counter() - begin) * 1e3)
    if not response.ok:
        raise RuntimeError(f"{target.url} answers {response.status}")


if __name__ == "__main__":
    main()
