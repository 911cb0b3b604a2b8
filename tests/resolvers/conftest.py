"""Refusals that leave the database as it was."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest

from core.errors import Refusal
from tests.conftest import SetClock
from tests.databases import Elsewhere

__all__ = ["Refused", "SetClock"]

E = TypeVar("E", bound=Refusal)
Refused = Callable[[type[Refusal]], AbstractContextManager[pytest.ExceptionInfo[Any]]]


@pytest.fixture
def refused(elsewhere: Elsewhere) -> Refused:
    """Hold a block to end in this refusal, and to have changed nothing in the database."""

    @contextmanager
    def block(kind: type[Refusal]) -> Iterator[pytest.ExceptionInfo[Any]]:
        before = elsewhere.everything()
        with pytest.raises(kind) as refusal:
            yield refusal
        assert elsewhere.everything() == before

    return block
