"""The server as a user starts it: in a process of its own, with what it says and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
READY = re.compile(r"ready: (http://\S+)")
ACCEPT = 'mutation { acceptInvite(input: { secret: "%s", password: "correct horse battery" }) { __typename } }'
SIGN_IN = 'mutation { signIn(input: { email: "owner@localhost", password: "correct horse battery" }) { secret } }'
VIEWER = "{ viewer { member { email baseRole } account { key } } }"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    return {**given, "LATCHKEY_DATA_DIR": str(folder), **settings}


@contextmanager
def started(folder: Path, *options: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "server.py"), "--port", "0", *options],
        env=environment(folder, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for the server's address; returns it and all that the log said before."""
    assert process.stderr
    log = ""
    for line in process.stderr:
        log += line
        if ready := READY.search(line):
            return ready[1], log
    raise AssertionError(log)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "server.py"), *arguments]
    return subprocess.run(command, env=environment(folder, **settings), capture_output=True, text=True, check=False)


def ask(url: str, query: str, credential: str | None = None) -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": credential} if credential else {})}
    asked = urllib.request.Request(f"{url}/graphql", json.dumps({"query": query}).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(asked) as answer:  # noqa: S310 - our own server
        return json.load(answer)


def test_a_first_start_makes_an_owner_who_comes_in_and_a_second_start_makes_none(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with started(folder) as process:
        url, log = until_ready(process)
        kept = folder / "sign-in-link.txt"
        assert kept.stat().st_mode & 0o777 == 0o600
        secret = kept.read_text().strip().rpartition("/")[2]
        assert "errors" not in ask(url, ACCEPT % secret)
        session = ask(url, SIGN_IN)["data"]["signIn"]["secret"]
        assert ask(url, VIEWER, session) == {
            "data": {
                "viewer": {"member": {"email": "owner@localhost", "baseRole": "OWNER"}, "account": {"key": "main"}}
            }
        }
        status, out, rest = ended(process)
    assert (status, out) == (0, "")
    assert str(kept) in log
    for told in (secret, session):
        assert told not in log + rest
    kept.unlink()

    with started(folder) as process:
        url, _ = until_ready(process)
        assert ask(url, VIEWER, session)["data"]["viewer"]["member"]["email"] == "owner@localhost"
        assert ended(process)[0] == 0
    assert {path.name for path in folder.iterdir()} == {"latchkey.sqlite3", "latchkey.keys.json"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_the_demo_says_one_line_of_json_once_it_answers(tmp_path: Path) -> None:
    with started(tmp_path, "--demo", "--json") as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        assert told["graphql"] == f"{told['url']}/graphql"
        assert told["gates"] == {key: f"{told['url']}/authz/demo:{key}" for key in ("original", "forwarded", "path")}
        assert list(told["secrets"]) == ["owner", "admin", "writer", "reader", "service", "legacy", "limited"]
        for secret in told["secrets"].values():
            assert ask(told["url"], "{ viewer { account { key } } }", secret) == {
                "data": {"viewer": {"account": {"key": "demo"}}}
            }
        status, out, log = ended(process)
    assert (status, out) == (0, "")
    given = [*told["secrets"].values(), told["introspection"]["client_secret"]]
    assert not [secret for secret in given if secret in log]


def test_commands_work_on_the_same_database(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    made = run(tmp_path, "account", "create", "one", "--owner-email", "owner@one.example")
    assert made.returncode == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/#/invite/lkl_\w{36}\n", made.stdout)
    two = run(tmp_path, "account", "create", "two")
    assert two.returncode == 0
    again = run(tmp_path, "member", "link", "owner@one.example")
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/#/invite/lkl_\w{36}\n", again.stdout)
    assert again.stdout != made.stdout
    taken = run(tmp_path, "account", "create", "one", "--owner-email", "owner@one.example")
    assert (taken.returncode, taken.stdout) == (2, "")
    assert taken.stderr.endswith("latchkey: `key` is taken: `one`\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json"], "latchkey: `--json` goes with `--demo`\n"),
        (["member", "link", "nobody@localhost"], "latchkey: `EMAIL` is no member's: `nobody@localhost`\n"),
    ],
)
def test_a_refusal_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    refused = run(tmp_path, *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines(keepends=True)[-1] == said
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with started(tmp_path / "first") as process:
        port = until_ready(process)[0].rpartition(":")[2]
        refused = run(tmp_path / "second", "--port", port)
        assert refused.stderr == f"latchkey: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
        assert (refused.returncode, refused.stdout) == (2, "")
