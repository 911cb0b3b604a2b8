"""The audit log at the server's own terminal: its keys and heads, written out, verified, and pruned."""

import csv
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from uuid import UUID

from cli import json_text
from cli.accounts import acting_in
from core import exports, findings, tables
from core.chain import Place
from core.errors import Invalid
from core.exports import Header
from core.findings import Finding
from core.signed import Kind, Malformed, Statement
from models import Account, AuditHead, now
from resolvers import chains, events, exporting, heads, pruning
from resolvers import input as typed
from resolvers.callers import Caller, Request
from resolvers.signatures import Malformed as NoKeys
from resolvers.signatures import PublicKeys
from resolvers.writing import Said

LONGEST = 64 * 2**20
"""How many bytes a line of an export has at most; a longer one is none of ours."""
STEP = 2**16
"""How many bytes are read at a time while the end of a file is looked for."""


async def head(request: Request, account_key: str | None) -> str:
    """Sign the head of an account's log, keep and deliver it; returns it as a line. Raises `Invalid`, `Conflict`."""
    account = (await acting_in(request, account_key)).account
    made = await heads.sign(request.house, account.id)
    assert made is not None  # noqa: S101 - without an interval it always is
    await heads.deliver(request.house, account.id, made)
    return heads.statement(Kind.HEAD, made).line().decode()


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written, and where. Without a file it is standard output."""

    file: Path | None = None
    since: int = 0
    as_csv: bool = False
    resumes: bool = False


async def export(request: Request, account_key: str | None, wanted: Export) -> str | None:
    """Write an account's log to a new file, or to standard output; or go on with a file that has not got all of it.

    Raises `Invalid`, `Conflict` and OSError.
    """
    caller = await acting_in(request, account_key)
    if wanted.resumes:
        return await _resume(caller, wanted)
    with ExitStack() as opened:
        output: BinaryIO = opened.enter_context(wanted.file.open("xb")) if wanted.file else sys.stdout.buffer
        if wanted.as_csv:
            output.write(tables.headed(events.COLUMNS))
        lines = exporting.tabled(caller, wanted.since) if wanted.as_csv else exporting.exported(caller, wanted.since)
        count = await _written(lines, output) - (0 if wanted.as_csv else 1)  # the first line is no entry
    return f"{count} entries written to {wanted.file}" if wanted.file else None


async def _written(lines: AsyncIterator[bytes], output: BinaryIO) -> int:
    count = 0
    async for text in lines:
        output.write(text)
        count += text.count(b"\n")
    output.flush()
    return count


async def _resume(caller: Caller, wanted: Export) -> str:
    if wanted.file is None or wanted.since:
        raise Invalid("--resume", "needs a file, and goes on after the last entry in it")
    with wanted.file.open("r+b") as file:
        begun, last, kept = _ends(file)
        rest = _rest(caller, begun, last)
        first = await anext(rest, b"")  # whatever is wrong with the file is said here, while it is as it was
        file.seek(kept)
        file.truncate()
        file.write(first)
        count = first.count(b"\n") + await _written(rest, file)
    return f"{count} entries added to {wanted.file}"


def _rest(caller: Caller, begun: bytes, last: bytes) -> AsyncIterator[bytes]:
    """Give what a file lacks of which these are the first line and the last. Raises `Invalid`."""
    if begun == tables.headed(events.COLUMNS):
        return exporting.tabled(caller) if begun == last else exporting.retabled(caller, _row_place(last))
    header = _header_of(begun)
    return exporting.resumed(caller, header, header.start if begun == last else _line_place(last))


def _ends(file: BinaryIO) -> tuple[bytes, bytes, int]:
    """Read the first line, the last one that is whole, and at how many bytes that ends."""
    first = file.readline(LONGEST)
    end = file.seek(0, os.SEEK_END)
    begin, tail = end, b""
    while begin > 0 and tail.count(b"\n") < 2:  # noqa: PLR2004 - the end of the last line, and of the one before
        begin = max(0, begin - STEP)
        file.seek(begin)
        tail = file.read(end - begin)
    whole = tail[: tail.rfind(b"\n") + 1]
    return first, whole[whole.rfind(b"\n", 0, len(whole) - 1) + 1 :], begin + len(whole)


def _header_of(line: bytes) -> Header:
    try:
        return Header.parse(line)
    except Malformed:
        raise Invalid("--resume", "is no export of this format: export anew") from None


def _line_place(line: bytes) -> Place:
    """Read which entry a line of JSON is. Raises `Invalid`."""
    with suppress(ValueError, KeyError, TypeError, OverflowError):
        told: Any = json_text.parsed(line.decode())
        return Place(int(told["entry"]["sequence"]), str(told["seal"]))
    raise Invalid("--resume", "ends with a line that is no entry: export anew")


def _row_place(line: bytes) -> Place:
    """Read which entry a row of a table is. Raises `Invalid`."""
    with suppress(ValueError, TypeError, csv.Error):
        [row] = csv.DictReader([line.decode()], events.COLUMNS)
        return Place(int(row["sequence"]), str(row["seal"]))
    raise Invalid("--resume", "ends with a line that is no entry: export anew")


def moment(before: str | None, keep_days: int | None) -> datetime:
    """Read from before which moment entries are to go. Raises `Invalid`."""
    try:
        if keep_days is not None:
            return now() - timedelta(days=keep_days)
        at = datetime.fromisoformat(before or "")
    except OverflowError:
        raise Invalid("--keep-days", "must be a number of days that a calendar has") from None
    except ValueError:
        raise Invalid("--before", "must be a date, as in `2026-01-31`, or a time") from None
    return typed.moment("--before", at if at.tzinfo else at.replace(tzinfo=UTC))


async def prune(request: Request, account_key: str | None, before: datetime, comment: str | None) -> str:
    """Delete an account's entries from before a moment. Raises `Invalid` and `Conflict`."""
    caller = await acting_in(request, account_key)
    pruned = await pruning.prune(caller, before, Said(typed.comment("--comment", comment)))
    return f"{pruned.count} entries pruned, up to entry {pruned.until}" if pruned.count else "nothing to prune"


