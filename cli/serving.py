"""An ASGI application behind a listening socket, until a signal ends it."""

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from uvicorn.supervisors import Multiprocess

from resolvers.background import beside

PING_S = 20
"""How often a WebSocket is pinged, and how long it may take to answer."""
BACKLOG = 2048
PATIENCE_S = 60
"""How long a process may take until it answers."""
PAUSE_S = 0.2
"""How often a port that is taken is tried again."""
HEAD_S = 5.0
"""How long a client may take to ask a server that is not ready yet."""
COLLECTING = (700, 10, 500)
"""How often the collector walks what is new, what is not so new, and all. What lasts, such as documents, is hundreds of
thousands of objects in no circle, which a walk finds nothing in and takes 100 ms for."""
SWITCH_S = 0.0005
"""For how long a thread that reads documents or rows keeps the event loop waiting, ten times less than usual."""
_ANY = {"0.0.0.0": "localhost", "::": "localhost"}  # noqa: S104 - compared with, not listened on
_ENDING = (signal.SIGINT, signal.SIGTERM)
_UP = "200 OK", "", "ok\n"
_MIGRATING = "503 Service Unavailable", "Retry-After: 1\r\n", "the database is being migrated\n"

Protocols = tuple[type[asyncio.Protocol], type[asyncio.Protocol]]
"""HTTP's, and that of WebSockets."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a frame of a WebSocket may be, and how long requests under way may go on once the end has begun."""

    frame_bytes: int
    grace_s: int


class Ending:
    """The end of a process: it begins with the first SIGINT or SIGTERM.

    For `delay_s` all is answered as ever, and only readiness says so; then no connection is taken any more. A second
    signal ends the process at once, unless it has a supervisor, of whom that one came. One that is being replaced hears
    of it by SIGHUP beforehand: another is ready in its place, so that nobody has to be told.
    """

    def __init__(self, delay_s: float, *, supervised: bool = False) -> None:
        self.begun = False
        self._delay_s = delay_s
        self._supervised = supervised
        self._replaced = False

    def await_signals(self) -> None:
        """Hear of signals before uvicorn, which has taken them by the time its lifespan starts."""
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            signal.signal(number, partial(self._hear, loop, signal.getsignal(number)))
        if self._supervised:
            signal.signal(signal.SIGHUP, self._give_way)

    def _give_way(self, *_: object) -> None:
        self._replaced = True

    def _hear(self, loop: asyncio.AbstractEventLoop, then: Any, number: int, _: FrameType | None) -> None:  # noqa: ANN401 - a handler, as `signal` has it
        if self._replaced:
            then(number, None)
        elif not self.begun:
            self.begun = True
            loop.call_soon_threadsafe(loop.call_later, self._delay_s, then, number, None)
        elif not self._supervised:
            _die(number)


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def listening(host: str, port: int) -> tuple[socket.socket, str]:
    """Listen, so that from here on whoever connects is answered in the end; returns the address as a URL as well.

    Raises OSError saying where.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise OSError(f"cannot listen on {host}, port {port}: {why}") from None
    shown = _ANY.get(host, f"[{host}]" if ":" in host else host)
    return listening, f"http://{shown}:{listening.getsockname()[1]}"


@asynccontextmanager
async def migrating(listening: socket.socket) -> AsyncIterator[None]:
    """Tell whoever asks meanwhile that the process is up, and not ready."""
    server = await asyncio.start_server(_tell, sock=listening.dup())
    try:
        yield
    finally:
        server.close()


async def _tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
            status, more, text = _UP if head.startswith(b"GET /healthz ") else _MIGRATING
            told = f"Connection: close\r\nCache-Control: no-store\r\nContent-Length: {len(text)}\r\n"
            writer.write(f"HTTP/1.1 {status}\r\n{told}{more}Content-Type: text/plain\r\n\r\n{text}".encode())
            await writer.drain()
    writer.close()


async def serve(
    app: ASGIApp,
    protocols: Protocols,
    listening: socket.socket,
    bounds: Bounds,
    answers: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM, and come back. `answers` is called once, when requests are answered."""
    config = _config(app, protocols, bounds)
    for number in _ENDING:
        signal.signal(number, _nothing_more)  # uvicorn sends the signal again once it has shut down
    await _Server(config, answers).serve([listening])


