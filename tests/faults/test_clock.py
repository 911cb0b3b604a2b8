"""The clock jumps both ways: what was ended stays ended, and the log says when it was set back."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.effort import EFFORT
from tests.faults.faces import VIEWER, post
from tests.faults.figures import SQLITE, Fault, Figures
from tests.faults.load import pressed
from tests.faults.servers import PATIENCE_S
from tests.faults.trials import Place, standing, tried

CREATE = """mutation {
  createToken(input: { name: "a token", scope: { builtInRole: ADMIN }, expiresAt: %s }) { secret }
}"""
ENTRIES = "{ auditEntries(first: 1) { nodes { at } } }"
DAY_S = 24 * 60 * 60
JUMPS_S = (2 * 60 * 60, 0, 400 * DAY_S, -400 * DAY_S, 0)
"""From the true time."""


def library() -> Path:
    """Debian's libfaketime, which moves the clock of one process."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "install `faketime`"
    return found[0]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clock") / "clock"
    path.write_text("+0")
    return path


@pytest.fixture(scope="module")
def place(clock: Path) -> Iterator[Place]:
    settings = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with standing(clock.parent / "data", **settings) as place:
        yield place


def now_at(place: Place, credential: str) -> datetime:
    """Say what time the server thinks it is, by the entry of the last change."""
    told = post(place.server.url, ENTRIES, credential)
    assert told
    return datetime.fromisoformat(told.body["data"]["auditEntries"]["nodes"][0]["at"])


@pytest.mark.soak
def test_a_clock_that_jumps_gives_nothing_back_that_was_ended(place: Place, clock: Path) -> None:
    in_an_hour = json.dumps((datetime.now(UTC) + timedelta(hours=1)).isoformat())
    lasting, short = (secret(place, CREATE % expires_at) for expires_at in ("null", in_an_hour))
    figures = Figures(Fault.CLOCK_JUMPS, SQLITE)
    with pressed([place.server.url], lasting) as load:
        for jump_s in JUMPS_S * EFFORT:

            def jump(jump_s: int = jump_s) -> float:
                clock.write_text(f"{jump_s:+d}")
                at_s = time.monotonic()
                expected = datetime.now(UTC) + timedelta(seconds=jump_s)
                until = time.monotonic() + PATIENCE_S
                while abs(now_at(place, lasting) - expected) > timedelta(minutes=10):
                    assert time.monotonic() < until
                    time.sleep(0.1)
                return at_s

            tried(figures, load, jump, 1)
            told = post(place.server.url, VIEWER, short)
            assert told
            assert told.status == (401 if jump_s > 60 * 60 else 200)
    assert (load.hung_up, load.refused) == (0, {})


def secret(place: Place, query: str) -> str:
    told = post(place.server.url, query, place.owner)
    assert told
    return str(told.body["data"]["createToken"]["secret"])
