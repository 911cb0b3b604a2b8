"""Failed sign-ins: how many are free, how long the next one waits, and that nobody locks anybody else out."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

import pytest

from core.errors import Conflict, Invalid, RateLimited, Unauthenticated
from core.secret import Secret, SecretKind
from core.vocabulary import Action
from models import Member, now
from models.database import Database
from resolvers import attempts as limits
from resolvers import devices, members, sessions
from resolvers.attempts import ANYWHERE, HERE, NETWORK, Attempt, Attempts, Limit
from resolvers.callers import Request
from resolvers.members import Grant
from resolvers.writing import Said
from tests.organisation import PASSWORD, Organisation, founded
from tests.resolvers.conftest import SetClock
from tests.resolvers.test_sessions import EMAIL, NEW_PASSWORD, joined

HOME = "192.0.2.1"
"""Where the organisation's own requests come from."""


Trying = AbstractContextManager[Attempt]


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


def fail(trying: Trying) -> None:
    with pytest.raises(Unauthenticated), trying:
        raise Unauthenticated


def wait_s(trying: Trying) -> int:
    """Tell how long one who tries now has to wait; 0 if they need not, and then their try is good."""
    try:
        with trying:
            return 0
    except RateLimited as limited:
        return limited.retry_after_s


def here(attempts: Attempts, number: int) -> Trying:  # noqa: ARG001 - the same each time
    return attempts.signing_in("ada@example.com", "192.0.2.9", is_known_here=True)


def from_everywhere(attempts: Attempts, number: int) -> Trying:
    return attempts.signing_in("ada@example.com", f"192.0.{number // 250}.{number % 250}")


def for_everybody(attempts: Attempts, number: int) -> Trying:
    return attempts.signing_in(f"{number}@example.com", "192.0.2.9")


def in_a_session(attempts: Attempts, number: int) -> Trying:  # noqa: ARG001 - as above
    return attempts.proving("a session", "192.0.2.9")


def with_links(attempts: Attempts, number: int) -> Trying:  # noqa: ARG001 - as above
    return attempts.opening("192.0.2.9")


@pytest.mark.parametrize(
    ("limit", "trying"),
    [
        (HERE, here),
        (ANYWHERE, from_everywhere),
        (NETWORK, for_everybody),
        (HERE, in_a_session),
        (NETWORK, with_links),
    ],
)
def test_each_failure_beyond_the_free_ones_makes_the_next_wait_twice_as_long(
    attempts: Attempts, clock: Clock, limit: Limit, trying: Callable[[Attempts, int], Trying]
) -> None:
    for number in range(limit.free):
        assert wait_s(trying(attempts, number)) == 0
        fail(trying(attempts, number))
    waits = []
    for number in range(limit.free, limit.free + 30):
        begun_s = clock.at_s
        while wait_s(trying(attempts, number)) > 0:
            clock.at_s += 1
        waits.append(clock.at_s - begun_s)
        fail(trying(attempts, number))
    doubled = [2**number for number in range(9) if 2 ** (number + 1) <= limit.forgotten_each_s + 1]
    assert waits[: len(doubled)] == doubled
    assert len(doubled) > 1
    assert sum(waits[-10:]) == pytest.approx(10 * limit.forgotten_each_s, rel=0.2), "as slow as they are forgotten"
    assert max(waits) <= 2 * limit.forgotten_each_s, "and never out for long"
    clock.at_s += (limit.free + 30) * limit.forgotten_each_s
    for number in range(limit.free):
        fail(trying(attempts, number))
    assert wait_s(trying(attempts, limit.free)) == 1


def test_success_costs_nothing(attempts: Attempts) -> None:
    for _ in range(NETWORK.free * 3):
        assert wait_s(here(attempts, 0)) == 0
    fail(here(attempts, 0))


def test_whoever_has_a_network_of_ipv6_is_one(attempts: Attempts) -> None:
    for number in range(HERE.free):
        fail(attempts.signing_in("ada@example.com", f"2001:db8:0:1:{number:x}::{number:x}"))
    assert wait_s(attempts.signing_in("ada@example.com", "2001:db8:0:1:ffff:ffff:ffff:ffff")) == 1
    assert wait_s(attempts.signing_in("ada@example.com", "2001:db8:0:2::")) == 0
    for number in range(HERE.free):
        fail(attempts.signing_in("ada@example.com", f"::ffff:192.0.2.{number}"))
    assert wait_s(attempts.signing_in("ada@example.com", "192.0.2.99")) == 0
    assert wait_s(attempts.signing_in("ada@example.com", None)) == 0


