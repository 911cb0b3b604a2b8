"""Webhooks as callers ask for them: a secret shown once, left out and null told apart, and what was delivered."""

from typing import Any

import pytest

from core.vocabulary import BuiltInRole
from models import Delivery, Webhook
from resolvers import leaks
from tests.organisation import Organisation
from tests.schema.conftest import Ask, Served

CREATE = """mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) {
  secret webhook { id url description events disabledAt failingSince needsRotation version resource }
  auditEntry { after }
} }"""
UPDATE = """mutation ($input: UpdateWebhookInput!) { updateWebhook(input: $input) {
  webhook { url description events disabledAt version } auditEntry { sequence }
} }"""
LOOK = """query ($id: ID!) { webhook(id: $id) { url deliveries { nodes {
  id attempts nextAttemptAt deliveredAt error notice { kind token { name } }
} } } node(id: $id) { id } }"""
URL = "https://hooks.example/latchkey"


async def made(ask: Ask, organisation: Organisation, **given: Any) -> Any:
    answer = await ask(organisation.owner, CREATE, input={"url": URL, "description": "a hook", **given})
    assert "errors" not in answer
    return answer["data"]["createWebhook"]


async def test_the_secret_is_in_the_answer_and_nowhere_else(ask: Ask, organisation: Organisation) -> None:
    payload = await made(ask, organisation, events=["LEAKED", "EXPIRING", "LEAKED"])
    assert payload["secret"].startswith("whsec_")
    webhook = payload["webhook"]
    row = await Webhook.get()
    assert webhook == {
        "id": webhook["id"],
        "url": URL,
        "description": "a hook",
        "events": ["EXPIRING", "LEAKED"],
        "disabledAt": None,
        "failingSince": None,
        "needsRotation": False,
        "version": 1,
        "resource": f"webhook/{row.id}",
    }
    assert payload["secret"][6:] not in str(payload["auditEntry"])
    assert payload["auditEntry"]["after"]["url"] == URL


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"description": None}, {"description": ""}),
        ({"description": "other"}, {"description": "other"}),
        ({"events": None}, {"events": []}),
        ({"events": []}, {"events": []}),
        ({"events": ["REUSED"]}, {"events": ["REUSED"]}),
        ({"url": URL + "/2"}, {"url": URL + "/2"}),
        ({"enabled": True}, {}),
    ],
)
async def test_what_is_left_out_stays_and_null_clears(
    ask: Ask, organisation: Organisation, given: dict[str, Any], changed: dict[str, Any]
) -> None:
    webhook = (await made(ask, organisation, events=["LEAKED"]))["webhook"]
    answer = await ask(organisation.owner, UPDATE, input={"id": webhook["id"], **given})
    assert "errors" not in answer
    updated = answer["data"]["updateWebhook"]
    expected = {name: webhook[name] for name in ("url", "description", "events", "disabledAt")} | changed
    assert updated["webhook"] == {**expected, "version": 2 if changed else 1}
    assert (updated["auditEntry"] is None) == (not changed)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": None}, "null"),
        ({"enabled": None}, "null"),
        ({"url": "http://hooks.example/"}, "`url`"),
        ({"url": "https://127.0.0.1/"}, "`url`"),
        ({}, "`input`"),
    ],
)
async def test_what_cannot_be_is_told_and_changes_nothing(
    ask: Ask, served: Served, organisation: Organisation, given: dict[str, Any], problem: str
) -> None:
    webhook = (await made(ask, organisation))["webhook"]
    before = await Webhook.all().values()
    answer = await served(organisation.owner, UPDATE, input={"id": webhook["id"], **given})
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert problem in error["message"]
    assert await Webhook.all().values() == before


async def test_what_is_to_be_delivered_is_listed_for_who_sees_the_webhook(ask: Ask, organisation: Organisation) -> None:
    webhook = (await made(ask, organisation))["webhook"]
    token = await organisation.made(organisation.owner, name="lost")
    await leaks.revoke(organisation.request, [token.secret or ""])
    row = await Delivery.get()
    answer = await ask(organisation.owner, LOOK, id=webhook["id"])
    (delivery,) = answer["data"]["webhook"]["deliveries"]["nodes"]
    assert delivery == {
        "id": str(row.id),
        "attempts": 0,
        "nextAttemptAt": delivery["nextAttemptAt"],
        "deliveredAt": None,
        "error": None,
        "notice": {"kind": "LEAKED", "token": {"name": "lost"}},
    }
    assert answer["data"]["node"] == {"id": webhook["id"]}
    hidden = await ask(await organisation.as_role(BuiltInRole.WRITER), LOOK, id=webhook["id"])
    assert hidden["data"] == {"webhook": None, "node": None}
