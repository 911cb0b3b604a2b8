"""The audit log over a real WebSocket: whoever is cut off again and again sees every entry once, and in order."""

import asyncio

from websockets.asyncio.client import ClientConnection, connect

from models import AuditEntry, AuditHead
from resolvers import entries, members
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from tests.web.conftest import serving
from tests.web.test_sockets import INIT, PROTOCOL, hear, say, subscribe

FOLLOW = "subscription ($after: String) { auditEntryRecorded(after: $after) { sequence cursor } }"
ENTRIES = 150
"""Of which connections see one and two by turns, so that there are a hundred of them."""


async def read(socket: ClientConnection, secret: str, after: str, most: int) -> list[tuple[int, str]]:
    """Follow from a cursor on, and take so many entries."""
    await say(socket, {**INIT, "payload": {"authorization": f"Bearer {secret}"}})
    assert await hear(socket) == [{"type": "connection_ack"}]
    await say(socket, subscribe("1", FOLLOW, variables={"after": after}))
    told = [(await hear(socket))[0]["payload"]["data"]["auditEntryRecorded"] for _ in range(most)]
    return [(entry["sequence"], entry["cursor"]) for entry in told]


async def test_who_is_cut_off_a_hundred_times_sees_every_entry_once_and_in_order(organisation: Organisation) -> None:
    assert organisation.owner.token
    assert organisation.owner.member
    secret, member_id = organisation.secrets[str(organisation.owner.token.id)], organisation.owner.member.id
    first = await AuditHead.get(account_id=organisation.account.id)
    begin = await AuditEntry.get(sequence=first.sequence)
    last = first.sequence + ENTRIES

    async def write() -> None:
        for number in range(ENTRIES):
            await members.update(organisation.owner, member_id, f"Name {number}", Said())

    seen, cuts, cursor, during = [first.sequence], 0, entries.cursor(begin), 0
    async with serving(assembled(Settings(), organisation.house)) as server, asyncio.timeout(120):
        writing = asyncio.create_task(write())
        while seen[-1] < last:
            async with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as socket:
                told = await read(socket, secret, cursor, 1 + cuts % 2)
                seen += [sequence for sequence, _ in told]
                cursor = told[-1][1]
                socket.transport.abort()  # with whatever is under way
            cuts += 1
            during += not writing.done()
        await writing
    assert seen == list(range(first.sequence, last + 1))
    assert cuts == 100
    assert during >= 10  # entries were written meanwhile
