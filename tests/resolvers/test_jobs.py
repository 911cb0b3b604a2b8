"""Revoking many: exactly those named, each once and with one entry, in the name of whoever started it."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from core import chain
from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from core.secret import Secret
from core.vocabulary import BuiltInRole
from models import ActorKind, AuditEntry, Job, JobState, Member, Token, TokenKind, TokenState, new_id, now
from resolvers import callers, jobs, members, sessions, tokens, working, writing
from resolvers.callers import Caller, identify, is_current
from resolvers.lists import TokenFilter
from resolvers.members import Grant
from resolvers.reading import readable_jobs
from resolvers.tokens import DESCENDANTS
from resolvers.writing import Said
from tests.organisation import Organisation, founded
from tests.resolvers.conftest import Away, Refused, SetClock

OLD = TokenFilter(text="old")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "CHUNK", 3)
    monkeypatch.setattr(working, "SLICE", 2)


async def some(maker: Organisation, many: int, caller: Caller | None = None, **wanted: Any) -> list[UUID]:
    wanted.setdefault("name", "old")
    return [(await maker.made(caller or maker.owner, **wanted)).row.id for _ in range(many)]


async def start(caller: Caller, wanted: TokenFilter = OLD, **said: Any) -> Job:
    return (await jobs.revoke_tokens(caller, wanted, Said(**said))).row


async def finished(organisation: Organisation, job: Job) -> Job:
    """Do chunks as a server does until there are none left."""
    held: Sequence[Job] = ()
    while held := await working.work(organisation.house, held):
        pass
    return await Job.get(id=job.id)


async def revoked(ids: Sequence[UUID]) -> list[bool]:
    rows = {row.id: row for row in await Token.filter(id__in=list(ids))}
    return [rows[each].revoked_at is not None for each in ids]


async def deletions(ids: Sequence[UUID]) -> list[AuditEntry]:
    entries = await AuditEntry.filter(target_id__in=list(ids)).order_by("sequence")
    return [entry for entry in entries if entry.accesses[0]["action"] == "deleteAccessToken"]


async def verify_chain(organisation: Organisation) -> None:
    log = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    assert [entry.sequence for entry in log] == list(range(1, len(log) + 1))
    assert all(entry.previous == before.seal for before, entry in pairwise(log))
    assert all(entry.seal == chain.seal(entry.previous, entry.sealed()) for entry in log)


async def test_exactly_the_tokens_named_end_each_once_and_with_one_entry(organisation: Organisation) -> None:
    old, young = await some(organisation, 8), await some(organisation, 2, name="young")
    kept = await organisation.identify(organisation.secrets[str(old[0])])
    job = await start(organisation.owner, comment="tidy")
    late = await some(organisation, 1)
    assert (job.state, job.total, job.done) == (JobState.RUNNING, 8, 0)
    done = await finished(organisation, job)
    assert (done.state, done.total, done.done, done.skipped) == (JobState.DONE, 8, 8, 0)
    assert done.ended_at
    assert await revoked(old) == [True] * 8
    assert await revoked([*young, *late]) == [False] * 3
    assert not is_current(kept)
    entries = await deletions(old)
    assert sorted(entry.target_id for entry in entries) == sorted(old)
    assert organisation.owner.member
    for entry in entries:
        assert (entry.member_id, entry.comment) == (organisation.owner.member.id, "tidy")
        assert (entry.actor_kind, entry.request_id) == (ActorKind.SESSION, job.request_id)
        assert entry.because
        before, after = entry.before or {}, entry.after or {}
        assert {**before, "revokedAt": ""} == {**after, "revokedAt": ""}
        assert (before["revokedAt"], bool(after["revokedAt"])) == (None, True)
    about = await AuditEntry.filter(target_id=job.id).order_by("sequence")
    states = [((entry.before or {}).get("state"), (entry.after or {})["state"]) for entry in about]
    assert states == [(None, "RUNNING"), ("RUNNING", "DONE")]
    assert (about[0].after or {})["filter"] == {"text": "old"}
    assert (about[1].after or {})["done"] == 8
    await verify_chain(organisation)


def make_by_another_clock(monkeypatch: pytest.MonkeyPatch, ahead_s: int) -> None:
    """Have tokens made from here on by a process whose clock is ahead of this one's."""
    monkeypatch.setattr(tokens, "new_id", lambda: UUID(int=new_id().int + (ahead_s * 1000 << 80)))


