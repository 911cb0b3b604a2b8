"""The page about migrating keeps its word."""

import shutil
from pathlib import Path

from tests.walk import ROOT, prepared, walk


def test_the_walk_from_account_wide_tokens_runs_as_it_is_written(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "launchdarkly.json", tmp_path)
    walk((ROOT / "docs" / "migration.md").read_text(encoding="utf-8"), prepared(tmp_path))
