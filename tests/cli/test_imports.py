"""`latchkey import-tokens`, as an operator types it, and the tokens as their scripts go on to use them."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from cli import accounts, imports
from cli.imports import Wanted
from core.errors import Conflict, Invalid, Refusal
from core.secret import ServerKeys
from models import AuditEntry, Member, MemberState, Token, TokenKind, new_id
from models.database import Database
from resolvers.callers import Request, identify
from resolvers.house import House
from tests.cli.test_server import ROOT, ask, ended, environment, run, started, until_ready
from tests.databases import Elsewhere

HASHED = hashlib.sha256(b"known by its digest only").hexdigest()
CSV = f"""name,secret,sha256,builtInRole,statements,expiresAt,networks,rateLimits,responsible
Deploy,api-deploy-4f1d8e0a,,writer,,2100-01-01T00:00:00Z,192.0.2.0/24 127.0.0.1,100/minute 1000/hour,owner@localhost

"Night, ly",,{HASHED},,"[{{""effect"": ""allow"", ""actions"": [""viewRole""], ""resources"": [""role/*""]}}]",,,,
Everything,api everything ünicode,,,,,,,
"""
JSON_LINES = "\n".join(
    json.dumps(line, ensure_ascii=False)
    for line in (
        {
            "name": "Deploy",
            "secret": "api-deploy-4f1d8e0a",
            "builtInRole": "WRITER",
            "expiresAt": "2100-01-01T00:00:00Z",
            "networks": ["192.0.2.0/24", "127.0.0.1"],
            "rateLimits": ["100/minute", "1000/hour"],
            "responsible": "owner@localhost",
        },
        {
            "name": "Night, ly",
            "sha256": HASHED,
            "statements": [{"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]}],
            "description": None,
        },
        {"name": "Everything", "secret": "api everything ünicode"},
    )
)
SECRETS = ("api-deploy-4f1d8e0a", "known by its digest only", "api everything ünicode")


@pytest.fixture
async def request_(database: Database) -> Request:
    """A request to a database with one account."""
    request = Request(House(database, ServerKeys.mint("first")), str(new_id()), "127.0.0.1")
    await accounts.create(request, "main", "Main", "owner@localhost")
    await Member.filter(email="owner@localhost").update(state=MemberState.ACTIVE)
    return request


def written(folder: Path, text: str, name: str = "tokens.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


async def shown() -> list[dict[str, Any]]:
    """Show what was imported, all that does not differ each time."""
    rows = await Token.filter(kind=TokenKind.ACCOUNT).order_by("id")
    owner = await Member.get(email="owner@localhost")
    return [
        {**row.snapshot(), "responsible": row.responsible_id == owner.id, "ceilings": len(row.ceilings)} for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokens.csv", CSV),
        ("tokens", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("tokens.jsonl", JSON_LINES),
        ("tokens", f"\n{JSON_LINES}\r\n\n"),
    ],
)
async def test_a_file_is_imported_whatever_it_is_written_in(
    request_: Request, tmp_path: Path, name: str, text: str
) -> None:
    path = written(tmp_path, text, name)
    dry = (await imports.bring(request_, None, Wanted(path, dry_run=True))).splitlines()
    assert dry == [
        "+ Deploy …8e0a: writer, ends 2100-01-01T00:00:00+00:00, from 192.0.2.0/24 127.0.0.1/32, 100/minute 1000/hour",
        "+ Night, ly: inline, never ends",
        "+ Everything …code: owner, never ends",
        "whoever holds a secret of these may what its scope says, at most what the account's owner may now",
        "3 to import, nothing changed: a dry run",
    ]
    assert await shown() == []
    said = (await imports.bring(request_, "main", Wanted(path, "moving"))).splitlines()
    assert (said[:-1], said[-1]) == (dry[:-1], "3 imported")
    tokens = await shown()
    assert [(token["name"], token["scopeRole"], token["responsible"], token["ceilings"]) for token in tokens] == [
        ("Deploy", "writer", True, 1),
        ("Night, ly", None, False, 1),
        ("Everything", "owner", False, 1),
    ]
    for secret in SECRETS:
        caller = await identify(secret, request_)
        assert caller.token
        assert [side.kind.value for side in caller.sides] == ["SCOPE", "CEILING"]
    entries = await AuditEntry.filter(comment="moving").order_by("sequence")
    assert [(entry.actor_kind, entry.accesses[0]["action"]) for entry in entries] == [
        ("COMMAND_LINE", "importAccessToken")
    ] * 3
    again = (await imports.bring(request_, None, Wanted(path))).splitlines()
    assert again[-1] == "0 imported, 3 there already"
    assert again[0].endswith(": its secret was imported already")
    assert await shown() == tokens


GOOD = "Good,api-good-4f1d8e0a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`FILE` names no token"),
        ("name,secret\n", "`FILE` names no token"),
        ("Deploy,hush-hush-hush\n", "`line 1` must be a header: its column 1 is none of"),
        ("name,name,secret\na,b,c\n", "`line 1` names `name` twice"),
        (f"name,secret\n{GOOD},hush-hush-hush\n", "`line 2` has 3 values, the header 2"),
        (f'name,secret\n{GOOD}\n"Bad"x,hush-hush-hush\n', "`line 3` is no CSV"),
        ('{"name": "Bad", "secret": hush-hush-hush}', "`line 1` is no JSON: column 27"),
        (f'{{"name": "Bad", "secret": {"7" * 5000}}}', "`line 1` is no JSON"),
        (f'{{"name": {"[" * 100_000}', "`line 1` is no JSON"),
        ('{"name": "Good", "secret": "hush-hush", "name": "Bad"}', "`line 1` has the field `name` twice"),
        ('{"name": "Bad", "hush-hush": 1, "hush-hush": 2}', "`line 1` has an object with a field twice"),
        (
            '{"name": "Bad", "statements": [{"effect": "deny", "effect": "allow"}]}',
            "`line 1` has an object with a field twice",
        ),
        ('{"name": "Bad", "hush-hush-hush": 1}', "`line 1` has a field, number 2, that is none of"),
        ('{"name": "Bad", "secret": ["hush-hush-hush"]}', "`line 1, secret` must be a text"),
        (f"name,secret\n{GOOD}\nBad, hush-hush-hush\n", "`line 3, secret` must not begin or end with a blank"),
        (
            f'name,secret,description\n{GOOD},"on\ntwo"\nGo,api-go,\n,hush-hush-hush,\n',
            "`line 5, name` must not be empty",
        ),
        (f"name,secret\n{GOOD}\nBad,api-good-4f1d8e0a\n", "`line 3, secret` is that of line 2 too"),
        (f"name,secret,sha256\n{GOOD},\nBad,,hush-hush-hush\n", "`line 3, sha256` must be the SHA-256"),
        ("name,secret,builtInRole\nBad,hush-hush-hush,king\n", "`line 2, builtInRole` must be one of"),
        ("name,secret,customRoles\nBad,hush-hush-hush,a b\n", "`line 2, customRoles[0]` is no role you can see: `a`"),
        ("name,secret,statements\nBad,hush-hush-hush,[1]\n", "`line 2, statements` must be a list of objects"),
        ("name,secret,statements\nBad,hush-hush-hush,{\n", "`line 2, statements` must be a list in JSON"),
        (
            'name,secret,statements\nBad,hush-hush-hush,"[{""effect"": 1, ""effect"": 2}]"\n',
            "`line 2, statements` has an object with a field twice",
        ),
        ('name,secret,statements\nBad,hush-hush-hush,"[{""effect"": 1}]"\n', "`line 2, statements[0]"),
        ("name,secret,expiresAt\nBad,hush-hush-hush,soon\n", "`line 2, expiresAt` must be a time"),
        (
            "name,secret,expiresAt\nBad,hush-hush-hush,2001-01-01T00:00:00Z\n",
            "`line 2, expiresAt` must be in the future",
        ),
        ("name,secret,networks\nBad,hush-hush-hush,here\n", "`line 2, networks[0]`"),
        ("name,secret,responsible\nBad,hush-hush-hush,a@b.example\n", "`line 2, responsible` must be"),
        (
            '{"name": "Bad", "secret": "hush-hush-hush", "builtInRole": "reader", "statements": []}',
            "`line 1, statements` cannot be given together with `builtInRole`",
        ),
    ],
)
async def test_what_is_wrong_is_named_by_line_and_column_and_nothing_is_imported(
    request_: Request, tmp_path: Path, text: str, said: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(Refusal) as refused:
            await imports.bring(request_, None, Wanted(written(tmp_path, text, "tokens"), dry_run=dry_run))
        assert refused.value.message.startswith(said)
        assert "hush" not in refused.value.message
    assert await shown() == []


async def test_every_wrong_line_is_told_up_to_a_hundred(request_: Request, tmp_path: Path) -> None:
    lines = [f",api-secret-{n}" for n in range(imports.MOST_TOLD + 7)]
    with pytest.raises(Refusal) as refused:
        await imports.bring(request_, None, Wanted(written(tmp_path, "\n".join(["name,secret", *lines]))))
    told = refused.value.message.splitlines()
    assert (len(told), told[0], told[-1]) == (
        imports.MOST_TOLD + 1,
        "`line 2, name` must not be empty",
        "`FILE` has 7 problems more",
    )


async def test_what_was_interrupted_goes_on_where_it_was(request_: Request, tmp_path: Path) -> None:
    lines = ["name,secret", *(f"t{n},api-secret-{n}" for n in range(imports.CHUNK + 20))]
    half = written(tmp_path, "\n".join(lines[:300]))
    assert (await imports.bring(request_, None, Wanted(half))).endswith("\n299 imported")
    whole = written(tmp_path, "\n".join(lines))
    said = await imports.bring(request_, None, Wanted(whole))
    assert said.endswith(f"\n{imports.CHUNK + 20 - 299} imported, 299 there already")
    assert await Token.filter(kind=TokenKind.ACCOUNT).count() == imports.CHUNK + 20


async def test_the_account_is_named_where_there_are_several(request_: Request, tmp_path: Path) -> None:
    await accounts.create(request_, "other", "Other", "owner@other.example")
    path = written(tmp_path, f"name,secret\n{GOOD}\n")
    with pytest.raises(Conflict):
        await imports.bring(request_, None, Wanted(path))
    with pytest.raises(Invalid):
        await imports.bring(request_, "none", Wanted(path))
    await imports.bring(request_, "other", Wanted(path))
    caller = await identify("api-good-4f1d8e0a", request_)
    assert caller.account.key == "other"


async def test_nothing_that_is_kept_holds_a_secret(request_: Request, tmp_path: Path, elsewhere: Elsewhere) -> None:
    await imports.bring(request_, None, Wanted(written(tmp_path, CSV)))
    kept = repr(elsewhere.everything())
    assert not [text for text in (*SECRETS, HASHED) if text in kept]


def ask_or_refused(url: str, presented: str) -> Any:
    try:
        return ask(url, "{ viewer { account { key } } }", presented.encode().decode("latin-1"))
    except urllib.error.HTTPError as refused:
        return json.load(refused)


def until_known(url: str, secret: str) -> None:
    """Wait until a running server has seen that there are imports: a second at most."""
    end = time.monotonic() + 5
    while "errors" in ask_or_refused(url, secret):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_script_goes_on_with_the_secret_that_it_has(tmp_path: Path) -> None:
    """Import into a real database and use it over real HTTP; no secret is printed, logged or in the file."""
    folder = tmp_path / "data"
    path = written(tmp_path, CSV.replace("owner@localhost", ""))
    with started(folder) as process:
        url, _ = until_ready(process)
        assert "errors" in ask_or_refused(url, SECRETS[0])
        command = [sys.executable, str(ROOT / "server.py"), "import-tokens", "-"]
        stdin = Path(path).read_text(encoding="utf-8").encode()
        brought = subprocess.run(command, env=environment(folder), input=stdin, capture_output=True, check=False)
        assert brought.returncode == 0, brought.stderr
        assert brought.stdout.decode().endswith("\n3 imported\n")
        again = run(folder, "import-tokens", path, "--dry-run")
        assert again.stdout.endswith("\n0 to import, 3 there already, nothing changed: a dry run\n")
        until_known(url, SECRETS[0])
        for secret in SECRETS:
            for presented in (secret, f"Bearer {secret}"):
                answer = ask_or_refused(url, presented)
                assert answer == {"data": {"viewer": {"account": {"key": "main"}}}}, secret
        bad = run(folder, "import-tokens", written(tmp_path, "name,secret\n,hush-hush-hush\n", "bad.csv"))
        assert (bad.returncode, bad.stdout) == (2, "")
        assert bad.stderr == "latchkey: `line 2, name` must not be empty\n"
        status, out, log = ended(process)
    assert status == 0
    told = out + log + brought.stdout.decode() + brought.stderr.decode() + again.stdout + again.stderr
    assert not [secret for secret in (*SECRETS, HASHED) if secret in told]
    with sqlite3.connect(folder / "latchkey.sqlite3") as database:
        dumped = "\n".join(database.iterdump())
    kept = b"".join(each.read_bytes() for each in folder.iterdir())
    assert not [secret for secret in (*SECRETS, HASHED) if secret in dumped or secret.encode() in kept]
