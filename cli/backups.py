"""The embedded database, backed up beside running servers, and restored where none runs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from core.errors import Conflict, Invalid
from models import Account, ActorKind, backups
from models.backups import End, Ended, Revoked, Undone, Used
from models.urls import Server, parse
from resolvers import keys, members, sessions, tokens
from resolvers.callers import Caller, Request, with_credential
from resolvers.writing import Said

AGAIN = "Revoked after the backup that was restored."
ENDED_AGAIN = "Ended after the backup that was restored."
_ELSEWHERE = "the database is on a PostgreSQL server: `{}` is for such as these, see docs/databases.md"


def file_of(url: str, *, instead: str) -> Path:
    """Give the file of the embedded database. Raises `Conflict`, naming what to take instead, for another one."""
    place = parse(url)
    if isinstance(place, Server):
        raise Conflict(_ELSEWHERE.format(instead))
    return place


def server_of(url: str) -> Server:
    """Give the server of a URL. Raises `Invalid`."""
    try:
        place = parse(url)
    except ValueError as problem:
        raise Invalid("--to", f"is no such URL: {problem}") from None
    if isinstance(place, Path):
        raise Invalid("--to", "is for `postgresql://…`; a file is moved by `latchkey backup` and `latchkey restore`")
    return place


def moved(rows: Mapping[str, int], keys_file: Path) -> str:
    """Say what was moved, and what comes next."""
    return (
        f"{sum(rows.values())} rows of {len(rows)} tables are there now. Start servers with that URL, and with"
        f" `LATCHKEY_KEYS_FILE={keys_file}`; start none on the file any more, which stays as it is."
    )


def backup(path: Path, file: Path, keys_file: Path, *, replaces: bool) -> str:
    """Copy the database to a file, whoever uses it meanwhile; says what is in it. Raises `Conflict` and OSError."""
    if not path.exists():
        raise Conflict(f"there is no database `{path}`")
    if file.exists() and (not replaces or file.samefile(path)):
        raise Conflict(f"`{file}` is there already")
    with backups.drafted(file) as draft:
        ends = backups.copy(path, draft)
        backups.put(draft, file, replaces=replaces)
    told = (f"`{file}`, {_size(file)}, checked:", *map(_told, ends))
    return "\n".join((*told, f"The keys are not in it. Keep `{keys_file}` apart from it: each is worthless alone."))


def _told(end: End) -> str:
    when = f", of {end.at:%Y-%m-%d %H:%M:%S} UTC" if end.at else ""
    return f"  `{end.account_key}` up to entry {end.sequence}{when}"


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 2**20:.1f} MiB"


async def refuse_misfits(request: Request) -> None:
    """Raise `Conflict` if something in the database hangs on keys that are not the server's."""
    if wrong := await keys.misfits(request.house.keys):
        raise Conflict(
            f"these are not its keys: `{'`, `'.join(wrong)}` is another one, or missing. `--any-keys` goes on"
        )


async def end_again(request: Request, undone: Undone) -> None:
    """End what opened nothing any more after a backup, each with an entry of its own."""
    ending: list[Revoked | Ended | Used] = sorted(
        (*undone.used, *undone.ended, *undone.revoked), key=lambda each: each.account_id
    )
    for account_id, some in groupby(ending, key=lambda each: each.account_id):
        account = await Account.get(id=account_id)
        caller = await with_credential(account, request, ActorKind.COMMAND_LINE)
        for each in some:
            await _end(caller, each)


async def _end(caller: Caller, each: Revoked | Ended | Used) -> None:
    match each:
        case Revoked():
            revoke = sessions.revoke if each.is_session else tokens.revoke
            await revoke(caller, each.id, Said(AGAIN))
        case Ended():
            await tokens.end_secret(caller, each.token_id, each.id, Said(ENDED_AGAIN), at=each.at)
        case Used():
            await members.end_link(caller, each.member_id, each.id, Said(ENDED_AGAIN))


def restored(ends: Sequence[End], aside: Path | None, undone: Undone | None) -> str:
    """Say what is there again, and what is not any more."""
    return "\n".join(("restored:", *map(_told, ends), *_lost(aside, undone)))


def _lost(aside: Path | None, undone: Undone | None) -> Iterator[str]:
    if aside is not None:
        yield f"What was there before is `{aside}` now."
    if undone is None:
        yield (
            "ALL THAT WAS DONE SINCE IS UNDONE: tokens that were revoked or reset, one-time links that were used,"
            " passwords that were changed, members who were suspended or removed and roles that were narrowed since"
            " are as they were. Whoever is sent the entries of the log has them:"
            " see docs/operations.md before you start a server."
        )
        return
    for key, action, count in undone.deeds:
        yield f"  undone in `{key}`: {action}, {count} times" if count > 1 else f"  undone in `{key}`: {action}"
    kinds = Counter(each.is_session for each in undone.revoked)
    if undone.revoked:
        yield f"Of these, {kinds[False]} tokens and {kinds[True]} sessions that were revoked since are revoked again."
    if undone.ended or undone.used:
        yield f"{len(undone.ended)} secrets and {len(undone.used)} one-time links that ended since end again."
    if undone.deeds:
        yield "ALL ELSE OF IT IS UNDONE: look through it before you start a server."


def refuse_lost(path: Path, *, replaces: bool) -> None:
    """Raise `Conflict` if a database is there that nobody said to replace, or that somebody has open."""
    if path.exists():
        if not replaces:
            raise Conflict(f"there is a database `{path}`: `--force` puts it aside")
        backups.refuse_in_use(path)
