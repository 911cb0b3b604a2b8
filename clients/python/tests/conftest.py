"""A real Latchkey serving its demo, a token that may verify, and real applications behind the middleware."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastapi
import httpx2
import pytest
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute
from starlette.types import Lifespan
from starlette.websockets import WebSocket

from latchkey_client import AsyncLatchkey, Latchkey
from latchkey_client.asgi import LatchkeyMiddleware

ROOT = Path(__file__).parents[3]
MAKE = "mutation ($input: CreateTokenInput!) { createToken(input: $input) { secret token { id } } }"
RULES = [
    ("GET", "/projects/{project}", "viewProject", "proj/{project}"),
    ("PUT", "/projects/{project}/flags/{flag}", "updateOn", "proj/{project}:env/production:flag/{flag}"),
    ("DELETE", "/projects/{project}/flags/{flag}", "updateOn", "proj/{project}:env/production:flag/{flag}"),
    ("DELETE", "/projects/{project}/flags/{flag}", "deleteFlag", "proj/{project}:env/production:flag/{flag}"),
    ("WEBSOCKET", "/projects/{project}/feed", "viewProject", "proj/{project}"),
]
PUBLIC = [("GET", "/health"), ("GET", "/projects/{any}")]


@dataclass(frozen=True, slots=True)
class Made:
    """A token that a test made."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo, and a live secret of each kind."""

    process: subprocess.Popen[str]
    url: str
    secrets: dict[str, str]

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask as the owner's token."""
        headers = {"Authorization": self.secrets["owner"]}
        answer = httpx2.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, headers=headers)
        said = answer.json()
        assert "errors" not in said, said
        return said["data"]

    def make(self, kind: str, *statements: tuple[str, str], expires_in_s: float | None = None) -> Made:
        """Make a token that may do these actions on these resources."""
        allowed = [{"effect": "ALLOW", "actions": [action], "resources": [on]} for action, on in statements]
        until = datetime.now(UTC) + timedelta(seconds=expires_in_s) if expires_in_s else None
        wanted = {"kind": kind, "name": "of a test", "scope": {"statements": allowed}}
        made = self.ask(MAKE, input={**wanted, "expiresAt": until.isoformat() if until else None})["createToken"]
        return Made(made["token"]["id"], made["secret"])

    def revoke(self, token: Made) -> None:
        self.ask("mutation ($id: ID!) { revokeToken(input: { id: $id }) { token { state } } }", id=token.id)

    def live_for(self, lifetime_s: int) -> None:
        """Let integrations keep verdicts for so long."""
        self.ask(
            "mutation ($s: Int!) { updateAccount(input: { verdictLifetimeS: $s }) { account { key } } }", s=lifetime_s
        )


@contextmanager
def started(folder: Path) -> Iterator[Demo]:
    """Start a demo in a process of its own."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("LATCHKEY_", "PYTHON"))}
    log = folder / "log"
    with (
        log.open("w") as err,
        subprocess.Popen(
            [ROOT / ".venv" / "bin" / "python", ROOT / "server.py", "--demo", "--json", "--port", "0"],
            env={**given, "LATCHKEY_DATA_DIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as process,
    ):
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            told = json.loads(line)
            yield Demo(process, told["url"], told["secrets"])
        finally:
            process.kill()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with started(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def demo(running: Demo) -> Iterator[Demo]:
    """The demo, whose account lets no verdict live unless the test says so."""
    yield running
    running.live_for(0)


@pytest.fixture(scope="session")
def verifier(running: Demo) -> Made:
    """The token of an integration: it may verify, and nothing else."""
    return running.make("SERVICE", ("verifyAccessToken", "acct"))


@pytest.fixture
def latchkey(running: Demo, verifier: Made) -> Iterator[Latchkey]:
    with Latchkey(running.url, verifier.secret) as client:
        yield client


@pytest.fixture
async def async_latchkey(running: Demo, verifier: Made) -> AsyncIterator[AsyncLatchkey]:
    async with AsyncLatchkey(running.url, verifier.secret) as client:
        yield client


async def shown(request: Request) -> JSONResponse:
    token = request.scope["latchkey"]
    return JSONResponse({"name": token.name if token else None, **request.path_params})


async def feed(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.scope["latchkey"].name)
    await socket.close()


def with_starlette(lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health", shown),
            Route("/unspoken", shown),
            Route("/projects/{project}", shown),
            Route("/projects/{project}/flags/{flag}", shown, methods=["PUT", "DELETE"]),
            WebSocketRoute("/projects/{project}/feed", feed),
        ],
    )


def with_fastapi() -> Starlette:
    app = fastapi.FastAPI()
    app.get("/health")(shown)
    app.get("/unspoken")(shown)
    app.get("/projects/{project}")(shown)
    app.api_route("/projects/{project}/flags/{flag}", methods=["PUT", "DELETE"])(shown)
    app.websocket("/projects/{project}/feed")(feed)
    return app


def guarded(make: Callable[[], Starlette], client: AsyncLatchkey) -> httpx2.AsyncClient:
    """Put the middleware before an application; returns a client of it."""
    app = make()
    app.add_middleware(LatchkeyMiddleware, client=client, rules=RULES, public=PUBLIC)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app.example")


@pytest.fixture(params=[with_starlette, with_fastapi], ids=["starlette", "fastapi"])
async def app(request: pytest.FixtureRequest, async_latchkey: AsyncLatchkey) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a guarded application."""
    async with guarded(request.param, async_latchkey) as client:
        yield client
