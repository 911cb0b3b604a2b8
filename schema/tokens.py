"""Tokens in the schema: listed, made, changed, reset, revoked."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from tortoise.queryset import QuerySet

from core.errors import Invalid
from core.law import SideKind
from core.vocabulary import Action, BuiltInRole
from models import AuditEntry as EntryRow
from models import Member as MemberRow
from models import Token as Row
from models import TokenAccess as AccessRow
from models import TokenKind as RowKind
from models import TokenOrigin as OriginRow
from models import TokenState, now
from resolvers import access, entries, lists, tokens, usage
from resolvers import input as typed
from resolvers.access import Effective, Exceeding, RoleWords
from resolvers.callers import Caller
from resolvers.entries import EntryFilter
from resolvers.lists import TokenFilter
from resolvers.pages import Order, Window
from resolvers.reading import readable, require_all
from resolvers.scopes import Scope, tried
from resolvers.tokens import NewToken, TokenChange
from resolvers.usage import Counts
from resolvers.writing import Done
from schema import audit, face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Nested, OrderDirection, Rows, beneath, listed
from schema.context import Context, Info
from schema.nodes import Node
from schema.permissions import needs
from schema.policies import EffectiveRole, Statement, StatementInput, named
from schema.roles import Role
from schema.said import said

if TYPE_CHECKING:
    from schema.members import Member

UPDATES = (
    Action.UPDATE_ACCESS_TOKEN_NAME,
    Action.UPDATE_ACCESS_TOKEN_DESCRIPTION,
    Action.UPDATE_ACCESS_TOKEN_POLICY,
    Action.UPDATE_ACCESS_TOKEN_EXPIRY,
    Action.UPDATE_ACCESS_TOKEN_RESTRICTIONS,
    Action.UPDATE_ACCESS_TOKEN_RESPONSIBLE,
)


MOST_COUNTED = 2**31 - 1
"""What GraphQL's `Int` holds; what is counted further shows as this."""
DAILY_SIZE = ORIGINS_SIZE = ACCESSES_SIZE = 20
"""How long the lists of uses are taken to be."""


@face.choice(
    PERSONAL="A member's: never able to do more than they may now.",
    SERVICE="The account's: bounded by its maker's rights of that day.",
    ACCOUNT="A legacy account-wide one, imported. Flagged for deletion.",
)
class TokenKind(StrEnum):
    """Whose a token is."""

    PERSONAL = "PERSONAL"
    SERVICE = "SERVICE"
    ACCOUNT = "ACCOUNT"


@face.choice(
    BUILT_IN="As a built-in role.",
    CUSTOM_ROLES="As custom roles, followed live.",
    INLINE="As statements of its own.",
)
class ScopeKind(StrEnum):
    """How a token's scope is given."""

    BUILT_IN = "BUILT_IN"
    CUSTOM_ROLES = "CUSTOM_ROLES"
    INLINE = "INLINE"


@face.output
class TokenScope:
    """What a token was made for. What it may do also depends on its owner and its ceilings: see `effectiveScope`."""

    row: strawberry.Private[Row]
    policy: strawberry.Private[list[dict[str, Any]] | None]
    is_tried: strawberry.Private[bool] = False
    kind: ScopeKind = face.shown("How it is given, and so which of the others is not null.")
    built_in_role: BuiltInRole | None = face.shown("The built-in role.")

    @face.field()
    async def custom_roles(self, info: Info) -> list[Role] | None:
        """The custom roles, as far as you see them."""
        if self.kind is not ScopeKind.CUSTOM_ROLES:
            return None
        if self.is_tried:
            rows = await info.context.batched("TokenTrial.customRoles", self.row, access.roles_on_trial)
        else:
            rows = await info.context.batched("TokenScope.customRoles", self.row.id, access.roles_of_tokens)
        return [Role.of(row) for row in rows or []]

    @face.field(size=20)
    def statements(self) -> list[Statement] | None:
        """The statements of its own."""
        return None if self.policy is None else [Statement.of(raw) for raw in self.policy]

    @classmethod
    def of(cls, row: Row) -> "TokenScope":
        """Show a token's scope."""
        kind = ScopeKind(row.scope_kind.value)
        return cls(row=row, policy=row.scope_policy, kind=kind, built_in_role=row.scope_role)

    @classmethod
    def on_trial(cls, row: Row, scope: Scope) -> "TokenScope":
        """Show the scope that is tried on a token."""
        kind = ScopeKind.INLINE if scope.custom_roles is None else ScopeKind.CUSTOM_ROLES
        kind = kind if scope.built_in is None else ScopeKind.BUILT_IN
        policy = None if scope.statements is None else [dict(line) for line in scope.statements]
        return cls(row=row, policy=policy, is_tried=True, kind=kind, built_in_role=scope.built_in)


