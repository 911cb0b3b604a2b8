"""Signed heads: made while the log grows, kept, and delivered to where the database's administrator cannot reach."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from core.signed import Kind, Statement
from core.slices import sliced
from core.vocabulary import Action
from models import Account, AuditHead, AuditStub, SignedHead, now
from models.row import plain
from resolvers.background import beside, over_and_over
from resolvers.callers import Caller
from resolvers.house import House
from resolvers.signatures import PublicKeys, Signer

PAUSE_S = 60.0
"""How long at most between two looks whether a head is due."""
BATCH = 100
"""How many heads of an account are delivered at once."""
AT_ONCE = 10
"""Of how many accounts heads are delivered side by side, as a sink may take long to say that it does not answer."""

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
    """Sign the heads of all accounts as they become due, if they ever do, and deliver them."""
    return beside(_sign_forever(house)) if house.heads_every_s else nullcontext()


async def _sign_forever(house: House) -> None:
    trouble = "heads of the audit logs could not be signed and delivered; this is tried again"
    await over_and_over(lambda: sign_all(house), min(PAUSE_S, house.heads_every_s / 4), _log, trouble)


async def sign_all(house: House) -> None:
    """Sign what is due, then deliver it. What fails is tried again the next time, and holds up no other account.

    All are signed before any is delivered: a head is worth what it is early, and a sink may keep everybody waiting.
    """
    accounts = await Account.all().order_by("id").only("id", "key")
    made = {account.id: await _signed(house, account) for account in accounts}
    for some in sliced(accounts, AT_ONCE):
        await asyncio.gather(*(_delivered(house, account, made[account.id]) for account in some))


async def _signed(house: House, account: Account) -> SignedHead | None:
    try:
        return await sign(house, account.id, every=timedelta(seconds=house.heads_every_s))
    except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
        _log.warning("the audit log of `%s` got no signed head; this is tried again", account.key, exc_info=True)
        return None


async def _delivered(house: House, account: Account, made: SignedHead | None) -> None:
    try:
        await deliver(house, account.id, made)
    except Exception as error:  # noqa: BLE001 - whatever the sink or the database says, the next round tries again
        trouble = "heads of the audit log of `%s` could not be delivered; this is tried again: %s"
        # What a sink says is all there is to it, and it may say that of every account.
        _log.warning(trouble, account.key, error, exc_info=not isinstance(error, OSError))
