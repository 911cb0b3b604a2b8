"""Clients who ask and leave, at whatever moment, without waiting for an answer."""

import json
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.faults.load import CREATE
from tests.faults.servers import PATIENCE_S

AT_ONCE = 8
OPERATIONS = 50
"""How many operations are begun and ended on one WebSocket."""
_QUERY = "{ tokens(first: 50) { nodes { id name state owner { name } } } auditEntries(first: 50) { nodes { id } } }"
_AT_ONCE = struct.pack("ii", 1, 0)
"""Ends a connection without a farewell, as a process that is killed does."""


def leave(url: str, credential: str, count: int) -> None:
    """Send so many requests, whole ones and parts of one, and wait for no answer."""
    where = urlsplit(url)
    place = (where.hostname or "", where.port or 0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda _: _leave(place, credential), range(count)):
            pass


def _leave(place: tuple[str, int], credential: str) -> None:
    query = CREATE if random.random() < 0.1 else _QUERY  # noqa: S311 - no secret
    body = json.dumps({"query": query})
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: {credential}\r\n"
    asked = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    sent = len(asked) if random.random() < 0.8 else random.randrange(len(asked))  # noqa: S311 - as above
    with suppress(ConnectionError), socket.create_connection(place) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        client.sendall(asked[:sent])
        time.sleep(random.random() * 0.01)  # noqa: S311 - as above


def leave_sockets(url: str, credential: str, count: int) -> None:
    """Begin so many operations on WebSockets, end half of them, and leave with the others under way."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda _: _leave_socket(url, credential), range(count // OPERATIONS)):
            pass


def _leave_socket(url: str, credential: str) -> None:
    place = f"{url.replace('http', 'ws')}/graphql"
    with (
        suppress(ConnectionClosed),
        connect(place, subprotocols=[Subprotocol("graphql-transport-ws")], open_timeout=PATIENCE_S) as client,
    ):
        client.send(json.dumps({"type": "connection_init", "payload": {"authorization": credential}}))
        client.recv()
        for number in range(OPERATIONS):
            query = CREATE if random.random() < 0.1 else _QUERY  # noqa: S311 - no secret
            client.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": query}}))
            if number % 2:
                client.send(json.dumps({"id": str(number), "type": "complete"}))
        time.sleep(random.random() * 0.05)  # noqa: S311 - as above
