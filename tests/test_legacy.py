"""The page on account-wide tokens keeps its word: from their import to their end."""

from pathlib import Path

from tests.walk import ROOT, prepared, walk


def test_the_page_keeps_its_word(tmp_path: Path) -> None:
    walk((ROOT / "docs" / "legacy.md").read_text(encoding="utf-8"), prepared(tmp_path))
