"""Network addresses in columns of text, found by address and by block."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from tortoise.expressions import Q

from core.errors import Invalid
from core.networks import Network, Networks
from resolvers.conditions import Condition, some

_MAPPED = "::ffff:"
"""What comes before an IPv4 address that was written down as an IPv6 one."""
_BITS = 8
"""Of each of the numbers that an IPv4 address is written with."""
_LISTED = 25
"""From how long a prefix on a block's addresses are listed one by one, 128 at most."""


def within(field: str, column: str, typed: str) -> Condition:
    """Find rows by an address, or by a block of IPv4 addresses. Raises `Invalid`."""
    block = _block(typed)
    if block is None or (block.prefixlen < block.max_prefixlen and not isinstance(block, IPv4Network)):
        raise Invalid(field, "must be an address, or a block of IPv4 addresses such as `192.0.2.0/24`")
    if not isinstance(block, IPv4Network):
        return Q(**{column: str(block.network_address)})
    if block.prefixlen >= _LISTED:
        listed: Any = [f"{before}{each}" for each in block for before in ("", _MAPPED)]
        return Q(**{f"{column}__in": listed})
    if block.prefixlen == 0:
        return Q(**{f"{column}__contains": "."})
    beginnings = (f"{before}{begin}" for begin in _beginnings(block) for before in ("", _MAPPED))
    return some(Q(**{f"{column}__startswith": begin}) for begin in beginnings)


def spelled(typed: str) -> list[str]:
    """Give the texts that one address may be kept as; none for a block, and for what is neither."""
    block = _block(typed)
    if block is None or block.prefixlen < block.max_prefixlen:
        return []
    address = str(block.network_address)
    return [address, f"{_MAPPED}{address}"] if isinstance(block, IPv4Network) else [address]


def _block(typed: str) -> Network | None:
    try:
        return Networks.parse([typed], "").blocks[0]
    except Invalid:
        return None


def _beginnings(block: IPv4Network) -> Iterator[str]:
    """Give the texts that the addresses of a block begin with, each up to a dot: 128 of them at most."""
    numbers = -(-block.prefixlen // _BITS)
    for part in block.subnets(new_prefix=numbers * _BITS):
        yield ".".join(str(part.network_address).split(".")[:numbers]) + "."
