"""Where signed heads and entries go, outside: what is kept there, whoever can change the database cannot change."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from models import now
from resolvers.sending import Post, Unsent

T = TypeVar("T")

_PRIORITY = 13 * 8 + 5
"""Facility 13, log audit; severity 5, notice."""
_PATIENCE_S = 10.0
_TAKEN = range(200, 300)
_DATAGRAM = 60_000
"""How many bytes of text a datagram takes for sure, a header beside it."""
_THREADS = ThreadPoolExecutor(32, "sinks")
"""Threads of their own: those that all share look up hosts, and places that do not answer would keep all of them."""


async def _apart(write: Callable[[T], None], what: T) -> None:
    await asyncio.get_running_loop().run_in_executor(_THREADS, write, what)


class Sink(Protocol):
    """A place that takes lines and never gives them back."""

    @property
    def longest(self) -> int | None:
        """How many bytes a line may have; None if that does not matter."""
        ...

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Hand lines over, in their order, without their ends. Raises OSError, and then they are handed over again."""
        ...


@dataclass(frozen=True, slots=True)
class FileSink:
    """A file that is only ever appended to. It is made for its owner's eyes only."""

    path: Path
    longest: ClassVar[None] = None

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Append lines, and wait until they are on the disk."""
        await _apart(self._append, b"".join(line + b"\n" for line in lines))

    def _append(self, text: bytes) -> None:
        file = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            flock(file, LOCK_EX)  # or what another is about to write looks torn; closing it unlocks it
            if self._is_torn():
                text = b"\n" + text
            while text:
                text = text[os.write(file, text) :]
            os.fsync(file)
        finally:
            os.close(file)

    def _is_torn(self) -> bool:
        """Say whether the last line has no end, as after a crash or on a disk that was full."""
        with suppress(OSError), self.path.open("rb") as file:
            return self.path.stat().st_size > 0 and bool(file.seek(-1, os.SEEK_END)) and file.read(1) != b"\n"
        return False


@dataclass(frozen=True, slots=True)
class SyslogSink:
    """A collector of syslog (RFC 5424): over TCP with counted octets (RFC 6587), over UDP, or at a Unix socket.

    It confirms nothing: what was sent counts as delivered.
    """

    scheme: str
    host: str
    port: int
    path: str
    message_id: str = "audit-head"

    @classmethod
    def parse(cls, url: str, message_id: str = "audit-head") -> "SyslogSink":
        """Read `tcp://host:601`, `udp://host:514` or `unix:///dev/log`. Raises ValueError."""
        parts = urlsplit(url)
        is_place = (
            bool(parts.path) if parts.scheme == "unix" else bool(parts.hostname and parts.port) and not parts.path
        )
        if parts.scheme not in {"tcp", "udp", "unix"} or not is_place or parts.query:
            raise ValueError("must be `tcp://host:port`, `udp://host:port` or `unix:///path`")
        return cls(parts.scheme, parts.hostname or "", parts.port or 0, unquote(parts.path), message_id)

    @property
    def longest(self) -> int | None:
        """How many bytes a line may have."""
        return None if self.scheme == "tcp" else _DATAGRAM

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Send each line as a message of its own."""
        await _apart(self._send, [self._message(line) for line in lines])

    def _send(self, messages: Sequence[bytes]) -> None:
        if self.scheme == "tcp":
            with closing(socket.create_connection((self.host, self.port), _PATIENCE_S)) as connection:
                connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            return
        family, address = self._place()
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(address)
            for message in messages:
                connection.send(message)

    def _place(self) -> tuple[socket.AddressFamily, Any]:
        if self.scheme == "unix":
            return socket.AF_UNIX, self.path
        family, *_, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        return family, address

    def _message(self, line: bytes) -> bytes:
        host, at = socket.gethostname() or "-", now().isoformat()
        return f"<{_PRIORITY}>1 {at} {host} latchkey {os.getpid()} {self.message_id} - ".encode() + line


@dataclass(frozen=True, slots=True)
class WebSink:
    """A URL that each line is posted to, as JSON. An answer of success says that it is kept."""

    url: str
    post: Post = field(repr=False)
    longest: ClassVar[None] = None

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Post each line, in their order."""
        for line in lines:
            try:
                status = await self.post(self.url, {"content-type": "application/json"}, line)
            except Unsent as unsent:
                raise OSError(str(unsent)) from None
            if status not in _TAKEN:
                raise OSError(f"the answer was {status}")
