"""Passwords: argon2 in a thread, few at a time, and the same work for a member that does not exist."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import Type

T = TypeVar("T")

AT_ONCE = 2
"""How many hashes run at a time, in one process: each takes a core and 19 MiB for some 30 ms."""

SHORTEST, LONGEST = 12, 256
"""How many characters a password has."""

# OWASP's second recommended setting for Argon2id.
_hasher = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1, type=Type.ID)
_workers = ThreadPoolExecutor(AT_ONCE, "passwords")

NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$H5+rd4ekK05lTljGMlyMZw$j78biMXfPUk795uSQ3u/fMjq0RndTzMPZWxlpkJ6Cro"
"""A hash by the same settings, of a password that nobody knows."""


async def hashed(password: str) -> str:
    """Hash a password for keeping."""
    return await _in_turn(lambda: _hasher.hash(_bytes(password)))


async def holds(password: str, kept: str | None) -> bool:
    """Say whether a password is the kept one. Without a kept one the same work is done, for nothing.

    One that is too long to be anybody's is cut before it is looked at: composing letters takes time in the square.
    """
    if len(password) > LONGEST:
        password, kept = password[:LONGEST], None
    return await _in_turn(lambda: _verify(_bytes(password), kept or NOBODYS)) and kept is not None


async def _in_turn(work: Callable[[], T]) -> T:
    # Threads of our own bound the work also where those who asked for it have gone.
    return await asyncio.get_running_loop().run_in_executor(_workers, work)


def _verify(password: bytes, kept: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    # Keyboards differ in how they compose a letter; and no text a caller can send may be an error here.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
