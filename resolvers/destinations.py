"""Where notices may be delivered to: the public internet over TLS, and the networks that the settings allow."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from core.errors import Invalid
from core.networks import ANYWHERE, Networks, is_public, plain_address
from resolvers import input as typed

LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Destinations:
    """Which addresses may be reached. `allowed` are the networks beside the public internet, also without TLS."""

    allowed: Networks = field(default=ANYWHERE)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read the networks that are allowed. Raises `Invalid`."""
        return cls(Networks.parse(texts, "networks"))

    def admit(self, address: str, *, tls: bool) -> bool:
        """Say whether an address may be reached. What is no address may not."""
        try:
            plain = plain_address(address)
        except ValueError:
            return False
        return any(plain in block for block in self.allowed.blocks) or (tls and is_public(plain))

    def checked(self, field: str, url: str) -> str:
        """Take a URL, whose host is looked up only when something is delivered. Raises `Invalid` naming the field."""
        if len(url) > LONGEST or not url.isascii() or any(not "!" <= letter <= "~" for letter in url):
            raise Invalid(field, f"must be a URL of at most {LONGEST} printable ASCII characters")
        typed.refuse_secret(field, url)
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise Invalid(field, "must be a URL") from None
        if parts.scheme not in {"https", "http"} or not host:
            raise Invalid(field, "must begin with `https://` and a host")
        if "@" in parts.netloc or "#" in url:
            raise Invalid(field, "must hold neither a name with a password nor a fragment")
        if parts.scheme == "http" and not self.allowed.blocks:
            raise Invalid(field, "must begin with `https://`: the server's settings allow no network without TLS")
        if not all(self.admit(address, tls=parts.scheme == "https") for address in _written(host)):
            raise Invalid(field, "names an address that the server's settings do not let webhooks reach")
        return url


def _written(host: str) -> list[str]:
    """Read the address that a host is, in any of the ways that the system understands; none if it is a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]
