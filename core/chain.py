"""The seals that make an audit log evident to tampering: each entry's covers its words and the seal before it.

What a chain alone cannot show is an end cut off or a log rolled back: for that one needs a head kept elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

JSON: TypeAlias = bool | int | str | Sequence["JSON"] | Mapping[str, "JSON"] | None
"""What an entry may hold. No fractions: their text differs between programs, and a seal must not."""

Sealed: TypeAlias = tuple[Mapping[str, JSON], str, str]
"""An entry, with its `sequence` counting from 1; the seal before it; its own."""

_GENESIS = b"latchkey chain 1\n"
_SEAL = b"latchkey entry 1\n"
LARGEST = 2**53 - 1
"""Beyond this, other programs read a JSON integer as a fraction."""
_SEAL_BYTES = 32


class Problem(StrEnum):
    """What is wrong at the first entry that is not as it was sealed."""

    ALTERED = "altered"
    MISSING = "missing"
    ADDED = "added"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class Break:
    """The first sequence number at which a chain does not hold, and why."""

    sequence: int
    problem: Problem


def canonical(entry: Mapping[str, JSON]) -> bytes:
    """Give the one text of an entry: keys sorted by code point, no spaces, UTF-8. Raises ValueError if it has none."""
    _check(entry)
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def genesis(account_id: str) -> str:
    """Give the seal before an account's first entry, so that no entry fits into another account's chain."""
    return hashlib.sha256(_GENESIS + account_id.encode("utf-8")).hexdigest()


def seal(previous: str, entry: Mapping[str, JSON]) -> str:
    """Seal an entry onto the seal before it. `previous` is 64 lower-case hex digits, and so is the answer."""
    before = bytes.fromhex(previous)
    if len(before) != _SEAL_BYTES or before.hex() != previous:
        raise ValueError("a seal is 64 lower-case hex digits")
    # Fixed lengths before the entry: no two pairs of seal and entry are framed into the same bytes.
    return hashlib.sha256(_SEAL + before + canonical(entry)).hexdigest()


def verify(account_id: str, entries: Iterable[Sealed]) -> Break | None:
    """Read a whole chain in its order and name the first entry that is not as it was sealed; None if all are."""
    expected, previous = 1, genesis(account_id)
    rest = iter(entries)
    for entry, before, sealed in rest:
        sequence = entry.get("sequence")
        if type(sequence) is not int:
            return Break(expected, Problem.ALTERED)
        if sequence != expected:
            return _out_of_place(sequence, expected, rest)
        if not _fits(before, entry, sealed):
            return Break(sequence, Problem.ALTERED)
        if before != previous:
            # This entry is whole, so what stood before it was another: replaced, and given a seal of its own.
            return Break(max(sequence - 1, 1), Problem.ALTERED)
        expected, previous = sequence + 1, sealed
    return None


def _fits(before: str, entry: Mapping[str, JSON], sealed: str) -> bool:
    try:
        return seal(before, entry) == sealed
    except ValueError:
        return False


def _out_of_place(sequence: int, expected: int, rest: Iterator[Sealed]) -> Break:
    if sequence < expected:
        return Break(sequence, Problem.ADDED)
    later = any(entry.get("sequence") == expected for entry, _, _ in rest)
    return Break(expected, Problem.REORDERED if later else Problem.MISSING)


def _check(value: object) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("an entry's keys are texts")
        for inner in value.values():
            _check(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner)
    elif isinstance(value, int):
        if abs(value) > LARGEST:
            raise ValueError("an entry's numbers stay below 2**53")
    elif value is not None and not isinstance(value, str):
        raise ValueError(f"an entry cannot hold a {type(value).__name__}")
