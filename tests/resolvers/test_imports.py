"""Account-wide tokens brought over: any secret works on unchanged, bounded by its importer, and only ever less."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from tortoise.queryset import ExistsQuery

from core.catalogue import Kind, KindAction, Mark
from core.errors import Conflict, Forbidden, Invalid, Unauthenticated, Unfit
from core.secret import Secret, SecretKind, ServerKeys
from core.specifiers import Resource
from core.vocabulary import Action, BuiltInRole
from models import ActorKind, AuditEntry, SecretDigest, Token, TokenKind, now
from models.database import Database
from resolvers import accounts, foreign, imports, kinds, leaks, members, tokens
from resolvers.accounts import AccountChange
from resolvers.callers import Caller, identify, recognised, with_credential
from resolvers.house import House
from resolvers.imports import Import, Imported
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation, founded
from tests.resolvers.conftest import Refused
from tests.resolvers.test_least_of_both import may

LEGACY = "api-4f1d8e0a-legacy"
GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
FLAGS = {"effect": "allow", "actions": ["viewFlag"], "resources": ["proj/*:env/*:flag/*"]}
HOUR = timedelta(hours=1)
NEW = Kind("plan", (KindAction("runPlan", Mark.READ),), name="Plan")


async def bring(organisation: Organisation, *wanted: Import, by: Caller | None = None, **how: Any) -> Imported:
    return await imports.bring(by or organisation.owner, wanted, Said("moving"), **how)


async def works(organisation: Organisation, *secrets: str) -> list[bool]:
    """Say which secrets open an account-wide token."""
    found = []
    for secret in secrets:
        try:
            caller = await organisation.identify(secret)
            found.append(caller.token is not None and caller.token.kind is TokenKind.ACCOUNT)
        except Unauthenticated:
            found.append(False)
    return found


def problems(refused: pytest.ExceptionInfo[Unfit]) -> list[str]:
    return [problem.field for problem in refused.value.problems]


async def test_any_shape_works_by_its_secret_and_by_its_digest_at_once(organisation: Organisation) -> None:
    shapes = ["x", "token 4f1d", "Basic dTpw", "ünïcode ✓", "slkp_4f1d", "4" * 4096, LEGACY]
    assert await works(organisation, *shapes) == [False] * len(shapes)
    done = await bring(organisation, *(Import(f"old {n}", secret) for n, secret in enumerate(shapes)))
    assert await works(organisation, *shapes) == [True] * len(shapes)
    assert [draft.row.ending for draft in done.drafts] == ["", "", "", "", "", "4444", "gacy"]
    hashed = hashlib.sha256(b"by digest").hexdigest()
    await bring(organisation, Import("old", sha256=hashed, ending="gest"))
    assert await works(organisation, "by digest", "by digest ") == [True, False]
    assert (await organisation.identify("by digest")).token.ending == "gest"  # type: ignore[union-attr]
    known = recognised("by digest", organisation.house, None)
    assert known
    assert known.token


async def test_an_import_is_recorded_one_entry_each_without_its_secret(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    end = now() + HOUR
    first = Import(
        "Deploy", LEGACY, description="nightly", expires_at=end, networks=["192.0.2.0/24"], rate_limits=["9/minute"]
    )
    hashed = hashlib.sha256(b"another legacy secret").hexdigest()
    done = await bring(organisation, first, Import("Report", sha256=hashed, scope=Scope(statements=[GATE])))
    assert [entry.accesses for entry in done.entries] == [
        [{"action": "importAccessToken", "resource": f"account-token/{draft.row.id}"}] for draft in done.drafts
    ]
    entry = done.entries[0]
    assert (entry.before, entry.comment, entry.target_name) == (None, "moving", "Deploy")
    shown = {"kind", "name", "description", "scopeRole", "networks", "rateLimits", "ending", "expiresAt", "responsible"}
    assert {name: (entry.after or {})[name] for name in shown} == {
        "kind": "ACCOUNT",
        "name": "Deploy",
        "description": "nightly",
        "scopeRole": "owner",
        "networks": ["192.0.2.0/24"],
        "rateLimits": ["9/minute"],
        "ending": "gacy",
        "expiresAt": end.isoformat(),
        "responsible": str(organisation.owner.member.id),  # type: ignore[union-attr]
    }
    rows = await Token.filter(kind=TokenKind.ACCOUNT).order_by("id")
    assert [(row.name, row.owner_id, row.creator_id) for row in rows] == [
        (name, None, organisation.owner.member.id)  # type: ignore[union-attr]
        for name in ("Deploy", "Report")
    ]
    everything = repr(elsewhere.everything())
    assert not any(text in everything for text in (LEGACY, hashed, "another legacy secret"))


async def test_an_import_does_what_its_importer_might_and_never_more(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    await bring(organisation, Import("old", LEGACY), by=admin)
    caller = await organisation.identify(LEGACY)
    assert may(caller, "updateOn")
    assert caller.may(Action.CREATE_ROLE, Resource.of(("role", "new")))
    assert not caller.may(Action.UPDATE_ACCOUNT_OWNER, caller.account)
    assert [side.kind.value for side in caller.sides] == ["SCOPE", "CEILING"]
    assert admin.member
    await members.suspend(organisation.owner, admin.member.id, Said())
    await kinds.define(organisation.owner, NEW, Said())
    caller = await organisation.identify(LEGACY)
    assert may(caller, "updateOn")
    assert not caller.rights.decide("runPlan", Resource.of(("plan", "x")))


async def test_only_who_has_all_rights_of_an_admin_imports(organisation: Organisation, refused: Refused) -> None:
    every = {"effect": "allow", "actions": ["*"], "resources": ["account-token/*"]}
    role = await organisation.role("importer", every)
    importer = await organisation.session(await organisation.member(custom=[role]))
    writer = await organisation.as_role(BuiltInRole.WRITER)
    narrow = await organisation.token(organisation.owner, Scope(statements=[every]))
    for caller in (importer, writer, narrow):
        for wanted in (Import("old", LEGACY), Import("", "")):
            for dry_run in (True, False):
                with refused(Forbidden) as refusal:
                    await bring(organisation, wanted, by=caller, dry_run=dry_run)
                assert refusal.value.extensions["action"] == "importAccessToken"


async def test_a_token_imports_within_its_own_bounds(organisation: Organisation, refused: Refused) -> None:
    end = now() + HOUR
    maker = await organisation.token(
        organisation.owner, Scope(BuiltInRole.OWNER), expires_at=end, networks=["192.0.2.0/24"]
    )
    done = await bring(organisation, Import("old", LEGACY), by=maker)
    row = done.drafts[0].row
    assert maker.token
    assert (row.parent_id, row.expires_at, row.networks) == (maker.token.id, end, ["192.0.2.0/24"])
    for field, wanted in (
        ("expiresAt", Import("old", "another", expires_at=end + HOUR)),
        ("networks", Import("old", "another", networks=["198.51.100.0/24"])),
    ):
        with refused(Unfit) as refusal:
            await bring(organisation, wanted, by=maker)
        assert problems(refusal) == [f"tokens[0].{field}"]
    await tokens.revoke(organisation.owner, maker.token.id, Said())
    assert await works(organisation, LEGACY) == [False]


async def test_every_line_that_is_wrong_is_named_and_then_nothing_is_imported(
    organisation: Organisation, refused: Refused
) -> None:
    await bring(organisation, Import("there", LEGACY))
    session = await organisation.made(organisation.owner)
    mine = hashlib.sha256((session.secret or "").encode()).hexdigest()
    digest = hashlib.sha256(b"new").hexdigest()
    wanted = [
        ("secret", Import("old")),
        ("secret", Import("old", "new", sha256=digest)),
        ("secret", Import("old", " new")),
        ("secret", Import("old", Secret.mint(SecretKind.SERVICE).text)),
        ("sha256", Import("old", sha256=digest.upper())),
        ("sha256", Import("old", sha256=digest[:-1])),
        ("ending", Import("old", "new", ending="wxyz")),
        ("ending", Import("old", sha256=hashlib.sha256(b"other").hexdigest(), ending="vwxyz")),
        ("ending", Import("old", sha256=hashlib.sha256(b"abcd").hexdigest(), ending="abcd")),
        ("secret", Import("old", LEGACY)),
        ("sha256", Import("old", sha256=hashlib.sha256(LEGACY.encode()).hexdigest())),
        ("sha256", Import("old", sha256=mine)),
        ("name", Import("", "fresh one")),
        ("name", Import("a fresh two", "fresh two")),
        ("description", Import("old", "x3", description=" x3 ")),
        ("expiresAt", Import("old", "fresh four", expires_at=now())),
        ("networks[0]", Import("old", "fresh five", networks=["nowhere"])),
        ("scope.customRoles[0]", Import("old", "fresh six", scope=Scope(custom_roles=["absent"]))),
        ("responsibleId", Import("old", "fresh seven", responsible_id=organisation.account.id)),
        ("sha256", Import("old", sha256=hashlib.sha256(b"fresh eight").hexdigest())),
    ]
    good = Import("good", "fresh eight")
    with refused(Unfit) as refusal:
        await bring(organisation, *[each for _, each in wanted[:-1]], good, wanted[-1][1])
    expected = [f"tokens[{place}].{field}" for place, (field, _) in enumerate(wanted[:-1])]
    assert [field.removesuffix("[0]") for field in problems(refusal)] == [
        field.removesuffix("[0]") for field in [*expected, f"tokens[{len(wanted)}].sha256"]
    ]
    told = str(refusal.value)
    assert not any(each.secret in told for _, each in wanted if each.secret and len(each.secret) > 5)
    with refused(Invalid) as comment:
        await imports.bring(organisation.owner, [Import("old", "fresh nine")], Said("it is fresh nine"))
    assert comment.value.field == "comment"
    for amount in (0, imports.MOST + 1):
        with refused(Invalid) as many:
            await bring(organisation, *[Import("old", f"s{n}") for n in range(amount)])
        assert many.value.field == "tokens"


async def test_a_dry_run_shows_all_and_writes_nothing(organisation: Organisation, elsewhere: Elsewhere) -> None:
    before = elsewhere.everything()
    wanted = [Import("all", LEGACY), Import("some", "some-legacy-secret", scope=Scope(statements=[GATE]))]
    done = await bring(organisation, *wanted, dry_run=True)
    assert elsewhere.everything() == before
    assert (done.entries, await works(organisation, LEGACY)) == ([], [False])
    assert [[(shown.side.value, shown.name) for shown in draft.effective.shown] for draft in done.drafts] == [
        [("SCOPE", "owner"), ("CEILING", "owner")],
        [("SCOPE", "inline"), ("CEILING", "owner")],
    ]
    with pytest.raises(Unfit):
        await bring(organisation, Import("", LEGACY), dry_run=True)


async def test_what_was_imported_is_passed_over_where_asked(organisation: Organisation) -> None:
    await bring(organisation, Import("old", LEGACY))
    done = await bring(organisation, Import("old", LEGACY), Import("new", "fresh"), skip_known=True)
    assert (done.known, [draft.row.name for draft in done.drafts]) == ([0], ["new"])
    again = await bring(organisation, Import("old", LEGACY), skip_known=True)
    assert (again.known, again.drafts, again.entries) == ([0], [], [])
    made = await organisation.made(organisation.owner)
    mine = hashlib.sha256((made.secret or "").encode()).hexdigest()
    with pytest.raises(Unfit):
        await bring(organisation, Import("old", sha256=mine), skip_known=True)


async def test_of_two_accounts_that_import_the_same_secret_one_has_it(
    database: Database, organisation: Organisation
) -> None:
    other = await founded(database, "other")
    elsewhere = await with_credential(other.account, organisation.request, ActorKind.COMMAND_LINE)
    both = [bring(organisation, Import("old", LEGACY), by=by) for by in (organisation.owner, elsewhere)]
    done = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(each).__name__ in {"Unfit", "Conflict"} for each in done) == [False, True]
    assert await Token.filter(kind=TokenKind.ACCOUNT).count() == 1
    assert await SecretDigest.filter(token__kind=TokenKind.ACCOUNT).count() == 1


async def test_imports_count_towards_the_limit(organisation: Organisation, refused: Refused) -> None:
    await accounts.update(organisation.owner, AccountChange(limits={"maxTokens": 2}), Said())
    with refused(Conflict) as refusal:
        await bring(organisation, *[Import("old", f"s{n}") for n in range(3)])
    assert refusal.value.extensions["exceeded"] == "maxTokens"
    assert len((await bring(organisation, *[Import("old", f"s{n}") for n in range(2)])).drafts) == 2


async def test_a_repeated_import_under_one_key_is_a_conflict(organisation: Organisation, refused: Refused) -> None:
    said = Said(idempotency_key="once")
    done = await imports.bring(organisation.owner, [Import("one", "s1"), Import("two", "s2")], said)
    with refused(Conflict) as refusal:
        await imports.bring(organisation.owner, [Import("three", "s3")], said)
    assert refusal.value.extensions["first"]["resource"] == str(done.drafts[0].row.resource)


async def test_an_import_only_gets_narrower_whoever_asks(organisation: Organisation, refused: Refused) -> None:
    end = now() + 2 * HOUR
    await organisation.role("strong", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    await organisation.role("weak", GATE)
    wanted = Import(
        "old",
        LEGACY,
        scope=Scope(statements=[GATE, FLAGS]),
        expires_at=end,
        networks=["192.0.2.0/24"],
        rate_limits=["9/minute"],
    )
    token_id = (await bring(organisation, wanted)).drafts[0].row.id
    for field, wider in (
        ("scope", TokenChange(scope=Scope(BuiltInRole.ADMIN))),
        ("scope", TokenChange(scope=Scope(custom_roles=["strong"]))),
        ("expiresAt", TokenChange(expires_at=end + HOUR)),
        ("expiresAt", TokenChange(clear_expiry=True)),
        ("networks", TokenChange(networks=[])),
        ("rateLimits", TokenChange(rate_limits=["10/minute"])),
    ):
        with refused(Invalid) as refusal:
            await tokens.update(organisation.owner, token_id, wider, Said())
        assert refusal.value.field == field
    for narrower in (
        TokenChange(scope=Scope(statements=[GATE])),
        TokenChange(scope=Scope(custom_roles=["weak"])),
        TokenChange(expires_at=end - HOUR),
        TokenChange(networks=["192.0.2.1"]),
        TokenChange(rate_limits=["9/minute", "20/hour"]),
    ):
        assert (await tokens.update(organisation.owner, token_id, narrower, Said())).entry
    with refused(Forbidden):
        await tokens.reset(organisation.owner, token_id, Said())
    assert (await tokens.revoke(organisation.owner, token_id, Said())).entry


async def test_to_narrow_to_a_live_role_takes_rights_over_all_that_it_may(
    organisation: Organisation, refused: Refused
) -> None:
    every = {"effect": "allow", "actions": ["*"], "resources": ["account-token/*"]}
    seeing = {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]}
    await organisation.role("weak", GATE)
    keeper = await organisation.role("keeper", every, seeing)
    caller = await organisation.session(await organisation.member(custom=[keeper]))
    token_id = (await bring(organisation, Import("old", LEGACY))).drafts[0].row.id
    with refused(Forbidden):
        await tokens.update(caller, token_id, TokenChange(scope=Scope(custom_roles=["weak"])), Said())
    assert (await tokens.update(caller, token_id, TokenChange(scope=Scope(statements=[GATE])), Said())).entry


def reads(statements: list[str]) -> int:
    """Count what was read beside the account's version, which PostgreSQL's listener asks for when it likes."""
    return sum("SELECT version FROM account" not in each for each in statements)


async def test_garbage_asks_once_a_second_whether_there_are_imports(
    organisation: Organisation, statements: list[str]
) -> None:
    clock = 100.0
    organisation.house.foreign.clock_s = lambda: clock
    statements.clear()
    assert await works(organisation, *(f"garbage {n}" for n in range(20))) == [False] * 20
    assert reads(statements) == 1
    assert await works(organisation, "lkp_garbage", "lk9_garbage", " blank") == [False] * 3
    await asyncio.gather(*(works(organisation, f"more {n}") for n in range(20)))
    assert reads(statements) == 1
    clock += foreign.KEPT_S
    await asyncio.gather(*(works(organisation, f"later {n}") for n in range(20)))
    assert reads(statements) == 2
    await bring(organisation, Import("old", LEGACY))
    statements.clear()
    assert await works(organisation, LEGACY, LEGACY) == [True, True]
    read = reads(statements)
    assert await works(organisation, LEGACY) == [True]
    assert reads(statements) == read
    token = await Token.get(kind=TokenKind.ACCOUNT)
    await tokens.revoke(organisation.owner, token.id, Said())
    clock += foreign.KEPT_S
    statements.clear()
    assert await works(organisation, "garbage", LEGACY, "garbage") == [False] * 3
    assert reads(statements) == 1


async def test_an_import_elsewhere_works_within_a_second(organisation: Organisation) -> None:
    clock = 100.0
    neighbour = House(organisation.house.database, organisation.house.keys)
    neighbour.foreign.clock_s = lambda: clock
    request = Organisation(neighbour, organisation.account, organisation.owner).request
    with pytest.raises(Unauthenticated):
        await identify(LEGACY, request)
    await bring(organisation, Import("old", LEGACY))
    clock += foreign.KEPT_S
    assert (await identify(LEGACY, request)).token


async def test_a_secret_is_found_under_an_older_server_key_and_renewed(organisation: Organisation) -> None:
    await bring(organisation, Import("old", LEGACY))
    keys = ServerKeys({**ServerKeys.mint("second").keys, **organisation.house.keys.keys})
    newer = Organisation(House(organisation.house.database, keys), organisation.account, organisation.owner)
    assert await works(newer, LEGACY) == [True]
    [digest] = await SecretDigest.filter(token__kind=TokenKind.ACCOUNT)
    assert digest.key_id == "second"
    with pytest.raises(Unfit):
        await bring(newer, Import("old", LEGACY), by=organisation.owner.asking(newer.request))


async def test_a_leaked_import_ends_by_possession(organisation: Organisation) -> None:
    await bring(organisation, Import("old", LEGACY))
    assert await works(organisation, LEGACY) == [True]
    await leaks.revoke(organisation.request, ["lk no", "never was", LEGACY])
    assert await works(organisation, LEGACY) == [False]
    entry = await AuditEntry.filter(actor_kind="POSSESSION").get()
    assert (entry.after or {})["leakedAt"]


async def test_an_import_while_it_is_asked_for_is_not_taken_for_none(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    run = ExistsQuery._execute  # noqa: SLF001 - to hold an answer up on its way back

    async def slowly(query: ExistsQuery) -> bool:
        found = await run(query)
        asked.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(ExistsQuery, "_execute", slowly)
    asking = asyncio.create_task(works(organisation, LEGACY))
    await asked.wait()
    await bring(organisation, Import("old", LEGACY))
    go_on.set()
    assert await asking == [False]
    assert await works(organisation, LEGACY) == [True]
