"""What callers were refused: gathered in memory beside their requests, until `resolvers.refusing` writes it down.

Only what was asked for is kept, as it was asked, and never what there is: a refusal of what is hidden and one of what
is absent are the same. All of it is bounded. A caller's refusals of one window come to few lines, whose resources are
folded, see `core.folding`; what there is no room for is counted for its account as a whole.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from core.folding import EVERYTHING, fitting, fold_each, standing
from models import Account

WINDOW_S = 60.0
"""How long after a caller's first refusal what they were refused is gathered."""
MOST_LINES = 8
"""How many lines a caller's window comes to at most: in all windows of an hour, half of what its account may write."""
MOST_WINDOWS, MOST_WINDOWS_EACH = 5_000, 500
"""How many callers are gathered for at once, in all and of one account."""
MOST_STRANGERS = 50
"""From how many addresses who failed to sign in to one account is told apart at once."""
LONGEST = 512
"""Bytes of a resource, as its column holds."""
HOUR_S = 60 * 60
ANYTHING = ("*",)
"""What stands for actions that are too many."""


class Whose(NamedTuple):
    """A caller who was refused: by what they are known, and what entries say of them and of their first request."""

    account: Account
    id: UUID
    columns: Mapping[str, Any]
    crowd: "Whose | None" = None
    """Of whom nobody knows who they are: with whom they are gathered where there are too many of them."""


class Asked(NamedTuple):
    """What a refused caller asked for: actions, one of which it takes, on a resource as the caller named it."""

    actions: tuple[str, ...]
    specifier: str


@dataclass(slots=True)
class Span:
    """How often something happened, and when first and last. Times are in seconds since 1970."""

    count: int
    first_s: float
    last_s: float

    def include(self, more: "Span") -> None:
        """Add what happened at other times."""
        self.count += more.count
        self.first_s, self.last_s = min(self.first_s, more.first_s), max(self.last_s, more.last_s)


class Summary(NamedTuple):
    """What one caller was refused in one window, of one kind."""

    whose: Whose
    asked: Asked
    span: Span


@dataclass(slots=True)
class Window:
    """What a caller was refused since a moment."""

    whose: Whose
    began_s: float
    lines: dict[tuple[str, ...], dict[str, Span]] = field(default_factory=dict)
    """By the actions and the specifier that stands for the resource."""

    def add(self, asked: Asked, span: Span) -> None:
        """Add a refusal."""
        actions = asked.actions if self._has_room(asked.actions) else ANYTHING
        specifier = asked.specifier if actions is asked.actions else EVERYTHING
        known = self.lines.setdefault(actions, {})
        stands = standing(specifier, known)
        if stands is not None:
            known[stands].include(span)
            return
        known[fitting(specifier, LONGEST)] = span
        if sum(map(len, self.lines.values())) > MOST_LINES:
            self._fold()

    def _has_room(self, actions: tuple[str, ...]) -> bool:
        return actions in self.lines or len(self.lines) < MOST_LINES - 1

    def _fold(self) -> None:
        for actions, stands in fold_each(self.lines, MOST_LINES, MOST_LINES).items():
            known, folded = self.lines[actions], dict[str, Span]()
            for specifier, wide in stands.items():
                if wide in folded:
                    folded[wide].include(known[specifier])
                else:
                    folded[wide] = known[specifier]
            self.lines[actions] = folded

    def summaries(self) -> Iterator[Summary]:
        """List what it comes to."""
        for actions, known in self.lines.items():
            for specifier, span in known.items():
                yield Summary(self.whose, Asked(actions, specifier), span)


@dataclass(slots=True)
class Rest:
    """How many more refusals an account had than were written, and until when they are counted."""

    account: Account
    until_s: float
    span: Span


class Refusals:
    """What was refused and is not written yet."""

    def __init__(self, clock_s: Callable[[], float] = time.time) -> None:
        self.clock_s = clock_s
        self._windows: dict[UUID, Window] = {}
        self._callers: Counter[UUID] = Counter()
        """How many windows each account has."""
        self._strangers: Counter[UUID] = Counter()
        """How many of them are of callers of whom nobody knows who they are."""
        self._rests: dict[UUID, Rest] = {}

    def note(self, whose: Whose, asked: Asked) -> None:
        """Note that a caller is refused now."""
        at_s = self.clock_s()
        self.add(Summary(whose, asked, Span(1, at_s, at_s)))

    def add(self, summary: Summary) -> None:
        """Add to what a caller was refused, in a window that begins now if none is open."""
        whose, asked, span = summary
        window = self._windows.get(whose.id) or self._opened(whose)
        if window is None:
            self.leave(whose.account, span)
        else:
            window.add(asked, span)

    def _opened(self, whose: Whose) -> Window | None:
        """Open a caller's window; None if there is no room for it."""
        account_id, crowd = whose.account.id, whose.crowd
        if crowd is not None and self._strangers[account_id] >= MOST_STRANGERS:
            return self._windows.get(crowd.id) or self._opened(crowd)
        if self._callers[account_id] >= MOST_WINDOWS_EACH or len(self._windows) >= MOST_WINDOWS:
            return None
        self._callers[account_id] += 1
        self._strangers[account_id] += crowd is not None
        window = self._windows[whose.id] = Window(whose, self.clock_s())
        return window

    def leave(self, account: Account, span: Span) -> None:
        """Count refusals without saying whose: there are too many, or no room to write them."""
        rest = self._rests.get(account.id)
        if rest is None:
            until_s = (self.clock_s() // HOUR_S + 1) * HOUR_S
            self._rests[account.id] = Rest(account, until_s, Span(span.count, span.first_s, span.last_s))
        else:
            rest.span.include(span)

    def take(self, *, all_: bool = False) -> list[Window]:
        """Take the windows that are over, or all: those that come to little first, so that no flood hides them."""
        until_s = self.clock_s() - WINDOW_S
        taken = [window for window in self._windows.values() if all_ or window.began_s <= until_s]
        for window in taken:
            del self._windows[window.whose.id]
            self._callers[window.whose.account.id] -= 1
            self._strangers[window.whose.account.id] -= window.whose.crowd is not None
        self._callers, self._strangers = +self._callers, +self._strangers
        return sorted(taken, key=lambda window: sum(map(len, window.lines.values())))

    def take_rests(self, *, all_: bool = False) -> list[Rest]:
        """Take what was left over in hours that have ended, or all."""
        at_s = self.clock_s()
        taken = [rest for rest in self._rests.values() if all_ or rest.until_s <= at_s]
        for rest in taken:
            del self._rests[rest.account.id]
        return taken


class Refusal:
    """A refusal that is given once or again and again, by an answer that is remembered."""

    __slots__ = ("_asked", "_refusals", "_whose")

    def __init__(self, refusals: Refusals, whose: Whose, asked: Asked) -> None:
        self._refusals = refusals
        self._whose = whose
        self._asked = asked

    def note(self) -> None:
        """Note that it is given now."""
        self._refusals.note(self._whose, self._asked)
