"""How often somebody may fail to sign in, per e-mail address and per network address."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import RateLimited

WINDOW_S = 5 * 60
PER_EMAIL = 10
PER_ADDRESS = 50


class Attempts:
    """Failures of one process, kept in memory. An attempt under way counts as failed until it ends well."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._tried_at_s: OrderedDict[str, deque[float]] = OrderedDict()  # whoever tried last comes last

    @contextmanager
    def counted(self, email_key: str, address: str | None) -> Iterator[None]:
        """Try what is inside; it costs nothing if it ends well. Raises `RateLimited` while there are too many failures.

        It is counted before it begins, so that many at once are no way around the limit.
        """
        at_s = self._clock_s()
        self._forget(at_s - WINDOW_S)
        watched = {f"email/{email_key}": PER_EMAIL, f"address/{address or '-'}": PER_ADDRESS}
        for whose, most in watched.items():
            failed = [since_s for since_s in self._tried_at_s.get(whose, ()) if since_s > at_s - WINDOW_S]
            if len(failed) >= most:
                raise RateLimited(math.ceil(failed[-most] + WINDOW_S - at_s))
        for whose in watched:
            self._tried_at_s.setdefault(whose, deque(maxlen=PER_ADDRESS)).append(at_s)
            self._tried_at_s.move_to_end(whose)
        yield
        for whose in watched:
            if at_s in (tried := self._tried_at_s.get(whose, deque())):
                tried.remove(at_s)

    def _forget(self, until_s: float) -> None:
        """Forget those who have not tried since; they come first."""
        while self._tried_at_s:
            whose, tried = next(iter(self._tried_at_s.items()))
            if tried and tried[-1] > until_s:
                return
            del self._tried_at_s[whose]
