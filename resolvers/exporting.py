"""The log of an account written out line by line, as `core.exports` reads it, in constant memory."""

from collections.abc import AsyncIterator

from core import exports, tables
from core.chain import Place
from core.errors import Conflict, Invalid
from core.exports import Header
from core.signed import Kind
from core.vocabulary import Action
from models import AuditEntry, AuditHead, AuditStub, now
from models.row import plain
from resolvers import events
from resolvers.callers import Caller
from resolvers.chains import spans, stub_of
from resolvers.heads import statement
from resolvers.signatures import Signer


async def exported(caller: Caller, since: int = 0) -> AsyncIterator[bytes]:
    """Write the log after an entry, until where it ends now, each line with its end; 0 is from its beginning on.

    Needs `viewAuditLog` and `viewAuditChanges` on the account. Raises `Invalid` where the log does not reach so far,
    and `Conflict` if entries go meanwhile.
    """
    _require_sight(caller)
    header = await _header(caller, since)
    yield header.statement.line() + b"\n"
    async for line in _sealed(caller, header.start.sequence, header.statement.place.sequence):
        yield line


async def resumed(caller: Caller, header: Header, reached: Place) -> AsyncIterator[bytes]:
    """Write the lines that an interrupted export still lacks, as if it had not been. Raises as `exported` does."""
    _require_sight(caller)
    if header.account != str(caller.account.id):
        raise Invalid("--resume", f"is an export of another account: {header.label}")
    if reached != header.start:
        await _require_entry(caller, reached)
    async for line in _sealed(caller, reached.sequence, header.statement.place.sequence):
        yield line


async def tabled(caller: Caller, since: int = 0) -> AsyncIterator[bytes]:
    """Write the log as `exported` does, as CSV: without the line that names the columns, and not to be verified."""
    _require_sight(caller)
    end = await AuditHead.get(account_id=caller.account.id)
    start = await _start(caller, since, await _first(caller))
    async for entries in _spans(caller, start.sequence, end.sequence):
        yield tables.written(events.COLUMNS, (events.flat(events.shown(entry)) for entry in entries))


async def retabled(caller: Caller, reached: Place) -> AsyncIterator[bytes]:
    """Go on with a table behind its last entry. Raises as `exported` does."""
    _require_sight(caller)
    await _require_entry(caller, reached)
    async for lines in tabled(caller, reached.sequence):
        yield lines


def _require_sight(caller: Caller) -> None:
    for action in (Action.VIEW_AUDIT_LOG, Action.VIEW_AUDIT_CHANGES):
        caller.require(action, caller.account)


async def _require_entry(caller: Caller, place: Place) -> None:
    entry = await AuditEntry.get_or_none(account_id=caller.account.id, sequence=place.sequence)
    if entry is None or entry.seal != place.seal:
        raise Invalid("--resume", f"does not fit: its entry {place.sequence} is not in the log")


async def _sealed(caller: Caller, after: int, until: int) -> AsyncIterator[bytes]:
    async for entries in _spans(caller, after, until):
        yield b"".join(exports.line(entry.sealed(), entry.previous, entry.seal) + b"\n" for entry in entries)


async def _spans(caller: Caller, after: int, until: int) -> AsyncIterator[list[AuditEntry]]:
    """Read all entries after a number, until another: each must be there."""
    reached = after
    async for entries in spans(caller.account.id, after, until):
        whole = [entry for entry in entries if entry is not None]
        for entry in whole:
            if entry.sequence != reached + 1:
                raise _gone(reached + 1)
            reached += 1
        if len(whole) < len(entries):
            raise _gone(reached + 1)
        yield whole
    if reached < until:
        raise _gone(reached + 1)


async def _header(caller: Caller, since: int) -> Header:
    account, signer = caller.account, Signer.of(caller.request.house.keys)
    stub = await stub_of(account.id)
    head = await AuditHead.get(account_id=account.id)
    start = await _start(caller, since, _begin(caller, stub))
    said = {
        "account": str(account.id),
        "at": str(plain(now())),
        "key": account.key,
        "keyId": signer.key_id,
        "name": account.name,
        "previous": start.seal,
        "seal": head.seal,
        "sequence": head.sequence,
        "since": start.sequence,
    }
    return Header.of(said, statement(Kind.STUB, stub) if stub else None, signer.sign)


async def _first(caller: Caller) -> Place:
    return _begin(caller, await stub_of(caller.account.id))


def _begin(caller: Caller, stub: AuditStub | None) -> Place:
    return Place(stub.sequence, stub.seal) if stub else Place.first(str(caller.account.id))


async def _start(caller: Caller, since: int, first: Place) -> Place:
    if since in {0, first.sequence}:
        return first
    if since < first.sequence:
        raise Invalid("--since", f"must be at least {first.sequence}: the entries before were pruned")
    entry = await AuditEntry.get_or_none(account_id=caller.account.id, sequence=since)
    if entry is None:
        raise Invalid("--since", "is no entry of the log")
    return Place(entry.sequence, entry.seal)


def _gone(sequence: int) -> Conflict:
    return Conflict(f"entry {sequence} is not there, or cannot be read: export again, or see `latchkey audit verify`")
