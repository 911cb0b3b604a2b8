"""Accounts, made at the server's own terminal."""

from core.errors import Conflict
from models import Account
from resolvers import accounts
from resolvers.callers import Request


async def create(request: Request, key: str, name: str | None, owner_email: str) -> str:
    """Make an account; returns the one-time link of its owner. Raises `Invalid` and `Conflict`."""
    return _link((await accounts.create(request, key, name or key, owner_email)).secret)


async def create_first(request: Request, key: str, owner_email: str) -> str | None:
    """Make the first account of an empty database; returns its owner's link, or None if there are accounts."""
    if await Account.exists():
        return None
    try:
        return await create(request, key, None, owner_email)
    except Conflict:
        return None  # another server that started at the same time was first


def _link(secret: str | None) -> str:
    assert secret is not None  # noqa: S101 - who makes an account is always told the link
    return secret
