"""The server's keys in their file: made once for their owner's eyes only, never again for a database; and rotated."""

import asyncio
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from core.errors import Conflict
from core.secret import Malformed, ServerKeys
from models import Token, now
from resolvers import keys as holding
from resolvers.background import beside
from resolvers.callers import Request
from resolvers.house import House
from resolvers.keys import Held
from resolvers.signatures import PublicKeys
from resolvers.writing import Said

FIRST_KEY_ID = "1"
REREAD_EVERY_S = 1.0
"""How often a running server looks whether the file is another one."""
SPREAD_S = 3 * REREAD_EVERY_S
"""How long until every server on the file has read it."""
SHOWN = 50
"""How many of the tokens that hang on a key are listed."""
ENDED = "Its server key was retired."

_log = logging.getLogger(__name__)


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
    with _drafted(path, ServerKeys.mint(FIRST_KEY_ID)) as draft, suppress(FileExistsError):
        os.link(draft.name, path)  # of two servers that start at once, one wins and both read its keys
    _keep_names(path.parent)


@contextmanager
def _drafted(path: Path, keys: ServerKeys) -> Iterator[IO[str]]:
    """Write keys to a file beside another, safe on the disk; it goes at the end unless it was renamed."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=".keys-", encoding="ascii", delete=False) as draft:
        try:  # it is made with mode 0600
            draft.write(keys.json())
            draft.flush()
            os.fsync(draft.fileno())
            yield draft
        finally:
            Path(draft.name).unlink(missing_ok=True)


def _keep(path: Path, keys: ServerKeys) -> None:
    """Put keys in the place of those in a file: who reads it gets the ones or the others, and still may."""
    path = path.resolve()  # a link to it stays one
    with _drafted(path, keys) as draft:
        before, made = path.stat(), os.fstat(draft.fileno())
        if (before.st_uid, before.st_gid) != (made.st_uid, made.st_gid):
            os.fchown(draft.fileno(), before.st_uid, before.st_gid)
        os.fchmod(draft.fileno(), stat.S_IMODE(before.st_mode))
        Path(draft.name).replace(path)
    _keep_names(path.parent)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Keep other commands from changing the file meanwhile: what they read would be stale by the time they write."""
    try:
        while True:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else it was replaced while this waited
                    yield
                    return
    except OSError as problem:
        raise KeysError(f"`{path}` cannot be changed: {problem}") from None


def rereading(house: House, path: Path, forget: Callable[[], None]) -> AbstractAsyncContextManager[None]:
    """Take the keys from their file again whenever that changed, and forget what was remembered by the old ones."""
    return beside(_reread_forever(house, path, forget))


async def _reread_forever(house: House, path: Path, forget: Callable[[], None]) -> None:
    seen: object = None
    while True:
        found = _mark(path)
        if found != seen:
            seen = found
            reread(house, path, forget)
        await asyncio.sleep(REREAD_EVERY_S)


def reread(house: House, path: Path, forget: Callable[[], None]) -> None:
    """Take the keys from their file, if they can be had and are others, or in another order."""
    try:
        keys = server_keys(path, database_exists=True)
    except (KeysError, OSError) as error:
        _log.warning("the keys stay those there were: %s", error)
        return
    if keys.json() != house.keys.json():
        house.keys = keys
        forget()
        _log.info("the server's keys are now, the newest first: %s", ", ".join(keys.keys))


