"""A clock that tests set, and refusals that leave the database as it was."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

import pytest

from core.errors import Refusal
from models import row
from tests.databases import Elsewhere

E = TypeVar("E", bound=Refusal)
Refused = Callable[[type[Refusal]], AbstractContextManager[pytest.ExceptionInfo[Any]]]
SetClock = Callable[[datetime], None]


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


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Make it a certain time for every operation."""

    def to(at: datetime) -> None:
        for name, module in sys.modules.copy().items():
            if name.startswith("resolvers") and hasattr(module, "now"):
                monkeypatch.setattr(module, "now", lambda: at)

    assert row.now().tzinfo
    return to