async def test_what_was_there_ends_by_whichever_clock_it_was_made(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = await some(organisation, 2)
    make_by_another_clock(monkeypatch, 3600)
    ahead = await some(organisation, 4)
    job = await start(organisation.owner)
    assert min(ahead) > job.id
    later = await some(organisation, 2)
    done = await finished(organisation, job)
    assert (done.state, done.total, done.done, done.skipped) == (JobState.DONE, 6, 6, 0)
    assert await revoked([*behind, *ahead, *later]) == [True] * 6 + [False] * 2


async def test_what_was_made_since_does_not_end_even_by_a_clock_that_is_behind_the_jobs(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await some(organisation, 2)
    job_id = UUID(int=new_id().int + (3600 * 1000 << 80))
    monkeypatch.setattr(jobs, "new_id", lambda: job_id)
    job = await start(organisation.owner)
    later = await some(organisation, 2)
    assert max(later) < job.id
    assert (await finished(organisation, job)).done == 2
    assert await revoked([*old, *later]) == [True] * 2 + [False] * 2


async def test_a_job_for_which_there_is_nothing_to_do_is_done(organisation: Organisation) -> None:
    job = await start(organisation.owner)
    await some(organisation, 1)
    done = await finished(organisation, job)
    assert (done.state, done.total, done.done, done.skipped) == (JobState.DONE, 0, 0, 0)


async def test_a_dry_run_says_what_would_end_and_changes_nothing(organisation: Organisation, refused: Refused) -> None:
    await some(organisation, 3)
    preview = await jobs.preview(organisation.owner, OLD)
    assert (preview.count, preview.skipped) == (3, 0)
    assert [row.name for row in await (await preview.rows(organisation.owner)).limit(2)] == ["old", "old"]
    reader = await organisation.as_role(BuiltInRole.READER)
    with refused(Forbidden):
        await jobs.preview(reader, OLD)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (TokenFilter(), "filter"),
        (TokenFilter(state=TokenState.EXPIRED), "filter.state"),
        (TokenFilter(state=TokenState.REVOKED), "filter.state"),
        (TokenFilter(text=" "), "filter.text"),
    ],
)
async def test_a_filter_that_names_nothing_is_refused(
    organisation: Organisation, refused: Refused, wanted: TokenFilter, field: str
) -> None:
    for ask in (lambda: jobs.preview(organisation.owner, wanted), lambda: start(organisation.owner, wanted)):
        with refused(Invalid) as refusal:
            await ask()
        assert refusal.value.extensions["field"] == field


async def test_a_repeated_request_starts_nothing_twice(organisation: Organisation) -> None:
    job = await start(organisation.owner, idempotency_key="once")
    with pytest.raises(Conflict) as refusal:
        await start(organisation.owner, idempotency_key="once")
    assert refusal.value.extensions["first"]["resource"] == f"token-job/{job.id}"  # type: ignore[index]
    assert await Job.all().count() == 1


async def test_every_filter_is_kept_as_it_was_asked_for() -> None:
    at, each = now(), UUID(int=7)
    wanted = TokenFilter(
        *(TokenKind.SERVICE, TokenState.ACTIVE, each, each, each, False, each, "ci", BuiltInRole.READER),
        *(at, at, at, at, True, at, at, False, "x"),
    )
    assert TokenFilter.parse(wanted.json()) == wanted
    assert all(value is not None for value in wanted.json().values())
    assert TokenFilter.parse(TokenFilter().json()) == TokenFilter()


async def test_what_its_starter_may_not_revoke_is_skipped_and_counted(organisation: Organisation) -> None:
    own = [
        {"effect": "allow", "actions": ["viewAccessToken"], "resources": ["member/*:token/*", "service-token/*"]},
        {"effect": "allow", "actions": ["createJob"], "resources": ["token-job/*"]},
        {"effect": "allow", "actions": ["deleteAccessToken"], "resources": ["service-token/*"]},
    ]
    role = await organisation.role("tidier", *own)
    tidier = await organisation.session(await organisation.member(custom=(role,)))
    personal, services = await some(organisation, 4), await some(organisation, 4, kind=TokenKind.SERVICE)
    preview = await jobs.preview(tidier, OLD)
    assert (preview.count, preview.skipped) == (4, 4)
    job = await finished(organisation, await start(tidier))
    assert (job.state, job.done, job.skipped) == (JobState.DONE, 4, 4)
    assert await revoked([*personal, *services]) == [False] * 4 + [True] * 4
    assert [row.id for row in await readable_jobs(tidier)] == [job.id]
    stranger = await organisation.session(await organisation.member(custom=(role,)))
    assert await readable_jobs(stranger) == []
    assert [row.id for row in await readable_jobs(organisation.owner)] == [job.id]


