"""A server that is killed at any moment has kept all that it acknowledged, and its log is whole."""

import asyncio
import random
import signal
import threading
from http.client import HTTPException
from pathlib import Path

import pytest

from core import chain
from models import AuditEntry, AuditHead
from models.database import opened
from tests.cli.test_server import ACCEPT, SIGN_IN, ask, started, until_ready

ROUNDS = 25
CREATE = """mutation { createToken(input: { name: "token %d", scope: { builtInRole: READER } }) {
  token { id } auditEntry { sequence }
} }"""


@pytest.mark.soak
def test_what_was_acknowledged_outlives_twenty_five_kills(tmp_path: Path) -> None:
    chance = random.Random(25)  # noqa: S311 - when to kill, not a secret
    acknowledged: dict[str, int] = {}
    session = ""
    for _ in range(ROUNDS):
        with started(tmp_path) as process:
            url, _ = until_ready(process)
            session = session or signed_in(tmp_path, url)
            threading.Timer(chance.uniform(0.05, 1.5), process.send_signal, (signal.SIGKILL,)).start()
            try:
                while True:
                    made = ask(url, CREATE % len(acknowledged), session)["data"]["createToken"]
                    acknowledged[made["token"]["id"]] = made["auditEntry"]["sequence"]
            except (OSError, HTTPException):
                process.wait()

    assert len(acknowledged) > ROUNDS
    sequences = asyncio.run(verified(tmp_path))
    assert set(acknowledged.values()) <= sequences
    with started(tmp_path) as process:
        url, _ = until_ready(process)
        for token in acknowledged:
            assert ask(url, f'{{ token(id: "{token}") {{ state }} }}', session) == {
                "data": {"token": {"state": "ACTIVE"}}
            }


def signed_in(folder: Path, url: str) -> str:
    link = (folder / "sign-in-link.txt").read_text().strip()
    ask(url, ACCEPT % link.rpartition("/")[2])
    session: str = ask(url, SIGN_IN)["data"]["signIn"]["secret"]
    return session


async def verified(folder: Path) -> set[int]:
    """Walk the chain from its beginning to its head; returns the sequence numbers met."""
    async with opened(f"sqlite://{folder}/latchkey.sqlite3"):
        head = await AuditHead.get()
        seal, sequence = chain.genesis(str(head.account_id)), 0
        for entry in await AuditEntry.all().order_by("sequence"):
            sequence += 1
            assert (entry.sequence, entry.previous) == (sequence, seal)
            seal = chain.seal(seal, entry.sealed())
            assert entry.seal == seal
        assert (head.sequence, head.seal) == (sequence, seal)
    return set(range(1, sequence + 1))
