"""Scores: how near an account was to least privilege, day by day."""

from typing import Any

from tortoise import fields

from models.accounts import Owned


class Score(Owned):
    """An account's score on a day, in UTC, from 0 to 100, and from what it was reckoned."""

    day = fields.DateField()
    score = fields.IntField()
    counts: dict[str, Any] = fields.JSONField(default=dict)
    """How many tokens there were, and how many items of each kind of advice."""

    class Meta:
        """One row a day."""

        table = "score"
        unique_together = (("account", "day"),)
