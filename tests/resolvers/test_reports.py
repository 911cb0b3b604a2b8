"""What integrations report: whole or not at all, in the one chain, and never more believed than it is proven."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import chain
from core.errors import Conflict, Forbidden, Invalid, RateLimited
from core.secret import Secret, SecretKind
from core.vocabulary import BuiltInRole
from models import Account, AuditAccess, AuditEntry, AuditHead, Token, TokenKind, now
from models.writes import Write, write
from resolvers import entries, members, reports, tokens, verification, writing
from resolvers.access import Question
from resolvers.callers import Caller
from resolvers.entries import EntryFilter
from resolvers.pace import Pace
from resolvers.reports import Deed, OnBehalfOf
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation, founded
from tests.resolvers.conftest import Refused, SetClock

FLAG = "proj/web:env/dev:flag/f"
DEED = Deed("updateOn", FLAG)
MAY = {"effect": "allow", "actions": ["recordAuditEntry", "verifyAccessToken"], "resources": ["acct"]}
SEES = {"effect": "allow", "actions": ["viewAccessToken"], "resources": ["member/*:token/*", "service-token/*"]}


async def integration(organisation: Organisation, *more: dict[str, Any]) -> Caller:
    """A service token that may report and verify, and what else is said."""
    return await organisation.token(organisation.owner, Scope(statements=[MAY, *more]), TokenKind.SERVICE, name="CI")


async def unbroken(organisation: Organisation) -> int:
    rows = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    sealed = [(row.sealed(), row.previous, row.seal) for row in rows]
    assert chain.verify(str(organisation.account.id), sealed) is None
    head = await AuditHead.get(account_id=organisation.account.id)
    assert (head.sequence, head.seal) == (rows[-1].sequence, rows[-1].seal)
    return len(rows)


async def decided(asker: Caller, secret: str, question: Question) -> str:
    """Ask as an integration does, and take the decision id."""
    verified = await verification.verify(asker, secret, None, [question])
    assert verified
    receipt = verified.receipt(verified.answers.decisions[0])
    assert receipt
    return receipt


async def test_what_was_done_stands_in_the_log_with_the_integration_as_its_actor(organisation: Organisation) -> None:
    caller = await integration(organisation)
    version, length = (await Account.get(id=organisation.account.id)).version, await unbroken(organisation)
    at = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    details = {"on": {"before": False, "after": True}, "rules": [1, None, "ü"], "2": -(2**53) + 1}
    before = now()

    [first, second] = await reports.record(
        caller, [replace(DEED, at=at, details=details, comment="mine"), Deed("viewProject", "proj/web")], Said("all")
    )

    assert caller.token
    entry = await AuditEntry.get(id=first.id)
    assert (entry.actor_kind, entry.token_id, entry.token_name) == ("SERVICE", caller.token.id, "CI")
    assert (entry.member_id, entry.outcome, entry.request_id) == (None, "DONE", caller.request.id)
    assert entry.accesses == [{"action": "updateOn", "resource": FLAG}]
    assert (entry.target_kind, entry.target_resource, entry.target_name) == ("flag", FLAG, "f")
    assert (entry.before, entry.after, entry.comment) == (None, details, "mine")
    assert entry.reported_at == at
    assert before <= entry.at <= now()
    assert entry.because[0]["action"] == "recordAuditEntry"
    assert (entry.behalf_token_id, entry.behalf_verified) == (None, None)
    assert (second.comment, second.after, second.sequence) == ("all", None, first.sequence + 1)
    assert second.reported_at
    assert await AuditAccess.filter(entry_id=first.id, action="updateOn", resource=FLAG).exists()
    assert await unbroken(organisation) == length + 2
    assert (await Account.get(id=organisation.account.id)).version == version


async def test_one_resource_is_one_target_whatever_is_stated_of_it(organisation: Organisation) -> None:
    caller = await integration(organisation)
    deeds = [DEED, Deed("viewFlag", f"{FLAG};qa"), Deed("updateOn", "proj/web:env/dev:flag/g")]
    one, same, other = await reports.record(caller, deeds, Said())
    assert (one.target_id, one.target_resource) == (same.target_id, same.target_resource)
    assert other.target_id != one.target_id
    assert UUID(str(one.target_id)).version == 5


async def test_a_decision_id_proves_whose_token_it_was(organisation: Organisation) -> None:
    caller = await integration(organisation)
    writer = await organisation.session(await organisation.member(BuiltInRole.WRITER, name="Wanda"))
    made = await organisation.made(writer, name="laptop")
    receipt = await decided(caller, made.secret or "", Question("updateOn", f"{FLAG};qa"))
    proven = Deed("updateOn", f"{FLAG};qa", OnBehalfOf(decision_id=receipt))
    await tokens.revoke(writer, made.row.id, Said())  # the proof is of then

    [entry] = await reports.record(caller, [proven], Said())

    assert writer.member
    entry = await AuditEntry.get(id=entry.id)
    assert (entry.behalf_token_id, entry.behalf_token_name) == (made.row.id, "laptop")
    assert entry.behalf_token_ending == (made.secret or "")[-4:]
    assert (entry.behalf_member_id, entry.behalf_member_name) == (writer.member.id, "Wanda")
    assert entry.behalf_verified is True
    await unbroken(organisation)


async def test_a_decision_id_proves_nothing_else_to_nobody_else_and_not_for_ever(
    organisation: Organisation, refused: Refused, set_clock: SetClock
) -> None:
    caller, other = await integration(organisation), await integration(organisation)
    secret = (await organisation.made(organisation.owner)).secret or ""
    receipt = await decided(caller, secret, Question("updateOn", FLAG))
    proven = replace(DEED, on_behalf_of=OnBehalfOf(decision_id=receipt))
    flipped = receipt[:-3] + ("A" if receipt[-3] != "A" else "B") + receipt[-2:]
    bad = [
        (other, proven),
        (caller, replace(proven, action="viewFlag")),
        (caller, replace(proven, resource="proj/web:env/dev:flag/g")),
        (caller, replace(proven, resource=f"{FLAG};qa")),
        *(
            (caller, replace(proven, on_behalf_of=OnBehalfOf(decision_id=text)))
            for text in ("", "ü", "x" * 51, flipped)
        ),
    ]
    said = set()
    for asker, deed in bad:
        with refused(Invalid) as refusal:
            await reports.record(asker, [DEED, deed], Said())
        assert refusal.value.field == "entries[1].onBehalfOf.decisionId"
        said.add(refusal.value.problem)
    at = now()
    set_clock(at + timedelta(hours=24, seconds=1))
    with refused(Invalid) as refusal:
        await reports.record(caller, [proven], Said())
    assert said == {refusal.value.problem}
    set_clock(at + timedelta(hours=23, minutes=59))
    assert await reports.record(caller, [proven], Said())


async def test_a_token_id_alone_is_a_claim(organisation: Organisation) -> None:
    caller = await integration(organisation, SEES)
    mine = (await organisation.made(organisation.owner, name="laptop")).row
    robot = (await organisation.made(organisation.owner, kind=TokenKind.SERVICE, name="robot")).row
    claims = [replace(DEED, on_behalf_of=OnBehalfOf(token_id=row.id)) for row in (mine, robot)]
    owned, unowned = await reports.record(caller, claims, Said())
    assert organisation.owner.member
    assert (owned.behalf_token_id, owned.behalf_member_id) == (mine.id, organisation.owner.member.id)
    assert (owned.behalf_verified, unowned.behalf_verified) == (False, False)
    assert (unowned.behalf_token_name, unowned.behalf_member_id) == ("robot", None)


async def test_a_hidden_token_and_none_are_refused_alike(
    organisation: Organisation, refused: Refused, statements: list[str]
) -> None:
    caller = await integration(organisation)
    hidden = (await organisation.made(organisation.owner)).row.id
    elsewhere = await founded(organisation.house.database, "other")
    told = []
    for token_id in (uuid4(), hidden, (await elsewhere.made(elsewhere.owner)).row.id):
        statements.clear()
        with refused(Invalid) as refusal:
            await reports.record(caller, [replace(DEED, on_behalf_of=OnBehalfOf(token_id=token_id))], Said())
        assert refusal.value.field == "entries[0].onBehalfOf.token"
        told.append((str(refusal.value), list(statements)))
    assert told[0] == told[1] == told[2]


async def test_a_session_is_no_token_to_claim(organisation: Organisation, refused: Refused) -> None:
    caller = await integration(organisation, {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    assert organisation.owner.token
    with refused(Invalid):
        deed = replace(DEED, on_behalf_of=OnBehalfOf(token_id=organisation.owner.token.id))
        await reports.record(caller, [deed], Said())


LONG = "x" * 300


@pytest.mark.parametrize(
    ("deed", "field"),
    [
        (Deed("updateRole", "member/x"), "action"),
        (Deed("viewAccount", "acct"), "action"),
        (Deed("createRole", "role/x"), "action"),
        (Deed("createAccessToken", "member/x:token/y"), "action"),
        (Deed("updateOff", FLAG), "action"),
        (Deed("updateRole", FLAG), "action"),
        (Deed("updateOn", "proj/web"), "action"),
        (Deed("updateOn", "proj/*:env/dev:flag/f"), "resource"),
        (Deed("updateOn", "flag/f"), "resource"),
        (Deed("updateOn", ""), "resource"),
        (Deed("updateOn", "proj/web:env/dev:flag/\x00"), "resource"),
        (Deed("updateOn", f"proj/{LONG[:200]}:env/{LONG[:200]}:flag/{LONG[:200]}"), "resource"),
        (replace(DEED, at=datetime(2026, 1, 1)), "at"),  # noqa: DTZ001 - that is the point
        (replace(DEED, at=datetime.max.replace(tzinfo=UTC)), "at"),
        (replace(DEED, at=datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))), "at"),
        (replace(DEED, comment="x" * 1025), "comment"),
        (replace(DEED, comment="\x07"), "comment"),
        (replace(DEED, on_behalf_of=OnBehalfOf()), "onBehalfOf"),
        (replace(DEED, details=[]), "details"),
        (replace(DEED, details="text"), "details"),
        (replace(DEED, details={"a": [{"b": 0.5}]}), "details.a[0].b"),
        (replace(DEED, details={"a": 1.0}), "details.a"),
        (replace(DEED, details={"a": float("nan")}), "details.a"),
        (replace(DEED, details={"a": 2**53}), "details.a"),
        (replace(DEED, details={"a": "\ud800"}), "details"),
        (replace(DEED, details={"a": "x" * 4096}), "details"),
    ],
)
async def test_what_the_log_cannot_hold_is_refused_by_its_name(
    organisation: Organisation, refused: Refused, deed: Deed, field: str
) -> None:
    caller = await integration(organisation)
    with refused(Invalid) as refusal:
        await reports.record(caller, [DEED, deed], Said())
    assert refusal.value.field == f"entries[1].{field}"


def nested(depth: int) -> Any:
    return {} if depth == 1 else {"a": nested(depth - 1)}


async def test_details_are_held_up_to_their_limits(organisation: Organisation, refused: Refused) -> None:
    caller = await integration(organisation)
    largest = {"a": "x" * (4096 - len('{"a":""}'))}
    held = [largest, nested(reports.DETAILS_DEPTH), {"": "\x00\n"}, {}]
    rows = await reports.record(caller, [replace(DEED, details=each) for each in held], Said())
    assert [(await AuditEntry.get(id=row.id)).after for row in rows] == held
    await unbroken(organisation)
    for depth in (reports.DETAILS_DEPTH + 1, 900):
        with refused(Invalid) as refusal:
            await reports.record(caller, [replace(DEED, details=nested(depth))], Said())
        assert refusal.value.field.startswith("entries[0].details.a.a")


@pytest.mark.parametrize("kind", SecretKind)
async def test_no_secret_gets_into_the_log(organisation: Organisation, refused: Refused, kind: SecretKind) -> None:
    caller = await integration(organisation)
    secret = Secret.mint(kind).text
    leaks = [
        replace(DEED, details={"headers": [f"Authorization: Bearer {secret}"]}),
        replace(DEED, details={secret: True}),
        replace(DEED, comment=f"with {secret}"),
        Deed("updateOn", f"proj/web:env/dev:flag/{secret}"),
    ]
    for deed in leaks:
        with refused(Invalid) as refusal:
            await reports.record(caller, [deed], Said())
        assert secret not in str(refusal.value)


async def test_a_clock_may_be_a_minute_ahead(organisation: Organisation, refused: Refused, set_clock: SetClock) -> None:
    caller, at = await integration(organisation), now()
    set_clock(at)
    assert await reports.record(caller, [replace(DEED, at=at + timedelta(seconds=60))], Said())
    with refused(Invalid) as refusal:
        await reports.record(caller, [replace(DEED, at=at + timedelta(seconds=61))], Said())
    assert refusal.value.field == "entries[0].at"


async def test_only_a_token_with_the_right_reports(organisation: Organisation, refused: Refused) -> None:
    allow = {"effect": "allow", "actions": ["verifyAccessToken"], "resources": ["acct"]}
    verifier = await organisation.token(organisation.owner, Scope(statements=[allow]), TokenKind.SERVICE)
    writer = await organisation.token(await organisation.as_role(BuiltInRole.WRITER))
    for caller in (organisation.owner, verifier, writer):  # a session never reports, whatever it may do
        with refused(Forbidden) as refusal:
            await reports.record(caller, [], Said())
        assert refusal.value.extensions["action"] == "recordAuditEntry"
    mine = await organisation.token(organisation.owner)
    [entry] = await reports.record(mine, [DEED], Said())
    assert (entry.actor_kind, entry.member_id) == ("PERSONAL", organisation.owner.member.id)  # type: ignore[union-attr]


async def test_the_caller_is_made_anew_inside_the_transaction(organisation: Organisation, refused: Refused) -> None:
    caller = await integration(organisation)
    await Token.filter(id=caller.token.id).update(revoked_at=now())  # type: ignore[union-attr]
    with pytest.raises(Exception, match="credential"):
        await reports.record(caller, [DEED], Said())
    demoted = await organisation.member(BuiltInRole.ADMIN)
    token = await organisation.token(await organisation.session(demoted))
    await members.assign_roles(organisation.owner, demoted.id, members.Grant(BuiltInRole.READER), Said())
    with refused(Forbidden):
        await reports.record(token, [DEED], Said())


@pytest.mark.parametrize("deeds", [[], [DEED] * 101])
async def test_there_are_one_to_a_hundred(organisation: Organisation, refused: Refused, deeds: Sequence[Deed]) -> None:
    caller = await integration(organisation)
    with refused(Invalid) as refusal:
        await reports.record(caller, deeds, Said())
    assert refusal.value.field == "entries"


async def test_a_replay_is_a_conflict_that_names_the_first_result(organisation: Organisation, refused: Refused) -> None:
    caller, said = await integration(organisation), Said(idempotency_key="once")
    first, *_ = await reports.record(caller, [DEED] * 100, said)
    length = await unbroken(organisation)
    with refused(Conflict) as refusal:
        await reports.record(caller, [Deed("viewProject", "proj/web")], said)
    told: Any = refusal.value.extensions["first"]
    assert (refusal.value.extensions["field"], told["resource"]) == ("idempotencyKey", FLAG)
    assert told["id"] is None
    assert await reports.record(await integration(organisation), [DEED], said)
    assert await unbroken(organisation) == length + 2  # a token was made
    assert first.idempotency_key == "once"


async def test_a_failure_after_the_last_line_leaves_nothing(
    organisation: Organisation, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await integration(organisation)
    before = elsewhere.everything()
    done: list[AuditEntry] = []

    async def breaking(*arguments: Any) -> None:
        done.extend(await writing.append_all(*arguments))
        raise RuntimeError("the power is out")

    monkeypatch.setattr(reports, "append_all", breaking)
    with pytest.raises(RuntimeError):
        await reports.record(caller, [DEED] * 3, Said())
    assert len(done) == 3
    assert elsewhere.everything() == before


async def test_many_are_written_as_few_are(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    caller, written = await integration(organisation), list[int]()

    async def counted(*writes: Write) -> None:
        written.append(len(writes))
        await write(*writes)

    monkeypatch.setattr(writing, "write", counted)
    assert len(await reports.record(caller, [DEED] * 40, Said())) == 40
    assert written == [2 * 40 + 1]


async def test_forty_at_once_lose_nothing_and_fork_no_chain(organisation: Organisation) -> None:
    caller = await integration(organisation)
    before = await unbroken(organisation)
    done = await asyncio.gather(*(reports.record(caller, [DEED, DEED], Said()) for _ in range(40)))
    assert len({row.seal for rows in done for row in rows}) == 80
    assert all(second.sequence == first.sequence + 1 for first, second in done)
    assert await unbroken(organisation) == before + 80


async def test_followers_are_rung_once_it_is_committed(organisation: Organisation) -> None:
    caller, house = await integration(organisation), organisation.house
    with house.bell.listening(organisation.account.id, "tests") as rung:
        with pytest.raises(Invalid):
            await reports.record(caller, [DEED, Deed("none", FLAG)], Said())
        assert not rung.is_set()
        await reports.record(caller, [DEED], Said())
        assert rung.is_set()


async def test_entries_are_found_by_the_token_and_the_member_on_whose_behalf_it_was(
    organisation: Organisation,
) -> None:
    caller = await integration(organisation, SEES)
    wanda = await organisation.session(await organisation.member(BuiltInRole.WRITER))
    made = (await organisation.made(wanda)).row
    [entry, _] = await reports.record(caller, [replace(DEED, on_behalf_of=OnBehalfOf(token_id=made.id)), DEED], Said())
    assert wanda.member
    for wanted in (EntryFilter(token_id=made.id), EntryFilter(member_id=wanda.member.id)):
        found = await (await entries.entries(organisation.owner, wanted)).filter(reported_at__isnull=False)
        assert [row.id for row in found] == [entry.id]
    theirs = await (await entries.entries(wanda, EntryFilter())).filter(reported_at__isnull=False)
    assert [row.id for row in theirs] == [entry.id]


async def test_a_token_reports_no_more_than_its_pace(organisation: Organisation, refused: Refused) -> None:
    clock_s = [1000.0]
    house = replace(organisation.house, reports=Pace(250, lambda: clock_s[0]))
    caller, other = await integration(organisation), await integration(organisation)
    hurried, calm = (replace(each, request=replace(each.request, house=house)) for each in (caller, other))
    await reports.record(hurried, [DEED] * 100, Said())
    clock_s[0] += 20
    await reports.record(hurried, [DEED] * 100, Said())
    with refused(RateLimited) as refusal:
        await reports.record(hurried, [DEED] * 100, Said())
    assert refusal.value.extensions["retryAfter"] == 40
    await reports.record(hurried, [DEED] * 50, Said())
    await reports.record(calm, [DEED] * 100, Said())
    clock_s[0] += 40
    await reports.record(hurried, [DEED] * 100, Said())
    with refused(RateLimited) as refusal:
        await reports.record(hurried, [DEED], Said())
    assert refusal.value.extensions["retryAfter"] == 20


def test_a_pace_says_when_to_come_back_and_remembers_nobody_for_long() -> None:
    clock_s = [0.0]
    pace, one, two = Pace(6_000, lambda: clock_s[0]), uuid4(), uuid4()
    for _ in range(60):
        pace.take(one, 100)
        clock_s[0] += 0.5
    with pytest.raises(RateLimited) as refusal:
        pace.take(one, 100)
    assert refusal.value.retry_after_s == 30
    clock_s[0] += 30
    pace.take(one, 100)
    clock_s[0] += 61
    pace.take(two, 1)
    assert list(pace._done) == [two]  # noqa: SLF001 - what it holds in memory is the point


def test_a_pace_is_that_of_the_last_minute_whatever_others_did_meanwhile() -> None:
    clock_s = [0.0]
    pace = Pace(10, lambda: clock_s[0])
    for at_s, whose, many in ((0, "busy", 9), (30, "slow", 1), (50, "busy", 1), (60, "busy", 9)):
        clock_s[0] = at_s
        pace.take(whose, many)
    with pytest.raises(RateLimited) as refusal:
        pace.take("busy", 1)
    assert refusal.value.retry_after_s == 50


def test_a_pace_remembers_only_so_many_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.pace.MOST", 2)
    pace = Pace(1, lambda: 0.0)
    for whose in "abc":
        pace.take(whose, 1)
    assert list(pace._done) == ["b", "c"]  # noqa: SLF001 - as above
    with pytest.raises(RateLimited):
        pace.take("b", 1)
    pace.take("a", 1)
    assert list(pace._done) == ["b", "a"]  # noqa: SLF001 - as above
