"""Where signed heads go, outside: what is kept there, whoever can change the database cannot change."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Sink(Protocol):
    """A place that takes lines and never gives them back."""

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Hand lines over, in their order, without their ends. Raises OSError, and then they are handed over again."""
        ...


@dataclass(frozen=True, slots=True)
class FileSink:
    """A file that is only ever appended to. It is made for its owner's eyes only."""

    path: Path

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Append lines, and wait until they are on the disk."""
        await asyncio.to_thread(self._append, b"".join(line + b"\n" for line in lines))

    def _append(self, text: bytes) -> None:
        file = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            while text:
                text = text[os.write(file, text) :]
            os.fsync(file)
        finally:
            os.close(file)
