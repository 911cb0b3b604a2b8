"""The log on its way out: to the server's own file and collector, and to the webhooks that ask for it.

Of each account and place it is known how far it was delivered. A process takes what lags behind for `LEASE_S`, delivers
one batch, notes how far it is, and lets go: if it dies, another goes on from there. So everything is delivered at least
once, in the order of the account's log; a place that fails, or is slow, holds up no other; and what was changed of a
webhook holds from the next batch on.
"""

import logging
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from uuid import uuid5

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F, Q, RawSQL, Subquery
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from models import Account, AuditEntry, AuditStub, Feed, Json, now
from resolvers import deliveries, events
from resolvers.background import beside, over_and_over, together
from resolvers.house import House
from resolvers.sending import Unsent
from resolvers.sinks import Sink
from resolvers.statements import Statement

PAUSE_S = 1.0
"""How long at most until what is due is seen."""
CONCURRENT = 8
"""How many accounts' entries a process delivers at a time, to each place of the server's own and to all webhooks."""
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
    return beside(*(_feed_forever(house, each) for each in _groups(house)))


def _groups(house: House) -> list[str | None]:
    """List what is delivered to apart: each place of the server's own, and all webhooks together."""
    return [*house.entry_sinks, None]


async def _feed_forever(house: House, place: str | None) -> None:
    trouble = "entries of the audit log could not be delivered; that is tried again"
    await over_and_over(lambda: _feed_all(house, place), PAUSE_S, _log, trouble)


async def feed(house: House) -> None:
    """Deliver all that is due by now, or becomes due meanwhile."""
    for place in _groups(house):
        await _feed_all(house, place)


async def _feed_all(house: House, place: str | None) -> None:
    if place is not None:
        await _begin(place)
    await together(lambda most: _claimed(place, most), lambda each: _feed(house, each), CONCURRENT, PAUSE_S)


async def _begin(place: str) -> None:
    """Begin the feeds of accounts that are new to a place of the server's own: with the oldest entry there is."""
    begun = Feed.filter(place=place)
    for account in await Account.filter(id__not_in=Subquery(begun.values("account_id"))).only("id"):
        try:
            await Feed.create(account_id=account.id, place=place, sequence=0, next_at=now())
        except IntegrityError:
            continue  # another process was faster


def _is_due() -> Q:
    """Say what is due: what waits longer than anything has to was noted by a clock that ran ahead."""
    return Q(next_at__lte=now()) | Q(next_at__gt=_after(LAST_DELAY_S * (1 + JITTER) + LEASE_S))


def _due(place: str | None) -> QuerySet[Feed]:
    """Find what lags behind: of a place of the server's own, or of the webhooks that are enabled."""
    lagging = Feed.annotate(left=_LEFT).filter(_is_due(), left__gt=0)
    if place is None:
        return lagging.filter(webhook_id__isnull=False, webhook__disabled_at=None)
    return lagging.filter(place=place)


async def _claimed(place: str | None, most: int) -> list[Feed]:
    """Take what is due, so that no other process does."""
    if not most:
        return []
    found = [row.id for row in await _due(place).order_by("next_at", "id").limit(most).only("id")]
    if not found:  # without a write, nobody has to wait
        return []
    async with in_transaction():
        due = Feed.filter(_is_due(), id__in=found).select_for_update(skip_locked=True)
        ids = [row.id for row in await due]
        await Feed.filter(id__in=ids).update(next_at=_after(LEASE_S), turn=F("turn") + 1)
    return await Feed.filter(id__in=ids).select_related("account", "webhook")


async def _feed(house: House, feed: Feed) -> None:
    """Deliver the next batch to a place."""
    try:
        batch = await _batch(feed)
        try:
            await _send(house, feed, batch)
        except (OSError, Unsent) as problem:
            await _failed(house, feed, problem)
        else:
            await _moved(feed, batch)
    except Exception:  # noqa: BLE001 - what it was, the log says; when the lease is over, it is tried again
        _log.exception("entries of `%s` could not be delivered to `%s`", feed.account.key, feed.place)


async def _send(house: House, feed: Feed, batch: Sequence[dict[str, Json]]) -> None:
    """Deliver a batch. Raises OSError or `Unsent`, whatever went wrong: or what always does would never be given up."""
    try:
        await _deliver(house, feed, batch)
    except (OSError, Unsent):
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is told by what is raised, and in the log
        _log.exception("entries of `%s` could not be sent to `%s`", feed.account.key, feed.place)
        raise Unsent("the server could not send it: its log says why") from None


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


async def _moved(feed: Feed, batch: Sequence[dict[str, Json]]) -> None:
    """Note how far it was delivered, and let go, unless another process has taken it since."""
    sequence = int(str(batch[-1]["sequence"]))
    await _mine(feed).update(sequence=sequence, failures=0, error=None, next_at=now())


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
