"""How refusals come to the log: beside requests, as one sealed entry for each caller, deed and window.

A crash may lose the window that is open. Nothing here changes an account's version, and the head of its log is the one
lock that is taken, for few entries at a time. There is room for so many entries an hour; one more says how many were
left out. While the disk is nearly full none is written, so that tokens can still be revoked.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID, uuid5

from core.folding import EVERYTHING
from core.ids import OBJECTS
from core.specifiers import pieces
from core.vocabulary import Action
from models import Account, ActorKind, AuditEntry, Member, Outcome, new_id, now
from models.database import outside_transaction
from resolvers import uses
from resolvers.callers import Caller, Request, with_credential
from resolvers.house import House
from resolvers.refusals import ANYTHING, Asked, Refusal, Rest, Summary, Whose
from resolvers.uses import NO_ACTION, Deed
from resolvers.writing import Line, Said, append_all, doing, done_with, opened

PAUSE_S = 1.0
"""How long between two looks at which windows are over."""
HOURLY = 1_000
"""How many entries of refusals an account's log takes within an hour, from all processes together."""
STRANGERS = frozenset({ActorKind.PASSWORD, ActorKind.OIDC})
"""With what somebody signs in of whom nobody knows who they are until they have."""
STRANGERS_HOURLY = 300
"""How many of them may be of failures to sign in, which anybody can bring about."""
BATCH = 50
"""How many are written in one transaction, which holds up all others of the account."""

_log = logging.getLogger(__name__)


Whence = tuple[str, str | None, str | None]
"""A request's id, empty if it is not known, its address and its program."""


def refusal(caller: Caller, actions: Sequence[str], specifier: str, whence: Whence | None = None) -> Refusal:
    """Say what a caller is refused, to be noted as often as it happens. `whence` is that of the caller's request."""
    columns = doing(caller)
    if whence is not None:
        columns |= zip(("request_id", "address", "user_agent"), whence, strict=True)
    whose = Whose(caller.account, (caller.token or caller.member or caller.account).id, columns)
    return Refusal(caller.request.house.refusals, whose, Asked(tuple(actions), specifier))


def refusal_of(caller: Caller, deeds: Sequence[Deed], whence: Whence | None = None) -> Refusal | None:
    """Say what a caller is refused whose token was presented for a deed; None if nothing, or nothing with a name."""
    for deed in deeds:
        if deed.outcome is uses.Outcome.REFUSED and deed.action != NO_ACTION:
            named = ":".join(piece.partition(";")[0] for piece in pieces(deed.specifier))  # the log has no tags
            return refusal(caller, (deed.action,), named, whence)
    return None


def sign_in(request: Request, account: Account, member: Member | None, kind: ActorKind = ActorKind.PASSWORD) -> Refusal:
    """Say that somebody failed to sign in as a member. If it was as none, whom they named is not kept.

    It may be a password, typed into the wrong field.
    """
    crowd = Whose(account, uuid5(account.id, f"signIn {kind}"), done_with(kind, Request(request.house, "")))
    columns = done_with(kind, request)
    whose = Whose(account, uuid5(account.id, f"signIn {kind} {request.address}"), columns, crowd)
    asked = Asked((Action.CREATE_SESSION.value,), str((member or account).resource))
    return Refusal(request.house.refusals, whose, asked)


@asynccontextmanager
async def refusing(house: House) -> AsyncIterator[None]:
    """Write what was refused about a second after its window is over, and all of it at the end."""
    ending = asyncio.Event()
    writing = asyncio.create_task(_write_until(ending, house), context=outside_transaction())
    try:
        yield
    finally:
        ending.set()  # never cancelled: nobody could say what had been written
        await writing
        await record(house, all_=True)


async def _write_until(ending: asyncio.Event, house: House) -> None:
    while not ending.is_set():
        try:
            async with asyncio.timeout(PAUSE_S):
                await ending.wait()
        except TimeoutError:
            await record(house)


async def record(house: House, *, all_: bool = False) -> None:
    """Write the windows that are over, or all. What cannot be written now is kept for another window."""
    taken = house.refusals.take(all_=all_)
    by_account = sorted(taken, key=lambda window: window.whose.account.id)  # stable: what is little stays first
    for _, windows in groupby(by_account, key=lambda window: window.whose.account.id):
        await _record(house, [summary for window in windows for summary in window.summaries()])
    for rest in house.refusals.take_rests(all_=all_):
        await _record_rest(house, rest)


