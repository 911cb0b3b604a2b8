"""Members, let in from the server's own terminal."""

from core.errors import Conflict, Invalid
from models import Account, ActorKind, Member, MemberState
from resolvers import identities, members
from resolvers import input as typed
from resolvers.callers import Request, with_credential
from resolvers.writing import Said


async def link(request: Request, email: str, account_key: str | None) -> str:
    """Make a new one-time link for a member. Raises `Invalid` if nobody has the address, `Conflict` if several do."""
    member = await _named(email, account_key)
    caller = await with_credential(member.account, request, ActorKind.COMMAND_LINE)
    url = (await members.create_link(caller, member.id, Said())).secret
    assert url is not None  # noqa: S101 - what create_link makes
    return url


async def unbind(request: Request, email: str, account_key: str | None) -> str:
    """Forget who a member is at the OpenID provider; returns what to say. Raises as `link` does."""
    member = await _named(email, account_key)
    caller = await with_credential(member.account, request, ActorKind.COMMAND_LINE)
    done = await identities.unbind(caller, member.id, Said())
    if done.entry is None:
        return f"`{member.email}` is bound to no identity"
    return f"whoever signs in with the verified address `{member.email}` next is that member"


async def _named(email: str, account_key: str | None) -> Member:
    _, email_key = typed.email("EMAIL", email)
    if account_key is not None and not await Account.filter(key=account_key).exists():
        raise Invalid("--account", f"is no account: `{account_key}`")
    among = Member.filter(email_key=email_key).exclude(state=MemberState.REMOVED).select_related("account")
    found = [member for member in await among if account_key in (None, member.account.key)]
    if not found:
        raise Invalid("EMAIL", f"is no member's: `{email}`")
    if len(found) > 1:
        keys = "`, `".join(sorted(member.account.key for member in found))
        raise Conflict(f"`--account` must say which one: `{keys}`")
    return found[0]
