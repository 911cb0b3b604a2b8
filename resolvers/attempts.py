"""How often somebody may fail to sign in, and how long they wait after that.

Some failures are free. After each further one the next try waits twice as long, from a second on, and failures are
forgotten one by one, so that in the end there is one guess in the time it takes to forget one. They are counted by
network, by e-mail address at a network, and by e-mail address everywhere: against who guesses from many networks at
once. The last does not hold where the member has signed in before, and none of them on a device where they have, so
that nobody who knows an e-mail address keeps its member out. Who is a member of one account by it is a stranger to all
others: whoever runs an account can invite anybody into it.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from core.errors import RateLimited
from core.networks import neighbourhood

MOST = 50_000
"""How many are remembered; of more, whoever has not tried for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures are free, and how long it takes to forget one."""

    free: int
    forgotten_each_s: int


NETWORK = Limit(50, 6)
"""Of all who come from one network, which may be an office."""
HERE = Limit(10, 5 * 60)
"""Of one e-mail address at one network or device, and of one session that is asked for the password again."""
ANYWHERE = Limit(50, 30)
"""Of one e-mail address, from wherever its member has not signed in before."""


@dataclass(slots=True)
class _Failures:
    """How many are not forgotten yet, since when the next one is being forgotten, and when the last was."""

    count: int = 0
    since_s: float = 0.0
    last_s: float = 0.0

    def forget(self, limit: Limit, at_s: float) -> None:
        """Forget as many as there was time for."""
        forgotten = int((at_s - self.since_s) // limit.forgotten_each_s)
        self.count = max(0, self.count - forgotten)
        self.since_s += forgotten * limit.forgotten_each_s

    def wait_s(self, limit: Limit, at_s: float) -> float:
        """Say how long the next try has to wait."""
        self.forget(limit, at_s)
        return 0.0 if self.count < limit.free else self.last_s + 2.0 ** (self.count - limit.free) - at_s

    def add(self, at_s: float) -> float:
        """Count one more. Gives when the last one was, for `take_back`."""
        self.since_s = self.since_s if self.count else at_s
        last_s, self.last_s = self.last_s, at_s
        self.count += 1
        return last_s

    def take_back(self, at_s: float, last_s: float) -> None:
        """Count one less, which was none after all."""
        self.count = max(0, self.count - 1)
        if self.last_s == at_s:
            self.last_s = last_s


@dataclass(slots=True)
class Attempt:
    """One that is under way. It counts as failed until it ends well."""

    is_failure: bool | None = None
    """Whether it is one however it ends; if nobody says, it is if it raises."""


class Attempts:
    """Failures of one process, kept in memory."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._failures: OrderedDict[str, _Failures] = OrderedDict()  # whoever tried last comes last

    def holds_up(self, email_key: str, address: str | None) -> bool:
        """Say whether a stranger who tries to sign in from an address has to wait."""
        return self.presses(email_key) or self._wait_s(_here(email_key, address)) > 0

    def presses(self, email_key: str) -> bool:
        """Say whether so many failed in a member's name that strangers have to wait everywhere."""
        return self._wait_s(_anywhere(email_key)) > 0

    def signing_in(
        self, email_key: str, address: str | None, *, is_known_here: bool = False
    ) -> AbstractContextManager[Attempt]:
        """Try to sign in with an e-mail address, with which those who are tried did in this network before or not."""
        here = _here(email_key, address)
        return self._counted(here if is_known_here else here | _anywhere(email_key))

    def signing_in_again(self, member_id: str) -> AbstractContextManager[Attempt]:
        """Try to sign in as a member, on a device where they did before: one for all of theirs."""
        return self._counted({f"device/{member_id}": HERE})

    def proving(self, session_id: str, address: str | None) -> AbstractContextManager[Attempt]:
        """Try a password in a session. Each is counted by itself, so that whoever stole one holds up no other."""
        return self._counted({f"network/{neighbourhood(address)}": NETWORK, f"session/{session_id}": HERE})

    def opening(self, address: str | None) -> AbstractContextManager[Attempt]:
        """Try a one-time link. Chance finds none: work is counted."""
        return self._counted({f"network/{neighbourhood(address)}": NETWORK})

    def returning(self, address: str | None) -> AbstractContextManager[Attempt]:
        """Try what a browser brings back from a provider. It waits for nobody who has no provider to come from."""
        return self._counted({f"provider/{neighbourhood(address)}": NETWORK})

    def _wait_s(self, watched: Mapping[str, Limit]) -> float:
        at_s = self._clock_s()
        known = ((self._failures.get(whose), limit) for whose, limit in watched.items())
        return max((failures.wait_s(limit, at_s) for failures, limit in known if failures), default=0.0)

    @contextmanager
    def _counted(self, watched: Mapping[str, Limit]) -> Iterator[Attempt]:
        """Try what is inside; it costs nothing if it ends well. Raises `RateLimited` while there are too many failures.

        It is counted before it begins, so that many at once are no way around the limit.
        """
        wait_s = self._wait_s(watched)
        if wait_s > 0:
            raise RateLimited(math.ceil(wait_s))
        at_s = self._clock_s()
        known = {whose: self._failures.get(whose) or _Failures() for whose in watched}
        added = [(failures, failures.add(at_s)) for failures in known.values()]
        for whose, failures in known.items():
            self._failures[whose] = failures
            self._failures.move_to_end(whose)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)
        attempt = Attempt()
        try:
            yield attempt
        except BaseException:
            attempt.is_failure = attempt.is_failure is not False
            raise
        finally:
            if not attempt.is_failure:
                for failures, last_s in added:
                    failures.take_back(at_s, last_s)


def _here(email_key: str, address: str | None) -> dict[str, Limit]:
    network = neighbourhood(address)
    return {f"network/{network}": NETWORK, f"here/{network}/{email_key}": HERE}


def _anywhere(email_key: str) -> dict[str, Limit]:
    return {f"anywhere/{email_key}": ANYWHERE}
