"""The account in the schema."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import strawberry

from core.errors import NotFound
from core.vocabulary import Action
from models import Account as Row
from models import Token as TokenRow
from models import TokenKind
from resolvers import accounts, lifetimes, lists
from resolvers.accounts import AccountChange
from resolvers.callers import Caller
from resolvers.lifetimes import KINDS, NOTICE_S, Lifetime, LifetimesChange, Preview
from resolvers.pages import Window
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Rows, listed
from schema.context import Info
from schema.nodes import Node
from schema.said import said
from schema.tokens import Token

UPDATES = (
    Action.UPDATE_ACCOUNT_NAME,
    Action.UPDATE_VERDICT_LIFETIME,
    Action.UPDATE_RATE_LIMITS,
    Action.UPDATE_TOKEN_LIFETIMES,
    Action.UPDATE_TOKEN_LIMITS,
    Action.UPDATE_REUSE_RESPONSE,
)


@face.output
class TokenLifetime:
    """For how long tokens of a kind may live. Each time the end of one is set, it is reckoned from that moment."""

    maximum_s: int | None = face.shown("How many seconds ahead a token may end at most; null for any, or never.")
    default_s: int | None = face.shown(
        "In how many seconds a token ends where nothing is said when it is made; null for `maximumS`, or never; where "
        "an end is required, it has to be said then."
    )
    expiry_required: bool = face.shown("Whether a token must end: it is made with an end, and keeps one.")

    @classmethod
    def of(cls, lifetime: Lifetime) -> "TokenLifetime":
        """Show a lifetime."""
        return cls(maximum_s=lifetime.maximum_s, default_s=lifetime.default_s, expiry_required=lifetime.required)


@face.output
class TokenLifetimes:
    """For how long tokens may live."""

    personal: TokenLifetime = face.shown("Members' tokens.")
    service: TokenLifetime = face.shown("Service tokens.")

    @classmethod
    def of(cls, row: Row) -> "TokenLifetimes":
        """Show an account's lifetimes."""
        shown = [TokenLifetime.of(Lifetime.of(row, kind)) for kind in (TokenKind.PERSONAL, TokenKind.SERVICE)]
        return cls(personal=shown[0], service=shown[1])


