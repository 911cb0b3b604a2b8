"""The audit log in the schema: listed, looked up and followed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from core import ids
from core.differences import Difference
from core.errors import Invalid
from core.law import SideKind
from core.policy import Policy, parse_policy
from core.secret import ENDING_CHARACTERS
from core.signed import Statement as SignedStatement
from core.specifiers import Resource
from core.vocabulary import Action
from models import ActorKind, Outcome
from models import AuditEntry as Row
from resolvers import counting, entries, heads, searching
from resolvers import input as typed
from resolvers.access import RoleWords
from resolvers.callers import Caller
from resolvers.counting import Group, Grouping, Histogram, Span
from resolvers.entries import EntryFilter
from resolvers.pages import Order, Window
from resolvers.reading import readable
from schema import face, nodes
from schema.connections import After, Before, Connection, First, Last, OrderDirection, Rows, listed
from schema.context import Context, Info
from schema.nodes import Node
from schema.policies import Statement, StatementInput, named

if TYPE_CHECKING:
    from schema.members import Member
    from schema.tokens import Token


MOST_STATEMENTS, MOST_WORDS = 20, 200
"""How much a policy that entries are found by may hold: each of its words is a condition."""
CHANGES_SIZE = 10
"""How many fields a change is taken to be of."""
TOKEN_KINDS = ("token", "service-token", "account-token")


@face.output
class Access:
    """One action on one resource."""

    action: str = face.shown("The action, in the words of policies.")
    resource: str = face.shown("The resource, in the words of policies.")


@face.output
class Actor:
    """Who did it, and with what. Names are kept as they were at the time."""

    row: strawberry.Private[Row]
    kind: ActorKind = face.shown("With what it was done.")
    member_name: str | None = face.shown("The member's name at the time; null if no member was behind it.")
    token_name: str | None = face.shown("The token's name at the time; null without a token.")
    token_ending: str | None = face.shown("The last characters of the token's secret; null without a token.")

    @face.field()
    def member_id(self) -> strawberry.ID | None:
        """The member's global id, also of one who is gone; null if no member was behind it."""
        member_id = self.row.member_id
        return None if member_id is None else strawberry.ID(ids.global_id("Member", member_id))

    @face.field()
    def token_id(self) -> strawberry.ID | None:
        """The global id of the token or session, also of one that is gone; null without."""
        token_id, kind = self.row.token_id, "Session" if self.row.actor_kind is ActorKind.SESSION else "Token"
        return None if token_id is None else strawberry.ID(ids.global_id(kind, token_id))

    @face.field()
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """The member, if there is one and you may see them."""
        found: Member | None = await nodes.beside(info, "Member", self.row.member_id)
        return found

    @face.field()
    async def token(self, info: Info) -> Annotated["Token", strawberry.lazy("schema.tokens")] | None:
        """The token, if it is one, not a session, and you may see it."""
        found: Token | None = await nodes.beside(info, "Token", self.row.token_id)
        return found


@face.choice(
    VERIFIED="The integration proved it: Latchkey had told it so, asked about this very deed.",
    CLAIMED="The integration says so.",
)
class Assurance(StrEnum):
    """How sure it is on whose behalf something was done."""

    VERIFIED = "VERIFIED"
    CLAIMED = "CLAIMED"


@face.output
class OnBehalfOf:
    """With whose token an integration says that a deed was done. Names are kept as they were when it was reported."""

    row: strawberry.Private[Row]
    member_name: str | None = face.shown("The name of the token's owner; null for a token that no member owns.")
    token_name: str | None = face.shown("The token's name.")
    token_ending: str | None = face.shown("The last characters of the token's secret.")
    verified: Assurance = face.shown("Whether that is proven.")

    @face.field()
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """The token's owner, if there is one and you may see them."""
        found: Member | None = await nodes.beside(info, "Member", self.row.behalf_member_id)
        return found

    @face.field()
    async def token(self, info: Info) -> Annotated["Token", strawberry.lazy("schema.tokens")] | None:
        """The token, if you may see it."""
        found: Token | None = await nodes.beside(info, "Token", self.row.behalf_token_id)
        return found

    @classmethod
    def of(cls, row: Row) -> "OnBehalfOf | None":
        """Show on whose behalf it was done, if the entry says."""
        if row.behalf_token_id is None:
            return None
        return cls(
            row=row,
            member_name=row.behalf_member_name,
            token_name=row.behalf_token_name,
            token_ending=row.behalf_token_ending,
            verified=Assurance.VERIFIED if row.behalf_verified else Assurance.CLAIMED,
        )


