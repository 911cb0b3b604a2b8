"""`latchkey audit`: written out, verified here and by the script alone in the same words, whatever was done to it."""

# ruff: noqa: S311 - chance that comes again

import asyncio
import csv
import gc
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli import audit
from cli.accounts import acting_in
from cli.audit import Export
from core import findings
from core.chain import genesis, seal_text
from core.errors import Conflict, Invalid
from core.findings import BROKEN, UNSEEN, UNSURE, WHOLE, Finding
from core.signed import Kind, Statement
from models import AuditEntry, SignedHead
from resolvers import accounts, chains, exporting, heads, members
from resolvers.callers import Caller, Request
from resolvers.destinations import Destinations
from resolvers.signatures import PublicKeys, Signer
from resolvers.sinks import FileSink, WebSink
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.web.receiver import receiving
from web.posting import Poster

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "clients" / "verifier" / "verify_audit.py"

Lines = list[bytes]


@dataclass(frozen=True)
class Exported:
    """An export, heads that were signed on the way, and the public keys."""

    lines: Lines
    heads: Lines
    keys: PublicKeys
    signer: Signer
    folder: Path

    @property
    def entries(self) -> int:
        return len(self.lines) - 1

    def verify(self, text: bytes, against: Lines = ()) -> Finding:  # type: ignore[assignment] # none
        file = self.folder / "export.jsonl"
        file.write_bytes(text)
        statements = [Statement.parse(Kind.HEAD, line) for line in against]
        [found] = audit.verify_files([file], statements, self.keys)
        return found


async def deeds(organisation: Organisation, count: int) -> None:
    assert organisation.owner.member
    for number in range(count):
        name = f'Name {number} \\ " ü {chr(0x1F511)}'
        await members.update(organisation.owner, organisation.owner.member.id, name, Said("a comment"))


@pytest.fixture
async def exported(organisation: Organisation, tmp_path: Path) -> Exported:
    kept = []
    for count in (5, 7, 5):
        await deeds(organisation, count)
        kept.append((await audit.head(organisation.request, None)).encode())
    await deeds(organisation, 5)
    file = tmp_path / "whole.jsonl"
    await audit.export(organisation.request, None, Export(file))
    keys = organisation.house.keys
    return Exported(file.read_bytes().splitlines(keepends=True), kept, PublicKeys.of(keys), Signer.of(keys), tmp_path)