@face.output
class ExceedingStatement:
    """A statement of a token's scope that reaches further than something that limits the token: there it is dead."""

    exceeding: strawberry.Private[Exceeding]
    index: int = face.shown("Its place in that policy, from 0.")
    limited_by: SideKind = face.shown("What limits it: the owner's rights of now, or a ceiling.")

    @property
    def judged(self) -> RoleWords | None:
        """The role whose words it shows, if it is a custom role's."""
        return self.exceeding.judged

    @face.field()
    def role(self, info: Info) -> str | None:
        """The key of the role it stands in, or `inline` for the token's own; null for a role you may not see."""
        return named(info, self.exceeding.role, self.exceeding.judged)

    @face.field(Action.VIEW_ROLE_POLICY)
    def statement(self) -> Statement | None:
        """The statement. A custom role's words are only for those who may see its policy."""
        return Statement.of(self.exceeding.statement.json())

    @classmethod
    def of(cls, exceeding: Exceeding) -> "ExceedingStatement":
        """Show a statement that exceeds."""
        return cls(exceeding=exceeding, index=exceeding.index, limited_by=exceeding.side)


@face.output
class TokenDayUses:
    """How often a token was used for an action on a day. An action counts once for a request that asks about it."""

    day: date = face.shown("The day, in UTC.")
    action: str | None = face.shown("The action; null for requests that presented the token and asked for none.")
    allowed: int = face.shown("How often it was allowed.")
    refused: int = face.shown("How often it was refused.")
    trial_refused: int = face.shown("How often, of those allowed, the latest scope on trial would have refused it.")


@face.output
class TokenUses:
    """How often a token was used. What happened in the last seconds may be missing."""

    allowed: int = face.shown("How often actions were allowed, in all.")
    refused: int = face.shown("How often actions were refused, in all.")
    daily: list[TokenDayUses] = face.shown(
        f"By day and action, the latest day first, up to {usage.LINES_SHOWN:,} of them.", size=DAILY_SIZE
    )

    @classmethod
    def of(cls, counts: Counts) -> "TokenUses":
        """Show counts."""
        daily = [
            TokenDayUses(
                day=line.day,
                action=line.action or None,
                allowed=min(line.allowed, MOST_COUNTED),
                refused=min(line.refused, MOST_COUNTED),
                trial_refused=min(line.trial_refused, MOST_COUNTED),
            )
            for line in counts.daily
        ]
        return cls(allowed=min(counts.allowed, MOST_COUNTED), refused=min(counts.refused, MOST_COUNTED), daily=daily)


@face.output
class TokenOrigin:
    """From where, and by which program, a token was used."""

    address: str | None = face.shown("The network address; null if it is not known.")
    user_agent: str | None = face.shown("The program, in its own words; null if it did not say.")
    first_used_at: datetime = face.shown("When it was first used from there.")
    last_used_at: datetime = face.shown("When it was last used from there.")
    uses: int = face.shown("How often it was used from there.")

    @classmethod
    def of(cls, row: OriginRow) -> "TokenOrigin":
        """Show an origin."""
        return cls(
            address=row.address or None,
            user_agent=row.user_agent or None,
            first_used_at=row.first_at,
            last_used_at=row.last_at,
            uses=min(row.uses, MOST_COUNTED),
        )


@face.output
class TokenAccess:
    """What a token was used for: an action on a resource. It counts once for a request."""

    action: str = face.shown("The action.")
    resource: str = face.shown(
        "The resource, as policies name it. `proj/web:env/*` stands for several, whose names were too many to keep; "
        "`*` for no resource in particular, as where a list is asked for, or for too many kinds of them."
    )
    allowed: int = face.shown("How often it was allowed.")
    refused: int = face.shown("How often it was refused.")
    trial_refused: int = face.shown("How often, of those allowed, the latest scope on trial would have refused it.")
    first_at: datetime = face.shown("When it was first asked for.")
    last_at: datetime = face.shown("When it was last asked for.")

    @classmethod
    def of(cls, row: AccessRow) -> "TokenAccess":
        """Show what a token was used for."""
        return cls(
            action=row.action,
            resource=row.specifier,
            allowed=min(row.allowed, MOST_COUNTED),
            refused=min(row.refused, MOST_COUNTED),
            trial_refused=min(row.trial_refused, MOST_COUNTED),
            first_at=row.first_at,
            last_at=row.last_at,
        )


