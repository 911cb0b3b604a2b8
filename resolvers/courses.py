"""What became of the request under way, for those who watch requests: there are none unless the settings ask for it."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from resolvers.uses import NO_ACTION, Deed


@dataclass(slots=True)
class Course:
    """What is known of a request while it is being answered."""

    face: str
    """Which of the server's faces answers it, in one word."""
    operation_type: str = ""
    """`query`, `mutation` or `subscription`, where GraphQL was asked by its client."""
    operation_name: str = ""
    """Whatever the client called it."""
    allowed: int = 0
    """How many of the decisions that it came to allow."""
    refused: int = 0


course: ContextVar[Course | None] = ContextVar("course", default=None)
"""That of the request under way, None if nobody watches."""


def decided(deeds: Iterable[Deed]) -> None:
    """Note what was decided."""
    if (under_way := course.get()) is None:
        return
    for deed in deeds:
        if deed.action != NO_ACTION:
            under_way.allowed += bool(deed)
            under_way.refused += not deed


def runs(operation_type: str, operation_name: str) -> None:
    """Note which GraphQL operation it is."""
    if (under_way := course.get()) is not None:
        under_way.operation_type, under_way.operation_name = operation_type, operation_name
