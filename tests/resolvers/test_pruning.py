"""Pruning: only from the old end, whole chunks, and what is left is verified as before."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli import audit
from cli.accounts import acting_in
from cli.audit import Export
from core.errors import Conflict, Invalid
from core.findings import BROKEN, WHOLE
from core.signed import Kind, Statement
from models import AuditAccess, AuditEntry, AuditStub, SignedHead, now
from resolvers import explaining, heads, members, pruning
from resolvers.access import Question
from resolvers.callers import Caller
from resolvers.explaining import AccessAnswer, Subject
from resolvers.pruning import prune
from resolvers.signatures import PublicKeys
from resolvers.sinks import FileSink
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation, founded


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "YOUNGEST", timedelta(0))
    monkeypatch.setattr(pruning, "CHUNK", 4)


async def deeds(organisation: Organisation, count: int) -> None:
    assert organisation.owner.member
    for number in range(count):
        await members.update(organisation.owner, organisation.owner.member.id, f"Name {number}", Said())


async def status(organisation: Organisation, *against: Statement) -> tuple[int, tuple[str, ...]]:
    keys = PublicKeys.of(organisation.house.keys)
    found = (await audit.verify("main", against, keys))[0]
    return found.status, (str(found.broken),) if found.broken else found.notes


async def caller(organisation: Organisation) -> Caller:
    return await acting_in(organisation.request, "main")


async def test_the_oldest_entries_go_and_the_rest_is_whole(organisation: Organisation) -> None:
    other = await founded(organisation.house.database, "other")
    theirs = await AuditEntry.filter(account_id=other.account.id).count()
    await deeds(organisation, 7)
    early = await heads.sign(organisation.house, organisation.account.id)
    last = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").first()
    assert early
    assert last
    moment = now()
    await deeds(organisation, 3)
    late = await heads.sign(organisation.house, organisation.account.id)
    assert late
    pruned = await prune(await caller(organisation), moment, Said("by policy"))
    assert (pruned.count, pruned.until) == (last.sequence, last.sequence)
    stub = await AuditStub.get(account_id=organisation.account.id)
    assert (stub.sequence, stub.seal) == (last.sequence, last.seal)
    assert heads.statement(Kind.STUB, stub).is_signed(PublicKeys.of(organisation.house.keys).signed)
    left = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    assert left[0].sequence == last.sequence + 1
    entries = [entry for entry in left if entry.accesses[0]["action"] == "pruneAuditLog"]
    assert [entry.after["pruned"] for entry in entries if entry.after] == [4, 4, last.sequence - 8]
    assert {entry.comment for entry in entries} == {"by policy"}
    kept = {access.entry_id for access in await AuditAccess.filter(account_id=organisation.account.id)}
    assert kept == {entry.id for entry in left}
    assert await AuditEntry.filter(account_id=other.account.id).count() == theirs
    held = [heads.statement(Kind.HEAD, head) for head in (early, late)]
    assert await status(organisation, *held) == (
        WHOLE,
        (
            f"held against signed heads: 2, the last of entry {late.sequence}",
            f"entries up to {last.sequence} were pruned; the signed stub says so",
        ),
    )
    again = await prune(await caller(organisation), moment, Said())
    assert again.count == 0


async def test_a_head_of_what_is_gone_says_so_and_one_of_the_stub_still_proves_it(organisation: Organisation) -> None:
    await deeds(organisation, 2)
    old = await heads.sign(organisation.house, organisation.account.id)
    await deeds(organisation, 2)
    moment = now()
    await deeds(organisation, 2)
    await prune(await caller(organisation), moment, Said())
    assert old
    head = heads.statement(Kind.HEAD, old)
    found = await status(organisation, head)
    assert found[0] == WHOLE
    assert "signed heads of entries that are not here any more: 1" in found[1]


async def test_what_was_pruned_is_exported_with_its_stub(organisation: Organisation, tmp_path: Path) -> None:
    await deeds(organisation, 6)
    moment = now()
    await deeds(organisation, 2)
    pruned = await prune(await caller(organisation), moment, Said())
    file, keys = tmp_path / "export", PublicKeys.of(organisation.house.keys)
    await audit.export(organisation.request, None, Export(file))
    [found] = audit.verify_files([file], [], keys)
    assert (found.status, found.first) == (WHOLE, pruned.until + 1)
    assert f"entries up to {pruned.until} were pruned; the signed stub says so" in found.notes
    with pytest.raises(Invalid, match="were pruned"):
        await audit.export(organisation.request, None, Export(tmp_path / "other", 1))
    text = file.read_text()
    file.write_text(text.replace('"stub":"', '"stub":"{\\"', 1))
    assert audit.verify_files([file], [], keys)[0].status == BROKEN


async def test_nothing_else_lets_an_entry_go(organisation: Organisation, elsewhere: Elsewhere) -> None:
    await deeds(organisation, 6)
    moment = now()
    await deeds(organisation, 2)
    pruned = await prune(await caller(organisation), moment, Said())
    before, replaced = elsewhere.everything(), ["TRUNCATE audit_stub"]
    if elsewhere.is_file:
        columns = "sequence, seal, at, key_id, signature"
        replaced = [
            "REPLACE INTO audit_stub SELECT * FROM audit_stub",
            f"REPLACE INTO audit_stub (rowid, id, account_id, {columns}) SELECT rowid, 9, 9, {columns} FROM audit_stub",  # noqa: S608 - our own names
            "UPDATE OR REPLACE audit_stub SET rowid = rowid + 1, sequence = sequence + 1",
        ]
    for statement in (
        *replaced,
        "DELETE FROM audit_entry",
        f"DELETE FROM audit_entry WHERE sequence > {pruned.until}",  # noqa: S608 - a number
        "DELETE FROM audit_access",
        "UPDATE audit_entry SET comment = NULL",
        "DELETE FROM audit_stub",
        "UPDATE audit_stub SET sequence = sequence - 1",
        "UPDATE audit_stub SET seal = 'x'",
    ):
        with pytest.raises(Exception, match=r"audit entries are kept as they are|only moves on"):
            elsewhere(statement)
    assert elsewhere.everything() == before


async def test_a_stub_that_nobody_signed_is_named(organisation: Organisation, elsewhere: Elsewhere) -> None:
    await deeds(organisation, 6)
    moment = now()
    await deeds(organisation, 2)
    await prune(await caller(organisation), moment, Said())
    elsewhere("UPDATE audit_stub SET sequence = sequence + 1")
    assert await status(organisation) == (BROKEN, ("the stub is altered",))


async def test_what_was_tampered_with_is_not_pruned(organisation: Organisation, elsewhere: Elsewhere) -> None:
    await deeds(organisation, 6)
    on = "" if elsewhere.is_file else " ON audit_entry"
    elsewhere(f"DROP TRIGGER audit_entry_no_update{on}")
    elsewhere("UPDATE audit_entry SET comment = 'x' WHERE sequence = 7")
    with pytest.raises(Conflict, match="entry 7 is altered"):
        await prune(await caller(organisation), now(), Said())
    left = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence").first()
    assert left
    assert left.sequence == 5  # the first chunk was whole
    assert await status(organisation) == (BROKEN, ("entry 7 is altered",))


async def test_young_entries_stay(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "YOUNGEST", timedelta(days=1))
    with pytest.raises(Invalid, match="at least a day ago"):
        await prune(await caller(organisation), now() - timedelta(hours=23), Said())
    assert (await prune(await caller(organisation), now() - timedelta(hours=25), Said())).count == 0
    with pytest.raises(Invalid, match="--before"):
        audit.moment("yesterday", None)
    with pytest.raises(Invalid, match="--keep-days"):
        audit.moment(None, 10**9)
    assert audit.moment("2026-01-31", None).isoformat() == "2026-01-31T00:00:00+00:00"


async def test_of_a_moment_before_the_stub_nothing_is_known(organisation: Organisation) -> None:
    owner = organisation.owner
    assert owner.member
    moment = now()
    await deeds(organisation, 5)
    subject, question = Subject(member_id=owner.member.id), Question("viewProject", "proj/web")
    assert (await explaining.explain(owner, subject, question, moment)).outcome is AccessAnswer.ALLOWED
    await prune(await caller(organisation), now(), Said())
    unknown = await explaining.explain(owner, subject, question, moment)
    assert (unknown.outcome, unknown.standing) == (AccessAnswer.UNKNOWN, None)
    assert "no longer in the log" in (unknown.forgotten or "")


async def test_a_log_that_is_pruned_meanwhile_is_whole(organisation: Organisation) -> None:
    await deeds(organisation, 30)

    async def pruning_on() -> None:
        for _ in range(6):
            await deeds(organisation, 2)
            await prune(await caller(organisation), now() - timedelta(milliseconds=50), Said())

    running = asyncio.create_task(pruning_on())
    while not running.done():
        assert (await status(organisation))[0] == WHOLE
    await running
    assert await AuditStub.exists()


@pytest.mark.usefixtures("settled")
async def test_retention_prunes_by_itself_once_there_is_a_day_of_it(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house = replace(organisation.house, sink=FileSink(tmp_path / "heads"), heads_every_s=1)
    await heads.sign_all(house)
    await deeds(organisation, 3)
    await heads.sign(house, organisation.account.id)
    await pruning.prune_all(house, 30)
    assert not await AuditStub.exists()
    later = now() + timedelta(days=30, hours=1)
    monkeypatch.setattr(pruning, "now", lambda: later)
    await pruning.prune_all(house, 30)
    assert not await AuditStub.exists()
    latest = now() + timedelta(days=31, hours=1)
    monkeypatch.setattr(pruning, "now", lambda: latest)
    await pruning.prune_all(house, 30)
    entry = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").first()
    assert entry
    assert (entry.actor_kind, entry.user_agent) == ("SYSTEM", "latchkey retention")
    assert (await status(organisation))[0] == WHOLE
    assert await SignedHead.filter(delivered_at=None).count() == 1  # what is still to be delivered stays
    assert await SignedHead.all().count() == 1
