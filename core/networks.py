"""From where a credential may be used: blocks of IPv4 and IPv6 addresses, or anywhere.

An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address, in blocks as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Self

from core.errors import Invalid

MOST = 50
"""How many blocks there may be."""

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""Where the last 32 bits are an IPv4 address that a translator sends to, as RFC 6052 has it."""
_UNICAST = IPv6Network("2000::/3")
_SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")))
"""What `ipaddress` may call global, but is the protocols' own, or leads to another address through a tunnel."""
_LONGEST = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")
_HOST_BITS = 64
"""How many bits of an IPv6 address whoever has a network fills as they like."""
_MAPPED_BITS = 96
"""How many bits of an IPv6 address come before the IPv4 one that is written in it."""


@dataclass(frozen=True)
class Networks:
    """The blocks of which an address must be in one. Without any, every address will do, and none."""

    blocks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, typed: Sequence[str], field: str) -> Self:
        """Read what a caller typed: blocks such as `192.0.2.0/24`, and addresses, which are blocks of one.

        Raises `Invalid` naming the item beneath `field`.
        """
        if len(typed) > MOST:
            raise Invalid(field, f"must hold at most {MOST}")
        return cls(tuple(dict.fromkeys(_block(text, f"{field}[{index}]") for index, text in enumerate(typed))))

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Read what `texts` gave."""
        return cls(tuple(ip_network(text) for text in texts))

    @property
    def texts(self) -> list[str]:
        """Each block as everybody writes it."""
        return [str(block) for block in self.blocks]

    def holds(self, address: str | None) -> bool:
        """Say whether something may come from an address. What is unknown, or is no address, is in no block."""
        if not self.blocks:
            return True
        try:
            given = plain_address(address or "")
        except ValueError:
            return False
        return any(given in block for block in self.blocks)

    def within(self, wider: "Networks") -> bool:
        """Say whether every address that is in these is also in the wider ones."""
        if not wider.blocks:
            return True
        return bool(self.blocks) and all(any(_is_in(block, one) for one in wider.collapsed) for block in self.blocks)

    @cached_property
    def collapsed(self) -> tuple[Network, ...]:
        """The same in as few blocks as can be: what is in all of them together is in one of these."""
        four = [block for block in self.blocks if isinstance(block, IPv4Network)]
        six = [block for block in self.blocks if isinstance(block, IPv6Network)]
        return (*collapse_addresses(four), *collapse_addresses(six))


ANYWHERE = Networks()


def plain_address(text: str) -> Address:
    """Read an address: one of IPv4's in IPv4's own words, and without its scope, which may be any text.

    A socket that listens on IPv6 shows IPv4 peers as addresses of IPv6. Raises ValueError for what is no address.
    """
    address = ip_address(text)
    return address.ipv4_mapped or IPv6Address(int(address)) if isinstance(address, IPv6Address) else address


def neighbourhood(address: str | None) -> str:
    """Say in which network one who came from an address may have any other: in 64 bits of IPv6, and none of IPv4.

    Those of whom no address is known are in one.
    """
    try:
        given = plain_address(address or "")
    except ValueError:
        return address or "-"
    if isinstance(given, IPv4Address):
        return str(given)
    return str(IPv6Address(int(given) >> _HOST_BITS << _HOST_BITS))


def is_public(address: Address) -> bool:
    """Say whether an address is of the public internet, and leads to no other one that is not."""
    if isinstance(address, IPv6Address) and address in _TRANSLATED:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return is_public(address.ipv4_mapped)
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    special = address.is_multicast or address.is_reserved or any(address in block for block in _SPECIAL)
    return address.is_global and not special


def _block(text: str, field: str) -> Network:
    address, slash, bits = text.partition("/")
    if len(text) > _LONGEST or "%" in address or (slash and not bits.isdecimal()):
        raise _not_a_block(text, field)
    try:
        network = ip_network(text, strict=False)
        given = ip_address(address)
    except ValueError:
        raise _not_a_block(text, field) from None
    plain = _plain(network)
    if given != network.network_address:
        raise Invalid(field, f"has bits set beyond its length: `{text}`; the network is `{plain}`")
    return plain


def _not_a_block(text: str, field: str) -> Invalid:
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return Invalid(field, f"must be a network such as `192.0.2.0/24` or `2001:db8::/32`, or an address: `{shown}`")


def _plain(network: Network) -> Network:
    if isinstance(network, IPv4Network):
        return network
    mapped = network.network_address.ipv4_mapped
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def _is_in(block: Network, whole: Network) -> bool:
    return type(block) is type(whole) and block.subnet_of(whole)  # type: ignore[arg-type] # of one version, as asked
