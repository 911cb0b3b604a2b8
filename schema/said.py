"""What inputs say beside the deed itself: the comment, the key against repetition, the version they mean."""

from typing import Any

from resolvers import input as typed
from resolvers.writing import Said


def said(given: Any) -> Said:  # noqa: ANN401 - any input of a mutation
    """Read what an input says, checked. Raises `Invalid` naming the field."""
    return Said(
        typed.comment("comment", getattr(given, "comment", None)),
        typed.idempotency_key("idempotencyKey", getattr(given, "idempotency_key", None)),
        getattr(given, "expected_version", None),
    )
