"""The account in the schema."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

from core.errors import NotFound
from core.vocabulary import Action
from models import Account as Row
from resolvers import accounts
from resolvers.accounts import AccountChange
from resolvers.callers import Caller
from schema import face, nodes
from schema.audit import AuditEntry
from schema.context import Info
from schema.nodes import Node
from schema.said import said


@face.output
class Account(Node):
    """The tenant: all you see belongs to it, and for you there is no other."""

    key: str = face.shown("The key by which it is named when signing in.")
    name: str = face.shown("What people call it.")
    created_at: datetime = face.shown("When it was made.")
    verdict_lifetime_s: int = face.shown(
        "For how many seconds integrations may go by a verdict without asking again, see `cacheUntil`. 0: not at all."
    )
    rate_limits: list[str] = face.shown(
        "How often all its tokens together may be used, such as `1000/minute`: every limit must leave room."
    )
    version: int = face.shown("Counts the changes of all that is in it; give it as `expectedVersion`.")

    @classmethod
    def of(cls, row: Row) -> "Account":
        """Show an account."""
        return cls(
            id=nodes.id_of("Account", row),
            key=row.key,
            name=row.name,
            created_at=row.created_at,
            verdict_lifetime_s=row.verdict_lifetime_s,
            rate_limits=row.rate_limits,
            version=row.version,
        )


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


@face.input_
class UpdateAccountInput:
    """What to change of the account; what is left out stays as it is."""

    name: strawberry.Maybe[str] = face.given("What people call it.", Action.UPDATE_ACCOUNT_NAME)
    verdict_lifetime_s: strawberry.Maybe[int] = face.given(
        "For how many seconds integrations may go by a verdict without asking again: 0 to 300. While they do, a "
        "revocation does not reach them.",
        Action.UPDATE_VERDICT_LIFETIME,
    )
    rate_limits: strawberry.Maybe[list[str] | None] = face.given(
        "How often all its tokens together may be used, such as `1000/minute`: up to 10 limits, of 1 to 100,000 a "
        "`second`, `minute`, `hour` or `day`. Null or empty: as often as they like.",
        Action.UPDATE_RATE_LIMITS,
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> AccountChange:
        """Read the change."""
        return AccountChange(
            name=self.name.value if self.name else None,
            verdict_lifetime_s=self.verdict_lifetime_s.value if self.verdict_lifetime_s else None,
            rate_limits=(self.rate_limits.value or []) if self.rate_limits else None,
        )


@face.output
class UpdateAccountPayload:
    """The account as it is now."""

    account: Account = face.shown("The account.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")


@strawberry.type
class AccountMutations:
    """Changing the account."""

    @face.mutation((Action.UPDATE_ACCOUNT_NAME, Action.UPDATE_VERDICT_LIFETIME, Action.UPDATE_RATE_LIMITS))
    async def update_account(self, info: Info, input: UpdateAccountInput) -> UpdateAccountPayload | None:
        """Change the account's settings. Each needs its own action."""
        done = await accounts.update(info.context.caller, input.wanted(), said(input))
        return UpdateAccountPayload(account=Account.of(done.row), audit_entry=AuditEntry.seen(info.context, done.entry))
