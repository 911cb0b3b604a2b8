"""The audit log at the server's own terminal: its keys and heads, written out, verified, and pruned."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, TextIO
from uuid import UUID

from cli.accounts import acting_in
from core import exports, findings
from core.errors import Invalid
from core.findings import Finding
from core.signed import Kind, Malformed, Statement
from models import Account, AuditHead, now
from resolvers import chains, heads, pruning
from resolvers import input as typed
from resolvers.callers import Request
from resolvers.exporting import exported
from resolvers.signatures import Malformed as NoKeys
from resolvers.signatures import PublicKeys
from resolvers.writing import Said

LONGEST = 64 * 2**20
"""How many bytes a line of an export has at most; a longer one is none of ours."""


async def head(request: Request, account_key: str | None) -> str:
    """Sign the head of an account's log, keep and deliver it; returns it as a line. Raises `Invalid`, `Conflict`."""
    account = (await acting_in(request, account_key)).account
    made = await heads.sign(request.house, account.id)
    assert made is not None  # noqa: S101 - without an interval it always is
    await heads.deliver(request.house, account.id, made)
    return heads.statement(Kind.HEAD, made).line().decode()


async def export(request: Request, account_key: str | None, since: int, file: Path | None) -> str | None:
    """Write an account's log to a new file, or to standard output. Raises `Invalid`, `Conflict` and OSError."""
    caller = await acting_in(request, account_key)
    with ExitStack() as opened:
        output: BinaryIO = opened.enter_context(file.open("xb")) if file else sys.stdout.buffer
        count = -1  # the first line is no entry
        async for line in exported(caller, since):
            output.write(line)
            count += 1
        output.flush()
    return f"{count} entries written to {file}" if file else None


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
