"""Uses of tokens are gathered and written, never backwards, and never disturb anything else."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tortoise.transactions import in_transaction

from core.errors import Forbidden
from core.specifiers import Match, Resource, Specifier
from models import Account, Token, TokenAccess, TokenDay, TokenOrigin, now
from models.engines.transactions import Statements
from resolvers import tallies, tokens, uses, verification
from resolvers.access import Question, authorize
from resolvers.callers import Request, note_deeds, used
from resolvers.scopes import Scope
from resolvers.uses import Deed, Outcome, Uses, deed
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.resolvers.conftest import Away, SetClock

FLAG = "proj/web:env/dev:flag/f"
READS: Any = Scope(
    statements=[
        {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]},
        {"effect": "allow", "actions": ["viewFlag"], "resources": ["proj/*:env/*:flag/*"]},
    ]
)


async def a_token(organisation: Organisation) -> Token:
    caller = await organisation.token(organisation.owner)
    assert caller.token
    return caller.token


async def counted(token: Token) -> dict[str, tuple[int, int]]:
    """What is kept of a token's uses: how often each action was allowed and refused."""
    return {row.action: (row.allowed, row.refused) for row in await TokenDay.filter(token_id=token.id)}


async def accessed(token: Token) -> dict[tuple[str, str], tuple[int, int, int]]:
    """What is kept of what a token was used for: by action and specifier, how it was decided."""
    return {
        (row.action, row.specifier): (row.allowed, row.refused, row.trial_refused)
        for row in await TokenAccess.filter(token_id=token.id)
    }


async def on_trial(token: Token) -> Token:
    """Try a narrower scope on a token from now on."""
    await Token.filter(id=token.id).update(trial={"at": now().isoformat(), "policy": []})
    return await Token.get(id=token.id)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at_s = time.time()

    def __call__(self) -> float:
        return self.at_s


