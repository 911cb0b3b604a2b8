"""Accounts, made at the server's own terminal."""

from core.errors import Conflict, Invalid
from models import Account, ActorKind
from resolvers import accounts
from resolvers.callers import Caller, Request, with_credential


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


async def acting_in(request: Request, key: str | None) -> Caller:
    """Make the command line's caller in an account: the one of that key, or the only one there is.

    Raises `Invalid` and `Conflict`.
    """
    found = await (Account.all() if key is None else Account.filter(key=key)).order_by("key")
    if not found:
        raise Invalid("--account", "is no account" + (f": `{key}`" if key else ""))
    if len(found) > 1:
        keys = "`, `".join(account.key for account in found)
        raise Conflict(f"`--account` must say which one: `{keys}`")
    return await with_credential(found[0], request, ActorKind.COMMAND_LINE)


def _link(secret: str | None) -> str:
    assert secret is not None  # noqa: S101 - who makes an account is always told the link
    return secret
