"""Account-wide tokens, brought over from a file at the server's own terminal.

A file is CSV with a header, or a JSON object a line. Its columns, or fields, are `COLUMNS`. Nothing that it holds is
repeated but names: a column that is taken for another may be full of secrets.
"""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from cli import json_text
from cli.accounts import acting_in
from cli.json_text import Twice
from core.covers import Allowance
from core.errors import Invalid, Unfit
from core.slices import sliced
from core.vocabulary import BuiltInRole
from models import Member, MemberState
from resolvers import imports
from resolvers import input as typed
from resolvers.callers import Caller, Request
from resolvers.imports import Draft, Import, Imported
from resolvers.scopes import Scope
from resolvers.writing import Said

COLUMNS = (
    "name",
    "secret",
    "sha256",
    "ending",
    "description",
    "builtInRole",
    "customRoles",
    "statements",
    "expiresAt",
    "networks",
    "rateLimits",
    "responsible",
)
CHUNK = imports.MOST
"""How many lines are imported in one transaction."""
MOST_BYTES = 64 << 20
MOST_TOLD = 100
"""How many problems are printed at once."""
_SCOPES = ("builtInRole", "customRoles", "statements")
_JSON_NAMES = frozenset({".json", ".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `import-tokens` is asked for. The file `-` is standard input."""

    file: str
    comment: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file that says something: where it begins, from 1, and its values by their columns."""

    number: int
    values: Mapping[str, Any]

    def problem(self, column: str, what: str) -> Invalid:
        """Say what is wrong with a value."""
        return Invalid(f"line {self.number}, {column}", what)


async def bring(request: Request, account_key: str | None, wanted: Wanted) -> str:
    """Import a file; returns what it came to, for people to read. Raises `Unfit` and what the operation raises.

    Every line is checked before any is imported. Then each `CHUNK` of lines is imported wholly or not at all; what was
    imported before is passed over, so that whatever interrupts this, the same command goes on.
    """
    said = Said(typed.comment("--comment", wanted.comment))
    lines = list(_lines(_text(wanted.file), wanted.file))
    caller = await acting_in(request, account_key)
    asked = await _read(caller, lines)
    chunks = list(zip(sliced(lines, CHUNK), sliced(asked, CHUNK), strict=True))
    done = [await _chunk(caller, *chunk, said, dry_run=True) for chunk in chunks]
    if not wanted.dry_run:
        done = [await _chunk(caller, *chunk, said, dry_run=False) for chunk in chunks]
    told = (_told(chunk, each) for (chunk, _), each in zip(chunks, done, strict=True))
    return "\n".join([*(text for each in told for text in each), _summary(done, dry_run=wanted.dry_run)])


async def _chunk(
    caller: Caller, lines: Sequence[Line], asked: Sequence[Import], said: Said, *, dry_run: bool
) -> Imported:
    fresh = caller.asking(replace(caller.request, allowance=Allowance()))
    try:
        return await imports.bring(fresh, asked, said, dry_run=dry_run, skip_known=True)
    except Unfit as unfit:
        raise _unfit([_located(lines, problem) for problem in unfit.problems]) from None


def _located(lines: Sequence[Line], problem: Invalid) -> Invalid:
    """Say of a problem beneath `tokens[3]` on which line and in which column it is."""
    place, _, field = problem.field.removeprefix("tokens[").partition("].")
    column = field.removeprefix("scope.").replace("responsibleId", "responsible")
    return lines[int(place)].problem(column, problem.problem)


def _unfit(problems: Sequence[Invalid]) -> Unfit:
    more = len(problems) - MOST_TOLD
    return Unfit([*problems[:MOST_TOLD], *([Invalid("FILE", f"has {more} problems more")] if more > 0 else [])])


def _text(file: str) -> str:
    raw = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else _bytes(Path(file))
    if len(raw) > MOST_BYTES:
        raise Invalid("FILE", f"must have at most {MOST_BYTES} bytes: split it")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise Invalid("FILE", f"is not UTF-8 on line {line}") from None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _lines(text: str, file: str) -> Iterator[Line]:
    suffix = Path(file).suffix.lower()
    is_json = suffix in _JSON_NAMES or (suffix != ".csv" and text.lstrip().startswith("{"))
    lines = list(_json_lines(text) if is_json else _csv_lines(text))
    if not lines:
        raise Invalid("FILE", "names no token")
    yield from lines


def _json_lines(text: str) -> Iterator[Line]:
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            values = json_text.parsed(raw)
        except json.JSONDecodeError as problem:
            raise Invalid(f"line {number}", f"is no JSON: column {problem.colno}: {problem.msg}") from None
        except Twice as twice:
            raise Invalid(f"line {number}", _told_twice(twice)) from None
        except ValueError:  # nested too deep, or a number of more digits than Python reads
            raise Invalid(f"line {number}", "is no JSON") from None
        if not isinstance(values, dict):
            raise Invalid(f"line {number}", "must be a JSON object")
        for place, name in enumerate(values, 1):
            if name not in COLUMNS:
                raise Invalid(f"line {number}", f"has a field, number {place}, that is none of {_listed(COLUMNS)}")
        yield Line(number, {name: value for name, value in values.items() if value is not None})


def _told_twice(twice: Twice) -> str:
    return f"has the field `{twice.name}` twice" if twice.name in COLUMNS else str(twice)


def _csv_lines(text: str) -> Iterator[Line]:
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        columns = _header(next(rows, []))
        for row in rows:
            number, begins = begins + 1, rows.line_num
            if not row:
                continue
            if len(row) != len(columns):
                raise Invalid(f"line {number}", f"has {len(row)} values, the header {len(columns)}")
            yield Line(number, {name: value for name, value in zip(columns, row, strict=True) if value})
    except csv.Error as problem:
        raise Invalid(f"line {rows.line_num}", f"is no CSV: {problem}") from None


def _header(columns: Sequence[str]) -> Sequence[str]:
    for place, name in enumerate(columns, 1):
        if name not in COLUMNS:
            raise Invalid("line 1", f"must be a header: its column {place} is none of {_listed(COLUMNS)}")
        if columns.index(name) + 1 < place:
            raise Invalid("line 1", f"names `{name}` twice")
    return columns


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


async def _read(caller: Caller, lines: Sequence[Line]) -> list[Import]:
    """Read all lines. Raises `Unfit` with whatever is wrong."""
    members = await _members(caller, lines)
    read, problems, seen = [], list[Invalid](), dict[str, int]()
    for line in lines:
        try:
            read.append(_import(line, members))
            first = seen.setdefault(imports.fingerprint(read[-1]).hex(), line.number)
            _refuse_same(read[-1], first, line)
        except Invalid as problem:
            problems.append(line.problem(problem.field, problem.problem))
    if problems:
        raise _unfit(problems)
    return read


def _refuse_same(each: Import, first: int, line: Line) -> None:
    if first != line.number:
        raise Invalid("secret" if each.sha256 is None else "sha256", f"is that of line {first} too")


async def _members(caller: Caller, lines: Sequence[Line]) -> Mapping[str, Member]:
    """Find the members who are named by their e-mail addresses."""
    if not any("responsible" in line.values for line in lines):
        return {}
    found = Member.filter(account_id=caller.account.id).exclude(state=MemberState.REMOVED)
    return {member.email_key: member for member in await found}


def _import(line: Line, members: Mapping[str, Member]) -> Import:
    values = line.values
    given = [name for name in _SCOPES if name in values]
    if len(given) > 1:
        raise Invalid(given[1], f"cannot be given together with `{given[0]}`")
    responsible = _word(values, "responsible")
    member = members.get(typed.email("responsible", responsible)[1]) if responsible else None
    if responsible and member is None:
        raise Invalid("responsible", "must be the e-mail address of a member")
    return Import(
        name=_word(values, "name") or "",
        secret=_word(values, "secret"),
        sha256=_word(values, "sha256"),
        ending=_word(values, "ending"),
        description=_word(values, "description") or "",
        scope=_scope(values) if given else None,
        expires_at=_moment(values, "expiresAt"),
        networks=_words(values, "networks"),
        rate_limits=_words(values, "rateLimits"),
        responsible_id=member.id if member else None,
    )


def _scope(values: Mapping[str, Any]) -> Scope:
    role = _word(values, "builtInRole")
    if role is not None and role.lower() not in list(BuiltInRole):
        raise Invalid("builtInRole", f"must be one of {_listed([each.value for each in BuiltInRole])}")
    statements = values.get("statements")
    if isinstance(statements, str):
        try:
            statements = json_text.parsed(statements)
        except Twice as twice:
            raise Invalid("statements", str(twice)) from None
        except ValueError:
            raise Invalid("statements", "must be a list in JSON") from None
    if not (statements is None or (isinstance(statements, list) and all(isinstance(one, dict) for one in statements))):
        raise Invalid("statements", "must be a list of objects")
    return Scope(BuiltInRole(role.lower()) if role else None, _words(values, "customRoles"), statements)


def _word(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if not isinstance(value, str | None):
        raise Invalid(name, "must be a text")
    return value


def _words(values: Mapping[str, Any], name: str) -> list[str] | None:
    """Read a list: a JSON one, or words with blanks between them."""
    value = values.get(name)
    if isinstance(value, str):
        return value.split()
    if value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise Invalid(name, "must be a list of texts")


def _moment(values: Mapping[str, Any], name: str) -> datetime | None:
    text = _word(values, name)
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(name, "must be a time, as in `2030-01-31T12:00:00Z`") from None


def _told(lines: Sequence[Line], done: Imported) -> Iterator[str]:
    """Tell line by line what is, or would be, imported."""
    for place in done.known:
        yield f"= line {lines[place].number}: its secret was imported already"
    yield from map(_token, done.drafts)


def _token(draft: Draft) -> str:
    row = draft.row
    scope = ", ".join(named.name for named in draft.effective.sides[0].policies)
    ending = f" …{row.ending}" if row.ending else ""
    ends = f", ends {row.expires_at.isoformat()}" if row.expires_at else ", never ends"
    whence = f", from {' '.join(row.networks)}" if row.networks else ""
    often = f", {' '.join(row.rate_limits)}" if row.rate_limits else ""
    return f"+ {row.name}{ending}: {scope}{ends}{whence}{often}"


def _summary(done: Sequence[Imported], *, dry_run: bool) -> str:
    known, drafts = (sum(len(getattr(each, what)) for each in done) for what in ("known", "drafts"))
    there = f", {known} there already" if known else ""
    count = f"{drafts} to import{there}, nothing changed: a dry run" if dry_run else f"{drafts} imported{there}"
    return f"whoever holds a secret of these may what its scope says, at most what the account's owner may now\n{count}"
