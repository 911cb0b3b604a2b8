"""docs/reliability.md has a row for each fault: what `make soak` measured, or that it has not been measured yet."""

from pathlib import Path

import pytest

from tests.effort import EFFORT, SOAK
from tests.faults import figures
from tests.faults.figures import SQLITE, Fault, Figures


@pytest.mark.skipif(EFFORT != 1, reason="`make soak` writes the page at its end")
def test_the_page_shows_what_was_measured() -> None:
    assert figures.PAGE.read_text(encoding="utf-8") == figures.page()


def test_only_make_soak_keeps_what_it_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "KEPT", tmp_path / "figures.jsonl")
    for effort in (1, SOAK, SOAK - 1):
        monkeypatch.setattr(figures, "EFFORT", effort)
        Figures(Fault.KILLED, SQLITE, runs=effort).keep()
    assert figures.kept() == [Figures(Fault.KILLED, SQLITE, runs=SOAK)]
    assert f"LATCHKEY_TEST_EFFORT={SOAK} " in (figures.ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_has_no_row_is_not_measured() -> None:
    with pytest.raises(ValueError, match="`power cut` is not measured on PostgreSQL"):
        Figures(Fault.POWER_CUT, figures.POSTGRESQL)
