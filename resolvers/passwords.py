"""Passwords: argon2 in a thread, few at a time, and the same work for a member that does not exist."""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import Type

AT_ONCE = 2
"""How many hashes run at a time, in one process: each takes a core and 19 MiB for some 30 ms."""

# OWASP's second recommended setting for Argon2id.
_hasher = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1, type=Type.ID)
_gates: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


async def hashed(password: str) -> str:
    """Hash a password for keeping."""
    async with _gate():
        return await asyncio.to_thread(_hasher.hash, password)


async def holds(password: str, kept: str | None) -> bool:
    """Say whether a password is the kept one. Without a kept one the same work is done, for nothing."""
    async with _gate():
        return await asyncio.to_thread(_verify, password, kept)


def _verify(password: str, kept: str | None) -> bool:
    try:
        _hasher.verify(kept or _nobodys(), password)
    except VerificationError:
        return False
    return kept is not None


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")


def _gate() -> asyncio.Semaphore:
    return _gates.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))
