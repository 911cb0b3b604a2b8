"""Limits are exact: so many uses and no more, in any window; and what is refused uses nothing up."""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RateLimited, Unauthenticated
from core.rates import Rate
from core.vocabulary import BuiltInRole
from models import TokenDay, TokenKind
from resolvers import accounts, tokens
from resolvers.accounts import AccountChange
from resolvers.callers import Request, bearer, used
from resolvers.rates import Rates, Standing
from resolvers.restrictions import Counted
from resolvers.tokens import TokenChange
from resolvers.writing import Done, Said
from tests.organisation import Organisation

At = Callable[[float], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Make it so many seconds after the beginning of the test."""
    began_s = time.time()

    def at(s: float) -> None:
        monkeypatch.setattr(time, "time", lambda: began_s + s)

    at(0)
    return at


def counted(*texts: str) -> tuple[Counted, ...]:
    whose = uuid4()
    return tuple(Counted(Rate.parse(text, "rate"), whose, text) for text in texts)


def take(rates: Rates, limits: tuple[Counted, ...]) -> int | None:
    """Use once. Says after how many seconds to try again, None if it was let through."""
    try:
        rates.take(limits, [])
    except RateLimited as limited:
        return limited.retry_after_s
    return None


def test_as_many_as_it_says_pass_and_no_more_until_the_window_moved_on(at: At) -> None:
    rates, limits = Rates(), counted("3/minute")
    for at_s in (0.0, 10.0, 20.0):
        at(at_s)
        assert take(rates, limits) is None
    for at_s, wait_s in ((20, 40), (59.5, 1), (60.001, None), (60.001, 10), (69.5, 1), (70.001, None), (70.001, 10)):
        at(at_s)
        assert take(rates, limits) == wait_s, at_s


def test_what_one_limit_refuses_uses_up_none_of_another(at: At) -> None:
    rates, limits = Rates(), counted("2/second", "4/minute")
    assert [take(rates, limits) for _ in range(5)] == [None, None, 1, 1, 1]
    at(1.001)
    assert [take(rates, limits) for _ in range(4)] == [None, None, 59, 59]
    at(30)
    assert take(rates, limits) == 30
    at(60.001)
    assert [take(rates, limits) for _ in range(3)] == [None, None, 1]


def test_it_is_told_how_limits_stand(at: At) -> None:
    rates, limits = Rates(), counted("2/second", "5/minute")
    second, minute = (each.rate for each in limits)
    standings: list[Standing] = []
    rates.take(limits, standings)
    assert standings == [Standing("2/second", second, 1, 1), Standing("5/minute", minute, 4, 60)]
    rates.take(limits, [])
    at(0.5)
    standings = []
    with pytest.raises(RateLimited):
        rates.take(limits, standings)
    assert standings == [Standing("2/second", second, 0, 1), Standing("5/minute", minute, 3, 60)]


@given(
    st.lists(st.sampled_from(["1/second", "3/second", "4/minute", "9/minute", "20/hour"]), min_size=1, unique=True),
    st.lists(st.floats(0.01, 200), min_size=30, max_size=60),
)
def test_in_no_window_there_are_more_and_none_is_refused_without_need(texts: list[str], gaps_s: list[float]) -> None:
    rates, limits, at_s = Rates(), counted(*texts), 1e9
    done: deque[float] = deque()
    with pytest.MonkeyPatch.context() as patch:
        for gap_s in gaps_s:
            at_s += gap_s if gap_s > 100 else gap_s / 100
            patch.setattr(time, "time", partial(float, at_s))
            full = [
                each for each in limits if sum(at_s - then < each.rate.window_s for then in done) >= each.rate.amount
            ]
            wait_s = take(rates, limits)
            assert (wait_s is not None) is bool(full)
            if wait_s is None:
                done.append(at_s)


def test_what_is_over_is_forgotten_and_no_thread_is_started(at: At) -> None:
    rates = Rates()
    before = threading.active_count()
    for _ in range(1000):
        take(rates, counted("5/second"))
    at(2)
    for _ in range(1000):
        take(rates, counted("5/minute"))
    storage: Any = rates._limiter.storage  # noqa: SLF001 - it is about the memory
    assert len(storage.events) <= 1001
    assert len(storage.locks) <= 1001
    assert threading.active_count() <= before


def request(organisation: Organisation) -> Request:
    return Request(organisation.house, "1", "192.0.2.1", "tests")


async def uses(organisation: Organisation, *made: Done[Any]) -> list[bool]:
    """Use tokens one after the other: which uses are let through."""
    through = []
    for each in made:
        try:
            await used(each.secret or "", request(organisation))
        except RateLimited:
            through.append(False)
        else:
            through.append(True)
    return through


async def test_both_doors_count_together(organisation: Organisation, at: At) -> None:  # noqa: ARG001 - it stands still
    made = await organisation.made(organisation.owner, rate_limits=["4/minute", "100/hour"])
    secret, account = made.secret or "", organisation.account.id
    for _ in range(2):
        await used(secret, request(organisation))
        await bearer(secret, account, request(organisation))
    asking = request(organisation)
    with pytest.raises(RateLimited) as refusal:
        await bearer(secret, account, asking)
    assert dict(refusal.value.extensions) == {"code": "RATE_LIMITED", "retryAfter": 60}
    assert [(each.name, each.remaining) for each in asking.standings] == [
        ("token:4/minute", 0),
        ("token:100/hour", 96),
    ]
    await organisation.house.uses.flush()
    assert await TokenDay.filter(token_id=made.row.id).values_list("action", "allowed", "refused") == [("", 4, 1)]


async def test_who_may_not_ask_uses_nothing_up(organisation: Organisation, at: At) -> None:  # noqa: ARG001 - as above
    made = await organisation.made(organisation.owner, networks=["192.0.2.0/24"], rate_limits=["1/minute"])
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await used(made.secret or "", Request(organisation.house, "1", "198.51.100.1"))
        with pytest.raises(Unauthenticated):
            await bearer(made.secret or "", uuid4(), request(organisation))
    assert await uses(organisation, made, made) == [True, False]


async def test_a_session_and_a_token_without_limits_are_never_counted(organisation: Organisation) -> None:
    free = await organisation.made(organisation.owner)
    assert organisation.owner.token
    session = organisation.secrets[str(organisation.owner.token.id)]
    for secret in (free.secret or "", session):
        asking = request(organisation)
        assert not (await used(secret, asking)).is_counted
        assert asking.standings == []
    await accounts.update(organisation.owner, AccountChange(rate_limits=["1/day"]), Said())
    asking = request(organisation)
    for _ in range(3):
        await used(session, asking)
    assert asking.standings == []


async def test_an_accounts_limit_is_shared_by_its_tokens(organisation: Organisation, at: At) -> None:  # noqa: ARG001
    one, other = (
        await organisation.made(organisation.owner),
        await organisation.made(organisation.owner, rate_limits=["2/minute"]),
    )
    await accounts.update(organisation.owner, AccountChange(rate_limits=["4/minute"]), Said())
    assert await uses(organisation, one, other, other, other, one, one, other) == [
        True, True, True, False, True, False, False,
    ]  # fmt: skip
    await accounts.update(organisation.owner, AccountChange(rate_limits=[]), Said())
    assert await uses(organisation, one, one) == [True, True]


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.SERVICE])
async def test_whoever_has_a_limited_token_gets_no_more_by_making_others(
    organisation: Organisation,
    at: At,  # noqa: ARG001 - as above
    kind: TokenKind,
) -> None:
    parent = await organisation.made(organisation.owner, rate_limits=["4/minute"])
    child = await organisation.made(await organisation.identify(parent), kind=kind, rate_limits=["3/minute"])
    grandchild = await organisation.made(await organisation.identify(child), kind=kind)
    assert grandchild.row.rate_limits == ["3/minute"]
    family = [grandchild, grandchild, child, grandchild, child, parent, parent, child]
    assert await uses(organisation, *family) == [True, True, True, False, False, True, False, False]
    asking = request(organisation)
    with pytest.raises(RateLimited):
        await used(grandchild.secret or "", asking)
    assert [(each.name, each.remaining) for each in asking.standings] == [
        ("token:3/minute", 1),
        ("parent:3/minute", 0),
        ("parent:4/minute", 0),
    ]


async def test_a_change_of_limits_holds_for_the_next_use(organisation: Organisation, at: At) -> None:  # noqa: ARG001
    made = await organisation.made(organisation.owner)
    assert await uses(organisation, *[made] * 3) == [True] * 3
    await tokens.update(organisation.owner, made.row.id, TokenChange(rate_limits=["1/minute"]), Said())
    assert await uses(organisation, *[made] * 2) == [True, False]
    await tokens.update(organisation.owner, made.row.id, TokenChange(rate_limits=[]), Said())
    assert await uses(organisation, *[made] * 2) == [True, True]


async def test_only_who_may_sets_an_accounts_limits(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    done = await accounts.update(admin, AccountChange(rate_limits=["5/second", "5/second"]), Said())
    assert done.entry
    assert (done.entry.after or {})["rateLimits"] == ["5/second"]
    assert [access["action"] for access in done.entry.accesses] == ["updateRateLimits"]
