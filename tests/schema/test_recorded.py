"""Read off the schema: a mutation and its entry are one. Without the one there is not the other, nor anything else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.findings import WHOLE
from core.vocabulary import BuiltInRole
from models import AuditEntry, AuditHead, Member
from resolvers import passwords
from resolvers.callers import Caller
from resolvers.scopes import Scope
from schema import schema
from schema.context import Context
from schema.permissions import Needs
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation
from tests.resolvers.test_chains import verified
from tests.schema.conftest import Ask
from tests.schema.test_needs import BY_TOKEN, EXAMPLES, World, guarded, nulls
from tests.schema.test_surface import PUBLIC, TYPES

MUTATIONS = [name for name in EXAMPLES if name.startswith("Mutation")]
"""In an order in which each still finds what it is about."""
OTHER_WORDS = {"Mutation.recordAuditEntries"}
"""Whose entries name other actions than the one that it takes."""
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ALWAYS_CHANGED = re.compile(r'(INSERT INTO )?"?(account|audit_head)\b')
NO_ROOM = {
    "sqlite": ["CREATE TRIGGER no_room AFTER INSERT ON audit_entry BEGIN SELECT json('no room'); END"],
    "postgresql": [
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$",
        "CREATE TRIGGER no_room AFTER INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION no_room()",
    ],
}


@contextmanager
def no_room_for_entries(elsewhere: Elsewhere) -> Iterator[None]:
    """Have the database refuse entries meanwhile, at the end of the statement that writes them."""
    for statement in NO_ROOM["sqlite" if elsewhere.is_file else "postgresql"]:
        elsewhere(statement)
    yield
    elsewhere("DROP TRIGGER no_room" if elsewhere.is_file else "DROP FUNCTION no_room CASCADE")


async def signed_in(world: World, name: str, password: str) -> Caller:
    """Sign in whoever owns the account by now, for whom the example's password holds; or make a token of theirs."""
    organisation = world.organisation
    owners = Member.filter(account_id=organisation.account.id, base_role=BuiltInRole.OWNER)
    await owners.update(password_hash=password)
    session = await organisation.session(await owners.get())
    return await organisation.token(session, Scope(BuiltInRole.OWNER)) if name in BY_TOKEN else session


async def wrongly(world: World, caller: Caller, name: str) -> tuple[Caller | None, str]:
    """Ask for it with a comment that is too long; or with the wrong secret, or as one who has no session to end."""
    example = EXAMPLES[name]
    match name:
        case "Mutation.signIn" | "Mutation.acceptInvite":
            example = example.replace("$password", '"another"').replace("$link", '"lkp_x"')
            return None, world.filled(example)
        case "Mutation.signOut":
            return await world.organisation.token(caller), example
    assert "input: {" in example, name
    return caller, world.filled(example.replace("input: {", f'input: {{comment: "{"x" * 1025}" ', 1))


def with_entries(name: str, example: str) -> str:
    """Ask for the entries as well, where the payload has them."""
    field = name.partition(".")[2]
    payload: Any = TYPES[f"{field[0].upper()}{field[1:]}Payload"]
    shown = next((shown for shown in ("auditEntry", "auditEntries") if shown in payload.fields), None)
    return re.sub(r"\}\s*\}\s*$", f" {shown} {{ sequence }} }} }}", example) if shown else example


def sequences(answer: Any) -> list[int]:
    """Gather the numbers of all entries that an answer shows."""
    if isinstance(answer, dict):
        own = [answer["sequence"]] if "sequence" in answer else []
        return own + [number for inner in answer.values() for number in sequences(inner)]
    return [number for inner in answer for number in sequences(inner)] if isinstance(answer, list) else []


def said_of(entry: AuditEntry) -> set[str]:
    """Name what an entry is about: where that is the account, also what it says has changed."""
    told = f"{entry.before} {entry.after}" if entry.target_kind == "acct" else ""
    return {str(entry.id), str(entry.target_id), *ID.findall(told)} - {str(entry.account_id)}


async def test_a_mutation_writes_its_entry_or_changes_nothing(
    organisation: Organisation, ask: Ask, elsewhere: Elsewhere
) -> None:
    world, password = await World.of(organisation), await passwords.hashed(PASSWORD)
    for name in MUTATIONS:
        caller = await signed_in(world, name, password)
        asker, example = None if name in PUBLIC else caller, with_entries(name, world.filled(EXAMPLES[name]))
        wrong = await wrongly(world, caller, name)
        before = elsewhere.everything()

        refused = await ask(*wrong)
        assert nulls(refused["data"]), name
        [error] = refused["errors"]
        assert error["code"] in {"BAD_USER_INPUT", "FORBIDDEN", "NOT_FOUND", "UNAUTHENTICATED"}, name
        assert elsewhere.everything() == before, name

        with no_room_for_entries(elsewhere):
            failed = await schema.execute(example, context_value=Context(organisation.request, asker))
        assert nulls(failed.data), name
        assert re.search("no room|malformed JSON", str(failed.errors)), name
        assert elsewhere.everything() == before, name

        head = await AuditHead.get(account_id=organisation.account.id)
        done = await ask(asker, example)
        assert "errors" not in done, name
        [entry] = await AuditEntry.filter(account_id=organisation.account.id, sequence__gt=head.sequence)
        assert sequences(done["data"]) == [entry.sequence] * (example != world.filled(EXAMPLES[name])), name
        assert asker is None or entry.request_id == asker.request.id, name
        needed = guarded()[name]
        if issubclass(needed, Needs) and name not in OTHER_WORDS:
            assert {access["action"] for access in entry.accesses} <= {action.value for action in needed.actions}, name
        changed = {line for line in {*before} ^ {*elsewhere.everything()} if not ALWAYS_CHANGED.match(line)}
        assert [line for line in changed if not said_of(entry) & {*ID.findall(line)}] == [], name
    [found] = await verified(organisation)
    assert (found.status, found.last) == (WHOLE, entry.sequence)
