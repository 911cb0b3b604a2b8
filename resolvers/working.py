"""Does the jobs that were started: a chunk of each in turn, each chunk one transaction, in the name of its starter.

A process holds the jobs that it works on for some seconds at a time, so that another goes on with them if it dies. It
waits between two chunks: other writers get their turn, and what a chunk makes forgotten is remembered again.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.expressions import F, Q
from tortoise.queryset import QuerySet

from core.errors import Forbidden, Refusal, Unauthenticated
from core.law import Verdict
from core.slices import sliced
from core.vocabulary import Action
from models import Account, ActorKind, AuditHead, Job, JobState, Token, TokenRole, now
from models.database import outside_transaction
from resolvers import jobs
from resolvers.callers import Caller, Request, of_job, with_credential
from resolvers.house import House
from resolvers.lists import TokenFilter
from resolvers.statements import Statement, found
from resolvers.tokens import DESCENDANTS, revoke_descendants
from resolvers.writing import At, Line, Said, any_row, append_all, because, change, opened

CHUNK = 100
"""How many tokens end in one transaction."""
SLICE = 5
"""Of how many of them the entries are written at a time."""
BREATH_S = 0.003
"""For how long others have the process to themselves between two such times: a request takes several turns."""
PAUSES_S = (0.3, 3.0)
"""How long at least, and at most, between two chunks."""
REST = 4
"""How many times as long it rests as it worked, so that where all is slow it makes nothing slower."""
LOOK_EVERY_S = 2.0
"""How often a process looks for jobs that another left."""
HELD_FOR = timedelta(seconds=10)
MOST_HELD = 4
"""How many jobs a process works on at once, each another account's; others wait, or are another process's."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def working(house: House) -> AsyncIterator[None]:
    """Do jobs until the end; what is not done by then, another process goes on with, or this one when it is back."""
    ending = asyncio.Event()
    task = asyncio.create_task(_work_until(ending, house), context=outside_transaction())
    try:
        yield
    finally:
        ending.set()  # never cancelled: nobody could say whether a chunk had been done
        house.errand.set()
        await task


async def _work_until(ending: asyncio.Event, house: House) -> None:
    held: list[Job] = []
    while not ending.is_set():
        house.errand.clear()
        begin = time.monotonic()
        try:
            held = await work(house, held)
        except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
            _log.warning("jobs could not be worked on; they are gone on with", exc_info=True)
            held = []
        least, most = PAUSES_S
        pause = asyncio.sleep(min(most, max(least, REST * (time.monotonic() - begin)))) if held else _called(house)
        await pause
    for job in held:
        await _let_go(job)


async def _let_go(job: Job) -> None:
    """Leave a job to whoever comes first. If the database is away, that takes as long as this process holds it."""
    try:
        await _mine(job).update(held_until=None)
    except Exception:  # noqa: BLE001 - whatever the database says, the end goes on
        _log.warning("job %s could not be let go of; it is gone on with a little later", job.id, exc_info=True)


async def _called(house: House) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_EVERY_S):
            await house.errand.wait()


async def work(house: House, held: Sequence[Job] = ()) -> list[Job]:
    """Do a chunk of each job that is held, or that nobody holds; gives those that there is more to do of."""
    taken = [*held, *await _take(held)]
    return [job for job in taken if await _goes_on(house, job)]


async def _goes_on(house: House, job: Job) -> bool:
    """Do the next chunk of a job as `_is_left` does; one that fails is tried again later, and holds up no other."""
    try:
        return await _is_left(house, job)
    except Exception:  # noqa: BLE001 - whatever the database, or a job that a later version began, says
        _log.warning("job %s could not be worked on; it is gone on with", job.id, exc_info=True)
        return False


async def _take(held: Sequence[Job]) -> list[Job]:
    """Take jobs that nobody holds, one of each account: its others would only wait for the same head of its log."""
    at = now()
    free = Job.filter(Q(held_until=None) | Q(held_until__lt=at), state=JobState.RUNNING).order_by("id")
    taken: list[Job] = []
    while len(held) + len(taken) < MOST_HELD:
        job = await free.exclude(account_id__in=[job.account_id for job in (*held, *taken)]).first()
        if job is None:
            break
        job.held_until = at + HELD_FOR
        if await free.filter(id=job.id).update(held_until=job.held_until):  # else another process was faster
            taken.append(job)
    return taken


def _mine(job: Job) -> QuerySet[Job]:
    """Find a job as long as this process holds it: no two of them hold it until the same moment."""
    return Job.filter(account_id=job.account_id, id=job.id, state=JobState.RUNNING, held_until=job.held_until)


async def _is_left(house: House, job: Job) -> bool:
    """Do the next chunk of a job, and end it if that was the last; says whether there is more to do."""
    request = Request(house, job.request_id, job.address, job.user_agent)
    try:
        caller = await of_job(job, request)
        done = await _chunk(caller, job)
        if done is None or done == CHUNK:
            return done is not None
        await _finish(caller, job, JobState.DONE)
    except Refusal as refusal:
        dead = "the credential that it was started with does not work any more"
        why = dead if isinstance(refusal, Unauthenticated) else refusal.message
        account = await Account.get(id=job.account_id)
        await _finish(await with_credential(account, request, ActorKind.SYSTEM), job, JobState.FAILED, why)
    return False


