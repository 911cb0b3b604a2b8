"""Accounts: made on the command line, each with its owner and the link that lets them in."""

from core import chain
from core.errors import Conflict
from core.vocabulary import Action, BuiltInRole
from models import Account, ActorKind, AuditHead, Member, new_id
from resolvers import input as typed
from resolvers.callers import Request, with_credential
from resolvers.members import write_link
from resolvers.writing import Done, change


async def create(request: Request, key: str, name: str, owner_email: str) -> Done[Account]:
    """Make an account and invite its owner. The answer's secret is the owner's link, shown once."""
    account = Account(id=new_id(), key=typed.key("key", key), name=typed.name("name", name))
    email, email_key = typed.email("ownerEmail", owner_email)
    owner = Member(account_id=account.id, email=email, email_key=email_key, base_role=BuiltInRole.OWNER)
    head = AuditHead(account_id=account.id, seal=chain.genesis(str(account.id)))
    caller = await with_credential(account, request, ActorKind.COMMAND_LINE)
    async with change(caller, Action.CREATE_ACCOUNT, account, head=head) as deed:
        if await Account.filter(key=account.key).exists():
            raise Conflict(f"`key` is taken: `{account.key}`", field="key")
        await account.save()
        await owner.save()
        link = await write_link(deed.caller, owner)
        deed.note({}, {"owner": str(owner.id), "ownerEmail": owner.email})
    return Done(account, deed.entry, link)
