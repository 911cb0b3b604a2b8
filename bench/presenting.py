"""Requests that are each made once, which `wrk` cannot: every one with another credential."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence

import aiohttp
import uvloop

from bench.load import LOAD_CORE, Measure, Target, cpu_s

TOGETHER = 16
"""How many are under way at a time."""


def presented(target: Target, header: str, values: Sequence[str]) -> Measure:
    """Ask once for each value of a header. Raises RuntimeError if any answer is not a 200."""
    os.sched_setaffinity(0, {LOAD_CORE})
    before, begin = cpu_s(target.pids), time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took_ms = sorted(runner.run(_presented(target, header, values)))
    took_s, spent_s = time.perf_counter() - begin, cpu_s(target.pids) - before
    count = len(took_ms)
    percentiles = (took_ms[min(count - 1, int(count * part))] for part in (0.5, 0.9, 0.99))
    return Measure(count / took_s, spent_s / count * 1e6, *percentiles)


async def _presented(target: Target, header: str, values: Sequence[str]) -> list[float]:
    left, took_ms = iter(values), list[float]()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(_one_by_one(session, target, header, left, took_ms) for _ in range(TOGETHER)))
    return took_ms


async def _one_by_one(
    session: aiohttp.ClientSession, target: Target, header: str, left: Iterator[str], took_ms: list[float]
) -> None:
    for value in left:
        begin = time.perf_counter()
        headers = {**target.headers, header: value}
        async with session.request(target.method, target.url, headers=headers, data=target.body or None) as response:
            await response.read()
        took_ms.append((time.perf_counter() - begin) * 1e3)
        if not response.ok:
            raise RuntimeError(f"{target.url} answers {response.status}")
