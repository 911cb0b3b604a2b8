"""A clock that tests set, and refusals that leave the database as it was."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from core.errors import Refusal
from models import row
from tests.organisation import Organisation

E = TypeVar("E", bound=Refusal)
Refused = Callable[[type[Refusal]], AbstractContextManager[pytest.ExceptionInfo[Any]]]
SetClock = Callable[[datetime], None]


def stored(path: Path) -> list[str]:
    """All that the database holds, as another process reads it."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.fixture
def refused(organisation: Organisation) -> Refused:
    """Hold a block to end in this refusal, and to have changed nothing in the database."""
    path = organisation.house.database.path

    @contextmanager
    def block(kind: type[Refusal]) -> Iterator[pytest.ExceptionInfo[Any]]:
        before = stored(path)
        with pytest.raises(kind) as refusal:
            yield refusal
        assert stored(path) == before

    return block


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Make it a certain time for every operation."""

    def to(at: datetime) -> None:
        for name, module in list(sys.modules.items()):
            if name.startswith("resolvers") and hasattr(module, "now"):
                monkeypatch.setattr(module, "now", lambda: at)

    assert row.now().tzinfo
    return to
