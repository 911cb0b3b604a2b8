"""What was measured of faults: kept while `make soak` runs, and written into docs/reliability.md at its end.

`python -m tests.faults.figures` writes the table.
"""

import fcntl
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from tests.effort import EFFORT, SOAK

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "figures.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


class Fault(StrEnum):
    """What happens, and on which databases `make soak` measures what it costs: each is a row of the table."""

    databases: tuple[str, ...]

    def __new__(cls, name: str, *databases: str) -> Self:
        """Make a fault from its name and its databases."""
        fault = str.__new__(cls, name)
        fault._value_ = name
        fault.databases = databases
        return fault

    KILLED = "`kill -9`", SQLITE, POSTGRESQL
    POWER_CUT = "power cut", SQLITE
    DISK_FULL = "the disk is full", SQLITE
    WRITES_FAIL = "writes fail", SQLITE
    SYNCS_FAIL = "syncs fail", SQLITE
    READS_FAIL = "reads fail", SQLITE
    CLIENTS_LEAVE = "clients leave", SQLITE, POSTGRESQL
    CLOCK_JUMPS = "the clock jumps", SQLITE, POSTGRESQL
    MIGRATION_KILLED = "a migration is killed", SQLITE, POSTGRESQL
    TWO_START = "two servers start on an empty database", SQLITE, POSTGRESQL
    RESTARTED = "the database is restarted", POSTGRESQL
    CRASHES = "the database crashes", POSTGRESQL
    CUT_OFF = "the database is cut off", POSTGRESQL
    SILENT = "the database falls silent", POSTGRESQL
    FAILS_OVER = "the database fails over", POSTGRESQL
    MIXED = "mixed load and random faults", SQLITE, POSTGRESQL


@dataclass
class Figures:
    """What came of a fault that happened several times."""

    fault: Fault
    database: str
    extent: str = ""
    """How much of it, where that is not told by how often."""
    runs: int = 0
    acknowledged: int = 0
    lost: int = 0
    undone: int = 0
    recovered_s: list[float] = field(default_factory=list)
    """From the end of the fault to the first change that was acknowledged again."""

    def __post_init__(self) -> None:
        """Refuse what would have no row. Raises ValueError."""
        self.fault = Fault(self.fault)
        if self.database not in self.fault.databases:
            raise ValueError(f"`{self.fault}` is not measured on {self.database}")

    def keep(self) -> None:
        """Keep it in place of what was measured of this fault before, if this is a run that counts."""
        if EFFORT != SOAK:
            return
        with KEPT.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            others = [line for line in kept() if (line.fault, line.database) != (self.fault, self.database)]
            file.truncate(0)
            file.writelines(json.dumps(asdict(line)) + "\n" for line in (*others, self))

    @property
    def row(self) -> str:
        """Its row of the table."""
        name = f"{self.fault} ({self.extent})" if self.extent else self.fault
        told = "" if not self.recovered_s else _seconds(self.recovered_s)
        return (
            f"| {name} | {self.database} | {self.runs} | {self.acknowledged:,} | {self.lost} | {self.undone} | {told} |"
        )


def kept() -> list[Figures]:
    """Read all that was measured. Raises ValueError for what has no row."""
    if not KEPT.exists():
        return []
    return [Figures(**json.loads(line)) for line in KEPT.read_text(encoding="utf-8").splitlines()]


def table() -> str:
    """Write all that is measured as a table, what has not been measured yet too."""
    return "\n".join(_table())


def _table() -> Iterator[str]:
    yield "| fault | database | runs | acknowledged changes | lost | undone | seconds to recover |"
    yield "|---|---|---|---|---|---|---|"
    measured = {(line.fault, line.database): line for line in kept()}
    for database in (SQLITE, POSTGRESQL):
        for fault in Fault:
            if database in fault.databases:
                line = measured.get((fault, database))
                yield line.row if line else f"| {fault} | {database} | not measured yet | | | | |"


def _seconds(taken: list[float]) -> str:
    return f"{statistics.median(taken):.1f}, at most {max(taken):.1f}"


def page() -> str:
    """Write the page with its table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> None:
    """Write the table into its page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