async def _record(house: House, summaries: list[Summary]) -> None:
    left = summaries[::-1]
    try:
        if not _may_write(house):
            for each in summaries:
                house.refusals.leave(each.whose.account, each.span)
            return
        caller = await _system(house, summaries[0].whose.account)
        while left:
            some = left[-BATCH:][::-1]
            beyond = await _write(caller, some)
            del left[-len(some) :]
            for each in beyond:
                house.refusals.leave(each.whose.account, each.span)
    except Exception:  # noqa: BLE001 - whatever the database says, a later round tries again
        _log.warning("refusals could not be recorded; they are kept", exc_info=True)
        for each in left:
            house.refusals.add(each)


async def _record_rest(house: House, rest: Rest) -> None:
    try:
        if _may_write(house):
            caller = await _system(house, rest.account)
            nobody = Whose(rest.account, rest.account.id, doing(caller))
            async with opened(caller, Said()) as (fresh, head):
                await append_all(fresh, head, [_line(Summary(nobody, Asked(ANYTHING, EVERYTHING), rest.span))])
            return
    except Exception:  # noqa: BLE001 - as above
        _log.warning("the number of refusals could not be recorded; it is kept", exc_info=True)
    house.refusals.leave(rest.account, rest.span)


def _may_write(house: House) -> bool:
    """Say whether there is room on the disk. Of a server of PostgreSQL only the server knows."""
    free_bytes = house.database.free_bytes()
    if free_bytes is None or free_bytes >= house.disk_floor_bytes:
        return True
    _log.warning("refusals are not recorded: the disk of the database is nearly full, %s bytes are free", free_bytes)
    return False


async def _system(house: House, account: Account) -> Caller:
    return await with_credential(account, Request(house, str(new_id())), ActorKind.SYSTEM)


async def _write(caller: Caller, summaries: Sequence[Summary]) -> list[Summary]:
    """Seal so many of these as the hour has room for, and give the others."""
    async with opened(caller, Said()) as (fresh, head):
        room, strangers = await _room(caller.account.id)
        fitting, beyond = list[Summary](), list[Summary]()
        for each in summaries:
            is_stranger = each.whose.columns["actor_kind"] in STRANGERS
            fits = len(fitting) < room and (strangers > 0 or not is_stranger)
            strangers -= fits and is_stranger
            (fitting if fits else beyond).append(each)
        await append_all(fresh, head, map(_line, fitting))
    return beyond


async def _room(account_id: UUID) -> tuple[int, int]:
    """Count for how many entries of refusals the hour still has room, and how many may be of strangers."""
    since = now().replace(minute=0, second=0, microsecond=0)
    refused = AuditEntry.filter(account_id=account_id, outcome=Outcome.REFUSED).order_by("-sequence").limit(HOURLY)
    written = [entry.actor_kind for entry in await refused.only("at", "actor_kind") if entry.at >= since]
    return HOURLY - len(written), STRANGERS_HOURLY - sum(kind in STRANGERS for kind in written)


def _line(summary: Summary) -> Line:
    whose, asked, span = summary
    kind, target_id, resource, name = _target(whose.account, asked.specifier)
    request_id = whose.columns["request_id"] or str(new_id())
    return Line(
        target_kind=kind,
        target_id=target_id,
        target_resource=resource,
        target_name=name,
        target_member_id=target_id if kind == "member" and whose.columns["actor_kind"] in STRANGERS else None,
        accesses=[{"action": action, "resource": asked.specifier} for action in asked.actions],
        because=[],
        after={"count": span.count, "first": _time(span.first_s), "last": _time(span.last_s)},
        reported={**whose.columns, "request_id": request_id, "outcome": Outcome.REFUSED},
    )


def _target(account: Account, specifier: str) -> tuple[str, UUID, str, str]:
    """Tell what was asked about, by its words alone: kind, id, resource, name. What is no one thing is the account."""
    kind, _, name = specifier.rpartition(":")[2].partition("/")
    if "*" not in specifier:
        try:
            return kind, UUID(name), specifier, specifier
        except ValueError:
            if kind not in OBJECTS and name:
                return kind, uuid5(account.id, specifier), specifier, name[:320]
    return "acct", account.id, str(account.resource), account.label


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
