"""One-time links as they reach a person: on the terminal, or in a file for their owner's eyes only."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

FILE_NAME = "sign-in-link.txt"


def deliver(link: str, terminals: Sequence[TextIO], folder: Path) -> Path | None:
    """Show a link on the first of the streams that is a terminal; without one, write it to a file and return that."""
    for stream in terminals:
        if stream.isatty():
            stream.write(f"\nOpen this link, once, to set the owner's password:\n\n    {link}\n\n")
            stream.flush()
            return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE_NAME
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{link}\n")
    return path
