"""The outbox: what is to be delivered is taken by whichever process has the time, and tried until it succeeds.

A process takes what is due for `LEASE_S`: if it dies meanwhile, another takes it again. So everything is delivered at
least once, under the same id.
"""

import asyncio
import json
import logging
import random
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.expressions import F, Q
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from core.vocabulary import Action
from models import Account, Channel, Delivery, Json, MemberState, Webhook, new_id, now
from resolvers import clock, telling, webhooks
from resolvers.background import beside, over_and_over, together
from resolvers.callers import Caller
from resolvers.house import House
from resolvers.sending import Unsent
from resolvers.writing import At, Said, change

PAUSE_S = 1.0
"""How long at most until what is due is seen."""
CONCURRENT = 8
"""How many deliveries a process has under way at a time, by each way."""
LEASE_S = 60
"""For how long a process may take. More than whatever sends waits for an answer."""
DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""How long to wait after each attempt that fails; the one after the last wait is the last one, after three days."""
RESPITE = timedelta(minutes=1)
"""For how long a webhook is spared what else is due once an attempt failed, so that it holds up no other."""
JITTER = 0.2
"""By how much a wait may be longer, so that not everything comes at once."""
FAILING = timedelta(days=3)
"""After how long without any success a webhook is disabled."""
GONE = 410
_SENT = range(200, 300)
_GONE = {MemberState.REMOVED, MemberState.SUSPENDED}

_log = logging.getLogger(__name__)


class _GoneError(Unsent):
    """Whoever was asked said that they want nothing any more."""


def delivering(house: House) -> AbstractAsyncContextManager[None]:
    """Deliver what is due, for as long as this is open. What is under way at its end is tried again."""
    return beside(*(_deliver_forever(house, channel) for channel in Channel))


async def _deliver_forever(house: House, channel: Channel) -> None:
    trouble = "what is due could not be delivered; that is tried again"
    await over_and_over(lambda: _deliver_by(house, channel), PAUSE_S, _log, trouble)


async def deliver(house: House) -> None:
    """Deliver all that is due by now, or becomes due meanwhile."""
    await asyncio.gather(*(_deliver_by(house, channel) for channel in Channel))


async def _deliver_by(house: House, channel: Channel) -> None:
    """Deliver by one way, so that a mail server that hangs holds up no webhook."""
    await together(lambda most: _claimed(channel, most), lambda each: _deliver(house, each), CONCURRENT, PAUSE_S)


def _is_due() -> Q:
    """Say what is due: what waits longer than anything has to was noted by a clock that ran ahead."""
    longest_s = max(DELAYS_S) * (1 + JITTER) + LEASE_S
    return Q(next_at__lte=now()) | Q(next_at__gt=now() + timedelta(seconds=longest_s))


async def _claimed(channel: Channel, most: int) -> list[Delivery]:
    """Take what is due, so that no other process does: rows that another one has locked are left to it."""
    due = Delivery.filter(_is_due(), channel=channel).order_by("next_at", "id").limit(most)
    if not most or not await due.only("id"):  # without a write, nobody has to wait
        return []
    async with in_transaction():
        ids = [row.id for row in await due.select_for_update(skip_locked=True)]
        again_at = now() + timedelta(seconds=LEASE_S)
        await Delivery.filter(id__in=ids).update(next_at=again_at, attempts=F("attempts") + 1)
    return await Delivery.filter(id__in=ids).select_related("account", "notice", "webhook", "member")


async def _deliver(house: House, delivery: Delivery) -> None:
    try:
        try:
            await _send(house, delivery)
        except Unsent as unsent:
            await _failed(house, delivery, unsent)
        else:
            await _succeeded(delivery)
    except Exception:  # noqa: BLE001 - what it was, the log says; when the lease is over, it is tried again
        _log.exception("`%s` could not be delivered", delivery.id)


async def _send(house: House, delivery: Delivery) -> None:
    """Send it. Raises `Unsent`, whatever went wrong: or what always does would be tried again for ever."""
    try:
        await (_post(house, delivery) if delivery.channel is Channel.WEBHOOK else _mail(house, delivery))
    except Unsent:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is told below and in the log
        _log.exception("`%s` could not be sent", delivery.id)
        raise Unsent("the server could not send it: its log says why") from None


async def _post(house: House, delivery: Delivery) -> None:
    assert delivery.webhook  # noqa: S101 - every delivery by this channel has one
    assert delivery.notice  # noqa: S101 - but for a ping, which is never due
    await post(house, delivery.webhook, delivery.id, _json(telling.body(delivery.account, delivery.notice)))


def _json(said: dict[str, Json]) -> str:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


async def post(
    house: House, webhook: Webhook, message_id: UUID, body: str, content_type: str = "application/json"
) -> None:
    """Post a message to a webhook, signed. Raises `Unsent`."""
    signed = await webhooks.signed(house, webhook, message_id, body, now())
    status = await house.post(webhook.url, {"content-type": content_type, **signed}, body.encode())
    if status == GONE:
        raise _GoneError(f"the answer was {status}")
    if status not in _SENT:
        raise Unsent(f"the answer was {status}")


async def _mail(house: House, delivery: Delivery) -> None:
    member = delivery.member
    assert member  # noqa: S101 - every delivery by this channel has one
    assert delivery.notice  # noqa: S101 - likewise
    if member.state in _GONE:
        raise Unsent(f"the member was {member.state.value.lower()}")
    if house.mail is None:
        raise Unsent("this server sends no mail")
    await house.mail(telling.letter(delivery, delivery.notice, member.email, house.public_url))


async def _succeeded(delivery: Delivery) -> None:
    await _mine(delivery).update(delivered_at=now(), next_at=None, error=None)
    if delivery.webhook_id and delivery.webhook:
        await got_through(delivery.webhook)


async def got_through(webhook: Webhook) -> None:
    """Note that something was delivered to a webhook."""
    if webhook.failing_since:
        webhook.failing_since = None
        await _same(webhook).update(failing_since=None)


async def _failed(house: House, delivery: Delivery, unsent: Unsent) -> None:
    still_due = _mine(delivery).filter(next_at__isnull=False)  # its webhook may have been disabled meanwhile
    await still_due.update(next_at=_next(delivery.attempts), error=str(unsent)[:256])
    webhook = delivery.webhook
    if delivery.webhook_id is None or webhook is None:
        return
    due = Delivery.filter(_is_due(), account_id=delivery.account_id, webhook_id=webhook.id)
    await due.update(next_at=now() + RESPITE)
    await got_nowhere(house, delivery.account, webhook, unsent)


async def got_nowhere(house: House, account: Account, webhook: Webhook, unsent: Unsent) -> None:
    """Note that something could not be delivered to a webhook; one that is gone, or fails for days, is given up."""
    if webhook.failing_since is None:
        await _same(webhook).filter(failing_since=None).update(failing_since=now())
    if isinstance(unsent, _GoneError):
        await webhooks.give_up(house, account, webhook.id, "it answered that it is gone")
    elif webhook.failing_since and webhook.failing_since <= now() - FAILING and await clock.is_believed(account.id):
        await webhooks.give_up(house, account, webhook.id, f"nothing got through for {FAILING.days} days")


def _mine(delivery: Delivery) -> QuerySet[Delivery]:
    """Find the row while it is this attempt's: another process may have taken it since."""
    mine = Delivery.filter(account_id=delivery.account_id, id=delivery.id)
    return mine.filter(attempts=delivery.attempts, delivered_at=None)


