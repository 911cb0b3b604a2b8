"""Copies of the embedded database: made beside running servers, checked, and put in its place.

A copy is made by `VACUUM INTO`: one transaction that reads, which keeps no writer waiting and never begins anew,
however much is written meanwhile. It holds nothing that was deleted, and needs no file beside it.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp
from typing import NamedTuple
from uuid import UUID

from core.errors import Conflict
from models.tokens import TokenKind

LEAP = 1_000_000
"""How far a restored database's versions are ahead of what they were: further than they came since it was copied."""
_SHARED_AT, _SHARED_BYTES = 0x4000_0002, 510
"""What everybody who has a SQLite file open in WAL mode holds a lock on: https://sqlite.org/src/file/src/os.h."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system says that gives a file one name only."""

_OURS = "SELECT 1 FROM sqlite_schema WHERE name = 'tortoise_migrations'"
_TORN = """
    SELECT account.key FROM audit_head AS head JOIN account ON account.id = head.account_id
    JOIN audit_entry AS last ON last.account_id = head.account_id
    AND last.sequence = (SELECT MAX(sequence) FROM audit_entry WHERE account_id = head.account_id)
    WHERE last.sequence <> head.sequence OR last.seal <> head.seal
"""
_ENDS = """
    SELECT account.key, head.sequence, entry.at FROM audit_head AS head JOIN account ON account.id = head.account_id
    LEFT JOIN audit_entry AS entry ON entry.account_id = head.account_id AND entry.sequence = head.sequence
    ORDER BY account.key
"""
_REVOKED = """
    SELECT kept.account_id, kept.id, kept.kind FROM token AS kept
    JOIN old.token AS gone ON gone.account_id = kept.account_id AND gone.id = kept.id
    WHERE kept.revoked_at IS NULL AND gone.revoked_at IS NOT NULL ORDER BY kept.account_id, kept.id
"""
_ENDED = """
    SELECT kept.account_id, kept.token_id, kept.id, gone.expires_at FROM secret AS kept
    JOIN old.token AS token ON token.account_id = kept.account_id AND token.id = kept.token_id
    LEFT JOIN old.secret AS gone ON gone.account_id = kept.account_id AND gone.id = kept.id
    WHERE token.revoked_at IS NULL AND (kept.expires_at IS NULL OR kept.expires_at > datetime('now'))
    AND (gone.id IS NULL OR gone.expires_at < COALESCE(kept.expires_at, '9999-12-31')) ORDER BY kept.account_id, kept.id
"""
_USED = """
    SELECT kept.account_id, kept.member_id, kept.id FROM link AS kept
    JOIN old.member AS member ON member.account_id = kept.account_id AND member.id = kept.member_id
    LEFT JOIN old.link AS gone ON gone.account_id = kept.account_id AND gone.id = kept.id
    WHERE gone.id IS NULL ORDER BY kept.account_id, kept.id
"""
_UNDONE = """
    SELECT account.key, access.action, COUNT(*) FROM account JOIN audit_head AS head ON head.account_id = account.id
    JOIN old.audit_entry AS entry ON entry.account_id = head.account_id AND entry.sequence > head.sequence
    JOIN old.audit_access AS access ON access.entry_id = entry.id
    WHERE entry.outcome = 'DONE' GROUP BY account.key, access.action ORDER BY account.key, access.action
"""
_VERSIONED = """
    SELECT rows.name FROM sqlite_schema AS rows, pragma_table_info(rows.name) AS columns
    WHERE rows.type = 'table' AND columns.name = 'version'
"""


class End(NamedTuple):
    """How far an account's log goes, and when its last entry was made; None if that was pruned."""

    account_key: str
    sequence: int
    at: datetime | None


class Revoked(NamedTuple):
    """A token, or a session, that was revoked after a copy was made."""

    account_id: UUID
    id: UUID
    is_session: bool


class Ended(NamedTuple):
    """A secret that got an end, or an earlier one, after a copy was made, while its token lived on."""

    account_id: UUID
    token_id: UUID
    id: UUID
    at: datetime | None
    """None if so long ago that nothing is kept of it."""


class Used(NamedTuple):
    """A one-time link that was used, or another one made in its place, after a copy was made."""

    account_id: UUID
    member_id: UUID
    id: UUID


class Undone(NamedTuple):
    """What was done in a database after a copy of it was made."""

    revoked: list[Revoked]
    ended: list[Ended]
    used: list[Used]
    deeds: list[tuple[str, str, int]]
    """An account's key, an action, and how often."""


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give an empty file beside where one is to be, for its owner's eyes only; what is left of it at the end goes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}-")  # with mode 0600
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
    finally:
        for each in (draft, *_beside(draft)):
            each.unlink(missing_ok=True)