async def test_a_use_is_written_with_where_it_came_from(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    assert made.secret
    await used(made.secret, Request(organisation.house, "1", "192.0.2.7", "curl/8"))
    assert (await Token.get(id=made.row.id)).last_used_at is None
    version = (await Account.get(id=organisation.account.id)).version

    await organisation.house.uses.flush()

    token = await Token.get(id=made.row.id)
    assert token.last_used_at is not None
    assert (token.last_used_address, token.last_used_agent) == ("192.0.2.7", "curl/8")
    assert (token.version, token.updated_at) == (made.row.version, made.row.updated_at)
    assert (await Account.get(id=organisation.account.id)).version == version


async def test_an_earlier_use_never_replaces_a_later_one(organisation: Organisation) -> None:
    token = await a_token(organisation)
    later = datetime.now(UTC) + timedelta(minutes=5)
    await Token.filter(id=token.id).update(last_used_at=later, last_used_address="192.0.2.9")
    uses = Uses()
    uses.of(token, "192.0.2.8", None).note()
    await uses.flush()
    kept = await Token.get(id=token.id)
    assert (kept.last_used_at, kept.last_used_address) == (later, "192.0.2.9")
    assert await counted(token) == {"": (1, 0)}


async def test_what_is_noted_at_the_end_is_not_lost(organisation: Organisation) -> None:
    token = await a_token(organisation)
    uses = Uses()
    async with uses.flushed():
        uses.of(token, "192.0.2.8", None).note()
    assert (await Token.get(id=token.id)).last_used_address == "192.0.2.8"


async def test_without_a_database_the_end_goes_on_and_says_what_is_lost(
    organisation: Organisation, away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    token = await a_token(organisation)
    uses = Uses()
    with ExitStack() as until_then:
        async with uses.flushed():
            uses.of(token, "192.0.2.8", None).note()
            until_then.enter_context(away())
    assert "uses of tokens could not be written; they are lost" in caplog.text


async def test_it_is_flushed_every_few_seconds(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await a_token(organisation)
    monkeypatch.setattr(uses, "FLUSH_EVERY_S", 0.05)
    gathered = Uses()
    async with gathered.flushed(), asyncio.timeout(20):
        gathered.of(token, "192.0.2.8", None).note()
        while (await Token.get(id=token.id)).last_used_address is None:  # noqa: ASYNC110 - it is another task that writes it
            await asyncio.sleep(0.02)


async def test_what_could_not_be_written_is_kept(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await a_token(organisation)
    uses = Uses()
    use = uses.of(token, "192.0.2.8", None, (deed("updateOn", allowed=True),))
    use.note()
    with monkeypatch.context() as broken:
        broken.setattr(tallies, "_OWN", (*tallies._OWN, "no_such_column"))  # noqa: SLF001 - so that the database says no
        with pytest.raises(Exception, match=r"no_such_column|syntax"):
            await uses.flush()
    assert (await Token.get(id=token.id)).last_used_at is None
    use.note()
    await uses.flush()
    assert await counted(token) == {"updateOn": (2, 0)}
    (origin,) = await TokenOrigin.filter(token_id=token.id)
    assert origin.uses == 2


async def test_flushes_and_changes_never_wait_for_each_other_in_a_circle(organisation: Organisation) -> None:
    made = [await a_token(organisation) for _ in range(20)]

    async def flush(order: list[Token]) -> None:
        uses = Uses()
        for token in order:
            uses.of(token, "192.0.2.8", None).note()
        await uses.flush()

    async def change(order: list[Token]) -> None:
        async with in_transaction():
            for token in order:
                await Token.filter(id=token.id).update(name="another")

    async with asyncio.timeout(30):
        await asyncio.gather(*(flush(order) for order in (made, made[::-1]) * 3), change(made[1:]), change(made))
    assert {token.name for token in await Token.filter(id__in=[token.id for token in made])} == {"another"}


@pytest.mark.usefixtures("postgresql")
async def test_the_use_of_a_token_that_is_being_changed_is_written_later(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    first, second = [await a_token(organisation) for _ in range(2)]
    uses = Uses()
    uses.of(first, "192.0.2.8", None).note()
    uses.of(second, "192.0.2.8", None).note()
    with elsewhere.transaction() as run:
        run(f"SELECT 1 FROM token WHERE id = '{first.id}' FOR UPDATE")  # noqa: S608 - an id of ours
        async with asyncio.timeout(10):
            await uses.flush()
        written = {row.id for row in await Token.filter(last_used_address="192.0.2.8")}
        assert written == {second.id}
    await uses.flush()
    assert await Token.filter(last_used_address="192.0.2.8").count() == 2
    assert (await counted(first), await counted(second)) == ({"": (1, 0)}, {"": (1, 0)})


async def test_what_was_used_and_is_gone_is_forgotten(organisation: Organisation) -> None:
    token, gone = await a_token(organisation), Token(id=organisation.account.id, account_id=organisation.account.id)
    uses = Uses()
    for each in (token, gone):
        each.kind = token.kind
        uses.of(each, None, None).note()
    await uses.flush()
    assert uses._tallies == {}  # noqa: SLF001 - it is about the memory
    assert await counted(token) == {"": (1, 0)}


@pytest.mark.usefixtures("settled")
async def test_a_token_is_written_once_an_interval_however_often_it_is_used(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await a_token(organisation) for _ in range(3)]
    await organisation.house.uses.flush()
    written: list[tuple[str, int]] = []
    for name in ("execute_query", "execute_many"):
        run = getattr(Statements, name)

        async def noted(
            client: Statements, query: str, values: list[Any] | None = None, run: Callable[..., Any] = run
        ) -> Any:
            if not query.startswith("SELECT"):
                written.append((query.split(" WHERE ", maxsplit=1)[0].split(" (", maxsplit=1)[0], len(values or [])))
            return await run(client, query, values)

        monkeypatch.setattr(Statements, name, noted)
    for number in range(3_000):
        organisation.house.uses.of(made[number % 3], "192.0.2.8", None, (deed("updateOn", allowed=True),)).note()
    await organisation.house.uses.flush()
    texts = [text.split(" SET")[0] for text, _ in written]
    assert texts == [
        "UPDATE token",
        "INSERT INTO token_day",
        'DELETE FROM "token_day"',
        "INSERT INTO token_origin",
        "DELETE FROM token_origin",
        "INSERT INTO token_access",
    ]
    assert written[0][1] == len(made)
    assert [await counted(token) for token in made] == [{"updateOn": (1_000, 0)}] * 3
    written.clear()
    await organisation.house.uses.flush()
    assert written == []


async def test_the_day_is_that_of_the_use_in_utc(organisation: Organisation) -> None:
    token, clock = await a_token(organisation), Clock()
    clock.at_s = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC).timestamp()
    uses = Uses(clock)
    use = uses.of(token, None, None, (deed("updateOn", allowed=True),))
    for _ in range(3):
        use.note()
        clock.at_s += 1
    await uses.flush()
    days = {row.day: row.allowed for row in await TokenDay.filter(token_id=token.id)}
    assert days == {date(2026, 3, 1): 1, date(2026, 3, 2): 2}


async def test_what_is_refused_or_on_trial_is_counted_apart(organisation: Organisation) -> None:
    token, uses = await on_trial(await a_token(organisation)), Uses()
    for outcome, times in ((Outcome.ALLOWED, 3), (Outcome.REFUSED, 2), (Outcome.TRIAL_REFUSED, 1)):
        for _ in range(times):
            uses.of(token, None, None, (Deed("updateOn", outcome, FLAG),)).note()
    await uses.flush()
    (row,) = await TokenDay.filter(token_id=token.id)
    assert (row.action, row.allowed, row.refused, row.trial_refused) == ("updateOn", 4, 2, 1)
    assert await accessed(token) == {("updateOn", FLAG): (4, 2, 1)}


async def test_what_an_earlier_trial_would_have_refused_counts_no_more(organisation: Organisation) -> None:
    token, uses = await on_trial(await a_token(organisation)), Uses()
    refused = (Deed("updateOn", Outcome.TRIAL_REFUSED, FLAG),)
    uses.of(token, None, None, refused).note()
    uses._settle_all()  # noqa: SLF001 - gathered, and not written yet
    later = await on_trial(token)
    uses.of(later, None, None, refused).note()
    uses.of(token, None, None, refused).note()
    await uses.flush()
    assert await accessed(token) == {("updateOn", FLAG): (3, 0, 1)}
    stale = Uses()
    stale.of(token, None, None, refused).note()
    await stale.flush()
    assert await accessed(token) == {("updateOn", FLAG): (4, 0, 1)}
    await Token.filter(id=token.id).update(trial=None)
    stale.of(later, None, None, refused).note()
    await stale.flush()
    assert await accessed(token) == {("updateOn", FLAG): (5, 0, 1)}
    (row,) = await TokenDay.filter(token_id=token.id)
    assert (row.allowed, row.trial_refused) == (5, 1)


async def test_only_words_of_the_catalogue_are_counted(organisation: Organisation) -> None:
    secret = (await organisation.made(organisation.owner, READS)).secret or ""
    caller = await used(secret, organisation.request)
    assert caller.token
    asked = [
        Question("viewFlag", FLAG),
        Question("viewFlag", f"{FLAG}2"),
        Question("updateOn", FLAG),
        Question("stealFlag", FLAG),
        Question("viewFlag", "no such thing"),
        *(Question(f"made{number}up", FLAG) for number in range(900)),
    ]
    assert authorize(caller, asked).allowed[:5] == [True, True, False, False, False]
    assert [answer.problem is None for answer in authorize(caller, asked).decisions[:5]] == [True] * 3 + [False] * 2
    await organisation.house.uses.flush()
    assert await counted(caller.token) == {"viewFlag": (1, 0), "updateOn": (0, 1)}


async def test_what_a_presented_token_was_asked_for_counts_for_it_and_the_question_for_the_asker(
    organisation: Organisation,
) -> None:
    asker = await used((await organisation.made(organisation.owner)).secret or "", organisation.request)
    presented = (await organisation.made(organisation.owner, READS)).secret or ""
    verified = await verification.verify(asker, presented, "192.0.2.7", [Question("viewFlag", FLAG)])
    assert verified
    assert verified.answers.allowed == [True]
    stranger = await used((await organisation.made(organisation.owner, READS)).secret or "", organisation.request)
    with pytest.raises(Forbidden):
        await verification.verify(stranger, presented)
    await organisation.house.uses.flush()
    assert asker.token
    assert stranger.token
    assert await counted(asker.token) == {"verifyAccessToken": (1, 0)}
    assert await counted(verified.token) == {"viewFlag": (1, 0)}
    assert await counted(stranger.token) == {"verifyAccessToken": (0, 1)}


async def test_latchkeys_own_actions_count_too(organisation: Organisation) -> None:
    may = {"effect": "allow", "actions": ["updateAccessTokenName"], "resources": ["member/*:token/*"]}
    sees = {"effect": "allow", "actions": ["viewAccessToken"], "resources": ["member/*:token/*"]}
    secret = (await organisation.made(organisation.owner, Scope(statements=[may, sees]))).secret or ""
    caller = await used(secret, organisation.request)
    assert caller.token
    target = await a_token(organisation)
    await tokens.update(caller, target.id, tokens.TokenChange(name="renamed"), Said())
    with pytest.raises(Forbidden):
        await tokens.revoke(caller, target.id, Said())
    await organisation.house.uses.flush()
    assert await accessed(caller.token) == {
        ("viewAccessToken", str(target.resource)): (1, 0, 0),
        ("updateAccessTokenName", str(target.resource)): (1, 0, 0),
        ("deleteAccessToken", str(target.resource)): (0, 1, 0),
    }


async def test_a_session_has_a_last_use_and_no_counts(organisation: Organisation) -> None:
    session = organisation.owner.token
    assert session
    await used(organisation.secrets[str(session.id)], Request(organisation.house, "1", "192.0.2.7", "curl/8"))
    await organisation.house.uses.flush()
    assert (await Token.get(id=session.id)).last_used_address == "192.0.2.7"
    assert await TokenDay.exists() is False
    assert await TokenOrigin.exists() is False


async def test_the_latest_hundred_origins_are_kept(organisation: Organisation) -> None:
    token, clock = await a_token(organisation), Clock()
    begun = datetime.fromtimestamp(clock.at_s, UTC)
    uses = Uses(clock)
    for round_ in range(3):
        for number in range(60):
            clock.at_s += 1
            uses.of(token, "192.0.2.7", f"agent {round_} {number}").note()
            uses.of(token, "192.0.2.8", None).note()
        await uses.flush()
    kept = await TokenOrigin.filter(token_id=token.id).order_by("-last_at", "-id")
    assert len(kept) == 100
    ((always,), others) = (
        [row for row in kept if row.address == "192.0.2.8"],
        {row.user_agent for row in kept if row.address == "192.0.2.7"},
    )
    assert (always.user_agent, always.uses) == ("", 180)
    assert always.last_at - always.first_at == timedelta(seconds=179)
    assert always.first_at - begun == timedelta(seconds=1)
    assert others == {f"agent 2 {number}" for number in range(60)} | {f"agent 1 {number}" for number in range(21, 60)}


async def test_each_resource_counts_once_for_a_request(organisation: Organisation) -> None:
    secret = (await organisation.made(organisation.owner, READS)).secret or ""
    asked = [("viewFlag", FLAG), ("viewFlag", f"{FLAG}2"), ("updateOn", FLAG), ("viewFlag", FLAG)]
    stated = [
        ("viewFlag", f"{FLAG};b,a"),
        ("viewFlag", f"{FLAG};a,b"),
        ("viewFlag", "proj/web:env/dev;{unknown:x}:flag/f"),
    ]
    for _ in range(2):
        caller = await used(secret, organisation.request)
        authorize(caller, [Question(*each) for each in asked + stated]).allowed  # noqa: B018 - it is noted
    await organisation.house.uses.flush()
    assert caller.token
    assert await counted(caller.token) == {"viewFlag": (2, 0), "updateOn": (0, 2)}
    assert await accessed(caller.token) == {
        ("viewFlag", FLAG): (2, 0, 0),
        ("viewFlag", f"{FLAG}2"): (2, 0, 0),
        ("viewFlag", f"{FLAG};a,b"): (2, 0, 0),
        ("updateOn", FLAG): (0, 2, 0),
    }


async def test_when_something_was_first_and_last_asked_for_is_kept(organisation: Organisation) -> None:
    token, clock = await a_token(organisation), Clock()
    begun, later = clock.at_s, Uses(clock)
    clock.at_s = begun + 60
    later.of(token, None, None, (deed("updateOn", FLAG, allowed=True),)).note()
    await later.flush()
    earlier = Uses(clock)
    for clock.at_s in (begun, begun + 30):
        earlier.of(token, None, None, (deed("updateOn", FLAG, allowed=True),)).note()
    await earlier.flush()
    (row,) = await TokenAccess.filter(token_id=token.id)
    assert (row.first_at.timestamp(), row.last_at.timestamp()) == pytest.approx((begun, begun + 60))


async def test_what_would_be_too_much_is_folded_and_nothing_is_lost(organisation: Organisation) -> None:
    token = await a_token(organisation)
    gathered = [Uses() for _ in range(3)]
    asked = [
        (f"action{number % 15}", f"proj/p{number % 7}:env/e{number % 4}:flag/f{number}") for number in range(3_000)
    ]
    for index, (action, resource) in enumerate(asked):
        uses = gathered[index % 3]
        uses.of(token, None, None, (deed(action, resource, allowed=bool(index % 2)),)).note()
        if index % 300 < 3:
            await uses.flush()
    await asyncio.gather(*(uses.flush() for uses in gathered))
    for uses in gathered:
        while uses._tallies:  # noqa: SLF001 - what another was writing waits
            await uses.flush()
    kept = await accessed(token)
    assert len(kept) <= tallies.ACCESSES_KEPT
    assert max(Counter(action for action, _ in kept).values()) <= tallies.SPECIFIERS_KEPT
    for action, resource in asked:
        assert any(
            action == known and Specifier.parse(each).match(Resource.parse(resource), {}) is Match.SURE
            for known, each in kept
        )
    assert [sum(counts) for counts in zip(*kept.values(), strict=True)] == [1_500, 1_500, 0]


async def test_a_transaction_writes_no_more_than_others_can_wait_for(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, gathered = [await a_token(organisation) for _ in range(60)], Uses()
    for token in made:
        deeds = tuple(deed("viewFlag", f"proj/web:flag/{number}", allowed=True) for number in range(40))
        gathered.of(token, "192.0.2.7", None, deeds).note()
    sizes: list[int] = []
    write = tallies.write

    async def noted(batch: dict[Any, tallies.Tally]) -> set[Any]:
        sizes.append(sum(tally.size for tally in batch.values()))
        return await write(batch)

    monkeypatch.setattr(tallies, "write", noted)
    await gathered.flush()
    assert max(sizes) <= uses.BATCH_ROWS
    assert len(sizes) == 7
    assert await TokenAccess.all().count() == 60 * 40


async def test_what_is_folded_stays_folded(organisation: Organisation) -> None:
    token, uses = await a_token(organisation), Uses()
    for number in range(tallies.SPECIFIERS_KEPT + 1):
        uses.of(token, None, None, (deed("viewFlag", f"proj/web:flag/{number}", allowed=True),)).note()
    await uses.flush()
    assert await accessed(token) == {("viewFlag", "proj/web:flag/*"): (tallies.SPECIFIERS_KEPT + 1, 0, 0)}
    uses.of(token, None, None, (deed("viewFlag", "proj/web:flag/another", allowed=True),)).note()
    await uses.flush()
    assert await accessed(token) == {("viewFlag", "proj/web:flag/*"): (tallies.SPECIFIERS_KEPT + 2, 0, 0)}


async def test_a_resource_of_any_length_is_kept_as_what_fits(organisation: Organisation) -> None:
    token, uses = await a_token(organisation), Uses()
    long = ":".join(["proj/web", *(f"{kind}/{256 * 'é'}" for kind in ("env", "flag", "part"))])
    uses.of(token, None, None, (deed("viewFlag", long, allowed=True),)).note()
    await uses.flush()
    assert await accessed(token) == {("viewFlag", f"proj/web:env/{256 * 'é'}:flag/*:part/*"): (1, 0, 0)}


async def test_deeds_are_added_up_before_they_are_too_many(organisation: Organisation) -> None:
    secret, gathered = (await organisation.made(organisation.owner, READS)).secret or "", organisation.house.uses
    for number in range(40):
        caller = await used(secret, organisation.request)
        authorize(caller, [Question("viewFlag", f"{FLAG}{number}x{each}") for each in range(1_000)]).allowed  # noqa: B018 - it is noted
        waiting = sum(len(use._added) for use in gathered._pending)  # noqa: SLF001 - it is about the memory
        assert waiting <= 10 * uses.MOST_PENDING + 1_000
    await gathered.flush()
    assert caller.token
    assert await accessed(caller.token) == {("viewFlag", "proj/web:env/dev:flag/*"): (40_000, 0, 0)}


async def test_memory_is_bounded_whatever_a_token_sends(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, gathered = [await a_token(organisation) for _ in range(3)], Uses()
    monkeypatch.setattr(uses, "MOST_KEPT", 150)
    for number in range(5_000):
        for token in made:
            gathered.of(token, "192.0.2.7", f"agent {number}").note()
        assert len(gathered._pending) <= uses.MOST_PENDING + 1  # noqa: SLF001 - it is about the memory
    gathered._settle_all()  # noqa: SLF001 - see above
    kept = sum(tally.size for tally in gathered._tallies.values())  # noqa: SLF001 - see above
    assert kept == gathered._kept <= 150  # noqa: SLF001 - see above
    await gathered.flush()
    assert "were dropped" in caplog.text
    assert await counted(made[0]) == {"": (5_000, 0)}


async def test_what_ends_a_token_is_not_undone_by_the_use_of_a_request_in_flight(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    caller = await used(made.secret or "", organisation.request)
    await tokens.revoke(organisation.owner, made.row.id, Said())
    revoked = await Token.get(id=made.row.id)
    note_deeds(caller, deed("updateOn", allowed=True))
    await organisation.house.uses.flush()
    after = await Token.get(id=made.row.id)
    assert after.revoked_at == revoked.revoked_at is not None
    assert (after.version, after.updated_at) == (revoked.version, revoked.updated_at)
    assert after.last_used_at is not None


ROUNDS, USES = 10, 100
"""How often each of two processes flushes, and how many uses it notes before."""

FLUSHER = """
import asyncio, sys
from uuid import UUID
from models import Token
from models.database import opened
from resolvers.uses import Uses, deed

async def main(url, ids, rounds, uses):
    async with opened(url):
        found = {row.id: row for row in await Token.filter(id__in=[UUID(each) for each in ids])}
        tokens, gathered = [found[UUID(each)] for each in ids], Uses()
        sys.stdout.write("ready\\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for round_ in range(int(rounds)):
            for number in range(int(uses)):
                done = deed("updateOn", f"proj/web:flag/{round_}-{number}", allowed=True)
                gathered.of(tokens[number % len(tokens)], sys.argv[-1], None, (done,)).note()
            await gathered.flush()
        while gathered._tallies:
            await gathered.flush()

asyncio.run(main(sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4]))
"""


async def test_two_processes_lose_no_use_and_never_go_backwards(organisation: Organisation, database_url: str) -> None:
    made = [await a_token(organisation) for _ in range(4)]
    ids = [str(token.id) for token in made]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", FLUSHER, database_url, ",".join(order), str(ROUNDS), str(USES), address),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parent.parent.parent,
        )
        for order, address in ((ids, "192.0.2.1"), (ids[::-1], "192.0.2.2"))
    ]
    for process in processes:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    seen: dict[str, list[Any]] = {each: [] for each in ids}
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
        await process.stdin.drain()
    running = asyncio.gather(*(process.wait() for process in processes))
    while not running.done():
        for row in await Token.filter(id__in=ids).values_list("id", "last_used_at"):
            if row[1] is not None:
                seen[str(row[0])].append(row[1])
        await asyncio.sleep(0.005)
    assert await running == [0, 0]
    for token in made:
        assert seen[str(token.id)] == sorted(seen[str(token.id)])
        assert await counted(token) == {"updateOn": (2 * ROUNDS * USES // len(made), 0)}
        assert await accessed(token) == {("updateOn", "proj/web:flag/*"): (2 * ROUNDS * USES // len(made), 0, 0)}
        origins = await TokenOrigin.filter(token_id=token.id).order_by("address")
        assert [(row.address, row.uses) for row in origins] == [
            ("192.0.2.1", ROUNDS * USES // len(made)),
            ("192.0.2.2", ROUNDS * USES // len(made)),
        ]
        assert (await Token.get(id=token.id)).last_used_at == max(row.last_at for row in origins)


async def test_a_thousand_uses_in_flight_that_end_in_any_order_never_take_it_backwards(
    organisation: Organisation,
) -> None:
    made = await organisation.made(organisation.owner)
    begun_s = time.time()
    times = [begun_s + number for number in range(1_000)]
    random.Random(7).shuffle(times)  # noqa: S311 - an order, not a secret
    clock_s = iter(times).__next__
    houses = [replace(organisation.house, uses=Uses(clock_s)) for _ in range(2)]  # as of two processes
    waves = [asyncio.Event() for _ in range(20)]
    seen: list[datetime] = []

    async def last_used() -> datetime | None:
        return (await Token.get(id=made.row.id)).last_used_at

    async def use(number: int) -> None:
        await waves[number % len(waves)].wait()
        await used(made.secret or "", Request(houses[number % 2], str(number), "192.0.2.1", "curl/8"))

    async def flush() -> None:
        for wave in waves:
            wave.set()
            await asyncio.gather(*(house.uses.flush() for house in houses))

    running = asyncio.gather(flush(), *map(use, range(len(times))))
    while not running.done():
        seen += filter(None, [await last_used()])
    await running
    for house in houses:
        while house.uses.met():  # also what another was writing
            await house.uses.flush()
    assert seen == sorted(seen)
    assert await last_used() == datetime.fromtimestamp(max(times), UTC)
    assert sum(row.uses for row in await TokenOrigin.filter(token_id=made.row.id)) == len(times)


@pytest.mark.usefixtures("settled")
async def test_what_is_older_than_is_kept_goes_with_the_next_new_count(
    organisation: Organisation, set_clock: SetClock
) -> None:
    token, clock = await a_token(organisation), Clock()
    uses, begun = Uses(clock), datetime.fromtimestamp(clock.at_s, UTC).date()
    for days in (0, 1, tallies.DAYS_KEPT, tallies.DAYS_KEPT + 1):
        clock.at_s += (begun + timedelta(days=days) - datetime.fromtimestamp(clock.at_s, UTC).date()).days * 86_400
        set_clock(datetime.fromtimestamp(clock.at_s, UTC))
        uses.of(token, None, None).note()
        await uses.flush()
    kept = {row.day for row in await TokenDay.filter(token_id=token.id)}
    assert kept == {begun + timedelta(days=days) for days in (1, tallies.DAYS_KEPT, tallies.DAYS_KEPT + 1)}
