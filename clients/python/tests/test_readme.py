"""The README keeps its word: its application is served and guarded, its other blocks print what stands below them."""

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Demo

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVING = re.compile(r"running on (http://\S+)")


@pytest.fixture(scope="module")
def given(running: Demo) -> dict[str, str]:
    """The environment of what runs: where Latchkey is, a service token, and a token that was presented."""
    service = running.make("SERVICE", ("verifyAccessToken", "acct"), ("recordAuditEntry", "acct"))
    told = {"LATCHKEY_URL": running.url, "LATCHKEY_TOKEN": service.secret, "PRESENTED": running.secrets["limited"]}
    return {**os.environ, **told}


@pytest.fixture
def served(given: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The README's application on a real server; gives its address."""
    (tmp_path / "guarded.py").write_text(BLOCK.findall(README)[0][1])
    command = [sys.executable, "-m", "uvicorn", "guarded:app", "--port", "0", "--no-access-log"]
    with subprocess.Popen(command, cwd=tmp_path, env=given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            yield next(found[1] for line in process.stderr if (found := SERVING.search(line)))
        finally:
            process.kill()


def asked(url: str, path: str, secret: str) -> tuple[int, str]:
    """Ask with the path as it is written: other clients would tidy it up."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_its_application_is_guarded(served: str, running: Demo) -> None:
    limited = running.secrets["limited"]
    assert asked(served, "/projects/web", limited) == (200, '{"project":"web","askedBy":"demo: limited to web"}')
    assert asked(served, "/projects/%77eb", limited)[0] == 200
    assert asked(served, "/projects/web", "lkp_unknown") == (401, "")
    for path in ("mobile", "mobile/../web", "web%2F", "web;", "./web", "%2e/web", "web%5C", ""):
        assert asked(served, f"/projects/{path}", limited) == (403, ""), path
    assert asked(served, "/openapi.json", running.secrets["owner"]) == (403, "")


def test_its_other_blocks_print_what_stands_below_them(given: dict[str, str]) -> None:
    _, *blocks = BLOCK.findall(README)
    script = "".join(text for language, text in blocks if language == "python")
    expected = "".join(text for language, text in blocks if language == "text")
    ran = subprocess.run([sys.executable, "-c", script], env=given, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == (expected, "")
