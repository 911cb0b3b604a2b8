"""Leaked secrets, reported over HTTP by whoever holds them: dead at once, and nothing to learn for anybody."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from core.errors import RateLimited, Unauthenticated
from core.secret import Secret, SecretKind
from core.vocabulary import BuiltInRole
from models import AuditEntry, Link, SecretDigest, Token, now
from resolvers import leaks, members, tokens
from resolvers.callers import identify
from resolvers.house import LEAKS_A_MINUTE
from resolvers.members import Grant
from resolvers.pace import WINDOW_S
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.databases import Elsewhere
from tests.organisation import Organisation, founded
from tests.walk import ROOT
from web.leaks import PATH


@pytest.fixture
async def client(organisation: Organisation) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(assembled(Settings(), organisation.house))
    headers = {"User-Agent": "scanner/1"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as client:
        yield client


async def works(organisation: Organisation, secret: str) -> bool:
    try:
        await identify(secret, organisation.request)
    except Unauthenticated:
        return False
    return True


def told(response: httpx2.Response) -> tuple[Any, ...]:
    """All that tells answers apart, but for what differs each time."""
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    return response.status_code, headers, response.content


async def entries(organisation: Organisation) -> int:
    return await AuditEntry.filter(account_id=organisation.account.id).count()


async def test_a_reported_token_is_dead_with_the_next_request(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    made = await organisation.made(organisation.owner, name="leaky")
    secret = made.secret or ""
    assert await works(organisation, secret)
    before = await entries(organisation)
    answer = await client.post(PATH, json={"token": secret})
    assert (answer.status_code, answer.json()) == (202, {"reported": 1})
    assert not await works(organisation, secret)
    row = await Token.get(id=made.row.id)
    assert row.leaked_at == row.revoked_at is not None
    entry = await AuditEntry.filter(target_id=row.id).order_by("-sequence").first()
    assert entry
    assert (entry.actor_kind, entry.member_id, entry.token_id) == ("POSSESSION", None, None)
    assert (entry.address, entry.user_agent, entry.comment) == ("127.0.0.1", "scanner/1", "reported as leaked")
    assert entry.accesses == [{"action": "deleteAccessToken", "resource": str(row.resource)}]
    assert entry.before
    assert entry.after
    assert entry.before["leakedAt"] is None
    assert datetime.fromisoformat(entry.after["leakedAt"]) == row.leaked_at
    assert await entries(organisation) == before + 1


async def test_it_is_dead_in_under_a_second_on_another_process(
    organisation: Organisation, client: httpx2.AsyncClient, database_url: str
) -> None:
    made = await organisation.made(organisation.owner)
    there = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.resolvers.another_process", database_url, organisation.house.keys.json()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )

    async def works_there() -> bool:
        assert there.stdin
        assert there.stdout
        there.stdin.write(json.dumps(["may", made.secret, "viewMember", "member/x"]).encode() + b"\n")
        return bool(json.loads(await there.stdout.readline()))

    assert await works_there()
    assert (await client.post(PATH, json={"token": made.secret})).status_code == 202
    reported_s = time.monotonic()
    while await works_there():
        assert time.monotonic() - reported_s < 1
    assert there.stdin
    there.stdin.close()
    assert await there.wait() == 0


async def test_all_that_was_made_with_it_ends_too(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    parent = await organisation.made(organisation.owner)
    child = await organisation.made(await organisation.identify(parent))
    grandchild = await organisation.made(await organisation.identify(child))
    beside = await organisation.made(organisation.owner)
    await client.post(PATH, json={"token": parent.secret})
    alive = [await works(organisation, each.secret or "") for each in (parent, child, grandchild, beside)]
    assert alive == [False, False, False, True]
    entry = await AuditEntry.filter(target_id=parent.row.id).order_by("-sequence").first()
    assert entry
    assert entry.after
    assert entry.after["revokedDescendants"] == 2
    assert (await Token.get(id=child.row.id)).leaked_at is None


async def test_an_old_secret_in_its_grace_ends_itself_alone(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    made = await organisation.made(organisation.owner)
    child = await organisation.made(await organisation.identify(made))
    fresh = await tokens.reset(organisation.owner, made.row.id, Said(), old_ends_at=now() + timedelta(hours=1))
    assert [await works(organisation, each or "") for each in (made.secret, fresh.secret)] == [True, True]
    await client.post(PATH, json={"token": made.secret})
    alive = [await works(organisation, each or "") for each in (made.secret, fresh.secret, child.secret)]
    assert alive == [False, True, True]
    row = await Token.get(id=made.row.id)
    assert row.revoked_at is None
    assert row.leaked_at is not None
    entry = await AuditEntry.filter(target_id=row.id).order_by("-sequence").first()
    assert entry
    assert (entry.actor_kind, entry.comment) == ("POSSESSION", "reported as leaked")
    await client.post(PATH, json={"token": fresh.secret})
    assert not await works(organisation, fresh.secret or "")


async def test_the_secret_of_a_session_ends_it(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    session = await organisation.as_role(BuiltInRole.READER)
    assert session.token
    secret = organisation.secrets[str(session.token.id)]
    await client.post(PATH, json={"token": secret})
    assert not await works(organisation, secret)
    entry = (
        await AuditEntry.filter(target_id__in=[session.token.id, session.token.owner_id]).order_by("-sequence").first()
    )
    assert entry
    assert [access["action"] for access in entry.accesses] == ["revokeSession"]


async def test_a_one_time_link_ends(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    invited = await members.invite(organisation.owner, "new@example.com", None, Grant(), Said())
    link = (invited.secret or "").rpartition("/")[2]
    await client.post(PATH, json={"token": link})
    assert not await Link.filter(member_id=invited.row.id).exists()
    with pytest.raises(Unauthenticated):
        await members.accept_invite(organisation.request, link, None, "a long password")
    entry = await AuditEntry.filter(target_id=invited.row.id).order_by("-sequence").first()
    assert entry
    assert entry.after
    assert "linkEndedAt" in entry.after


async def test_the_owner_of_the_token_sees_who_ended_it(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    session = await organisation.as_role(BuiltInRole.READER)
    assert session.token
    made = await organisation.made(session)
    await client.post(PATH, json={"token": made.secret})
    secret = organisation.secrets[str(session.token.id)]
    query = "{ tokens { nodes { leakedAt state auditEntries(first: 1) { nodes { actor { kind } comment } } } } }"
    shown = await client.post("/graphql", json={"query": query}, headers={"Authorization": f"Bearer {secret}"})
    (token,) = shown.json()["data"]["tokens"]["nodes"]
    assert token["leakedAt"]
    assert token["state"] == "REVOKED"
    assert token["auditEntries"]["nodes"] == [{"actor": {"kind": "POSSESSION"}, "comment": "reported as leaked"}]


async def dead(organisation: Organisation) -> list[str]:
    """Secrets that open nothing: of every kind, revoked, expired, reset, and never made."""
    owner = organisation.owner
    revoked = await organisation.made(owner)
    await tokens.revoke(owner, revoked.row.id, Said())
    expired = await organisation.made(owner, expires_at=now() + timedelta(hours=1))
    await Token.filter(id=expired.row.id).update(expires_at=now() - timedelta(hours=1))
    reset = await organisation.made(owner)
    await tokens.reset(owner, reset.row.id, Said())
    minted = [Secret.mint(kind).text for kind in SecretKind]
    return [*(each.secret or "" for each in (revoked, expired, reset)), *minted, "lkp_nonsense", "", "ghp_x"]


async def test_what_is_known_and_what_is_not_is_answered_alike(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    made = await organisation.made(organisation.owner)
    answers = [
        told(await client.post(PATH, json={"token": each})) for each in (made.secret, *(await dead(organisation)))
    ]
    assert len({repr(answer) for answer in answers}) == 1


async def test_what_has_ended_changes_nothing(
    organisation: Organisation, client: httpx2.AsyncClient, elsewhere: Elsewhere
) -> None:
    secrets = await dead(organisation)
    live = await organisation.made(organisation.owner)
    await client.post(PATH, json={"token": live.secret})
    before = elsewhere.everything()
    await client.post(PATH, json={"tokens": [*secrets, live.secret]})
    assert elsewhere.everything() == before


@pytest.mark.parametrize("shape", ["tokens", "array", "twice"])
async def test_many_are_reported_at_once(organisation: Organisation, client: httpx2.AsyncClient, shape: str) -> None:
    secrets = [(await organisation.made(organisation.owner)).secret or "" for _ in range(3)]
    told = [secrets[0], Secret.mint(SecretKind.PERSONAL).text, *secrets[1:]]
    body: Any = {"tokens": told}
    if shape == "array":
        body = [
            {"token": each, "type": "latchkey", "url": "https://git.example/x", "source": "commit"} for each in told
        ]
    elif shape == "twice":
        body = {"tokens": told * 2}
    before = await entries(organisation)
    answer = await client.post(PATH, json=body)
    assert (answer.status_code, answer.json()) == (202, {"reported": len(told) * (2 if shape == "twice" else 1)})
    assert [await works(organisation, each) for each in secrets] == [False] * 3
    assert await entries(organisation) == before + 3


async def test_tokens_of_every_account_are_known(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    other = await founded(organisation.house.database, "other")
    other.house = organisation.house
    secret = Secret.mint(SecretKind.PERSONAL)
    made = await other.made(other.owner)
    digest = organisation.house.keys.digest(secret)
    await SecretDigest.filter(token_id=made.row.id).update(digest=digest.hex, key_id=digest.key_id)
    await client.post(PATH, json={"token": secret.text})
    assert (await Token.get(id=made.row.id)).leaked_at is not None


async def test_where_and_how_often_a_token_may_be_used_is_no_hindrance(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    made = await organisation.made(organisation.owner, networks=["192.0.2.7"], rate_limits=["1/day"])
    assert (await client.post(PATH, json={"token": made.secret})).status_code == 202
    assert (await Token.get(id=made.row.id)).revoked_at is not None


async def test_a_token_whose_owner_is_asleep_ends_for_good(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    session = await organisation.as_role(BuiltInRole.READER)
    assert session.member
    made = await organisation.made(session)
    await members.suspend(organisation.owner, session.member.id, Said())
    await client.post(PATH, json={"token": made.secret})
    await members.reinstate(organisation.owner, session.member.id, Said())
    assert not await works(organisation, made.secret or "")


async def test_a_credential_beside_it_counts_for_nothing(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    made = await organisation.made(organisation.owner)
    for header in ("Bearer nonsense", f"Bearer {made.secret}"):
        answer = await client.post(PATH, json={"token": "lkp_nonsense"}, headers={"Authorization": header})
        assert answer.status_code == 202
    assert await works(organisation, made.secret or "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ("lkp_x", 400),
        ({"token": 1}, 400),
        ({"token": None}, 400),
        ({"tokens": "lkp_x"}, 400),
        ({"tokens": []}, 400),
        ({"tokens": [[]]}, 400),
        ({"tokens": ["lkp_x"] * (leaks.MOST + 1)}, 400),
        ({"token": "lkp_x", "tokens": ["lkp_x"]}, 400),
        ([{"type": "latchkey"}], 400),
        (["lkp_x"], 400),
        ({"token": "x" * 5_000}, 400),
        ({"tokens": ["x" * 4_000] * 100}, 413),
    ],
)
async def test_what_is_no_report_is_refused(
    client: httpx2.AsyncClient, body: Any, status: int, elsewhere: Elsewhere
) -> None:
    before = elsewhere.everything()
    answer = await client.post(PATH, json=body)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["extensions"]["code"] in {"BAD_USER_INPUT", "BAD_REQUEST"}
    assert elsewhere.everything() == before


async def test_it_is_posted_as_json(client: httpx2.AsyncClient) -> None:
    got = await client.get(PATH)
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert (await client.post(PATH, content=b"{", headers={"Content-Type": "application/json"})).status_code == 400
    assert (await client.post(PATH, content=b"token=x")).status_code == 415


async def test_who_reports_too_much_waits_a_while_and_others_do_not(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    made = await organisation.made(organisation.owner)
    for _ in range(LEAKS_A_MINUTE // leaks.MOST):
        assert (await client.post(PATH, json={"tokens": ["lkp_x"] * leaks.MOST})).status_code == 202
    late = await client.post(PATH, json={"token": made.secret})
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= WINDOW_S
    assert await works(organisation, made.secret or "")
    elsewhere = httpx2.ASGITransport(assembled(Settings(), organisation.house), client=("192.0.2.9", 1))
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://127.0.0.1:8000") as other:
        assert (await other.post(PATH, json={"token": made.secret})).status_code == 202
    assert not await works(organisation, made.secret or "")


async def test_who_has_a_network_reports_no_more_from_all_of_its_addresses(organisation: Organisation) -> None:
    async def report(address: str, many: int = 1) -> None:
        await leaks.revoke(replace(organisation.request, address=address), ["lkp_x"] * many)

    for place in range(LEAKS_A_MINUTE // leaks.MOST):
        await report(f"2001:db8::{place:x}", leaks.MOST)
    with pytest.raises(RateLimited):
        await report("2001:db8::ffff:ffff:ffff:ffff")
    await report("2001:db8:0:1::1")


async def test_a_secret_is_reported_while_it_is_reset_and_one_of_both_comes_first(
    organisation: Organisation, client: httpx2.AsyncClient
) -> None:
    for _ in range(5):
        made = await organisation.made(organisation.owner)
        answer, reset = await asyncio.gather(
            client.post(PATH, json={"token": made.secret}),
            tokens.reset(organisation.owner, made.row.id, Said()),
            return_exceptions=True,
        )
        assert isinstance(answer, httpx2.Response)
        assert answer.status_code == 202
        assert not await works(organisation, made.secret or "")
        row = await Token.get(id=made.row.id)
        assert (row.revoked_at is None) is not isinstance(reset, Exception)


async def test_a_secret_that_ends_while_it_is_reported_ends_nothing_else(
    organisation: Organisation, client: httpx2.AsyncClient, elsewhere: Elsewhere
) -> None:
    made = await organisation.made(organisation.owner)
    with elsewhere.transaction() as run:
        run("UPDATE audit_head SET sequence = sequence")  # so that the report waits, having found the secret alive
        reporting = asyncio.create_task(client.post(PATH, json={"token": made.secret}))
        await asyncio.sleep(0.5)
        assert not reporting.done()
        run(f"UPDATE secret SET expires_at = '1970-01-01 00:00:00+00:00' WHERE token_id = '{made.row.id}'")  # noqa: S608 - an id of ours
    assert (await reporting).status_code == 202
    row = await Token.get(id=made.row.id)
    assert (row.revoked_at, row.leaked_at) == (None, None)


async def test_the_report_never_shows_a_secret(
    organisation: Organisation, client: httpx2.AsyncClient, elsewhere: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    made = await organisation.made(organisation.owner)
    answer = await client.post(PATH, json={"token": made.secret})
    assert (made.secret or "")[4:] not in answer.text + caplog.text + "\n".join(elsewhere.everything())
