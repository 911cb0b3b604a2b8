"""Asks Latchkey what a token may do. `latchkey_client.asgi` guards an ASGI application with the answer."""

from latchkey_client.answers import Answers, Decision, Verification, VerifiedMember, VerifiedToken
from latchkey_client.client import AsyncLatchkey, Latchkey
from latchkey_client.deeds import Deed
from latchkey_client.errors import BadInput, Forbidden, LatchkeyError, RateLimited, Unauthenticated, Unavailable

__all__ = [
    "Answers",
    "AsyncLatchkey",
    "BadInput",
    "Decision",
    "Deed",
    "Forbidden",
    "Latchkey",
    "LatchkeyError",
    "RateLimited",
    "Unauthenticated",
    "Unavailable",
    "Verification",
    "VerifiedMember",
    "VerifiedToken",
]
