"""Exports of a log: one line that says what is in it, signed, and a line for each entry. Verified without a server.

Each line of an entry is framed in one way only, and its seal covers the text of the entry as it stands in the line, so
that no bit of an export can be another without being named.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.chain import JSON, Break, Link, Place, Walk, canonical, seal_text, walked
from core.findings import Finding, Heads, doubt, nobody
from core.signed import Kind, Malformed, Signed, Statement, are_printable

_FRAME = re.compile(rb'\{"entry":(\{.*\}),"previous":"([0-9a-f]{64})","seal":"([0-9a-f]{64})"\}', re.DOTALL)


def line(entry: Mapping[str, JSON], previous: str, seal: str) -> bytes:
    """Write an entry as a line of JSON, without the line's end."""
    return b'{"entry":%s,"previous":"%s","seal":"%s"}' % (canonical(entry), previous.encode(), seal.encode())


def _links(lines: Iterable[bytes]) -> Iterator[Link]:
    for text in lines:
        found = _FRAME.fullmatch(text.removesuffix(b"\n")) if text.endswith(b"\n") else None
        if found is None:
            yield None, "", "", False
            continue
        entry, before, sealed = found[1], found[2].decode(), found[3].decode()
        is_whole = seal_text(before, entry) == sealed
        yield _sequence(entry) if is_whole else None, before, sealed, is_whole


def _sequence(entry: bytes) -> object:
    try:
        return json.loads(entry).get("sequence")
    except (ValueError, RecursionError):
        return None


NO_KEY = "no public key was given: whoever could write the export could have made all of it anew"
_ALTERED = "its first line is altered, or signed with another key"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of an export: of whose log it is, where it begins and where it ends."""

    statement: Statement
    stub: Statement | None
    """What was signed when the entries before the first that is left were pruned."""

    @classmethod
    def of(cls, said: Mapping[str, JSON], stub: Statement | None, sign: Callable[[bytes], str]) -> "Header":
        """Make the header of an export. `said` is what `parse` reads, without the stub."""
        told = {**said, "stub": stub.line().decode() if stub else None}
        return cls(Statement.of(Kind.EXPORT, told, sign), stub)

    @classmethod
    def parse(cls, line: bytes) -> "Header":
        """Read the first line of an export, with its end. Raises Malformed."""
        statement = Statement.parse(Kind.EXPORT, line.removesuffix(b"\n"))
        said = statement.said
        stub = said.get("stub")
        if not are_printable([said.get("key"), said.get("previous")]) or type(said.get("since")) is not int:
            raise Malformed("is no first line of an export")
        return cls(statement, Statement.parse(Kind.STUB, str(stub).encode()) if stub is not None else None)

    @property
    def account(self) -> str:
        """The account's id."""
        return str(self.statement.said["account"])

    @property
    def label(self) -> str:
        """What people call the account, and its id."""
        return f"{self.statement.said['key']} ({self.account})"

    @property
    def start(self) -> Place:
        """The place after which it begins."""
        return Place(self.statement.said["since"], self.statement.said["previous"])

    def is_altered(self, signed: Signed | None) -> bool:
        """Say whether it contradicts itself, or what signed it is not the key that it names."""
        return not self._is_sound() or any(is_signed is False for _, is_signed in self._answers(signed))

    def doubts(self, signed: Signed | None) -> list[str]:
        """Say which of its signatures prove nothing, their key not being known."""
        unknown = (statement for statement, is_signed in self._answers(signed) if is_signed is None)
        return [str(doubt("the first line", statement, nobody)) for statement in unknown]

    def _answers(self, signed: Signed | None) -> list[tuple[Statement, bool | None]]:
        if signed is None:
            return []
        statements = [self.statement] if self.stub is None else [self.statement, self.stub]
        return [(statement, statement.is_signed(signed)) for statement in statements]

    def _is_sound(self) -> bool:
        """Say whether what it says fits together."""
        if self.start.sequence > self.statement.place.sequence:
            return False
        if self.stub is None:
            return self.start.sequence > 0 or self.start == Place.first(self.account)
        pruned = self.stub.place
        begins = self.start == pruned or self.start.sequence > pruned.sequence
        return begins and self.stub.said["account"] == self.account


def check(parts: Sequence[Iterable[bytes]], heads: Iterable[Statement], signed: Signed | None) -> Finding:
    """Verify an export: of one part or of several that follow each other, each the lines of a file with their ends.

    Without `signed` no signature is looked at, and the finding says so. Each part is read once, line by line.
    """
    begun = []
    for part in parts:
        lines = iter(part)
        try:
            begun.append((Header.parse(next(lines, b"")), lines))
        except Malformed:
            return Finding("export", 1, 0, _ALTERED)
    return _checked(begun, list(heads), signed)


def _checked(
    parts: Sequence[tuple[Header, Iterator[bytes]]], heads: Sequence[Statement], signed: Signed | None
) -> Finding:
    first = parts[0][0]
    vouching = Heads.of(heads, signed or nobody, first.account)
    unsure = [*vouching.unsure, *(why for header, _ in parts for why in header.doubts(signed))]
    broken: Break | str | None = _ALTERED if any(header.is_altered(signed) for header, _ in parts) else None
    walk = Walk(first.start, (*vouching.places, *(header.statement.place for header, _ in parts)))
    broken = broken or walk.begin() or _read(walk, parts) or walk.end()
    return Finding(
        first.label,
        first.start.sequence + 1,
        walk.at.sequence,
        broken,
        tuple(unsure),
        tuple(_notes(first, vouching, signed)),
    )


def _read(walk: Walk, parts: Sequence[tuple[Header, Iterator[bytes]]]) -> Break | str | None:
    account = parts[0][0].account
    for number, (header, lines) in enumerate(parts, 1):
        if (header.account, header.start) != (account, walk.at):
            return f"part {number} does not go on after entry {walk.at.sequence}"
        if broken := walked(walk, _links(lines)):
            return broken
    return None


def _notes(first: Header, vouching: Heads, signed: Signed | None) -> Iterator[str]:
    yield from vouching.notes(first.start)
    begins = first.start.sequence
    if first.stub and begins == first.stub.place.sequence:
        yield f"entries up to {begins} were pruned; the signed stub says so"
    elif begins:
        yield f"entries up to {begins} are not in this export"
    if signed is None:
        yield NO_KEY