def keys_of(path: Path) -> PublicKeys:
    """Read public keys from a file. Raises `Invalid` and OSError."""
    try:
        return PublicKeys.parse(path.read_text(encoding="ascii"))
    except (NoKeys, UnicodeDecodeError) as problem:
        raise Invalid("--key", f"holds no public keys: {problem}") from None


def heads_of(path: Path | None) -> list[Statement]:
    """Read signed heads from a file, one a line. Raises `Invalid` and OSError."""
    return [] if path is None else list(_heads(path.read_bytes().splitlines()))


def _heads(lines: Iterable[bytes]) -> Iterator[Statement]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield Statement.parse(Kind.HEAD, line)
            except Malformed as problem:
                raise Invalid("--against", f"line {number} {problem}") from None


def verify_files(files: Sequence[Path], against: Sequence[Statement], keys: PublicKeys | None) -> list[Finding]:
    """Verify an export, of one file or of several that follow each other. Raises OSError."""
    with ExitStack() as opened:
        parts = [_lines(opened.enter_context(path.open("rb"))) for path in files]
        return [exports.check(parts, against, keys.signed if keys else None)]


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST):
        yield line


async def verify(account_key: str | None, against: Sequence[Statement], keys: PublicKeys) -> list[Finding]:
    """Verify the logs in the open database: of all accounts, or of one. Raises `Invalid`."""
    accounts = {account.id: account.key for account in await Account.all().order_by("key")}
    if account_key is not None:
        accounts = {id_: key for id_, key in accounts.items() if key == account_key}
        if not accounts:
            raise Invalid("--account", f"is no account: `{account_key}`")
    found = [await chains.verify(id_, f"{key} ({id_})", against, keys.signed) for id_, key in accounts.items()]
    if account_key is None:
        found += await _lost(accounts, against)
    return found + [Finding("database", 1, 0, f"its file is damaged: {line}") for line in await chains.damage()]


async def _lost(accounts: Iterable[UUID], against: Sequence[Statement]) -> list[Finding]:
    """Name accounts that are gone, of which there is a head."""
    known = {str(account_id) for account_id in accounts}
    heads_here = await AuditHead.all().values_list("account_id", flat=True)
    told = {*map(str, heads_here), *(str(head.said["account"]) for head in against)}
    return [Finding(account_id, 1, 0, "the account is not there") for account_id in sorted(told - known)]


def tell(found: Sequence[Finding], output: TextIO) -> int:
    """Say what was found; returns the exit status."""
    for finding in found:
        output.writelines(f"{line}\n" for line in finding.lines())
    return findings.status(found)
