"""A server that dies and comes again, always at the same address."""

import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.test_kills import signed_in
from tests.cli.test_server import ROOT, environment, run

PATIENCE_S = 120.0
"""How long anything is waited for; a machine that is busy with other tests takes its time."""


class Server:
    """A server on a folder of its own, or on a database that its settings name. Whoever asks it may ask at gates."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {"LATCHKEY_TRUSTED_PROXIES": "127.0.0.1", **settings}
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        """Start it, without waiting for anything."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "server.py"), "--port", str(self.port)],
                env=environment(self.folder, **self.settings),
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.begin()
        self.await_ready()

    def await_ready(self) -> None:
        """Wait until it says that it can do its work."""
        until = time.monotonic() + PATIENCE_S
        while not self.is_ready():
            assert self.runs, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()[-5_000:]
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Ask whether it can do its work."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=PATIENCE_S) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it as its supervisor does; returns its status."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def sign_in(self) -> str:
        """Accept the invitation of a first start; returns the owner's session."""
        return signed_in(self.folder, self.url)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it, on its database."""
        return run(self.folder, *words, **self.settings)

    @property
    def keys(self) -> bytes:
        """What is in the file of its keys."""
        return (self.folder / "latchkey.keys.json").read_bytes()

    @property
    def descriptors(self) -> int:
        """How many files, sockets and pipes it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    """Run a server until this ends."""
    folder.mkdir(exist_ok=True)
    server = Server(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        if server.runs:
            server.kill()


def quiet_port() -> int:
    """Find a port that is free, and that no connection is given by chance while the server is away."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port