@face.output
class TokenTrial:
    """A narrower scope that is tried on a token: what it would refuse is counted, and nothing is refused."""

    judged: strawberry.Private[Row]
    scope: TokenScope = face.shown("The scope that is tried.")
    since: datetime = face.shown("Since when.")

    @face.field(Action.VIEW_ACCESS_TOKEN_USE)
    async def allowed(self, info: Info) -> int | None:
        """How often actions were allowed, from the beginning of the day, in UTC, on which the trial began."""
        return min((await self._counts(info)).allowed, MOST_COUNTED)

    @face.field(Action.VIEW_ACCESS_TOKEN_USE)
    async def refused(self, info: Info) -> int | None:
        """How often actions were refused, from the beginning of that day: whatever the scope that is tried says."""
        return min((await self._counts(info)).refused, MOST_COUNTED)

    @face.field(Action.VIEW_ACCESS_TOKEN_USE)
    async def trial_refused(self, info: Info) -> int | None:
        """How often, of those allowed, the scope that is tried would have refused, since the trial began."""
        return min((await self._counts(info)).trial_refused, MOST_COUNTED)

    @face.field(Action.VIEW_ACCESS_TOKEN_USE, size=ACCESSES_SIZE)
    async def would_refuse(self, info: Info) -> list[TokenAccess] | None:
        """What it would have refused since the trial began, the latest first. Nothing: it can be enforced."""
        rows = await _accesses(info, self.judged)
        return [TokenAccess.of(row) for row in rows if row.trial_refused]

    async def _counts(self, info: Info) -> Counts:
        day = self.since.date()

        async def load(caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Counts]:
            return await usage.counts(caller.account.id, ids, day)

        return await info.context.batched(("Token.uses", day), self.judged.id, load) or Counts()

    @classmethod
    def of(cls, row: Row) -> "TokenTrial | None":
        """Show what is tried on a token, if anything is."""
        if row.trial is None:
            return None
        since = datetime.fromisoformat(row.trial["at"])
        return cls(judged=row, scope=TokenScope.on_trial(row, tried(row.trial)), since=since)


async def _accesses(info: Info, row: Row) -> Sequence[AccessRow]:
    async def load(caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, list[AccessRow]]:
        return await usage.accesses(caller.account.id, ids)

    return await info.context.batched("Token.accesses", row.id, load) or ()