async def test_what_was_made_with_a_token_ends_with_it_and_has_its_own_entry_if_it_was_named(
    organisation: Organisation,
) -> None:
    parent = await organisation.made(organisation.owner, name="old")
    caller = await organisation.identify(parent)
    named = await some(organisation, 1, caller)
    unnamed = await organisation.made(caller, name="young")
    grandchild = await some(organisation, 1, await organisation.identify(unnamed), name="young")
    job = await finished(organisation, await start(organisation.owner))
    assert (job.done, job.skipped) == (2, 0)
    assert await revoked([parent.row.id, *named, unnamed.row.id, *grandchild]) == [True] * 4
    told = {entry.target_id: (entry.after or {}).get(DESCENDANTS) for entry in await deletions([parent.row.id, *named])}
    assert told == {parent.row.id: 2, named[0]: None}
    assert await deletions([unnamed.row.id, *grandchild]) == []


async def test_the_credential_that_asks_is_spared_and_so_is_what_it_was_made_with(organisation: Organisation) -> None:
    parent = await organisation.made(organisation.owner, name="old")
    asking = await organisation.made(await organisation.identify(parent), name="old")
    others = await some(organisation, 2)
    job = await start(await organisation.identify(asking))
    assert job.total == 2
    assert (await finished(organisation, job)).done == 2
    assert await revoked([parent.row.id, asking.row.id, *others]) == [False, False, True, True]
    assert (await deletions(others))[0].token_id == asking.row.id


async def test_a_job_goes_on_when_the_session_that_started_it_has_ended(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    old = await some(organisation, 4, kind=TokenKind.SERVICE)
    job = await start(admin)
    held = await working.work(organisation.house)
    await sessions.sign_out(admin)
    with pytest.raises(Unauthenticated):
        await callers.again(admin)
    while held:
        held = await working.work(organisation.house, held)
    assert (await Job.get(id=job.id)).state is JobState.DONE
    assert await revoked(old) == [True] * 4


async def demoted(organisation: Organisation, member: Member) -> None:
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.READER), Said())


async def suspended(organisation: Organisation, member: Member) -> None:
    await members.suspend(organisation.owner, member.id, Said())


@pytest.mark.parametrize(
    ("end", "why"),
    [(demoted, "needs `createJob`"), (suspended, "the credential that it was started with does not work any more")],
)
async def test_a_job_fails_when_its_starter_may_not_go_on(organisation: Organisation, end: Any, why: str) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    old = await some(organisation, 5, kind=TokenKind.SERVICE)
    job = await start(admin)
    held = await working.work(organisation.house)
    await end(organisation, admin.member)
    assert await working.work(organisation.house, held) == []
    job = await Job.get(id=job.id)
    assert (job.state, job.done, job.skipped, job.held_until) == (JobState.FAILED, 3, 2, None)
    assert (job.error or "").startswith(why)
    assert (await revoked(old)).count(True) == 3
    entry = await AuditEntry.filter(target_id=job.id).order_by("-sequence").first()
    assert entry
    assert (entry.actor_kind, (entry.after or {})["error"]) == (ActorKind.SYSTEM, job.error)
    assert await working.work(organisation.house) == []
    await verify_chain(organisation)


async def test_a_job_of_a_token_fails_when_that_token_ends(organisation: Organisation) -> None:
    await some(organisation, 5)
    asking = await organisation.made(organisation.owner, name="robot", kind=TokenKind.SERVICE)
    job = await start(await organisation.identify(asking))
    held = await working.work(organisation.house)
    await tokens.revoke(organisation.owner, asking.row.id, Said())
    assert await working.work(organisation.house, held) == []
    assert (await Job.get(id=job.id)).state is JobState.FAILED


async def test_a_cancelled_job_stops_and_what_it_has_done_stays_done(organisation: Organisation) -> None:
    old = await some(organisation, 5)
    job = await start(organisation.owner)
    held = await working.work(organisation.house)
    done = await jobs.cancel(organisation.owner, job.id, Said("enough"))
    assert (done.row.state, done.entry and done.entry.comment) == (JobState.CANCELLED, "enough")
    assert await working.work(organisation.house, held) == []
    assert (await revoked(old)).count(True) == 3
    again = await jobs.cancel(organisation.owner, job.id, Said())
    assert (again.row.state, again.entry) == (JobState.CANCELLED, None)


async def test_who_does_not_see_a_job_cannot_cancel_it_nor_who_may_not(
    organisation: Organisation, refused: Refused
) -> None:
    job = await start(organisation.owner)
    reader = await organisation.as_role(BuiltInRole.READER)
    with refused(NotFound):
        await jobs.cancel(reader, job.id, Said())
    role = await organisation.role("watcher", {"effect": "allow", "actions": ["viewJob"], "resources": ["token-job/*"]})
    watcher = await organisation.session(await organisation.member(custom=(role,)))
    with refused(Forbidden):
        await jobs.cancel(watcher, job.id, Said())


