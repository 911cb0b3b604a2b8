"""Retention: the oldest entries go, chunk by chunk, each with a signed stub to go on from and an entry that says so."""

import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from tortoise.expressions import Subquery

from core.chain import LARGEST, Place, Walk
from core.errors import Conflict, Invalid
from core.signed import Kind
from core.vocabulary import Action
from models import Account, ActorKind, AuditAccess, AuditEntry, AuditHead, AuditStub, SignedHead, new_id, now
from models.row import plain
from resolvers import clock
from resolvers.background import beside, over_and_over
from resolvers.callers import Caller, Request, with_credential
from resolvers.chains import stepped, stub_of
from resolvers.heads import stated
from resolvers.house import House
from resolvers.signatures import Signer
from resolvers.statements import Statement as Query
from resolvers.writing import Line, Said, append, because, opened

CHUNK = 1_000
"""How many entries go in one transaction, which holds up all others of the account."""
YOUNGEST = timedelta(days=1)
"""Younger entries stay: by them, a repeated request is known again."""
PAUSE_S = 60.0 * 60
"""How long between two rounds of a server."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What has gone: how many entries, and the last of them, counted from the first there ever was."""

    count: int
    until: int


async def prune(caller: Caller, before: datetime, said: Said) -> Pruned:
    """Delete the entries from before a moment: from the oldest on, to the first that is younger.

    Each chunk is one transaction, and what is done stays done. Needs `pruneAuditLog`, which no policy grants. Raises
    `Invalid` for a moment less than a day ago, and `Conflict` where the chain is not whole.
    """
    if before > now() - YOUNGEST:
        raise Invalid("before", "must be at least a day ago")
    end = (
        await AuditHead.get(account_id=caller.account.id)
    ).sequence  # so that no clock makes it prune its own entries
    count = until = 0
    while chunk := await _prune_chunk(caller, before, end, said):
        count, until = count + chunk.count, chunk.until
    return Pruned(count, until)


async def _prune_chunk(caller: Caller, before: datetime, end: int, said: Said) -> Pruned | None:
    account = caller.account
    if not await _is_due(account, before, end):
        return None
    async with opened(caller, said) as (fresh, head):
        stub = await stub_of(account.id)
        start = Place(stub.sequence, stub.seal) if stub else Place.first(str(account.id))
        last = await _ending(account, start, before, end)
        if last == start:
            return None
        pruned = Pruned(last.sequence - start.sequence, last.sequence)
        await _append(fresh, head, said, pruned, before)
        await _move(stub, account, last, Signer.of(caller.request.house.keys))
        await _delete(account, last.sequence)
    return pruned


async def _is_due(account: Account, before: datetime, end: int) -> bool:
    oldest = AuditEntry.filter(account_id=account.id, sequence__lte=end).order_by("sequence").limit(1).only("at")
    return any(entry.at < before for entry in await oldest)


async def _ending(account: Account, start: Place, before: datetime, end: int) -> Place:
    """Find the last entry of the next chunk. Raises `Conflict` if one is not as it was sealed: it is evidence."""
    due = AuditEntry.filter(account_id=account.id, sequence__gt=start.sequence, sequence__lte=end)
    entries = await Query.of(due.order_by("sequence").limit(CHUNK)).run()
    old = list(takewhile(lambda entry: entry.at < before, entries))
    walk = Walk(start)
    _, broken = stepped(walk, old)
    if broken:
        raise Conflict(f"{broken}, and what was tampered with is kept: see `latchkey audit verify`")
    return walk.at


async def _append(caller: Caller, head: AuditHead, said: Said, pruned: Pruned, before: datetime) -> None:
    action, account = Action.PRUNE_AUDIT_LOG, caller.account
    resource = str(account.resource)
    line = Line(
        target_kind=account.resource.path[-1],
        target_id=account.id,
        target_resource=resource,
        target_name=account.label,
        accesses=[{"action": action.value, "resource": resource}],
        because=[because(action, caller.require(action, account))],
        after={"pruned": pruned.count, "prunedUntil": pruned.until, "before": plain(before)},
        comment=said.comment,
    )
    await append(caller, head, line)


async def _move(stub: AuditStub | None, account: Account, last: Place, signer: Signer) -> None:
    """Write the stub, or move it on; what lies before it may then be deleted."""
    moved = AuditStub(
        id=stub.id if stub else new_id(),
        account_id=account.id,
        sequence=last.sequence,
        seal=last.seal,
        at=now(),
        key_id=signer.key_id,
        signature="",
    )
    moved.signature = stated(Kind.STUB, moved, signer).signature
    await moved.save(force_create=stub is None, force_update=stub is not None)


async def _delete(account: Account, until: int) -> None:
    entries = AuditEntry.filter(account_id=account.id, sequence__lte=until)
    await AuditAccess.filter(account_id=account.id, entry_id__in=Subquery(entries.values("id"))).delete()
    await entries.delete()
    await SignedHead.filter(account_id=account.id, sequence__lt=until).exclude(delivered_at=None).delete()


def retaining(house: House) -> AbstractAsyncContextManager[None]:
    """Prune the logs of all accounts as their entries become older than they are kept, if that has an end."""
    return nullcontext() if house.retention_days is None else beside(_prune_forever(house, house.retention_days))


async def _prune_forever(house: House, days: int) -> None:
    trouble = "the audit logs could not be pruned; this is tried again"
    await over_and_over(lambda: prune_all(house, days), PAUSE_S, _log, trouble)


async def prune_all(house: House, days: int) -> None:
    """Prune what is older than so many days, once there is any a day older.

    What fails is tried again the next time, and holds up no other account.
    """
    request = Request(house, str(new_id()), None, "latchkey retention")
    for account in await Account.all().order_by("id"):
        try:
            caller = await with_credential(account, request, ActorKind.SYSTEM)
            await _prune_due(caller, timedelta(days=days))
        except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
            _log.warning("the audit log of `%s` could not be pruned; this is tried again", account.key, exc_info=True)


async def _prune_due(caller: Caller, kept: timedelta) -> None:
    account = caller.account
    if not await _is_due(account, now() - kept - timedelta(days=1), LARGEST):
        return
    if await clock.is_believed(account.id):
        await prune(caller, now() - kept, Said())
    else:
        _log.warning(
            "the audit log of `%s` is not pruned until the clock, which says %s, has gone on for %d hours",
            account.key,
            plain(now()),
            clock.SETTLES / timedelta(hours=1),
        )