@face.output
class Token(Node):
    """A credential for automated work. Its secret was shown once, when it was made, and is nowhere."""

    row: strawberry.Private[Row]
    kind: TokenKind = face.column("kind", "Whose it is.", told=TokenKind)
    name: str = face.column("name", "What people call it.")
    description: str = face.column("description", "What it is for.")
    ending: str = face.column(
        "ending", "The last characters of its secret, to recognise it by; empty if they are not known."
    )
    created_at: datetime = face.column("created_at", "When it was made.")
    updated_at: datetime = face.column("updated_at", "When it was last changed.")
    expires_at: datetime | None = face.column("expires_at", "When it ends; null if never.")
    networks: list[str] = face.column(
        "networks", "From where it may be used, as CIDR blocks; from anywhere if there are none."
    )
    rate_limits: list[str] = face.column(
        "rate_limits",
        "How often it may be used, such as `100/minute`: every limit must leave room, and so must those of its parent "
        "and of the account.",
    )
    reset_at: datetime | None = face.column("reset_at", "When it last got a new secret.")
    revoked_at: datetime | None = face.column("revoked_at", "When it was revoked.")
    leaked_at: datetime | None = face.column(
        "leaked_at", "When somebody who held a secret of it last reported that it leaked."
    )
    last_used_at: datetime | None = face.column("last_used_at", "When it was last used; null if never.")
    version: int = face.column("version", "Counts its changes; give it as `expectedVersion`.")
    last_used_address: str | None = face.column(
        "last_used_address", "From where it was last used.", needs=Action.VIEW_ACCESS_TOKEN_USE
    )
    last_used_agent: str | None = face.column(
        "last_used_agent", "The program that last used it, in its own words.", needs=Action.VIEW_ACCESS_TOKEN_USE
    )

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @face.field()
    def state(self, info: Info) -> TokenState:
        """Whether it works, and if not, why."""
        return tokens.state(self.row, info.context.caller.account, self.row.owner, now())

    @face.field()
    def ends_at(self, info: Info) -> datetime | None:
        """When it stops working: `expiresAt`, or the account's `legacyEndsAt` if that is earlier; null if never."""
        return self.row.ends_at(info.context.caller.account)

    @face.field()
    def resource(self) -> str:
        """The token in the words of policies, such as `member/<id>:token/<id>`."""
        return str(self.row.resource)

    @face.field()
    def scope(self) -> TokenScope:
        """What it was made for."""
        return TokenScope.of(self.row)

    @face.field()
    async def effective_scope(self, info: Info) -> list[EffectiveRole]:
        """The policies that decide what it may do now. Every side must allow; on a side, one policy is enough."""
        return [EffectiveRole.of(shown) for shown in (await self._effective(info)).shown]

    @face.field()
    async def exceeds_owner(self, info: Info) -> list[ExceedingStatement]:
        """The statements of its scope that reach beyond its owner's rights of now, or beyond a ceiling: dead there.

        A statement is listed unless it is proven to be within, so one with many exceptions may be listed without need.
        """
        return [ExceedingStatement.of(exceeding) for exceeding in (await self._effective(info)).exceeding]

    async def _effective(self, info: Info) -> Effective:
        async def load(caller: Caller, rows: Sequence[Row]) -> Mapping[Row, Effective]:
            found = await access.effective(caller, rows)
            return {row: found[row.id] for row in rows}

        effective = await info.context.batched("Token.effective", self.row, load)
        assert effective is not None  # noqa: S101 - `load` answers for every row
        return effective

    @face.field(Action.VIEW_ACCESS_TOKEN_USE)
    async def uses(
        self,
        info: Info,
        days: Annotated[
            int, strawberry.argument(description=f"Of how many days, up to {usage.DAYS_SHOWN}; today is one.")
        ] = 30,
    ) -> TokenUses | None:
        """How often it was used, and what for."""
        since = usage.shown_since(days)

        async def load(caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Counts]:
            return await usage.counts(caller.account.id, ids, since)

        return TokenUses.of(await info.context.batched(("Token.uses", since), self.row.id, load) or Counts())

    @face.field(Action.VIEW_ACCESS_TOKEN_USE, size=ORIGINS_SIZE)
    async def origins(self, info: Info) -> list[TokenOrigin] | None:
        """From where it was used, the latest first: the last hundred pairs of an address and a program."""

        async def load(caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, list[OriginRow]]:
            return await usage.origins(caller.account.id, ids)

        rows = await info.context.batched("Token.origins", self.row.id, load)
        return [TokenOrigin.of(row) for row in rows or []]

    @face.field(Action.VIEW_ACCESS_TOKEN_USE, size=ACCESSES_SIZE)
    async def accesses(self, info: Info) -> list[TokenAccess] | None:
        """What it was used for, the latest first: which actions, on which resources, and how that was decided."""
        return [TokenAccess.of(row) for row in await _accesses(info, self.row)]

    @face.field()
    def trial(self) -> TokenTrial | None:
        """The narrower scope that is tried on it, if one is: see `tryTokenScope`."""
        return TokenTrial.of(self.row)

    @face.field()
    def owner(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """The member whose it is, if it is one's and you see them."""
        found: Member | None = nodes.fetched(info, "Member", Action.VIEW_MEMBER, self.row.owner)
        return found

    @face.field()
    async def creator(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """The member who made it, if you see them."""
        found: Member | None = await nodes.beside(info, "Member", self.row.creator_id)
        return found

    @face.field()
    async def responsible(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """The member who answers for it, if it is no member's and you see them: at first whoever made it."""
        found: Member | None = await nodes.beside(info, "Member", self.row.responsible_id)
        return found

    @face.field()
    async def parent(self, info: Info) -> Annotated["Token", strawberry.lazy("schema.tokens")] | None:
        """The token it was made with, if you see it."""
        found: Token | None = await nodes.beside(info, "Token", self.row.parent_id)
        return found

    @face.field(needs(Action.VIEW_AUDIT_LOG, anywhere=True))
    async def audit_entries(
        self,
        info: Info,
        filter: audit.FilterArgument = None,
        order_by: audit.OrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[AuditEntry] | None:
        """What was done to it, as far as you see the audit log."""
        wanted = filter.wanted() if filter else EntryFilter()
        nested = Nested("Token.auditEntries", "target_id", lambda caller: entries.entries(caller, wanted), wanted)
        window = audit.window(order_by, first, after, last, before)
        return await beneath(info, self.row.id, nested, window, AuditEntry.of)

    @face.field(needs(Action.VIEW_AUDIT_LOG, anywhere=True))
    async def deeds(
        self,
        info: Info,
        order_by: audit.OrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[AuditEntry] | None:
        """What was done with it, or on its behalf, as far as you see the audit log: the latest first unless said."""

        async def rows(caller: Caller) -> QuerySet[EntryRow]:
            return readable(caller, EntryRow)

        nested = Nested("Token.deeds", "token_id", rows, also="behalf_token_id")
        window = audit.window(order_by, first, after, last, before)
        return await beneath(info, self.row.id, nested, window, AuditEntry.of)

    @face.field()
    def viewer_can_revoke(self, info: Info) -> bool:
        """Whether you may revoke it, and there is something to revoke."""
        return self.row.revoked_at is None and info.context.caller.sees(Action.DELETE_ACCESS_TOKEN, self.row)

    @face.field()
    def viewer_can_reset(self, info: Info) -> bool:
        """Whether you may give it a new secret. Another's personal token never; beyond that, rights decide."""
        return tokens.resettable(info.context.caller, self.row)

    @face.field()
    def viewer_can_update(self, info: Info) -> bool:
        """Whether you may change something about it."""
        return any(info.context.caller.sees(action, self.row) for action in UPDATES)

    @classmethod
    def of(cls, row: Row) -> "Token":
        """Show a token whose owner is fetched."""
        return cls(id=nodes.id_of("Token", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    async def rows(ids: list[UUID]) -> list[Row]:
        return await readable(caller, Row).filter(id__in=ids).select_related("owner")

    return await nodes.by_uuid(keys, rows, Token.of)


nodes.register("Token", _find, Token.of)


@face.input_
class TokenFilterInput:
    """Which tokens; what is left out does not matter. Members, roles and tokens that you do not see match none."""

    kind: TokenKind | None = face.given("Whose they are.", default=None)
    state: TokenState | None = face.given("Whether they work.", default=None)
    owner: strawberry.ID | None = face.given("The id of the member whose they are.", default=None)
    creator: strawberry.ID | None = face.given("The id of the member who made them.", default=None)
    responsible: strawberry.ID | None = face.given("The id of the member who answers for them.", default=None)
    unattended: bool | None = face.given(
        "Whether they are no member's and nobody answers for them who is active.", default=None
    )
    parent: strawberry.ID | None = face.given("The id of the token they were made with.", default=None)
    role: str | None = face.given("The key of a custom role in their scope.", default=None)
    built_in_role: BuiltInRole | None = face.given("The built-in role that is their scope.", default=None)
    created_from: datetime | None = face.given("They were made then or later.", default=None)
    created_before: datetime | None = face.given("They were made before then.", default=None)
    expires_from: datetime | None = face.given("They end then or later.", default=None)
    expires_before: datetime | None = face.given("They end before then.", default=None)
    has_no_expiry: bool | None = face.given("Whether they never end.", default=None)
    last_used_from: datetime | None = face.given("They were last used then or later.", default=None)
    last_used_before: datetime | None = face.given(
        "They were last used before then; those that never were are not among them.", default=None
    )
    never_used: bool | None = face.given("Whether they were never used.", default=None)
    text: str | None = face.given("A part of their name, in any case.", default=None)

    def wanted(self) -> TokenFilter:
        """Read the filter. Raises `Invalid` naming the field."""

        def id_of(name: str, given: str | None, kind: str = "Member") -> UUID | None:
            return None if given is None else nodes.uuid_of(f"filter.{name}", given, kind)

        def moment(name: str, given: datetime | None) -> datetime | None:
            return None if given is None else typed.moment(f"filter.{name}", given)

        return TokenFilter(
            kind=None if self.kind is None else RowKind(self.kind.value),
            state=self.state,
            owner_id=id_of("owner", self.owner),
            creator_id=id_of("creator", self.creator),
            responsible_id=id_of("responsible", self.responsible),
            unattended=self.unattended,
            parent_id=id_of("parent", self.parent, "Token"),
            role=self.role,
            built_in_role=self.built_in_role,
            created_from=moment("createdFrom", self.created_from),
            created_before=moment("createdBefore", self.created_before),
            expires_from=moment("expiresFrom", self.expires_from),
            expires_before=moment("expiresBefore", self.expires_before),
            endless=self.has_no_expiry,
            last_used_from=moment("lastUsedFrom", self.last_used_from),
            last_used_before=moment("lastUsedBefore", self.last_used_before),
            never_used=self.never_used,
            text=self.text,
        )


@face.choice(
    CREATED_AT="By when they were made.",
    NAME="By name.",
    EXPIRES_AT="By when they end; those that never do come last.",
    LAST_USED_AT="By when they were last used; those that never were come last.",
    CREATOR="By who made them, members as they joined; those that no member made come last. "
    "Needs `viewMember` on all members.",
    OWNER="By whose they are, members as they joined; those that no member owns come last. "
    "Needs `viewMember` on all members.",
    KIND="By kind: account-wide, personal, service.",
)
class TokenOrderField(StrEnum):
    """By what tokens are ordered."""

    CREATED_AT = "CREATED_AT"
    NAME = "NAME"
    EXPIRES_AT = "EXPIRES_AT"
    LAST_USED_AT = "LAST_USED_AT"
    CREATOR = "CREATOR"
    OWNER = "OWNER"
    KIND = "KIND"


_ORDERS = {
    TokenOrderField.CREATED_AT: lists.by_id,
    TokenOrderField.NAME: lists.by_name,
    TokenOrderField.EXPIRES_AT: lists.by_expiry,
    TokenOrderField.LAST_USED_AT: lists.by_use,
    TokenOrderField.CREATOR: lists.by_creator,
    TokenOrderField.OWNER: lists.by_owner,
    TokenOrderField.KIND: lists.by_kind,
}


@face.input_
class TokenOrder:
    """How tokens are ordered."""

    field: TokenOrderField = face.given("By what.")
    direction: OrderDirection = face.given("Which way.")

    def wanted(self, caller: Caller) -> Order:
        """Read the order. Raises `Forbidden` where it would tell of members whom the caller does not see."""
        if self.field in {TokenOrderField.CREATOR, TokenOrderField.OWNER}:
            require_all(caller, MemberRow)
        return _ORDERS[self.field](descending=self.direction is OrderDirection.DESC)


@strawberry.type
class TokenQueries:
    """Reading tokens."""

    @face.field(Action.VIEW_ACCESS_TOKEN)
    async def tokens(
        self,
        info: Info,
        filter: Annotated[TokenFilterInput | None, strawberry.argument(description="Which tokens.")] = None,
        order_by: Annotated[
            TokenOrder | None, strawberry.argument(description="In which order; the latest first unless said.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Token] | None:
        """List the tokens that you may see: your own, and others' as far as you may."""
        order = order_by.wanted(info.context.caller) if order_by else lists.by_id(descending=True)
        window = Window.of(order, first, after, last, before)
        wanted = filter.wanted() if filter else TokenFilter()
        rows = Rows("tokens", lambda caller: lists.tokens(caller, wanted), lasting=filter is None)
        return await listed(info.context.caller, rows, window, Token.of)

    @face.field(Action.VIEW_ACCESS_TOKEN)
    async def token(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The token's id.")]
    ) -> Token | None:
        """Look up a token. Absent and hidden ones are `NOT_FOUND` alike."""
        found: Token = await nodes.one(info.context.caller, "id", id, "Token")
        return found


@face.one_of
class ScopeInput:
    """What a token shall be for: exactly one of these."""

    built_in_role: strawberry.Maybe[BuiltInRole] = face.given("All that a built-in role may.")
    custom_roles: strawberry.Maybe[list[str]] = face.given("All that custom roles allow, by their keys, followed live.")
    statements: strawberry.Maybe[list[StatementInput]] = face.given(
        "What these statements allow. An empty list makes a token that only says who you are."
    )

    def wanted(self) -> Scope:
        """Read the scope."""
        return Scope(
            self.built_in_role.value if self.built_in_role else None,
            self.custom_roles.value if self.custom_roles else None,
            [line.json for line in self.statements.value] if self.statements else None,
        )


NETWORKS = (
    "From where it may be used: up to 50 CIDR blocks such as `192.0.2.0/24` or `2001:db8::/32`, and addresses. "
    "Null or empty: from anywhere."
)
RATE_LIMITS = (
    "How often it may be used, such as `100/minute`: up to 10 limits, of 1 to 100,000 a `second`, `minute`, `hour` or "
    "`day`. Null or empty: as often as it likes."
)
_LEFT_OUT = "Left out: as the token that you ask with; never wider than that."


def _listed(given: strawberry.Maybe[list[str] | None]) -> list[str] | None:
    """Read a list that may be left out; null empties it."""
    return (given.value or []) if given else None


@face.input_
class CreateTokenInput:
    """A token to make."""

    kind: TokenKind = face.given("Whose it shall be: `PERSONAL` is yours.", default=TokenKind.PERSONAL)
    name: str = face.given("What people call it. Up to 256 characters.")
    description: str = face.given("What it is for. Up to 1,024 characters.", default="")
    scope: ScopeInput = face.given("What it is for, in policies.")
    expires_at: strawberry.Maybe[datetime | None] = face.given(
        "When it ends; null for never. Left out, the account's `tokenLifetimes` decide, or the token that asks."
    )
    networks: strawberry.Maybe[list[str] | None] = face.given(f"{NETWORKS} {_LEFT_OUT}")
    rate_limits: strawberry.Maybe[list[str] | None] = face.given(f"{RATE_LIMITS} {_LEFT_OUT}")
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()

    def wanted(self) -> NewToken:
        """Read what is wanted. Raises `Invalid` naming the field."""
        if self.kind is TokenKind.ACCOUNT:
            raise Invalid("kind", "cannot be `ACCOUNT`: those come from an import only")
        kind = RowKind(self.kind.value)
        at = self.expires_at.value if self.expires_at else None
        never = self.expires_at is not None and at is None
        return NewToken(
            kind,
            self.name,
            self.scope.wanted(),
            self.description,
            at,
            never_ends=never,
            networks=_listed(self.networks),
            rate_limits=_listed(self.rate_limits),
        )


@face.input_
class UpdateTokenInput:
    """What to change of a token. What is left out stays as it is."""

    id: strawberry.ID = face.given("The token's id.")
    name: strawberry.Maybe[str] = face.given("What people call it.", needs=Action.UPDATE_ACCESS_TOKEN_NAME)
    description: strawberry.Maybe[str | None] = face.given(
        "What it is for; null clears it.", needs=Action.UPDATE_ACCESS_TOKEN_DESCRIPTION
    )
    scope: strawberry.Maybe[ScopeInput] = face.given(
        "What it is for, in policies.", needs=Action.UPDATE_ACCESS_TOKEN_POLICY
    )
    expires_at: strawberry.Maybe[datetime | None] = face.given(
        "When it ends; null for never, if the account's `tokenLifetimes` let it.",
        needs=Action.UPDATE_ACCESS_TOKEN_EXPIRY,
    )
    responsible_id: strawberry.Maybe[strawberry.ID | None] = face.given(
        "The id of an active member who answers for a token that no member owns; null for nobody.",
        needs=Action.UPDATE_ACCESS_TOKEN_RESPONSIBLE,
    )
    networks: strawberry.Maybe[list[str] | None] = face.given(NETWORKS, needs=Action.UPDATE_ACCESS_TOKEN_RESTRICTIONS)
    rate_limits: strawberry.Maybe[list[str] | None] = face.given(
        RATE_LIMITS, needs=Action.UPDATE_ACCESS_TOKEN_RESTRICTIONS
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> TokenChange:
        """Read the change. Raises `Invalid` naming the field."""
        responsible = self.responsible_id.value if self.responsible_id else None
        return TokenChange(
            name=self.name.value if self.name else None,
            description=(self.description.value or "") if self.description else None,
            scope=self.scope.value.wanted() if self.scope else None,
            expires_at=self.expires_at.value if self.expires_at else None,
            clear_expiry=self.expires_at is not None and self.expires_at.value is None,
            networks=_listed(self.networks),
            rate_limits=_listed(self.rate_limits),
            responsible_id=nodes.uuid_of("responsibleId", responsible, "Member") if responsible is not None else None,
            clear_responsible=self.responsible_id is not None and responsible is None,
        )


@face.input_
class TryTokenScopeInput:
    """A narrower scope to try on a token."""

    id: strawberry.ID = face.given("The token's id.")
    scope: strawberry.Maybe[ScopeInput | None] = face.given(
        "The scope to try, which must lie within the one that the token has; null ends the trial."
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> Scope | None:
        """Read the scope; None ends the trial. Raises `Invalid` where nothing is said."""
        if self.scope is None:
            raise Invalid("scope", "is needed: the scope to try, or null to end the trial")
        return self.scope.value.wanted() if self.scope.value else None


@face.input_
class EnforceTokenTrialInput:
    """A token whose trial shall become its scope."""

    id: strawberry.ID = face.given("The token's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class ResetTokenInput:
    """A token that shall get a new secret."""

    id: strawberry.ID = face.given("The token's id.")
    old_secret_expires_at: datetime | None = face.given(
        "Until when the old secret works beside the new one: up to 30 days ahead, and no longer than the token. "
        "Without it, the old one is dead with the next request.",
        default=None,
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class RevokeTokenInput:
    """A token to end."""

    id: strawberry.ID = face.given("The token's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


_ENTRY = "What the log says of it, if you may see it; null if nothing changed."
_SECRET = "The secret. Shown now and never again: keep it where secrets are kept."  # noqa: S105 - a description


@face.output
class CreateTokenPayload:
    """The token that was made, and its secret."""

    token: Token = face.shown("The token.")
    secret: str = face.shown(_SECRET)
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class UpdateTokenPayload:
    """The token as it is now."""

    token: Token = face.shown("The token.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class TryTokenScopePayload:
    """The token, with what is tried on it."""

    token: Token = face.shown("The token.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class EnforceTokenTrialPayload:
    """The token, with its new scope."""

    token: Token = face.shown("The token.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class ResetTokenPayload:
    """The token, and its new secret."""

    token: Token = face.shown("The token.")
    secret: str = face.shown(_SECRET)
    old_secret_expires_at: datetime | None = face.shown("Until when the old secret works; null if it is dead.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class RevokeTokenPayload:
    """The token as it is now: ended."""

    token: Token = face.shown("The token.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


async def _changed(done: Done[Row]) -> Token:
    if not done.row.has_fetched("owner"):
        await done.row.fetch_related("owner")
    return Token.of(done.row)


def _entry(context: Context, done: Done[Row]) -> AuditEntry | None:
    return AuditEntry.seen(context, done.entry)


@strawberry.type
class TokenMutations:
    """Changing tokens."""

    @face.mutation(Action.CREATE_ACCESS_TOKEN)
    async def create_token(self, info: Info, input: CreateTokenInput) -> CreateTokenPayload | None:
        """Make a token. Its secret is in the answer, and nowhere else ever again.

        A personal token is for yourself, and may at any time do only what both its scope and you may.
        """
        done = await tokens.create(info.context.caller, input.wanted(), said(input))
        return CreateTokenPayload(
            token=await _changed(done), secret=done.secret or "", audit_entry=_entry(info.context, done)
        )

    @face.mutation(UPDATES)
    async def update_token(self, info: Info, input: UpdateTokenInput) -> UpdateTokenPayload | None:
        """Change a token. Only its owner's own session may widen, extend or un-restrict a personal token."""
        token_id = nodes.uuid_of("id", input.id, "Token")
        done = await tokens.update(info.context.caller, token_id, input.wanted(), said(input))
        return UpdateTokenPayload(token=await _changed(done), audit_entry=_entry(info.context, done))

    @face.mutation(Action.UPDATE_ACCESS_TOKEN_POLICY)
    async def try_token_scope(self, info: Info, input: TryTokenScopeInput) -> TryTokenScopePayload | None:
        """Try a narrower scope on a token without enforcing it: nothing that the token may do changes.

        `Token.trial` shows what the scope would have refused since. Trying another begins to count anew.
        """
        token_id = nodes.uuid_of("id", input.id, "Token")
        done = await tokens.try_scope(info.context.caller, token_id, input.wanted(), said(input))
        return TryTokenScopePayload(token=await _changed(done), audit_entry=_entry(info.context, done))

    @face.mutation(Action.UPDATE_ACCESS_TOKEN_POLICY)
    async def enforce_token_trial(self, info: Info, input: EnforceTokenTrialInput) -> EnforceTokenTrialPayload | None:
        """Make the scope that is tried on a token its scope. It keeps its secret, and the trial ends.

        As with `updateToken`, only its owner's own session may do so to a personal token where the scope that is tried
        is not proven to stay within the one it has, as with custom roles that may be changed later.
        """
        token_id = nodes.uuid_of("id", input.id, "Token")
        done = await tokens.enforce_trial(info.context.caller, token_id, said(input))
        return EnforceTokenTrialPayload(token=await _changed(done), audit_entry=_entry(info.context, done))

    @face.mutation(Action.RESET_ACCESS_TOKEN)
    async def reset_token(self, info: Info, input: ResetTokenInput) -> ResetTokenPayload | None:
        """Give a token a new secret. The old one is dead with the next request, or when its grace ends.

        A token has at most two secrets: resetting it during a grace ends the older one. Tokens that were made with it
        live on; where its secret has leaked, revoke it: that ends them as well.
        """
        token_id = nodes.uuid_of("id", input.id, "Token")
        done = await tokens.reset(info.context.caller, token_id, said(input), old_ends_at=input.old_secret_expires_at)
        return ResetTokenPayload(
            token=await _changed(done),
            secret=done.secret or "",
            old_secret_expires_at=done.old_ends_at,
            audit_entry=_entry(info.context, done),
        )

    @face.mutation(Action.DELETE_ACCESS_TOKEN)
    async def revoke_token(self, info: Info, input: RevokeTokenInput) -> RevokeTokenPayload | None:
        """End a token's life at once, and that of all that was made with it. Revoking twice changes nothing."""
        token_id = nodes.uuid_of("id", input.id, "Token")
        done = await tokens.revoke(info.context.caller, token_id, said(input))
        return RevokeTokenPayload(token=await _changed(done), audit_entry=_entry(info.context, done))
