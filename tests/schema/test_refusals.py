"""Refused mutations in the log: one sealed summary for each caller and window, of what was asked and no more."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.findings import WHOLE
from core.vocabulary import BuiltInRole
from models import Account, ActorKind, AuditEntry, Outcome, TokenKind, new_id
from resolvers import refusing, tokens
from resolvers.callers import Caller
from resolvers.entries import told
from resolvers.house import House
from resolvers.refusals import (
    ANYTHING,
    HOUR_S,
    MOST_LINES,
    MOST_STRANGERS,
    MOST_WINDOWS_EACH,
    WINDOW_S,
    Asked,
    Refusals,
    Summary,
    Whose,
)
from resolvers.refusing import record
from resolvers.writing import Said, doing
from schema.nodes import global_id
from tests.databases import Elsewhere
from tests.organisation import Organisation, founded
from tests.resolvers.test_chains import verified
from tests.schema.conftest import Ask

SIGN_IN = """mutation($email: String!, $password: String!, $account: String) {
  signIn(input: {email: $email, password: $password, account: $account}) { secret }
}"""
REVOKE = "mutation($id: ID!) { revokeToken(input: {id: $id}) { token { id } } }"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at_s = datetime(2031, 1, 1, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.at_s


def token_id(row_id: object) -> str:
    return global_id("Token", row_id)


async def refused() -> list[AuditEntry]:
    return await AuditEntry.filter(outcome=Outcome.REFUSED).order_by("sequence")


def counts(entries: Sequence[AuditEntry]) -> list[int]:
    return [(entry.after or {})["count"] for entry in entries]


def by(caller: Caller) -> Whose:
    assert caller.token
    return Whose(caller.account, caller.token.id, doing(caller))


def strangers(organisation: Organisation, many: int) -> Iterator[Whose]:
    """Make up callers of one account."""
    for _ in range(many):
        yield Whose(organisation.account, new_id(), {"request_id": "", "actor_kind": ActorKind.PERSONAL})


async def test_what_is_forbidden_hidden_and_absent_is_recorded_alike(organisation: Organisation, ask: Ask) -> None:
    shown, hidden = [await organisation.made(organisation.owner, kind=TokenKind.SERVICE) for _ in range(2)]
    sees = {"effect": "allow", "actions": ["viewAccessToken"], "resources": [f"service-token/{shown.row.id}"]}
    ends = {"effect": "allow", "actions": ["deleteAccessToken"], "resources": ["service-token/nobody"]}
    role = await organisation.role("sees-one", sees, ends)
    caller = await organisation.session(await organisation.member(custom=[role]))
    codes, texts = [], []
    for row_id in (shown.row.id, hidden.row.id, new_id()):
        for _ in range(2):
            answer = await ask(caller, REVOKE, id=token_id(row_id))
        codes.append(answer["errors"][0]["code"])
        await record(organisation.house, all_=True)
        entry = (await refused())[-1]
        said = entry.sealed()
        for name in ("id", "at", "sequence"):
            del said[name]
        after = entry.after or {}
        text = json.dumps(said).replace(str(row_id), "X")
        texts.append(text.replace(after["first"], "FIRST").replace(after["last"], "LAST"))
    assert codes == ["FORBIDDEN", "NOT_FOUND", "NOT_FOUND"]
    assert len(set(texts)) == 1, texts
    assert len(await refused()) == len(texts)


async def test_an_entry_says_who_asked_for_what_how_often_and_from_when_to_when(
    organisation: Organisation, ask: Ask
) -> None:
    reader, other = [await organisation.as_role(BuiltInRole.READER) for _ in range(2)]
    absent = new_id()
    for _ in range(3):
        await ask(reader, REVOKE, id=token_id(absent))
    begun = datetime.now(UTC)
    await record(organisation.house, all_=True)
    [entry] = await refused()
    assert reader.member
    assert reader.token
    assert (entry.actor_kind, entry.member_id, entry.token_id) == ("SESSION", reader.member.id, reader.token.id)
    assert (entry.address, entry.user_agent, entry.request_id) == ("192.0.2.1", "tests", reader.request.id)
    assert entry.accesses == [{"action": "deleteAccessToken", "resource": f"token/{absent}"}]
    assert (entry.target_id, entry.target_kind, entry.before, entry.because) == (absent, "token", None, [])
    after = entry.after or {}
    assert after["count"] == 3
    first, last = map(datetime.fromisoformat, (after["first"], after["last"]))
    assert begun - timedelta(seconds=30) < first < last <= begun
    asked = "outcome title after accesses { action } target { nodeId } changes { field }"
    query = f"{{ auditEntries(first: 1) {{ nodes {{ {asked} }} }} }}"
    title = (
        f"{reader.member.label} was refused deleteAccessToken on token/{absent} in the session …{reader.token.ending}"
    )
    shown = {"outcome": "REFUSED", "title": title, "after": after, "accesses": [{"action": "deleteAccessToken"}]}
    shown["changes"] = []
    for caller in (organisation.owner, reader):
        [node] = (await ask(caller, query))["data"]["auditEntries"]["nodes"]
        assert node == {**shown, "target": {"nodeId": token_id(absent)}}
    assert "REFUSED" not in str(await ask(other, "{ auditEntries { nodes { outcome } } }"))


@pytest.mark.parametrize(
    ("mutation", "access", "target"),
    [
        ('createRole(input: {key: "x", name: "X", statements: []}) { role { id } }', "createRole role/x", "acct"),
        (
            'inviteMember(input: {email: "a@b.example", baseRole: READER}) { member { id } }',
            "createMember acct",
            "acct",
        ),
        ('deleteRole(input: {id: "nonsense"}) { deletedRoleId }', "deleteRole acct", "acct"),
        ('removeGate(input: {key: "A b"}) { deletedGateId }', "deleteGate acct", "acct"),
    ],
)
async def test_only_what_was_asked_and_can_be_said_in_policy_words_is_written(
    organisation: Organisation, ask: Ask, mutation: str, access: str, target: str
) -> None:
    nobody = await organisation.as_role(BuiltInRole.NO_ACCESS)
    answer = await ask(nobody, f"mutation {{ {mutation} }}")
    assert answer["errors"][0]["code"] == "FORBIDDEN"
    await record(organisation.house, all_=True)
    [entry] = await refused()
    assert " ".join(entry.accesses[0].values()) == access
    assert (entry.target_resource, entry.target_id) == (target, organisation.account.id)


async def test_many_at_once_are_one_entry_with_their_exact_count_and_no_version_moves(
    organisation: Organisation, ask: Ask
) -> None:
    callers = [await organisation.as_role(BuiltInRole.READER) for _ in range(2)]
    absent = token_id(new_id())
    version = (await Account.get()).version
    await asyncio.gather(*[ask(caller, REVOKE, id=absent) for caller in callers for _ in range(150)])
    await asyncio.gather(*[record(organisation.house, all_=True) for _ in range(5)])
    assert counts(await refused()) == [150, 150]
    assert (await Account.get()).version == version
    [found] = await verified(organisation)
    assert found.status == WHOLE


async def test_a_window_is_written_when_it_is_over_and_the_next_one_is_another(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    clock = organisation.house.refusals.clock_s = Clock()
    whose, asked = by(organisation.owner), Asked(("deleteRole",), "role/x")
    before = elsewhere.everything()
    organisation.house.refusals.note(whose, asked)
    clock.at_s += WINDOW_S - 1
    organisation.house.refusals.note(whose, asked)
    await record(organisation.house)
    assert elsewhere.everything() == before
    clock.at_s += 1
    await record(organisation.house)
    await record(organisation.house)
    assert counts(await refused()) == [2]
    organisation.house.refusals.note(whose, asked)
    clock.at_s += WINDOW_S
    await record(organisation.house)
    assert counts(await refused()) == [2, 1]


async def test_refusals_come_to_the_log_beside_changes_and_at_the_end(organisation: Organisation, ask: Ask) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    house = organisation.house
    async with refusing.refusing(house), asyncio.timeout(60):
        clock = house.refusals.clock_s = Clock()
        await ask(reader, REVOKE, id=token_id(new_id()))
        clock.at_s += WINDOW_S
        made = [await organisation.made(organisation.owner) for _ in range(5)]
        while not await refused():
            await tokens.revoke(organisation.owner, made.pop().row.id, Said()) if made else await asyncio.sleep(0.05)
        await ask(reader, REVOKE, id=token_id(new_id()))
    assert counts(await refused()) == [1, 1]
    [found] = await verified(organisation)
    assert found.status == WHOLE


async def test_two_processes_lose_nothing_and_keep_the_chain_whole(organisation: Organisation) -> None:
    houses = [organisation.house, House(organisation.house.database, organisation.house.keys)]
    for house in houses:
        for whose in strangers(organisation, 70):
            for _ in range(3):
                house.refusals.note(whose, Asked(("deleteRole",), "role/x"))
    await asyncio.gather(*[record(house, all_=True) for house in houses])
    assert counts(await refused()) == [3] * 140
    [found] = await verified(organisation)
    assert found.status == WHOLE


async def test_a_flood_of_one_caller_stays_few_lines_and_loses_no_count(organisation: Organisation) -> None:
    house, whose = organisation.house, by(organisation.owner)
    for number in range(20_000):
        house.refusals.note(whose, Asked((f"action{number % 50}",), f"token/{new_id()}"))
    [window] = house.refusals._windows.values()  # noqa: SLF001 - what is in memory
    assert sum(map(len, window.lines.values())) <= MOST_LINES
    await record(house, all_=True)
    entries = await refused()
    assert len(entries) <= MOST_LINES
    assert sum(counts(entries)) == 20_000
    assert [*ANYTHING, "*"] in [list(access.values()) for entry in entries for access in entry.accesses]


async def test_a_flood_of_many_callers_is_bounded_and_loses_no_count(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusing, "HOURLY", 20)
    clock = organisation.house.refusals.clock_s = Clock()
    house, quiet = organisation.house, by(organisation.owner)
    for whose in strangers(organisation, MOST_WINDOWS_EACH - 1):
        for number in range(2):
            house.refusals.note(whose, Asked(("deleteRole",), f"role/r{number}"))
    house.refusals.note(quiet, Asked(("deleteRole",), "role/x"))
    for whose in strangers(organisation, 1_000):
        house.refusals.note(whose, Asked(("deleteRole",), "role/x"))
    assert len(house.refusals._windows) == MOST_WINDOWS_EACH  # noqa: SLF001 - as above
    clock.at_s += WINDOW_S
    await record(house)
    entries = await refused()
    assert len(entries) == 20
    assert entries[0].token_id == quiet.id, "who was refused little is not hidden by who was refused much"
    total = 2 * (MOST_WINDOWS_EACH - 1) + 1 + 1_000
    clock.at_s += HOUR_S
    await record(house)
    *_, rest = await refused()
    assert rest.actor_kind is ActorKind.SYSTEM
    assert rest.accesses == [{"action": "*", "resource": "*"}]
    assert told(rest).sentence == "More was refused in the account “Main” than there was room for"
    assert sum(counts([*entries, rest])) == total
    assert len(await refused()) == 21
    await record(house, all_=True)
    assert len(await refused()) == 21


def test_other_accounts_have_room_while_one_is_flooded() -> None:
    refusals, asked = Refusals(), Asked(("deleteRole",), "role/x")
    flooded, other = Account(name="flooded"), Account(name="other")
    for _ in range(3 * MOST_WINDOWS_EACH):
        refusals.note(Whose(flooded, new_id(), {}), asked)
    refusals.note(Whose(other, new_id(), {}), asked)
    windows = refusals.take(all_=True)
    assert len(windows) == MOST_WINDOWS_EACH + 1
    assert windows[-1].whose.account is other
    [rest] = refusals.take_rests(all_=True)
    assert (rest.account, rest.span.count) == (flooded, 2 * MOST_WINDOWS_EACH)
    assert refusals.take(all_=True) == []
    refusals.add(Summary(windows[0].whose, asked, rest.span))
    assert len(refusals.take(all_=True)) == 1


@pytest.mark.usefixtures("sqlite")
async def test_on_a_full_disk_refusals_wait_while_tokens_are_revoked(organisation: Organisation, ask: Ask) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    made = await organisation.made(organisation.owner)
    full = replace(organisation.house, disk_floor_bytes=1 << 62)
    for _ in range(3):
        await ask(reader, REVOKE, id=token_id(new_id()))
    await record(full, all_=True)
    assert await refused() == []
    answer = await ask(organisation.owner, REVOKE, id=token_id(made.row.id))
    assert "errors" not in answer
    await record(organisation.house, all_=True)
    assert counts(await refused()) == [3], "once there is room, the log says how many there were"


async def test_what_cannot_be_written_now_is_written_later(organisation: Organisation, elsewhere: Elsewhere) -> None:
    clock = organisation.house.refusals.clock_s = Clock()
    for whose in strangers(organisation, 3):
        organisation.house.refusals.note(whose, Asked(("deleteRole",), "role/x"))
    clock.at_s += WINDOW_S
    elsewhere("ALTER TABLE audit_access RENAME TO elsewhere")
    await record(organisation.house)
    elsewhere("ALTER TABLE elsewhere RENAME TO audit_access")
    assert await refused() == []
    clock.at_s += WINDOW_S
    await record(organisation.house)
    assert counts(await refused()) == [1, 1, 1]


async def test_failures_to_sign_in_name_a_member_or_nobody_and_look_alike(
    organisation: Organisation, ask: Ask, elsewhere: Elsewhere, statements: list[str]
) -> None:
    ada = await organisation.member(name="Ada")
    other, session = await organisation.as_role(BuiltInRole.READER), await organisation.session(ada)
    typed, answers = "hunter2@secret.example", set()
    for email in (ada.email, typed, ada.email):
        statements.clear()
        answer = await ask(None, SIGN_IN, email=email, password="a wrong one")
        answers.add((json.dumps(answer), len(statements)))
    assert len(answers) == 1
    await record(organisation.house, all_=True)
    told_of = {entry.accesses[0]["resource"]: entry for entry in await refused()}
    assert told_of.keys() == {f"member/{ada.id}", "acct"}
    for resource, count in ((f"member/{ada.id}", 2), ("acct", 1)):
        entry = told_of[resource]
        assert (entry.accesses, entry.member_id, entry.token_id) == (
            [{"action": "createSession", "resource": resource}],
            None,
            None,
        )
        assert (entry.actor_kind, entry.address, counts([entry])) == ("PASSWORD", "192.0.2.1", [count])
    assert told(told_of["acct"]).sentence == "Somebody failed to sign in as no member"
    assert not [line for line in elsewhere.everything() if "hunter2" in line or "a wrong one" in line]
    query = "{ auditEntries(filter: {outcome: REFUSED}) { nodes { title address } } }"
    shown = {"title": f"Somebody failed to sign in as member/{ada.id}", "address": "192.0.2.1"}
    assert (await ask(session, query))["data"]["auditEntries"]["nodes"] == [shown]
    assert (await ask(other, query))["data"]["auditEntries"]["nodes"] == []


async def test_a_failure_to_sign_in_is_in_the_log_of_the_account_that_it_was_to(
    organisation: Organisation, ask: Ask
) -> None:
    neighbour = await founded(organisation.house.database, "other")
    for account in (None, "no-such", "NO KEY", "other"):
        await ask(None, SIGN_IN, email="nobody@example.com", password="a wrong one", account=account)
    await record(organisation.house, all_=True)
    [entry] = await refused()
    assert (entry.account_id, entry.target_id) == (neighbour.account.id, neighbour.account.id)


async def test_a_flood_of_failures_to_sign_in_leaves_room_for_others_and_loses_no_count(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusing, "STRANGERS_HOURLY", 5)
    house, account = organisation.house, organisation.account
    for number in range(1_000):
        request = replace(organisation.request, address=f"2001:db8::{number:x}")
        refusing.sign_in(request, account, None).note()
    quiet = by(organisation.owner)
    house.refusals.note(quiet, Asked(("deleteRole",), "role/x"))
    assert len(house.refusals._windows) == MOST_STRANGERS + 2  # noqa: SLF001 - what is in memory
    await record(house, all_=True)
    *some, rest = await refused()
    strangers = [entry for entry in some if entry.actor_kind is ActorKind.PASSWORD]
    assert [entry.token_id for entry in some if entry not in strangers] == [quiet.id]
    assert len(strangers) == 5
    assert (rest.actor_kind, sum(counts([*strangers, rest]))) == (ActorKind.SYSTEM, 1_000)


async def test_what_is_no_refused_deed_is_not_recorded(organisation: Organisation, ask: Ask) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    asked: list[tuple[Caller | None, str, dict[str, Any]]] = [
        (reader, '{ checkAccess(checks: [{action: "updateOn", resource: "proj/a:env/b:flag/c"}]) { allowed } }', {}),
        (reader, "query($id: ID!) { token(id: $id) { id } }", {"id": token_id(new_id())}),
        (None, REVOKE, {"id": token_id(new_id())}),
        (organisation.owner, REVOKE, {"id": "nonsense"}),
    ]
    for caller, query, variables in asked:
        await ask(caller, query, **variables)
    await record(organisation.house, all_=True)
    assert await refused() == []