async def _finish(caller: Caller, job: Job, state: JobState, error: str | None = None) -> None:
    """End a job with an entry: in its starter's name if it is done, in Latchkey's own if it cannot be."""
    action = Action.CREATE_JOB if state is JobState.DONE else Action.CANCEL_JOB
    async with change(caller, action, At(Job, job.id, any_row), Said(job.comment)) as deed:
        if await _mine(job).exists():
            # What matched when it was started and does not any more has ended, or was used, or whatever was asked for.
            deed.row.skipped = max(deed.row.skipped, deed.row.total - deed.row.done)
            await jobs.end(deed.row, state, error)


async def _chunk(caller: Caller, job: Job) -> int | None:
    """Do the next chunk; gives how many tokens it was about, None if the job is over, or another process's."""
    async with opened(caller, Said()) as (fresh, head):
        if await _mine(job).select_for_update().first() is None:  # nobody takes it until this is committed
            return None
        fresh.require(Action.CREATE_JOB, job)
        if not fresh.could(Action.DELETE_ACCESS_TOKEN):
            raise Forbidden(Action.DELETE_ACCESS_TOKEN.value)
        tokens = await _next(fresh, job)
        ended = await _revoke(fresh, head, job, tokens)
        held_until = now() + HELD_FOR
        await _mine(job).update(
            done=F("done") + ended,
            skipped=F("skipped") + (len(tokens) - ended),
            after_id=tokens[-1].id if tokens else job.after_id,
            held_until=held_until,
            version=F("version") + 1,
            updated_at=now(),
        )
        if ended:
            await Account.filter(id=job.account_id).update(version=F("version") + 1)
    job.held_until = held_until
    if tokens:
        job.after_id = tokens[-1].id
    return len(tokens)


async def _next(caller: Caller, job: Job) -> list[Token]:
    """Find the tokens of the next chunk, those made last first, from the last one that there was at the start."""
    wanted = await jobs.targets(caller, TokenFilter.parse(job.wanted))
    beyond = job.after_id or job.id  # the latter for a job that an earlier version started
    rows = Statement.of(wanted.filter(id__lt=beyond).order_by("-id").limit(CHUNK))
    raw = await found(rows.sql, rows.values)
    tokens: list[Token] = []
    for some in sliced(raw, SLICE):
        tokens += rows.rows(some)
        await asyncio.sleep(BREATH_S)
    roles = TokenRole.filter(account_id=job.account_id, token_id__in=[token.id for token in tokens])
    held = defaultdict[UUID, list[TokenRole]](list)
    for row in await roles.select_related("role"):
        held[row.token_id].append(row)
    for token in tokens:
        token.roles._set_result_for_query(held[token.id])  # noqa: SLF001 - as Tortoise's prefetching does
    return tokens


async def _revoke(caller: Caller, head: AuditHead, job: Job, tokens: Sequence[Token]) -> int:
    """Revoke those tokens that the caller may, and what was made with them, as `tokens.revoke` does; says how many.

    Each has an entry of its own. What was made with one, and is not among those wanted, is told by that one's.
    """
    ending: list[tuple[Token, Verdict]] = []
    for place, token in enumerate(tokens):
        if verdict := caller.may(Action.DELETE_ACCESS_TOKEN, token):
            ending.append((token, verdict))
        if place % SLICE == 0:
            await asyncio.sleep(BREATH_S)
    at, ids = now(), [token.id for token, _ in ending]
    of_account = Token.filter(account_id=job.account_id)
    await of_account.filter(id__in=ids).update(revoked_at=at, version=F("version") + 1, updated_at=at)
    parents = await of_account.filter(parent_id__in=ids).distinct().values_list("parent_id", flat=True)
    descendants = {token.id: await revoke_descendants(token) for token, _ in ending if token.id in parents}
    for some in sliced(ending, SLICE):
        await append_all(caller, head, (_line(job, *each, at, descendants.get(each[0].id, 0)) for each in some))
        await asyncio.sleep(BREATH_S)
    return len(ending)


def _line(job: Job, token: Token, verdict: Verdict, at: datetime, descendants: int) -> Line:
    action, resource, before = Action.DELETE_ACCESS_TOKEN, token.resource, token.snapshot()
    token.revoked_at = at
    told = {DESCENDANTS: descendants} if descendants else {}
    return Line(
        target_kind=resource.path[-1],
        target_id=token.id,
        target_resource=str(resource),
        target_name=token.label,
        target_member_id=token.owner_id,
        accesses=[{"action": action.value, "resource": str(resource)}],
        because=[because(action, verdict)],
        before=before,
        after={**token.snapshot(), **told},
        comment=job.comment,
    )
