"""What somebody might do after a change and could not before, where the catalogue itself may have changed with it.

As in `core.covers`, what cannot be proven to be nothing counts. Each action on each path of kinds is looked at alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.catalogue import Catalogue
from core.covers import WORDS_A_STEP, Allowance, Question, Reader, Readings, words
from core.law import Side
from core.policy import Policy
from core.shapes import Path
from core.specifiers import Attributes
from core.vocabulary import OWNER_ONLY

Gain: TypeAlias = tuple[str, Path]
"""An action, and the path of kinds on whose resources there may be more of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All sides that limit somebody, of which each must allow, and the catalogue they are read by."""

    sides: tuple[Side, ...]
    catalogue: Catalogue


def gained(before: Standing, after: Standing, allowance: Allowance) -> tuple[Gain, ...] | None:
    """List what somebody may have gained; None if the allowance does not suffice to say."""
    if before.catalogue.kinds == after.catalogue.kinds and _written(before) == _written(after):
        return ()
    policies = [named.policy for side in (*before.sides, *after.sides) for named in side.policies]
    if not allowance.takes(words(policies) * len(after.catalogue.paths) // WORDS_A_STEP):
        return None
    gains: list[Gain] = []
    for path in after.catalogue.paths:
        answered: dict[Question, bool] = {}  # many actions are spoken of by the same statements
        then = _Readers(before, path, known=path in before.catalogue.paths)
        now = _Readers(after, path, known=True)
        for action in after.catalogue.kinds[path[-1]].actions:
            if (path[-1], action.key) in OWNER_ONLY:
                continue
            within = _is_within(then.read(action.key), now.read(action.key), answered, allowance)
            if within is None:
                return None
            if not within:
                gains.append((action.key, path))
    return tuple(gains)


def _written(standing: Standing) -> list[list[tuple[Policy, Attributes]]]:
    return [[(named.policy.policy, named.policy.attributes) for named in side.policies] for side in standing.sides]


class _Readers:
    """What each policy of each side says on one path; nothing where the path was not `known`, and of no new action."""

    def __init__(self, standing: Standing, path: Path, *, known: bool) -> None:
        self._kind = path[-1]
        self._catalogue = standing.catalogue
        self._sides = [
            [Reader(named.policy, path, standing.catalogue) for named in side.policies] if known else []
            for side in standing.sides
        ]

    def read(self, action: str) -> list[list[Readings]]:
        known = self._catalogue.mark(self._kind, action) is not None
        return [[reader.read(action) for reader in side] if known else [] for side in self._sides]


def _is_within(
    wider: Sequence[Sequence[Readings]],
    narrower: Sequence[Sequence[Readings]],
    answered: dict[Question, bool],
    allowance: Allowance,
) -> bool | None:
    """Prove that whatever all sides allow now, each side allowed then; None if the allowance does not suffice."""
    for wide in wider:
        proven = False
        for narrow in narrower:
            questions = [Question(tuple(wide), readings) for readings in narrow]
            for question in questions:
                if question not in answered:
                    if not allowance.takes(question.steps):
                        return None
                    answered[question] = question.is_yes()
            if all(answered[question] for question in questions):
                proven = True
                break
        if not proven:
            return False
    return True
