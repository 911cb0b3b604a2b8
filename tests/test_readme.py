"""The README keeps its word: its walk runs as it is written, its table names every setting."""

import re
from pathlib import Path

from settings import PREFIX, Settings
from tests.walk import ROOT, prepared, walk

README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_walk_runs_as_it_is_written(tmp_path: Path) -> None:
    walk(section("A walk"), prepared(tmp_path))


def test_the_table_names_every_setting() -> None:
    cells = re.findall(r"^\| (`.*?) \|", section("Settings"), re.MULTILINE)
    named = [name for cell in cells for name in re.findall(rf"`{PREFIX}(\w+)`", cell)]
    assert named == [name.upper() for name in Settings.model_fields]


def test_every_test_that_the_threat_model_points_at_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[^`]+)`", page))
    assert len(named) > 30
    assert {name for name in named if not (ROOT / name).is_file()} == set()
