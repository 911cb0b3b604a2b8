"""An OpenID provider from npm, and a server whose members sign in through it and in no other way."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.console.conftest import built, chromium, ready
from tests.node import ROOT, node_beside

__all__ = ["built", "chromium"]

HERE = Path(__file__).parent
CLIENT_SECRET = "made up: with a colon, a +, a % and spaces"
OWNER = "olive@example.com"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and the provider that it knows."""

    url: str
    issuer: str
    log: Path


@pytest.fixture(scope="module")
def provider() -> Iterator[subprocess.Popen[str]]:
    """The provider, which waits to be told its client's redirect URI; its first line is its issuer."""
    node = node_beside(HERE)
    with subprocess.Popen(
        [node, str(HERE / "provider.mjs")],
        cwd=HERE,
        env={**os.environ, "CLIENT_SECRET": CLIENT_SECRET, "NO_COLOR": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(
    built: None,  # noqa: ARG001 - it serves it; pytest's way of naming
    provider: subprocess.Popen[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Start a server before its provider answers anything."""
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    issuer = told(provider)
    given = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    settings = {
        "LATCHKEY_DATA_DIR": str(folder / "data"),
        "LATCHKEY_OWNER_EMAIL": OWNER,
        "LATCHKEY_OIDC_ISSUER": issuer,
        "LATCHKEY_OIDC_CLIENT_ID": "latchkey",
        "LATCHKEY_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "LATCHKEY_OIDC_NAME": "Example ID",
        "LATCHKEY_OIDC_CREATE": "joining.example",
        "LATCHKEY_OIDC_ROLE": "no_access",
        "LATCHKEY_PASSWORD_SIGN_IN": "false",
    }
    with log.open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "server.py", "--port", "0"], cwd=ROOT, env={**given, **settings}, stdout=out, stderr=out
        )
    with running:
        try:
            url = ready(running, log)
            assert provider.stdin
            provider.stdin.write(f"{url}/sign-in/oidc\n")
            provider.stdin.flush()
            while told(provider) != "serving":
                pass
            yield Server(url, issuer, log)
        finally:
            running.send_signal(signal.SIGTERM)


def told(process: subprocess.Popen[str]) -> str:
    """Read the next line that a process prints."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, "the provider ended"
    return line.strip()
