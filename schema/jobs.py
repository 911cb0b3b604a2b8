"""Jobs in the schema: what is done to many tokens, started, watched and stopped."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry
from tortoise.queryset import QuerySet

from core.vocabulary import Action
from models import Job as Row
from models import JobKind, JobState
from resolvers import jobs, lists
from resolvers.callers import Caller
from resolvers.jobs import Preview
from resolvers.pages import Window
from resolvers.reading import readable_jobs
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Rows, listed
from schema.context import Info
from schema.nodes import Node
from schema.said import said
from schema.tokens import Token, TokenFilterInput

if TYPE_CHECKING:
    from schema.members import Member


@face.output
class Job(Node):
    """Something that is done to many tokens, a hundred at a time, in the name of whoever started it.

    It goes on when a server dies. Each token has an audit entry of its own.
    """

    row: strawberry.Private[Row]
    kind: JobKind = face.column("kind", "What it does.")
    state: JobState = face.column("state", "How far it is.")
    total: int = face.column("total", "How many tokens it was about when it was started.")
    done: int = face.column("done", "To how many it was done.")
    skipped: int = face.column(
        "skipped", "How many were not for whoever started it, or did not match any more when it was their turn."
    )
    comment: str | None = face.column("comment", "Why it was started.")
    error: str | None = face.column("error", "Why it ended before it was done; null unless it is `FAILED`.")
    created_at: datetime = face.column("created_at", "When it was started.")
    ended_at: datetime | None = face.column("ended_at", "When it ended; null while it is under way.")
    version: int = face.column("version", "Counts its changes.")

    @face.field()
    def progress(self) -> float:
        """The part of its tokens that it is through with, from 0 to 1."""
        if self.row.state is JobState.DONE or not self.row.total:
            return 1.0
        return min(1.0, (self.row.done + self.row.skipped) / self.row.total)

    @face.field()
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """The member who started it, if it was one and you see them."""
        found: Member | None = await nodes.beside(info, "Member", self.row.member_id)
        return found

    @face.field()
    def viewer_can_cancel(self, info: Info) -> bool:
        """Whether you may stop it, and there is something to stop."""
        return self.row.state is JobState.RUNNING and info.context.caller.sees(Action.CANCEL_JOB, self.row)

    @classmethod
    def of(cls, row: Row) -> "Job":
        """Show a job."""
        return cls(id=nodes.id_of("Job", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    async def rows(ids: list[UUID]) -> list[Row]:
        return await readable_jobs(caller).filter(id__in=ids)

    return await nodes.by_uuid(keys, rows, Job.of)


nodes.register("Job", _find, Job.of)


@strawberry.type
class JobQueries:
    """Reading jobs."""

    @face.field((Action.VIEW_JOB, Action.CREATE_JOB))
    async def jobs(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Job] | None:
        """List the jobs that you may see, and those that you started, the latest first."""
        window = Window.of(lists.by_id(descending=True), first, after, last, before)

        async def rows(caller: Caller) -> QuerySet[Row]:
            return readable_jobs(caller)

        return await listed(info.context.caller, Rows("jobs", rows), window, Job.of)

    @face.field((Action.VIEW_JOB, Action.CREATE_JOB))
    async def job(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The job's id.")]
    ) -> Job | None:
        """Look up a job. Absent and hidden ones are `NOT_FOUND` alike."""
        found: Job = await nodes.one(info.context.caller, "id", id, "Job")
        return found


@face.input_
class RevokeTokensInput:
    """Tokens to end."""

    filter: TokenFilterInput = face.given(
        "Which ones, of those that you see and that live: at least one criterion. What is made after the job was "
        "started is not among them."
    )
    dry_run: bool = face.given("Only say what it would come to; nothing changes.", default=False)
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()


@face.input_
class CancelJobInput:
    """A job to stop."""

    id: strawberry.ID = face.given("The job's id.")
    comment: str | None = face.comment()


@face.output
class RevokeTokensPayload:
    """The job that was started, and what it comes to."""

    preview: strawberry.Private[Preview]
    job: Job | None = face.shown("The job; null for a dry run.")
    count: int = face.shown("How many tokens you may end of those that the filter names now.")
    skipped: int = face.shown("How many others you see that the filter names, and may not end.")
    audit_entry: AuditEntry | None = face.shown("What the log says of the job, if you may see it; null for a dry run.")

    @face.field()
    async def tokens(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Token] | None:
        """Those that you may end of the tokens that the filter names now, the latest first."""
        window = Window.of(lists.by_id(descending=True), first, after, last, before)
        return await listed(info.context.caller, Rows("revokeTokens", self.preview.rows), window, Token.of)


@face.output
class CancelJobPayload:
    """The job as it is now."""

    job: Job = face.shown("The job.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if it was over.")


@strawberry.type
class JobMutations:
    """Starting and stopping jobs."""

    @face.mutation(Action.CREATE_JOB)
    async def revoke_tokens(self, info: Info, input: RevokeTokensInput) -> RevokeTokensPayload | None:
        """Start revoking all living tokens that a filter names, with all that was made with them.

        The job needs `deleteAccessToken` on each of them, looked at when its turn comes, and skips the others. It never
        ends the token that you ask with, nor those that one was made with.
        """
        caller, wanted = info.context.caller, input.filter.wanted()
        preview = await jobs.preview(caller, wanted)
        if input.dry_run:
            return RevokeTokensPayload(
                preview=preview, job=None, count=preview.count, skipped=preview.skipped, audit_entry=None
            )
        done = await jobs.revoke_tokens(caller, wanted, said(input))
        return RevokeTokensPayload(
            preview=preview,
            job=Job.of(done.row),
            count=preview.count,
            skipped=preview.skipped,
            audit_entry=AuditEntry.seen(info.context, done.entry),
        )

    @face.mutation(Action.CANCEL_JOB)
    async def cancel_job(self, info: Info, input: CancelJobInput) -> CancelJobPayload | None:
        """Stop a job; what it has done stays done. Stopping one that is over changes nothing."""
        done = await jobs.cancel(info.context.caller, nodes.uuid_of("id", input.id, "Job"), said(input))
        return CancelJobPayload(job=Job.of(done.row), audit_entry=AuditEntry.seen(info.context, done.entry))
