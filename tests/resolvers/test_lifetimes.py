"""Lifetimes: what is made and prolonged keeps within them, and what is beyond them dies announced, to the second."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from core.errors import Forbidden, Invalid, Unauthenticated
from core.vocabulary import Action, BuiltInRole
from models import AuditEntry, Token, TokenKind, now
from resolvers import accounts, entries, lifetimes, lists, tokens
from resolvers.accounts import AccountChange, Updated
from resolvers.callers import is_current, recognised
from resolvers.entries import EntryFilter
from resolvers.lifetimes import KINDS, LifetimesChange
from resolvers.lists import TokenFilter
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Said
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused, SetClock

DAY_S = 24 * 60 * 60
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
PERSONAL, SERVICE = KINDS


async def limit(organisation: Organisation, notice_s: int = 14 * DAY_S, **kinds: Any) -> Updated:
    """Set lifetimes as the owner, by the kinds' names."""
    wanted = {TokenKind(kind.upper()): lifetime for kind, lifetime in kinds.items()}
    change = AccountChange(lifetimes=LifetimesChange(wanted, notice_s))
    return await accounts.update(organisation.owner, change, Said("tidy"))


async def test_lifetimes_are_set_name_by_name_and_recorded(organisation: Organisation) -> None:
    done = await limit(organisation, personal={"maximumS": 9 * DAY_S, "required": True}, service={"defaultS": DAY_S})
    stored = {
        "PERSONAL": {"maximumS": 9 * DAY_S, "defaultS": None, "required": True},
        "SERVICE": {"maximumS": None, "defaultS": DAY_S, "required": False},
    }
    assert done.row.lifetimes == stored
    assert done.entry
    assert [access["action"] for access in done.entry.accesses] == ["updateTokenLifetimes"]
    assert ((done.entry.before or {})["tokenLifetimes"], (done.entry.after or {})["tokenLifetimes"]) == ({}, stored)
    done = await limit(organisation, personal={"defaultS": DAY_S, "required": False})
    assert done.row.lifetimes["PERSONAL"] == {"maximumS": 9 * DAY_S, "defaultS": DAY_S, "required": False}
    done = await limit(organisation, personal=None, service={"defaultS": None})
    assert done.row.lifetimes == {}
    assert (await limit(organisation, service={})).entry is None


@pytest.mark.parametrize(
    ("field", "kinds"),
    [
        ("personal.maximumS", {"personal": {"maximumS": 59}}),
        ("service.defaultS", {"service": {"defaultS": 10**9}}),
        ("service.defaultS", {"service": {"maximumS": 60, "defaultS": 61}}),
        ("personal.maximumS", {"personal": {"maximumS": DAY_S - 1}}),
        ("noticeS", {"notice_s": -1}),
    ],
)
async def test_bad_lifetimes_are_named(
    organisation: Organisation, refused: Refused, field: str, kinds: dict[str, Any]
) -> None:
    await limit(organisation, personal={"defaultS": DAY_S})
    with refused(Invalid) as refusal:
        await limit(organisation, **kinds)
    assert refusal.value.field == f"tokenLifetimes.{field}"


async def test_each_setting_needs_its_own_action(organisation: Organisation, refused: Refused) -> None:
    changes = {
        Action.UPDATE_TOKEN_LIFETIMES: AccountChange(lifetimes=LifetimesChange({PERSONAL: {"maximumS": DAY_S}})),
        Action.UPDATE_TOKEN_LIMITS: AccountChange(limits={"maxTokens": 50}),
        Action.UPDATE_REUSE_RESPONSE: AccountChange(revokes_reused=True),
    }
    for action, wanted in changes.items():
        others = {"effect": "allow", "notActions": [action.value], "resources": ["*"]}
        caller = await organisation.token(organisation.owner, Scope(statements=[others]))
        with refused(Forbidden) as refusal:
            await accounts.update(caller, wanted, Said())
        assert refusal.value.extensions["action"] == action.value
        just = {"effect": "allow", "actions": ["viewAccount", action.value], "resources": ["acct"]}
        caller = await organisation.token(organisation.owner, Scope(statements=[just]))
        assert (await accounts.update(caller, wanted, Said())).entry


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        ({}, (None, True)),
        ({"defaultS": DAY_S}, (DAY_S, True)),
        ({"maximumS": 2 * DAY_S}, (2 * DAY_S, False)),
        ({"maximumS": 2 * DAY_S, "defaultS": DAY_S}, (DAY_S, False)),
        ({"required": True}, (..., False)),
        ({"required": True, "maximumS": 2 * DAY_S}, (..., False)),
        ({"required": True, "defaultS": DAY_S}, (DAY_S, False)),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_made_ends_as_said_or_by_default(
    organisation: Organisation, refused: Refused, kind: TokenKind, lifetime: Mapping[str, Any], expected: Any
) -> None:
    unsaid_s, never = expected
    done = await limit(organisation, personal=lifetime if kind is PERSONAL else None, service=lifetime)
    assert done.entry is not None or not lifetime
    at = now()

    async def ends(**wanted: Any) -> datetime | None:
        end: datetime | None = (await organisation.made(organisation.owner, kind=kind, **wanted)).row.expires_at
        return end

    async def refuses(**wanted: Any) -> None:
        with refused(Invalid) as refusal:
            await organisation.made(organisation.owner, kind=kind, **wanted)
        assert refusal.value.field == "expiresAt"

    assert await ends(expires_at=at + DAY) == at + DAY
    if unsaid_s is ...:
        await refuses()
    else:
        end = await ends()
        assert (end and round((end - at).total_seconds(), -1)) == unsaid_s
    await (ends if never else refuses)(never_ends=True)
    if "maximumS" in lifetime:
        assert await ends(expires_at=at + 2 * DAY) == at + 2 * DAY
        await refuses(expires_at=at + 2 * DAY + timedelta(minutes=1))