def _same(webhook: Webhook) -> QuerySet[Webhook]:
    return Webhook.filter(id=webhook.id, account_id=webhook.account_id)


def _next(attempts: int) -> datetime | None:
    if attempts > len(DELAYS_S):
        return None
    delay_s = DELAYS_S[attempts - 1] * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
    return now() + timedelta(seconds=delay_s)


async def ping(caller: Caller, webhook_id: UUID, said: Said) -> tuple[Webhook, Delivery]:
    """Deliver a ping now, once, whether or not the webhook is enabled; and say what came of it."""
    delivery = Delivery(id=new_id(), account_id=caller.account.id, channel=Channel.WEBHOOK, webhook_id=webhook_id)
    delivery.attempts, delivery.error = 1, "there is no answer yet"
    async with change(caller, Action.UPDATE_WEBHOOK, At(Webhook, webhook_id), said) as deed:
        deed.note({}, {"tested": str(delivery.id)})
        await delivery.save()
    try:
        await post(caller.request.house, deed.row, delivery.id, _json(telling.ping(caller.account, now())))
    except Unsent as unsent:
        delivery.error = str(unsent)[:256]
    else:
        delivery.delivered_at, delivery.error = now(), None
    await _mine(delivery).update(delivered_at=delivery.delivered_at, error=delivery.error)
    return deed.row, delivery
