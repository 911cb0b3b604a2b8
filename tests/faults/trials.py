"""A fault again and again, under load, and what has become of all that was acknowledged."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.effort import EFFORT
from tests.faults.figures import Figures
from tests.faults.leaving import leave, leave_sockets
from tests.faults.load import Load, pressed
from tests.faults.servers import PATIENCE_S, Server, serving

Happening = Callable[[], float]
"""Lets it happen, and returns when it was over: from then on the server has to be well by itself."""

LEAVING = 600 if EFFORT == 1 else 10_000 * EFFORT
"""How many clients leave without waiting for an answer."""


@dataclass
class Place:
    """A server, and the session of its owner."""

    server: Server
    owner: str = field(repr=False)

    @property
    def file(self) -> Path:
        """The embedded database."""
        return self.server.folder / "latchkey.sqlite3"

    @property
    def wal(self) -> Path:
        """What is written ahead of it."""
        return self.file.with_name(f"{self.file.name}-wal")


@contextmanager
def standing(folder: Path, **settings: str) -> Iterator[Place]:
    """Run a server until this ends; its keys must be what they were then, and its log whole."""
    with serving(folder, **settings) as server:
        keys = server.keys
        yield Place(server, server.sign_in())
        assert server.keys == keys
        require_whole_log(server)


def require_whole_log(server: Server) -> None:
    """Verify the log from its beginning to its end, as an auditor does."""
    verified = server.command("audit", "verify")
    assert verified.returncode == 0, verified.stderr + verified.stdout


def tried(figures: Figures, load: Load, fault: Happening, runs: int) -> None:
    """Let a fault happen under load, so many times, and note what came of it. Nothing may be lost or undone."""
    before = len(load.acknowledged) - figures.acknowledged
    for _ in range(runs):
        load.until_acknowledged(5)
        over_s = fault()
        figures.recovered_s.append(load.until_acknowledged(3, over_s) - over_s)
        _note(figures, load, len(load.acknowledged) - before)
    figures.keep()


def killed(figures: Figures, place: Place, runs: int) -> None:
    """Kill a server at any moment, and start it again. The time counts from its death."""

    def fault() -> float:
        place.server.kill()
        at_s = time.monotonic()
        place.server.start()
        return at_s

    with pressed([place.server.url], place.owner) as load:
        tried(figures, load, fault, runs)


def left(figures: Figures, place: Place) -> None:
    """Have clients leave by the thousand. The others notice nothing, and nothing is held open for them."""
    with pressed([place.server.url], place.owner) as load:
        before = place.server.descriptors

        def fault() -> float:
            leave(place.server.url, place.owner, LEAVING // 2)
            leave_sockets(place.server.url, place.owner, LEAVING // 2)
            return time.monotonic()

        tried(figures, load, fault, 1)
        until = time.monotonic() + PATIENCE_S
        while place.server.descriptors > before + 10:  # a pool of connections may have grown
            assert time.monotonic() < until, (before, place.server.descriptors)
            time.sleep(0.1)
    assert (load.hung_up, load.refused) == (0, {})


def begun_at_once(figures: Figures, folder: Path, **settings: str) -> None:
    """Start two servers at once where there is nothing yet: they are one to whoever asks them."""
    folder.mkdir()
    servers = [Server(folder, **settings), Server(folder, **settings)]
    try:
        for server in servers:
            server.begin()
        for server in servers:
            server.await_ready()
        with pressed([server.url for server in servers], servers[0].sign_in()) as load:
            load.until_acknowledged(20)
            _note(figures, load, figures.acknowledged + len(load.acknowledged))
        require_whole_log(servers[0])
    finally:
        for server in servers:
            if server.runs:
                server.kill()
    figures.keep()


def _note(figures: Figures, load: Load, acknowledged: int) -> None:
    found = load.checked()
    figures.runs += 1
    figures.acknowledged = acknowledged
    figures.lost += len(found.lost)
    figures.undone += len(found.undone)
    assert found == ((), ()), (found, load.wrong[:3])
    assert not load.wrong, load.wrong[:3]
