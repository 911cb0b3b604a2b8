"""A world, a client in process, and a real server for what only a real one can show."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from tests.web.house import ORIGIN, World, build
from web.limits import Limits


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=build(world))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"accept": "*/*"}) as client:
        yield client


class Server(uvicorn.Server):
    """A server that tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def serving(app: Starlette, lifespan: Literal["on", "off"] = "on", **options: Any) -> AsyncIterator[str]:
    """Serve an application on a free port, with more of uvicorn's options; gives `host:port`."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    usual = {"log_level": "error", "ws": "websockets-sansio", "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(app, lifespan=lifespan, **{**usual, **options})
    running = Server(config)
    serving = asyncio.create_task(running.serve([listening]))
    await running.up.wait()
    try:
        yield "{}:{}".format(*listening.getsockname())
    finally:
        running.should_exit = True
        await serving
        listening.close()


@pytest.fixture
async def server(world: World) -> AsyncIterator[str]:
    """Serve the application on a free port; yields `host:port`."""
    async with serving(build(world, limits=Limits(init_timeout_s=0.2))) as server:
        yield server


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, for as long as that may take on a busy machine."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.01)
