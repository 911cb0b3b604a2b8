"""Refusals that leave the database as it was, and a server that may post to this machine."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from tortoise.connection import get_connection

from core.errors import Refusal
from models.engines.transactions import AwayError
from resolvers import clock
from resolvers.destinations import Destinations
from tests.conftest import SetClock
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.web.receiver import Receiver, receiving
from web.posting import Poster

__all__ = ["LOCAL", "Away", "Refused", "SetClock"]

LOCAL = Destinations.parse(["127.0.0.0/8"])
"""Where a server may post to that is tested: this machine."""

E = TypeVar("E", bound=Refusal)
Away = Callable[[], AbstractContextManager[None]]
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


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Away:
    """Have the database be away for a block, as far as this process can tell."""

    async def gone(*_: object) -> Any:
        raise AwayError("the database is away")

    @contextmanager
    def block() -> Iterator[None]:
        with monkeypatch.context() as patched:
            for name in ("_read", "_write", "begin"):
                patched.setattr(type(get_connection("default")), name, gone)
            yield

    return block


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sending(organisation: Organisation) -> Organisation:
    """An organisation whose server may post to this machine."""
    assert organisation.owner.token
    organisation.house = replace(organisation.house, destinations=LOCAL, post=Poster(LOCAL))
    organisation.owner = await organisation.identify(organisation.secrets[str(organisation.owner.token.id)])
    return organisation


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe the clock at once, however it is moved."""
    monkeypatch.setattr(clock, "SETTLES", timedelta(0))