@face.output
class Account(Node):
    """The tenant: all you see belongs to it, and for you there is no other."""

    row: strawberry.Private[Row]
    key: str = face.column("key", "The key by which it is named when signing in.")
    name: str = face.column("name", "What people call it.")
    created_at: datetime = face.column("created_at", "When it was made.")
    verdict_lifetime_s: int = face.column(
        "verdict_lifetime_s",
        "For how many seconds integrations may go by a verdict without asking again, see `cacheUntil`. 0: not at all.",
    )
    rate_limits: list[str] = face.column(
        "rate_limits",
        "How often all its tokens together may be used, such as `1000/minute`: every limit must leave room.",
    )
    max_tokens: int | None = face.column("max_tokens", "How many living tokens there may be; null for any number.")
    max_member_tokens: int | None = face.column(
        "max_member_tokens", "How many living personal tokens a member may have; null for any number."
    )
    revokes_reused: bool = face.column(
        "revokes_reused",
        "Whether a token is revoked, with all that was made with it, when a secret of it is presented after its grace.",
    )
    legacy_ends_at: datetime | None = face.column(
        "legacy_ends_at", "When account-wide tokens end, all of them; null if that is not said."
    )
    version: int = face.column("version", "Counts the changes of all that is in it; give it as `expectedVersion`.")

    @face.field()
    def token_lifetimes(self) -> TokenLifetimes:
        """For how long tokens may live."""
        return TokenLifetimes.of(self.row)

    @classmethod
    def of(cls, row: Row) -> "Account":
        """Show an account."""
        return cls(id=nodes.id_of("Account", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    seen = str(caller.account.id) in keys and caller.sees(Action.VIEW_ACCOUNT, caller.account)
    return {str(caller.account.id): Account.of(caller.account)} if seen else {}


nodes.register("Account", _find, Account.of)


@face.output
class EndingToken:
    """A token beyond the lifetimes that are wanted, and the end that it would get."""

    token: Token = face.shown("The token.")
    expires_at: datetime = face.shown("When it would end.")


@face.output
class TokensBeyond:
    """Whom lifetimes would hit."""

    preview: strawberry.Private[Preview]
    count: int = face.shown("How many tokens would get an end, whether you see them or not.")

    @face.field()
    async def tokens(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[EndingToken] | None:
        """Those of them that you see, in the order of their making."""
        ends = self.preview.cut.ends

        def ending(row: TokenRow) -> EndingToken:
            return EndingToken(token=Token.of(row), expires_at=ends[row.kind])

        window = Window.of(lists.by_id(), first, after, last, before)
        return await listed(info.context.caller, Rows("tokensBeyond", self.preview.seen), window, ending)


@face.input_
class TokenLifetimeInput:
    """For how long tokens of a kind may live; what is left out stays as it is, null takes it away."""

    maximum_s: strawberry.Maybe[int | None] = face.given(
        "How many seconds ahead a token may end at most, whenever its end is set: 60 to 315,360,000."
    )
    default_s: strawberry.Maybe[int | None] = face.given(
        "In how many seconds a token ends where nothing is said when it is made: 60 to 315,360,000."
    )
    expiry_required: strawberry.Maybe[bool] = face.given("Whether a token must end.")

    def wanted(self) -> dict[str, Any]:
        """Read what is given."""
        given = {"maximumS": self.maximum_s, "defaultS": self.default_s, "required": self.expiry_required}
        return {name: each.value for name, each in given.items() if each is not None}


@face.input_
class TokenLifetimesInput:
    """For how long tokens may live; what is left out stays as it is, null takes all limits of a kind away."""

    personal: strawberry.Maybe[TokenLifetimeInput | None] = face.given("Members' tokens.")
    service: strawberry.Maybe[TokenLifetimeInput | None] = face.given("Service tokens.")
    notice_s: int = face.given(
        "For how many seconds from now tokens beyond the new maximum live on at least, if they would: 0 to "
        "315,360,000, 14 days unless you say otherwise.",
        default=NOTICE_S,
    )

    def wanted(self) -> LifetimesChange:
        """Read the change."""
        given = {TokenKind.PERSONAL: self.personal, TokenKind.SERVICE: self.service}
        kinds = {kind: each.value.wanted() if each.value else None for kind, each in given.items() if each is not None}
        return LifetimesChange(kinds, self.notice_s)


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

    @face.field(Action.UPDATE_TOKEN_LIFETIMES)
    async def tokens_beyond(
        self,
        info: Info,
        token_lifetimes: Annotated[
            TokenLifetimesInput, strawberry.argument(description="The lifetimes, as `updateAccount` takes them.")
        ],
    ) -> TokensBeyond | None:
        """Say which tokens `updateAccount` would give an end if it set these lifetimes now. Nothing changes."""
        preview = await lifetimes.preview(info.context.caller, token_lifetimes.wanted())
        return TokensBeyond(preview=preview, count=preview.count)


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
    token_lifetimes: strawberry.Maybe[TokenLifetimesInput | None] = face.given(
        "For how long tokens may live; null takes all limits away. Tokens beyond a new maximum get an end, and each an "
        "audit entry: `tokensBeyond` shows them beforehand.",
        Action.UPDATE_TOKEN_LIFETIMES,
    )
    max_tokens: strawberry.Maybe[int | None] = face.given(
        "How many living tokens there may be, up to 1,000,000; null for any number. Those that there are stay.",
        Action.UPDATE_TOKEN_LIMITS,
    )
    max_member_tokens: strawberry.Maybe[int | None] = face.given(
        "How many living personal tokens a member may have, up to 1,000,000; null for any number. Those that there are "
        "stay.",
        Action.UPDATE_TOKEN_LIMITS,
    )
    revokes_reused: strawberry.Maybe[bool] = face.given(
        "Whether a token is revoked, with all that was made with it, when a secret of it is presented after its grace.",
        Action.UPDATE_REUSE_RESPONSE,
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> AccountChange:
        """Read the change."""
        limits = {"maxTokens": self.max_tokens, "maxMemberTokens": self.max_member_tokens}
        return AccountChange(
            name=self.name.value if self.name else None,
            verdict_lifetime_s=self.verdict_lifetime_s.value if self.verdict_lifetime_s else None,
            rate_limits=(self.rate_limits.value or []) if self.rate_limits else None,
            lifetimes=self._lifetimes(),
            limits={name: given.value for name, given in limits.items() if given is not None},
            revokes_reused=self.revokes_reused.value if self.revokes_reused else None,
        )

    def _lifetimes(self) -> LifetimesChange | None:
        if self.token_lifetimes is None:
            return None
        if self.token_lifetimes.value is None:
            return LifetimesChange(dict.fromkeys(KINDS))
        return self.token_lifetimes.value.wanted()


@face.output
class UpdateAccountPayload:
    """The account as it is now."""

    account: Account = face.shown("The account.")
    shortened_tokens: int = face.shown("How many tokens got an end, or an earlier one, by it.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")


@strawberry.type
class AccountMutations:
    """Changing the account."""

    @face.mutation(UPDATES)
    async def update_account(self, info: Info, input: UpdateAccountInput) -> UpdateAccountPayload | None:
        """Change the account's settings. Each needs its own action."""
        done = await accounts.update(info.context.caller, input.wanted(), said(input))
        entry = AuditEntry.seen(info.context, done.entry)
        return UpdateAccountPayload(account=Account.of(done.row), shortened_tokens=done.shortened, audit_entry=entry)
