#!/usr/bin/env python3
"""Verify an export of Latchkey's audit log, without Latchkey: this file and `cryptography` are all it takes.

    python3 verify_audit.py EXPORT... [--against HEADS] [--key KEYS]

EXPORT is what `latchkey audit export` wrote, in one file or in several that follow each other. HEADS is a file of
signed heads, one a line, that you kept from earlier; KEYS is what `latchkey audit key` printed, best kept from earlier
too. The words and the exit status are those of `latchkey audit verify`: 0 whole, 1 broken, 2 cannot say.

The format. Each line of an export ends with a line feed. The first is

    {"export":{...},"signature":"<128 hex digits>"}

and every other is an entry, sealed onto the one before it:

    {"entry":{...},"previous":"<64 hex digits>","seal":"<64 hex digits>"}

A seal is SHA-256 over `latchkey entry 1`, a line feed, the 32 bytes of `previous`, and the text between `"entry":` and
`,"previous"` as it stands. The first entry's `previous` is SHA-256 over `latchkey chain 1`, a line feed and the id of
the account. A signature is Ed25519 over `latchkey export 1` (or `head`, or `stub`), a line feed, and the text of the
object beside it as it stands.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

ENTRY = re.compile(rb'\{"entry":(\{.*\}),"previous":"([0-9a-f]{64})","seal":"([0-9a-f]{64})"\}\n', re.DOTALL)
SIGNED = re.compile(rb'\{"(export|head|stub)":(\{.*\}),"signature":"([0-9a-f]{128})"\}', re.DOTALL)
Keys = dict[str, Ed25519PublicKey]
Place = tuple[int, str]
"""The number and the seal of an entry."""
LONGEST = 64 * 2**20
FIRST_LINE = "its first line is altered, or signed with another key"
UNSEEN = "without a signed head kept elsewhere, a cut-off end and a rollback cannot be seen"
NO_KEY = "no public key was given: whoever could write the export could have made all of it anew"


class Broken(Exception):
    """The export is not as it was written."""


class Unusable(Exception):
    """What was given besides the export cannot be used."""


def object_of(text: bytes) -> "dict[str, Any]":
    """Read an object of JSON; an empty one if it is none."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def is_statement(said: "dict[str, Any]") -> bool:
    """Say whether there is what every signed line says."""
    sequence, texts = said.get("sequence"), [said.get(name) for name in ("account", "at", "keyId", "seal")]
    if type(sequence) is not int or sequence < 0 or not are_printable(texts):
        return False
    return re.fullmatch("[0-9a-f]{64}", said["seal"]) is not None


def are_printable(texts: "list[object]") -> bool:
    """Say whether these are texts that may be shown on a terminal."""
    return all(isinstance(text, str) and text.isprintable() for text in texts)


class Statement:
    """A signed line: that a log ended so (`head`), began so (`stub`), or what stands in an export."""

    def __init__(self, kind: str, line: bytes) -> None:
        found = SIGNED.fullmatch(line)
        if found is None or found[1].decode() != kind:
            raise Unusable(f"is no signed {kind}")
        self.message = b"latchkey " + found[1] + b" 1\n" + found[2]
        self.signature = bytes.fromhex(found[3].decode())
        self.said = object_of(found[2])
        if not is_statement(self.said):
            raise Unusable(f"is no signed {kind}")
        self.account, self.key_id = self.said["account"], self.said["keyId"]
        self.place: Place = (self.said["sequence"], self.said["seal"])

    def is_signed(self, keys: Keys) -> "bool | None":
        """Say whether the key that it names signed it; None if that key is not known."""
        if self.key_id not in keys:
            return None
        try:
            keys[self.key_id].verify(self.signature, self.message)
        except InvalidSignature:
            return False
        return True

    def doubt(self, what: str, keys: Keys) -> "str | None":
        """Say why it proves nothing; None if it is signed as it says."""
        is_signed = self.is_signed(keys)
        if is_signed:
            return None
        how = "is signed with a key that is not known" if is_signed is None else "is not signed with its key"
        return f"{what} {how}: `{self.key_id}`"


