"""Webhooks in the schema: where notices and entries are delivered to, and what became of that."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from tortoise.queryset import QuerySet

from core.vocabulary import Action
from models import Delivery, WebhookEvent
from models import Webhook as Row
from resolvers import deliveries, lists, webhooks
from resolvers.callers import Caller
from resolvers.pages import Window
from resolvers.reading import readable
from resolvers.webhooks import NewWebhook, WebhookChange
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Nested, Rows, beneath, listed
from schema.context import Info
from schema.nodes import Node
from schema.notices import Notice
from schema.said import said


@face.output
class WebhookDelivery:
    """Something that was, or is to be, delivered to a webhook."""

    row: strawberry.Private[Delivery]
    id: strawberry.ID = face.shown("The `webhook-id` under which it is delivered, however often it is tried.")
    created_at: datetime = face.column("created_at", "Since when it is to be delivered.")
    attempts: int = face.column("attempts", "How often it was tried.")
    next_attempt_at: datetime | None = face.column("next_at", "When it is tried next; null if it is over.")
    delivered_at: datetime | None = face.column("delivered_at", "When it was delivered; null if it was not.")
    error: str | None = face.column("error", "Why the last attempt failed; null if it did not.")

    @face.field()
    async def notice(self, info: Info) -> Notice | None:
        """What it tells, if you may see it; null for a ping."""
        found: Notice | None = await nodes.beside(info, "Notice", self.row.notice_id)
        return found

    @classmethod
    def of(cls, row: Delivery) -> "WebhookDelivery":
        """Show a delivery."""
        return cls(id=strawberry.ID(str(row.id)), row=row)


async def _delivered(caller: Caller) -> QuerySet[Delivery]:
    return readable(caller, Delivery)


@face.output
class Webhook(Node):
    """A URL that notices or entries are delivered to, signed as Standard Webhooks has it."""

    row: strawberry.Private[Row]
    url: str = face.column("url", "Where it is.")
    description: str = face.column("description", "What it is for.")
    disabled_at: datetime | None = face.column(
        "disabled_at", "Since when nothing is delivered to it; null while it is enabled."
    )
    failing_since: datetime | None = face.column(
        "failing_since",
        "Since when nothing gets through; null if the last attempt did. After three days it is disabled.",
    )
    created_at: datetime = face.column("created_at", "When it was made.")
    updated_at: datetime = face.column("updated_at", "When it was last changed.")
    version: int = face.column("version", "Counts its changes; give it as `expectedVersion`.")

    @face.field()
    def events(self) -> list[WebhookEvent]:
        """What it gets; all notices, and no entries, if there are none."""
        return [WebhookEvent(event) for event in self.row.events]

    @face.field()
    def resource(self) -> str:
        """The webhook in the words of policies: `webhook/<id>`."""
        return str(self.row.resource)

    @face.field()
    def needs_rotation(self, info: Info) -> bool:
        """Whether its secret was made with an older server key: once that key is retired, nothing can be signed."""
        return self.row.key_id != info.context.caller.request.house.keys.newest

    @face.field()
    async def deliveries(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[WebhookDelivery]:
        """What was delivered to it, and what is to be, the latest first."""
        window = Window.of(lists.by_id(descending=True), first, after, last, before)
        nested = Nested("Webhook.deliveries", "webhook_id", _delivered)
        return await beneath(info, self.row.id, nested, window, WebhookDelivery.of)

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @classmethod
    def of(cls, row: Row) -> "Webhook":
        """Show a webhook."""
        return cls(id=nodes.id_of("Webhook", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return await nodes.by_uuid(keys, lambda ids: readable(caller, Row).filter(id__in=ids).all(), Webhook.of)


nodes.register("Webhook", _find, Webhook.of)


async def _rows(caller: Caller) -> QuerySet[Row]:
    return readable(caller, Row)


@strawberry.type
class WebhookQueries:
    """Reading webhooks."""

    @face.field(Action.VIEW_WEBHOOK)
    async def webhooks(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Webhook] | None:
        """List the webhooks that you may see, the earliest first."""
        window = Window.of(lists.by_id(), first, after, last, before)
        return await listed(info.context.caller, Rows("webhooks", _rows, lasting=True), window, Webhook.of)

    @face.field(Action.VIEW_WEBHOOK)
    async def webhook(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The webhook's id.")]
    ) -> Webhook | None:
        """Look up a webhook by its id. Absent and hidden ones are `NOT_FOUND` alike."""
        found: Webhook = await nodes.one(info.context.caller, "id", id, "Webhook")
        return found


_URL = (
    "Where it is: `https://` and a host on the public internet; or a place in the networks that the server's settings "
    "allow, there also `http://`."
)


@face.input_
class CreateWebhookInput:
    """A URL to deliver notices to."""

    url: str = face.given(_URL)
    description: str = face.given("What it is for. Up to 1,024 characters.", default="")
    events: list[WebhookEvent] = face.given("What it gets; all notices if left out.", default_factory=list)
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()

    def wanted(self) -> NewWebhook:
        """Read the webhook."""
        return NewWebhook(self.url, self.description, self.events)


@face.input_
class UpdateWebhookInput:
    """What to change of a webhook. What is left out stays as it is."""

    id: strawberry.ID = face.given("The webhook's id.")
    url: strawberry.Maybe[str] = face.given(_URL)
    description: strawberry.Maybe[str | None] = face.given("What it is for; null clears it.")
    events: strawberry.Maybe[list[WebhookEvent] | None] = face.given("What it gets; null for all notices.")
    enabled: strawberry.Maybe[bool] = face.given(
        "Whether anything is delivered to it. False gives up notices that were not delivered yet. Entries of the log "
        "are not given up: with true it gets those it missed, at the URL that it then has. True forgives its failures."
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> WebhookChange:
        """Read the change."""
        return WebhookChange(
            url=self.url.value if self.url else None,
            description=(self.description.value or "") if self.description else None,
            events=(self.events.value or ()) if self.events else None,
            enabled=self.enabled.value if self.enabled else None,
        )


@face.input_
class RotateWebhookSecretInput:
    """A webhook that gets a new signing secret."""

    id: strawberry.ID = face.given("The webhook's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class DeleteWebhookInput:
    """A webhook to delete."""

    id: strawberry.ID = face.given("The webhook's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class TestWebhookInput:
    """A webhook to send a ping to."""

    id: strawberry.ID = face.given("The webhook's id.")
    comment: str | None = face.comment()


_SECRET = "What deliveries are signed with, as `whsec_…`. It is shown here, and never again."  # noqa: S105 - says so


@face.output
class CreateWebhookPayload:
    """The webhook that was made."""

    webhook: Webhook = face.shown("The webhook.")
    secret: str = face.shown(_SECRET)
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@face.output
class UpdateWebhookPayload:
    """The webhook as it is now."""

    webhook: Webhook = face.shown("The webhook.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")


@face.output
class RotateWebhookSecretPayload:
    """The webhook with its new secret."""

    webhook: Webhook = face.shown("The webhook.")
    secret: str = face.shown(f"{_SECRET} For a day, the one before signs as well.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@face.output
class DeleteWebhookPayload:
    """The webhook that is gone."""

    deleted_webhook_id: strawberry.ID = face.shown("The id that it had.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@face.output
class TestWebhookPayload:
    """What came of the ping."""

    webhook: Webhook = face.shown("The webhook.")
    delivery: WebhookDelivery = face.shown("The ping: delivered, or why not.")


@strawberry.type
class WebhookMutations:
    """Changing webhooks."""

    @face.mutation(Action.CREATE_WEBHOOK)
    async def create_webhook(self, info: Info, input: CreateWebhookInput) -> CreateWebhookPayload | None:
        """Have notices delivered to a URL: all of the account, so that it takes `viewAuditLog` on `acct` as well.

        The entries of the audit log, too, if it asks for `AUDIT_ENTRY`. They are delivered whole, so that it takes all
        that shows them whole: `viewAuditChanges` on `acct`, `viewMemberEmail` on `member/*`, and `viewRole` and
        `viewRolePolicy` on `role/*`.
        """
        done = await webhooks.create(info.context.caller, input.wanted(), said(input))
        return CreateWebhookPayload(
            webhook=Webhook.of(done.row),
            audit_entry=AuditEntry.seen(info.context, done.entry),
            secret=done.secret or "",
        )

    @face.mutation(Action.UPDATE_WEBHOOK)
    async def update_webhook(self, info: Info, input: UpdateWebhookInput) -> UpdateWebhookPayload | None:
        """Change a webhook, which takes `viewAuditLog` on `acct` as well, and for entries what `createWebhook` does."""
        row_id = nodes.uuid_of("id", input.id, "Webhook")
        done = await webhooks.update(info.context.caller, row_id, input.wanted(), said(input))
        return UpdateWebhookPayload(webhook=Webhook.of(done.row), audit_entry=AuditEntry.seen(info.context, done.entry))

    @face.mutation(Action.UPDATE_WEBHOOK)
    async def rotate_webhook_secret(
        self, info: Info, input: RotateWebhookSecretInput
    ) -> RotateWebhookSecretPayload | None:
        """Give a webhook a new signing secret. For a day, what is delivered is signed with both."""
        row_id = nodes.uuid_of("id", input.id, "Webhook")
        done = await webhooks.rotate(info.context.caller, row_id, said(input))
        return RotateWebhookSecretPayload(
            webhook=Webhook.of(done.row),
            audit_entry=AuditEntry.seen(info.context, done.entry),
            secret=done.secret or "",
        )

    @face.mutation(Action.DELETE_WEBHOOK)
    async def delete_webhook(self, info: Info, input: DeleteWebhookInput) -> DeleteWebhookPayload | None:
        """Remove a webhook, and what was delivered to it."""
        done = await webhooks.remove(info.context.caller, nodes.uuid_of("id", input.id, "Webhook"), said(input))
        return DeleteWebhookPayload(
            deleted_webhook_id=nodes.id_of("Webhook", done.row), audit_entry=AuditEntry.seen(info.context, done.entry)
        )

    @face.mutation(Action.UPDATE_WEBHOOK)
    async def test_webhook(self, info: Info, input: TestWebhookInput) -> TestWebhookPayload | None:
        """Send a ping to a webhook now, once, and say what came of it."""
        row_id = nodes.uuid_of("id", input.id, "Webhook")
        row, delivery = await deliveries.ping(info.context.caller, row_id, said(input))
        return TestWebhookPayload(webhook=Webhook.of(row), delivery=WebhookDelivery.of(delivery))
