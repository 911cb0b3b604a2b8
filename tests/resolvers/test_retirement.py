"""The end of all account-wide tokens: seen beforehand, exact to the instant, from memory too, and told to holders."""

from datetime import datetime, timedelta

import pytest

from core.errors import Conflict, Forbidden, Invalid, Retired, Unauthenticated
from core.vocabulary import Action, BuiltInRole
from models import Account, SecretDigest, Token, TokenKind, TokenState, now
from resolvers import imports, lists, retirement, tokens
from resolvers.callers import is_current, lease, recognised
from resolvers.imports import Import
from resolvers.lists import TokenFilter
from resolvers.retirement import Retirement
from resolvers.scopes import Scope
from resolvers.tokens import NewToken
from resolvers.verification import verify
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused, SetClock

LEGACY, SHORT = "api-4f1d8e0a-legacy", "api-short-lived-legacy"
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(microseconds=1)


async def bring(organisation: Organisation, *wanted: Import) -> list[Token]:
    done = await imports.bring(organisation.owner, wanted or [Import("old", LEGACY)], Said())
    return [draft.row for draft in done.drafts]


async def retire(organisation: Organisation, at: datetime | None, *, dry_run: bool = False) -> Retirement:
    return await retirement.retire(organisation.owner, at, Said("time to go"), dry_run=dry_run)


async def told(organisation: Organisation, secret: str) -> str:
    """Say what becomes of a secret: whether it works, and if not, whether its holder is told of the retirement."""
    try:
        await organisation.identify(secret)
    except Retired as retired:
        return str(retired.extensions["retiredAt"])
    except Unauthenticated:
        return "no"
    return "yes"


async def test_all_end_at_the_instant_also_those_in_memory(organisation: Organisation, set_clock: SetClock) -> None:
    await bring(organisation)
    before = await organisation.identify(LEGACY)
    at = now() + HOUR
    done = await retire(organisation, at)
    assert not is_current(before)
    assert (done.count, done.account.legacy_ends_at) == (1, at)
    assert done.entry
    assert done.entry.accesses == [{"action": "retireAccountTokens", "resource": "acct"}]
    assert [(done.entry.before or {})["legacyEndsAt"], (done.entry.after or {})["legacyEndsAt"]] == [
        None,
        at.isoformat(),
    ]
    assert (done.entry.after or {})["endingTokens"] == 1
    caller = await organisation.identify(LEGACY)
    held = lease(caller)
    assert held.ends_at == at
    for instant, answer in (
        (at - SECOND, "yes"),
        (at - MOMENT, "yes"),
        (at, at.isoformat()),
        (at + SECOND, at.isoformat()),
    ):
        set_clock(instant)
        lives = answer == "yes"
        assert (recognised(LEGACY, organisation.house, None) is not None) is lives
        assert (is_current(caller), held.holds) == (lives, lives)
        assert await told(organisation, LEGACY) == answer
    set_clock(at - SECOND)
    assert await told(organisation, LEGACY) == "yes"


async def test_other_tokens_and_sessions_live_on(organisation: Organisation, set_clock: SetClock) -> None:
    await bring(organisation)
    service = await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    personal = await organisation.made(organisation.owner)
    at = now() + HOUR
    await retire(organisation, at)
    set_clock(at)
    for made in (service, personal):
        assert (await organisation.identify(made)).token


async def test_one_that_ends_earlier_ends_then_and_is_told_nothing(
    organisation: Organisation, set_clock: SetClock
) -> None:
    soon, at = now() + HOUR, now() + 2 * HOUR
    await bring(organisation, Import("short", SHORT, expires_at=soon), Import("long", LEGACY, expires_at=at + HOUR))
    assert (await retire(organisation, at)).count == 1
    rows = await Token.filter(kind=TokenKind.ACCOUNT).order_by("name")
    account = await Account.get(id=organisation.account.id)
    assert [row.ends_at(account) for row in rows] == [at, soon]
    assert [row.expires_at for row in rows] == [at + HOUR, soon]
    set_clock(soon)
    assert [await told(organisation, secret) for secret in (SHORT, LEGACY)] == ["no", "yes"]
    set_clock(at + 2 * HOUR)
    assert [await told(organisation, secret) for secret in (SHORT, LEGACY)] == ["no", at.isoformat()]