class Header(Statement):
    """The first line of an export: of whose log it is, where it begins and where it ends."""

    def __init__(self, line: bytes) -> None:
        super().__init__("export", line.removesuffix(b"\n"))
        if (
            not are_printable([self.said.get("key"), self.said.get("previous")])
            or type(self.said.get("since")) is not int
        ):
            raise Unusable("is no first line of an export")
        stub = self.said.get("stub")
        self.stub = None if stub is None else Statement("stub", str(stub).encode())
        self.start: Place = (self.said["since"], self.said["previous"])
        self.label = f"{self.said['key']} ({self.account})"

    def is_sound(self) -> bool:
        """Say whether what it says fits together."""
        if self.start[0] > self.place[0]:
            return False
        if self.stub is None:
            return self.start[0] > 0 or self.start == (0, genesis(self.account))
        if self.stub.account != self.account:
            return False
        return self.start == self.stub.place or self.start[0] > self.stub.place[0]

    def unsure(self, keys: "Keys | None") -> "list[str]":
        """Say which of its signatures prove nothing. Raises Broken for one that is not its key's."""
        known = keys or {}
        statements = [] if keys is None else [self] if self.stub is None else [self, self.stub]
        answers = [(statement, statement.is_signed(known)) for statement in statements]
        if not self.is_sound() or any(answer is False for _, answer in answers):
            raise Broken(FIRST_LINE)
        return [str(statement.doubt("the first line", known)) for statement, answer in answers if answer is None]


class Walk:
    """A chain while it is read; signed heads are met on the way."""

    def __init__(self, start: Place, heads: Iterable[Place]) -> None:
        self.start = self.at = start
        self.vouched = start[0]
        self.heads: dict[int, set[str]] = {}
        for sequence, seal in heads:
            self.heads.setdefault(sequence, set()).add(seal)

    def meet(self) -> None:
        """Hold the place against a head of just there."""
        signed = self.heads.get(self.at[0])
        if signed is None:
            return
        if signed != {self.at[1]}:
            begin = min(self.vouched + 1, self.at[0])
            raise Broken(f"the log was rolled back or rewritten: somewhere from entry {begin} to {self.at[0]}")
        self.vouched = self.at[0]

    def read(self, lines: Iterator[bytes]) -> None:
        """Take the entries of a part, in their order."""
        for line in lines:
            expected = self.at[0] + 1
            sequence, before, seal = entry(line)
            if sequence is None:
                raise Broken(f"entry {expected} is altered")
            if sequence < expected:
                raise Broken(f"entry {sequence} is added")
            if sequence > expected:
                later = any(entry(other)[0] == expected for other in lines)
                raise Broken(f"entry {expected} is {'reordered' if later else 'missing'}")
            if before != self.at[1]:
                raise Broken(f"entry {max(sequence - 1, self.start[0] + 1)} is altered")
            self.at = (sequence, seal)
            self.meet()

    def end(self) -> None:
        """See whether a head was signed over more than there is."""
        beyond = max(self.heads, default=0)
        if beyond > self.at[0]:
            raise Broken(f"the end is cut off from entry {self.at[0] + 1} on: there was an entry {beyond}")


def genesis(account: str) -> str:
    """Give the seal before the first entry of an account."""
    return hashlib.sha256(b"latchkey chain 1\n" + account.encode()).hexdigest()


