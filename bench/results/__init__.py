"""Figures as they were measured, one file for each part of the benches, from which `bench.report` writes RESULTS.md."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def keep(part: str, figures: dict[str, Any]) -> None:
    """Keep the figures of a part in place of earlier ones."""
    text = json.dumps(figures, indent=1, sort_keys=False)
    (HERE / f"{part}.json").write_text(f"{text}\n", encoding="utf-8")


def kept(part: str) -> dict[str, Any] | None:
    """Read the figures of a part; None if it was never measured."""
    path = HERE / f"{part}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
