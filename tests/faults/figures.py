"""What was measured of faults: kept while `make soak` runs, and written into docs/reliability.md at its end.

`python -m tests.faults.figures` writes the table.
"""

import fcntl
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.effort import EFFORT

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "figures.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass
class Figures:
    """What came of a fault that happened several times."""

    fault: str
    database: str
    runs: int = 0
    acknowledged: int = 0
    lost: int = 0
    undone: int = 0
    recovered_s: list[float] = field(default_factory=list)
    """From the end of the fault to the first change that was acknowledged again."""

    def keep(self) -> None:
        """Keep it in place of what was measured of this fault before, if this is a run that counts."""
        if EFFORT == 1:
            return
        with KEPT.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            others = [line for line in _lines() if (line.fault, line.database) != (self.fault, self.database)]
            file.truncate(0)
            file.writelines(json.dumps(asdict(line)) + "\n" for line in (*others, self))


def _lines() -> list[Figures]:
    if not KEPT.exists():
        return []
    return [Figures(**json.loads(line)) for line in KEPT.read_text(encoding="utf-8").splitlines()]


def table() -> str:
    """Write all that was measured as a table."""
    return "\n".join(_table())


def _table() -> Iterator[str]:
    yield "| fault | database | runs | acknowledged changes | lost | undone | seconds to recover |"
    yield "|---|---|---|---|---|---|---|"
    for line in sorted(_lines(), key=lambda line: (line.database == "PostgreSQL", line.fault)):
        told = "" if not line.recovered_s else _seconds(line.recovered_s)
        yield (
            f"| {line.fault} | {line.database} | {line.runs} | {line.acknowledged:,} | {line.lost} | {line.undone}"
            f" | {told} |"
        )


def _seconds(taken: list[float]) -> str:
    return f"{statistics.median(taken):.1f}, at most {max(taken):.1f}"


def main() -> None:
    """Write the table into its page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
