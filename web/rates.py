"""How the limits of a token stand, as answers tell it: draft-ietf-httpapi-ratelimit-headers, version 10.

`RateLimit-Policy: "token:100/minute";q=100;w=60` says what may be used in how many seconds, and
`RateLimit: "token:100/minute";r=41;t=7` how much of it is left, and in how many seconds there is more.
"""

from collections.abc import Iterator, Sequence

from resolvers.rates import Standing

Header = tuple[bytes, bytes]

EXPOSED = ("Retry-After", "RateLimit", "RateLimit-Policy")


def told(standings: Sequence[Standing], retry_after_s: int | None = None) -> list[Header]:
    """Write the headers that every answer to a limited token has, and when to try again; none for any other."""
    return list(_told(standings, retry_after_s)) if standings or retry_after_s is not None else []


def _told(standings: Sequence[Standing], retry_after_s: int | None) -> Iterator[Header]:
    if standings:
        policies = [f'"{each.name}";q={each.rate.amount};w={each.rate.window_s}' for each in standings]
        left = [f'"{each.name}";r={each.remaining};t={each.reset_s}' for each in standings]
        yield b"ratelimit-policy", ", ".join(policies).encode()
        yield b"ratelimit", ", ".join(left).encode()
    if retry_after_s is not None:
        yield b"retry-after", b"%d" % retry_after_s
