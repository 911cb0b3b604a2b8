"""What answers to account-wide tokens say of them: since when they are deprecated, and when they end."""

from datetime import datetime
from typing import NamedTuple

from models import Account, Token, TokenKind


class Deprecation(NamedTuple):
    """An account-wide token, deprecated since its import. `ends_at` is None while no end is set."""

    since: datetime
    ends_at: datetime | None


def of_token(token: Token, account: Account) -> tuple[Deprecation, ...]:
    """Read what is to be said of a token: nothing but for account-wide ones."""
    if token.kind is not TokenKind.ACCOUNT:
        return ()
    return (Deprecation(token.created_at, token.ends_at(account)),)
