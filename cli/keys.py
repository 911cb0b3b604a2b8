"""The server's keys in their file: made once for their owner's eyes only, and never made again for a database."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from core.secret import Malformed, ServerKeys

FIRST_KEY_ID = "1"


class KeysError(Exception):
    """The keys cannot be had. The message names the file, never what is in it."""


def server_keys(path: Path, *, database_exists: bool) -> ServerKeys:
    """Read the keys, or make them for a database that is still to come.

    `database_exists` must have been asked before: keys are always made first, so that a database without keys has lost
    them. New ones would end every credential in it, unnoticed.
    """
    if not path.exists():
        if database_exists:
            raise KeysError(f"there is a database, but not the file of its keys `{path}`: put it back")
        _make(path)
    try:
        return ServerKeys.parse(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as problem:
        why = problem if isinstance(problem, Malformed | OSError) else "it is not text"
        raise KeysError(f"`{path}` holds no keys: {why}") from None


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=".keys-", encoding="ascii") as draft:  # made with mode 0600
        draft.write(ServerKeys.mint(FIRST_KEY_ID).json())
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)  # of two servers that start at once, one wins and both read its keys
        except FileExistsError:
            return