def entry(line: bytes) -> "tuple[int | None, str, str]":
    """Give an entry's number, the seal before it and its own; None as its number if its seal is not its own."""
    found = ENTRY.fullmatch(line)
    if found is None:
        return None, "", ""
    text, before, seal = found[1], found[2].decode(), found[3].decode()
    if hashlib.sha256(b"latchkey entry 1\n" + bytes.fromhex(before) + text).hexdigest() != seal:
        return None, "", ""
    sequence = object_of(text).get("sequence")
    return (sequence if type(sequence) is int else None), before, seal


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a file with their ends, one after the other."""
    while line := file.readline(LONGEST):
        yield line


def verify(files: Sequence[BinaryIO], heads: "list[Statement]", keys: "Keys | None") -> "tuple[list[str], int]":
    """Verify an export; gives the lines to print and the exit status."""
    parts = []
    for file in files:
        lines = lines_of(file)
        try:
            parts.append((Header(next(lines, b"")), lines))
        except Unusable:
            return [f"export: broken: {FIRST_LINE}"], 1
    first = parts[0][0]
    own = [(head, head.doubt(f"the head of entry {head.place[0]}", keys or {})) for head in heads]
    own = [(head, doubt) for head, doubt in own if head.account == first.account]
    vouching = [head.place for head, doubt in own if doubt is None]
    unsure = [doubt for _, doubt in own if doubt is not None]
    walk = Walk(first.start, [*vouching, *(header.place for header, _ in parts)])
    try:
        for header, _ in parts:
            unsure += header.unsure(keys)
        walk.meet()
        for number, (header, lines) in enumerate(parts, 1):
            if (header.account, header.start) != (first.account, walk.at):
                raise Broken(f"part {number} does not go on after entry {walk.at[0]}")  # noqa: TRY301 - told below
            walk.read(lines)
        walk.end()
    except Broken as broken:
        told, status = [f"{first.label}: broken: {broken}"], 1
    else:
        told, status = found(first, walk, unsure)
    return [*told, *(f"  {note}" for note in notes(first, vouching, keys))], status


def found(first: Header, walk: Walk, unsure: "list[str]") -> "tuple[list[str], int]":
    """Say what became of an export in which nothing is broken."""
    begin, end = first.start[0] + 1, walk.at[0]
    if unsure:
        return [f"{first.label}: cannot say: {why}" for why in unsure], 2
    if end < begin:
        return [f"{first.label}: whole: no entries after {begin - 1}"], 0
    return [f"{first.label}: whole: entries {begin} to {end}"], 0


def notes(first: Header, vouching: "list[Place]", keys: "Keys | None") -> Iterator[str]:
    """Say what was seen and what could not be."""
    begins = first.start[0]
    seen = [sequence for sequence, _ in vouching if sequence >= begins]
    if not vouching:
        yield UNSEEN
    if seen:
        yield f"held against signed heads: {len(seen)}, the last of entry {max(seen)}"
    if len(seen) < len(vouching):
        yield f"signed heads of entries that are not here any more: {len(vouching) - len(seen)}"
    if first.stub and begins == first.stub.place[0]:
        yield f"entries up to {begins} were pruned; the signed stub says so"
    elif begins:
        yield f"entries up to {begins} are not in this export"
    if keys is None:
        yield NO_KEY


def keys_of(path: Path) -> Keys:
    """Read public keys."""
    try:
        listed = json.loads(path.read_text(encoding="ascii"))["keys"]
        loaded = {key["id"]: load_pem_public_key(key["publicKey"].encode()) for key in listed}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unusable(f"`{path}` holds no public keys") from None
    keys = {key_id: key for key_id, key in loaded.items() if isinstance(key, Ed25519PublicKey)}
    if not keys or len(keys) < len(loaded):
        raise Unusable(f"`{path}` holds no Ed25519 keys")
    return keys


def heads_of(path: Path) -> Iterator[Statement]:
    """Read signed heads, one a line."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield Statement("head", line)
            except Unusable as problem:
                raise Unusable(f"`{path}`: line {number} {problem}") from None


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Verify an export of Latchkey's audit log.")
    parser.add_argument("files", metavar="EXPORT", nargs="+", type=Path, help="an export, in the order of its parts")
    parser.add_argument("--against", metavar="HEADS", type=Path, help="file of signed heads that were kept elsewhere")
    parser.add_argument(
        "--key", metavar="KEYS", type=Path, help="file of public keys, as `latchkey audit key` prints them"
    )
    asked = parser.parse_args()
    try:
        keys = keys_of(asked.key) if asked.key else None
        heads = list(heads_of(asked.against)) if asked.against else []
        with ExitStack() as opened:
            told, status = verify([opened.enter_context(path.open("rb")) for path in asked.files], heads, keys)
    except (Unusable, OSError) as problem:
        sys.stderr.write(f"verify_audit: {problem}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in told))
    return status


if __name__ == "__main__":
    sys.exit(main())
