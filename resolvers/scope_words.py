"""What a token may do in the words of OAuth scopes, for services that compare no more; see docs/introspection.md."""

import sys
from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeAlias
from uuid import UUID

from core.covers import Allowance
from core.everywhere import allowed_everywhere
from resolvers.callers import MEMORY_SIZE, Caller

STEPS = 20_000
"""What telling the words of one token may cost, some hundredths of a second at most. What takes longer is left out."""
PROVEN_KEPT = 1_000
"""Of how many different rights a process keeps the words."""

State: TypeAlias = tuple[UUID, int]
"""A token, and the version of its account: nothing that decides about the token changes without a new version."""

_told: OrderedDict[State, str] = OrderedDict()
_proven: OrderedDict[Hashable, str] = OrderedDict()
"""By all that decides. Most changes of an account leave the rights of most tokens alone, and proving takes longest."""


def scope_words(caller: Caller) -> str:
    """Tell each `kind:action` that the token provably may on every resource of the kind: sorted, blanks between.

    Never more than the truth: whoever goes by the words alone allows nothing that the token may not do.
    """
    if caller.token is None:
        return ""
    state = (caller.token.id, caller.account.version)
    if state not in _told:
        _told[state] = _words(caller)
        if len(_told) > MEMORY_SIZE:
            _told.popitem(last=False)
    _told.move_to_end(state)
    return _told[state]


def _words(caller: Caller) -> str:
    rights = _rights(caller)
    if rights not in _proven:
        proven = allowed_everywhere(caller.sides, caller.catalogue, Allowance(STEPS))
        words = " ".join(sorted(f"{kind}:{action}" for kind, action in proven))
        _proven[rights] = sys.intern(words)  # most tokens of an account are told in the same words
        if len(_proven) > PROVEN_KEPT:
            _proven.popitem(last=False)
    _proven.move_to_end(rights)
    return _proven[rights]


def _rights(caller: Caller) -> Hashable:
    """Give all that the words are proven from, by value."""
    sides = tuple(
        tuple((named.policy.policy, tuple(sorted(named.policy.attributes.items()))) for named in side.policies)
        for side in caller.sides
    )
    return sides, tuple(caller.catalogue)