def copy(source: Path, draft: Path) -> list[End]:
    """Copy a database into an empty file, and check the copy; says how far its logs go.

    Raises `Conflict` for what is no database of Latchkey's, or a damaged one.
    """
    try:
        with closing(_opened(source)) as connection:
            if not connection.execute(_OURS).fetchall():
                raise Conflict(f"`{source}` is no database of Latchkey's")
            connection.execute("VACUUM INTO ?", (str(draft),))
        with closing(_opened(draft)) as connection:
            damage = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
            damage += [f"the log of `{key}` does not end where its head says" for (key,) in connection.execute(_TORN)]
            ends = [End(key, last, at and datetime.fromisoformat(at)) for key, last, at in connection.execute(_ENDS)]
    except sqlite3.DatabaseError as error:
        raise Conflict(f"`{source}` cannot be copied: {error}") from None
    if damage:
        raise Conflict(f"`{source}` is damaged: {'; '.join(damage[:5])}")
    return ends


def put(draft: Path, path: Path, *, replaces: bool = False) -> None:
    """Give a draft its name, once it is safe on the disk. Raises FileExistsError."""
    _sync(draft)
    if replaces:
        draft.replace(path)
    elif not _linked(draft, path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        draft.replace(path)
    _sync(path.parent)


def _linked(path: Path, other: Path) -> bool:
    """Give a file another name as well, if it may have two. Raises FileExistsError."""
    try:
        other.hardlink_to(path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def refuse_in_use(path: Path) -> None:
    """Raise `Conflict` if anybody has a database open."""
    with _alone(path):
        pass


def replace(draft: Path, path: Path, at: datetime) -> Path | None:
    """Put a draft in the place of a database, which nobody has open; returns where that one is from now on, if it was.

    At any moment there is the one or the other. Raises `Conflict` if somebody has it open, or if it cannot be done.
    """
    _close(draft)
    if not path.exists():
        _own_as(draft, path.parent)
        put(draft, path)
        return None
    aside = path.with_name(f"{path.name}.{at:%Y%m%dT%H%M%SZ}")
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all there is in the file itself, if that is whole
    with _alone(path):
        _own_as(draft, path)
        try:
            if not _linked(path, aside):
                path.rename(aside)
            for old, new in zip(_beside(path), _beside(aside), strict=True):
                with suppress(FileNotFoundError):
                    old.rename(new)  # a log of writes that stayed behind would be applied to the draft
            put(draft, path, replaces=True)
        except OSError as error:
            raise Conflict(f"`{path}` was not replaced: {error}. What was there is `{aside}`") from None
    return aside


def undone(draft: Path, old: Path) -> Undone | None:
    """Find out what was done in a database after it was copied; None if it cannot be read."""
    try:
        with closing(_opened(draft)) as connection:
            connection.execute("ATTACH ? AS old", (_address(old),))
            revoked = [
                Revoked(UUID(account_id), UUID(id_), kind == TokenKind.SESSION)
                for account_id, id_, kind in connection.execute(_REVOKED)
            ]
            ended = [
                Ended(UUID(account_id), UUID(token_id), UUID(id_), at and datetime.fromisoformat(at))
                for account_id, token_id, id_, at in connection.execute(_ENDED)
            ]
            used = [Used(*map(UUID, ids)) for ids in connection.execute(_USED)]
            return Undone(revoked, ended, used, connection.execute(_UNDONE).fetchall())
    except sqlite3.DatabaseError:
        return None


def leap(draft: Path) -> None:
    """Have no version come twice: whoever holds one from after the copy was made holds one that never will be."""
    with closing(sqlite3.connect(draft)) as connection:
        for (table,) in connection.execute(_VERSIONED).fetchall():
            connection.execute(f"UPDATE {table} SET version = version + {LEAP}")  # noqa: S608 - a name of the schema's
        connection.commit()


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(_address(path), uri=True, isolation_level=None)


def _address(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


def _beside(path: Path) -> tuple[Path, Path]:
    """Name what SQLite keeps beside a file."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep everybody out of a file as SQLite does it, whatever is in it.

    Nobody in this process opens it meanwhile: to close it would end that.
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_BYTES, _SHARED_AT)
        except OSError:
            raise Conflict(f"`{path}` is in use: stop the server first") from None
        yield


def _close(draft: Path) -> None:
    """Have all there is in the file itself."""
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _own_as(draft: Path, of: Path) -> None:
    """Give a draft to whoever something else belongs to, if we may."""
    owner = of.stat()
    if (owner.st_uid, owner.st_gid) != (os.getuid(), os.getgid()):
        with suppress(PermissionError):
            os.chown(draft, owner.st_uid, owner.st_gid)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
