"""Requests and answers without ASGI: what may be answered at once, from memory, where the request was parsed."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple, Protocol

from starlette.types import Scope, Send
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE

from resolvers.callers import Lease
from resolvers.refusals import Refusal
from resolvers.uses import Use

ANSWERS_KEPT = 32_768
"""How many answers one memory keeps, each of some hundred bytes."""

ENDING = "ending"
"""Where the state of a request has an event to set when the server ends: it waits for all that ends by itself."""

LATE = "late"
"""Where it says that the rest of the body does not come in time."""

Header = tuple[bytes, bytes]


class Heard(NamedTuple):
    """A whole request, as it was sent. The names of headers are in lower case.

    What is to be answered at once has no other headers than those that the application says it reads.
    """

    peer: str | None
    method: str
    path: bytes
    query: bytes
    headers: Sequence[Header]
    body: bytes = b""

    @classmethod
    def of(cls, scope: Scope, body: bytes = b"") -> "Heard":
        """Read an ASGI scope."""
        peer = scope["client"][0] if scope["client"] else None
        return cls(peer, scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)

    @property
    def essence(self) -> bytes:
        """Write it all in one way: equal ones are equal questions."""
        told = [part for header in self.headers for part in header]
        size = b"%d" % len(self.body)  # the one part that may hold a NUL is at the end, and known by this
        parts = (size, str(self.peer).encode(), self.method.encode(), self.path, self.query, *told, self.body)
        return b"\0".join(parts)


def lines(headers: Sequence[Header]) -> bytes:
    """Write headers."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


@dataclass(frozen=True)
class Answer:
    """What is answered, all but the request's id, which goes into the last header.

    `request_id` is that of an answer to one request alone.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    id_name: bytes
    request_id: str = ""

    def beside(self, headers: Sequence[Header]) -> "Answer":
        """Give the same answer with more headers."""
        return replace(self, headers=(*self.headers, *headers)) if headers else self

    async def send(self, send: Send, request_id: str) -> None:
        """Answer as ASGI has it."""
        headers = [*self.headers, (self.id_name, request_id.encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    @cached_property
    def lines(self) -> bytes:
        """The headers as they are written, up to the request's id. Raises ValueError for what no header may hold."""
        if any(HEADER_VALUE_RE.search(value) for _, value in self.headers):
            raise ValueError("a header has a control character")
        return lines(self.headers) + self.id_name + b": "


class Party(NamedTuple):
    """A caller whom an answer depends on, by their lease, and the use of their token that giving it is."""

    lease: Lease
    use: Use


class Settled(NamedTuple):
    """An answer that memory gave. It holds as long as all its leases; without any, for now only."""

    answer: Answer
    parties: tuple[Party, ...] = ()
    refusal: Refusal | None = None
    """What it refuses, if that is to be recorded."""

    def note(self) -> "Settled":
        """Note that it is given."""
        for _, use in self.parties:
            use.note()
        if self.refusal is not None:
            self.refusal.note()
        return self


class Prompt(Protocol):
    """An application that answers some requests at once."""

    @property
    def reads(self) -> frozenset[bytes]:
        """The headers that these answers may depend on: it is shown no others."""
        ...

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer from memory and note the uses, or give None: then nothing was done, and ASGI's way answers."""
        ...


class Answers:
    """Answers that were given, each found by a digest of all that was asked, so that no credential is kept."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, Settled] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def digest(self, asked: bytes) -> bytes:
        """Digest a question."""
        return blake2b(asked, key=self._key, digest_size=32).digest()

    def find(self, digest: bytes) -> Settled | None:
        """Find the answer to what was asked before and note the uses, if it would still be given."""
        settled = self._kept.get(digest)
        if settled is None:
            return None
        for party in settled.parties:
            if not party.lease.holds:
                del self._kept[digest]
                return None
        self._kept.move_to_end(digest)
        return settled.note()

    def keep(self, digest: bytes, settled: Settled) -> None:
        """Keep an answer, in the place of an earlier one, unless it holds for now only."""
        if not settled.parties:
            return
        self._kept[digest] = settled
        self._kept.move_to_end(digest)
        if len(self._kept) > ANSWERS_KEPT:
            self._kept.popitem(last=False)

    def forget(self) -> None:
        """Forget them all."""
        self._kept.clear()
