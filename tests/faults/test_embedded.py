"""The embedded database: the process is killed, the disk is full or fails, the power is cut, clients leave."""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.effort import tries
from tests.faults import trials
from tests.faults.faces import post
from tests.faults.figures import SQLITE, Fault, Figures
from tests.faults.load import CREATE, REVOKE, pressed
from tests.faults.traced import Disk, Moment, Replay, failing, recorded
from tests.faults.trials import LEAVING, Place, standing, tried

FAULTS: Mapping[Fault, tuple[str, str]] = {
    Fault.DISK_FULL: ("pwrite64,ftruncate", "ENOSPC"),
    Fault.WRITES_FAIL: ("pwrite64", "EIO"),
    Fault.SYNCS_FAIL: ("fsync,fdatasync", "EIO"),
    Fault.READS_FAIL: ("pread64", "EIO"),
}
"""System calls on the database's files, and the error with which each of them ends."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with standing(tmp_path_factory.mktemp("embedded") / "data") as place:
        yield place


@pytest.mark.parametrize("name", FAULTS)
def test_a_disk_that_fails_costs_nothing_that_was_acknowledged(place: Place, name: Fault) -> None:
    calls, error = FAULTS[name]
    with pressed([place.server.url], place.owner) as load:

        def fault() -> float:
            with failing(place.server.pid, calls, error, [place.file, place.wal]):
                load.until_refused(2)
            return time.monotonic()

        tried(Figures(name, SQLITE), load, fault, tries(1))
    assert load.hung_up == 0


def test_a_server_that_is_killed_has_kept_what_it_acknowledged(place: Place) -> None:
    trials.killed(Figures(Fault.KILLED, SQLITE), place, tries(1))


def test_clients_who_leave_cost_nothing(place: Place) -> None:
    trials.left(Figures(Fault.CLIENTS_LEAVE, SQLITE, f"{LEAVING:,}"), place)


@pytest.mark.soak
def test_two_that_start_at_once_on_an_empty_folder_share_it(tmp_path: Path) -> None:
    figures = Figures(Fault.TWO_START, SQLITE)
    for number in range(tries(1)):
        trials.begun_at_once(figures, tmp_path / str(number))


def test_a_power_cut_takes_nothing_that_was_acknowledged(place: Place, tmp_path: Path) -> None:
    """Whatever was written and not made durable is lost, or only a part of it is, torn and out of order."""
    figures = Figures(Fault.POWER_CUT, SQLITE)
    ends = set[int]()
    with recorded(place.server.pid, tmp_path / "record"):
        disks = {path: Disk(path.read_bytes()) for path in (place.file, place.wal)}
        for _ in range(tries(5)):
            made = changed(place, CREATE)["createToken"]
            ended = changed(place, REVOKE % made["token"]["id"])["revokeToken"]
            ends.add(ended["auditEntry"]["sequence"])
            figures.acknowledged += 2
    replay = Replay(tmp_path / "record", disks)
    chance = random.Random(12)  # noqa: S311 - what is lost, not a secret
    acknowledged: frozenset[int] = frozenset()
    for moment in replay.moments():
        is_new, acknowledged = moment.acknowledged != acknowledged, moment.acknowledged
        if is_new or chance.random() < 0.1:
            for survives in (nothing, partial(some, chance)):
                figures.runs += 1
                cut(replay, moment, survives, tmp_path / "cut", ends)
    assert len(acknowledged) == figures.acknowledged, "all of it is in the record"
    figures.keep()


Surviving = Callable[[Disk], bytes]


def nothing(disk: Disk) -> bytes:
    return disk.durable


def some(chance: random.Random, disk: Disk) -> bytes:
    kept = [write for write in disk.pending if chance.random() < 0.5]
    if kept and kept[-1][0] >= 0:
        offset, data = kept.pop()
        kept.append((offset, data[: 512 * chance.randrange(len(data) // 512 + 1)]))
    return disk.after(kept)


def cut(replay: Replay, moment: Moment, survives: Surviving, folder: Path, ends: set[int]) -> None:
    """Open what a power cut at a moment leaves, and look for all that had been acknowledged."""
    folder.mkdir(exist_ok=True)
    for path, disk in replay.disks.items():
        (folder / path.name).write_bytes(survives(disk))
    (folder / "latchkey.sqlite3-shm").unlink(missing_ok=True)
    with closing(sqlite3.connect(folder / "latchkey.sqlite3")) as connection:
        run = connection.execute
        entries = run("SELECT sequence, previous, seal, target_id FROM audit_entry ORDER BY sequence").fetchall()
        assert [entry[0] for entry in entries] == list(range(1, len(entries) + 1)), moment
        assert all(after[1] == before[2] for before, after in pairwise(entries)), moment
        assert run("SELECT sequence, seal FROM audit_head").fetchall() == [(len(entries), entries[-1][2])], moment
        assert max(moment.acknowledged, default=0) <= len(entries), f"acknowledged, and lost: {moment}"
        over = {token: at is not None for token, at in run("SELECT id, revoked_at FROM token")}
        for sequence in moment.acknowledged:
            token = entries[sequence - 1][3]
            assert token in over, f"acknowledged, and lost: {moment}"
            assert over[token] or sequence not in ends, f"ended, and alive again: {moment}"
        assert run("PRAGMA quick_check").fetchall() == [("ok",)], moment


def changed(place: Place, query: str) -> Any:
    told = post(place.server.url, query, place.owner)
    assert told, "it hung up"
    assert "errors" not in told.body, told
    return told.body["data"]
