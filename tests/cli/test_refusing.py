"""Refusals on real servers: what is gathered comes to the log at the end of a process, from every process, once."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from tests.cli.test_kills import signed_in
from tests.cli.test_server import ACCEPT, ask, ended, run, started, until_ready
from tests.cli.test_two_processes import INVITE, SIGN_IN

SUSPEND = 'mutation { suspendMember(input: { id: "%s" }) { auditEntry { sequence } } }'


def reader(folder: Path, url: str) -> tuple[str, str]:
    """Make a member who may change nothing; returns the owner's id, and the member's session."""
    owner = signed_in(folder, url)
    invited = ask(url, INVITE % ("reader", "READER"), owner)["data"]["inviteMember"]
    ask(url, ACCEPT % invited["inviteUrl"].rpartition("/")[2])
    whose = ask(url, "{ viewer { member { id } } }", owner)["data"]["viewer"]["member"]["id"]
    return whose, ask(url, SIGN_IN % "reader")["data"]["signIn"]["secret"]


@contextmanager
def log(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "latchkey.sqlite3")) as connection:
        yield connection


def summaries(folder: Path) -> list[int]:
    with log(folder) as connection:
        rows = connection.execute("SELECT after FROM audit_entry WHERE outcome = 'REFUSED' ORDER BY sequence")
        return [json.loads(after)["count"] for (after,) in rows]


def test_workers_that_end_write_what_they_gathered_and_the_log_stays_whole(tmp_path: Path) -> None:
    with started(tmp_path, "--workers", "2") as process:
        url, _ = until_ready(process)
        owner, session = reader(tmp_path, url)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: ask(url, SUSPEND % owner, session), range(120)))
        assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"FORBIDDEN"}
        assert summaries(tmp_path) == []
        assert ended(process)[0] == 0
    counts = summaries(tmp_path)
    assert sum(counts) == 120
    assert len(counts) <= 2
    verified = run(tmp_path, "audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_on_a_disk_that_is_nearly_full_none_is_written_and_changes_go_on(tmp_path: Path) -> None:
    with started(tmp_path, LATCHKEY_AUDIT_DISK_FLOOR_MIB=str(1 << 40)) as process:
        url, _ = until_ready(process)
        owner, session = reader(tmp_path, url)
        assert "errors" in ask(url, SUSPEND % owner, session)
        status, _, told = ended(process)
        assert status == 0
        assert "nearly full" in told
    assert summaries(tmp_path) == []
