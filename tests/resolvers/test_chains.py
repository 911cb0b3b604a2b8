"""What is done to the log in the database is named, in whichever way it is done, and nothing else ever is."""

# ruff: noqa: S311, S608 - chance that comes again, and statements of our own making

import asyncio
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError, OperationalError

from cli import audit
from core.chain import genesis, seal
from core.findings import BROKEN, UNSEEN, WHOLE, Finding
from core.signed import Kind, Statement
from models import Account, AuditAccess, AuditEntry, SignedHead
from models.columns import as_written
from models.database import opened
from resolvers import heads, members
from resolvers.signatures import PublicKeys
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.effort import tries
from tests.organisation import Organisation, founded

UNIQUE = {"id", "previous", "seal", "sequence"}
HEAD = re.compile(r"rolled back or rewritten: somewhere from entry (\d+) to (\d+)")


async def deeds(organisation: Organisation, count: int) -> None:
    assert organisation.owner.member
    for number in range(count):
        await members.update(organisation.owner, organisation.owner.member.id, f"Name {number} ü", Said("a comment"))


async def verified(organisation: Organisation, *against: Statement) -> list[Finding]:
    return await audit.verify(None, against, PublicKeys.of(organisation.house.keys))


async def signed(organisation: Organisation) -> Statement:
    made = await heads.sign(organisation.house, organisation.account.id)
    assert made
    return heads.statement(Kind.HEAD, made)


async def test_a_log_is_whole_on_both_databases_and_says_what_cannot_be_seen(organisation: Organisation) -> None:
    await deeds(organisation, 3)
    [found] = await verified(organisation)
    assert (found.status, found.first, found.notes) == (WHOLE, 1, (UNSEEN,))
    head = await signed(organisation)
    await deeds(organisation, 1)
    [found] = await verified(organisation, head)
    assert found.last == head.place.sequence + 1
    assert found.notes == (f"held against signed heads: 1, the last of entry {head.place.sequence}",)


async def test_a_log_that_is_written_meanwhile_is_whole(organisation: Organisation) -> None:
    other = await founded(organisation.house.database, "other")
    writing = asyncio.create_task(deeds(organisation, 60))
    turns = 0
    while not writing.done():
        head = await signed(organisation) if turns % 3 == 0 else None
        found = await verified(organisation, *([head] if head else []))
        assert [each.status for each in found] == [WHOLE, WHOLE], [*map(str, found)]
        turns += 1
    await writing
    assert turns > 5
    assert other.account.id != organisation.account.id


async def test_no_statement_changes_an_entry(organisation: Organisation, elsewhere: Elsewhere) -> None:
    await deeds(organisation, 2)
    await signed(organisation)
    tables = ("audit_entry", "audit_access")
    refused = [
        statement for table in tables for statement in (f"UPDATE {table} SET sequence = 99", f"DELETE FROM {table}")
    ]
    if elsewhere.is_file:
        refused += [f"REPLACE INTO {table} SELECT * FROM {table}" for table in tables]
        refused += [
            f"INSERT OR REPLACE INTO audit_entry ({columns}) SELECT {columns.replace(changed, '0')} FROM audit_entry"
            for columns in [", ".join(sorted(AuditEntry._meta.db_fields))]  # noqa: SLF001 - where Tortoise keeps it
            for changed in ("previous", "seal", "sequence")
        ]
        refused += [
            f"REPLACE INTO {table} (rowid, {', '.join(columns)})"
            f" SELECT rowid, {', '.join(columns.values())} FROM {table} {which}"
            for table, model in zip(tables, (AuditEntry, AuditAccess), strict=True)
            for columns in [{name: "99" if name in UNIQUE else name for name in model._meta.db_fields}]  # noqa: SLF001 - see above
            for which in ("ORDER BY rowid LIMIT 1", "ORDER BY rowid DESC LIMIT 1")
        ]
    else:
        refused += [f"TRUNCATE {table} CASCADE" for table in tables]
        refused += [
            f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET sequence = 99"
            for table in tables
        ]
    before = elsewhere.everything()
    for statement in refused:
        with pytest.raises(Exception, match="audit entries are kept as they are"):
            elsewhere(statement)
    assert elsewhere.everything() == before


