"""All there is, at once, with faults in between: what a server holds does not grow, and it lets go of all of it."""

import json
import random
import re
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from operator import add, gt
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from bench.load import resident_bytes
from tests.effort import MIXED_S
from tests.faults.faces import AT_THE_GATE, post, service
from tests.faults.figures import POSTGRESQL, SQLITE, Fault, Figures
from tests.faults.leaving import leave
from tests.faults.load import Load, pressed
from tests.faults.postgres import clustered
from tests.faults.servers import PATIENCE_S, Server, quiet_port
from tests.faults.traced import failing
from tests.faults.trials import Place, standing
from tests.faults.wires import Wire

SAMPLE_EVERY_S = 1.0
FAULT_EVERY_S = 15.0
GROWTH, GROWTH_BYTES = 1.2, 24 << 20
"""What may come on top until the end: memories that fill, and what the allocator keeps."""
QUERIES = (
    "{ tokens(first: 50) { nodes { id name state owner { name } } } }",
    "{ auditEntries(first: 50) { nodes { sequence at before after } } }",
    "{ members(first: 10) { nodes { id name tokens(first: 5) { nodes { id } } } } }",
    "{ viewer { account { key } member { id } } }",
)
FOLLOW = "subscription { auditEntryRecorded { sequence } }"
Work = Callable[[], object]


def asked(server: Server, owner: str) -> Work:
    return lambda: post(server.url, random.choice(QUERIES), owner)  # noqa: S311 - no secret


def fetched(server: Server, path: str, credential: str, body: str | None = None, *, whole: bool = True) -> None:
    """Ask over HTTP, and read the answer, or only its beginning."""
    kind = "application/x-www-form-urlencoded"
    headers = {"Authorization": credential, "Content-Type": kind}
    request = urllib.request.Request(f"{server.url}{path}", body.encode() if body else None, headers)  # noqa: S310 - our own
    with suppress(OSError, HTTPException), urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
        answer.read(-1 if whole else 1000)


def judged(server: Server, load: Load, verifier: str) -> Work:
    """Ask at the gate, and about a token, as a proxy and a service do."""

    def work() -> None:
        made = list(load.made.values())[-100:]
        if made:
            secret = random.choice(made).secret  # noqa: S311 - as above
            fetched(server, AT_THE_GATE, f"Bearer {secret}")
            fetched(server, "/oauth2/introspect", f"Bearer {verifier}", f"token={secret}")

    return work


def exported(server: Server, owner: str) -> Work:
    """Take a file, or leave in the middle of it."""
    paths = ("/tokens/export.csv", "/audit/export.jsonl")
    return lambda: fetched(server, random.choice(paths), owner, whole=random.random() < 0.3)  # noqa: S311 - as above


def followed(server: Server, owner: str) -> Work:
    """Follow the log for a moment, and leave with or without a word."""

    def work() -> None:
        place = f"{server.url.replace('http', 'ws')}/graphql"
        with (
            suppress(OSError, WebSocketException),
            connect(place, subprotocols=[Subprotocol("graphql-transport-ws")], close_timeout=1) as client,
        ):
            client.send(json.dumps({"type": "connection_init", "payload": {"authorization": owner}}))
            client.recv(PATIENCE_S)
            for number in range(5):
                client.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": FOLLOW}}))
            with suppress(TimeoutError):
                for _ in range(10):
                    client.recv(1.0)
            if random.random() < 0.5:  # noqa: S311 - as above
                client.socket.shutdown(socket.SHUT_RDWR)

    return work


def bad(server: Server) -> Work:
    """Send what no client should."""
    sent = (
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nnot json!",
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        b"GET /authz/main:absent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer lkp_nothing\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000,
    )

    def work() -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(random.choice(sent))  # noqa: S311 - as above
            client.settimeout(0.2)
            client.recv(1000)

    return work


def mixed(server: Server, load: Load, secrets: Sequence[str]) -> list[Work]:
    """Make one of each of all that is asked, with credentials of their own: each may ask for so much at once."""
    return [
        *(asked(server, secrets[0]), asked(server, secrets[1]), exported(server, secrets[2]), bad(server)),
        *(judged(server, load, secrets[3]), followed(server, secrets[4]), followed(server, secrets[4])),
        lambda: leave(server.url, secrets[5], 5),
    ]


@contextmanager
def over_and_over(works: Sequence[Work], pause_s: float = 0.05) -> Iterator[None]:
    """Do each of these again and again, until this ends."""
    over = threading.Event()

    def run(work: Work) -> None:
        while not over.wait(pause_s):
            work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not any(thread.is_alive() for thread in threads)


