"""Chains as the database holds them: read in spans of entries, and held against their seals, stub, head and heads.

No transaction is open meanwhile: entries only ever come at the end, and go at the beginning, where the stub tells it.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from uuid import UUID

from tortoise.exceptions import OperationalError
from tortoise.models import Model

from core.chain import Break, Place, Problem, Walk, fits
from core.findings import Finding, Heads, doubt
from core.signed import Kind, Signed, Statement
from models import AuditAccess, AuditEntry, AuditHead, AuditStub, SignedHead
from models.columns import as_written
from resolvers.heads import statement
from resolvers.statements import Statement as Query
from resolvers.statements import dialect, found

SPAN = 500
"""How many entries are read at once."""
_TABLES = ("audit_entry", "audit_access", "audit_head", "audit_stub", "signed_head")


async def stub_of(account_id: UUID) -> AuditStub | None:
    """Read where the log begins, if anything was pruned."""
    return await AuditStub.get_or_none(account_id=account_id)


async def spans(account_id: UUID, after: int, until: int) -> AsyncIterator[list[AuditEntry | None]]:
    """Read the entries after a number, until another, in their order. None stands for what cannot be read."""
    for begin in range(after, until, SPAN):
        yield await _span(account_id, begin, min(begin + SPAN, until))


async def _span(account_id: UUID, after: int, until: int) -> list[AuditEntry | None]:
    rows = AuditEntry.filter(account_id=account_id, sequence__gt=after, sequence__lte=until).order_by("sequence", "id")
    try:
        # As many as there can be, and one: then two have the same number.
        return [*await Query.of(rows.limit(until - after + 1)).run()]
    except OperationalError:
        if until == after + 1:
            await AuditHead.exists(account_id=account_id)  # the entry it is, not the database
            return [None]
        middle = (after + until) // 2
        return await _span(account_id, after, middle) + await _span(account_id, middle, until)


async def verify(account_id: UUID, label: str, heads: Sequence[Statement], signed: Signed) -> Finding:
    """Verify the log of an account as it is now, while it grows. `heads` are those that were kept elsewhere."""
    while True:
        stub = await stub_of(account_id)
        finding = await _Verifying(account_id, label, signed).of(stub, heads)
        again = await stub_of(account_id)
        if not finding.broken or (again and again.sequence) == (stub and stub.sequence):
            return finding  # otherwise entries were pruned while they were read


async def damage() -> list[str]:
    """Say what SQLite finds wrong with the tables of the log in its file; nothing on other databases."""
    if dialect() != "sqlite":
        return []
    told = [
        str(row["integrity_check"])
        for table in _TABLES
        for row in await found("SELECT integrity_check FROM pragma_integrity_check(?)", [table])
    ]
    return [line for line in told if line != "ok"]


class _Verifying:
    """One reading of an account's log."""

    def __init__(self, account_id: UUID, label: str, signed: Signed) -> None:
        self.account_id = account_id
        self.label = label
        self.signed = signed
        self.unsure: list[str] = []
        self.notes: list[str] = []

    async def of(self, stub: AuditStub | None, heads: Sequence[Statement]) -> Finding:
        start = Place(stub.sequence, stub.seal) if stub else Place.first(str(self.account_id))
        vouching = Heads.of(heads, self.signed, str(self.account_id))
        self.unsure += vouching.unsure
        self.notes += vouching.notes(start)
        broken: Break | str | None = self._stub(stub)
        kept, altered = await self._kept(start)  # before the head: none is signed over more than is there then
        head = await AuditHead.get_or_none(account_id=self.account_id)
        if head is None or not _is_readable(head):
            return self._finding(Walk(start), broken or "the row that holds the head is missing or altered")
        walk = Walk(start, (*vouching.places, *kept))
        broken = broken or altered or walk.begin() or await self._entries(walk, head.sequence)
        if broken is None and walk.at.seal != head.seal:
            broken = f"the row that holds the head disagrees with entry {head.sequence}"
        return self._finding(walk, broken or await self._strays(walk) or walk.end())

    def _finding(self, walk: Walk, broken: Break | str | None) -> Finding:
        return Finding(
            self.label, walk.start.sequence + 1, walk.at.sequence, broken, tuple(self.unsure), tuple(self.notes)
        )

    def _stub(self, stub: AuditStub | None) -> str | None:
        if stub is None:
            return None
        if not _is_readable(stub):
            return "the stub is altered"
        said = statement(Kind.STUB, stub)
        self.notes.append(f"entries up to {stub.sequence} were pruned; the signed stub says so")
        match said.is_signed(self.signed):
            case True:
                return None
            case None:
                self.unsure.append(str(doubt("the stub", said, self.signed)))
                return None
            case _:
                return "the stub is altered"

    async def _kept(self, start: Place) -> tuple[list[Place], str | None]:
        """Read the signed heads that the database keeps; those of keys that are gone prove nothing."""
        places: list[Place] = []
        unknown = 0
        for row in await SignedHead.filter(account_id=self.account_id).order_by("sequence", "at"):
            good = statement(Kind.HEAD, row).is_signed(self.signed) if _is_readable(row) else False
            if good is False:
                return places, f"the signed head of entry {row.sequence} that the database keeps is altered"
            unknown += good is None
            if good and row.sequence >= start.sequence:
                places.append(Place(row.sequence, row.seal))
        if unknown:
            self.notes.append(f"signed heads in the database whose key is not known any more: {unknown}")
        return places, None

    async def _entries(self, walk: Walk, until: int) -> Break | str | None:
        async for entries in spans(self.account_id, walk.at.sequence, until):
            whole, broken = stepped(walk, entries)
            accesses = await _accesses([entry.id for entry in whole])
            for entry in whole:
                if not _is_found_by(entry, accesses[entry.id]):
                    return f"the accesses by which entry {entry.sequence} is found are altered"
            if broken:
                return broken
        missing = walk.at.sequence < until
        return Break(walk.at.sequence + 1, Problem.MISSING) if missing else None

    async def _strays(self, walk: Walk) -> Break | str | None:
        """Look for what does not belong to the chain at all."""
        own = AuditEntry.filter(account_id=self.account_id)
        early = await own.filter(sequence__lte=walk.start.sequence).order_by("sequence").first().values("sequence")
        if early:
            return Break(int(early["sequence"]), Problem.ADDED)
        late = await own.filter(sequence__gt=walk.at.sequence).order_by("-sequence").first().values("sequence")
        end = (await AuditHead.get(account_id=self.account_id)).sequence  # read later, so that it knows of that entry
        if late and not (isinstance(late["sequence"], int) and late["sequence"] <= end):
            return Break(end + 1, Problem.ADDED)
        lost = await found(_LOST.format("?" if dialect() == "sqlite" else "$1"), [str(self.account_id)])
        return f"the access `{lost[0]['action']}` belongs to no entry" if lost else None


