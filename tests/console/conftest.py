"""A built console, a server of its own with an empty database, and a real Chromium that reports what goes wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    ViewportSize,
    WebSocket,
    expect,
    sync_playwright,
)

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "a door that nobody forgets"
OWNER = "owner@localhost"
PATIENCE_MS = 30_000
READY = re.compile(r"ready: (http://\S+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server whose owner has set a password."""

    url: str
    bearer: str

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask beside the browser, as the owner."""
        return _ask(self.url, query, variables or {}, self.bearer)

    def invite(self, email: str) -> str:
        """Invite a member; returns the link."""
        query = "mutation ($input: InviteMemberInput!) { inviteMember(input: $input) { inviteUrl } }"
        link: str = self.ask(query, {"input": {"email": email}})["inviteMember"]["inviteUrl"]
        return link


def _ask(url: str, query: str, variables: dict[str, Any], bearer: str | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    response = httpx2.post(f"{url}/graphql", json={"query": query, "variables": variables}, headers=headers)
    answer: dict[str, Any] = response.json()
    assert "data" in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


@pytest.fixture(scope="session")
def built() -> None:
    """The console, built from the sources as they are."""
    subprocess.run([sys.executable, str(ROOT / "console" / "build")], check=True)


@pytest.fixture(scope="module")
def server(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: ARG001 - it serves it
    """Start a server as a user would, and take the first link."""
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    given = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    with log.open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "server.py", "--port", "0"],
            cwd=ROOT,
            env={**given, "LATCHKEY_DATA_DIR": str(folder / "data")},
            stdout=out,
            stderr=out,
        )
    with running:
        try:
            url = ready(running, log)
            link = (folder / "data" / "sign-in-link.txt").read_text().strip()
            accepting = {"input": {"secret": link.rpartition("/")[2], "name": "Ada Okafor", "password": PASSWORD}}
            _ask(url, "mutation ($input: AcceptInviteInput!) { acceptInvite(input: $input) { __typename } }", accepting)
            entering = {"input": {"email": OWNER, "password": PASSWORD}}
            entered = _ask(url, "mutation ($input: SignInInput!) { signIn(input: $input) { secret } }", entering)
            yield Server(url, entered["signIn"]["secret"])
        finally:
            running.send_signal(signal.SIGTERM)


def ready(running: subprocess.Popen[bytes], log: Path) -> str:
    while running.poll() is None:
        if found := READY.search(log.read_text()):
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"the server ended before it was ready:\n{log.read_text()}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One headless Chromium for a module, whose tests are synchronous: its driver occupies the thread's event loop."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; `apt-get install chromium` brings one")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did that it should not have."""

    origin: str
    wrongs: list[str]

    def request(self, request: Request) -> None:
        self._reached(request.url)

    def socket(self, socket: WebSocket) -> None:
        self._reached(socket.url)

    def _reached(self, url: str) -> None:
        server = (f"{self.origin}/", f"{self.origin.replace('http', 'ws', 1)}/")
        if not url.startswith((*server, "data:", "blob:")):
            self.wrongs.append(f"reached {url}")

    def console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrongs.append(f"{message.type}: {message.text}")

    def error(self, error: Error) -> None:
        self.wrongs.append(f"uncaught: {error}")


Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def opened(chromium: Browser, server: Server) -> Opened:
    """Open a page in a browser of its own; at its end nothing may have gone wrong or outside but what was expected."""

    @contextmanager
    def open_page(address: str = "/", *, width_px: int = 1280, expected: str | None = None) -> Iterator[Page]:
        context = chromium.new_context(viewport=ViewportSize(width=width_px, height=844))
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        watch = Watch(server.url, [])
        page.on("request", watch.request)
        page.on("websocket", watch.socket)
        page.on("console", watch.console)
        page.on("pageerror", watch.error)
        page.goto(address if address.startswith("http") else f"{server.url}{address}")
        yield page
        context.close()
        assert [wrong for wrong in watch.wrongs if expected is None or expected not in wrong] == []

    return open_page
