"""The end of all account-wide tokens, in the schema."""

from datetime import datetime

import strawberry

from core.vocabulary import Action
from resolvers import lists, retirement
from resolvers.pages import Window
from resolvers.retirement import Retirement
from schema import face
from schema.accounts import Account
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Rows, listed
from schema.context import Info
from schema.said import said
from schema.tokens import Token


@face.input_
class RetireLegacyTokensInput:
    """When all account-wide tokens end."""

    at: datetime | None = face.given(
        "From when on they are refused, each with a word on what to do instead; in the future. Null takes away a date "
        "that is still ahead."
    )
    dry_run: bool = face.given("Whether only to say which tokens that ends. Nothing changes.", default=False)
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.output
class RetireLegacyTokensPayload:
    """The date, and whom it ends."""

    retirement: strawberry.Private[Retirement]
    account: Account = face.shown("The account; in a dry run as it is.")
    count: int = face.shown(
        "How many living tokens the date ends, whether you see them or not; those that end earlier are not among them."
    )
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")

    @face.field()
    async def tokens(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Token] | None:
        """Those of them that you see, in the order of their import. `uses` and `origins` tell who would miss them."""
        window = Window.of(lists.by_id(), first, after, last, before)
        return await listed(info.context.caller, Rows("retired", self.retirement.seen), window, Token.of)


@strawberry.type
class RetirementMutations:
    """Ending account-wide tokens."""

    @face.mutation(Action.RETIRE_ACCOUNT_TOKENS)
    async def retire_legacy_tokens(
        self, info: Info, input: RetireLegacyTokensInput
    ) -> RetireLegacyTokensPayload | None:
        """Set when all account-wide tokens end. Until then each of their uses is answered with `Sunset`.

        The date may be moved while it is ahead. Once it has passed, it stays, and none is imported any more.
        """
        done = await retirement.retire(info.context.caller, input.at, said(input), dry_run=input.dry_run)
        return RetireLegacyTokensPayload(
            retirement=done,
            account=Account.of(done.account),
            count=done.count,
            audit_entry=AuditEntry.seen(info.context, done.entry),
        )
