"""The README keeps its word: its walk runs as it is written, its table names every setting."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from server import PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BETWEEN = "-- next block --"


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def pattern(expected: str) -> str:
    """Read expected output as a regular expression in which `…` is anything on one line."""
    return ".*".join(re.escape(part) for part in expected.split("…"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the installed command in it, to which the walk may write."""
    subprocess.run(["make", "--silent", ".venv/bin/latchkey"], cwd=ROOT, check=True)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_the_walk_runs_as_it_is_written(checkout: Path) -> None:
    script, expected = f"trap 'kill %1' EXIT\necho '{BETWEEN}'\n", [""]
    for language, text in BLOCK.findall(section("A walk")):
        if language == "sh":
            script += f"{text}\necho '{BETWEEN}'\n"
            expected.append("")
        else:
            expected[-1] = text
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}

    walked = subprocess.run(
        ["bash", "-e"], input=script, cwd=checkout, env=clean, capture_output=True, text=True, check=False
    )

    said = walked.stdout.split(f"{BETWEEN}\n")[:-1]
    assert len(said) == len(expected), f"{walked.stdout}\n{walked.stderr}"
    for given, wanted in zip(said, expected, strict=True):
        assert re.fullmatch(pattern(wanted), given), f"expected\n{wanted}\ngot\n{given}"


def test_the_table_names_every_setting() -> None:
    named = re.findall(rf"^\| `{PREFIX}(\w+)` \|", section("Settings"), re.MULTILINE)
    assert named == [name.upper() for name in Settings.model_fields]