def alone(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the script as an auditor would: elsewhere, with nothing of ours to import."""
    ran = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout


async def test_an_export_is_whole_to_both_verifiers_with_and_without_heads(exported: Exported) -> None:
    text, label = b"".join(exported.lines), f"main ({exported_account(exported)})"
    found = exported.verify(text)
    assert list(found.lines()) == [f"{label}: whole: entries 1 to {exported.entries}", f"  {UNSEEN}"]
    against = exported.verify(text, exported.heads)
    last = Statement.parse(Kind.HEAD, exported.heads[-1]).place.sequence
    assert list(against.lines())[1:] == [f"  held against signed heads: 3, the last of entry {last}"]
    (exported.folder / "heads").write_bytes(b"\n".join(exported.heads))
    (exported.folder / "keys").write_text(exported.keys.json())
    said = alone(exported.folder, "export.jsonl", "--against", "heads", "--key", "keys")
    assert said == (WHOLE, "".join(f"{line}\n" for line in against.lines()))
    code, out = alone(exported.folder, "export.jsonl")
    assert (code, out.splitlines()[0]) == (WHOLE, f"{label}: whole: entries 1 to {exported.entries}")
    assert "no public key was given" in out


def exported_account(exported: Exported) -> str:
    return str(json.loads(exported.lines[0])["export"]["account"])


def flipped(text: bytes, bit: int) -> bytes:
    return text[: bit // 8] + bytes([text[bit // 8] ^ 1 << bit % 8]) + text[bit // 8 + 1 :]


def place_of(lines: Lines, byte: int) -> int:
    """The line in which a byte stands: 0 is the first line, and then it is the entry's number."""
    for number, line in enumerate(lines):
        byte -= len(line)
        if byte < 0:
            return number
    raise AssertionError


@pytest.mark.usefixtures("sqlite")
async def test_any_bit_flipped_in_an_export_is_named(exported: Exported) -> None:
    text, chance = b"".join(exported.lines), random.Random(6)
    for bit in (chance.randrange(len(text) * 8) for _ in range(600)):
        found = exported.verify(flipped(text, bit))
        place = place_of(exported.lines, bit // 8)
        if place == 0:
            assert found.status in {BROKEN, UNSURE}, bit  # a key's id may have become another's
        else:
            assert str(found.broken) == f"entry {place} is altered", bit


def resealed(lines: Lines, number: int) -> Lines:
    """Alter an entry, and seal it and all after it anew, as whoever may write the database can."""
    header, entries = lines[0], [json.loads(line) for line in lines[1:]]
    entries[number - 1]["entry"]["comment"] = "forged"
    previous = genesis(json.loads(header)["export"]["account"])
    made = [header]
    for entry in entries:
        text = json.dumps(entry["entry"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        seal = seal_text(previous, text)
        made.append(b'{"entry":%s,"previous":"%s","seal":"%s"}\n' % (text, previous.encode(), seal.encode()))
        previous = seal
    return made


def ended(exported: Exported, lines: Lines) -> Lines:
    """Write a first line that fits the others, as the server would once its database was changed."""
    said = json.loads(lines[0])["export"]
    last = json.loads(lines[-1])
    said |= {"sequence": last["entry"]["sequence"], "seal": last["seal"]}
    return [Statement.of(Kind.EXPORT, said, exported.signer.sign).line() + b"\n", *lines[1:]]


Manipulation = Callable[[Exported, random.Random], tuple[Lines, str]]


def dropped(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    at = chance.randint(1, exported.entries - 1)
    return exported.lines[:at] + exported.lines[at + 1 :], f"entry {at} is missing"


def swapped(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    one, other = sorted(chance.sample(range(1, exported.entries + 1), 2))
    lines = list(exported.lines)
    lines[one], lines[other] = lines[other], lines[one]
    return lines, f"entry {one} is reordered"


def repeated(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    copied, at = chance.randint(1, exported.entries), chance.randint(1, exported.entries)
    lines = [*exported.lines[: at + 1], exported.lines[copied], *exported.lines[at + 1 :]]
    return lines, f"entry {at + 1} is reordered" if copied > at + 1 else f"entry {copied} is added"


def slipped_in(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    at = chance.randint(1, exported.entries)
    before = json.loads(exported.lines[at])["previous"]
    text = b'{"sequence":%d}' % at
    seal = seal_text(before, text).encode()
    forged = b'{"entry":%s,"previous":"%s","seal":"%s"}\n' % (text, before.encode(), seal)
    return [*exported.lines[:at], forged, *exported.lines[at:]], added(exported, at)


def added(exported: Exported, at: int) -> str:
    """Say what is named: an entry that stands where a head was signed differs from it before its double is met."""
    signed = [0, *(Statement.parse(Kind.HEAD, head).place.sequence for head in exported.heads), exported.entries]
    if at not in signed:
        return f"entry {at} is added"
    lower = max(place for place in signed if place < at)
    return f"the log was rolled back or rewritten: somewhere from entry {lower + 1} to {at}"


def cut_off(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    at = chance.randint(1, exported.entries)
    said = f"the end is cut off from entry {at} on: there was an entry {exported.entries}"
    return exported.lines[:at], said


def cut_off_by_the_server(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    last = Statement.parse(Kind.HEAD, exported.heads[-1]).place.sequence
    at = chance.randint(2, last)
    said = f"the end is cut off from entry {at} on: there was an entry {last}"
    return ended(exported, exported.lines[:at]), said


def rewritten_by_the_server(exported: Exported, chance: random.Random) -> tuple[Lines, str]:
    signed = [0, *(Statement.parse(Kind.HEAD, head).place.sequence for head in exported.heads)]
    at = chance.randint(1, signed[-1])
    upper = next(place for place in signed if place >= at)
    lower = max(place for place in signed if place < at)
    said = f"the log was rolled back or rewritten: somewhere from entry {lower + 1} to {upper}"
    return ended(exported, resealed(exported.lines, at)), said


MANIPULATIONS: list[Manipulation] = [
    dropped,
    swapped,
    repeated,
    slipped_in,
    cut_off,
    cut_off_by_the_server,
    rewritten_by_the_server,
]


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("manipulation", MANIPULATIONS)
async def test_whatever_is_done_to_an_export_its_place_is_named(exported: Exported, manipulation: Manipulation) -> None:
    chance = random.Random(7)
    for _ in range(60):
        lines, said = manipulation(exported, chance)
        assert str(exported.verify(b"".join(lines), exported.heads).broken) == said


@pytest.mark.usefixtures("sqlite")
async def test_the_script_alone_says_the_same_of_hundreds_of_manipulations(exported: Exported) -> None:
    chance, folder = random.Random(8), exported.folder
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import verify_audit  # noqa: PLC0415 - as a library here: three hundred processes take minutes
    finally:
        sys.path.pop(0)
    (folder / "keys").write_text(exported.keys.json())
    keys = verify_audit.keys_of(folder / "keys")
    text = b"".join(exported.lines)
    for turn in range(200):
        changed = flipped(text, chance.randrange(len(text) * 8))
        if turn % 2:
            lines, _ = chance.choice(MANIPULATIONS)(exported, chance)
            changed = b"".join(lines)
        elif turn % 4:
            changed = changed[: chance.randrange(len(changed))]
        against = chance.sample(exported.heads, chance.randint(0, 3))
        ours = exported.verify(changed, against)
        own_heads = [verify_audit.Statement("head", head) for head in against]
        with (folder / "export.jsonl").open("rb") as file:
            theirs = verify_audit.verify([file], own_heads, keys)
        assert theirs == (list(ours.lines()), ours.status)
        if turn < 5:
            (folder / "heads").write_bytes(b"\n".join(against))
            said = alone(folder, "export.jsonl", "--against", "heads", "--key", "keys")
            assert said == (ours.status, "".join(f"{line}\n" for line in ours.lines()))


async def test_an_export_in_parts_is_verified_as_one(organisation: Organisation, exported: Exported) -> None:
    folder = exported.folder
    at = exported.entries - 4
    interrupted = folder / "one.jsonl"
    interrupted.write_bytes(b"".join(exported.lines[: at + 1]))
    await deeds(organisation, 3)
    await audit.export(organisation.request, "main", Export(folder / "two.jsonl", at))
    statements = [Statement.parse(Kind.HEAD, line) for line in exported.heads]
    [found] = audit.verify_files([interrupted, folder / "two.jsonl"], statements, exported.keys)
    assert (found.first, found.last, found.status) == (1, exported.entries + 3, WHOLE)
    [later] = audit.verify_files([folder / "two.jsonl"], statements, exported.keys)
    assert (later.status, later.first) == (WHOLE, at + 1)
    assert f"entries up to {at} are not in this export" in later.notes
    [wrong] = audit.verify_files([folder / "two.jsonl", interrupted], statements, exported.keys)
    assert wrong.broken == f"part 2 does not go on after entry {exported.entries + 3}"
    (folder / "keys").write_text(exported.keys.json())
    assert alone(folder, "one.jsonl", "two.jsonl", "--key", "keys")[1].splitlines()[0] == next(iter(found.lines()))


async def test_what_cannot_be_exported_is_named(organisation: Organisation, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no entry"):
        await audit.export(organisation.request, None, Export(tmp_path / "a", 10_000))
    (tmp_path / "there").write_text("")
    with pytest.raises(FileExistsError):
        await audit.export(organisation.request, None, Export(tmp_path / "there"))
    await accounts.create(organisation.request, "other", "Other", "owner@localhost")
    with pytest.raises(Conflict, match="--account"):
        await audit.export(organisation.request, None, Export(tmp_path / "b"))


async def test_an_interrupted_export_goes_on_in_its_file(organisation: Organisation, exported: Exported) -> None:
    await members.update(organisation.owner, organisation.owner.member.id, "=1+1", Said("two\r\nlines"))  # type: ignore[union-attr]
    whole, chance = b"".join(exported.lines), random.Random(6)
    one, table = exported.folder / "one", exported.folder / "table.csv"
    await audit.export(organisation.request, None, Export(table, as_csv=True))
    rows = table.read_bytes()
    named = rows.index(b"\n") + 1
    for cut in (len(exported.lines[0]), len(whole), *chance.sample(range(len(exported.lines[0]), len(whole)), 6)):
        one.write_bytes(whole[:cut])
        told = await audit.export(organisation.request, None, Export(one, resumes=True))
        assert one.read_bytes() == whole  # and nothing of what was written since
        lacking = exported.entries - whole[:cut].count(b"\n") + 1
        assert told == f"{lacking} entries added to {one}"
    one.write_bytes(whole + exported.lines[3][:-1])
    assert (await audit.export(organisation.request, None, Export(one, resumes=True)) or "").startswith("0 entries")
    assert one.read_bytes() == whole
    for cut in (named, len(rows), *chance.sample(range(named, len(rows)), 6)):
        table.write_bytes(rows[:cut])
        await audit.export(organisation.request, None, Export(table, resumes=True, as_csv=True))
        assert table.read_bytes() == rows
    last = list(csv.DictReader(io.StringIO(rows.decode(), newline="")))[-1]
    assert (last["targetName"], last["comment"]) == ("'=1+1", "two lines")
    assert rows.count(b"\n") == int(last["sequence"]) + 1


async def test_what_is_not_gone_on_with_stays_as_it_was(organisation: Organisation, exported: Exported) -> None:
    file, torn = exported.folder / "file", exported.lines[4][:-1]
    await audit.export(organisation.request, "main", Export(exported.folder / "table.csv", as_csv=True))
    named, *rows = (exported.folder / "table.csv").read_bytes().splitlines(keepends=True)
    header, entry = exported.lines[0], exported.lines[3]
    await accounts.create(organisation.request, "other", "Other", "owner@localhost")
    for account, text, problem in (
        ("main", b"", "is no export"),
        ("main", b'{"keys": {"1": "a secret"}}', "is no export"),
        ("main", b"a letter\nwhose last line has no end", "is no export"),
        ("main", header[:-1], "ends with a line"),
        ("main", named[:-1], "is no export"),
        ("main", header + b"{}\n" + torn, "ends with a line"),
        ("main", header + b"[" * 100_000 + b"\n" + torn, "ends with a line"),
        ("main", header + b'{"entry": {"sequence": ' + b"1" * 5_000 + b"}}\n" + torn, "ends with a line"),
        ("main", header + b'{"entry": {"sequence": 1e999}, "seal": "x"}\n' + torn, "ends with a line"),
        ("main", header + entry.replace(b'"seal":"', b'"seal":"x') + torn, "does not fit: its entry 3"),
        ("main", named + b"1,2\r\n" + torn, "does not fit: its entry 1"),
        ("main", named + b"x\r\n" + torn, "ends with a line"),
        ("other", header + torn, "another account"),
        ("other", header + entry + torn, "another account"),
        ("other", named + rows[0] + rows[1][:-1], "does not fit: its entry 1"),
    ):
        file.write_bytes(text)
        with pytest.raises(Invalid, match=problem):
            await audit.export(organisation.request, account, Export(file, resumes=True))
        assert file.read_bytes() == text


@pytest.mark.usefixtures("sqlite")
async def test_memory_is_the_same_for_a_log_of_ten_times_the_length(
    organisation: Organisation, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "SPAN", 40)

    async def most(write: Callable[[Caller], AsyncIterator[bytes]]) -> tuple[int, int]:
        """How many entries, and how many bytes of lines, there are at a time at most."""
        alive = size = 0
        async for lines in write(await acting_in(organisation.request, None)):
            gc.collect()
            alive = max(alive, sum(isinstance(each, AuditEntry) for each in gc.get_objects()))
            size = max(size, len(lines))
        return alive, size

    gc.freeze()  # what is there already is not looked through each time
    multiply(elsewhere, 80)
    before = [await most(write) for write in (exporting.exported, exporting.tabled)]
    multiply(elsewhere, 800)
    assert [await most(write) for write in (exporting.exported, exporting.tabled)] == before
    assert all(40 <= alive <= 80 for alive, _ in before), before


def multiply(elsewhere: Elsewhere, count: int) -> None:
    """Let the log go on with copies of its first entry, whose seals are of chance."""
    columns = [str(name) for (name,) in elsewhere("SELECT name FROM pragma_table_info('audit_entry')")]
    new = dict.fromkeys(("id", "previous", "seal"), "lower(hex(randomblob(16)))") | {"sequence": "h.sequence + i"}
    values = ", ".join(new.get(name, f"o.{name}") for name in columns)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"  # noqa: S608 - its own
    elsewhere(
        f"{numbers} INSERT INTO audit_entry ({', '.join(columns)}) SELECT {values} FROM audit_head AS h"  # noqa: S608 - its own
        " CROSS JOIN audit_entry AS o CROSS JOIN n WHERE o.account_id = h.account_id AND o.sequence = 1"
    )
    elsewhere(f"UPDATE audit_head SET sequence = sequence + {count}")  # noqa: S608 - its own


@pytest.mark.usefixtures("sqlite")
async def test_a_head_that_nobody_signed_proves_nothing(exported: Exported) -> None:
    text, [head, *_] = b"".join(exported.lines), exported.heads
    forged = Statement.parse(Kind.HEAD, head.replace(b'"sequence":', b'"sequence":1'))
    found = exported.verify(text, [forged.line()])
    assert (found.status, found.unsure[0]) == (
        UNSURE,
        f"the head of entry {forged.place.sequence} is not signed with its key: `first`",
    )
    unknown = forged.line().replace(b'"keyId":"first"', b'"keyId":"x"')
    found = exported.verify(text, [unknown])
    assert found.status == UNSURE
    assert found.unsure[0].endswith("is signed with a key that is not known: `x`")


async def test_heads_are_appended_to_the_file_outside_once_each(
    organisation: Organisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "outside" / "heads.jsonl"
    house = replace(organisation.house, sink=FileSink(file), heads_every_s=3600)
    await heads.sign_all(house)  # the folder is missing: it is kept
    assert await SignedHead.filter(delivered_at=None).count() == 1
    file.parent.mkdir()
    await heads.sign_all(house)  # maybe whoever signed it is about to deliver it
    assert not file.exists()
    monkeypatch.setattr(heads, "PAUSE_S", 0)
    await heads.sign_all(house)
    await deeds(organisation, 1)
    await heads.sign_all(house)  # not due yet
    assert len(file.read_bytes().splitlines()) == 1
    await audit.head(Request(house, "x"), None)
    lines = file.read_bytes().splitlines()
    last = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").first()
    assert last
    assert Statement.parse(Kind.HEAD, lines[-1]).place.seal == last.seal
    assert [Statement.parse(Kind.HEAD, line).is_signed(PublicKeys.of(house.keys).signed) for line in lines] == [
        True
    ] * 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert not await SignedHead.filter(delivered_at=None).exists()


async def test_heads_are_posted_until_they_are_taken(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "PAUSE_S", 0)
    async with receiving() as receiver:
        receiver.statuses[:] = [503, 200]
        sink = WebSink(receiver.url, Poster(Destinations.parse(["127.0.0.0/8"])))
        house = replace(organisation.house, sink=sink, heads_every_s=3600)
        await heads.sign_all(house)  # it is refused, and kept
        assert await SignedHead.filter(delivered_at=None).count() == 1
        await heads.sign_all(house)
        assert not await SignedHead.filter(delivered_at=None).exists()
        refused, taken = receiver.received
        assert taken == refused
        assert (taken.path, taken.headers["content-type"]) == ("/hook", "application/json")
        assert Statement.parse(Kind.HEAD, taken.body).is_signed(PublicKeys.of(house.keys).signed)
    with pytest.raises(OSError, match="did not answer"):
        await sink.deliver([taken.body])


async def test_of_those_who_sign_at_once_one_does(organisation: Organisation) -> None:
    await deeds(organisation, 1)
    every = timedelta(hours=1)
    made = await asyncio.gather(
        *(heads.sign(organisation.house, organisation.account.id, every=every) for _ in range(20))
    )
    assert len([head for head in made if head]) == 1
    assert await SignedHead.all().count() == 1


def test_the_worst_of_several_accounts_counts() -> None:
    whole, unsure = Finding("a", 1, 2), Finding("a", 1, 2, None, ("why",))
    broken = Finding("a", 1, 2, "x", ("why",))
    assert findings.status([whole, whole]) == WHOLE
    assert findings.status([whole, unsure]) == UNSURE
    assert findings.status([broken, unsure]) == BROKEN
    assert findings.status([]) == UNSURE
