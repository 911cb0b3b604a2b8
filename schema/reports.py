"""Reports in the schema: integrations put into the log what was done with tokens elsewhere."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from core.vocabulary import Action
from resolvers import reports
from resolvers.reports import Deed
from resolvers.reports import OnBehalfOf as Behalf
from schema import face, nodes
from schema.audit import AuditEntry
from schema.context import Info
from schema.said import said


@face.one_of
class OnBehalfOfInput:
    """With whose token it was done: claimed by its id, or proven by a decision id."""

    token: strawberry.Maybe[strawberry.ID] = face.given("The token's id. You have to see it, and it is your word.")
    decision_id: strawberry.Maybe[str] = face.given(
        "The `decisionId` that `verifyToken` gave you, up to a day ago, for this action and resource as you asked them."
    )

    def wanted(self, field: str) -> Behalf:
        """Read it. Raises `Invalid` naming the field."""
        if self.decision_id:
            return Behalf(decision_id=self.decision_id.value)
        assert self.token is not None  # noqa: S101 - one of the two is given
        return Behalf(token_id=nodes.uuid_of(f"{field}.token", self.token.value, "Token"))


@face.input_
class RecordedDeedInput:
    """Something that was done elsewhere, in the words of policies."""

    action: str = face.given("The action, such as `updateOn`: one of a kind of yours, never Latchkey's own.")
    resource: str = face.given("The resource it was done to, such as `proj/web:env/dev:flag/f`.")
    on_behalf_of: OnBehalfOfInput | None = face.given("With whose token it was done.", default=None)
    at: datetime | None = face.given("When it happened; now unless you say so.", default=None)
    comment: str | None = face.given("Why; instead of the comment on them all. Up to 1,024 characters.", default=None)
    details: JSON | None = face.given(
        "What it changed: an object, kept as the entry's `after`. Up to 4,096 bytes, no fractions, and no secrets.",
        default=None,
    )

    def wanted(self, field: str) -> Deed:
        """Read the deed. Raises `Invalid` naming the field."""
        details: Any = self.details
        behalf = self.on_behalf_of.wanted(f"{field}.onBehalfOf") if self.on_behalf_of else None
        return Deed(self.action, self.resource, behalf, self.at, self.comment, details)


@face.input_
class RecordAuditEntriesInput:
    """Deeds to put into the log, all of them or none."""

    entries: list[RecordedDeedInput] = face.given("The deeds, 1 to 100, in the order in which they are recorded.")
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()


@face.output
class RecordAuditEntriesPayload:
    """What the log says now."""

    audit_entries: list[AuditEntry] = face.shown("The entries, as far as you may see them.", size=100)
    count: int = face.shown("How many were recorded.")


@strawberry.type
class ReportMutations:
    """Reporting."""

    @face.mutation(Action.RECORD_AUDIT_ENTRY)
    async def record_audit_entries(
        self, info: Info, input: RecordAuditEntriesInput
    ) -> RecordAuditEntriesPayload | None:
        """Put into the log what was done with tokens elsewhere. You are the actor; up to 6,000 deeds a minute.

        For tokens alone: no session reports.
        """
        deeds = [each.wanted(f"entries[{index}]") for index, each in enumerate(input.entries)]
        rows = await reports.record(info.context.caller, deeds, said(input))
        shown = (AuditEntry.seen(info.context, row) for row in rows)
        return RecordAuditEntriesPayload(audit_entries=[entry for entry in shown if entry], count=len(rows))