@face.output
class Target:
    """What it was done to. The name is kept as it was at the time."""

    kind: str = face.shown("The kind of resource.")
    node_id: strawberry.ID | None = face.shown("Its global id, also of what is gone; null where a kind has none.")
    resource: str = face.shown("The resource, in the words of policies.")
    name: str = face.shown("What it was called at the time.")


@face.output
class FieldChange:
    """A field that was different before and after."""

    field: str = face.shown("The field, by its path within objects, such as `trial.roles`.")
    before: JSON | None = face.shown("What it held before; null for nothing.")
    after: JSON | None = face.shown("What it held after; null for nothing.")

    @classmethod
    def of(cls, difference: Difference) -> "FieldChange":
        """Show a difference."""
        return cls(field=difference.field, before=difference.before, after=difference.after)


@face.output
class Justification:
    """A statement that allowed an access."""

    action: str = face.shown("The action that it allowed.")
    side: SideKind = face.shown("The side it stands on.")
    raw: strawberry.Private[Mapping[str, Any] | None]
    judged: strawberry.Private[RoleWords | None]
    """The custom role whose words it shows; None for what is no secret, and for the viewer's own deeds."""
    key: strawberry.Private[str]

    @face.field()
    def role(self, info: Info) -> str | None:
        """The key of its role, or `inline` for statements of a token's own; null for a role you may not see."""
        return named(info, self.key, self.judged)

    @face.field(Action.VIEW_ROLE_POLICY)
    def statement(self) -> Statement | None:
        """The statement itself. A custom role's words are only for those who may see its policy, save on own deeds."""
        return Statement.of(self.raw) if self.raw else None


