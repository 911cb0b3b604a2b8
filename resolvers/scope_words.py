"""What a token may do in the words of OAuth scopes, for services that compare no more; see docs/introspection.md."""

import sys
from collections import OrderedDict
from typing import TypeAlias
from uuid import UUID

from core.covers import Allowance
from core.everywhere import allowed_everywhere
from resolvers.callers import MEMORY_SIZE, Caller

STEPS = 20_000
"""What telling the words of one token may cost, some hundredths of a second at most. What takes longer is left out."""

State: TypeAlias = tuple[UUID, int]
"""A token, and the version of its account: nothing that decides about the token changes without a new version."""

_told: OrderedDict[State, str] = OrderedDict()


def scope_words(caller: Caller) -> str:
    """Tell each `kind:action` that the token provably may on every resource of the kind: sorted, blanks between.

    Never more than the truth: whoever goes by the words alone allows nothing that the token may not do.
    """
    if caller.token is None:
        return ""
    state = (caller.token.id, caller.account.version)
    if state not in _told:
        proven = allowed_everywhere(caller.sides, caller.catalogue, Allowance(STEPS))
        words = " ".join(sorted(f"{kind}:{action}" for kind, action in proven))
        _told[state] = sys.intern(words)  # most tokens of an account are told in the same words
        if len(_told) > MEMORY_SIZE:
            _told.popitem(last=False)
    _told.move_to_end(state)
    return _told[state]
