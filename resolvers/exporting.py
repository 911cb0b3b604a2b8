"""The log of an account written out line by line, as `core.exports` reads it, in constant memory."""

from collections.abc import AsyncIterator

from core import exports
from core.chain import Place
from core.errors import Conflict, Invalid
from core.exports import Header
from core.signed import Kind
from core.vocabulary import Action
from models import AuditEntry, AuditHead, now
from models.row import plain
from resolvers.callers import Caller
from resolvers.chains import spans, stub_of
from resolvers.heads import statement
from resolvers.signatures import Signer


async def exported(caller: Caller, since: int = 0) -> AsyncIterator[bytes]:
    """Write the log after an entry, until where it ends now, each line with its end; 0 is from its beginning on.

    Needs `viewAuditLog` and `viewAuditChanges` on the account. Raises `Invalid` where the log does not reach so far,
    and `Conflict` if entries go meanwhile.
    """
    for action in (Action.VIEW_AUDIT_LOG, Action.VIEW_AUDIT_CHANGES):
        caller.require(action, caller.account)
    header = await _header(caller, since)
    yield header.statement.line() + b"\n"
    written = header.start.sequence
    async for entries in spans(caller.account.id, written, header.statement.place.sequence):
        for entry in entries:
            if entry is None or entry.sequence != written + 1:
                raise _gone(written + 1)
            yield exports.line(entry.sealed(), entry.previous, entry.seal) + b"\n"
            written = entry.sequence
    if written < header.statement.place.sequence:
        raise _gone(written + 1)


async def _header(caller: Caller, since: int) -> Header:
    account, signer = caller.account, Signer.of(caller.request.house.keys)
    stub = await stub_of(account.id)
    head = await AuditHead.get(account_id=account.id)
    start = await _start(caller, since, Place(stub.sequence, stub.seal) if stub else Place.first(str(account.id)))
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
