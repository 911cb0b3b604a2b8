"""A server that is asked whatever its schema allows gives what it was asked for, or refuses on purpose."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.vocabulary import BuiltInRole
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from tests.web.conftest import serving

ROOT = Path(__file__).parents[2]
MOSTLY = 0.9
"""At least so much of what was drawn was asked, and of what was asked is not answered about the credential."""


async def asked(organisation: Organisation, cases: int, seconds: int, sessions: int) -> dict[str, Any]:
    """Have schemathesis ask as the owner and as a reader, each with so many sessions: what is asked may end one."""
    reader = await organisation.member(name="Reader")
    for number in range(3):
        member = await organisation.member(BuiltInRole.WRITER, name=f"writer {number}")
        await organisation.token(await organisation.session(member))
    await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    secrets = {}
    assert organisation.owner.member
    for name, member in (("owner", organisation.owner.member), ("reader", reader)):
        opened = [await organisation.session(member) for _ in range(sessions)]
        secrets[name] = [organisation.secrets[str(each.token.id)] for each in opened if each.token]
    async with serving(assembled(Settings(), organisation.house)) as server:
        told = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.web.fuzz", f"http://{server}/graphql", str(cases), str(seconds)],
            cwd=ROOT,
            input=json.dumps(secrets),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
    assert told.returncode == 0, told.stderr
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def check(told: dict[str, Any], cases: int) -> None:
    """Nothing failed, and that says something: nearly all was asked with a session that works, much of it was done."""
    for name, caller in told["callers"].items():
        assert caller["failures"] == [], name
        asked = sum(caller["codes"].values())
        assert asked >= MOSTLY * cases * len(told["operations"])  # some fields have fewer cases
        assert caller["codes"]["UNAUTHENTICATED"] <= asked * (1 - MOSTLY)
    assert len(told["operations"]) > 60
    assert len(told["callers"]["owner"]["done"]) >= 15
    assert told["callers"]["reader"]["codes"]["FORBIDDEN"] > told["callers"]["owner"]["codes"]["FORBIDDEN"]


async def test_whatever_the_schema_allows_is_answered(organisation: Organisation, sqlite: None) -> None:  # noqa: ARG001
    check(await asked(organisation, cases=2, seconds=0, sessions=12), cases=2)


@pytest.mark.soak
async def test_it_is_for_two_minutes(organisation: Organisation) -> None:
    check(await asked(organisation, cases=10, seconds=120, sessions=600), cases=10)
