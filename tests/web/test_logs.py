"""What is logged: an event a line, with its request's id, and nothing in it that is secret or looks like another."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.secret import Secret, SecretKind, heard
from web import logs

ROOT = Path(__file__).parents[2]
SECRET = Secret.mint(SecretKind.PERSONAL).text
FORGED = "a\r\nINFO latchkey: all is well\u2028ERROR x: y\u2029\x85\x1b[31mred\x00"
SHOWN = [SECRET, "hush", "whsec_" + "c2VjcmV0" * 4, "c2VjcmV0", "foreign-shape-of-42", "dXNlcjpwYXNzd29yZA=="]
TOLD = f"{SECRET} x{SECRET}y postgresql://me:hush@host/db {SHOWN[2]} Bearer foreign-shape-of-42, Basic {SHOWN[-1]}"


class Written:
    """A logger of a test's own, with what it wrote."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)
        self.log = logging.getLogger("web.some")
        self.log.propagate = False
        self.log.handlers = [self.handler]

    @property
    def text(self) -> str:
        return self._stream.getvalue()


@pytest.fixture
def asked() -> Iterator[None]:
    """Be inside of a request."""
    before = logs.request_id.set("0198-id")
    yield
    logs.request_id.reset(before)


def failing(log: logging.Logger) -> None:
    try:
        raise ValueError(f"{TOLD} {FORGED}")  # noqa: TRY301 - it is about the line it makes
    except ValueError:
        log.exception("could not %s", f"{FORGED} {TOLD}")


def test_as_json_an_event_is_a_line_with_all_that_is_known_of_it(asked: None) -> None:  # noqa: ARG001 - the request
    written = Written(logs.JSON())
    written.log.warning("%s is late", "it")
    failing(written.log)
    written.log.error("request %s failed\nTraceback\n  here", "0198-id")
    lines = written.text.splitlines()
    assert written.text.isascii()
    assert len(lines) == 3
    late, failed, masked = map(json.loads, lines)
    assert late.pop("time").endswith("Z")
    assert late == {"level": "warning", "logger": "web.some", "message": "it is late", "requestId": "0198-id"}
    assert failed["message"] == "could not a\r"
    assert failed["exception"].startswith("INFO latchkey: all is well\u2028ERROR x: y\u2029\x85\x1b[31mred\x00")
    assert "ValueError: " in failed["exception"]
    assert (masked["message"], masked["exception"]) == ("request 0198-id failed", "Traceback\n  here")
    for secret in SHOWN:
        assert secret not in written.text


def test_as_text_no_line_at_the_margin_was_sent_by_anybody(asked: None) -> None:  # noqa: ARG001 - the request
    written = Written(logs.Text())
    written.log.warning("it is late")
    failing(written.log)
    first, second, *rest = written.text.split("\n")
    assert first == "WARNING web.some: it is late (request 0198-id)"
    assert second.startswith(r"ERROR web.some: could not a\r")
    assert rest.pop() == ""
    assert all(line.startswith("    ") for line in rest)
    assert "    INFO latchkey: all is well\\u2028ERROR x: y\\u2029\\x85\\x1b[31mred\\x00" in rest[0]
    for secret in SHOWN:
        assert secret not in written.text


def test_a_crash_is_logged_as_everything_else_is() -> None:
    for crash, said in (("raise OSError(told)", "crashed"), ("thread()", "a thread crashed")):
        program = f"""
from threading import Thread
from web import logs
logs.begin("json", "error")
told = {TOLD!r}
def fail(): raise OSError(told)
def thread(): Thread(target=fail).start()
{crash}
"""
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        [line] = ended.stderr.splitlines()
        told = json.loads(line)
        assert (told["level"], told["message"]) == ("critical", said)
        assert "OSError: " in told["exception"]
        for secret in SHOWN:
            assert secret not in line


async def test_what_came_with_a_request_is_in_no_line_of_it() -> None:
    """A secret that has no shape, however an error shows it; and nothing that is a word, nor of another request."""
    written, sent = Written(logs.Text()), "it's ein geheimes Wörtchen"

    async def answer(name: str, secret: str) -> None:
        logs.answering(name)
        await asyncio.gather(hear(secret), hear("word"))
        written.log.error("%s: %s %r %r %s", name, secret, secret, secret.encode(), sent)

    async def hear(secret: str) -> None:
        heard(secret)

    await asyncio.gather(answer("first", sent), answer("second", "a word"))
    first, second = sorted(written.text.splitlines())
    assert first == 'ERROR web.some: first: … "…" b"…" …'
    assert sent in second
    assert "a word" in second
