"""The lines of those whose password is looked at: they end somewhere, and who is known is not behind strangers."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from threading import Event

import pytest
from argon2 import PasswordHasher

from core.errors import RateLimited
from resolvers import passwords, sessions
from resolvers.attempts import HERE
from resolvers.background import NICENESS
from resolvers.callers import Request
from tests.organisation import PASSWORD, Organisation
from tests.resolvers.test_attempts import guess, noted
from tests.resolvers.test_sessions import EMAIL, joined
from tests.web.conftest import until

WAITING = 6
"""How many wait at most, in these tests."""


class Held:
    """The real hasher, which verifies nothing until it is told to go on."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.hasher = hasher
        self.goes_on = Event()
        self.begun: list[bytes] = []

    def hash(self, password: bytes) -> str:
        return self.hasher.hash(password)

    def verify(self, kept: str, password: bytes) -> bool:
        self.begun.append(password)
        self.goes_on.wait(60)
        return self.hasher.verify(kept, password)


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(passwords._hasher)  # noqa: SLF001 - wrapped to hold it up, and it works as ever
    monkeypatch.setattr(passwords, "_hasher", held)
    yield held
    held.goes_on.set()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING", WAITING)


def stranger(organisation: Organisation, number: int) -> Request:
    return replace(organisation.request, address=f"203.0.113.{number % 250}")


async def filled(organisation: Organisation, hasher: Held) -> list[asyncio.Task[str]]:
    """Have strangers guess, each with two hashes, until no more may wait."""
    guesses = []
    for number in range((passwords.AT_ONCE + WAITING) // sessions.UNNAMED):
        guesses.append(
            asyncio.create_task(guess(stranger(organisation, number), "a guess", f"stranger-{number}@example.com"))
        )
        await until(lambda: len(hasher.begun) == passwords.AT_ONCE)
    await until(lambda: passwords.STRANGERS.is_full)
    return guesses


async def test_beyond_the_end_of_the_line_everybody_is_refused_alike_and_it_counts_for_nothing(
    organisation: Organisation, hasher: Held, statements: list[str]
) -> None:
    await joined(organisation)
    guesses = await filled(organisation, hasher)
    async with asyncio.timeout(30):
        for email, password in ((EMAIL, PASSWORD), (EMAIL, "a guess"), ("nobody@example.com", "a guess")) * HERE.free:
            statements.clear()
            with pytest.raises(RateLimited) as refusal:
                await sessions.sign_in(stranger(organisation, 99), email, password)
            told = dict(refusal.value.extensions), len(statements)
            assert told == ({"code": "RATE_LIMITED", "retryAfter": 1}, 3)
    hasher.goes_on.set()
    async with asyncio.timeout(60):
        assert set(await asyncio.gather(*guesses)) == {"UNAUTHENTICATED"}
        assert await guess(stranger(organisation, 99), PASSWORD) == "in"


async def test_who_is_known_comes_before_all_strangers(organisation: Organisation, hasher: Held) -> None:
    hasher.goes_on.set()
    ada = await joined(organisation)
    assert await guess(organisation.request, PASSWORD) == "in", "so this is where she was before"
    on_her_device = replace(stranger(organisation, 99), device=await noted(organisation, ada))
    hasher.goes_on.clear()
    hasher.begun.clear()
    guesses = await filled(organisation, hasher)
    known = [asyncio.create_task(guess(each, PASSWORD)) for each in (on_her_device, organisation.request)]
    await until(lambda: len(passwords.KNOWN) == len(known) * sessions.UNNAMED)
    hasher.goes_on.set()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*known) == ["in", "in"]
        await asyncio.gather(*guesses)
    order = [password == PASSWORD.encode() for password in hasher.begun]
    assert order == [False] * passwords.AT_ONCE + [True] * 4 + [False] * WAITING


async def test_whoever_goes_on_guessing_keeps_no_known_device_out(organisation: Organisation) -> None:
    ada = await joined(organisation)
    on_her_device = replace(organisation.request, device=await noted(organisation, ada))
    answers: Counter[str] = Counter()

    async def go_on(first: int) -> None:
        for number in count(first, 8):
            email = EMAIL if number % 2 else f"{number}@example.com"
            answers[await guess(stranger(organisation, number), "a guess", email)] += 1
            await asyncio.sleep(0.01)

    guessing = [asyncio.create_task(go_on(number)) for number in range(8)]
    try:
        await until(lambda: answers["RATE_LIMITED"])
        for _ in range(3):
            assert await guess(on_her_device, PASSWORD) == "in"
    finally:
        for task in guessing:
            task.cancel()
        await asyncio.gather(*guessing, return_exceptions=True)
    assert set(answers) <= {"UNAUTHENTICATED", "RATE_LIMITED"}
    await until(lambda: not passwords.STRANGERS)
    assert await guess(organisation.request, PASSWORD, "owner@main.example") == "UNAUTHENTICATED", "there is room again"


async def test_hashes_leave_the_core_to_the_event_loop() -> None:
    await passwords.hashed(PASSWORD)
    workers = [each for each in threading.enumerate() if each.name.startswith("passwords")]
    niceness = {os.getpriority(os.PRIO_PROCESS, each.native_id or 0) for each in workers}
    assert niceness == {os.getpriority(os.PRIO_PROCESS, 0) + NICENESS}


async def test_whoever_has_left_is_not_worked_for(organisation: Organisation, hasher: Held) -> None:
    guesses = await filled(organisation, hasher)
    for task in guesses[1:]:
        task.cancel()
    await asyncio.gather(*guesses[1:], return_exceptions=True)
    hasher.goes_on.set()
    assert await guesses[0] == "UNAUTHENTICATED"
    await until(lambda: not passwords.STRANGERS)
    assert len(hasher.begun) == passwords.AT_ONCE