def _mark(path: Path) -> object:
    """Tell a file from what it is after a change."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def add(path: Path, at: datetime) -> str:
    """Add a key that nothing is made under yet; returns its id, which no key had before."""
    key_id = f"{at:%Y-%m-%d-%H%M%S}"
    with _changing(path):
        keys = server_keys(path, database_exists=True)
        if key_id in keys.keys:
            raise Conflict(f"there is a key `{key_id}` already: wait a second")
        _keep(path, keys.beside(key_id))
    return key_id


def promote(path: Path, key_id: str) -> None:
    """Make a key the newest, under which all that is new is made. Raises `Conflict`."""
    with _changing(path):
        _keep(path, _with(path, key_id).led_by(key_id))


async def change(command: str, path: Path, key_id: str | None) -> str:
    """Run a command that changes the keys in a file and needs no database; says what comes next. Raises `Conflict`."""
    if command == "keys add":
        key_id = add(path, now())
        return f"`{key_id}` is added. Give `{path}` to all machines, then run `latchkey keys promote {key_id}`."
    if key_id is None:
        key_id = add(path, now())
        await asyncio.sleep(SPREAD_S)  # until every server on the file knows it
    promote(path, key_id)
    await asyncio.sleep(SPREAD_S)  # until none makes anything under the one before, so that it can be retired
    return f"`{key_id}` is the newest key. Back up `{path}`; `latchkey keys list` says what still hangs on others."


def _with(path: Path, key_id: str) -> ServerKeys:
    keys = server_keys(path, database_exists=True)
    if key_id not in keys.keys:
        raise Conflict(f"there is no key `{key_id}`: there are `{'`, `'.join(keys.keys)}`")
    return keys


async def listed(request: Request) -> str:
    """List the keys, the newest first, and what hangs on each; those that are gone too, if anything hangs on them."""
    held, keys = await holding.held(), request.house.keys
    lines = [f"{'key':24} {'tokens':>8} {'sessions':>8} {'links':>8} {'webhooks':>8}"]
    for key_id in (*keys.keys, *sorted(held.keys() - keys.keys.keys())):
        here = held.get(key_id, Held())
        note = "  newest" if key_id == keys.newest else "" if key_id in keys.keys else "  MISSING"
        lines.append(f"{key_id:24} {here.tokens:8} {here.sessions:8} {here.links:8} {here.webhooks:8}{note}")
    return "\n".join(lines)


async def retire(request: Request, path: Path, key_id: str, *, force: bool) -> str:
    """Take a key away, unless something hangs on it that would end; with `force`, tokens are revoked with it.

    Raises `Conflict`.
    """
    _old(path, key_id)
    held = (await holding.held()).get(key_id, Held())
    if held and not force:
        raise Conflict("\n".join((_hanging(key_id, held), *_shown(await holding.hanging(key_id)))))
    count = await holding.revoke(request, key_id, Said(ENDED)) if force else 0
    with _changing(path):
        keys = _old(path, key_id)  # others may have come meanwhile
        _keep(path, keys.without(key_id))
    await holding.end(request, key_id, Said(ENDED))
    public = PublicKeys.of(keys).pem(key_id)
    told = f"`{key_id}` is retired, and {count} tokens revoked." if count else f"`{key_id}` is retired."
    return f"{told} Keep its public key, with which older heads of the audit log are checked:\n\n{public}"


def _old(path: Path, key_id: str) -> ServerKeys:
    """Read the keys, of which one is there, and is not the newest. Raises `Conflict`."""
    keys = _with(path, key_id)
    if key_id == keys.newest:
        raise Conflict(f"`{key_id}` is the newest key: `latchkey keys rotate` makes another one")
    return keys


def _hanging(key_id: str, held: Held) -> str:
    return (
        f"{held.tokens} tokens, {held.links} one-time links and {held.webhooks} webhooks hang on the key `{key_id}`:"
        " tokens come over when they are used, webhooks a day after their secret is rotated."
        " `--force` revokes the tokens:"
    )


def _shown(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens[:SHOWN]:
        last = f"last used {token.last_used_at:%Y-%m-%d}" if token.last_used_at else "never used"
        yield f"  {token.account.key}: {token.resource}, {token.label}, {last}"
    if len(tokens) > SHOWN:
        yield f"  and {len(tokens) - SHOWN} more"


def _keep_names(folder: Path) -> None:
    """Have the names in a folder outlive a power cut: what is in a file does so apart from that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
