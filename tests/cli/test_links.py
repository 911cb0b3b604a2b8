"""A one-time link reaches a person's terminal, or a file that only its owner can read."""

import io
from pathlib import Path

from cli.links import deliver

LINK = "http://127.0.0.1:8000/#/invite/lkl_made_up"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_is_shown_and_kept_nowhere(tmp_path: Path) -> None:
    redirected, terminal = io.StringIO(), Terminal()
    assert deliver(LINK, (redirected, terminal), tmp_path) is None
    assert LINK in terminal.getvalue()
    assert redirected.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_it_is_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    stale = tmp_path / "sign-in-link.txt"
    stale.write_text("an older one")
    stale.chmod(0o644)
    redirected = io.StringIO()
    path = deliver(LINK, (redirected,), tmp_path)
    assert path == stale
    assert path.read_text() == f"{LINK}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert redirected.getvalue() == ""
