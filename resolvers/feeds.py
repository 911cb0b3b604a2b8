"""The log on its way out: to the server's own file and collector, and to the webhooks that ask for it.

Of each account and place it is known how far it was delivered. A process takes what lags behind for `LEASE_S`, delivers
entry after entry, and notes after each batch how far it is: if it dies, another goes on from there. So everything is
delivered at least once, in the order of the account's log, and a place that fails holds up no other.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from uuid import uuid5

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F, RawSQL, Subquery
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from models import Account, AuditEntry, AuditStub, Feed, Json, now
from resolvers import deliveries, events
from resolvers.background import beside, together
from resolvers.house import House
from resolvers.sending import Unsent
from resolvers.sinks import Sink
from resolvers.statements import Statement

PAUSE_S = 1.0
"""How long at most until what is due is seen."""
CONCURRENT = 8
"""To how many places at a time a process delivers, webhooks and the server's own apart."""
BATCH = 100
"""How many entries are delivered at once."""
BATCH_BYTES = 256 * 1024
"""How many bytes they have together at most, but for one that has more alone."""
LEASE_S = 60
"""For how long a process may take with a batch."""
FIRST_DELAY_S, LAST_DELAY_S = 5.0, 15 * 60.0
"""How long to wait after the first failure, and at most: each time twice as long as before."""
JITTER = 0.2
_LEFT = RawSQL("(SELECT sequence FROM audit_head WHERE audit_head.account_id = feed.account_id) - feed.sequence")
"""How many entries are still to be delivered. Tortoise has no word to compare columns of two tables."""

_log = logging.getLogger(__name__)


def feeding(house: House) -> AbstractAsyncContextManager[None]:
    """Deliver what is due, for as long as this is open. What is under way at its end is delivered again."""
    return beside(*(_feed_forever(house, is_own=is_own) for is_own in (True, False)))


async def _feed_forever(house: House, *, is_own: bool) -> None:
    while True:
        try:
            await _feed_all(house, is_own=is_own)
        except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
            _log.warning("entries of the audit log could not be delivered; that is tried again", exc_info=True)
        await asyncio.sleep(PAUSE_S)


async def feed(house: House) -> None:
    """Deliver all that is due by now, or becomes due meanwhile."""
    for is_own in (True, False):
        await _feed_all(house, is_own=is_own)


async def _feed_all(house: House, *, is_own: bool) -> None:
    if is_own:
        await _begin(house)
    places = list(house.entry_sinks) if is_own else None
    await together(lambda most: _claimed(places, most), lambda each: _feed(house, each), CONCURRENT, PAUSE_S)


async def _begin(house: House) -> None:
    """Begin the feeds of accounts that are new to a place of the server's own: with the oldest entry there is."""
    for place in house.entry_sinks:
        begun = Feed.filter(place=place)
        for account in await Account.filter(id__not_in=Subquery(begun.values("account_id"))).only("id"):
            try:
                await Feed.create(account_id=account.id, place=place, sequence=0, next_at=now())
            except IntegrityError:
                continue  # another process was faster


def _due(places: Sequence[str] | None) -> QuerySet[Feed]:
    """Find what lags behind: of the server's own places, or of the webhooks that are enabled."""
    lagging = Feed.annotate(left=_LEFT).filter(left__gt=0, next_at__lte=now())
    if places is None:
        return lagging.filter(webhook_id__isnull=False, webhook__disabled_at=None)
    return lagging.filter(place__in=list(places))


async def _claimed(places: Sequence[str] | None, most: int) -> list[Feed]:
    """Take what is due, so that no other process does."""
    if places == [] or not most:
        return []
    found = [row.id for row in await _due(places).order_by("next_at", "id").limit(most).only("id")]
    if not found:  # without a write, nobody has to wait
        return []
    async with in_transaction():
        due = Feed.filter(id__in=found, next_at__lte=now()).select_for_update(skip_locked=True)
        ids = [row.id for row in await due]
        await Feed.filter(id__in=ids).update(next_at=_after(LEASE_S), turn=F("turn") + 1)
    return await Feed.filter(id__in=ids).select_related("account", "webhook")


