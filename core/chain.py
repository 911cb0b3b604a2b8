"""The seals that make an audit log evident to tampering: each entry's covers its words and the seal before it.

What a chain alone cannot show is an end cut off or a log rolled back: for that one needs a head kept elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

JSON: TypeAlias = bool | int | str | Sequence["JSON"] | Mapping[str, "JSON"] | None
"""What an entry may hold. No fractions: their text differs between programs, and a seal must not."""

Sealed: TypeAlias = tuple[Mapping[str, JSON], str, str]
"""An entry, with its `sequence` counting from 1; the seal before it; its own."""

Link: TypeAlias = tuple[object, str, str, bool]
"""What a chain is told by of an entry: its number, the seal before it, its own, and whether that is its own indeed."""

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
    CUT_OFF = "cut off"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class Break:
    """The first sequence number at which a chain does not hold, and why.

    What only a signed head shows is known to lie somewhere from there `until` the head's own number.
    """

    sequence: int
    problem: Problem
    until: int | None = None

    def __str__(self) -> str:
        match self.problem:
            case Problem.CUT_OFF:
                return f"the end is cut off from entry {self.sequence} on: there was an entry {self.until}"
            case Problem.ROLLED_BACK:
                return f"the log was rolled back or rewritten: somewhere from entry {self.sequence} to {self.until}"
            case _:
                return f"entry {self.sequence} is {self.problem.value}"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a chain: the number and the seal of the last entry until there. A head is one, and so is a stub."""

    sequence: int
    seal: str

    @classmethod
    def first(cls, account_id: str) -> "Place":
        """Give the place before an account's first entry."""
        return cls(0, genesis(account_id))


class Walk:
    """A chain while it is read in its order, from a place on; heads that were signed are met on the way."""

    def __init__(self, start: Place, heads: Iterable[Place] = ()) -> None:
        self.start = self.at = start
        self._known = start.sequence
        """Up to here a head, or the start, has vouched for it."""
        self._heads: dict[int, set[str]] = {}
        for head in heads:
            self._heads.setdefault(head.sequence, set()).add(head.seal)

    def begin(self) -> Break | None:
        """Hold the place it begins at against a head of just there."""
        return self._met()

    def step(self, sequence: object, before: str, sealed: str, *, fits: bool) -> Break | None:
        """Take the next entry. `fits` says whether its seal is that of its words on the seal `before`.

        What is out of its place is told as missing, which it is only where it does not come later.
        """
        expected = self.at.sequence + 1
        if not fits or type(sequence) is not int:
            return Break(expected, Problem.ALTERED)
        if sequence != expected:
            return Break(*((sequence, Problem.ADDED) if sequence < expected else (expected, Problem.MISSING)))
        if before != self.at.seal:
            # This entry is whole, so what stood before it was another: replaced, and given a seal of its own.
            return Break(max(sequence - 1, self.start.sequence + 1), Problem.ALTERED)
        self.at = Place(sequence, sealed)
        return self._met()

    def end(self) -> Break | None:
        """Say whether a head was signed over more than there is."""
        beyond = max(self._heads, default=0)
        return Break(self.at.sequence + 1, Problem.CUT_OFF, beyond) if beyond > self.at.sequence else None

    def _met(self) -> Break | None:
        signed = self._heads.get(self.at.sequence)
        if signed is None:
            return None
        if signed != {self.at.seal}:
            return Break(min(self._known + 1, self.at.sequence), Problem.ROLLED_BACK, self.at.sequence)
        self._known = self.at.sequence
        return None


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
    return seal_text(previous, canonical(entry))


def seal_text(previous: str, text: bytes) -> str:
    """Seal the canonical text of an entry, as `seal` does the entry."""
    before = bytes.fromhex(previous)
    if len(before) != _SEAL_BYTES or before.hex() != previous:
        raise ValueError("a seal is 64 lower-case hex digits")
    # Fixed lengths before the entry: no two pairs of seal and entry are framed into the same bytes.
    return hashlib.sha256(_SEAL + before + text).hexdigest()


def verify(account_id: str, entries: Iterable[Sealed]) -> Break | None:
    """Read a whole chain in its order and name the first entry that is not as it was sealed; None if all are."""
    read = ((entry.get("sequence"), before, sealed, fits(before, entry, sealed)) for entry, before, sealed in entries)
    return walked(Walk(Place.first(account_id)), read)


def walked(walk: Walk, entries: Iterable[Link]) -> Break | None:
    """Read entries in their order, to their end or to the first that does not hold."""
    rest = iter(entries)
    for sequence, before, sealed, is_whole in rest:
        found = walk.step(sequence, before, sealed, fits=is_whole)
        if found and found.problem is Problem.MISSING and any(later[0] == found.sequence for later in rest):
            return Break(found.sequence, Problem.REORDERED)
        if found:
            return found
    return None


def fits(before: str, entry: Mapping[str, JSON], sealed: str) -> bool:
    """Say whether a seal is that of an entry on the seal before it."""
    try:
        return seal(before, entry) == sealed
    except ValueError:
        return False


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
