"""How this server is known to its OpenID provider, and what may go wrong between the two."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Relying:
    """One client of a provider's. `issuer` is what the provider calls itself, to the letter."""

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    name: str = "OpenID"
    """What people call the provider."""
    email_claim: str = "email"
    """The claim that the e-mail address of a member stands in."""
    trusts_email: bool = False
    """Whether an address is believed of which the provider does not say whether it was verified."""


class Unreachable(Exception):
    """The provider does not answer, or not as OpenID Connect has it. The message repeats nothing of what it sent."""


class Untrusted(Exception):
    """What came back proves nothing. The message says why, and repeats nothing of it either."""


def checked_issuer(url: str) -> str:
    """Take what a provider calls itself. Raises ValueError."""
    parts = urlsplit(url)
    if not url.isascii() or not url.isprintable() or " " in url or parts.query or "#" in url or "?" in url:
        raise ValueError("must be a URL without a query")
    if not is_private(url):
        raise ValueError("must begin with `https://`, or with `http://` if it is on this very machine")
    return url


def is_private(url: str) -> bool:
    """Say whether nobody between here and there reads what is asked at a URL, or answers in its place."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
