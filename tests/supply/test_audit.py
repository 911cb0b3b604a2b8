"""An audit fails for what is known to be vulnerable, and never takes silence for an answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, ClassVar

import pytest

from supply import audit
from supply.audit import Finding, NotAskedError, NotToldError
from supply.locks import NPM_PROJECTS, REQUIREMENTS, UV_PROJECTS

ADVISORY = {
    "id": 1,
    "url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc",
    "title": "It does as it is told",
    "severity": "high",
    "vulnerable_versions": "<999",
}


class Registry(BaseHTTPRequestHandler):
    """A registry of npm's that knows of one advisory, or refuses to tell."""

    tells: ClassVar[bool] = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.answer(200 if self.tells else 403, {"graphql": [ADVISORY]} if self.tells else {})

    def do_GET(self) -> None:
        """Tell what versions there are, to know which of them to take instead: none."""
        self.answer(404, {})

    def answer(self, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An npm that asks a registry of this test's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("registry")
def test_npm_is_asked_about_a_lock_and_may_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    (console, *_) = NPM_PROJECTS
    assert Finding("graphql <999", "GHSA-aaaa-bbbb-cccc", ("It does as it is told",)) in audit.node(console)
    monkeypatch.setattr(Registry, "tells", False)
    with pytest.raises(NotAskedError):
        audit.node(console)


def test_every_lock_is_asked_about_and_silence_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    finding = Finding("graphql 16.0.0", "GHSA-aaaa-bbbb-cccc", ("CVE-2026-1",))
    answers: list[list[Finding] | NotAskedError] = []

    def node(_: Path) -> list[Finding]:
        if isinstance(answers[0], NotAskedError):
            raise answers[0]
        return answers[0]

    monkeypatch.setattr(audit, "node", node)
    monkeypatch.setattr(audit, "python", lambda _: [])
    monkeypatch.setattr(audit, "ACCEPTED", tmp_path / "accepted.json")
    audit.ACCEPTED.write_text("{}")

    def ended(what: list[Finding] | NotAskedError, *typed: str) -> tuple[int, list[str]]:
        answers[:] = [what]
        return audit.main(typed), capsys.readouterr().out.splitlines()

    status, said = ended([])
    assert status == 0
    assert len(said) == len(UV_PROJECTS) + len(REQUIREMENTS) + len(NPM_PROJECTS)
    status, said = ended([finding], "--offline-is-fine")
    assert status == 1
    assert "  VULNERABLE: graphql 16.0.0: GHSA-aaaa-bbbb-cccc CVE-2026-1" in said
    for typed, expected in (((), 2), (("--offline-is-fine",), 0)):
        status, said = ended(NotToldError("the registry refused"), *typed)
        assert status == expected
        assert "NOT AUDITED: console/package-lock.json: the registry refused" in said
        assert "NOT AUDITED: tests/frontends/package-lock.json: likewise" in said
    audit.ACCEPTED.write_text('{"CVE-2026-1": "the tests alone have it"}')
    assert ended([finding])[0] == 0
    status, said = ended(NotAskedError("not found: attrs", [finding]))
    assert status == 2
    assert "NOT AUDITED: console/package-lock.json: not found: attrs" in said
    audit.ACCEPTED.write_text("{}")
    assert ended(NotAskedError("not found: attrs", [finding]))[0] == 1


def told(*packages: dict[str, Any], stderr: str = "") -> list[Finding]:
    """Read what pip-audit says of these packages."""
    stdout = json.dumps({"dependencies": packages}) if packages else ""
    return audit.read_pip_audit(CompletedProcess([], 0, stdout, stderr))


def test_what_pip_audit_could_not_look_up_is_no_answer() -> None:
    skipped = {"name": "attrs", "skip_reason": "Dependency not found on PyPI: attrs"}
    well: dict[str, Any] = {"name": "idna", "version": "3.2", "vulns": []}
    vulnerable = {"name": "orjson", "version": "3.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"]}]}
    with pytest.raises(NotToldError, match="connection refused"):
        told(stderr="ERROR: connection refused\n")
    with pytest.raises(NotToldError, match="attrs"):
        told(skipped)
    with pytest.raises(NotAskedError, match="attrs"):
        told(skipped, well)
    with pytest.raises(NotAskedError, match="attrs") as partly:
        told(skipped, vulnerable, well)
    assert partly.value.found == [Finding("orjson 3.0", "PYSEC-1", ("CVE-1",))]
    assert told(vulnerable, well) == partly.value.found
    assert told(well) == []
