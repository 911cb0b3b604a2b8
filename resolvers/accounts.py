"""Accounts: made on the command line, each with its owner and the link that lets them in."""

from collections.abc import Sequence
from dataclasses import dataclass

from tortoise.exceptions import IntegrityError

from core import chain, rates
from core.errors import Conflict, Invalid
from core.vocabulary import Action, BuiltInRole
from models import Account, ActorKind, AuditHead, Member, new_id
from resolvers import input as typed
from resolvers.callers import Caller, Request, with_credential
from resolvers.members import write_link
from resolvers.writing import At, Done, Said, asked_for, change

MAX_VERDICT_LIFETIME_S = 300


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What to change of an account; what is None stays as it is. The key is for good."""

    name: str | None = None
    verdict_lifetime_s: int | None = None
    rate_limits: Sequence[str] | None = None


async def create(request: Request, key: str, name: str, owner_email: str) -> Done[Account]:
    """Make an account and invite its owner. The answer's secret is the owner's link, shown once."""
    account = Account(id=new_id(), key=typed.key("key", key), name=typed.name("name", name))
    email, email_key = typed.email("ownerEmail", owner_email)
    owner = Member(account_id=account.id, email=email, email_key=email_key, base_role=BuiltInRole.OWNER)
    head = AuditHead(account_id=account.id, seal=chain.genesis(str(account.id)))
    caller = await with_credential(account, request, ActorKind.COMMAND_LINE)
    async with change(caller, Action.CREATE_ACCOUNT, account, head=head) as deed:
        try:
            await account.save()
        except IntegrityError:  # asking first would not see one that is being made at the same time
            raise Conflict(f"`key` is taken: `{account.key}`", field="key") from None
        await owner.save()
        link = await write_link(deed.caller, owner)
        deed.note({}, {"owner": str(owner.id), "ownerEmail": owner.email})
    return Done(account, deed.entry, link)


async def update(caller: Caller, wanted: AccountChange, said: Said) -> Done[Account]:
    """Change the caller's account. Each field needs its own action."""
    async with change(caller, _actions(wanted), At(Account, caller.account.id), said) as deed:
        account = deed.row
        if wanted.name is not None:
            account.name = typed.name("name", wanted.name)
        if wanted.verdict_lifetime_s is not None:
            if not 0 <= wanted.verdict_lifetime_s <= MAX_VERDICT_LIFETIME_S:
                raise Invalid("verdictLifetimeS", f"must be from 0 to {MAX_VERDICT_LIFETIME_S} seconds")
            account.verdict_lifetime_s = wanted.verdict_lifetime_s
        if wanted.rate_limits is not None:
            account.rate_limits = [str(rate) for rate in rates.parse(wanted.rate_limits, "rateLimits")]
        await account.save(update_fields=["name", "verdict_lifetime_s", "rate_limits"])
    return Done(deed.row, deed.entry)


def _actions(wanted: AccountChange) -> list[Action]:
    return asked_for(
        (Action.UPDATE_ACCOUNT_NAME, wanted.name is not None),
        (Action.UPDATE_VERDICT_LIFETIME, wanted.verdict_lifetime_s is not None),
        (Action.UPDATE_RATE_LIMITS, wanted.rate_limits is not None),
    )