@pytest.mark.usefixtures("sqlite")
async def test_what_guards_an_entry_reads_no_log_also_where_there_are_statistics(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    await deeds(organisation, 30)
    elsewhere("ANALYZE")
    [(guard,)] = elsewhere("SELECT sql FROM sqlite_schema WHERE name = 'audit_entry_no_replace'")
    questions = re.findall(r"EXISTS \((.*?)\)", re.sub(r"NEW\.\w+", "'x'", str(guard)))
    assert len(questions) == 6
    for question in questions:
        plan = [str(step[3]) for step in elsewhere(f"EXPLAIN QUERY PLAN {question}")]
        assert all(step.startswith("SEARCH audit_entry USING") for step in plan), (question, plan)


async def test_an_account_that_is_gone_is_named(organisation: Organisation) -> None:
    head = await signed(organisation)
    stranger = Statement.of(Kind.HEAD, {**head.said, "account": "another"}, lambda _: head.signature)
    assert [str(found.broken) for found in await verified(organisation, stranger)] == [
        "None",
        "the account is not there",
    ]


@dataclass(frozen=True)
class Kept:
    """A database at rest with heads that were kept elsewhere, and a backup of it from earlier."""

    path: Path
    backup: Path
    folder: Path
    organisation: Organisation
    heads: list[Statement]
    last: int

    @contextmanager
    def copied(self) -> Iterator[sqlite3.Connection]:
        """Copy it, and open the copy with nothing that would protect it."""
        for old in self.folder.glob("copy.sqlite3*"):
            old.unlink()
        shutil.copy(self.path, self.copy)
        with closing(sqlite3.connect(self.copy, isolation_level=None)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            yield connection

    @property
    def copy(self) -> Path:
        return self.folder / "copy.sqlite3"

    async def verify(self, *against: Statement) -> list[Finding]:
        async with opened(f"sqlite://{self.copy}"):
            return await verified(self.organisation, *against)


@pytest.fixture
async def kept(database_path: Path, tmp_path: Path) -> Kept:
    signed_heads = []
    path, backup = tmp_path / "kept.sqlite3", tmp_path / "backup.sqlite3"
    async with opened(f"sqlite://{database_path}") as database:
        organisation = await founded(database)
        for count in (4, 6, 5):
            await deeds(organisation, count)
            signed_heads.append(await signed(organisation))
            if count == 6:
                _backed_up(database_path, backup)
        await deeds(organisation, 4)
        last = await AuditEntry.filter(account_id=organisation.account.id).count()
        _backed_up(database_path, path)
    return Kept(path, backup, tmp_path, organisation, signed_heads, last)


def _backed_up(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
        other.execute("PRAGMA journal_mode = DELETE")


Change = Callable[[sqlite3.Connection, random.Random, Kept], str]
"""Does something to a database and says what is to be named."""


def columns_of(run: sqlite3.Connection, table: str = "audit_entry") -> list[str]:
    return [row[1] for row in run.execute(f"PRAGMA table_info({table})")]


def bit_of_an_entry(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.randint(1, kept.last)
    row = run.execute(f"SELECT {', '.join(columns_of(run))} FROM audit_entry WHERE sequence = ?", (place,)).fetchone()
    column, value = chance.choice(
        [pair for pair in zip(columns_of(run), row, strict=True) if pair[1] not in (None, "")]
    )
    if isinstance(value, int):
        changed: Any = value ^ 1 << chance.randrange(8, 30)
    else:
        text = bytearray(value.encode())
        bit = chance.randrange(len(text) * 8)
        text[bit // 8] ^= 1 << bit % 8
        changed = bytes(text)
    cast = "?" if isinstance(changed, int) else "CAST(? AS TEXT)"
    run.execute(f"UPDATE audit_entry SET {column} = {cast} WHERE sequence = ?", (changed, place))
    missing = column in {"sequence", "account_id"}  # it is no more where it was
    return f"entry {place} is {'missing' if missing else 'altered'}"


def words_of_an_entry(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.randint(1, kept.last)
    column = chance.choice([column for column in columns_of(run) if column not in {"id", "account_id", "sequence"}])
    value = chance.choice(
        ["x", "{}", "[]", "2026-01-01", 7, 1.5, b"\xff\x00", "\ud800".encode("utf-8", "surrogatepass")]
    )
    old = run.execute(f"SELECT {column} FROM audit_entry WHERE sequence = ?", (place,)).fetchone()[0]
    if old == value:
        value = "y"
    run.execute(f"UPDATE audit_entry SET {column} = ? WHERE sequence = ?", (value, place))
    return f"entry {place} is altered"


def spelling_of_an_entry(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    """Write the same thing differently: it would read as it did."""
    place = chance.randint(1, kept.last)
    column, change = chance.choice(
        [
            ("at", "replace(at, ' ', 'T')"),
            ("accesses", "replace(accesses, ':', ': ')"),
            ("id", "upper(id)"),
            ("because", "replace(because, '[', ' [')"),
            ("target_id", "'{' || target_id || '}'"),
        ]
    )
    run.execute(f"UPDATE audit_entry SET {column} = {change} WHERE sequence = ?", (place,))
    return f"entry {place} is altered"


def entry_dropped(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.randint(1, kept.last)
    run.execute("DELETE FROM audit_access WHERE sequence = ?", (place,))
    run.execute("DELETE FROM audit_entry WHERE sequence = ?", (place,))
    return f"entry {place} is missing"


def entries_swapped(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    one, other = sorted(chance.sample(range(1, kept.last + 1), 2))
    for old, new in ((one, -1), (other, one), (-1, other)):
        run.execute("UPDATE audit_entry SET sequence = ? WHERE sequence = ?", (new, old))
    return f"entry {one} is altered"


def entry_added(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.choice([0, -5, kept.last + 1, kept.last + 7])
    columns = [column for column in columns_of(run) if column not in {"id", "sequence", "previous", "seal"}]
    listed = ", ".join(columns)
    run.execute(
        f"INSERT INTO audit_entry (id, sequence, previous, seal, {listed})"
        f" SELECT 'x', {place}, 'x', 'x', {listed} FROM audit_entry WHERE sequence = 3"
    )
    return f"entry {min(place, kept.last + 1)} is added"


def end_cut_off(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.randint(2, kept.last)
    for table in ("audit_access", "audit_entry"):
        run.execute(f"DELETE FROM {table} WHERE sequence >= ?", (place,))
    return f"entry {place} is missing"


def end_cut_off_and_head_set(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    """As whoever knows the code would; the heads in the database go along."""
    signed_until = kept.heads[-1].place.sequence
    place = chance.randint(2, signed_until)
    end_cut_off_at(run, place)
    return f"the end is cut off from entry {place} on: there was an entry {signed_until}"


def end_cut_off_at(run: sqlite3.Connection, place: int) -> None:
    for table in ("audit_access", "audit_entry", "signed_head"):
        run.execute(f"DELETE FROM {table} WHERE sequence >= ?", (place,))
    run.execute(
        "UPDATE audit_head SET sequence = ?, seal = (SELECT seal FROM audit_entry WHERE sequence = ?)",
        (place - 1, place - 1),
    )


def history_rewritten(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    """Change an entry and seal all after it anew, as whoever knows the code would."""
    signed_at = [0, *(head.place.sequence for head in kept.heads)]
    place = chance.randint(1, signed_at[-1])
    run.execute("UPDATE audit_entry SET comment = 'never happened' WHERE sequence = ?", (place,))
    previous = None
    run.row_factory = sqlite3.Row
    for row in run.execute("SELECT * FROM audit_entry ORDER BY sequence").fetchall():
        entry = AuditEntry._init_from_db(**dict(row))  # noqa: SLF001 - as Tortoise does
        previous = previous or genesis(str(entry.account_id))
        made = seal(previous, entry.sealed())
        run.execute(
            "UPDATE audit_entry SET previous = ?, seal = ? WHERE sequence = ?", (previous, made, entry.sequence)
        )
        previous = made
    run.execute("UPDATE audit_head SET seal = ?", (previous,))
    run.execute("DELETE FROM signed_head")
    upper = next(at for at in signed_at if at >= place)
    lower = max(at for at in signed_at if at < place)
    return f"the log was rolled back or rewritten: somewhere from entry {lower + 1} to {upper}"


def access_changed(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.randint(1, kept.last)
    columns = columns_of(run, "audit_access")
    listed, shown = ", ".join(columns), ", ".join("'0' || id" if name == "id" else name for name in columns)
    change = chance.choice(
        [
            "UPDATE audit_access SET action = 'viewMember' WHERE sequence = ?",
            "UPDATE audit_access SET resource = 'acct/x' WHERE sequence = ?",
            "UPDATE audit_access SET account_id = 'x' WHERE sequence = ?",
            "UPDATE audit_access SET sequence = 99 WHERE sequence = ?",
            "DELETE FROM audit_access WHERE sequence = ?",
            f"INSERT INTO audit_access ({listed}) SELECT {shown} FROM audit_access WHERE sequence = ? LIMIT 1",
        ]
    )
    run.execute(change, (place,))
    return f"the accesses by which entry {place} is found are altered"


def access_added(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    columns = columns_of(run, "audit_access")
    shown = ", ".join(f"'{chance.random()}'" if name in {"id", "entry_id"} else name for name in columns)
    run.execute("PRAGMA foreign_keys = OFF")
    run.execute(
        f"INSERT INTO audit_access ({', '.join(columns)}) SELECT {shown} FROM audit_access WHERE sequence = {kept.last}"
    )
    return "the access `updateMemberName` belongs to no entry"


def head_changed(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    forward = chance.random() < 0.5
    run.execute("UPDATE audit_head SET sequence = sequence + 1" if forward else "UPDATE audit_head SET seal = 'x'")
    if forward:
        return f"entry {kept.last + 1} is missing"
    return f"the row that holds the head disagrees with entry {kept.last}"


def head_lost(run: sqlite3.Connection, chance: random.Random, _kept: Kept) -> str:
    run.execute(chance.choice(["DELETE FROM audit_head", "UPDATE audit_head SET id = 'x'"]))
    return "the row that holds the head is missing or altered"


def signed_head_changed(run: sqlite3.Connection, chance: random.Random, kept: Kept) -> str:
    place = chance.choice(kept.heads).place.sequence
    column = chance.choice(["seal", "signature", "at"])
    run.execute(f"UPDATE signed_head SET {column} = '2020-01-01 00:00:00+00:00' WHERE sequence = ?", (place,))
    return f"the signed head of entry {place} that the database keeps is altered"


CHANGES: list[Change] = [
    bit_of_an_entry,
    words_of_an_entry,
    spelling_of_an_entry,
    entry_dropped,
    entries_swapped,
    entry_added,
    end_cut_off,
    end_cut_off_and_head_set,
    history_rewritten,
    access_changed,
    access_added,
    head_changed,
    head_lost,
    signed_head_changed,
]


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_is_done_to_the_database_its_place_is_named(kept: Kept, change: Change) -> None:
    chance = random.Random(change.__name__)
    for _ in range(25):
        with kept.copied() as connection:
            said = change(connection, chance, kept)
        [found] = await kept.verify(*kept.heads)
        assert str(found.broken) == said
        assert found.status == BROKEN


async def test_a_backup_is_whole_alone_and_rolled_back_to_who_keeps_a_later_head(kept: Kept) -> None:
    shutil.copy(kept.backup, kept.copy)
    [alone] = await kept.verify()
    assert (alone.status, alone.notes) == (WHOLE, (UNSEEN,))
    [found] = await kept.verify(*kept.heads)
    last = kept.heads[-1].place.sequence
    assert str(found.broken) == f"the end is cut off from entry {alone.last + 1} on: there was an entry {last}"


async def test_a_backup_that_went_on_is_seen_by_a_head_of_what_it_lost(kept: Kept) -> None:
    shutil.copy(kept.backup, kept.copy)
    async with opened(f"sqlite://{kept.copy}"):
        await deeds(kept.organisation, 12)
    [alone] = await kept.verify()
    assert alone.status == WHOLE
    [found] = await kept.verify(*kept.heads)
    last, before = kept.heads[-1].place.sequence, kept.heads[-2].place.sequence
    assert str(found.broken) == f"the log was rolled back or rewritten: somewhere from entry {before + 1} to {last}"


def told(path: Path) -> list[Any] | None:
    """All that the log says in a file, without its indexes; None if that cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return [
                connection.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY +id").fetchall()
                for table in ("audit_entry", "audit_access", "audit_head", "signed_head", "audit_stub")
            ]
    except sqlite3.DatabaseError:
        return None


async def test_no_flipped_bit_of_the_file_that_changes_the_log_leaves_it_whole(kept: Kept) -> None:
    chance, whole = random.Random(9), kept.path.read_bytes()
    before, seen = told(kept.path), 0
    with closing(sqlite3.connect(kept.path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        pages = [
            page
            for (page,) in connection.execute(
                "SELECT rootpage FROM sqlite_schema WHERE tbl_name LIKE 'audit_%' AND rootpage > 0"
            )
        ]
    entries = [at for at in range(0, len(whole), size) if b"updateMemberName" in whole[at : at + size]]
    for turn in range(tries(80)):
        page = chance.choice(entries) if turn % 4 else (chance.choice(pages) - 1) * size
        bit = (page + chance.randrange(size)) * 8 + chance.randrange(8)
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        for old in kept.folder.glob("copy.sqlite3*"):
            old.unlink()
        kept.copy.write_bytes(changed)
        after = told(kept.copy)
        is_same = after == before
        try:
            statuses = {found.status for found in await kept.verify(*kept.heads)}
        except (OperationalError, IntegrityError, sqlite3.DatabaseError, ValueError):
            continue  # it cannot be read, which the command says
        if not is_same:
            seen += 1
            assert statuses & {BROKEN}, (bit // 8 - page, turn)
    assert seen > tries(20)


async def test_columns_are_as_they_were_written(organisation: Organisation) -> None:
    for model in (AuditEntry, SignedHead):
        await signed(organisation)
        for row in await model.all():
            assert as_written(row)
    assert await Account.exists()
