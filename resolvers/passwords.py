"""Passwords: argon2 in a thread, few at a time, and the same work for a member that does not exist.

Two lines wait for it: strangers, and before them those who are known, by a session, a link, a device or a network.
"""

import asyncio
import unicodedata
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import Type

from core.errors import RateLimited
from core.secret import heard
from resolvers.background import stand_back

T = TypeVar("T")

AT_ONCE = 2
"""How many hashes run at a time, in one process: each takes a core and 19 MiB for some 30 ms."""
WAITING = 64
"""How many wait in a line before nobody else may join it: a second's work."""
RETRY_AFTER_S = 1

SHORTEST, LONGEST = 12, 256
"""How many characters a password has."""

# OWASP's second recommended setting for Argon2id.
_hasher = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1, type=Type.ID)
_workers = ThreadPoolExecutor(AT_ONCE, "passwords", stand_back)

NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$H5+rd4ekK05lTljGMlyMZw$j78biMXfPUk795uSQ3u/fMjq0RndTzMPZWxlpkJ6Cro"
"""A hash by the same settings, of a password that nobody knows."""


class Line:
    """Those who wait for their hash."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether as many wait as may."""
        return len(self) >= WAITING

    def require_room(self) -> None:
        """Raise `RateLimited` if the line is full."""
        if self.is_full:
            raise RateLimited(RETRY_AFTER_S, "passwords at once")

    def join(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have something done when its turn comes, unless nobody waits for it any more."""
        done: Future[T] = Future()

        def run() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(work())
                except Exception as error:  # noqa: BLE001 - told to whoever waits
                    done.set_exception(error)

        self._waiting.append(run)
        # Threads of our own bound the work also where those who asked for it have gone.
        _workers.submit(_run_next)
        return asyncio.wrap_future(done)

    def call(self) -> Callable[[], None]:
        """Take out whoever has waited for longest. Raises IndexError."""
        return self._waiting.popleft()


KNOWN, STRANGERS = Line(), Line()


def _run_next() -> None:
    """Work for one of those in line: done as often as anybody joins."""
    try:
        run = KNOWN.call()
    except IndexError:
        run = STRANGERS.call()
    run()


async def hashed(password: str) -> str:
    """Hash a password for keeping. Raises `RateLimited`."""
    KNOWN.require_room()
    heard(password)
    return await KNOWN.join(lambda: _hasher.hash(_bytes(password)))


def holds(password: str, kept: str | None, line: Line) -> asyncio.Future[bool]:
    """Join a line to say whether a password is the kept one. Without a kept one the same work is done, for nothing.

    One that is too long to be anybody's is cut before it is looked at: composing letters takes time in the square.
    """
    if len(password) > LONGEST:
        password, kept = password[:LONGEST], None
    heard(password)
    return line.join(lambda: _verify(_bytes(password), kept or NOBODYS) and kept is not None)


def _verify(password: bytes, kept: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    # Keyboards differ in how they compose a letter; and no text a caller can send may be an error here.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
