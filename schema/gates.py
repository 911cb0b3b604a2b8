"""Gates in the schema: where proxies ask whether requests may pass."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import strawberry

from core.errors import NotFound
from core.vocabulary import Action
from models import Gate as Row
from models import GateSource
from resolvers import gates, lists
from resolvers.callers import Caller
from resolvers.gates import NewGate
from resolvers.lists import GateFilter
from resolvers.pages import Order, Window
from resolvers.reading import readable
from resolvers.writing import Done
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, OrderDirection, Rows, listed
from schema.context import Context, Info
from schema.nodes import Node
from schema.said import said


@face.output
class GateRoute:
    """Which requests need which action on which resource. Every route that matches a request must allow."""

    methods: list[str] = face.shown("The HTTP methods, in capital letters; `*` alone stands for any.")
    host: str | None = face.shown("The host, or `*.` and a host for all beneath it; null for any.")
    pattern: str = face.shown("The paths, as in `/projects/{project}/flags/**`.")
    action: str = face.shown("The action that is needed.")
    resource: str = face.shown("The resource it is needed on, in which parts of the pattern stand for names.")


@face.output
class Gate(Node):
    """Where a proxy asks whether a request may pass, and how requests become actions on resources."""

    row: strawberry.Private[Row]
    key: str = face.shown("The key by which its URL and policies name it. It never changes.")
    name: str = face.shown("What people call it.")
    description: str = face.shown("What it guards.")
    source: GateSource = face.shown("From where it takes the request that it judges.")
    preflights: bool = face.shown("Whether CORS preflights, which carry no credential, pass.")
    routes: list[GateRoute] = face.shown("Which requests need what. A request that none of them matches is refused.")
    resource: str = face.shown("The gate in the words of policies: `gate/<key>`.")
    created_at: datetime = face.shown("When it was made.")
    updated_at: datetime = face.shown("When it was last changed.")
    version: int = face.shown("Counts its changes; give it as `expectedVersion`.")

    @face.field()
    def url(self, info: Info) -> str:
        """Where the proxy asks. It names the account too, because gates of different accounts may share a key."""
        caller = info.context.caller
        return f"{caller.request.house.public_url}/authz/{caller.account.key}:{quote(self.key)}"

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @classmethod
    def of(cls, row: Row) -> "Gate":
        """Show a gate."""
        return cls(
            id=nodes.id_of("Gate", row),
            row=row,
            key=row.key,
            name=row.name,
            description=row.description,
            source=row.source,
            preflights=row.preflights,
            routes=[GateRoute(**route) for route in row.routes],
            resource=str(row.resource),
            created_at=row.created_at,
            updated_at=row.updated_at,
            version=row.version,
        )


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return await nodes.by_uuid(keys, lambda ids: readable(caller, Row).filter(id__in=ids).all(), Gate.of)


nodes.register("Gate", _find, Gate.of)


@face.input_
class GateFilterInput:
    """Which gates; what is left out does not matter."""

    text: str | None = face.given("A part of the name or the key, in any case.", default=None)

    def wanted(self) -> GateFilter:
        """Read the filter."""
        return GateFilter(self.text)


@face.choice(
    KEY="By key.",
    NAME="By name.",
    CREATED_AT="By when they were made.",
)
class GateOrderField(StrEnum):
    """By what gates are ordered."""

    KEY = "KEY"
    NAME = "NAME"
    CREATED_AT = "CREATED_AT"


_ORDERS = {
    GateOrderField.KEY: lists.by_key,
    GateOrderField.NAME: lists.by_name,
    GateOrderField.CREATED_AT: lists.by_id,
}


@face.input_
class GateOrder:
    """How gates are ordered."""

    field: GateOrderField = face.given("By what.")
    direction: OrderDirection = face.given("Which way.")

    def wanted(self) -> Order:
        """Read the order."""
        return _ORDERS[self.field](descending=self.direction is OrderDirection.DESC)


@strawberry.type
class GateQueries:
    """Reading gates."""

    @face.field(Action.VIEW_GATE)
    async def gates(
        self,
        info: Info,
        filter: Annotated[GateFilterInput | None, strawberry.argument(description="Which gates.")] = None,
        order_by: Annotated[
            GateOrder | None, strawberry.argument(description="In which order; by key unless said.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Gate] | None:
        """List the gates that you may see."""
        window = Window.of(order_by.wanted() if order_by else lists.by_key(), first, after, last, before)
        wanted = filter.wanted() if filter else GateFilter()
        rows = Rows("gates", lambda caller: lists.gates(caller, wanted), lasting=filter is None)
        return await listed(info.context.caller, rows, window, Gate.of)

    @face.field(Action.VIEW_GATE)
    async def gate(
        self, info: Info, key: Annotated[str, strawberry.argument(description="The gate's key.")]
    ) -> Gate | None:
        """Look up a gate by its key. Absent and hidden ones are `NOT_FOUND` alike."""
        row = await lists.gate(info.context.caller, "key", key)
        if row is None:
            raise NotFound
        return Gate.of(row)


@face.input_
class GateRouteInput:
    """Which requests need which action on which resource."""

    methods: list[str] = face.given(
        'The HTTP methods, in capital letters; `["*"]` for any. `GET` does not stand for `HEAD`.',
        default_factory=lambda: ["*"],
    )
    host: str | None = face.given(
        "The host in lower case without a port, or `*.` and a host for all beneath it; any if left out.", default=None
    )
    pattern: str = face.given(
        "The paths: segments that are literal, or a part as in `{project}`, which stands for one segment of "
        "`A-Z a-z 0-9 . _ -`; `**` as the last means the path so far and all beneath it."
    )
    action: str = face.given("The action that is needed.")
    resource: str = face.given("The resource it is needed on; parts of the pattern may stand in names.")

    @property
    def json(self) -> dict[str, Any]:
        """The route in its JSON form."""
        return {
            "methods": self.methods,
            "host": self.host,
            "pattern": self.pattern,
            "action": self.action,
            "resource": self.resource,
        }


@face.input_
class DefineGateInput:
    """A gate, whole: what is there already under the key is replaced by it."""

    key: str = face.given("Its key for good: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.")
    name: str = face.given("What people call it. Up to 256 characters.")
    description: str = face.given("What it guards. Up to 1,024 characters.", default="")
    source: GateSource = face.given("From where it takes the request that it judges.")
    preflights: bool = face.given(
        "Whether CORS preflights, which carry no credential, pass; never with `FIXED`.", default=False
    )
    routes: list[GateRouteInput] = face.given(
        "Which requests need what. All that match must allow; a request that none matches is refused. None with "
        "`FIXED`.",
        default_factory=list,
    )
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> NewGate:
        """Read the gate."""
        routes = [route.json for route in self.routes]
        return NewGate(self.key, self.name, self.source, self.description, self.preflights, routes)


@face.input_
class RemoveGateInput:
    """A gate to remove."""

    key: str = face.given("The gate's key.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.output
class DefineGatePayload:
    """The gate as it is now."""

    gate: Gate = face.shown("The gate.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")

    @classmethod
    def of(cls, context: Context, done: Done[Row]) -> "DefineGatePayload":
        """Show what was done."""
        return cls(gate=Gate.of(done.row), audit_entry=AuditEntry.seen(context, done.entry))


@face.output
class RemoveGatePayload:
    """The gate that is gone."""

    deleted_gate_id: strawberry.ID = face.shown("The id that it had.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@strawberry.type
class GateMutations:
    """Changing gates."""

    @face.mutation((Action.CREATE_GATE, Action.UPDATE_GATE))
    async def define_gate(self, info: Info, input: DefineGateInput) -> DefineGatePayload | None:
        """Define a gate, or replace the one under this key.

        To change an existing one's source, routes or preflights can let people through, and so needs all rights of an
        admin.
        """
        return DefineGatePayload.of(info.context, await gates.define(info.context.caller, input.wanted(), said(input)))

    @face.mutation(Action.DELETE_GATE)
    async def remove_gate(self, info: Info, input: RemoveGateInput) -> RemoveGatePayload | None:
        """Remove a gate, which needs all rights of an admin. What it guards is refused from then on."""
        done = await gates.remove(info.context.caller, input.key, said(input))
        return RemoveGatePayload(
            deleted_gate_id=nodes.id_of("Gate", done.row), audit_entry=AuditEntry.seen(info.context, done.entry)
        )
