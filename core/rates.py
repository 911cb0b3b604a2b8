"""How often something may happen: so many times in a second, a minute, an hour or a day."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from core.errors import Invalid

MOST = 10
"""How many limits there may be at once."""
LARGEST = 100_000
"""What one limit may allow in its window. As many moments are kept of each that is used so often."""
WINDOWS_S = {"second": 1, "minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}

_RATE = re.compile(r"([1-9][0-9]{0,5})/(" + "|".join(WINDOWS_S) + ")")
_SHOWN = 32


@dataclass(frozen=True, slots=True)
class Rate:
    """One limit, such as `100/minute`: within any window of that length no more than so many."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, typed: str, field: str) -> Self:
        """Read what a caller typed. Raises `Invalid` naming the field."""
        match = _RATE.fullmatch(typed)
        if match is None or int(match[1]) > LARGEST:
            shown = typed if len(typed) <= _SHOWN else f"{typed[:_SHOWN]}…"
            units = ", ".join(f"`{unit}`" for unit in WINDOWS_S)
            raise Invalid(
                field, f"must be a number from 1 to {LARGEST}, `/` and one of {units}, as `100/minute`: `{shown}`"
            )
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.amount}/{self.unit}"

    @property
    def window_s(self) -> int:
        """How long the window is, in seconds."""
        return WINDOWS_S[self.unit]

    def keeps(self, wider: "Rate") -> bool:
        """Say whether whatever keeps this limit keeps the wider one too."""
        windows = max(1, wider.window_s // self.window_s)  # each is a whole number of the shorter ones
        return self.amount * windows <= wider.amount


Rates = tuple[Rate, ...]


def parse(typed: Sequence[str], field: str) -> Rates:
    """Read what a caller typed, one limit for each length of window. Raises `Invalid` naming the item."""
    if len(typed) > MOST:
        raise Invalid(field, f"must hold at most {MOST}")
    return tuple(dict.fromkeys(Rate.parse(text, f"{field}[{index}]") for index, text in enumerate(typed)))


def of(texts: Iterable[str]) -> Rates:
    """Read what was written of limits that were read before."""
    return tuple(Rate.parse(text, "rateLimits") for text in texts)


def within(narrower: Rates, wider: Rates) -> bool:
    """Say whether whatever keeps the narrower limits provably keeps all of the wider ones."""
    return all(any(rate.keeps(each) for rate in narrower) for each in wider)
