"""Webhooks: the URLs that notices and entries are delivered to, and the secrets with which that is signed.

A secret is stored nowhere: it is derived from a server key, the webhook's id and how often its secret was changed. For
a day after that, what is delivered is signed with the one before as well, as Standard Webhooks recommends.
"""

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from standardwebhooks import Webhook as Signer
from tortoise.queryset import QuerySet

from core.errors import Conflict, Forbidden, NotFound
from core.law import NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy, parse_policy
from core.secret import ServerKeys
from core.vocabulary import Action
from models import Account, AuditEntry, Delivery, Feed, Webhook, WebhookEvent, new_id, now
from resolvers import input as typed
from resolvers.callers import Caller
from resolvers.house import House
from resolvers.notices import by_itself
from resolvers.sending import Unsent
from resolvers.writing import At, Deed, Done, Said, asked_for, change

MOST = 20
"""How many an account may have: each gets every notice."""
GRACE = timedelta(days=1)
"""For how long what is delivered is signed with the secret before as well."""
_IN_ENTRIES = (
    (Action.VIEW_AUDIT_CHANGES, "acct"),
    (Action.VIEW_MEMBER_EMAIL, "member/*"),
    (Action.VIEW_ROLE, "role/*"),
    (Action.VIEW_ROLE_POLICY, "role/*"),
)
"""What it takes to see an entry whole, whichever it is; see `resolvers.entries`."""
_KEY_ID = "keyId"
"""Under which name an entry says of which server key a secret is made."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook as a caller asks for it. Without events, it gets all notices."""

    url: str
    description: str = ""
    events: Sequence[WebhookEvent] = ()


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What to change of a webhook; what is None stays as it is."""

    url: str | None = None
    description: str | None = None
    events: Sequence[WebhookEvent] | None = None
    enabled: bool | None = None

    @property
    def changes(self) -> bool:
        """Whether anything is to change."""
        return any(wanted is not None for wanted in (self.url, self.description, self.events, self.enabled))

    @property
    def directs(self) -> bool:
        """Whether it says anew what is delivered, or where to."""
        return self.url is not None or self.events is not None or bool(self.enabled)


async def create(caller: Caller, wanted: NewWebhook, said: Said) -> Done[Webhook]:
    """Have notices delivered to a URL. The secret is in the answer, and is never shown again."""
    house = caller.request.house
    row = Webhook(
        id=new_id(),
        account_id=caller.account.id,
        url=house.destinations.checked("url", wanted.url),
        description=typed.description("description", wanted.description),
        events=_listed(wanted.events),
        key_id=house.keys.newest,
    )
    async with change(caller, Action.CREATE_WEBHOOK, row, said) as deed:
        _require_sight(deed)
        _require_whole_sight(deed)
        if (count := await Webhook.filter(account_id=row.account_id).count()) >= MOST:
            raise Conflict(f"there are {count} webhooks already, the most that there may be", limit=MOST, count=count)
        deed.make(row, *([_feed(deed)] if row.wants_entries else []))
    return Done(row, deed.entry, secret(house.keys, row))


def _listed(events: Sequence[WebhookEvent]) -> list[str]:
    return sorted({event.value for event in events})


def _require_sight(deed: Deed[Webhook]) -> None:
    """Require the sight of all notices: to have them delivered is to see them."""
    deed.caller.require(Action.VIEW_AUDIT_LOG, deed.caller.account)


def _require_whole_sight(deed: Deed[Webhook]) -> None:
    """Require the sight of all that is in entries, if they are delivered."""
    caller = deed.caller
    for action, on in _IN_ENTRIES if deed.row.wants_entries else ():
        line = {"effect": "allow", "actions": [action.value], "resources": [on]}
        policy = CompiledPolicy(parse_policy([line], "policy"), caller.catalogue, {})
        if not caller.covers([Side(SideKind.OWNER, (NamedPolicy("sight", policy),))]):
            raise Forbidden(action.value, on)


def _feed(deed: Deed[Webhook]) -> Feed:
    """Begin to deliver the log to a webhook, with the entry of the deed itself."""
    row = deed.row
    return Feed(
        account_id=row.account_id, place=str(row.id), webhook_id=row.id, sequence=deed.head.sequence, next_at=now()
    )


async def _follow(deed: Deed[Webhook]) -> None:
    """Begin or end to deliver the log to a webhook, as it wants now."""
    if not deed.row.wants_entries:
        await _fed(deed.row).delete()
    elif not await _fed(deed.row).exists():
        await _feed(deed).save()


def _fed(row: Webhook) -> QuerySet[Feed]:
    return Feed.filter(account_id=row.account_id, webhook_id=row.id)


async def update(caller: Caller, webhook_id: UUID, wanted: WebhookChange, said: Said) -> Done[Webhook]:
    """Change a webhook. Disabling it gives up notices that were not delivered yet, enabling it forgives its failures.

    Of the log it keeps its place: enabled again, it gets the entries that it missed.
    """
    actions = asked_for((Action.UPDATE_WEBHOOK, wanted.changes))
    async with change(caller, actions, At(Webhook, webhook_id), said) as deed:
        _require_sight(deed)
        row = deed.row
        if wanted.url is not None:
            row.url = caller.request.house.destinations.checked("url", wanted.url)
        if wanted.description is not None:
            row.description = typed.description("description", wanted.description)
        if wanted.events is not None:
            row.events = _listed(wanted.events)
        if wanted.directs:
            _require_whole_sight(deed)
        await _follow(deed)
        if wanted.enabled:
            row.disabled_at = row.failing_since = None
            await _fed(row).update(next_at=now(), failures=0)
        elif wanted.enabled is not None:
            await _disable(row)
        await row.save()
    return Done(deed.row, deed.entry)


async def rotate(caller: Caller, webhook_id: UUID, said: Said) -> Done[Webhook]:
    """Give a webhook a new secret, which is in this answer alone; the one before signs too for a day."""
    keys = caller.request.house.keys
    async with change(caller, Action.UPDATE_WEBHOOK, At(Webhook, webhook_id), said) as deed:
        row = deed.row
        deed.note({_KEY_ID: row.key_id}, {_KEY_ID: keys.newest})
        row.generation, row.key_id = row.generation + 1, keys.newest
        await row.save()
    return Done(deed.row, deed.entry, secret(keys, deed.row))


async def remove(caller: Caller, webhook_id: UUID, said: Said) -> Done[Webhook]:
    """Remove a webhook, and with it what was delivered to it and what was to be."""
    async with change(caller, Action.DELETE_WEBHOOK, At(Webhook, webhook_id), said) as deed:
        await deed.delete()
    return Done(deed.row, deed.entry)


async def _disable(row: Webhook) -> None:
    row.disabled_at = row.disabled_at or now()
    due = Delivery.filter(account_id=row.account_id, webhook_id=row.id, next_at__isnull=False)
    await due.update(next_at=None, error="the webhook was disabled")


async def give_up(house: House, account: Account, webhook_id: UUID, why: str) -> None:
    """Disable a webhook that does not answer, or says that it is gone. Latchkey does, by itself."""
    with suppress(NotFound):
        async with change(await by_itself(house, account), Action.UPDATE_WEBHOOK, At(Webhook, webhook_id)) as deed:
            if deed.row.disabled_at is None:
                await _disable(deed.row)
                deed.note({}, {"disabledBecause": why})
                await deed.row.save()


def secret(keys: ServerKeys, webhook: Webhook) -> str | None:
    """Give the secret of a webhook; None if its server key is retired."""
    return _secret(keys, webhook.id, webhook.key_id, webhook.generation)


def _secret(keys: ServerKeys, webhook_id: UUID, key_id: str, generation: int) -> str | None:
    derived = keys.derive(key_id, f"webhook\n{webhook_id}\n{generation}".encode())
    return None if derived is None else f"whsec_{b64encode(derived).decode()}"


async def signed(house: House, webhook: Webhook, message_id: UUID, body: str, at: datetime) -> dict[str, str]:
    """Sign what is delivered: the headers of Standard Webhooks. Raises `Unsent` if there is no secret any more."""
    present, before = secret(house.keys, webhook), await _passing(webhook)
    if present is None:
        raise Unsent(f"the signing secret went with the server key `{webhook.key_id}`: rotate it")
    passing = None if before is None else _secret(house.keys, webhook.id, before, webhook.generation - 1)
    signatures = [Signer(each).sign(str(message_id), at, body) for each in (present, passing) if each]
    return {
        "webhook-id": str(message_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def passing() -> list[tuple[Webhook, str]]:
    """List the webhooks whose secret before the present one signs too, and the server key that it is derived from."""
    changed = await Webhook.filter(generation__gt=1, updated_at__gt=now() - GRACE).order_by("id")
    return [(webhook, key_id) for webhook in changed if (key_id := await _passing(webhook)) is not None]


async def _passing(webhook: Webhook) -> str | None:
    """Name the server key of the secret before the present one, while that signs too: the log says when it changed."""
    since = now() - GRACE
    if webhook.generation == 1 or webhook.updated_at <= since:
        return None
    entries = AuditEntry.filter(account_id=webhook.account_id, target_id=webhook.id, at__gt=since)
    for entry in await entries.order_by("-sequence"):
        if entry.before and _KEY_ID in entry.before:
            return str(entry.before[_KEY_ID])
    return None