def serve_from_many(  # noqa: PLR0913, PLR0917 - as `serve`
    app: ASGIApp,
    protocols: Protocols,
    listening: socket.socket,
    bounds: Bounds,
    answers: Callable[[], None],
    workers: int,
) -> bool:
    """Serve from several processes until SIGINT or SIGTERM; says whether they ended because of that.

    Each gets a copy of `app`, whose lifespan opens what it needs. One that dies is replaced; SIGHUP replaces all, one
    after the other. What is being answered is answered; a connection that has not asked yet may be closed. A second
    signal ends all of them at once.
    """
    supervisor = _Supervisor(_config(app, protocols, bounds, workers), listening, answers)
    supervisor.run()
    return not any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)


def end_with_supervisor() -> None:
    """Have this worker end as by SIGTERM when its supervisor is gone, however that ended."""
    loop, supervisor = asyncio.get_running_loop(), multiprocessing.parent_process()
    assert supervisor is not None  # noqa: S101 - called by workers

    def end() -> None:
        loop.remove_reader(supervisor.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(supervisor.sentinel, end)


def settle() -> None:
    """Leave all that stands now out of the collector's walks: it stands to the end.

    What comes is walked whole rarely, and no thread keeps the event loop waiting for long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTING)
    sys.setswitchinterval(SWITCH_S)


def _config(app: ASGIApp, protocols: Protocols, bounds: Bounds, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocols[0],
        ws=protocols[1],
        ws_max_size=bounds.frame_bytes,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        lifespan="on",
        workers=workers,
        timeout_worker_healthcheck=PATIENCE_S,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe about addresses, `web.proxies` knows
        timeout_graceful_shutdown=bounds.grace_s,
    )


class _Supervisor(Multiprocess):
    """Uvicorn's supervisor, which tells when all processes answer, and ends at once where it is told twice."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, answers: Callable[[], None]) -> None:
        super().__init__(config, [listening])
        self._answers = answers
        self._told = False
        for number in _ENDING:
            signal.signal(number, self._hear)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self._told:
            for process in self.processes:
                process.process.kill()
            _die(number)
        self._told = True
        self.signal_queue.append(number)

    def init_processes(self) -> None:
        """Start, then tell."""
        super().init_processes()
        if all(process.wait_until_ready(PATIENCE_S, self.should_exit) for process in self.processes):
            self._answers()

    def restart_all(self) -> None:
        """Replace all processes, one after the other."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)
        super().restart_all()

    def terminate_all(self) -> None:
        """Tell all processes to end; once they all have stopped listening, whoever connects is refused."""
        super().terminate_all()
        for listening in self.sockets:
            listening.close()


def _nothing_more(*_: object) -> None:
    """Let the end go on: the database is still to be closed."""


class _Server(uvicorn.Server):
    """Uvicorn's server, which tells when it answers."""

    def __init__(self, config: uvicorn.Config, answers: Callable[[], None]) -> None:
        super().__init__(config)
        self._answers = answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        settle()
        self._answers()


@asynccontextmanager
async def served_aside(
    app: ASGIApp, host: str, port: int, processes: int, answers: Callable[[str], None]
) -> AsyncIterator[None]:
    """Serve a small application beside the one that is served, for as long as this is open.

    Of many processes each has one of as many ports; one that takes the place of another waits for that one's. `answers`
    is called with the address. Raises OSError if there is one process and its port is taken.
    """
    first = listening(host, port) if processes == 1 else None
    async with beside(_serve_aside(app, first, host, range(port, port + processes) if port else (0,), answers)):
        yield


async def _serve_aside(
    app: ASGIApp,
    found: tuple[socket.socket, str] | None,
    host: str,
    ports: Sequence[int],
    answers: Callable[[str], None],
) -> None:
    while found is None:
        found = _first_free(host, ports)
        if found is None:
            await asyncio.sleep(PAUSE_S)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpToolsProtocol(config, state, {}, loop), sock=found[0])
    answers(found[1])
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


def _first_free(host: str, ports: Sequence[int]) -> tuple[socket.socket, str] | None:
    for port in ports:
        with suppress(OSError):
            return listening(host, port)
    return None
