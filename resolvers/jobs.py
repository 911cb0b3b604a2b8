"""Jobs: what is done to many tokens. Here they are started and stopped; `resolvers.working` does them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from tortoise.queryset import QuerySet

from core.errors import Invalid
from core.vocabulary import Action
from models import Job, JobKind, JobState, SecretDigest, Token, TokenState, living, new_id, now
from resolvers import lists
from resolvers.callers import Caller
from resolvers.lists import TokenFilter
from resolvers.reading import readable_jobs, revocable
from resolvers.writing import At, Done, Said, change

LIVING = (TokenState.ACTIVE, TokenState.OWNER_INACTIVE)
"""The states of tokens that there is something to revoke of."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What revoking would come to now: how many tokens would end, and how many the caller sees but may not end."""

    wanted: TokenFilter
    count: int
    skipped: int

    @classmethod
    async def of(cls, caller: Caller, wanted: TokenFilter) -> "Preview":
        """Count, for whoever may start such a job."""
        rows = await targets(caller, wanted)
        count, found = await rows.filter(revocable(caller)).count(), await rows.count()
        return cls(wanted, count, found - count)

    async def rows(self, caller: Caller) -> QuerySet[Token]:
        """List the tokens that would end, each with its owner."""
        return (await targets(caller, self.wanted)).filter(revocable(caller))


async def targets(caller: Caller, wanted: TokenFilter) -> QuerySet[Token]:
    """List the living tokens that a filter names, but for the one that asks, and those it was made with."""
    rows = (await lists.tokens(caller, wanted)).filter(living(now(), caller.account))
    spared = await _line_of(caller)
    return rows.exclude(id__in=spared) if spared else rows


async def _line_of(caller: Caller) -> Sequence[UUID]:
    """Give the caller's token and its ancestors, with any of which it would end itself."""
    line: list[UUID] = []
    token = None if caller.is_session else caller.token
    while token is not None:
        line.append(token.id)
        token = await Token.get_or_none(account_id=token.account_id, id=token.parent_id) if token.parent_id else None
    return line


async def preview(caller: Caller, wanted: TokenFilter) -> Preview:
    """Say what `revoke_tokens` would do. Nothing changes."""
    _refuse_vague(wanted)
    caller.require(Action.CREATE_JOB, _job(caller, wanted, Said()))
    return await Preview.of(caller, wanted)


async def revoke_tokens(caller: Caller, wanted: TokenFilter, said: Said) -> Done[Job]:
    """Start revoking all living tokens that a filter names, as far as the caller may."""
    _refuse_vague(wanted)
    job = _job(caller, wanted, said)
    async with change(caller, Action.CREATE_JOB, job, said) as deed:
        job.total = await (await targets(deed.caller, wanted)).count()
        job.after_id = await _beyond_all(caller.account.id)
        deed.make(job)
    caller.request.house.errand.set()
    return Done(job, deed.entry)


async def _beyond_all(account_id: UUID) -> UUID:
    """Give an id just beyond those of all tokens that there are. The head is locked: none is made meanwhile.

    The job's own would not do: a process whose clock is ahead makes tokens with later ones, before or after.
    """
    latest = await Token.filter(account_id=account_id).order_by("-id").only("id").first()
    return UUID(int=latest.id.int + 1 if latest else 0)


def _refuse_vague(wanted: TokenFilter) -> None:
    if wanted == TokenFilter():
        raise Invalid("filter", "must name at least one criterion")
    if wanted.state is not None and wanted.state not in LIVING:
        raise Invalid("filter.state", f"must be {' or '.join(f'`{state}`' for state in LIVING)}: the others have ended")


def _job(caller: Caller, wanted: TokenFilter, said: Said) -> Job:
    request = caller.request
    return Job(
        id=new_id(),
        account_id=caller.account.id,
        kind=JobKind.REVOKE_TOKENS,
        wanted=wanted.json(),
        comment=said.comment,
        member_id=caller.member.id if caller.member else None,
        proof_id=caller.proof.id if isinstance(caller.proof, SecretDigest) else None,
        request_id=request.id,
        address=request.address,
        user_agent=request.user_agent,
    )


async def cancel(caller: Caller, job_id: UUID, said: Said) -> Done[Job]:
    """Stop a job; what it has done stays done. Stopping one that is over changes nothing."""
    async with change(caller, Action.CANCEL_JOB, At(Job, job_id, _seen), said) as deed:
        if deed.row.state is JobState.RUNNING:
            await end(deed.row, JobState.CANCELLED)
    return Done(deed.row, deed.entry)


def _seen(caller: Caller, _: type[Job]) -> QuerySet[Job]:
    return readable_jobs(caller)


async def end(job: Job, state: JobState, error: str | None = None) -> None:
    """End a job, which the transaction has locked."""
    job.state, job.error, job.ended_at, job.held_until = state, error, now(), None
    await job.save()
