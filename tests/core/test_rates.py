"""Rates: what may be typed, and when keeping one is keeping another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import rates
from core.errors import Invalid
from core.rates import WINDOWS_S, Rate


def test_limits_are_read_once_each() -> None:
    assert [str(rate) for rate in rates.parse(["1/second", "100000/day", "1/second"], "rateLimits")] == [
        "1/second",
        "100000/day",
    ]


@pytest.mark.parametrize(
    "typed", ["", "100", "0/minute", "01/minute", "-1/minute", "1/week", "1/Minute", "100001/day", "1 /day", "٣/day"]
)
def test_what_is_no_limit_is_named(typed: str) -> None:
    with pytest.raises(Invalid) as refusal:
        rates.parse(["1/second", typed], "rateLimits")
    units = "`second`, `minute`, `hour`, `day`"
    assert refusal.value.message == (
        f"`rateLimits[1]` must be a number from 1 to 100000, `/` and one of {units}, as `100/minute`: `{typed}`"
    )


def test_there_are_at_most_ten() -> None:
    with pytest.raises(Invalid) as refusal:
        rates.parse([f"{number}/day" for number in range(1, 12)], "rateLimits")
    assert refusal.value.message == "`rateLimits` must hold at most 10"


RATES = st.builds(Rate, st.integers(1, 200), st.sampled_from(["second", "minute"]))


@given(RATES, RATES)
def test_whoever_keeps_one_keeps_the_wider(rate: Rate, wider: Rate) -> None:
    # The most that keeping `rate` lets through in the wider one's window: all at once, whenever it may be again.
    most = sum(rate.amount for at_s in range(0, wider.window_s, rate.window_s) if at_s < wider.window_s)
    assert rate.keeps(wider) is (most <= wider.amount)


def test_every_limit_must_be_kept() -> None:
    wider = rates.parse(["10/minute", "100/hour"], "w")
    for texts, kept in [
        (["10/minute", "100/hour"], True),
        (["5/minute", "50/hour", "7/day"], True),
        (["7/day"], True),
        (["1/minute"], True),
        (["10/minute"], False),
        (["100/hour"], False),
        ([], False),
    ]:
        assert rates.within(rates.parse(texts, "n"), wider) is kept, texts
    assert rates.within((), ())
    assert all(WINDOWS_S[b] % WINDOWS_S[a] == 0 for a in WINDOWS_S for b in WINDOWS_S if WINDOWS_S[a] <= WINDOWS_S[b])
