"""How tokens are used: gathered in memory, written every few seconds beside the log.

When, from where and by which program a token was last used; how often for which action on which day, what was refused
apart; and the places it was used from. Beside summaries of refusals, the only writes that verifying a token causes.
They change no version, so no memory of what a token may do is lost. What a process that dies had gathered is lost, at
most `FLUSH_EVERY_S` of it.

An action counts once for a request, however many rows or resources it was asked about: allowed, refused or both; and
once for each of those resources, under the narrowest specifier that means it. A request that comes to no action counts
under `NO_ACTION`, and for no resource. Only words of a catalogue get here, never those that somebody made up, so that
there are no more counts of actions than words. Names are anybody's: where there are too many, they are folded, see
`core.folding`. Sessions have a last use and nothing else.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from core.folding import EVERYTHING
from core.slices import sliced
from models import Token, TokenKind
from models.database import outside_transaction
from resolvers import tallies
from resolvers.tallies import DAY_S, Decided, Tally

FLUSH_EVERY_S = 5.0
BATCH, BATCH_ROWS = 100, 400
"""Of how many tokens the uses are written in one transaction, and how much of them in all: other writers wait."""
SLICE = 50
"""How many uses are added up at a time; requests are answered in between."""
MOST_PENDING = 1_000
"""How many uses are kept before they are added up, and ten times as many deeds that they came to."""
MOST_KEPT = 100_000
"""How many counts and origins are kept between two flushes; what is new beyond them is not counted."""
NO_ACTION = ""
"""What is counted for a request that names no action: the token was presented, and no more."""

_log = logging.getLogger(__name__)


class Outcome(IntEnum):
    """What became of an action that was asked about, as bits: allowed, refused, refused by the scope that is tried."""

    ALLOWED = 0b001
    REFUSED = 0b010
    TRIAL_REFUSED = 0b101
    """Allowed, but not by the scope that is tried."""


class Deed(NamedTuple):
    """An action of the catalogue, what became of it, and on what, as a specifier: `*` where nothing was named."""

    action: str
    outcome: Outcome
    specifier: str = EVERYTHING

    def __bool__(self) -> bool:
        return self.outcome is not Outcome.REFUSED


_NOTHING = Deed(NO_ACTION, Outcome.ALLOWED)
_TRIAL = Outcome.TRIAL_REFUSED & ~Outcome.ALLOWED
_ALL = Outcome.TRIAL_REFUSED | Outcome.REFUSED


def deed(action: str, specifier: str = EVERYTHING, *, allowed: bool) -> Deed:
    """Say what became of an action."""
    return Deed(action, Outcome.ALLOWED if allowed else Outcome.REFUSED, specifier)


class Use:
    """A way in which a token is used: from where, by which program and for what. It is noted as often as it happens.

    Made once for an answer that is remembered, so that noting it again takes no more than a look at the clock.
    """

    __slots__ = (
        "_added",
        "_at_s",
        "_clock_s",
        "_times",
        "_until_s",
        "_uses",
        "account_id",
        "address",
        "deeds",
        "is_session",
        "token_id",
        "trial",
        "user_agent",
    )

    def __init__(
        self, uses: "Uses", token: Token, address: str | None, user_agent: str | None, deeds: tuple[Deed, ...] = ()
    ) -> None:
        self._uses = uses
        self._clock_s = uses.clock_s
        self.token_id = token.id
        self.account_id = token.account_id
        self.is_session = token.kind is TokenKind.SESSION
        self.trial: str = token.trial["at"] if token.trial else ""
        """When the trial began that its deeds know of."""
        self.address = address
        self.user_agent = user_agent
        self.deeds = deeds
        self._added: dict[Deed, None] = {}
        self._times = 0
        self._at_s = 0.0
        self._until_s = 0.0
        """Until when it need not be handed in again: the end of the day; 0 if it has not been since the last time."""

    def note(self) -> None:
        """Note that it happens now."""
        at_s = self._clock_s()
        if at_s >= self._until_s:
            self._begin(at_s)
        self._times += 1
        self._at_s = at_s

    def add(self, deeds: Iterable[Deed]) -> None:
        """Note what else the request, of which this is the use, came to: each once."""
        each = dict.fromkeys(deeds)
        if each and not self._until_s:
            self._begin(self._clock_s())
        before = len(self._added)
        self._added.update(each)
        self._uses.take_in(len(self._added) - before)

    def forget(self) -> None:
        """Take back what was added: the request is answered in another way, which notes it all."""
        self._added = {}

    def _begin(self, at_s: float) -> None:
        if self._times:
            self._uses.settle(self)
        self._until_s = (at_s // DAY_S + 1) * DAY_S
        self._at_s = at_s
        self._uses.hand_in(self)

    def take(self) -> tuple[int, float, list[tuple[Iterable[Deed], int]]]:
        """Take what was noted since the last time: how often, when at last, and which deeds how often together."""
        times, self._times, self._until_s = self._times, 0, 0.0
        added, self._added = self._added, {}
        done: list[tuple[Iterable[Deed], int]] = []
        if added:
            done.append((added, 1))
        if times and (self.deeds or not added):
            done.append((self.deeds or (_NOTHING,), times))
        return times, self._at_s, done


def _decided(bits: int, many: int) -> Decided:
    return Decided(
        many if bits & Outcome.ALLOWED else 0, many if bits & Outcome.REFUSED else 0, many if bits & _TRIAL else 0
    )


def _batches(gathered: Mapping[UUID, Tally]) -> Iterator[dict[UUID, Tally]]:
    batch: dict[UUID, Tally] = {}
    rows = 0
    for token_id in sorted(gathered):
        rows += gathered[token_id].size
        if batch and (len(batch) == BATCH or rows > BATCH_ROWS):
            yield batch
            batch, rows = {}, gathered[token_id].size
        batch[token_id] = gathered[token_id]
    if batch:
        yield batch


@dataclass
class Uses:
    """The uses of tokens since the last flush."""

    clock_s: Callable[[], float] = time.time
    _pending: list[Use] = field(default_factory=list, repr=False)
    _pending_deeds: int = 0
    _tallies: dict[UUID, Tally] = field(default_factory=dict, repr=False)
    _kept: int = 0
    _lost: int = 0
    decided: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    """How often it was decided like this since the process began; of one request, the same decision counts once."""
    used: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    """How often a credential was used: a session, or a token."""

    def of(self, token: Token, address: str | None, user_agent: str | None, deeds: tuple[Deed, ...] = ()) -> Use:
        """Describe a use, which is to be noted."""
        return Use(self, token, address, user_agent, deeds)

    def hand_in(self, use: Use) -> None:
        """Take a use that is being noted, to be settled later."""
        self._pending.append(use)
        if len(self._pending) > MOST_PENDING:
            self._settle_all(but=use)

    def take_in(self, many: int) -> None:
        """Count deeds that were added to a use which is pending."""
        self._pending_deeds += many
        if self._pending_deeds > 10 * MOST_PENDING:
            self._settle_all()

    def _settle_all(self, but: Use | None = None) -> None:
        pending, self._pending = self._pending, [] if but is None else [but]
        self._pending_deeds = 0
        for use in pending:
            if use is not but:
                self.settle(use)

    def settle(self, use: Use) -> None:
        """Add a use to what is known of its token."""
        times, at_s, done = use.take()
        if not done:
            return
        self._meter(use, times, done)
        tally = self._tallies.get(use.token_id)
        if tally is None:
            if not self._has_room():
                return
            tally = self._tallies[use.token_id] = Tally(use.account_id)
        if times:
            tally.used(at_s, use.address, use.user_agent)
        if use.is_session:
            return
        counted = _ALL if tally.tries(use.trial) else _ALL & ~_TRIAL
        for deeds, many in done:
            self._count(tally, at_s, deeds, many, counted)
        whence = (use.address or "", use.user_agent or "")
        if times and (whence in tally.origins or self._has_room()):
            self._kept -= tally.came(whence, at_s, at_s, times)

    def _meter(self, use: Use, times: int, done: Iterable[tuple[Iterable[Deed], int]]) -> None:
        self.used[use.is_session] += times
        for deeds, many in done:
            for deed in deeds:
                if deed.action != NO_ACTION:
                    self.decided[deed.outcome] += many

    def _count(self, tally: Tally, at_s: float, deeds: Iterable[Deed], many: int, counted: int) -> None:
        """Count deeds of so many requests: each action once, and once on each resource. `counted` are bits."""
        actions: dict[str, int] = {}
        decided: dict[Outcome, Decided] = {}
        for action, outcome, specifier in deeds:
            actions[action] = actions.get(action, 0) | outcome & counted
            if action == NO_ACTION:
                continue
            if self._kept < MOST_KEPT or tally.knows(action, specifier):
                if outcome not in decided:
                    decided[outcome] = _decided(outcome & counted, many)
                self._kept += tally.accessed(action, specifier, decided[outcome], at_s, at_s)
            else:
                self._lost += 1
        for action, bits in actions.items():
            key = (int(at_s // DAY_S), action)
            if key in tally.days or self._has_room():
                tally.count(key, _decided(bits, many))

    def _has_room(self) -> bool:
        if self._kept >= MOST_KEPT:
            self._lost += 1
            return False
        self._kept += 1
        return True

    def met(self) -> int:
        """Add up what was noted so far; gives how many counts wait to be written."""
        self._settle_all()
        return self._kept

    async def flush(self) -> None:
        """Write what was gathered. A later use that another process wrote stays; a token being changed waits."""
        pending, self._pending, self._pending_deeds = self._pending, [], 0
        for some in sliced(pending, SLICE):
            for use in some:
                self.settle(use)
            await asyncio.sleep(0)
        left, self._tallies, self._kept = self._tallies, {}, 0
        lost, self._lost = self._lost, 0
        if lost:
            _log.warning("%s counts of uses of tokens were dropped: there were too many at once", lost)
        try:
            for batch in list(_batches(left)):
                for token_id in await tallies.write(batch):
                    del left[token_id]
        finally:
            self._put_back(left)

    def _put_back(self, left: Mapping[UUID, Tally]) -> None:
        for token_id, earlier in left.items():
            later = self._tallies.get(token_id)
            if later is not None:
                earlier.include(later)
            self._tallies[token_id] = earlier
        self._kept = sum(tally.size for tally in self._tallies.values())

    @asynccontextmanager
    async def flushed(self) -> AsyncIterator[None]:
        """Flush every few seconds, and once more at the end."""
        ending = asyncio.Event()
        flushing = asyncio.create_task(self._flush_until(ending), context=outside_transaction())
        try:
            yield
        finally:
            ending.set()  # never cancelled: nobody could say what of a flush had been written
            await flushing
            await self._flushed_or("lost")

    async def _flush_until(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            try:
                async with asyncio.timeout(FLUSH_EVERY_S):
                    await ending.wait()
            except TimeoutError:
                await self._flushed_or("kept")

    async def _flushed_or(self, otherwise: str) -> None:
        """Flush, or tell in the log what becomes of what could not be written."""
        try:
            await self.flush()
        except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again, or the end goes on
            _log.warning("uses of tokens could not be written; they are %s", otherwise, exc_info=True)