class Held(NamedTuple):
    """How much of what has to be let go of again a server holds."""

    descriptors: int = 0
    threads: int = 0
    tasks: int = 0

    @classmethod
    def by(cls, server: Server) -> "Held":
        """Look at a server that serves its metrics."""
        threads = len(list(Path(f"/proc/{server.pid}/task").iterdir()))
        port = server.settings["LATCHKEY_METRICS_PORT"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            [tasks] = re.findall(rb"^latchkey_asyncio_tasks (\S+)$", answer.read(), re.MULTILINE)
        return cls(server.descriptors, threads, int(float(tasks)))

    @classmethod
    def by_idle(cls, server: Server) -> "Held":
        """Look at one that nobody asks any more, for a while, and take the least of each."""
        seen = [cls.by(server)]
        for _ in range(20):
            time.sleep(0.1)
            seen.append(cls.by(server))
        return cls(*map(min, zip(*seen, strict=True)))

    def exceeds(self, most: "Held") -> bool:
        """Say whether there is more of anything."""
        return any(map(gt, self, most))


SPARE = Held(descriptors=10, threads=6, tasks=3)
"""What may come on top of what an idle server held before: pools that have grown, and what begins now and then."""


def calm(server: Server, idle: Held) -> None:
    """Wait until a server that nobody asks any more holds no more than before."""
    most, until = Held(*map(add, idle, SPARE)), time.monotonic() + PATIENCE_S
    while (held := Held.by(server)).exceeds(most):
        assert time.monotonic() < until, (held, idle)
        time.sleep(0.1)


def flat(resident: Sequence[int]) -> None:
    """Require that memory has not grown since it was warm."""
    fifth = len(resident) // 5
    warm, end = statistics.median(resident[fifth : 2 * fifth]), statistics.median(resident[-fifth:])
    assert end <= warm * GROWTH + GROWTH_BYTES, [size >> 20 for size in resident[:: max(1, len(resident) // 40)]]


@pytest.mark.soak
@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_what_a_server_holds_does_not_grow(database: str, tmp_path: Path) -> None:
    settings = {"LATCHKEY_METRICS_PORT": str(quiet_port())}
    figures = Figures(Fault.MIXED, database, f"{MIXED_S // 60} minutes")
    with ExitStack() as stack:
        if database == POSTGRESQL:
            cluster = stack.enter_context(clustered())
            settings["LATCHKEY_DATABASE_URL"] = cluster.url
            faults: tuple[Callable[[Load], object], ...] = (
                partial(wire_fault, cluster.wire, cluster.wire.cut),
                partial(wire_fault, cluster.wire, cluster.wire.freeze),
                lambda _: cluster.restart("fast"),
                lambda _: cluster.crash(),
            )
        place = stack.enter_context(standing(tmp_path / "data", **settings))
        server, owner = place.server, place.owner
        if database == SQLITE:
            faults = tuple(disk_fault(place, *fault) for fault in (("pwrite64", "ENOSPC"), ("fdatasync", "EIO")))
        secrets = [service(server.url, owner) for _ in range(6)]
        with pressed([server.url], owner) as load:
            for work in mixed(server, load, secrets):
                work()
        idle = Held.by_idle(server)
        resident: list[int] = []
        begin_s = time.monotonic()
        with pressed([server.url], owner) as load:
            with over_and_over(mixed(server, load, secrets)):
                next_s = begin_s + FAULT_EVERY_S
                while (now_s := time.monotonic()) < begin_s + MIXED_S:
                    time.sleep(SAMPLE_EVERY_S)
                    resident.append(resident_bytes(server.pid))
                    if now_s > next_s:
                        random.choice(faults)(load)  # noqa: S311 - no secret
                        over_s = time.monotonic()
                        figures.recovered_s.append(load.until_acknowledged(3, over_s) - over_s)
                        figures.runs += 1
                        next_s = time.monotonic() + FAULT_EVERY_S
            found = load.checked()
            figures.acknowledged = len(load.acknowledged)
            figures.lost, figures.undone = len(found.lost), len(found.undone)
            assert found == ((), ())
        calm(server, idle)
        flat(resident)
    figures.keep()


def wire_fault(wire: Wire, break_it: Callable[[], None], load: Load) -> None:
    break_it()
    load.until_refused()
    wire.mend()


def disk_fault(place: Place, calls: str, error: str) -> Callable[[Load], object]:
    def fault(load: Load) -> None:
        with failing(place.server.pid, calls, error, [place.file, place.wal]):
            load.until_refused()

    return fault
