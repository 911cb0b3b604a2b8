"""What is done a part at a time."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def sliced(rows: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Give what is listed in its order, so much at a time at most."""
    return (rows[start : start + most] for start in range(0, len(rows), most))
