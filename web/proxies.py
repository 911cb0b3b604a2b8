"""Which peers are proxies that tell the truth about their clients, and what a request's client address then is."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv6Network, ip_network
from typing import Self

from core.networks import Address, plain_address

LOOPBACK = ("127.0.0.0/8", "::1")


class Proxies:
    """The trusted ones among all peers, by network."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ip_network(network) for network in networks)
        self.trusts = lru_cache(maxsize=1024)(self._trusts)
        self.client_of = lru_cache(maxsize=1024)(self._client_of)

    @classmethod
    def parse(cls, typed: Sequence[str]) -> Self:
        """Read networks and addresses. Raises ValueError naming the one that is neither."""
        for text in typed:
            try:
                network = ip_network(text)
            except ValueError as problem:
                raise ValueError(f"must be addresses or networks such as `10.0.0.0/8`: {problem}") from None
            if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
                raise ValueError(f"must name IPv4 networks in IPv4's own words: `{text}`")
        return cls(typed)

    def _trusts(self, peer: str | None) -> bool:
        """Say whether a peer is believed. One without an address, as of a Unix socket, is not."""
        address = _address(peer or "")
        return address is not None and self._holds(address)

    def _holds(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _client_of(self, peer: str | None, forwarded_for: str) -> str | None:
        """Say where a request comes from: the last address in `X-Forwarded-For` that is no trusted proxy's.

        Whoever is not trusted is the client, whatever they say. If all are trusted, it is the first. None if it cannot
        be told.
        """
        if not self.trusts(peer):
            return _plain(peer)
        client = _plain(peer)
        for told in reversed(forwarded_for.split(",") if forwarded_for else ()):
            address = _address(_without_port(told.strip()))
            if address is None:
                return None
            client = str(address)
            if not self._holds(address):
                break
        return client


def _plain(peer: str | None) -> str | None:
    address = _address(peer or "")
    return peer if address is None else str(address)


def _address(text: str) -> Address | None:
    try:
        return plain_address(text)
    except ValueError:
        return None


def _without_port(told: str) -> str:
    """Take the address out of `192.0.2.1:4711` and `[2001:db8::1]:4711`, as some proxies write it."""
    if told.startswith("["):
        return told[1:].partition("]")[0]
    return told.partition(":")[0] if told.count(":") == 1 else told
