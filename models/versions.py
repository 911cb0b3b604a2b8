"""Whether what a process remembers is still true: every change of access gives its account a new version.

Whatever is remembered carries the version it was built from and is compared at every use. So it matters that a process
knows the committed version, or knows that it does not.
"""

import mmap
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from models.engines.soundness import Soundness

WAL_HEADER_BYTES = 96
"""Two copies of the header that every commit rewrites: https://sqlite.org/walformat.html#the_wal_index_header."""

_VERSION = "SELECT version FROM account WHERE id = ?"


class Versions(Protocol):
    """The versions of a database's accounts."""

    def known(self, account_id: UUID) -> int | None:
        """Give the version that is committed now, by whatever process; None if only `read` can tell.

        Never waits, so that what is remembered can be used within a callback.
        """
        ...

    async def read(self, account_id: UUID) -> int:
        """Ask the database for the version. Raises LookupError if there is no such account."""
        ...

    def changed(self, account_id: UUID) -> None:
        """Forget what is known of an account: a change of it was sent to be committed, whatever came back."""
        ...


class FileVersions:
    """The versions in a SQLite file.

    Always known, whichever process commits: the header of the file's WAL index, mapped into memory, differs after each
    commit, and only then the one indexed row is read, in the event loop, by a connection of the standard library's. To
    hand it to a thread and back would cost many times as much, and WAL lets no writer hold it up.
    """

    def __init__(self, connection: sqlite3.Connection, wal_index: mmap.mmap, soundness: Soundness) -> None:
        self._connection = connection
        self._soundness = soundness
        self._wal_index = wal_index
        self._seen = b""
        self._known: dict[UUID, int] = {}

    def known(self, account_id: UUID) -> int | None:
        """Give the version; None only if there is no such account. Raises `AwayError`."""
        self._soundness.require()
        header = self._wal_index[:WAL_HEADER_BYTES]  # looked at first: what is read after it is at least as new
        if header != self._seen:
            self._known.clear()
            self._seen = header
        version = self._known.get(account_id)
        if version is None:
            version = self._read(account_id)
            if version is not None:
                self._known[account_id] = version
        return version

    def _read(self, account_id: UUID) -> int | None:
        try:
            rows = self._connection.execute(_VERSION, (str(account_id),)).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._soundness.told(error)  # noqa: B904 - it says so itself
        return rows[0][0] if rows else None

    async def read(self, account_id: UUID) -> int:
        """Give the version. Raises LookupError if there is no such account."""
        version = self.known(account_id)
        if version is None:
            raise LookupError(f"there is no account `{account_id}`")
        return version

    def changed(self, account_id: UUID) -> None:
        """Do nothing: the file tells by itself."""


@contextmanager
def wal_index(connection: sqlite3.Connection) -> Iterator[mmap.mmap]:
    """Map the start of the WAL index of the file that a connection has open in WAL mode.

    Leave this only when every SQLite connection of the process to the file is closed: to close any descriptor of it
    gives up the locks that SQLite holds on it, see https://sqlite.org/howtocorrupt.html, section 2.2.
    """
    connection.execute("PRAGMA user_version").fetchall()  # the first one who reads makes the index
    file = connection.execute("PRAGMA database_list").fetchone()[2]  # SQLite follows links, and so must we
    descriptor = os.open(f"{file}-shm", os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, WAL_HEADER_BYTES, access=mmap.ACCESS_READ) as mapped:
            yield mapped
    finally:
        os.close(descriptor)
