"""What sends: how the operations see what posts to webhooks, and what mails. Only `web` knows how that is done."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail in plain text. Whoever gets it twice can tell by its id."""

    id: str
    to: str
    subject: str
    text: str


Post: TypeAlias = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Posts a body with headers to a URL; returns the status that was answered. Raises `Unsent`."""
Mail: TypeAlias = Callable[[Letter], Awaitable[None]]
"""Hands a letter to a mail server. Raises `Unsent`."""


class Unsent(Exception):
    """It could not be sent. The message says why in a few words, and may be shown."""


async def nowhere(url: str, headers: Mapping[str, str], body: bytes) -> int:  # noqa: ARG001 - as `Post`
    """Send nothing."""
    raise Unsent("this process sends nothing")
