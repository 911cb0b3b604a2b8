"""Posts to webhooks: to checked addresses alone, following no redirect, and waiting for no more than a status."""

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from resolvers.destinations import Destinations
from resolvers.sending import Unsent

TIMEOUT_S = 15
"""From looking up the name to the head of the answer. Its body is not read."""
USER_AGENT = "Latchkey"


class Poster:
    """Posts over a connection of its own each time, so that each time the address is checked."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._tls = httpcore2.default_ssl_context()

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post a body; returns the status of the answer. Raises `Unsent`."""
        parts = urlsplit(url)
        checked = _Checked(self._destinations, tls=parts.scheme == "https")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")  # httpcore's own lacks parameters
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpcore2.AsyncConnectionPool(ssl_context=self._tls, network_backend=checked) as pool,
                pool.stream(
                    "POST",
                    url,
                    headers=[("user-agent", USER_AGENT), *headers.items()],
                    content=body,
                    extensions={"target": target},
                ) as answer,
            ):
                return answer.status
        except (TimeoutError, httpcore2.TimeoutException):
            raise Unsent(f"there was no answer within {TIMEOUT_S} s") from None
        except httpcore2.NetworkError as error:
            raise Unsent(f"it did not answer: {str(error) or type(error).__name__}") from None
        except httpcore2.ProtocolError:  # whose words may repeat what was answered, whatever service that was
            raise Unsent("it did not answer as HTTP has it") from None


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to a host only if all its addresses may be reached, and to none but those that were checked."""

    def __init__(self, destinations: Destinations, *, tls: bool) -> None:
        self._destinations = destinations
        self._tls = tls
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that lets us."""
        addresses = await _addresses(host, port)
        if not addresses or not all(self._destinations.admit(address, tls=self._tls) for address in addresses):
            # One answer for both, or it would tell which names there are within.
            raise Unsent("its name is unknown, or leads to where the server's settings do not let webhooks reach")
        for address in addresses[:-1]:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._plain.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


async def _addresses(host: str, port: int) -> list[str]:
    """Look up a host; it has none if it is unknown."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