async def test_a_job_is_one_process_at_a_time_and_anothers_when_that_one_dies(
    organisation: Organisation, set_clock: SetClock
) -> None:
    old = await some(organisation, 7)
    job = await start(organisation.owner)
    dead = await working.work(organisation.house)
    assert [row.id for row in dead] == [job.id]
    assert await working.work(organisation.house) == []
    assert (await Job.get(id=job.id)).done == 3
    set_clock(now() + working.HELD_FOR + timedelta(seconds=1))
    heir = await working.work(organisation.house)
    assert (await Job.get(id=job.id)).done == 6
    assert await working.work(organisation.house, dead) == []  # it was not dead after all, and touches nothing
    assert (await Job.get(id=job.id)).done == 6
    assert await working.work(organisation.house, heir) == []
    job = await Job.get(id=job.id)
    assert (job.state, job.done) == (JobState.DONE, 7)
    assert sorted(entry.target_id for entry in await deletions(old)) == sorted(old)


async def test_a_chunk_that_fails_has_done_nothing_and_is_done_again(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, set_clock: SetClock
) -> None:
    old = await some(organisation, 4)
    job = await start(organisation.owner)
    append_all, calls = writing.append_all, 0

    async def failing(*args: Any) -> None:
        nonlocal calls
        calls += 1
        await append_all(*args)
        if calls == 2:
            raise OSError("the disk is full")

    monkeypatch.setattr(working, "append_all", failing)
    assert await working.work(organisation.house) == []
    assert await revoked(old) == [False] * 4
    assert (await Job.get(id=job.id)).done == 0
    set_clock(now() + working.HELD_FOR + timedelta(seconds=1))
    assert (await finished(organisation, job)).done == 4
    assert len(await deletions(old)) == 4
    await verify_chain(organisation)


async def test_a_job_that_fails_again_and_again_holds_up_no_other(
    organisation: Organisation, set_clock: SetClock
) -> None:
    newer = await start(organisation.owner)
    await Job.filter(id=newer.id).update(wanted={"kind": "ONE_OF_A_LATER_VERSION"})
    others = await some(organisation, 4, name="other")
    job = await start(organisation.owner, TokenFilter(text="other"))
    assert await working.work(organisation.house) == []
    assert [row.id for row in await working.work(organisation.house)] == [job.id]
    set_clock(now() + working.HELD_FOR + timedelta(seconds=1))
    assert await working.work(organisation.house) == []
    assert (await finished(organisation, job)).state is JobState.DONE
    assert await revoked(others) == [True] * 4
    assert (await Job.get(id=newer.id)).state is JobState.RUNNING


async def test_an_account_of_many_jobs_keeps_no_other_account_waiting(organisation: Organisation) -> None:
    await some(organisation, 4)
    first, *_ = [await start(organisation.owner) for _ in range(working.MOST_HELD + 1)]
    other = await founded(organisation.house.database, "other")
    await some(other, 4)
    theirs = await start(other.owner)
    held = await working.work(organisation.house)
    assert [job.id for job in held] == [first.id, theirs.id]
    assert (await Job.get(id=theirs.id)).done == 3


async def test_a_request_in_flight_brings_nothing_back_that_was_revoked(organisation: Organisation) -> None:
    (token_id,) = await some(organisation, 1)
    secret = organisation.secrets[str(token_id)]
    flying = await identify(secret, organisation.request)
    use = callers.use_of(flying, "192.0.2.9", "slow")
    use.note()
    stale = await callers._proved("token_id", [str(token_id)])  # noqa: SLF001 - what a request read before
    await finished(organisation, await start(organisation.owner))
    stale.key_id = "an older one"
    newest = organisation.house.keys.candidates(Secret.parse(secret))[0]
    await callers._renewed(stale, newest)  # noqa: SLF001 - its bookkeeping
    await organisation.house.uses.flush()
    row = await Token.get(id=token_id)
    assert row.revoked_at
    assert row.last_used_agent == "slow"
    with pytest.raises(Unauthenticated):
        await identify(secret, organisation.request)
    with pytest.raises(Unauthenticated):
        await tokens.revoke(flying, token_id, Said())


async def test_without_a_database_the_end_goes_on_and_a_job_is_gone_on_with_later(
    organisation: Organisation, away: Away, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(working, "PAUSES_S", (1.0, 3.0))  # so that it ends between two chunks
    await some(organisation, 4)
    job = await start(organisation.owner)
    with ExitStack() as until_then:
        async with working.working(organisation.house):
            while not (await Job.get(id=job.id)).done:  # noqa: ASYNC110 - what another task does
                await asyncio.sleep(0.01)
            until_then.enter_context(away())
    assert f"job {job.id} could not be let go of" in caplog.text
    assert (await Job.get(id=job.id)).held_until
