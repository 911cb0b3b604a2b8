"""Statements about a log that a server signs: heads, stubs and the first lines of exports. Each has one text.

A statement is a line of JSON, `{"head":{...},"signature":"..."}`; what is signed is the text of the object in it as it
stands there, behind a label that says which kind of statement it is.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from core.chain import JSON, Place, canonical

Signed: TypeAlias = Callable[[str, bytes, str], bool | None]
"""Says whether the key of an id made a signature of a message; None if it does not know the key."""

_SEAL = re.compile(r"[0-9a-f]{64}")
_FRAME = re.compile(rb'\{"(\w+)":(\{.*\}),"signature":"([0-9a-f]{128})"\}', re.DOTALL)


class Kind(StrEnum):
    """What a statement says."""

    HEAD = "head"
    """That the log of an account ended so at a moment."""
    STUB = "stub"
    """That all of it until there was pruned."""
    EXPORT = "export"
    """What stands in an export."""


class Malformed(ValueError):
    """A text that is no statement of the kind that is wanted."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A signed statement. `text` is what it says as bytes of canonical JSON."""

    kind: Kind
    said: Mapping[str, Any]
    text: bytes
    signature: str

    @classmethod
    def of(cls, kind: Kind, said: Mapping[str, JSON], sign: Callable[[bytes], str]) -> "Statement":
        """Make a statement and sign it; `said` names the key as `keyId`."""
        text = canonical(said)
        return cls(kind, said, text, sign(_message(kind, text)))

    @classmethod
    def parse(cls, kind: Kind, line: bytes) -> "Statement":
        """Read what `line` wrote, without its end. Raises Malformed; whether it is signed is not looked at."""
        found = _FRAME.fullmatch(line)
        if found is None or found[1] != kind.value.encode():
            raise Malformed(f"is no signed {kind.value}")
        try:
            said = json.loads(found[2])
        except (ValueError, RecursionError):
            raise Malformed(f"is no signed {kind.value}") from None
        if not isinstance(said, dict) or not _is_told(said):
            raise Malformed(f"is no signed {kind.value}")
        return cls(kind, said, found[2], found[3].decode())

    def line(self) -> bytes:
        """Write it as a line of JSON, without the line's end."""
        return b'{"%s":%s,"signature":"%s"}' % (self.kind.value.encode(), self.text, self.signature.encode())

    @property
    def place(self) -> Place:
        """The place in the chain that it vouches for."""
        return Place(self.said["sequence"], self.said["seal"])

    def is_signed(self, signed: Signed) -> bool | None:
        """Say whether the key that it names signed it; None if that key is not known."""
        return signed(self.said["keyId"], _message(self.kind, self.text), self.signature)


def _message(kind: Kind, text: bytes) -> bytes:
    return f"latchkey {kind.value} 1\n".encode() + text


def _is_told(said: Mapping[str, Any]) -> bool:
    """Say whether there is what every statement has."""
    sequence, seal = said.get("sequence"), said.get("seal")
    texts = [said.get(name) for name in ("account", "at", "keyId")]
    return (
        type(sequence) is int
        and sequence >= 0
        and isinstance(seal, str)
        and _SEAL.fullmatch(seal) is not None
        and are_printable(texts)
    )


def are_printable(texts: Iterable[object]) -> bool:
    """Say whether these are texts that may be shown on a terminal."""
    return all(isinstance(text, str) and text.isprintable() for text in texts)
