"""What was done with tokens, as it is reported to Latchkey."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that was done, in the words of policies, and with whose token: its id claims it, a decision proves it.

    `at` is aware. `details` become the entry's `after`: up to 4,096 bytes of JSON, without secrets.
    """

    action: str
    resource: str
    token_id: str | None = None
    decision_id: str | None = None
    at: datetime | None = None
    comment: str | None = None
    details: Mapping[str, Any] | None = None

    @property
    def input(self) -> dict[str, Any]:
        """Write it as Latchkey's schema takes it."""
        named = {"token": self.token_id, "decisionId": self.decision_id}
        return {
            "action": self.action,
            "resource": self.resource,
            "onBehalfOf": {name: value for name, value in named.items() if value is not None} or None,
            "at": self.at.isoformat() if self.at else None,
            "comment": self.comment,
            "details": self.details,
        }
