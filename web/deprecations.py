"""How answers to account-wide tokens say that these are to go: RFC 9745 and RFC 8594.

`Deprecation: @1767225600` is when the token was imported, in seconds since 1970, and once it has an end,
`Sunset: Thu, 31 Dec 2026 23:59:59 GMT` is when that is.
"""

from collections.abc import Iterable
from datetime import UTC
from email.utils import format_datetime

from resolvers.deprecations import Deprecation
from web.answers import Header

EXPOSED = ("Deprecation", "Sunset")


def told(deprecations: Iterable[Deprecation]) -> list[Header]:
    """Write the headers that every answer to an account-wide token has. Both are rounded down to whole seconds."""
    headers = []
    for since, ends_at in deprecations:
        headers.append((b"deprecation", b"@%d" % since.timestamp()))
        if ends_at is not None:
            headers.append((b"sunset", format_datetime(ends_at.astimezone(UTC), usegmt=True).encode()))
    return headers
