"""What is done beside requests goes on after a round that met no database; what does not go on is told at once."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import ModuleType

import pytest

from resolvers import announcing, heads, pruning, scoring
from resolvers.background import beside
from resolvers.house import House
from tests.organisation import Organisation
from tests.resolvers.conftest import Away

ROUNDS: list[tuple[ModuleType, Callable[[House], AbstractAsyncContextManager[None]], str]] = [
    (announcing, announcing.announcing, "LOOK_EVERY_S"),
    (heads, heads.signing, "PAUSE_S"),
    (pruning, pruning.retaining, "PAUSE_S"),
    (scoring, scoring.scoring, "EVERY_S"),
]
"""What is done in rounds, and the name of how long it pauses between two."""


@pytest.mark.parametrize("rounds", ROUNDS, ids=lambda rounds: rounds[0].__name__)
async def test_a_round_without_a_database_is_told_and_done_again(
    organisation: Organisation,
    away: Away,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rounds: tuple[ModuleType, Callable[[House], AbstractAsyncContextManager[None]], str],
) -> None:
    module, running, pause = rounds
    monkeypatch.setattr(module, pause, 0.01)
    house = replace(organisation.house, retention_days=30, heads_every_s=3600)
    with away():
        async with running(house), asyncio.timeout(10):
            while len(caplog.records) < 3:  # noqa: ASYNC110 - what another task logs
                await asyncio.sleep(0.01)
    assert {(record.name, record.levelno) for record in caplog.records} == {(module.__name__, logging.WARNING)}


@pytest.mark.usefixtures("database", "sqlite")
async def test_what_ends_by_an_exception_is_told_at_once_and_the_end_waits_for_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = asyncio.Event()

    async def breaks() -> None:
        raise LookupError("nobody expected that")

    async def lasts() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    async def both() -> None:
        async with beside(breaks(), lasts()):
            await asyncio.sleep(0.01)
            [record] = caplog.records
            assert "breaks` has ended, and is not done again until a restart" in record.getMessage()
            assert "nobody expected that" in caplog.text

    with pytest.raises(LookupError):
        await both()
    assert ended.is_set()
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("database", "sqlite")
async def test_what_is_cancelled_at_the_end_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    async with beside(asyncio.sleep(60), asyncio.sleep(0)):
        await asyncio.sleep(0.01)
    assert not caplog.records