def test_memory_is_bounded_and_forgets_whoever_has_not_tried_for_longest(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST", 100)
    for number in range(1_000):
        fail(attempts.opening(f"192.0.{number // 250}.{number % 250}"))
        if number < HERE.free:
            fail(attempts.proving("the one who goes on", "198.51.100.1"))
        assert len(attempts._failures) <= 100  # noqa: SLF001 - memory is what this is about
    for _ in range(HERE.free):
        fail(attempts.proving("the one who goes on", "198.51.100.1"))
    for number in range(90):
        fail(attempts.opening(f"203.0.113.{number}"))
    assert wait_s(attempts.proving("the one who goes on", "198.51.100.2")) == 1


def attacked(organisation: Organisation, clock: Clock) -> Organisation:
    """Count the organisation's failures by a clock that is moved by hand."""
    organisation.house = replace(organisation.house, attempts=Attempts(clock))
    return organisation


async def noted(organisation: Organisation, member: Member) -> str:
    """What a browser keeps in which a member signed in."""
    return devices.note(await organisation.session(member))


async def guess(request: Request, password: str, email: str = EMAIL, account: str | None = None) -> str:
    try:
        await sessions.sign_in(request, email, password, account)
    except (Unauthenticated, RateLimited, Conflict) as refusal:
        return refusal.code
    return "in"


async def test_guesses_made_at_once_are_counted_like_others(organisation: Organisation, clock: Clock) -> None:
    await joined(attacked(organisation, clock))
    guesses = (guess(organisation.request, f"guess number {number}") for number in range(HERE.free * 2))
    answers = Counter(await asyncio.gather(*guesses))
    assert answers == {"UNAUTHENTICATED": HERE.free, "RATE_LIMITED": HERE.free}
    assert await guess(organisation.request, PASSWORD) == "RATE_LIMITED"
    clock.at_s += 1
    assert await guess(organisation.request, PASSWORD) == "in"


async def test_whoever_knows_the_owners_address_cannot_keep_the_owner_out(
    organisation: Organisation, clock: Clock, statements: list[str]
) -> None:
    """Guesses come from many networks; only strangers wait for that."""
    await joined(attacked(organisation, clock))
    assert await guess(organisation.request, PASSWORD) == "in", "so this is where she was before"
    stranger = replace(organisation.request, address="203.0.113.77")
    for email in (EMAIL, "nobody@example.com"):
        for number in range(ANYWHERE.free):
            fail(organisation.house.attempts.signing_in(email.lower(), f"198.51.100.{number}"))
        statements.clear()
        assert await guess(stranger, PASSWORD, email) == "RATE_LIMITED"
        assert len(statements) == 3, "whether or not there is such a member"
    for address, answer in ((HOME, "in"), (f"::ffff:{HOME}", "in"), (None, "RATE_LIMITED")):
        assert await guess(replace(stranger, address=address), PASSWORD) == answer, address
    for _ in range(HERE.free):
        assert await guess(organisation.request, "a guess from her own network") == "UNAUTHENTICATED"
    assert await guess(organisation.request, PASSWORD) == "RATE_LIMITED"
    clock.at_s += 1
    assert await guess(stranger, PASSWORD) == "in", "strangers too, in time"


async def test_a_device_that_signed_in_before_waits_for_its_own_failures_alone(
    organisation: Organisation, clock: Clock
) -> None:
    """Even where somebody in the same network, or behind the same proxy, goes on guessing without a pause."""
    ada = await joined(attacked(organisation, clock))
    eve = await joined(organisation, "eve@example.com")
    request = organisation.request
    note, again, of_eve = [await noted(organisation, member) for member in (ada, ada, eve)]
    known, another = replace(request, device=note), replace(request, device=again)
    for number in range(NETWORK.free):
        fail(organisation.house.attempts.signing_in(EMAIL.lower() if number < HERE.free else f"{number}", HOME))
    assert await guess(request, PASSWORD) == "RATE_LIMITED"
    assert await guess(known, PASSWORD) == "in"
    for _ in range(HERE.free):
        assert await guess(known, "a guess on her device") == "UNAUTHENTICATED"
    assert await guess(known, PASSWORD) == "RATE_LIMITED"
    assert await guess(another, PASSWORD) == "RATE_LIMITED", "all devices of a member are one"
    clock.at_s += 1
    assert await guess(another, PASSWORD) == "in"
    for number in range(NETWORK.free):
        with suppress(RateLimited):
            fail(organisation.house.attempts.signing_in(f"{number}", HOME))
    for shown in (
        of_eve,
        note[:-2] + "AA",
        note[:-4],
        note + "AAAA",
        "",
        "\ud800",
        "=",
    ):
        assert await guess(replace(request, device=shown), PASSWORD) == "RATE_LIMITED", shown


async def test_a_note_on_a_device_is_forgotten_in_time_and_opens_nothing(
    organisation: Organisation, set_clock: SetClock
) -> None:
    ada = await joined(organisation)
    note = await noted(organisation, ada)
    shown = replace(organisation.request, device=note)
    assert devices.knows(shown, ada)
    assert not devices.knows(shown, await joined(organisation, "eve@example.com"))
    with pytest.raises(Unauthenticated):
        await organisation.identify(note)
    caller = await organisation.session(ada)
    await sessions.change_password(caller, PASSWORD, NEW_PASSWORD, Said())
    changed = await Member.get(id=ada.id)
    assert not devices.knows(shown, changed), "of whoever knew the password once"
    shown = replace(organisation.request, device=await noted(organisation, changed))
    assert devices.knows(shown, changed)
    set_clock(now() + devices.REMEMBERED)
    assert not devices.knows(shown, changed)


async def test_whoever_runs_another_account_is_a_stranger_to_this_one(
    organisation: Organisation, database: Database, clock: Clock
) -> None:
    """They invite a member of ours into theirs, and sign in there as much as they like."""
    ada = await joined(attacked(organisation, clock))
    theirs = await founded(database, "other", organisation.house)
    puppet = await joined(theirs, EMAIL, NEW_PASSWORD)
    lair = replace(organisation.request, address="203.0.113.77")
    await sessions.sign_in(lair, EMAIL, NEW_PASSWORD, "other")
    await sessions.sign_in(organisation.request, EMAIL, PASSWORD, "main")
    for number in range(ANYWHERE.free):
        fail(organisation.house.attempts.signing_in(EMAIL.lower(), f"198.51.100.{number}"))
    for device in (None, await noted(theirs, puppet)):
        theirs_alone = replace(lair, device=device)
        assert await guess(theirs_alone, PASSWORD, account="main") == "RATE_LIMITED"
        assert await guess(theirs_alone, PASSWORD) == "UNAUTHENTICATED", "only the puppet's is tried"
        assert await guess(theirs_alone, NEW_PASSWORD) == "in"
    # Nor is she kept out by it, whether or not she says which account.
    away = replace(organisation.request, address="203.0.113.99", device=await noted(organisation, ada))
    for ours in (organisation.request, away):
        for account in ("main", None):
            assert await guess(ours, PASSWORD, account=account) == "in"


async def test_a_password_that_opens_one_account_is_still_a_guess_at_the_other(
    organisation: Organisation, database: Database, clock: Clock
) -> None:
    await joined(attacked(organisation, clock))
    await joined(await founded(database, "other", organisation.house), EMAIL, NEW_PASSWORD)
    answers = [await guess(organisation.request, NEW_PASSWORD) for _ in range(HERE.free + 1)]
    assert answers == ["in"] * HERE.free + ["RATE_LIMITED"]
    clock.at_s += 1
    assert await guess(organisation.request, NEW_PASSWORD, account="other") == "in"


async def test_a_session_that_was_stolen_cannot_keep_its_member_from_changing_the_password(
    organisation: Organisation, clock: Clock
) -> None:
    member = await joined(attacked(organisation, clock))
    stolen, own = await organisation.session(member), await organisation.session(member)
    thief = replace(stolen, request=replace(stolen.request, address="203.0.113.77"))
    for _ in range(HERE.free):
        with pytest.raises(Invalid):
            await sessions.proved(thief, Action.UPDATE_PASSWORD, "currentPassword", "a guess")
    with pytest.raises(RateLimited):
        await sessions.change_password(thief, PASSWORD, NEW_PASSWORD, Said())
    assert (await sessions.change_password(own, PASSWORD, NEW_PASSWORD, Said())).entry


async def test_links_are_looked_for_so_often_and_a_bad_password_for_a_good_one_is_no_failure(
    organisation: Organisation, clock: Clock, statements: list[str]
) -> None:
    done = await members.invite(attacked(organisation, clock).owner, EMAIL, "Ada", Grant(), Said())
    link = (done.secret or "").rpartition("/")[2]
    request = replace(organisation.request, house=organisation.house)
    for _ in range(NETWORK.free):
        with pytest.raises(Invalid):
            await members.accept_invite(request, link, None, "short")
    for _ in range(NETWORK.free):
        with pytest.raises(Unauthenticated):
            await members.accept_invite(request, Secret.mint(SecretKind.LINK).text, None, PASSWORD)
    statements.clear()
    with pytest.raises(RateLimited):
        await members.accept_invite(request, link, None, PASSWORD)
    assert not statements
    assert (await members.accept_invite(replace(request, address="203.0.113.77"), link, None, PASSWORD)).entry
