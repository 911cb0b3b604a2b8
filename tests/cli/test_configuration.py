"""`latchkey export` and `latchkey apply`, as an operator types them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import configuration
from cli.configuration import Wanted
from core.errors import Conflict, Invalid, Unfit
from core.secret import ServerKeys
from core.vocabulary import BuiltInRole
from models import Account, AuditEntry, Member, MemberState, Role, new_id
from models.database import Database
from resolvers import accounts
from resolvers.callers import Request
from resolvers.configuration import MOST_BYTES
from resolvers.house import House

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "launchdarkly.json"
PLAN = {"key": "plan", "name": "Plan", "actions": [{"key": "runPlan", "mark": "WRITE"}]}
ALLOW = {"effect": "allow", "resources": ["plan/*"], "actions": ["runPlan"]}
RUNNER = {"key": "runner", "name": "Runner", "policy": [ALLOW]}


@pytest.fixture
async def request_(database: Database) -> Request:
    """A request to a database with one account and a writer in it."""
    request = Request(House(database, ServerKeys.mint("first")), str(new_id()))
    account = (await accounts.create(request, "main", "Main", "owner@localhost")).row
    await Member.create(
        account_id=account.id,
        email="w@localhost",
        email_key="w@localhost",
        name="Wanda",
        base_role=BuiltInRole.WRITER,
        state=MemberState.ACTIVE,
    )
    return request


def written(folder: Path, document: object) -> Path:
    path = folder / "configuration.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


async def test_a_document_is_applied_and_what_it_came_to_is_printed(request_: Request, tmp_path: Path) -> None:
    path = written(tmp_path, {"latchkey": 1, "resourceKinds": [PLAN], "roles": [RUNNER]})
    wanda = await Member.get(name="Wanda")
    expected = [
        "+ resourceKinds `plan`",
        '    name: "Plan"',
        "    actions:",
        '      + {"key": "runPlan", "mark": "WRITE", "description": "", "gate": false}',
        "+ roles `runner`",
        '    name: "Runner"',
        '    basePermissions: "no_access"',
        "    policy:",
        '      + {"effect": "allow", "resources": ["plan/*"], "actions": ["runPlan"]}',
        "what the document does not name stays as it is",
        "may gain by it:",
    ]
    dry = await configuration.apply(request_, None, Wanted(path, dry_run=True))
    lines = dry.splitlines()
    assert lines[: len(expected)] == expected
    assert f"    {wanda.resource} Wanda: runPlan on plan/*" in lines
    assert lines[-1] == "2 to change, nothing changed: a dry run"
    assert not await Role.exists()

    said = await configuration.apply(request_, "main", Wanted(path, "by hand"))
    assert said.splitlines()[:-1] == lines[:-1]
    assert said.splitlines()[-1] == "2 changed"
    entries = await AuditEntry.filter(comment="by hand").order_by("sequence")
    assert [(entry.actor_kind, entry.target_resource) for entry in entries] == [
        ("COMMAND_LINE", "kind/plan"),
        ("COMMAND_LINE", "role/runner"),
    ]
    again = await configuration.apply(request_, None, Wanted(path))
    assert again.splitlines() == [
        "= 2 are as the document says",
        "what the document does not name stays as it is",
        "nobody gains by it",
        "0 changed",
    ]


async def test_a_change_is_printed_line_by_line(request_: Request, tmp_path: Path) -> None:
    document = {"latchkey": 1, "resourceKinds": [PLAN], "roles": [RUNNER]}
    await configuration.apply(request_, None, Wanted(written(tmp_path, document)))
    deny = {"effect": "deny", "resources": ["plan/night"], "actions": ["*"]}
    changed = {"latchkey": 1, "roles": [{**RUNNER, "name": "Läufer", "policy": [ALLOW, deny]}]}
    said = await configuration.apply(request_, None, Wanted(written(tmp_path, changed)))
    assert said.splitlines() == [
        "~ roles `runner`",
        '    name: "Runner" -> "Läufer"',
        "    policy:",
        '      + {"effect": "deny", "resources": ["plan/night"], "actions": ["*"]}',
        "what the document does not name stays as it is",
        "nobody gains by it",
        "1 changed",
    ]


async def test_what_is_exported_is_applied_as_the_same(request_: Request, tmp_path: Path) -> None:
    await configuration.apply(request_, None, Wanted(EXAMPLE))
    text = await configuration.export(request_, None, None)
    path = tmp_path / "exported.json"
    assert str(path) in await configuration.export(request_, "main", path)
    assert path.read_text(encoding="utf-8") == f"{text}\n"
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    exported = json.loads(text)

    def by_key(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(items, key=lambda item: str(item["key"]))

    assert exported["resourceKinds"] == by_key(example["resourceKinds"])
    assert exported["roles"] == by_key(example["roles"])
    assert "0 changed" in await configuration.apply(request_, None, Wanted(path))


async def test_of_several_accounts_one_must_be_named(request_: Request, tmp_path: Path) -> None:
    await accounts.create(request_, "other", "Other", "owner@localhost")
    path = written(tmp_path, {"latchkey": 1, "resourceKinds": [PLAN]})
    with pytest.raises(Conflict, match="`main`, `other`"):
        await configuration.apply(request_, None, Wanted(path))
    with pytest.raises(Invalid, match="`none`"):
        await configuration.export(request_, "none", None)
    await configuration.apply(request_, "other", Wanted(path))
    assert json.loads(await configuration.export(request_, "main", None))["resourceKinds"] == []
    assert len(json.loads(await configuration.export(request_, "other", None))["resourceKinds"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ('{"latchkey": 1,\n}', "line 2"),
        ('{"latchkey": 1, "roles": [], "roles": []}', "`roles` twice"),
        ('{"latchkey": 1, "roles": [{"key": "a", "name": "A", "key": "b"}]}', "`key` twice"),
        (f'{{"latchkey": {"1" * 5_000}}}', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("\ud800", "no JSON"),
    ],
)
async def test_what_is_no_document_is_told(request_: Request, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(Invalid, match=said) as refused:
        await configuration.apply(request_, None, Wanted(path))
    assert refused.value.field == "FILE"


async def test_a_large_file_is_refused_unread(request_: Request, tmp_path: Path) -> None:
    path = written(tmp_path, " " * (MOST_BYTES * 4 + 1))
    with pytest.raises(Invalid, match="at most"):
        await configuration.apply(request_, None, Wanted(path))


async def test_every_problem_is_a_line(request_: Request, tmp_path: Path) -> None:
    bad = [{**RUNNER, "key": key, "policy": [{**ALLOW, "actions": ["run"]}]} for key in ("a", "b")]
    with pytest.raises(Unfit) as refused:
        await configuration.apply(request_, None, Wanted(written(tmp_path, {"latchkey": 1, "roles": bad})))
    assert [line.split(" ")[0] for line in refused.value.message.splitlines()] == [
        "`roles[0].policy[0].resources[0]`",
        "`roles[1].policy[0].resources[0]`",
    ]
    assert await Account.all().count() == 1


def latchkey(folder: Path, *arguments: str) -> tuple[int, str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    ran = subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        env={**given, "LATCHKEY_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.returncode, ran.stdout, "\n".join(line for line in ran.stderr.splitlines() if "INFO" not in line)


def test_the_commands_end_with_0_or_with_2_and_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert latchkey(data, "account", "create", "main", "--owner-email", "owner@localhost")[0] == 0
    code, out, err = latchkey(data, "apply", str(EXAMPLE), "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].endswith("a dry run")
    assert latchkey(data, "apply", str(EXAMPLE), "--comment", "first", "--account", "main")[0] == 0
    code, out, _ = latchkey(data, "export")
    assert (code, len(json.loads(out)["roles"])) == (0, 4)

    bad = written(tmp_path, {"latchkey": 1, "roles": [{**RUNNER, "key": "A"}, {"key": "b"}]})
    code, out, err = latchkey(data, "apply", str(bad))
    assert (code, out) == (2, "")
    assert [line.removeprefix("latchkey: ").split(" ")[0] for line in err.splitlines()] == [
        "`roles[0].key`",
        "`roles[1].name`",
        "`roles[1].policy`",
    ]
    code, out, err = latchkey(data, "apply", str(tmp_path / "none.json"))
    assert (code, out) == (2, "")
    assert "none.json" in err
    assert "Traceback" not in err
