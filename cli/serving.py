"""An ASGI application behind a listening socket, until a signal ends it."""

import asyncio
import gc
import multiprocessing
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

GRACE_S = 10
"""How long requests under way may go on after SIGTERM."""
PING_S = 20
"""How often a WebSocket is pinged, and how long it may take to answer."""
BACKLOG = 2048
PATIENCE_S = 60
"""How long a process may take until it answers."""
_ANY = {"0.0.0.0": "localhost", "::": "localhost"}  # noqa: S104 - compared with, not listened on


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


async def serve(
    app: ASGIApp,
    protocol: type[asyncio.Protocol],
    listening: socket.socket,
    frame_limit_bytes: int,
    answers: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM, and come back. `answers` is called once, when requests are answered."""
    config = _config(app, protocol, frame_limit_bytes)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _nothing_more)  # uvicorn sends the signal again once it has shut down
    await _Server(config, answers).serve([listening])


def serve_from_many(  # noqa: PLR0913, PLR0917 - as `serve`
    app: ASGIApp,
    protocol: type[asyncio.Protocol],
    listening: socket.socket,
    frame_limit_bytes: int,
    answers: Callable[[], None],
    workers: int,
) -> bool:
    """Serve from several processes until SIGINT or SIGTERM; says whether they ended because of that.

    Each gets a copy of `app`, whose lifespan opens what it needs. One that dies is replaced; SIGHUP replaces all, one
    after the other. What is being answered is answered; a connection that has not asked yet may be closed.
    """
    supervisor = _Supervisor(_config(app, protocol, frame_limit_bytes, workers), listening, answers)
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
    """Leave all that stands now out of the collector's walks: it stands to the end."""
    gc.collect()
    gc.freeze()


def _config(app: ASGIApp, protocol: type[asyncio.Protocol], frame_limit_bytes: int, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        ws="websockets-sansio",
        ws_max_size=frame_limit_bytes,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        lifespan="on",
        workers=workers,
        timeout_worker_healthcheck=PATIENCE_S,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe about addresses, `web.proxies` knows
        timeout_graceful_shutdown=GRACE_S,
    )


class _Supervisor(Multiprocess):
    """Uvicorn's supervisor, which tells when all processes answer."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, answers: Callable[[], None]) -> None:
        super().__init__(config, [listening])
        self._answers = answers

    def init_processes(self) -> None:
        """Start, then tell."""
        super().init_processes()
        if all(process.wait_until_ready(PATIENCE_S, self.should_exit) for process in self.processes):
            self._answers()


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