async def test_the_lifetimes_of_a_kind_are_its_own(organisation: Organisation) -> None:
    await limit(organisation, personal={"maximumS": DAY_S})
    assert (await organisation.made(organisation.owner, kind=SERVICE)).row.expires_at is None


async def test_what_is_made_with_a_token_ends_with_it_at_the_latest(organisation: Organisation) -> None:
    await limit(organisation, personal={"defaultS": 2 * DAY_S, "required": True}, service={"required": True})
    parent = await organisation.token(organisation.owner, expires_at=now() + DAY)
    assert parent.token
    for kind in KINDS:
        assert (await organisation.made(parent, kind=kind)).row.expires_at == parent.token.expires_at


@pytest.mark.parametrize("lifetime", [{}, {"required": True}, {"defaultS": 6 * DAY_S}])
async def test_where_nothing_is_said_a_token_that_outlives_the_maximum_makes_one_that_does_not(
    organisation: Organisation, refused: Refused, lifetime: Mapping[str, Any]
) -> None:
    made = await organisation.made(organisation.owner)
    await limit(organisation, personal={"maximumS": 7 * DAY_S, **lifetime})
    at = now()
    parent = await organisation.identify(made)
    assert parent.token
    assert parent.token.expires_at
    assert parent.token.expires_at > at + 13 * DAY
    end = (await organisation.made(parent)).row.expires_at
    assert round((end - at).total_seconds(), -1) == lifetime.get("defaultS", 7 * DAY_S)
    with refused(Invalid) as refusal:
        await organisation.made(parent, expires_at=parent.token.expires_at)
    assert refusal.value.field == "expiresAt"


async def test_prolonging_obeys_the_owners_own_session_too(
    organisation: Organisation, refused: Refused, set_clock: SetClock
) -> None:
    made = await organisation.made(organisation.owner, expires_at=now() + 30 * DAY)
    await limit(organisation, personal={"maximumS": 5 * DAY_S, "required": True}, notice_s=20 * DAY_S)
    at = now()
    set_clock(at)
    limit_told = f"432000 s ahead, as the account says: by {(at + 5 * DAY).isoformat()}"
    for change in (TokenChange(expires_at=at + 40 * DAY), TokenChange(clear_expiry=True)):
        with refused(Invalid) as refusal:
            await tokens.update(organisation.owner, made.row.id, change, Said())
        assert refusal.value.field == "expiresAt"
        assert limit_told in str(refusal.value)
    for end in (at + 10 * DAY, at + 2 * DAY, at + 5 * DAY):  # nearer than it is; or as far as the maximum lets it
        assert (await tokens.update(organisation.owner, made.row.id, TokenChange(expires_at=end), Said())).entry
    await limit(organisation, personal={"maximumS": None})
    with refused(Invalid) as refusal:
        await tokens.update(organisation.owner, made.row.id, TokenChange(clear_expiry=True), Said())
    assert refusal.value.field == "expiresAt"