@face.output
class AuditEntry(Node):
    """One line of the audit log: who did what, with what, when, and why they might. It can never be changed."""

    row: strawberry.Private[Row]
    sequence: int = face.column("sequence", "Its number in the account's log, from 1, without gaps.")
    at: datetime = face.column("at", "When it happened; of what an integration reported, when that was recorded.")
    reported_at: datetime | None = face.column(
        "reported_at", "When an integration says that it happened; null for Latchkey's own."
    )
    request_id: str = face.column("request_id", "The id of the request that did it.")
    outcome: Outcome = face.column(
        "outcome",
        "How it ended. What was refused to one caller within a minute or so is one entry: `after` says how often.",
    )
    comment: str | None = face.column("comment", "Why, as whoever did it said.")
    previous: str = face.column("previous", "The seal of the entry before it.")
    seal: str = face.column("seal", "Its own seal, over all of it and the seal before.")

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @face.field()
    def cursor(self) -> str:
        """Its cursor in `auditEntries`, the latest first; `auditEntryRecorded(after:)` goes on from it."""
        return entries.cursor(self.row)

    @face.field()
    def address(self, info: Info) -> str | None:
        """The network address it came from; null unless you did it, your own token met it, or you see the whole log."""
        return self.row.address if entries.shows_origin(info.context.caller, self.row) else None

    @face.field()
    def user_agent(self, info: Info) -> str | None:
        """The program it came from, in its own words; null where the address is kept from you."""
        return self.row.user_agent if entries.shows_origin(info.context.caller, self.row) else None

    @face.field(Action.VIEW_AUDIT_CHANGES)
    def before(self, info: Info) -> JSON | None:
        """What it was before; null for what is new. What you may not see of the thing itself is left out."""
        return cast("JSON | None", entries.shown(info.context.caller, self.row, self.row.before))

    @face.field(Action.VIEW_AUDIT_CHANGES)
    def after(self, info: Info) -> JSON | None:
        """What it became; null for what is gone. What you may not see of the thing itself is left out."""
        return cast("JSON | None", entries.shown(info.context.caller, self.row, self.row.after))

    @face.field(Action.VIEW_AUDIT_CHANGES, size=CHANGES_SIZE)
    def changes(self, info: Info) -> list[FieldChange] | None:
        """What was different afterwards, field by field. What you may not see of the thing itself is left out."""
        return [FieldChange.of(each) for each in entries.changes(info.context.caller, self.row)]

    @face.field()
    def title(self) -> str:
        """All of it in a sentence: who did what to what, with what. Names are those of the time."""
        return entries.told(self.row).sentence

    @face.field()
    def accesses(self) -> list[Access]:
        """The actions it took, each on its resource. Of what was refused, those asked for: one of them it takes."""
        return [Access(action=access["action"], resource=access["resource"]) for access in self.row.accesses]

    @face.field()
    def actor(self) -> Actor:
        """Who did it, and with what."""
        return Actor(
            row=self.row,
            kind=self.row.actor_kind,
            member_name=self.row.member_name,
            token_name=self.row.token_name,
            token_ending=self.row.token_ending,
        )

    @face.field()
    def on_behalf_of(self) -> OnBehalfOf | None:
        """With whose token it was done, where an integration reported it; null for Latchkey's own deeds."""
        return OnBehalfOf.of(self.row)

    @face.field()
    def target(self) -> Target:
        """What it was done to."""
        row = self.row
        found = ids.target_id(row.target_resource, row.target_kind, row.target_id)
        return Target(
            kind=row.target_kind,
            node_id=None if found is None else strawberry.ID(found),
            resource=row.target_resource,
            name=row.target_name,
        )

    @face.field()
    def because(self, info: Info) -> list[Justification]:
        """The statements that allowed it, on every side. Empty for what a password, a link or the command line does."""
        own = entries.is_own(info.context.caller, self.row)
        return [
            Justification(
                raw=decided["statement"],
                judged=None if own else RoleWords.of(decided["role"]),
                action=allowed["action"],
                side=SideKind(decided["side"]),
                key=decided["role"],
            )
            for allowed in self.row.because
            for decided in allowed["statements"]
        ]

    @classmethod
    def of(cls, row: Row) -> "AuditEntry":
        """Show an entry."""
        return cls(id=nodes.id_of("AuditEntry", row), row=row)

    @classmethod
    def seen(cls, context: Context, row: Row | None) -> "AuditEntry | None":
        """Show the entry of what was just done, if there is one and the caller may see it."""
        caller = context.anyone
        if row is None or caller is None or not caller.sees(Action.VIEW_AUDIT_LOG, row):
            return None
        return cls.of(row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return await nodes.by_uuid(keys, lambda ids: readable(caller, Row).filter(id__in=ids).all(), AuditEntry.of)


nodes.register("AuditEntry", _find, AuditEntry.of)


@face.choice(
    LATCHKEY="Latchkey did it, and wrote it down in the same transaction.",
    INTEGRATION="An integration reported it with `recordAuditEntries`.",
)
class EntrySource(StrEnum):
    """Whose word an entry is."""

    LATCHKEY = "LATCHKEY"
    INTEGRATION = "INTEGRATION"


@face.input_
class AuditEntryFilter:
    """Which entries; what is left out does not matter, and all that is given must hold.

    `action`, `resource` and `statements` must hold for one and the same access.
    """

    action: str | None = face.given(
        "An action that it took, such as `createAccessToken`, or a glob, such as `update*`.", default=None
    )
    resource: str | None = face.given(
        "A resource that it took an action on, as in `role/ci`, or a specifier, such as `proj/*:env/prod:flag/*`. "
        "`proj/web:*` is all that lies beneath `proj/web`.",
        default=None,
    )
    statements: list[StatementInput] | None = face.given(
        "A policy: entries of which it would allow an access. Nothing is known of tags and properties.", default=None
    )
    actor: strawberry.ID | None = face.given(
        "The id of the member who did it, with whatever, or on whose behalf it was done.", default=None
    )
    token: strawberry.ID | None = face.given(
        "The token it was done with, or on behalf of which: its id, or its resource, such as `service-token/…`.",
        default=None,
    )
    token_ending: str | None = face.given(
        "The last characters of that token's secret, four as they are shown, or more of the secret's end.", default=None
    )
    token_creator: strawberry.ID | None = face.given(
        "The id of the member who made that token. Of a member or tokens that you do not see nothing is found.",
        default=None,
    )
    actor_kind: ActorKind | None = face.given("With what it was done.", default=None)
    target: strawberry.ID | None = face.given("The id of what it was done to.", default=None)
    target_kind: str | None = face.given("The kind of resource it was done to, such as `service-token`.", default=None)
    outcome: Outcome | None = face.given("How it ended.", default=None)
    source: EntrySource | None = face.given("Whose word it is.", default=None)
    request_id: str | None = face.given("The id of the request that did it.", default=None)
    address: str | None = face.given(
        "The network address it came from, or a block of IPv4 addresses, such as `192.0.2.0/24`: "
        "among entries whose address you see.",
        default=None,
    )
    since: datetime | None = face.given("The earliest time.", default=None)
    until: datetime | None = face.given("The time before which it was.", default=None)
    text: str | None = face.given(
        "A part, in any case, of the comment or of a name: of what it was done to, of the member, of the token.",
        default=None,
    )

    def wanted(self) -> EntryFilter:
        """Read the filter. Raises `Invalid` naming the field."""

        def member(name: str, given: str | None) -> UUID | None:
            return None if given is None else nodes.uuid_of(f"filter.{name}", given, "Member")

        def word(name: str, given: str | None) -> str | None:
            return None if given is None else typed.name(f"filter.{name}", given, most=64)

        return EntryFilter(
            action=self.action,
            resource=self.resource,
            statements=None if self.statements is None else self._policy(),
            member_id=member("actor", self.actor),
            token_id=None if self.token is None else _token_id("filter.token", self.token),
            token_ending=None if self.token_ending is None else _ending("filter.tokenEnding", self.token_ending),
            creator_id=member("tokenCreator", self.token_creator),
            actor_kind=self.actor_kind,
            target_id=None if self.target is None else nodes.any_uuid("filter.target", self.target),
            target_kind=word("targetKind", self.target_kind),
            outcome=self.outcome,
            is_reported=None if self.source is None else self.source is EntrySource.INTEGRATION,
            request_id=word("requestId", self.request_id),
            network=word("address", self.address),
            since=None if self.since is None else typed.moment("filter.since", self.since),
            until=None if self.until is None else typed.moment("filter.until", self.until),
            text=self.text,
        )

    def _policy(self) -> Policy:
        lines = self.statements or []
        if len(lines) > MOST_STATEMENTS:
            raise Invalid("filter.statements", f"must hold at most {MOST_STATEMENTS}")
        words = sum(len(words) for line in lines for words in line.json.values() if isinstance(words, list))
        if words > MOST_WORDS:
            raise Invalid("filter.statements", f"must hold at most {MOST_WORDS} actions and resources")
        return parse_policy([line.json for line in lines], "filter.statements")


def _token_id(field: str, given: str) -> UUID:
    """Read a token's id, or the resource that it is in policies."""
    with suppress(ValueError):  # which `Malformed` is
        last = Resource.parse(given).segments[-1]
        if last.kind in TOKEN_KINDS and last.name:
            return UUID(last.name)
    return nodes.uuid_of(field, given, "Token")


def _ending(field: str, given: str) -> str:
    """Read the end of a secret, of which the last characters are kept. Raises `Invalid` for a whole one."""
    return typed.name(field, given)[-ENDING_CHARACTERS:]


@face.choice(
    SEQUENCE="By when they were recorded.",
)
class AuditEntryOrderField(StrEnum):
    """By what entries are ordered."""

    SEQUENCE = "SEQUENCE"


@face.input_
class AuditEntryOrder:
    """How entries are ordered. The latest come first where nothing is said."""

    field: AuditEntryOrderField = face.given("By what.")
    direction: OrderDirection = face.given("Which way.")

    def wanted(self) -> Order:
        """Read the order."""
        return entries.by_sequence(descending=self.direction is OrderDirection.DESC)


def window(
    order_by: AuditEntryOrder | None, first: int | None, after: str | None, last: int | None, before: str | None
) -> Window:
    """Read which part of a list of entries is asked for."""
    order = order_by.wanted() if order_by else entries.by_sequence(descending=True)
    return Window.of(order, first, after, last, before)


@face.output
class SignedHead:
    """The end of the log at a moment, signed. Keep it elsewhere: against it, a cut-off end or a rollback is seen."""

    sequence: int = face.shown("The number of the last entry.")
    seal: str = face.shown("Its seal.")
    at: datetime = face.shown("When it was signed.")
    signing_key: str = face.shown("The id of the key, see `auditKeys`.")
    signature: str = face.shown("The Ed25519 signature, in hexadecimal digits.")
    line: str = face.shown("All of it as the line that `latchkey audit verify --against` and the script take.")

    @classmethod
    def of(cls, head: SignedStatement) -> "SignedHead":
        """Show a signed head."""
        return cls(
            sequence=head.place.sequence,
            seal=head.place.seal,
            at=datetime.fromisoformat(head.said["at"]),
            signing_key=head.said["keyId"],
            signature=head.signature,
            line=head.line().decode(),
        )


@face.output
class AuditKey:
    """A public key with which signed heads, stubs and exports are checked."""

    id: str = face.shown("Its id.")
    public_key: str = face.shown("The Ed25519 key, in PEM.")


face.words(
    Grouping,
    "By what entries are told apart.",
    ACTION="By the action. An entry counts once for each access that it took.",
    ACTOR_KIND="By with what it was done.",
    MEMBER="By the member.",
    TOKEN="By the token or session.",  # noqa: S106 - a description
    OUTCOME="By how it ended.",
    TARGET_KIND="By the kind of resource that it was done to.",
)


@face.output
class AuditCountGroup:
    """How many entries of a group there are, over time."""

    key: str | None = face.shown(
        "What they have in common: a word, or the id of the member or the token; null for none, and for the rest."
    )
    label: str | None = face.shown("The name of the member or the token at a time; null for words.")
    is_rest: bool = face.shown("Whether it is all the smaller groups together.")
    total: int = face.shown("How many there are.")
    counts: list[int] = face.shown("How many there are in each bucket.")

    @classmethod
    def of(cls, group: Group) -> "AuditCountGroup":
        """Show a group."""
        return cls(
            key=group.key, label=group.label, is_rest=group.is_rest, total=group.total, counts=list(group.counts)
        )


@face.output
class AuditCounts:
    """Entries counted over time, in buckets of one width that begin where clocks and calendars do, in UTC."""

    since: datetime = face.shown("From when on they were asked for.")
    until: datetime = face.shown("Until when.")
    counted_from: datetime = face.shown(
        f"From when on they are counted: later than `since` where there are more than {counting.MOST_COUNTED:,}."
    )
    bucket_seconds: int = face.shown("How wide a bucket is.")
    starts: list[datetime] = face.shown("When each bucket begins.")
    groups: list[AuditCountGroup] = face.shown(
        f"The counts, of the largest groups first: {counting.MOST_GROUPS}, and the rest as one. One without `groupBy`; "
        "none where nothing is found.",
        size=counting.MOST_GROUPS,
    )

    @classmethod
    def of(cls, counted: Histogram) -> "AuditCounts":
        """Show counts."""
        return cls(
            since=counted.since,
            until=counted.until,
            counted_from=counted.counted_from,
            bucket_seconds=counted.width_s,
            starts=list(counted.starts),
            groups=[AuditCountGroup.of(group) for group in counted.groups],
        )


FilterArgument = Annotated[AuditEntryFilter | None, strawberry.argument(description="Which entries.")]
OrderArgument = Annotated[
    AuditEntryOrder | None, strawberry.argument(description="In which order; the latest first unless said.")
]


@strawberry.type
class AuditQueries:
    """Reading the log."""

    @face.field(Action.VIEW_AUDIT_LOG)
    async def audit_entries(
        self,
        info: Info,
        filter: FilterArgument = None,
        order_by: OrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[AuditEntry] | None:
        """List the entries of the audit log that you may see: all, or those of your own deeds and tokens.

        With a filter, some thousand entries are looked at for a page: it may be short, or empty, although more follows.
        """
        wanted = filter.wanted() if filter else EntryFilter()
        caller, part = info.context.caller, window(order_by, first, after, last, before)
        if filter is None:
            rows = Rows("auditEntries", lambda caller: entries.entries(caller, wanted), lasting=True)
            return await listed(caller, rows, part, AuditEntry.of)

        async def counted() -> int:
            return await (await entries.entries(caller, wanted)).count()

        page = await searching.search(caller, wanted, part)
        return Connection(page=page, show=AuditEntry.of, counted=counted, reached=page.reached)

    @face.field(Action.VIEW_AUDIT_LOG)
    async def audit_counts(
        self,
        info: Info,
        since: Annotated[datetime, strawberry.argument(description="From when on.")],
        until: Annotated[datetime | None, strawberry.argument(description="Until when; until now unless said.")] = None,
        buckets: Annotated[
            int, strawberry.argument(description=f"Into how many parts at most, up to {counting.MOST_BUCKETS}.")
        ] = 50,
        group_by: Annotated[Grouping | None, strawberry.argument(description="What to tell apart.")] = None,
        filter: FilterArgument = None,
    ) -> AuditCounts | None:
        """Count the entries of the audit log that you may see, over time."""
        end = None if until is None else typed.moment("until", until)
        over = Span(typed.moment("since", since), end, buckets)
        wanted = filter.wanted() if filter else EntryFilter()
        return AuditCounts.of(await counting.histogram(info.context.caller, wanted, over, group_by))

    @face.field(Action.VIEW_AUDIT_LOG)
    async def audit_entry(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The entry's id.")]
    ) -> AuditEntry | None:
        """Look up an entry of the audit log. Absent and hidden ones are `NOT_FOUND` alike."""
        found: AuditEntry = await nodes.one(info.context.caller, "id", id, "AuditEntry")
        return found

    @face.field(Action.VIEW_AUDIT_LOG)
    async def audit_head(self, info: Info) -> SignedHead | None:
        """Sign the end of the audit log as it is now. Needs `viewAuditLog` on `acct`."""
        return SignedHead.of(await heads.current(info.context.caller))

    @face.field(Action.VIEW_AUDIT_LOG)
    async def audit_keys(self, info: Info) -> list[AuditKey] | None:
        """List the keys with which the audit log is signed, the newest first. Needs `viewAuditLog` on `acct`."""
        keys = heads.public_keys(info.context.caller)
        return [AuditKey(id=key_id, public_key=keys.pem(key_id)) for key_id in keys.keys]


@strawberry.type
class AuditSubscriptions:
    """Following the log."""

    @face.subscription(Action.VIEW_AUDIT_LOG)
    async def audit_entry_recorded(
        self,
        info: Info,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="A cursor of `auditEntries`: begin with what was recorded after it, "
                "so that nothing is missed between two connections. Without it, begin now."
            ),
        ] = None,
    ) -> AsyncIterator[AuditEntry | None]:
        """Follow the audit log: each entry that you may see, as it is recorded. Ends when your credential does."""
        place = None if after is None else entries.place_of("after", after)
        async with aclosing(entries.recorded(info.context.caller, place)) as followed:
            async for recorded in followed:
                info.context.anyone = recorded.caller
                yield AuditEntry.of(recorded.row)
