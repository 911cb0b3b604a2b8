"""What Latchkey refuses, by its `extensions.code`, and that it cannot be reached."""

from collections.abc import Mapping
from typing import Any


class LatchkeyError(Exception):
    """The question was not answered. `code` is Latchkey's word for why, `extensions` all that stands beside it."""

    def __init__(self, message: str, code: str = "INTERNAL", extensions: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.extensions = extensions or {}


class Unauthenticated(LatchkeyError):
    """The client's own token is dead, unknown or malformed."""


class Forbidden(LatchkeyError):
    """The client's own token may not do this."""

    @property
    def action(self) -> str | None:
        """The action that it would need."""
        return self.extensions.get("action")

    @property
    def resource(self) -> str | None:
        """On what, if that may be told."""
        return self.extensions.get("resource")


class BadInput(LatchkeyError):
    """Something in the question is wrong."""

    @property
    def field(self) -> str | None:
        """The path of what is wrong, in camelCase."""
        return self.extensions.get("field")


class RateLimited(LatchkeyError):
    """Too many attempts."""

    @property
    def retry_after(self) -> int:
        """After how many seconds the next may succeed."""
        return int(self.extensions.get("retryAfter", 1))


class Unavailable(LatchkeyError):
    """Latchkey cannot be reached, failed, or something else answered in its place."""


_KINDS = {
    "UNAUTHENTICATED": Unauthenticated,
    "FORBIDDEN": Forbidden,
    "BAD_USER_INPUT": BadInput,
    "RATE_LIMITED": RateLimited,
    "INTERNAL": Unavailable,
    "UNAVAILABLE": Unavailable,
}


def told(error: Mapping[str, Any]) -> LatchkeyError:
    """Make the exception of an entry of a response's `errors`; other codes make a plain `LatchkeyError`."""
    extensions = error.get("extensions") or {}
    code = str(extensions.get("code", "INTERNAL"))
    return _KINDS.get(code, LatchkeyError)(str(error["message"]), code, extensions)
