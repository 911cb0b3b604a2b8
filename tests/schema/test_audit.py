"""The audit log as it is listed, and as it is followed."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta, timezone
from typing import Any, cast

import pytest
from strawberry.types import ExecutionResult

from core.errors import RateLimited, Unauthenticated
from core.signed import Kind, Statement
from core.vocabulary import Action, BuiltInRole
from models import AuditEntry, Member, Role, Token, now
from resolvers import entries, members, sessions, tokens
from resolvers.bell import MAX_LISTENING
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.signatures import PublicKeys
from resolvers.writing import Said
from schema import schema
from schema.context import Context
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask

FOLLOW = "subscription($after: String) { auditEntryRecorded(after: $after) { sequence target { name } after } }"


async def rename(caller: Caller, name: str) -> None:
    assert caller.member
    await members.update(caller, caller.member.id, name, Said())


async def following(organisation: Organisation, caller: Caller, **variables: Any) -> AsyncIterator[ExecutionResult]:
    context = Context(organisation.request, caller)
    stream = await schema.subscribe(FOLLOW, variable_values=variables, context_value=context)
    assert not isinstance(stream, ExecutionResult)
    return cast("AsyncIterator[ExecutionResult]", stream)


async def told(waiting: "asyncio.Future[ExecutionResult]") -> str:
    result = await asyncio.wait_for(waiting, 20)
    assert result.errors is None
    assert result.data
    return cast("str", result.data["auditEntryRecorded"]["target"]["name"])


def next_of(stream: AsyncIterator[ExecutionResult]) -> "asyncio.Task[ExecutionResult]":
    return asyncio.ensure_future(cast("Any", anext(stream)))


async def under_way(organisation: Organisation) -> None:
    """Wait until somebody listens."""
    bell = organisation.house.bell
    while not bell._listening:  # noqa: ASYNC110, SLF001 - the moment from which nothing may be lost
        await asyncio.sleep(0)


async def test_entries_come_as_they_are_recorded(organisation: Organisation) -> None:
    stream = await following(organisation, organisation.owner)
    waiting = next_of(stream)
    await under_way(organisation)
    await rename(organisation.owner, "One")
    await rename(organisation.owner, "Two")
    assert [await told(waiting), await told(next_of(stream))] == ["One", "Two"]
    waiting = next_of(stream)
    await rename(organisation.owner, "Three")
    assert await told(waiting) == "Three"
    await stream.aclose()  # type: ignore[attr-defined]
    assert not organisation.house.bell._listening  # noqa: SLF001 - as above


async def test_entries_of_other_processes_come_too(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organisation.house.bell, "ring", lambda _: None)
    stream = await following(organisation, organisation.owner)
    waiting = next_of(stream)
    await under_way(organisation)
    await rename(organisation.owner, "Elsewhere")
    assert await told(waiting) == "Elsewhere"
    await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_following_goes_on_after_a_cursor_and_loses_nothing(
    organisation: Organisation, ask: Ask, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "BATCH", 2)
    listed = "query($order: AuditEntryOrder) { auditEntries(orderBy: $order, last: 1) { edges { cursor } } }"
    if direction == "DESC":
        listed = listed.replace("last", "first")
    order = {"field": "SEQUENCE", "direction": direction}
    cursor = (await ask(organisation.owner, listed, order=order))["data"]["auditEntries"]["edges"][0]["cursor"]
    names = [f"Name {n}" for n in range(5)]
    for name in names:
        await rename(organisation.owner, name)
    stream = await following(organisation, organisation.owner, after=cursor)
    assert [await told(next_of(stream)) for _ in names] == names
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_bad_cursor_is_refused(organisation: Organisation) -> None:
    result = await anext(await following(organisation, organisation.owner, after="x"))
    assert result.errors
    assert result.errors[0].original_error.extensions["field"] == "after"  # type: ignore[union-attr]


async def test_only_what_one_may_see_comes(organisation: Organisation) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    stream = await following(organisation, reader)
    waiting = next_of(stream)
    await under_way(organisation)
    await rename(organisation.owner, "Hidden")
    await rename(reader, "Shown")
    assert await told(waiting) == "Shown"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_access_is_decided_anew_for_every_entry(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    last = await AuditEntry.all().order_by("-sequence").first()
    assert last
    for name in ("Before", "Already there, not yet shown"):
        await rename(organisation.owner, name)
    stream = await following(organisation, admin, after=entries.by_sequence().cursor(last))
    assert await told(next_of(stream)) == "Before"
    await members.assign_roles(organisation.owner, admin.member.id, Grant(BuiltInRole.READER), Said())
    await rename(organisation.owner, "After")
    await rename(admin, "Own")
    shown = [await told(next_of(stream)), await told(next_of(stream))]
    assert shown == [admin.member.name, "Own"]
    await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["revoked", "suspended", "expired"])
async def test_it_ends_when_the_credential_dies(organisation: Organisation, end: str) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    token = await organisation.token(admin)
    assert token.token
    assert token.member
    followed = entries.recorded(token, None)
    waiting = asyncio.ensure_future(cast("Any", anext(followed)))
    await under_way(organisation)
    match end:
        case "revoked":
            await tokens.revoke(organisation.owner, token.token.id, Said())
        case "suspended":
            await members.suspend(organisation.owner, token.member.id, Said())
        case "expired":
            token.token.expires_at = now() - timedelta(seconds=1)
    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(waiting, 20)
    assert not organisation.house.bell._listening  # noqa: SLF001 - as above


async def test_an_entry_says_who_did_what_with_what_and_why(organisation: Organisation, ask: Ask) -> None:
    owner = organisation.owner
    token = await organisation.token(owner, name="robot")
    assert owner.member
    assert token.token
    await members.update(token, owner.member.id, "Renamed", Said("a better name"))
    query = """{ auditEntries(first: 1, filter: {action: "updateMemberName"}) { nodes {
      sequence outcome accesses { action resource } address userAgent comment before after
      actor { kind memberName tokenName tokenEnding member { name } token { name } }
      target { kind nodeId resource name } because { action side role statement { effect } }
    } } }"""
    (entry,) = (await ask(owner, query))["data"]["auditEntries"]["nodes"]
    resource = f"member/{owner.member.id}"
    because = entry.pop("because")
    assert {**entry, "before": None, "after": None} == {
        "sequence": entry["sequence"],
        "outcome": "DONE",
        "accesses": [{"action": "updateMemberName", "resource": resource}],
        "address": "192.0.2.1",
        "userAgent": "tests",
        "comment": "a better name",
        "before": None,
        "after": None,
        "actor": {
            "kind": "PERSONAL",
            "memberName": "Owner",
            "tokenName": "robot",
            "tokenEnding": token.token.ending,
            "member": {"name": "Renamed"},
            "token": {"name": "robot"},
        },
        "target": {
            "kind": "member",
            "nodeId": global_id("Member", owner.member.id),
            "resource": resource,
            "name": "Renamed",
        },
    }
    assert {reason.pop("side") for reason in because} == {"SCOPE", "OWNER"}
    allowed = {"action": "updateMemberName", "role": "owner", "statement": {"effect": "ALLOW"}}
    assert because == [allowed] * len(because)
    assert (entry["before"]["name"], entry["after"]["name"]) == ("Owner", "Renamed")


async def test_entries_are_found_by_what_they_say(organisation: Organisation, ask: Ask) -> None:
    owner = organisation.owner
    role = await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    made = await organisation.made(owner, name="robot")
    token = await organisation.identify(made)
    assert owner.member
    await rename(token, "By token")
    await sessions.revoke(owner, (await organisation.as_role(BuiltInRole.READER)).token.id, Said())  # type: ignore[union-attr]
    first = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence").first()
    assert first
    query = "query($filter: AuditEntryFilter) { auditEntries(filter: $filter) { nodes { accesses { action } } } }"

    async def found(**filter_: Any) -> list[str]:
        answer = await ask(owner, query, filter=filter_)
        return [node["accesses"][0]["action"] for node in answer["data"]["auditEntries"]["nodes"]]

    assert await found(action="createRole") == ["createRole"]
    assert await found(resource="role/ci") == ["createRole"]
    assert await found(action="createRole", resource="role/x") == []
    assert await found(target=global_id("Role", role.id)) == ["createRole"]
    assert await found(token=global_id("Token", made.row.id)) == ["updateMemberName"]
    assert await found(target=global_id("Token", made.row.id)) == ["createAccessToken"]
    assert await found(actor=global_id("Member", owner.member.id), action="createAccount") == []
    assert await found(until=first.at.isoformat()) == []
    assert await found(action="create*", resource="role/*") == ["createRole"]
    statement = {"effect": "ALLOW", "notActions": ["create*", "update*"], "resources": ["member/*"]}
    assert set(await found(statements=[statement])) == {"revokeSession"}
    assert token.token
    for named in (f"member/{owner.member.id}:token/{made.row.id}", f"service-token/{made.row.id}"):
        assert await found(token=named) == ["updateMemberName"]
    assert await found(tokenEnding=f"…{token.token.ending}") == ["updateMemberName"]
    assert await found(tokenCreator=global_id("Member", owner.member.id)) == ["updateMemberName"]
    assert await found(actorKind="PERSONAL") == ["updateMemberName"]
    assert await found(targetKind="role", outcome="DONE", source="LATCHKEY") == ["createRole"]
    assert await found(source="INTEGRATION") == []
    assert await found(text="bY TOK") == ["revokeSession", "updateMemberName"]
    assert await found(address="198.51.100.0/24") == []
    whole = await AuditEntry.get(account_id=organisation.account.id, target_id=role.id)
    assert await found(requestId=whole.request_id, address=whole.address, action="createRole") == ["createRole"]
    everything = await found(since=first.at.isoformat())
    assert (everything[-1], len(everything)) == ("createAccount", first.sequence + len(everything) - 1)


async def test_a_filter_that_makes_no_sense_is_refused_by_name(organisation: Organisation, ask: Ask) -> None:
    query = "query($filter: AuditEntryFilter) { auditEntries(filter: $filter) { totalCount } }"
    for name, value in (
        ("since", "2030-01-01T00:00:00"),
        ("actor", global_id("Role", "x")),
        ("token", "x"),
        ("target", global_id("ResourceKind", "flag")),
        ("action", ""),
        ("resource", "proj//x"),
        ("statements", [{"effect": "ALLOW", "actions": ["*"]}]),
        ("statements", [{"effect": "ALLOW", "actions": ["*"], "resources": ["*"]}] * 21),
        ("tokenCreator", "x"),
        ("tokenEnding", ""),
        ("address", "2001:db8::/32"),
        ("text", ""),
    ):
        answer = await ask(organisation.owner, query, filter={name: value})
        told = [(error["code"], error["field"]) for error in answer["errors"]]
        assert [(code, field.partition("[")[0]) for code, field in told] == [("BAD_USER_INPUT", f"filter.{name}")]


async def test_what_changed_is_only_for_those_who_may_see_it(organisation: Organisation, ask: Ask) -> None:
    policy = [
        {"effect": "allow", "actions": [Action.VIEW_AUDIT_LOG.value], "resources": ["acct"]},
    ]
    auditor = await organisation.role("auditor", *policy)
    caller = await organisation.session(await organisation.member(custom=(auditor,)))
    answer = await ask(caller, '{ auditEntries(first: 2, filter: {action: "createKind"}) { nodes { after seal } } }')
    assert [node["after"] for node in answer["data"]["auditEntries"]["nodes"]] == [None, None]
    assert {(error["code"], error["action"]) for error in answer["errors"]} == {("FORBIDDEN", "viewAuditChanges")}


async def test_sessions_are_targets_by_their_own_ids(organisation: Organisation, ask: Ask) -> None:
    query = '{ auditEntries(first: 1, filter: {action: "createSession"}) { nodes { target { nodeId } } } }'
    answer = await ask(organisation.owner, query)
    session = organisation.owner.token
    assert isinstance(session, Token)
    assert isinstance(organisation.owner.member, Member)
    assert answer["data"]["auditEntries"]["nodes"] == [{"target": {"nodeId": global_id("Session", session.id)}}]


async def test_an_entry_shows_nothing_that_the_thing_itself_would_not(organisation: Organisation, ask: Ask) -> None:
    names = {"effect": "allow", "actions": ["viewMember", "updateMemberName"], "resources": ["member/*"]}
    roles_named = {"effect": "allow", "actions": ["viewRole", "updateName"], "resources": ["role/secretive"]}
    held = await organisation.role("namer", names, roles_named)
    await organisation.role("secretive", {"effect": "allow", "actions": ["viewFlag"], "resources": ["*"]})
    ren = await organisation.session(await organisation.member(custom=[held], name="Ren"))
    adam = await organisation.member(custom=[held], name="Adam")
    own_log = {"effect": "allow", "actions": ["viewAuditLog", "viewAuditChanges"]}
    assert ren.member
    seen = [names, roles_named, {**own_log, "resources": [f"member/{ren.member.id}"]}]
    await organisation.role("watcher", *seen)
    await members.assign_roles(organisation.owner, ren.member.id, Grant(custom_roles=["watcher"]), Said())
    ren = await organisation.identify(organisation.secrets[str(ren.token.id)])  # type: ignore[union-attr]
    rename = "mutation($id: ID!, $name: String!) { %s(input: {id: $id, name: $name}) { auditEntry { before after } } }"
    answer = await ask(ren, rename % "updateMember", id=global_id("Member", adam.id), name="Adam II")
    entry = answer["data"]["updateMember"]["auditEntry"]
    assert (entry["before"]["name"], entry["after"]["name"]) == ("Adam", "Adam II")
    assert [("email" in side, side["customRoles"]) for side in entry.values()] == [(False, [])] * 2
    role = await Role.get(key="secretive")
    answer = await ask(ren, rename % "updateRole", id=global_id("Role", role.id), name="S")
    entry = answer["data"]["updateRole"]["auditEntry"]
    assert entry["before"]["name"] == "Secretive"
    assert not any("policy" in side for side in entry.values())
    listed = "{ auditEntries(first: 1) { nodes { before after address } } }"
    whole = (await ask(organisation.owner, listed))["data"]["auditEntries"]["nodes"][0]
    assert whole["before"]["policy"][0]["actions"] == ["viewFlag"]
    assert whole["address"] == organisation.request.address


async def test_whom_it_is_about_learns_neither_from_where_nor_by_which_words(
    organisation: Organisation, ask: Ask
) -> None:
    manage = {"effect": "allow", "actions": ["viewMember", "updateMemberName"], "resources": ["member/*"]}
    boss = await organisation.session(await organisation.member(custom=[await organisation.role("boss", manage)]))
    rita = await organisation.as_role(BuiltInRole.READER)
    assert rita.member
    await members.update(boss, rita.member.id, "Rita", Said())
    query = "{ auditEntries(first: 1) { nodes { address userAgent because { statement { effect } } } } }"
    for caller, origin in ((rita, None), (organisation.owner, "192.0.2.1")):
        answer = await ask(caller, query)
        (entry,) = answer["data"]["auditEntries"]["nodes"]
        assert entry["address"] == origin
        assert (entry["because"] == [{"statement": None}]) is (caller is rita)
        refused = [(error["code"], error["resource"]) for error in answer.get("errors", [])]
        assert refused == ([("FORBIDDEN", "role/boss")] if caller is rita else [])


async def test_an_instant_is_the_same_whatever_its_time_zone(organisation: Organisation, ask: Ask) -> None:
    for n in range(3):
        await rename(organisation.owner, f"Name {n}")
    since = (await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence"))[1].at
    query = """query($since: DateTime, $until: DateTime) {
        auditEntries(filter: {since: $since, until: $until}) { totalCount }
    }"""
    for hours in (0, 5, -9, 14):
        at = since.astimezone(timezone(timedelta(hours=hours))).isoformat()
        answer = await ask(organisation.owner, query, since=at)
        assert answer["data"]["auditEntries"]["totalCount"] == 2, at
    answer = await ask(organisation.owner, query, until="0001-01-01T00:00:00+14:00")
    assert answer["errors"][0]["field"] == "filter.until"


async def test_nobody_follows_the_log_too_often_at_a_time(organisation: Organisation) -> None:
    streams = [await following(organisation, organisation.owner) for _ in range(MAX_LISTENING)]
    waiting = [next_of(stream) for stream in streams]
    bell = organisation.house.bell
    while len(bell._listening.get(organisation.account.id, ())) < MAX_LISTENING:  # noqa: ASYNC110, SLF001 - as above
        await asyncio.sleep(0)
    refused = await anext(await following(organisation, organisation.owner))
    assert refused.errors
    assert isinstance(refused.errors[0].original_error, RateLimited)
    await rename(organisation.owner, "Heard by all")
    assert {await told(each) for each in waiting} == {"Heard by all"}
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    assert not bell._times  # noqa: SLF001 - as above


async def test_the_head_is_signed_with_a_key_that_is_shown(organisation: Organisation, ask: Ask) -> None:
    query = "{ auditHead { sequence seal signingKey signature line } auditKeys { id publicKey } }"
    answer = (await ask(organisation.owner, query))["data"]
    last = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").first()
    assert last
    head = answer["auditHead"]
    assert (head["sequence"], head["seal"]) == (last.sequence, last.seal)
    keys = PublicKeys.parse(json.dumps({"keys": answer["auditKeys"]}))
    statement = Statement.parse(Kind.HEAD, head["line"].encode())
    assert statement.is_signed(keys.signed)
    assert (statement.signature, statement.said["keyId"]) == (head["signature"], head["signingKey"])


async def test_whoever_does_not_see_the_whole_log_does_not_see_its_head(organisation: Organisation, ask: Ask) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    answer = await ask(reader, "{ auditHead { seal } auditKeys { id } }")
    assert answer["data"] == {"auditHead": None, "auditKeys": None}
    assert [error["code"] for error in answer["errors"]] == ["FORBIDDEN"] * 2


async def test_an_entry_reads_as_a_sentence_and_shows_what_changed(organisation: Organisation, ask: Ask) -> None:
    owner = organisation.owner
    token = await organisation.token(owner, name="robot")
    assert owner.member
    assert token.token
    await rename(token, "Renamed")
    query = """{ auditEntries(first: 2) { nodes {
        title actor { memberId tokenId } changes { field before after }
    } } }"""
    renamed, made = (await ask(owner, query))["data"]["auditEntries"]["nodes"]
    assert renamed["title"] == (
        f"Owner changed the name of the member “Renamed” with the token “robot” (…{token.token.ending})"
    )
    assert renamed["actor"] == {
        "memberId": global_id("Member", owner.member.id),
        "tokenId": global_id("Token", token.token.id),
    }
    assert {"field": "name", "before": "Owner", "after": "Renamed"} in renamed["changes"]
    assert all(change["before"] != change["after"] for change in renamed["changes"])
    assert made["title"].startswith("Owner created the token “robot” in the session …")
    assert made["actor"]["tokenId"] == global_id("Session", owner.token.id)  # type: ignore[union-attr]
    assert {change["before"] for change in made["changes"]} == {None}


async def test_changes_are_only_of_what_is_shown(organisation: Organisation, ask: Ask) -> None:
    log = {"effect": "allow", "actions": ["viewAuditLog", "viewAuditChanges"], "resources": ["acct"]}
    watcher = await organisation.session(await organisation.member(custom=[await organisation.role("watcher", log)]))
    query = '{ auditEntries(first: 1, filter: {action: "createRole"}) { nodes { changes { field } } } }'
    for caller, shows in ((watcher, False), (organisation.owner, True)):
        (entry,) = (await ask(caller, query))["data"]["auditEntries"]["nodes"]
        assert ("policy" in {change["field"] for change in entry["changes"]}) is shows
