"""The clock jumps both ways: what was ended stays ended, nothing is pruned, and the log says when it was set back."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models import CLOCKS_DIFFER
from tests.effort import EFFORT
from tests.faults.faces import VIEWER, post
from tests.faults.figures import POSTGRESQL, SQLITE, Fault, Figures
from tests.faults.load import pressed
from tests.faults.postgres import clustered
from tests.faults.servers import PATIENCE_S
from tests.faults.trials import Place, standing, tried

CREATE = """mutation {
  createToken(input: { name: "a token", scope: { builtInRole: ADMIN }, expiresAt: %s }) { secret }
}"""
ENTRIES = "{ auditEntries(first: 1) { nodes { at } } }"
DAY_S = 24 * 60 * 60
JUMPS_S = (2 * 60 * 60, 0, 400 * DAY_S, -400 * DAY_S, 0)
"""From the true time."""
RETENTION_DAYS = 30
WAITS = "is not pruned until the clock"


def library() -> Path:
    """Debian's libfaketime, which moves the clock of one process."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "install `faketime`"
    return found[0]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "clock"


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(clock: Path, database: str, tmp_path: Path) -> Iterator[Place]:
    clock.write_text("+0")
    settings = {
        "LATCHKEY_AUDIT_RETENTION_DAYS": str(RETENTION_DAYS),
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with nullcontext() if database == SQLITE else clustered() as cluster:
        if cluster:
            settings["LATCHKEY_DATABASE_URL"] = cluster.url
        with standing(tmp_path / "data", **settings) as place:
            yield place


def now_at(place: Place, credential: str) -> datetime:
    """Say what time the server thinks it is, by the entry of the last change."""
    told = post(place.server.url, ENTRIES, credential)
    assert told
    return datetime.fromisoformat(told.body["data"]["auditEntries"]["nodes"][0]["at"])


@pytest.mark.soak
def test_a_clock_that_jumps_gives_nothing_back_that_was_ended(place: Place, clock: Path, database: str) -> None:
    in_an_hour = json.dumps((datetime.now(UTC) + timedelta(hours=1)).isoformat())
    lasting, short = (secret(place, CREATE % expires_at) for expires_at in ("null", in_an_hour))
    figures = Figures(Fault.CLOCK_JUMPS, database)
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
    begins_ahead(place, clock)
    says_when_it_was_set_back(entries(place))


def begins_ahead(place: Place, clock: Path) -> None:
    """Start the server anew with a clock by which the whole log is older than it is kept."""
    assert WAITS not in place.server.log.read_text()
    clock.write_text(f"{400 * DAY_S:+d}")
    place.server.stop()
    place.server.start()
    until = time.monotonic() + PATIENCE_S
    while WAITS not in place.server.log.read_text():
        assert time.monotonic() < until, place.server.log.read_text()[-5_000:]
        time.sleep(0.1)


def entries(place: Place) -> list[dict[str, Any]]:
    """Read the whole log, of which nothing may be gone."""
    path = place.server.folder / "export"
    written = place.server.command("audit", "export", str(path))
    assert written.returncode == 0, written.stderr
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    told = [json.loads(line)["entry"] for line in lines]
    assert [entry["sequence"] for entry in told] == list(range(1, len(told) + 1))
    return told


def says_when_it_was_set_back(told: list[dict[str, Any]]) -> None:
    """Hold each entry to say whether its clock stood before an earlier entry's."""
    latest = datetime.fromisoformat(told[0]["at"])
    expected: list[bool] = []
    for entry in told:
        at = datetime.fromisoformat(entry["at"])
        expected.append(at < latest - CLOCKS_DIFFER)
        latest = max(at, latest)
    assert [entry.get("set_back", False) for entry in told] == expected
    assert True in expected


def secret(place: Place, query: str) -> str:
    told = post(place.server.url, query, place.owner)
    assert told
    return str(told.body["data"]["createToken"]["secret"])