async def _feed(house: House, feed: Feed) -> None:
    """Deliver to a place until nothing is left, or something is wrong."""
    try:
        while batch := await _batch(feed):
            try:
                await _deliver(house, feed, batch)
            except (OSError, Unsent) as problem:
                await _failed(house, feed, problem)
                return
            if not await _moved(feed, batch):
                return
        await _mine(feed).update(next_at=now())
    except Exception:  # noqa: BLE001 - what it was, the log says; when the lease is over, it is tried again
        _log.exception("entries of `%s` could not be delivered to `%s`", feed.account.key, feed.place)


async def _batch(feed: Feed) -> list[dict[str, Json]]:
    """Read the events that come next: as many as go together."""
    rows = AuditEntry.filter(account_id=feed.account_id, sequence__gt=feed.sequence).order_by("sequence").limit(BATCH)
    listed: list[dict[str, Json]] = []
    size = 0
    for entry in await Statement.of(rows).run():
        if not listed and entry.sequence != feed.sequence + 1:
            await _warn_of_pruned(feed, entry)
        event = events.event(feed.account, entry)
        size += len(events.written(event))
        if listed and size > BATCH_BYTES:
            break
        listed.append(event)
    return listed


async def _warn_of_pruned(feed: Feed, entry: AuditEntry) -> None:
    stub = await AuditStub.get_or_none(account_id=feed.account_id)
    if feed.sequence and stub and stub.sequence >= feed.sequence:
        _log.warning(
            "entries of `%s` were pruned before they were delivered to `%s`: up to entry %d",
            feed.account.key,
            feed.place,
            entry.sequence - 1,
        )


async def _deliver(house: House, feed: Feed, batch: Sequence[dict[str, Json]]) -> None:
    """Deliver events in their order. Raises OSError and `Unsent`."""
    if feed.webhook is None:
        await _append(house.entry_sinks[feed.place], batch)
        return
    # The same for what is delivered again, if nothing is added to it.
    message_id = uuid5(feed.id, f"{batch[0]['id']} {batch[-1]['id']}")
    body = b"[%s]" % b",".join(map(events.written, batch))
    await deliveries.post(house, feed.webhook, message_id, body.decode(), events.EVENTS)
    await deliveries.got_through(feed.webhook)


async def _append(sink: Sink, batch: Sequence[dict[str, Json]]) -> None:
    lines = [events.written(event) for event in batch]
    if (most := sink.longest) is not None:
        lines = [
            line if len(line) <= most else events.written(events.shortened(event))
            for line, event in zip(lines, batch, strict=True)
        ]
    await sink.deliver(lines)


async def _moved(feed: Feed, batch: Sequence[dict[str, Json]]) -> bool:
    """Note how far it was delivered. False if another process has taken it since."""
    feed.sequence = int(str(batch[-1]["sequence"]))
    moved = {"sequence": feed.sequence, "failures": 0, "error": None, "next_at": _after(LEASE_S)}
    return bool(await _mine(feed).update(**moved))


async def _failed(house: House, feed: Feed, problem: OSError | Unsent) -> None:
    delay_s = min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** min(feed.failures, 16))
    again_at = _after(delay_s * random.uniform(1, 1 + JITTER))  # noqa: S311 - no secret
    feed.failures += 1
    await _mine(feed).update(next_at=again_at, failures=feed.failures, error=str(problem)[:256])
    if feed.webhook is not None and isinstance(problem, Unsent):
        await deliveries.got_nowhere(house, feed.account, feed.webhook, problem)
    else:
        _log.warning("entries of `%s` wait for `%s`: %s", feed.account.key, feed.place, problem)


def _mine(feed: Feed) -> QuerySet[Feed]:
    """Find the row while it is this process's turn."""
    return Feed.filter(account_id=feed.account_id, id=feed.id, turn=feed.turn)


def _after(delay_s: float) -> datetime:
    return now() + timedelta(seconds=delay_s)
