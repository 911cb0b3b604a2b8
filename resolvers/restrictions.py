"""What restricts a token beside its rights: from where it may be used, and how often. A session is never restricted.

Restrictions are no rights: they decide whether a credential works at all, not what it may do.
"""

from dataclasses import dataclass
from uuid import UUID

from core import rates
from core.networks import ANYWHERE, Networks
from core.rates import Rate
from models import Account, Token, TokenKind


@dataclass(frozen=True, slots=True)
class Counted:
    """A limit, and whose uses count towards it: a token's, with all that was made with it, or a whole account's."""

    rate: Rate
    whose: UUID
    name: str
    """What it is called in answers."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Everything that restricts one token."""

    networks: Networks = ANYWHERE
    counted: tuple[Counted, ...] = ()


def networks_of(token: Token) -> Networks:
    """Read from where a token may be used."""
    return Networks.of(token.networks) if token.networks else ANYWHERE


async def of_token(token: Token, account: Account) -> Restrictions | None:
    """Read what restricts a token; None if nothing does, as of most."""
    if token.kind is TokenKind.SESSION or not (token.networks or token.rate_limits or account.rate_limits):
        return None
    shared = [Counted(rate, account.id, f"account:{rate}") for rate in rates.of(account.rate_limits)]
    return Restrictions(networks_of(token), (*await _family(token), *shared))


async def _family(token: Token) -> list[Counted]:
    """List the limits of a token and of those that it was made with: each use counts towards them all.

    Otherwise whoever has a limited token would have as many more as they make with it. What was made with a limited
    token is limited itself, so the first that is not ends the line.
    """
    counted: list[Counted] = []
    each: Token | None = token
    while each is not None and each.rate_limits:
        name = "token" if each is token else "parent"
        counted += [Counted(rate, each.id, f"{name}:{rate}") for rate in rates.of(each.rate_limits)]
        each = await Token.get_or_none(id=each.parent_id, account_id=token.account_id) if each.parent_id else None
    return counted
