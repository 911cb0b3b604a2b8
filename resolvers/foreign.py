"""Whether there are secrets of another shape than Latchkey's to look for, so that garbage costs no query where not."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tortoise.expressions import Subquery

from models import Account, Token, TokenKind

KEPT_S = 1.0
"""For how long the answer is good: an import elsewhere works that much later at most. It is a no that may be stale."""


@dataclass
class ForeignSecrets:
    """Whether any account has imported tokens that were not revoked, as it was within the last second."""

    clock_s: Callable[[], float] = time.monotonic
    _exist: bool = False
    _until_s: float = 0.0
    _imports: int = 0
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def exist(self) -> bool:
        """Say whether there are any. The database is asked once a second at most."""
        if self.clock_s() >= self._until_s:
            async with self._asking:
                if (at_s := self.clock_s()) >= self._until_s:
                    await self._ask(at_s)
        return self._exist

    async def _ask(self, at_s: float) -> None:
        imports = self._imports
        accounts = Subquery(Account.all().values("id"))  # an account leads the index, and there are few
        tokens = Token.filter(account_id__in=accounts, kind=TokenKind.ACCOUNT, revoked_at=None)
        self._exist = await tokens.exists()
        if imports == self._imports:  # else one was imported here meanwhile, and may not have been seen
            self._until_s = at_s + KEPT_S

    def imported(self) -> None:
        """Forget the answer: there was an import here, whose secrets work at once."""
        self._imports += 1
        self._until_s = 0.0
