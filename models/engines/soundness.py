"""Whether a SQLite file can be used: what its errors mean, and that nothing is told out of one that is damaged."""

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Thread, Timer

from tortoise.exceptions import IntegrityError, OperationalError

from models.engines.transactions import AwayError
from models.engines.units import address

AGAIN_S = 2.0
"""After which time a file that seemed damaged is looked through again, or ten times as long as that takes."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_AWAY = _DAMAGED | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""What is no mistake in a statement: https://sqlite.org/rescode.html."""

_log = logging.getLogger(__name__)


class DamagedError(AwayError):
    """The file is damaged. It is well again only when somebody restores a backup."""

    def __init__(self, path: str | Path, problem: object) -> None:
        super().__init__(f"the database file `{path}` is damaged ({problem}): restore a backup")


class Soundness:
    """What a process knows of a file. Once it met damage it refuses everything, so that nothing is half served.

    SQLite calls it damage as well when the disk fails to read. So the file is looked through again now and then, and
    used again when all of it can be read and is whole.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._problem: object = None
        self._again_at_s = 0.0
        self._looking: Thread | None = None

    def require(self) -> None:
        """Raise `DamagedError` if damage was met."""
        if self._problem is None:
            return
        if time.monotonic() >= self._again_at_s and not (self._looking and self._looking.is_alive()):
            self._looking = Thread(target=self._look, name="looking for damage", daemon=True)
            self._looking.start()
        raise DamagedError(self._path, self._problem)

    def told(self, error: Exception) -> Exception:
        """Say an error of sqlite3 as Tortoise says it, and remember what it tells about the file."""
        if not isinstance(error, sqlite3.DatabaseError):
            return error
        told = self._meant(error)
        told.__cause__ = error
        return told

    def _meant(self, error: sqlite3.DatabaseError) -> Exception:
        code = _code(error)
        if code in _DAMAGED:
            damaged = DamagedError(self._path, error)
            if self._problem is None:
                _log.critical("%s; nothing is answered until it is whole", damaged)
                self._again_at_s = time.monotonic() + AGAIN_S
            self._problem = error
            return damaged
        if isinstance(error, sqlite3.IntegrityError):
            return IntegrityError(error)
        return (AwayError if code in _AWAY else OperationalError)(error)

    def _look(self) -> None:
        begin_s = time.monotonic()
        try:
            examine(self._path)
        except (sqlite3.DatabaseError, DamagedError) as error:
            self._problem = error
        else:
            self._problem = None
            _log.warning("the database file is whole again: what seemed to be damage was the disk")
        now_s = time.monotonic()
        self._again_at_s = now_s + max(AGAIN_S, 10 * (now_s - begin_s))


def examine(path: Path, within_s: float | None = None) -> bool:
    """Look through all pages of a file; says whether there was time for it. Raises `DamagedError`."""
    with closing(sqlite3.connect(address(str(path)), uri=True, check_same_thread=False)) as connection:
        time_is_up = Timer(within_s or 0, connection.interrupt)
        if within_s is not None:
            time_is_up.start()
        try:
            [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            if _code(error) in _DAMAGED:
                raise DamagedError(path, error) from None
            if _code(error) == sqlite3.SQLITE_INTERRUPT:
                return False
            raise
        finally:
            time_is_up.cancel()
            if within_s is not None:
                time_is_up.join()  # what is closed must not be interrupted
    if found != "ok":
        raise DamagedError(path, found.splitlines()[-1])
    return True


def _code(error: sqlite3.DatabaseError) -> int:
    """Give SQLite's result code without what is more exact; 0 for an error of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