_LOST = (
    "SELECT audit_access.action FROM audit_access LEFT JOIN audit_entry ON audit_entry.id = audit_access.entry_id"
    " AND audit_entry.account_id = audit_access.account_id"
    " WHERE audit_access.account_id = {} AND audit_entry.id IS NULL LIMIT 1"
)


def stepped(walk: Walk, entries: Iterable[AuditEntry | None]) -> tuple[list[AuditEntry], Break | None]:
    """Walk on as far as the entries hold: those that do, and what is wrong with the next."""
    whole: list[AuditEntry] = []
    for entry in entries:
        if entry is None or not _is_readable(entry):
            return whole, walk.step(None, "", "", fits=False)
        is_whole = fits(entry.previous, entry.sealed(), entry.seal)
        if broken := walk.step(entry.sequence, entry.previous, entry.seal, fits=is_whole):
            return whole, broken
        whole.append(entry)
    return whole, None


async def _accesses(entry_ids: Sequence[UUID]) -> Mapping[UUID, list[AuditAccess]]:
    """Read the rows by which entries are found, in whichever account they stand."""
    of_each: dict[UUID, list[AuditAccess]] = defaultdict(list)
    if entry_ids:
        for row in await Query.of(AuditAccess.filter(entry_id__in=list(entry_ids))).run():
            of_each[row.entry_id].append(row)
    return of_each


def _is_found_by(entry: AuditEntry, rows: Sequence[AuditAccess]) -> bool:
    if not all(map(_is_readable, rows)):
        return False
    own = (entry.account_id, entry.sequence)
    wanted = Counter((*own, access["action"], access["resource"]) for access in entry.accesses)
    return wanted == Counter((row.account_id, row.sequence, row.action, row.resource) for row in rows)


def _is_readable(row: Model) -> bool:
    try:
        return as_written(row)
    except Exception:  # noqa: BLE001 - whatever a column is that no longer reads as what it was
        return False
