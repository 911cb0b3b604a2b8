"""The door for writing: all or nothing, recorded, in one unbroken chain."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiosqlite import Connection
from tortoise.connection import get_connection
from tortoise.exceptions import OperationalError

from core import chain
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import global_id
from core.vocabulary import Action, BuiltInRole
from models import Account, ActorKind, AuditEntry, AuditHead, Member, MemberState, Role, Row, Token, TokenKind
from models.database import Database
from models.engines.asyncpg import Connection as PostgresConnection
from models.engines.sqlite import READERS, SqliteClient
from models.versions import FileVersions
from resolvers import configuration, members, passwords, reports, roles, sessions, tokens, writing
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.roles import NewRole, RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Done, Said, opened
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation, founded

Deed = Callable[[Caller, UUID, Said], Awaitable[Done[Any]]]

ALLOW = {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]}
ANYTHING = {"effect": "allow", "actions": ["*"], "resources": ["*"]}


async def unbroken(organisation: Organisation) -> int:
    """Check the chain from its beginning to its head; returns its length."""
    entries = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    sealed = [(entry.sealed(), entry.previous, entry.seal) for entry in entries]
    assert chain.verify(str(organisation.account.id), sealed) is None
    head = await AuditHead.get(account_id=organisation.account.id)
    assert (head.sequence, head.seal) == (entries[-1].sequence, entries[-1].seal)
    return len(entries)


async def test_a_change_and_its_entry_say_who_what_and_why(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    role = (await roles.create(admin, NewRole("ops", "Ops", [ALLOW]), Said("for the night shift"))).row
    done = await roles.update(admin, role.id, RoleChange(name="Operations"), Said())
    entry = await AuditEntry.get(id=done.entry.id)  # type: ignore[union-attr]
    assert entry.accesses == [{"action": "updateName", "resource": "role/ops"}]
    assert (entry.actor_kind, entry.member_id, entry.token_id) == ("SESSION", admin.member.id, admin.token.id)  # type: ignore[union-attr]
    assert entry.before == {**(entry.after or {}), "name": "Ops"}
    assert entry.after == {
        "key": "ops",
        "name": "Operations",
        "description": "",
        "basePermissions": "no_access",
        "policy": [ALLOW],
    }
    [because] = entry.because
    [reason] = because["statements"]
    assert (because["action"], reason["side"], reason["role"]) == ("updateName", "OWNER", "admin")
    assert "updateName" in reason["statement"]["actions"]
    first = await AuditEntry.get(account_id=organisation.account.id, sequence=entry.sequence - 1)
    assert (first.comment, first.before, first.address) == ("for the night shift", None, "192.0.2.1")
    await unbroken(organisation)


async def test_a_refusal_and_a_failure_change_nothing(organisation: Organisation) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    before = await unbroken(organisation)
    version = (await Account.get(id=organisation.account.id)).version
    role = await Role.create(account_id=organisation.account.id, key="kept", name="Kept")
    with pytest.raises(Forbidden) as refused:
        await roles.update(reader, role.id, RoleChange(name="Lost"), Said())
    assert dict(refused.value.extensions) == {"code": "FORBIDDEN", "action": "updateName", "resource": "role/kept"}
    with pytest.raises(Conflict):
        await roles.create(organisation.owner, NewRole("kept", "Again", [ALLOW]), Said())
    assert (await Role.get(id=role.id)).name == "Kept"
    assert await unbroken(organisation) == before
    assert (await Account.get(id=organisation.account.id)).version == version


async def test_what_changes_nothing_writes_nothing(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    assert (await tokens.revoke(organisation.owner, made.row.id, Said())).entry
    before = await unbroken(organisation)
    assert (await tokens.revoke(organisation.owner, made.row.id, Said())).entry is None
    assert await unbroken(organisation) == before


async def test_only_what_is_committed_is_counted(organisation: Organisation) -> None:
    async def made(key: str) -> None:
        await roles.create(organisation.owner, NewRole(key, "Role", [ALLOW]), Said())

    before = writing.sealed.copy()
    document = {"latchkey": 1, "roles": [{"key": "dry", "name": "Dry", "policy": [ALLOW]}]}
    await configuration.apply(organisation.owner, document, Said(), dry_run=True)
    with suppress(LookupError):
        async with opened(organisation.owner, Said()):
            await made("lost")
            raise LookupError
    assert writing.sealed == before
    async with opened(organisation.owner, Said()):
        with suppress(LookupError):
            async with opened(organisation.owner, Said()):
                await made("undone")
                raise LookupError
        await made("kept")
        assert writing.sealed == before  # it may still be undone
    assert writing.sealed - before == {(ActorKind.SESSION, "createRole"): 1}
    await configuration.apply(organisation.owner, document, Said(), dry_run=False)
    assert writing.sealed - before == {(ActorKind.SESSION, "createRole"): 2}
    await unbroken(organisation)


Statements = list[tuple[str, str]]
"""What ran, as the driver itself tells it: which connections it ran on, and the statement with its values."""

INSTANT = re.compile(r"\d{4}-\d\d-\d\d[ T][\d:.]+(\+00:00)?")


async def listening(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Listen to every connection there is from now on."""
    ran: Statements = []
    if isinstance(get_connection("default"), SqliteClient):
        await listening_to_file(organisation, ran)
    else:
        for name in ("execute", "executemany", "fetch", "fetchrow"):
            monkeypatch.setattr(PostgresConnection, name, noting(ran, getattr(asyncpg.Connection, name)))
    return ran


