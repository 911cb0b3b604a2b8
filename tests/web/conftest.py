"""A world, a client in process, and a real server for what only a real one can show."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from tests.web.house import ORIGIN, World, build


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
async def serving(app: Starlette, lifespan: Literal["on", "off"] = "on") -> AsyncIterator[str]:
    """Serve an application on a free port; gives `host:port`."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="error", ws="websockets-sansio", lifespan=lifespan, timeout_graceful_shutdown=1
    )
    running = Server(config)
    serving = asyncio.create_task(running.serve([listening]))
    await running.up.wait()
    yield "{}:{}".format(*listening.getsockname())
    running.should_exit = True
    await serving
    listening.close()


@pytest.fixture
async def server(world: World) -> AsyncIterator[str]:
    """Serve the application on a free port; yields `host:port`."""
    async with serving(build(world, init_timeout_s=0.2)) as server:
        yield server
