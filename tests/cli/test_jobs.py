"""A job outlives the server that works on it: every token ends once, with one entry, and the log is whole."""

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cli.keys import server_keys
from core import chain
from models import AuditEntry, AuditHead, Token, TokenKind, new_id
from models.database import opened
from tests.cli.test_kills import signed_in
from tests.cli.test_server import ask, ended, started, until_ready

TOKENS = 900
CREATE = 'mutation { createToken(input: { name: "old", scope: { builtInRole: READER } }) { secret } }'
REVOKE = 'mutation { revokeTokens(input: { filter: { text: "old" } }) { job { id total } } }'
JOB = '{ job(id: "%s") { state total done skipped progress } }'


async def multiplied() -> None:
    """Copy the one token until there are enough of it."""
    one = await Token.get(kind=TokenKind.PERSONAL)
    columns = ("account_id", "kind", "owner_id", "creator_id", "name", "scope_kind", "scope_role", "ending")
    shared = {column: getattr(one, column) for column in columns}
    await Token.bulk_create([Token(id=new_id(), **shared) for _ in range(TOKENS - 1)])


def until(url: str, job_id: str, session: str, at_least: int) -> dict[str, Any]:
    """Wait until so many are done."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        job: dict[str, Any] = ask(url, JOB % job_id, session)["data"]["job"]
        if job["done"] >= at_least and (at_least < TOKENS or job["state"] != "RUNNING"):
            return job
        time.sleep(0.02)
    raise AssertionError(job)


async def test_a_server_killed_in_the_middle_of_a_job_goes_on_with_it(tmp_path: Path, database_url: str) -> None:
    settings = {"LATCHKEY_DATABASE_URL": database_url}
    server_keys(tmp_path / "latchkey.keys.json", database_exists=False)  # the database is there already
    with started(tmp_path, **settings) as process:
        url, _ = until_ready(process)
        session = signed_in(tmp_path, url)
        assert ask(url, CREATE, session)["data"]["createToken"]["secret"]
        assert ended(process)[0] == 0
    async with opened(database_url):
        await multiplied()
    with started(tmp_path, **settings) as process:
        url, _ = until_ready(process)
        job = ask(url, REVOKE, session)["data"]["revokeTokens"]["job"]
        assert job["total"] == TOKENS
        assert 0 < until(url, job["id"], session, 1)["done"] < TOKENS
        process.send_signal(signal.SIGKILL)
        process.wait()
    with started(tmp_path, **settings) as process:
        url, _ = until_ready(process)
        assert until(url, job["id"], session, 0)["state"] == "RUNNING"
        done = {"state": "DONE", "total": TOKENS, "done": TOKENS, "skipped": 0, "progress": 1.0}
        assert until(url, job["id"], session, TOKENS) == done
        assert ended(process)[0] == 0
    async with opened(database_url):
        tokens = await Token.filter(kind=TokenKind.PERSONAL)
        assert len(tokens) == TOKENS
        assert {(token.revoked_at is not None, token.version) for token in tokens} == {(True, 2)}
        head, log = await AuditHead.get(), await AuditEntry.all().order_by("sequence")
        seal = chain.genesis(str(head.account_id))
        for sequence, entry in enumerate(log, start=1):
            assert (entry.sequence, entry.previous) == (sequence, seal)
            seal = chain.seal(seal, entry.sealed())
            assert entry.seal == seal
        assert (head.sequence, head.seal) == (len(log), seal)
        told = Counter(entry.target_id for entry in log if entry.accesses[0]["action"] == "deleteAccessToken")
        assert told == dict.fromkeys((token.id for token in tokens), 1)


def test_a_server_that_stops_leaves_its_job_to_the_next_at_once(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        url, _ = until_ready(process)
        session = signed_in(tmp_path, url)
        ask(url, CREATE, session)
        job = ask(url, REVOKE, session)["data"]["revokeTokens"]["job"]
        assert ended(process)[0] == 0
    with started(tmp_path) as process:
        url, _ = until_ready(process)
        end = time.monotonic() + 8  # sooner than what a killed one holds is let go
        while ask(url, JOB % job["id"], session)["data"]["job"]["state"] != "DONE":
            assert time.monotonic() < end
            time.sleep(0.05)
