"""What one request may ask for before anything is resolved."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one request, which up to `selections` are of its text alone, and of connections that last."""

    body_bytes: int = 1 << 20
    """Of an HTTP body, and of one WebSocket frame."""
    text_length: int = 65536
    """Characters in a document. What is long belongs into variables, which are read much faster."""
    tokens: int = 2000
    """Lexical tokens in a document, comments included."""
    depth: int = 15
    """Fields within fields, through fragments."""
    aliases: int = 100
    root_fields: int = 20
    """Distinct fields at the root of one operation, so that one request is not a thousand attempts to sign in."""
    fragments: int = 100
    selections: int = 5000
    """Fields once the fragments are put in. N of one name in one place count N * N: validation compares all pairs."""
    cost: int = 5000
    """Objects that one operation may resolve; see `web.costs`."""
    sockets: int = 100
    """WebSockets that one credential may hold open, or one address without a credential."""
    socket_operations: int = 100
    """How many may run at once on one WebSocket."""
    init_timeout_s: float = 10.0
    """Until a WebSocket has to be initialised."""
    idle_timeout_s: float = 300.0
    """Until a WebSocket on which nothing runs is closed."""
