"""What is noticed reaches the webhooks, signed, at least once: after failures, kills and changes of the secret too."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import WebhookVerificationError

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.secret import ServerKeys
from core.vocabulary import Action, BuiltInRole
from models import ActorKind, AuditEntry, Delivery, Notice, Webhook, WebhookEvent, now
from resolvers import deliveries, leaks, webhooks
from resolvers.deliveries import DELAYS_S, FAILING, LEASE_S, deliver
from resolvers.house import House
from resolvers.scopes import Scope
from resolvers.webhooks import MOST, NewWebhook, WebhookChange
from resolvers.writing import Done, Said
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.resolvers.conftest import LOCAL, Refused, SetClock
from tests.web.receiver import Receiver, receiving
from web import posting
from web.posting import Poster

SECOND = timedelta(seconds=1)


async def hooked(organisation: Organisation, url: str, *events: WebhookEvent) -> Done[Webhook]:
    return await webhooks.create(organisation.owner, NewWebhook(url, "a hook", events), Said())


async def leak(organisation: Organisation, name: str = "a token") -> Notice:
    """Have something noticed."""
    made = await organisation.made(organisation.owner, name=name)
    await leaks.revoke(organisation.request, [made.secret or ""])
    return await Notice.get(token_id=made.row.id)


def another(house: House, keys: ServerKeys | None = None) -> House:
    """The house of another process."""
    return House(house.database, keys or house.keys, destinations=LOCAL, post=Poster(LOCAL))


async def test_a_notice_is_delivered_signed_and_says_what_is_documented(
    sending: Organisation, receiver: Receiver
) -> None:
    made = await hooked(sending, receiver.url)
    notice = await leak(sending)
    assert await Delivery.all().count() == 1  # in the transaction of the notice
    await deliver(sending.house)
    (received,) = receiver.received
    delivery = await Delivery.get()
    assert received.message_id == str(delivery.id)
    assert received.headers["content-type"] == "application/json"
    token = notice.details["token"]
    assert received.verified(made.secret or "") == {
        "type": "token.leaked",
        "timestamp": notice.at.isoformat().replace("+00:00", "Z"),
        "data": {
            "id": global_id("Notice", notice.id),
            "account": "main",
            "message": f"A secret of the token `a token` (ending in `{token['ending']}`) was reported as leaked, "
            "and has ended.",
            "auditEntry": global_id("AuditEntry", notice.entry_id),
            "member": global_id("Member", notice.member_id),
            "token": {
                "id": global_id("Token", notice.token_id),
                "name": "a token",
                "ending": token["ending"],
                "kind": "PERSONAL",
            },
        },
    }
    with pytest.raises(WebhookVerificationError):
        received.verified("whsec_" + "A" * 43 + "=")
    assert (delivery.attempts, delivery.next_at, delivery.error) == (1, None, None)
    assert delivery.delivered_at
    await deliver(sending.house)
    assert len(receiver.received) == 1


async def test_only_the_kinds_that_are_wanted_are_delivered_and_nothing_to_what_is_disabled(
    sending: Organisation, receiver: Receiver
) -> None:
    await hooked(sending, receiver.url + "/1", WebhookEvent.LEAKED, WebhookEvent.EXPIRING)
    await hooked(sending, receiver.url + "/2", WebhookEvent.EXPIRING)
    third = await hooked(sending, receiver.url + "/3")
    await webhooks.update(sending.owner, third.row.id, WebhookChange(enabled=False), Said())
    await leak(sending)
    await deliver(sending.house)
    assert [received.path for received in receiver.received] == ["/hook/1"]


@pytest.mark.usefixtures("settled")
async def test_what_fails_is_tried_again_under_the_same_id_for_three_days_and_then_the_webhook_is_disabled(
    sending: Organisation, receiver: Receiver, set_clock: SetClock
) -> None:
    made = await hooked(sending, receiver.url)
    await leak(sending)
    receiver.statuses = [500]
    begin = at = now()
    for delay_s in DELAYS_S:
        await deliver(sending.house)
        delivery = await Delivery.get()
        assert delivery.next_at
        assert at + timedelta(seconds=delay_s) <= delivery.next_at <= at + timedelta(seconds=1.2 * delay_s + 5)
        assert delivery.error == "the answer was 500"
        set_clock(delivery.next_at - SECOND)
        await deliver(sending.house)
        at = delivery.next_at
        set_clock(at)
    assert at - begin > FAILING
    assert len(receiver.received) == len(DELAYS_S)
    await deliver(sending.house)
    assert {received.message_id for received in receiver.received} == {str(delivery.id)}
    webhook = await Webhook.get(id=made.row.id)
    assert webhook.disabled_at
    assert (await Delivery.get()).next_at is None
    entry = await AuditEntry.filter(target_id=webhook.id).order_by("-sequence").first()
    assert entry
    assert (entry.actor_kind, entry.accesses[0]["action"]) == (ActorKind.SYSTEM, "updateWebhook")
    assert (entry.after or {})["disabledBecause"] == "nothing got through for 3 days"


async def test_a_receiver_that_was_down_gets_it_later_and_is_not_failing_any_more(
    sending: Organisation, set_clock: SetClock
) -> None:
    async with receiving() as gone:
        made = await hooked(sending, gone.url)
    await leak(sending)
    await deliver(sending.house)
    delivery = await Delivery.get()
    assert delivery.next_at
    assert "did not answer" in (delivery.error or "")
    assert (await Webhook.get()).failing_since
    async with receiving() as back:
        await Webhook.all().update(url=back.url)
        set_clock(delivery.next_at)
        await deliver(sending.house)
        assert [received.message_id for received in back.received] == [str(delivery.id)]
        assert made.secret
    assert (await Webhook.get()).failing_since is None
    assert (await Delivery.get()).delivered_at


async def test_what_a_clock_that_ran_ahead_put_off_is_tried_when_it_is_set_back(
    sending: Organisation, receiver: Receiver, set_clock: SetClock
) -> None:
    await hooked(sending, receiver.url)
    begin = now()
    await leak(sending)
    receiver.statuses = [500, 200]
    set_clock(begin + timedelta(days=400))
    await deliver(sending.house)
    assert len(receiver.received) == 1
    set_clock(begin + SECOND)
    await deliver(sending.house)
    assert (await Delivery.get()).delivered_at == begin + SECOND


async def test_what_says_that_it_is_gone_is_disabled_at_once_and_what_is_due_is_given_up(
    sending: Organisation, receiver: Receiver
) -> None:
    made = await hooked(sending, receiver.url)
    for _ in range(12):
        await leak(sending)
    receiver.statuses = [410]
    await deliver(sending.house)
    assert (await Webhook.get(id=made.row.id)).disabled_at
    assert await Delivery.filter(next_at__isnull=False).count() == 0
    await leak(sending)
    assert await Delivery.all().count() == 12
    await webhooks.update(sending.owner, made.row.id, WebhookChange(enabled=True), Said())
    webhook = await Webhook.get(id=made.row.id)
    assert (webhook.disabled_at, webhook.failing_since) == (None, None)


async def test_what_fails_while_its_webhook_is_disabled_is_not_tried_again(sending: Organisation) -> None:
    made = await hooked(sending, "https://receiver.example/hooks")
    await leak(sending)

    async def disabled(*_: object) -> int:
        await webhooks.update(sending.owner, made.row.id, WebhookChange(enabled=False), Said())
        return 500

    sending.house.post = disabled
    await deliver(sending.house)
    delivery = await Delivery.get()
    assert (delivery.attempts, delivery.next_at, delivery.error) == (1, None, "the webhook was disabled")


async def test_a_process_that_dies_while_it_delivers_leaves_it_to_another(
    sending: Organisation, receiver: Receiver, set_clock: SetClock
) -> None:
    await hooked(sending, receiver.url)
    await leak(sending)
    receiver.statuses = [0, 200]
    dying = asyncio.create_task(deliver(sending.house))
    while not receiver.received:  # noqa: ASYNC110 - what another task does
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.wait([dying])
    other = another(sending.house)
    at = now()
    await deliver(other)
    assert len(receiver.received) == 1  # it may still be under way
    set_clock(at + timedelta(seconds=LEASE_S))
    await deliver(other)
    first, second = receiver.received
    assert first.message_id == second.message_id
    assert (await Delivery.get()).attempts == 2


async def test_several_processes_deliver_each_thing_once_and_few_at_a_time(
    sending: Organisation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "CONCURRENT", 3)
    await hooked(sending, receiver.url)
    for number in range(20):
        await leak(sending, str(number))
    await asyncio.gather(*(deliver(another(sending.house)) for _ in range(4)))
    assert len(receiver.received) == 20
    assert len({received.message_id for received in receiver.received}) == 20
    assert await Delivery.filter(delivered_at=None).count() == 0


async def test_a_webhook_that_does_not_answer_holds_up_no_other(
    sending: Organisation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, set_clock: SetClock
) -> None:
    monkeypatch.setattr(deliveries, "CONCURRENT", 3)
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.3)
    async with receiving() as hanging:
        hanging.statuses = [0]
        await hooked(sending, hanging.url)
        for number in range(12):
            await leak(sending, str(number))
        await hooked(sending, receiver.url)
        await leak(sending)
        at = now()
        await deliver(sending.house)
        assert len(receiver.received) == 1
        assert len(hanging.received) <= 2 * 3
        hanging.statuses = [200]
        hanging.received.clear()
        set_clock(at + 5 * timedelta(minutes=1))
        await deliver(sending.house)
        assert len({received.message_id for received in hanging.received}) == 13


async def test_for_a_day_both_secrets_sign_and_then_the_new_one_alone(
    sending: Organisation, receiver: Receiver, set_clock: SetClock
) -> None:
    made = await hooked(sending, receiver.url)
    rotated = await webhooks.rotate(sending.owner, made.row.id, Said())
    assert rotated.secret != made.secret
    await webhooks.update(sending.owner, made.row.id, WebhookChange(description="later"), Said())
    await leak(sending)
    await deliver(sending.house)
    (received,) = receiver.received
    for secret in (made.secret, rotated.secret):
        assert received.verified(secret or "")["type"] == "token.leaked"
    webhook = await Webhook.get()
    set_clock(now() + webhooks.GRACE + SECOND)
    signed = await webhooks.signed(sending.house, webhook, made.row.id, "", now())
    assert len(signed["webhook-signature"].split()) == 1


async def test_a_retired_server_key_is_told_until_the_secret_is_changed(
    sending: Organisation, receiver: Receiver, set_clock: SetClock
) -> None:
    made = await hooked(sending, receiver.url)
    old = sending.house.keys
    newer = ServerKeys({**ServerKeys.mint("second").keys, **old.keys})
    await leak(sending)
    await deliver(another(sending.house, newer))
    assert receiver.received[0].verified(made.secret or "")
    retired = another(sending.house, ServerKeys({"second": newer.keys["second"]}))
    await leak(sending)
    await deliver(retired)
    late = await Delivery.filter(delivered_at=None).get()
    assert late.error == "the signing secret went with the server key `first`: rotate it"
    assert late.next_at
    owner = replace(sending.owner, request=replace(sending.owner.request, house=another(sending.house, newer)))
    rotated = await webhooks.rotate(owner, made.row.id, Said())
    set_clock(late.next_at)
    await deliver(retired)
    assert receiver.received[1].verified(rotated.secret or "")


async def test_a_ping_says_what_came_of_it(sending: Organisation, receiver: Receiver) -> None:
    made = await hooked(sending, receiver.url)
    await webhooks.update(sending.owner, made.row.id, WebhookChange(enabled=False), Said())
    _, delivered = await deliveries.ping(sending.owner, made.row.id, Said())
    (received,) = receiver.received
    assert received.verified(made.secret or "") | {"timestamp": ""} == {
        "type": "ping",
        "timestamp": "",
        "data": {"account": "main"},
    }
    assert (received.message_id, delivered.error) == (str(delivered.id), None)
    receiver.statuses = [404]
    _, failed = await deliveries.ping(sending.owner, made.row.id, Said())
    assert (failed.error, failed.delivered_at) == ("the answer was 404", None)
    kept = await Delivery.get(id=failed.id)
    assert (kept.error, kept.next_at) == ("the answer was 404", None)
    entries = await AuditEntry.filter(target_id=made.row.id).order_by("sequence")
    assert [UUID((entry.after or {})["tested"]) for entry in entries[2:]] == [delivered.id, failed.id]


async def test_a_webhook_takes_the_sight_of_all_that_it_gets(sending: Organisation, refused: Refused) -> None:
    made = await hooked(sending, "https://hooks.example/")
    statement = {"effect": "allow", "actions": ["createWebhook", "updateWebhook", "viewWebhook"], "resources": ["*"]}
    blind = await sending.token(sending.owner, Scope(statements=[statement]))
    with refused(Forbidden) as refusal:
        await webhooks.create(blind, NewWebhook("https://hooks.example/"), Said())
    assert refusal.value.extensions["action"] == Action.VIEW_AUDIT_LOG.value
    with refused(Forbidden):
        await webhooks.update(blind, made.row.id, WebhookChange(url="https://other.example/"), Said())
    writer = await sending.as_role(BuiltInRole.WRITER)
    with refused(NotFound):
        await webhooks.update(writer, made.row.id, WebhookChange(enabled=False), Said())
    with refused(Forbidden):
        await webhooks.create(writer, NewWebhook("https://hooks.example/"), Said())


async def test_left_out_and_given_are_told_apart(sending: Organisation, refused: Refused) -> None:
    made = await hooked(sending, "https://hooks.example/", WebhookEvent.LEAKED)
    with refused(Invalid):
        await webhooks.update(sending.owner, made.row.id, WebhookChange(), Said())
    changes: list[tuple[WebhookChange, dict[str, Any]]] = [
        (WebhookChange(description=""), {"description": ""}),
        (WebhookChange(events=()), {"events": []}),
        (WebhookChange(url="https://other.example/"), {"url": "https://other.example/"}),
    ]
    before = made.row.snapshot()
    for wanted, changed in changes:
        after = (await webhooks.update(sending.owner, made.row.id, wanted, Said())).row.snapshot()
        assert after == {**before, **changed}
        before = after
    with refused(Invalid):
        await webhooks.update(sending.owner, made.row.id, WebhookChange(url="https://127.0.0.1@x.example/"), Said())


async def test_there_are_only_so_many_and_no_secret_is_stored(sending: Organisation, refused: Refused) -> None:
    made = [await hooked(sending, "https://hooks.example/") for _ in range(MOST)]
    with refused(Conflict):
        await hooked(sending, "https://hooks.example/")
    stored = str([await model.all().values() for model in (Webhook, AuditEntry, Delivery)])
    for each in made:
        assert each.secret
        assert each.secret.removeprefix("whsec_") not in stored
    await webhooks.remove(sending.owner, made[0].row.id, Said())
    assert await Webhook.all().count() == MOST - 1