async def test_who_is_told_of_the_end_is_only_who_holds_the_secret_there_where_it_might_be_used(
    organisation: Organisation, set_clock: SetClock
) -> None:
    elsewhere, revoked = "api-bound-elsewhere", "api-revoked-before"
    rows = await bring(
        organisation,
        Import("old", LEGACY),
        Import("bound", elsewhere, networks=["198.51.100.0/24"]),
        Import("revoked", revoked),
    )
    await tokens.revoke(organisation.owner, rows[2].id, Said())
    at = now() + HOUR
    await retire(organisation, at)
    set_clock(at)
    answers = [await told(organisation, secret) for secret in (LEGACY, elsewhere, revoked, f"{LEGACY}x", "lkp_x")]
    assert answers == [at.isoformat(), "no", "no", "no", "no"]
    await organisation.house.uses.flush()
    assert (await Token.get(id=rows[0].id)).last_used_at is None


async def test_a_dry_run_lists_those_it_would_end_and_changes_nothing(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    at = now() + HOUR
    await bring(organisation, Import("short", SHORT, expires_at=at), Import("long", LEGACY))
    before = elsewhere.everything()
    done = await retire(organisation, at, dry_run=True)
    seen = await done.seen(organisation.owner)
    assert (done.count, [row.name for row in await seen]) == (1, ["long"])
    assert (done.entry, done.account.legacy_ends_at) == (None, None)
    assert (await retire(organisation, None, dry_run=True)).count == 0
    assert elsewhere.everything() == before


async def test_a_date_is_moved_and_taken_away_while_it_is_ahead(
    organisation: Organisation, refused: Refused, set_clock: SetClock
) -> None:
    await bring(organisation)
    at = now() + HOUR
    await retire(organisation, at + HOUR)
    await retire(organisation, at)
    assert (await retire(organisation, at)).entry is None
    done = await retire(organisation, None)
    assert (done.account.legacy_ends_at, done.count) == (None, 0)
    set_clock(at)
    assert await told(organisation, LEGACY) == "yes"
    later = at + HOUR
    await retire(organisation, later)
    set_clock(later)
    organisation.owner = await organisation.identify(organisation.secrets[str(organisation.owner.token.id)])  # type: ignore[union-attr]
    for again in (None, later + HOUR):
        for dry_run in (True, False):
            with refused(Conflict):
                await retire(organisation, again, dry_run=dry_run)
    with refused(Conflict):
        await bring(organisation, Import("new", "api-too-late"))


async def test_a_date_that_is_not_ahead_is_refused(organisation: Organisation, refused: Refused) -> None:
    for at in (now() - SECOND, datetime(2999, 1, 1)):  # noqa: DTZ001 - it is what is refused
        with refused(Invalid) as refusal:
            await retire(organisation, at)
        assert refusal.value.field == "at"


async def test_only_who_may_retires(organisation: Organisation, refused: Refused) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    for dry_run in (True, False):
        with refused(Forbidden) as refusal:
            await retirement.retire(writer, now() + HOUR, Said(), dry_run=dry_run)
        assert refusal.value.extensions["action"] == Action.RETIRE_ACCOUNT_TOKENS


async def test_what_has_ended_is_listed_as_expired_and_not_counted(
    organisation: Organisation, set_clock: SetClock
) -> None:
    await bring(organisation)
    at = now() + HOUR
    await retire(organisation, at)
    for instant, state in ((at - SECOND, TokenState.ACTIVE), (at, TokenState.EXPIRED)):
        set_clock(instant)
        owner = await organisation.identify(organisation.secrets[str(organisation.owner.token.id)])  # type: ignore[union-attr]
        for each in TokenState:
            listed = await lists.tokens(owner, TokenFilter(kind=TokenKind.ACCOUNT, state=each))
            assert [tokens.state(row, owner.account, None, instant) for row in await listed] == [state] * (
                each is state
            )


async def test_what_is_made_with_an_account_token_ends_with_it(organisation: Organisation) -> None:
    await bring(organisation)
    at = now() + HOUR
    await retire(organisation, at)
    legacy = await organisation.identify(LEGACY)
    done = await tokens.create(legacy, NewToken(TokenKind.SERVICE, "child", Scope(BuiltInRole.READER)), Said())
    assert done.row.expires_at == at
    endless = NewToken(TokenKind.SERVICE, "child", Scope(BuiltInRole.READER), never_ends=True)
    with pytest.raises(Invalid) as refusal:
        await tokens.create(legacy, endless, Said())
    assert refusal.value.field == "expiresAt"


async def test_whoever_verifies_is_told_when_it_ends_and_then_that_it_is_not_active(
    organisation: Organisation, set_clock: SetClock
) -> None:
    await bring(organisation)
    at = now() + HOUR
    await retire(organisation, at)
    asker = await organisation.token(organisation.owner, Scope(BuiltInRole.OWNER), TokenKind.SERVICE)
    verified = await verify(asker, LEGACY)
    assert verified
    assert verified.expires_at == at
    set_clock(at)
    assert await verify(asker, LEGACY) is None
    assert await SecretDigest.filter(token__kind=TokenKind.ACCOUNT).count() == 1