def noting(ran: Statements, run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def noted(connection: PostgresConnection, query: str, *values: Any, **options: Any) -> Any:
        if not query.startswith("SELECT version"):  # asked when a memory is too old, which is a matter of time alone
            ran.append(("pool", " ".join(map(str, (query, *values)))))
        return await run(connection, query, *values, **options)

    return noted


async def listening_to_file(organisation: Organisation, ran: Statements) -> None:
    """Listen to the writer's connection, each reader's and that for versions."""
    client, versions = get_connection("default"), organisation.house.database.versions
    assert isinstance(client, SqliteClient)
    assert isinstance(versions, FileVersions)
    together = asyncio.Barrier(READERS)  # a reader waits for the others here, so that none is asked twice

    async def listen(name: str, connection: Connection) -> None:
        await connection.set_trace_callback(lambda statement: ran.append((name, statement)))

    async def listen_to_one(connection: Connection) -> None:
        await listen("reader", connection)
        await together.wait()

    versions._connection.set_trace_callback(lambda statement: ran.append(("versions", statement)))  # noqa: SLF001 - all are meant
    await client.writer.run(partial(listen, "writer"))
    await asyncio.gather(*(client.readers.run(listen_to_one) for _ in range(READERS)))


async def refusal_of(
    organisation: Organisation, deed: Deed, caller: Caller, row_id: UUID
) -> tuple[type[Refusal], str, dict[str, object], Statements]:
    """Give all that a refused deed told and did, but for the id it was given and the time it was."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        ran = await listening(organisation, monkeypatch)
        with pytest.raises(Refusal) as refused:
            await deed(caller, row_id, Said(expected_version=9))
    done = [(name, INSTANT.sub("<now>", statement.replace(str(row_id), "<id>"))) for name, statement in ran]
    assert any("<id>" in statement for _, statement in done), "it was looked for"
    return refused.type, str(refused.value), dict(refused.value.extensions), done


DEEDS: dict[str, tuple[str, Deed]] = {
    "updateMember": ("member", lambda caller, row, said: members.update(caller, row, "Another", said)),
    "assignRoles": (
        "member",
        lambda caller, row, said: members.assign_roles(caller, row, Grant(BuiltInRole.NO_ACCESS), said),
    ),
    "suspendMember": ("member", members.suspend),
    "reinstateMember": ("suspended", members.reinstate),
    "removeMember": ("member", members.remove),
    "createMemberLink": ("member", members.create_link),
    "updateToken": ("token", lambda caller, row, said: tokens.update(caller, row, TokenChange(name="Another"), said)),
    "resetToken": ("token", tokens.reset),
    "revokeToken": ("token", tokens.revoke),
    "updateRole": ("role", lambda caller, row, said: roles.update(caller, row, RoleChange(name="Another"), said)),
    "deleteRole": ("role", roles.delete),
    "revokeSession": ("session", sessions.revoke),
}


async def things(organisation: Organisation, key: str) -> dict[str, Row]:
    """Make one of everything that a deed may name."""
    member = await organisation.member()
    session = await organisation.session(member)
    assert session.token
    return {
        "member": member,
        "suspended": await organisation.member(state=MemberState.SUSPENDED),
        "token": (await organisation.made(session)).row,
        "role": await organisation.role(key, ALLOW),
        "session": session.token,
    }


@pytest.mark.parametrize("name", DEEDS)
async def test_hidden_and_absent_are_refused_with_the_same_error_and_the_same_statements(
    organisation: Organisation, name: str
) -> None:
    """The caller may do everything to some rows, and so has every action; the others are hidden."""
    kind, deed = DEEDS[name]
    seen, hidden = await things(organisation, "seen"), await things(organisation, "hidden")
    elsewhere = await things(await founded(organisation.house.database, "other"), "hidden")
    mine = [f"member/{seen[each].id}{below}" for each in ("member", "suspended") for below in ("", ":token/*")]
    some = await organisation.role("some", {"effect": "allow", "actions": ["*"], "resources": [*mine, "role/seen"]})
    caller = await organisation.session(await organisation.member(custom=[some]))
    assert (await refusal_of(organisation, deed, caller, seen[kind].id))[0] is not NotFound
    absent = await refusal_of(organisation, deed, caller, uuid4())
    assert absent[:3] == (NotFound, "not found", {"code": "NOT_FOUND"})
    assert absent == await refusal_of(organisation, deed, caller, hidden[kind].id)
    assert absent == await refusal_of(organisation, deed, caller, elsewhere[kind].id)


async def test_an_heir_of_another_account_and_an_absent_one_are_refused_alike(organisation: Organisation) -> None:
    """Only the owner hands an account over, and from the owner only other accounts are hidden."""
    assert organisation.owner.member
    await Member.filter(id=organisation.owner.member.id).update(password_hash=await passwords.hashed(PASSWORD))
    owner = await organisation.session(await Member.get(id=organisation.owner.member.id))

    async def hand_over(caller: Caller, row_id: UUID, said: Said) -> Done[Account]:
        return await members.transfer_ownership(caller, row_id, PASSWORD, Said(comment=said.comment))

    elsewhere = await (await founded(organisation.house.database, "other")).member()
    absent = await refusal_of(organisation, hand_over, owner, uuid4())
    assert absent[2] == {"code": "BAD_USER_INPUT", "field": "id"}
    assert absent == await refusal_of(organisation, hand_over, owner, elsewhere.id)


async def test_an_entry_shows_what_changed_in_related_rows(organisation: Organisation) -> None:
    held = [await organisation.role(key, ALLOW) for key in ("a", "b")]
    member = await organisation.member(custom=held)
    done = await members.assign_roles(organisation.owner, member.id, Grant(custom_roles=["b"]), Said())
    assert done.entry
    assert done.entry.before
    assert done.entry.after
    assert (done.entry.before["customRoles"], done.entry.after["customRoles"]) == (["a", "b"], ["b"])


async def test_a_stale_version_is_a_conflict_with_the_current_one(organisation: Organisation) -> None:
    role = await organisation.role("ops", ALLOW)
    await roles.update(organisation.owner, role.id, RoleChange(name="Two"), Said(expected_version=1))
    with pytest.raises(Conflict) as refused:
        await roles.update(organisation.owner, role.id, RoleChange(name="Three"), Said(expected_version=1))
    assert refused.value.extensions["currentVersion"] == 2
    assert (await Role.get(id=role.id)).name == "Two"


async def test_a_replayed_key_is_a_conflict_that_names_the_first_result(organisation: Organisation) -> None:
    said = Said(idempotency_key="once")
    first = await roles.create(organisation.owner, NewRole("ops", "Ops", [ALLOW]), said)
    with pytest.raises(Conflict) as refused:
        await roles.create(organisation.owner, NewRole("ops-2", "Ops", [ALLOW]), said)
    assert refused.value.extensions["first"] == {
        "id": global_id("Role", first.row.id),
        "resource": "role/ops",
        "auditEntry": global_id("AuditEntry", first.entry.id),  # type: ignore[union-attr]
    }
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert (await roles.create(admin, NewRole("ops-2", "Ops", [ALLOW]), said)).entry


async def test_forty_concurrent_changes_lose_no_entry_and_fork_no_chain(organisation: Organisation) -> None:
    made = [await organisation.made(organisation.owner) for _ in range(40)]
    before = await unbroken(organisation)
    done = await asyncio.gather(*(tokens.revoke(organisation.owner, one.row.id, Said()) for one in made))
    assert len({one.entry.seal for one in done if one.entry}) == 40
    assert await unbroken(organisation) == before + 40


async def test_the_database_itself_keeps_entries(organisation: Organisation) -> None:
    entries = AuditEntry.filter(account_id=organisation.account.id)
    with pytest.raises(OperationalError, match="kept as they are"):
        await entries.update(comment="forged")
    with pytest.raises(OperationalError, match="kept as they are"):
        await entries.delete()
    await unbroken(organisation)


async def test_cancelled_changes_are_whole_or_absent(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    chance = random.Random(7)  # noqa: S311 - a seed, so that a failure comes again
    acknowledged = 0
    for number in range(100):
        wanted = TokenChange(name=f"name {number}")
        task = asyncio.create_task(tokens.update(organisation.owner, made.row.id, wanted, Said()))
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.004)
        task.cancel()
        try:
            await task
            acknowledged = number
        except asyncio.CancelledError:
            pass
        row = await Token.get(id=made.row.id)
        last = await AuditEntry.filter(target_id=made.row.id).order_by("-sequence").first()
        assert last
        assert last.after
        assert last.after["name"] == row.name
        assert int(row.name.split()[-1].replace("token", "0")) >= acknowledged
    await unbroken(organisation)


async def test_a_caller_is_made_anew_inside_the_transaction(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    stale = replace(admin)
    assert admin.token
    await Token.filter(id=admin.token.id).update(revoked_at=admin.token.created_at)
    with pytest.raises(Exception, match="credential"):
        await roles.create(stale, NewRole("ops", "Ops", [ALLOW]), Said())
    assert stale.may(Action.CREATE_ROLE, Role(key="ops")).allowed


async def test_an_entry_never_names_anybody_by_their_address(organisation: Organisation) -> None:
    done = await members.invite(organisation.owner, "secret@example.com", None, Grant(), Said())
    assert done.entry
    assert done.entry.target_name == f"unnamed …{str(done.row.id)[-4:]}"


async def test_chains_of_different_accounts_never_wait_for_each_other(
    organisation: Organisation,
    database: Database,
    elsewhere: Elsewhere,
    postgresql: None,  # noqa: ARG001 - a file has one writer at a time
) -> None:
    other = await founded(database, "other", organisation.house)
    await other.define()
    service = await other.token(other.owner, Scope(statements=[ANYTHING]), TokenKind.SERVICE)
    waiters = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with elsewhere.transaction() as run:
        run(f"SELECT FROM audit_head WHERE account_id = '{organisation.account.id}' FOR UPDATE")
        waiting = asyncio.create_task(renamed(organisation.owner))
        async with asyncio.timeout(60):
            while elsewhere(f"SELECT count(*) {waiters}") == [(0,)]:  # noqa: ASYNC110 - it is the server's doing
                await asyncio.sleep(0.01)
            notified_of = await renamed(other.owner)
            (told_nobody,) = await reports.record(service, [reports.Deed("updateOn", "proj/a:env/b:flag/c")], Said())
        assert not waiting.done()
    assert notified_of.entry
    assert told_nobody.account_id == other.account.id
    assert (await waiting).entry
    for each in (organisation, other):
        await unbroken(each)


async def renamed(owner: Caller) -> Done[Member]:
    assert owner.member
    return await members.update(owner, owner.member.id, "Another Name", Said())
