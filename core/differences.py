"""What became different between two states of a thing, field by field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """A field by its path, such as `trial.roles`, and what it held; None also where it was not there."""

    field: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Difference]:
    """Give the fields that differ, those within objects by themselves; of what is new or gone, all that hold any."""
    before, after = before or {}, after or {}
    for field in dict.fromkeys((*before, *after)):
        was, became = before.get(field), after.get(field)
        if was == became:
            continue
        if isinstance(was, Mapping) and isinstance(became, Mapping):
            for inner in differences(was, became):
                yield Difference(f"{field}.{inner.field}", inner.before, inner.after)
        else:
            yield Difference(field, was, became)
