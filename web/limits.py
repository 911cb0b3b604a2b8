"""What one request may ask for, and what one caller may spend. docs/limits.md tells of them all."""

from dataclasses import dataclass
from typing import Literal

Audience = Literal["nobody", "callers", "anyone"]
"""Who may ask what the schema is: `callers` are all who present a credential that works."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds: of one request, of what one caller may spend, and of connections that last."""

    body_bytes: int = 1 << 20
    """Of an HTTP body, and of one WebSocket frame."""
    text_length: int = 65536
    """Characters in a document. What is long belongs into variables, which are read much faster."""
    tokens: int = 1000
    """Lexical tokens in a document, comments included."""
    depth: int = 15
    """Fields within fields, through fragments."""
    aliases: int = 100
    directives: int = 100
    root_fields: int = 20
    """Distinct fields at the root of one operation, so that one request is not a thousand attempts to sign in."""
    fragments: int = 100
    selections: int = 5000
    """Fields once the fragments are put in. N of one name in one place count N * N: validation compares all pairs."""
    values: int = 20_000
    """Values in the variables, those within lists and objects included."""
    nesting: int = 100
    """Lists and objects within each other in the variables."""
    cost: int = 5000
    """Objects that one operation may resolve; see `web.costs`."""
    cost_a_minute: int | None = None
    """What the operations of one credential may cost together; None for as much as they like."""
    anonymous_cost: int = 100
    """As `cost`, of an operation that comes without a credential. Introspection, where that is open, is not in it."""
    anonymous_cost_a_minute: int = 3000
    """As `cost_a_minute`, of all that come from one address without a credential."""
    seconds: float = 30
    """How long a query may take, and how long after its beginning a mutation may begin another field."""
    running: int = 16
    """Operations of one credential that run at once. Others wait for their turn."""
    waiting: int = 128
    """How many wait, at most."""
    sockets: int = 100
    """WebSockets that one credential may hold open, or one address without a credential."""
    socket_operations: int = 100
    """How many may run at once on one WebSocket."""
    init_timeout_s: float = 10.0
    """Until a WebSocket has to be initialised."""
    idle_timeout_s: float = 300.0
    """Until a WebSocket on which nothing runs is closed."""
    head_bytes: int = 1 << 16
    """Of a request's head, or of what comes behind a body, beyond the piece of data in which it begins."""
    head_s: float = 10.0
    """Until a client has sent the head of a request, from its first byte on, or that byte on a new connection."""
    body_s: float = 30.0
    """Until it has sent a body, from the end of the head on."""
