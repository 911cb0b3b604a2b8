"""A real Latchkey, a real API behind it, and each real proxy between them, configured as the documentation says."""

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.cli.test_server import ROOT, started

PAGE = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
PATIENCE_S = 30.0
BIN = ROOT / ".venv" / "bin"


def blocks(section: str) -> list[str]:
    """The blocks of a section, as they are written."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Echo(BaseHTTPRequestHandler):
    """An API that says what reached it."""

    protocol_version = "HTTP/1.1"
    reached: ClassVar[list[str]] = []

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.reached.append(self.path)
        body = json.dumps({"method": self.command, "path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer  # noqa: N815 - the base class's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def api() -> Iterator[int]:
    """The port of the API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server.server_port
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the demo tells in its JSON line."""
    with started(tmp_path_factory.mktemp("demo"), "--demo", "--json") as process:
        assert process.stdout
        yield json.loads(process.stdout.readline())


@dataclass(frozen=True)
class Place:
    """Where a proxy runs: its folder, and who listens where."""

    folder: Path
    port: int
    latchkey: int
    api: int

    def written(self, block: str, gate: str, listening: Mapping[str, str]) -> str:
        """Put real addresses into a block."""
        real = {
            **listening,
            "latchkey:8000": f"127.0.0.1:{self.latchkey}",
            "address: latchkey, port_value: 8000": f"address: 127.0.0.1, port_value: {self.latchkey}",
            "api:3000": f"127.0.0.1:{self.api}",
            "address: api, port_value: 3000": f"address: 127.0.0.1, port_value: {self.api}",
            "main:api": f"demo:{gate}",
        }
        for placeholder, address in real.items():
            block = block.replace(placeholder, address)
        assert not re.search(r"8080|8000|3000|main:", block), block
        return block


def nginx(place: Place) -> list[str]:
    (block,) = blocks("nginx")
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {place.folder}/{name};" for name in names)
    site = place.written(block, "original", {"listen 8080": f"listen 127.0.0.1:{place.port}"})
    (place.folder / "nginx.conf").write_text(
        f"pid {place.folder}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; {temporary}\n{site}}}\n"
    )
    user = "user root;" if os.getuid() == 0 else ""
    return ["nginx", "-p", str(place.folder), "-c", "nginx.conf", "-e", "stderr", "-g", f"daemon off; {user}"]


def caddy(place: Place) -> list[str]:
    (block,) = blocks("Caddy")
    site = place.written(block, "forwarded", {":8080 {": f"http://127.0.0.1:{place.port} {{"})
    (place.folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    return [str(BIN / "caddy"), "run", "--config", "Caddyfile"]


def traefik(place: Place) -> list[str]:
    static, dynamic = blocks("Traefik")
    listening = {'":8080"': f'"127.0.0.1:{place.port}"'}
    quiet = "global:\n  checkNewVersion: false\n"
    (place.folder / "traefik.yml").write_text(place.written(static, "forwarded", listening) + quiet)
    (place.folder / "latchkey.yml").write_text(place.written(dynamic, "forwarded", {}))
    return [str(BIN / "traefik"), "--configfile=traefik.yml"]


def envoy(place: Place) -> list[str]:
    (block,) = blocks("Envoy")
    listening = {"address: 0.0.0.0, port_value: 8080": f"address: 127.0.0.1, port_value: {place.port}"}
    (place.folder / "envoy.yaml").write_text(place.written(block, "path", listening))
    return [str(BIN / "envoy"), "-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]


KINDS = {"nginx": nginx, "caddy": caddy, "traefik": traefik, "envoy": envoy}


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    kind: str
    place: Place

    def ask(self, target: str, credential: str | None = None, method: str = "GET", **headers: str) -> "Answer":
        """Send a request exactly as it is written; underscores in the names of `headers` stand for dashes."""
        listed = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if credential is not None:
            listed.append(("Authorization", f"Bearer {credential}"))
        return self.send(target, method, listed)

    def send(self, target: str, method: str, headers: list[tuple[str, str]]) -> "Answer":
        connection = HTTPConnection("127.0.0.1", self.place.port, timeout=PATIENCE_S)
        connection._validate_path = lambda _: None  # type: ignore[attr-defined] # noqa: SLF001 - odd paths are the point
        reached = len(Echo.reached)
        try:
            connection.putrequest(method, target)
            for name, value in headers:
                connection.putheader(name, value)
            if method == "POST":
                connection.putheader("Content-Length", "0")
            connection.endheaders()
            response = connection.getresponse()
            return Answer.of(response, Echo.reached[reached:])
        finally:
            connection.close()


@dataclass(frozen=True)
class Answer:
    """What a client hears, and which paths the API was asked for meanwhile."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)
    reached: list[str]

    @classmethod
    def of(cls, response: HTTPResponse, reached: list[str]) -> "Answer":
        return cls(response.status, response.getheaders(), response.read(), reached)

    def all(self, name: str) -> list[str]:
        """Every value of a header of the answer."""
        return [value for known, value in self.headers if known.lower() == name]

    @property
    def arrived(self) -> list[tuple[str, str]]:
        """The headers with which the request reached the API."""
        return [(name.lower(), value) for name, value in json.loads(self.body)["headers"]]


@contextmanager
def running(kind: str, place: Place) -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    environment = {**os.environ, "HOME": str(place.folder), "XDG_DATA_HOME": str(place.folder)}
    log = place.folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            KINDS[kind](place), cwd=place.folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            _await(place.port, process, log)
            yield Proxy(kind, place)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the proxy answers for its API, and not only listens."""
    end = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            connection.request("GET", "/")
            status = connection.getresponse().status
            connection.close()
            if status != 404:  # what Traefik says before it has read its routes
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each proxy in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def proxy(kind: str, demo: dict[str, Any], api: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The proxy between a client and the API, asking Latchkey."""
    latchkey = int(demo["url"].rpartition(":")[2])
    with running(kind, Place(tmp_path_factory.mktemp(kind), free_port(), latchkey, api)) as proxy:
        yield proxy
