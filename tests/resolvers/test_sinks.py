"""Signed heads arrive where they are sent, framed as the RFCs say."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from resolvers.sinks import SyslogSink

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


async def test_a_collector_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    for url in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/none"):
        with pytest.raises(OSError, match=r"."):
            await SyslogSink.parse(url).deliver(LINES)
