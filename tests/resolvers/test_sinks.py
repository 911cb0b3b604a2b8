"""Signed heads arrive where they are sent, framed as the RFCs say."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from fcntl import LOCK_EX, flock
from pathlib import Path
from uuid import UUID

import pytest

from models import SignedHead
from resolvers import heads
from resolvers.house import House
from resolvers.sinks import FileSink, SyslogSink
from tests.organisation import Organisation, founded

LINES = [b'{"head":{"sequence":1}}', b'{"head":{"sequence":2}}']
MESSAGE = re.compile(rb"<109>1 \d{4}-\d\d-\d\dT[\d:.]+\+00:00 \S+ latchkey \d+ audit-head - (.*)")


def texts(messages: list[bytes]) -> list[bytes]:
    found = [MESSAGE.fullmatch(message) for message in messages]
    return [match[1] for match in found if match]


def datagrams(connection: socket.socket) -> list[bytes]:
    connection.settimeout(10)
    return [connection.recv(4096) for _ in LINES]


async def test_over_udp_each_head_is_a_datagram() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as collector:
        collector.bind(("127.0.0.1", 0))
        await SyslogSink.parse(f"udp://127.0.0.1:{collector.getsockname()[1]}").deliver(LINES)
        assert texts(datagrams(collector)) == LINES


async def test_at_a_unix_socket_too(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as collector:
        collector.bind(str(tmp_path / "log"))
        await SyslogSink.parse(f"unix://{tmp_path}/log").deliver(LINES)
        assert texts(datagrams(collector)) == LINES


async def test_over_tcp_octets_are_counted() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as collector:
        gathered = bytearray()
        thread = threading.Thread(target=gather(collector, gathered))
        thread.start()
        await SyslogSink.parse(f"tcp://127.0.0.1:{collector.getsockname()[1]}").deliver(LINES)
        thread.join(10)
    messages, rest = [], bytes(gathered)
    while rest:
        length, _, rest = rest.partition(b" ")
        messages.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert texts(messages) == LINES


def gather(collector: socket.socket, gathered: bytearray) -> Callable[[], None]:
    def run() -> None:
        connection, _ = collector.accept()
        with closing(connection):
            while received := connection.recv(4096):
                gathered.extend(received)

    return run


async def test_places_that_do_not_answer_leave_threads_to_all_else(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    path.touch()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    with path.open("ab") as held:
        flock(held, LOCK_EX)
        waiting = [asyncio.create_task(FileSink(path).deliver([line])) for line in LINES]
        await asyncio.sleep(0.05)
        await asyncio.wait_for(asyncio.to_thread(path.exists), 10)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert sorted(path.read_bytes().splitlines()) == LINES


async def test_a_collector_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    for url in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/none"):
        with pytest.raises(OSError, match=r"."):
            await SyslogSink.parse(url).deliver(LINES)


@dataclass
class Choosy:
    """A sink that refuses the heads of some accounts."""

    refused: set[UUID] = field(default_factory=set)
    longest: None = None

    async def deliver(self, lines: Sequence[bytes]) -> None:
        if any(str(each).encode() in line for each in self.refused for line in lines):
            raise OSError("not this one")


async def delivered() -> dict[UUID, bool]:
    return {head.account_id: head.delivered_at is not None for head in await SignedHead.all()}


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_sink_that_refuses_an_account_or_all_keeps_no_head_from_being_signed_and_no_other_from_it(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, is_down: bool
) -> None:
    monkeypatch.setattr(heads, "PAUSE_S", 0)
    other = await founded(organisation.house.database, "other", organisation.house)
    first, second = sorted([organisation.account, other.account], key=lambda account: account.id)
    sink = Choosy({first.id, second.id} if is_down else {first.id})
    house = replace(organisation.house, sink=sink, heads_every_s=3600)
    for _ in range(2):
        await heads.sign_all(house)
        assert await delivered() == {first.id: False, second.id: not is_down}
    assert f"`{first.key}` could not be delivered; this is tried again: not this one" in caplog.text
    assert (f"`{second.key}`" in caplog.text) == is_down
    sink.refused = set()
    await heads.sign_all(house)
    assert await delivered() == {first.id: True, second.id: True}
    assert await SignedHead.all().count() == 2


async def test_an_account_whose_head_cannot_be_signed_keeps_no_other_waiting(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = await founded(organisation.house.database, "other", organisation.house)
    first, second = sorted([organisation.account, other.account], key=lambda account: account.id)
    sign = heads.sign

    async def signed(house: House, account_id: UUID, **wanted: object) -> SignedHead | None:
        assert account_id != first.id, "not this one"
        return await sign(house, account_id, **wanted)  # type: ignore[arg-type] # as they are given

    house = replace(organisation.house, sink=Choosy(), heads_every_s=3600)
    with monkeypatch.context() as patched:
        patched.setattr(heads, "sign", signed)
        await heads.sign_all(house)
    assert await delivered() == {second.id: True}
    assert f"the audit log of `{first.key}` got no signed head" in caplog.text
    await heads.sign_all(house)
    assert await delivered() == {first.id: True, second.id: True}
