"""The account in the schema."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

from core.errors import NotFound
from core.vocabulary import Action
from models import Account as Row
from resolvers.callers import Caller
from schema import face, nodes
from schema.context import Info
from schema.nodes import Node


@face.output
class Account(Node):
    """The tenant: all you see belongs to it, and for you there is no other."""

    key: str = face.shown("The key by which it is named when signing in.")
    name: str = face.shown("What people call it.")
    created_at: datetime = face.shown("When it was made.")

    @classmethod
    def of(cls, row: Row) -> "Account":
        """Show an account."""
        return cls(id=nodes.id_of("Account", row), key=row.key, name=row.name, created_at=row.created_at)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    seen = str(caller.account.id) in keys and caller.sees(Action.VIEW_ACCOUNT, caller.account)
    return {str(caller.account.id): Account.of(caller.account)} if seen else {}


nodes.register("Account", _find, Account.of)


@strawberry.type
class AccountQueries:
    """Reading the account."""

    @face.field(Action.VIEW_ACCOUNT)
    def account(self, info: Info) -> Account | None:
        """The account you belong to."""
        caller = info.context.caller
        if not caller.sees(Action.VIEW_ACCOUNT, caller.account):
            raise NotFound
        return Account.of(caller.account)
