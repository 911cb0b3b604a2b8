"""An account's configuration, exported and applied at the server's own terminal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli import json_text
from cli.accounts import acting_in
from cli.json_text import Twice
from core.errors import Invalid
from resolvers import configuration
from resolvers import input as typed
from resolvers.callers import Request
from resolvers.configuration import MOST_BYTES, Applied, Difference, FieldChange, Step
from resolvers.gainers import Gainer
from resolvers.writing import Said

MOST_TOLD = 5
"""How much of what somebody may gain is printed."""
_SIGNS = {Step.CREATE: "+", Step.UPDATE: "~", Step.SAME: "="}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `apply` is asked for."""

    file: Path
    comment: str | None = None
    dry_run: bool = False


async def export(request: Request, account_key: str | None, file: Path | None) -> str:
    """Write an account's configuration down; returns it, or where it is. Raises `Invalid` and `Conflict`."""
    document = await configuration.export(await acting_in(request, account_key))
    text = json.dumps(document, ensure_ascii=False, indent=2)
    if file is None:
        return text
    _write(file, text)
    return f"written to {file}"


def _write(file: Path, text: str) -> None:
    file.write_text(f"{text}\n", encoding="utf-8")


async def apply(request: Request, account_key: str | None, wanted: Wanted) -> str:
    """Apply a document; returns what it came to, for people to read. Raises `Unfit` and what the operations raise."""
    document = _parsed(wanted.file)
    said = Said(typed.comment("--comment", wanted.comment))
    caller = await acting_in(request, account_key)
    return "\n".join(told(await configuration.apply(caller, document, said, dry_run=wanted.dry_run)))


def _parsed(path: Path) -> object:
    if path.stat().st_size > MOST_BYTES * 4:  # written with spaces
        raise Invalid("FILE", f"must have at most {MOST_BYTES} bytes, spaces aside")
    try:
        return json_text.parsed(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as problem:
        raise Invalid("FILE", f"is no JSON: line {problem.lineno}, column {problem.colno}: {problem.msg}") from None
    except Twice as twice:
        raise Invalid("FILE", f"has an object with the field `{twice.name[:64]}` twice") from None
    except ValueError:  # no UTF-8, nested too deep, or a number of more digits than Python reads
        raise Invalid("FILE", "is no JSON") from None


def told(applied: Applied) -> Iterator[str]:
    """Tell what a document came to, line by line."""
    for difference in applied.differences:
        if difference.step is not Step.SAME:
            yield from _difference(difference)
    same = sum(difference.step is Step.SAME for difference in applied.differences)
    if same:
        yield f"{_SIGNS[Step.SAME]} {same} {'is' if same == 1 else 'are'} as the document says"
    yield "what the document does not name stays as it is"
    yield from _gainers(applied)
    changes = len(applied.differences) - same
    yield f"{changes} to change, nothing changed: a dry run" if applied.dry_run else f"{changes} changed"


def _difference(difference: Difference) -> Iterator[str]:
    yield f"{_SIGNS[difference.step]} {difference.section} `{difference.key}`"
    for change in difference.fields:
        if change.name != "key" and (change.before or change.after):
            yield from _change(change)


def _change(change: FieldChange) -> Iterator[str]:
    if isinstance(change.before, list | None) and isinstance(change.after, list):
        before = [_json(each) for each in change.before or ()]
        after = [_json(each) for each in change.after]
        yield f"    {change.name}:"
        yield from (f"      - {line}" for line in before if line not in after)
        yield from (f"      + {line}" for line in after if line not in before)
    elif change.before is None:
        yield f"    {change.name}: {_json(change.after)}"
    else:
        yield f"    {change.name}: {_json(change.before)} -> {_json(change.after)}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _gainers(applied: Applied) -> Iterator[str]:
    assert applied.gainers is not None  # noqa: S101 - the command line sees everything
    shown, others = applied.gainers.shown, applied.gainers.others
    if not shown and not others:
        yield "nobody gains by it"
        return
    yield "may gain by it:"
    for gainer in shown:
        yield f"    {gainer.row.resource} {gainer.row.label}: {_gains(gainer)}"
    if others:
        yield f"    {others} more"


def _gains(gainer: Gainer) -> str:
    if gainer.gains is None:
        return "too much to work out"
    listed = "; ".join(f"{action} on {resource}" for action, resource in gainer.gains[:MOST_TOLD])
    more = len(gainer.gains) - MOST_TOLD
    return f"{listed}; {more} more" if more > 0 else listed
