"""What became of verifying a log: whole, broken at a place, or that it cannot be said; and what could not be seen."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from core.chain import Break, Place
from core.signed import Signed, Statement

UNSEEN = "without a signed head kept elsewhere, a cut-off end and a rollback cannot be seen"
WHOLE, BROKEN, UNSURE = 0, 1, 2
"""The exit statuses."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about the log of one account."""

    account: str
    """What people call it, or its id."""
    first: int
    last: int
    """The numbers of the first and the last entry that were read; the last is before the first if there are none."""
    broken: Break | str | None = None
    unsure: tuple[str, ...] = ()
    """Why it cannot be said that all is as it was."""
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status that says it."""
        return BROKEN if self.broken else UNSURE if self.unsure else WHOLE

    def lines(self) -> Iterator[str]:
        """Tell it for people to read, and in the same words for programs."""
        if self.broken:
            yield f"{self.account}: broken: {self.broken}"
        elif self.unsure:
            yield from (f"{self.account}: cannot say: {why}" for why in self.unsure)
        elif self.last < self.first:
            yield f"{self.account}: whole: no entries after {self.first - 1}"
        else:
            yield f"{self.account}: whole: entries {self.first} to {self.last}"
        yield from (f"  {note}" for note in self.notes)


def status(findings: Sequence[Finding]) -> int:
    """Give the exit status for several accounts: one that is broken counts most."""
    found = {finding.status for finding in findings}
    return BROKEN if BROKEN in found else max(found, default=UNSURE)


@dataclass(frozen=True, slots=True)
class Heads:
    """Signed heads to hold a log against."""

    places: tuple[Place, ...] = ()
    unsure: tuple[str, ...] = ()
    """Which of them prove nothing, and why."""

    @classmethod
    def of(cls, heads: Iterable[Statement], signed: Signed, account_id: str) -> "Heads":
        """Take those of an account whose signature is good."""
        own = [head for head in heads if head.said["account"] == account_id]
        doubted = [(head, doubt(f"the head of entry {head.place.sequence}", head, signed)) for head in own]
        return cls(
            tuple(head.place for head, why in doubted if why is None),
            tuple(why for _, why in doubted if why is not None),
        )

    def notes(self, start: Place) -> Iterator[str]:
        """Say what they were good for, from where the log begins."""
        if not self.places:
            yield UNSEEN
            return
        seen = [place.sequence for place in self.places if place.sequence >= start.sequence]
        if seen:
            yield f"held against signed heads: {len(seen)}, the last of entry {max(seen)}"
        if len(seen) < len(self.places):
            yield f"signed heads of entries that are not here any more: {len(self.places) - len(seen)}"


def doubt(what: str, statement: Statement, signed: Signed) -> str | None:
    """Say why a statement proves nothing; None if it is signed as it says."""
    is_signed = statement.is_signed(signed)
    if is_signed:
        return None
    how = "is signed with a key that is not known" if is_signed is None else "is not signed with its key"
    return f"{what} {how}: `{statement.said['keyId']}`"


def nobody(_key_id: str, _message: bytes, _signature: str) -> None:
    """Know no key."""