async def test_tightening_is_previewed_announced_and_exact(organisation: Organisation, set_clock: SetClock) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    endless = await organisation.made(writer, name="endless")
    long = await organisation.made(organisation.owner, name="long", expires_at=now() + 90 * DAY)
    await organisation.made(organisation.owner, name="short", expires_at=now() + 2 * DAY)
    await organisation.made(organisation.owner, kind=TokenKind.SERVICE, name="service")
    gone = await organisation.made(organisation.owner, name="gone")
    await tokens.revoke(organisation.owner, gone.row.id, Said())
    at = now()
    set_clock(at)
    wanted = LifetimesChange({PERSONAL: {"maximumS": DAY_S}}, 3 * DAY_S)
    end = at + 3 * DAY  # the notice is longer than the maximum
    preview = await lifetimes.preview(organisation.owner, wanted)
    assert (preview.count, preview.cut.ends) == (2, {PERSONAL: end})
    assert [row.name for row in await (await preview.seen(organisation.owner)).order_by("id")] == ["endless", "long"]
    assert (await Token.get(id=endless.row.id)).expires_at is None

    memory = await organisation.identify(endless)
    done = await limit(organisation, notice_s=3 * DAY_S, personal={"maximumS": DAY_S})
    assert done.shortened == 2
    assert done.entry
    assert (done.entry.after or {})["shortenedTokens"] == 2
    assert not is_current(memory)
    found = await lists.tokens(organisation.owner, TokenFilter(expires_from=end, expires_before=end + SECOND))
    assert {row.name for row in await found} == {"endless", "long"}
    assert (await Token.get(id=endless.row.id)).version == endless.row.version + 1
    told = await (await entries.entries(writer, EntryFilter(action="updateTokenLifetimes"))).order_by("sequence")
    assert [(entry.target_id, entry.comment) for entry in told] == [(endless.row.id, "tidy")]
    (entry,) = told
    assert entry.sequence < done.entry.sequence
    assert ((entry.before or {})["expiresAt"], (entry.after or {})["expiresAt"]) == (None, end.isoformat())
    assert {**(entry.before or {}), "expiresAt": ""} == {**(entry.after or {}), "expiresAt": ""}
    assert await AuditEntry.filter(target_id=long.row.id).count() == 2

    caller = await organisation.identify(endless)
    for moment, lives in ((end - SECOND, True), (end, False), (end + SECOND, False)):
        set_clock(moment)
        assert is_current(caller) is lives
        assert (recognised(endless.secret or "", organisation.house, None) is not None) is lives
        if lives:
            assert (await organisation.identify(endless)).token
        else:
            with pytest.raises(Unauthenticated):
                await organisation.identify(endless)


async def test_requiring_an_end_gives_one_to_those_without(organisation: Organisation, set_clock: SetClock) -> None:
    end = now() + 400 * DAY
    made = [await organisation.made(organisation.owner, expires_at=each) for each in (None, end)]
    at = now()
    set_clock(at)
    await limit(organisation, notice_s=DAY_S, personal={"required": True})
    assert [(await Token.get(id=each.row.id)).expires_at for each in made] == [at + DAY, end]
    await limit(organisation, notice_s=0, personal={"maximumS": 30 * DAY_S})
    assert [(await Token.get(id=each.row.id)).expires_at for each in made] == [at + DAY, at + 30 * DAY]


@pytest.mark.parametrize(("default_s", "lives_s"), [(None, DAY_S), (3600, 3600)])
async def test_where_nothing_says_when_those_without_an_end_live_on_for_a_day_at_least(
    organisation: Organisation, set_clock: SetClock, default_s: int | None, lives_s: int
) -> None:
    made = await organisation.made(organisation.owner, kind=SERVICE)
    at = now()
    set_clock(at)
    required = {"required": True, "defaultS": default_s}
    preview = await lifetimes.preview(organisation.owner, LifetimesChange({SERVICE: required}, 0))
    await limit(organisation, notice_s=0, service=required)
    end = at + timedelta(seconds=lives_s)
    assert preview.cut.ends == {SERVICE: end}
    assert (await Token.get(id=made.row.id)).expires_at == end
    assert (await organisation.identify(made)).token


async def test_very_many_are_given_an_end_a_chunk_at_a_time(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (accounts, lifetimes):
        monkeypatch.setattr(module, "CHUNK", 2)
    for _ in range(5):
        await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    done = await limit(organisation, service={"maximumS": DAY_S})
    assert done.shortened == 5
    assert done.entry
    assert (done.entry.after or {})["shortenedTokens"] == 5
    assert await Token.filter(kind=TokenKind.SERVICE, expires_at=None).count() == 0
    log = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    assert [entry.sequence for entry in log] == list(range(1, len(log) + 1))
    assert all(entry.previous == before.seal for before, entry in pairwise(log))
    assert sum(entry.accesses[0]["action"] == "updateTokenLifetimes" for entry in log) == 6
    again = await limit(organisation, service={"maximumS": DAY_S})
    assert (again.shortened, again.entry) == (0, None)
