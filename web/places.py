"""Places for WebSockets: so many for each credential, or for each address where none is presented."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from core.errors import RateLimited

RETRY_AFTER_S = 10


class Places:
    """The places of one process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def taken(self, holder: Hashable) -> Iterator[None]:
        """Hold one place more. Raises `RateLimited` if the holder has as many as there may be."""
        if self._taken[holder] >= self._most:
            raise RateLimited(RETRY_AFTER_S, "connections")
        self._taken[holder] += 1
        try:
            yield
        finally:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]
