"""Signed heads: made while the log grows, kept, and delivered to where the database's administrator cannot reach."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from core.signed import Kind, Statement
from core.vocabulary import Action
from models import Account, AuditHead, AuditStub, SignedHead, now
from models.row import plain
from resolvers.background import beside
from resolvers.callers import Caller
from resolvers.house import House
from resolvers.signatures import PublicKeys, Signer

PAUSE_S = 60.0
"""How long at most between two looks whether a head is due."""
BATCH = 100
"""How many heads are delivered at once."""

_log = logging.getLogger(__name__)


async def current(caller: Caller) -> Statement:
    """Sign the head of the log as it is now. Needs `viewAuditLog` on the account; nothing is kept of it."""
    caller.require(Action.VIEW_AUDIT_LOG, caller.account)
    head = await AuditHead.get(account_id=caller.account.id)
    signer = Signer.of(caller.request.house.keys)
    return stated(Kind.HEAD, _made(head, signer, now()), signer)


def public_keys(caller: Caller) -> PublicKeys:
    """Give the keys that heads are checked with. Needs `viewAuditLog` on the account."""
    caller.require(Action.VIEW_AUDIT_LOG, caller.account)
    return PublicKeys.of(caller.request.house.keys)


def stated(kind: Kind, row: SignedHead | AuditStub, signer: Signer) -> Statement:
    """Make the statement of a row, and sign it."""
    return Statement.of(kind, _said(row), signer.sign)


def statement(kind: Kind, row: SignedHead | AuditStub) -> Statement:
    """Give the statement that was signed when a row was made."""
    return Statement.of(kind, _said(row), lambda _: row.signature)


def _said(row: SignedHead | AuditStub) -> dict[str, str | int]:
    return {
        "account": str(row.account_id),
        "at": str(plain(row.at)),
        "keyId": row.key_id,
        "seal": row.seal,
        "sequence": row.sequence,
    }


def _made(head: AuditHead, signer: Signer, at: datetime) -> SignedHead:
    made = SignedHead(
        account_id=head.account_id, sequence=head.sequence, seal=head.seal, at=at, key_id=signer.key_id, signature=""
    )
    made.signature = stated(Kind.HEAD, made, signer).signature
    return made


async def sign(house: House, account_id: UUID, *, every: timedelta | None = None) -> SignedHead | None:
    """Sign the head of an account's log and keep that; with `every`, only if it has moved since one so long ago.

    Of processes that do so at once, the first signs and the others see it.
    """
    if every is not None and await _due(account_id, every) is None:
        return None
    async with in_transaction():
        locked = await AuditHead.filter(account_id=account_id).select_for_update().get()
        if every is not None and await _due(account_id, every) is None:
            return None
        made = _made(locked, Signer.of(house.keys), now())
        await made.save()
    return made


async def _due(account_id: UUID, every: timedelta) -> AuditHead | None:
    head = await AuditHead.get(account_id=account_id)
    last = await SignedHead.filter(account_id=account_id).order_by("-sequence", "-at").first()
    if last is None:
        return head
    is_recent = timedelta(0) <= now() - last.at < every
    return None if is_recent or (last.sequence, last.seal) == (head.sequence, head.seal) else head


async def deliver(house: House, account_id: UUID, made: SignedHead | None = None) -> None:
    """Hand over a head that was just made, and those that whoever made them did not deliver, in their order.

    Raises OSError; they are handed over again, so each comes at least once.
    """
    if house.sink is None:
        return
    late = Q(at__lt=now() - timedelta(seconds=PAUSE_S))
    waiting = SignedHead.filter(late | Q(id=made.id) if made else late, account_id=account_id, delivered_at=None)
    while heads := await waiting.order_by("id").limit(BATCH):
        await house.sink.deliver([statement(Kind.HEAD, head).line() for head in heads])
        await SignedHead.filter(account_id=account_id, id__in=[head.id for head in heads]).update(delivered_at=now())


def signing(house: House) -> AbstractAsyncContextManager[None]:
    """Sign the heads of all accounts as they become due, and deliver them."""
    return beside(_sign_forever(house))


async def _sign_forever(house: House) -> None:
    every_s = house.heads_every_s
    while every_s:
        await sign_all(house)
        await asyncio.sleep(min(PAUSE_S, every_s / 4))


async def sign_all(house: House) -> None:
    """Sign and deliver what is due. What fails is tried again the next time."""
    every = timedelta(seconds=house.heads_every_s)
    try:
        for account in await Account.all().order_by("id").only("id"):
            await deliver(house, account.id, await sign(house, account.id, every=every))
    except Exception:  # noqa: BLE001 - whatever the database or the sink says, the next round tries again
        _log.warning("heads of the audit log could not be signed and delivered; this is tried again", exc_info=True)
