"""Configuration as code: an account's resource kinds, roles and gates as one document, exported and applied.

What a document holds is made or replaced; what it does not hold stays. All of it is done, or nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.catalogue import Catalogue
from core.document import Problems
from core.errors import Conflict, Invalid
from models import AuditEntry, Json
from resolvers.callers import Caller, again
from resolvers.gainers import Gainers, Standings, gainers, standings
from resolvers.sections import KINDS, SECTIONS, VERSION, Item, Present, Section, kind_of, read
from resolvers.writing import Said, opened

MOST_BYTES = 1 << 20
"""Of a document, written without spaces."""
MOST_KINDS = 100
"""How many kinds are made or changed at once: with each, everybody's rights are read anew, and others wait to write."""


async def export(caller: Caller) -> dict[str, Any]:
    """Write down what the caller sees as a document that `apply` takes. A role whose policy is hidden is left out."""
    shown = {section.name: await section.present(caller) for section in SECTIONS}
    return {
        "latchkey": VERSION,
        **{
            section.name: [
                present.json for present in shown[section.name].values() if set(section.fields) <= set(present.json)
            ]
            for section in SECTIONS
        },
    }


class Step(StrEnum):
    """What applying a document does with an item."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    SAME = "SAME"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of an item that differs. `before` is None for what is new, and for what the caller may not see."""

    name: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class Difference:
    """An item of the document, held against what there was."""

    section: str
    key: str
    step: Step
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What a document came to, item by item in the order of its sections; who may gain by it; and the entries.

    Who may gain is None where it would tell what a role says, or who holds it, to somebody who may not see that.
    """

    differences: tuple[Difference, ...]
    gainers: Gainers | None
    entries: tuple[AuditEntry, ...]
    dry_run: bool


async def apply(caller: Caller, document: object, said: Said, *, dry_run: bool) -> Applied:
    """Make an account what a document says, in one transaction with an entry for each row that changes.

    Each item takes what its own operation takes. `dry_run` does the same and undoes it. Raises `Unfit` naming every
    problem, up to 20, before anything changes; and what the operations raise.
    """
    _refuse_large(document)
    items = read(document)
    comment = Said(said.comment)
    done: _Done | None = None
    with suppress(_UndoneError):
        async with opened(caller, comment) as (fresh, _):
            done = await _done(fresh, items, comment)
            if dry_run:
                raise _UndoneError
    assert done is not None  # noqa: S101 - or something was raised
    if done.blind:
        may_gain = None
    else:
        may_gain = await gainers(done.caller, done.before, done.after) if done.before and done.after else Gainers()
    return Applied(done.differences, may_gain, () if dry_run else done.entries, dry_run)


class _UndoneError(Exception):
    """Ends the transaction of a dry run."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What was done inside the transaction, and what everybody might do before and after; None if nothing changed."""

    caller: Caller
    differences: tuple[Difference, ...]
    entries: tuple[AuditEntry, ...]
    before: Standings | None = None
    after: Standings | None = None
    blind: bool = False
    """Whether something is changed that the caller does not see."""


def _refuse_large(document: object) -> None:
    try:
        size_bytes = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
    except RecursionError:
        raise Invalid("document", "nests too deep") from None
    if size_bytes > MOST_BYTES:
        raise Invalid("document", f"must have at most {MOST_BYTES} bytes")


async def _done(caller: Caller, items: Mapping[str, list[Item]], said: Said) -> _Done:
    present = {section.name: await section.present(caller) for section in SECTIONS}
    checked = _checked(caller.catalogue, items)
    lines = [
        _Line(section, item, present[section.name].get(item.key))
        for section in SECTIONS
        for item in checked[section.name]
    ]
    work = [line for line in lines if line.difference.step is not Step.SAME]
    # Section by section, each by key, whatever the order of the work.
    differences = tuple(line.difference for line in sorted(lines, key=lambda line: (line.rank, line.item.key)))
    if not work:
        return _Done(caller, differences, ())
    if sum(line.difference.section == KINDS.name for line in work) > MOST_KINDS:
        raise Invalid(KINDS.name, f"would make or change more than {MOST_KINDS} kinds at once: apply some first")
    before = await standings(caller.account, caller.catalogue)
    entries = [await line.save(caller, said) for line in work]
    after = await standings(caller.account, (await again(caller)).catalogue)
    blind = any(line.is_blind for line in work)
    return _Done(caller, differences, tuple(entry for entry in entries if entry), before, after, blind)


class _Line:
    """An item of the document beside what there is."""

    def __init__(self, section: Section, item: Item, present: Present | None) -> None:
        self.item = item
        self.rank = SECTIONS.index(section)
        self._section = section
        self._present = present
        self.difference = self._compared()

    def _compared(self) -> Difference:
        section, item = self._section, self.item
        shown = self._present.json if self._present else {}
        # What the caller does not see counts as different, so that it takes the action of changing it to find out.
        changed = [name for name in section.fields if name not in shown or shown[name] != item.json[name]]
        step = Step.CREATE if self._present is None else Step.UPDATE if changed else Step.SAME
        fields = tuple(FieldChange(name, shown.get(name), item.json[name]) for name in changed)
        return Difference(section.name, item.key, step, fields)

    @property
    def is_blind(self) -> bool:
        """Whether there is something of it that the caller does not see."""
        return self._present is not None and not set(self._section.fields) <= set(self._present.json)

    async def save(self, caller: Caller, said: Said) -> AuditEntry | None:
        """Make it so; says in which item it was if that is refused."""
        changed = {change.name for change in self.difference.fields}
        row_id = self._present.id if self._present else None
        with _placed(self.item):
            return await self._section.save(caller, self.item, row_id, changed, said)


def _checked(catalogue: Catalogue, items: Mapping[str, list[Item]]) -> dict[str, list[Item]]:
    """Check every item by the catalogue that there will be, and order the kinds so that none comes before a parent."""
    problems = Problems()
    ordered = {**items, KINDS.name: _ordered(catalogue, items[KINDS.name])}
    for item in ordered[KINDS.name]:
        found = len(problems.found)
        KINDS.check(item, catalogue, problems)
        if len(problems.found) == found:
            catalogue = Catalogue.of((*catalogue, kind_of(item.json)))
    for section in SECTIONS:
        if section is not KINDS:
            for item in ordered[section.name]:
                section.check(item, catalogue, problems)
    problems.settle()
    return ordered


def _ordered(catalogue: Catalogue, items: Sequence[Item]) -> list[Item]:
    """Order kinds from the top down, by where they will stand once all is done; circles are left to the check."""
    wanted = {item.key: item for item in items}
    parents = {
        **{kind.key: kind.parents for kind in catalogue},
        **{item.key: item.json["parents"] for item in items},
    }
    ordered: dict[str, Item] = {}
    pending = [(key, False) for key in reversed(wanted)]
    visited: set[str] = set()
    while pending:
        key, is_done = pending.pop()
        if is_done:
            if key in wanted:
                ordered[key] = wanted[key]
        elif key not in visited:
            visited.add(key)
            pending.append((key, True))
            pending += [(parent, False) for parent in parents.get(key, ())]
    return list(ordered.values())


@contextmanager
def _placed(item: Item) -> Iterator[None]:
    """Say in which item it was."""
    try:
        yield
    except Invalid as problem:
        raise Invalid(f"{item.field}.{problem.field}", problem.problem) from None
    except Conflict as conflict:
        told = {name: value for name, value in conflict.extensions.items() if name != "code"}
        raise Conflict(conflict.message, **{**told, "field": f"{item.field}.{told.get('field', 'key')}"}) from None
