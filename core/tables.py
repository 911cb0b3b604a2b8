"""Tables as CSV (RFC 4180), safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Cell: TypeAlias = str | int | Sequence[str] | None

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would run: https://owasp.org/www-community/attacks/CSV_Injection."""


def written(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> bytes:
    """Write rows, of each the columns in their order."""
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(row[column]) for column in columns] for row in rows])
    return text.getvalue().encode()


def headed(columns: Sequence[str]) -> bytes:
    """Write the first line, which names the columns."""
    return ",".join(columns).encode() + b"\r\n"


def _cell(value: Cell) -> str:
    """Write a cell as text; a list's items stand apart by spaces."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    text = value if isinstance(value, str) else " ".join(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
