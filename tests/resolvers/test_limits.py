"""How many tokens there may be: refused with the numbers, and two at once are no way around it."""

import asyncio
from datetime import timedelta

import pytest

from core.errors import Conflict, Invalid
from core.vocabulary import BuiltInRole
from models import Token, TokenKind, now
from resolvers import accounts, tokens
from resolvers.accounts import AccountChange
from resolvers.writing import Done, Said
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused, SetClock


async def limit(organisation: Organisation, **limits: int | None) -> None:
    await accounts.update(organisation.owner, AccountChange(limits=limits), Said())


async def test_a_member_has_no_more_living_tokens_than_they_may(
    organisation: Organisation, refused: Refused, set_clock: SetClock
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    await limit(organisation, maxMemberTokens=2)
    first = await organisation.made(writer)
    await organisation.made(writer, expires_at=now() + timedelta(hours=1))
    with refused(Conflict) as refusal:
        await organisation.made(writer)
    told = {"code": "CONFLICT", "exceeded": "maxMemberTokens", "limit": 2, "count": 2}
    assert dict(refusal.value.extensions) == told
    assert str(refusal.value) == "`maxMemberTokens` is 2, and there are 2 already"
    for _ in range(3):  # not theirs, or no member's
        await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    await organisation.made(organisation.owner)
    await tokens.revoke(writer, first.row.id, Said())
    await organisation.made(writer)
    set_clock(now() + timedelta(hours=2))
    await organisation.made(await organisation.session(writer.member))  # type: ignore[arg-type] # a session has one
    await limit(organisation, maxMemberTokens=None)
    await organisation.made(await organisation.session(writer.member))  # type: ignore[arg-type] # as above


async def test_an_account_has_no_more_living_tokens_than_it_may(organisation: Organisation, refused: Refused) -> None:
    for kind in (TokenKind.PERSONAL, TokenKind.SERVICE, TokenKind.SERVICE):
        await organisation.made(organisation.owner, kind=kind)
    await limit(organisation, maxTokens=2)
    for kind in (TokenKind.PERSONAL, TokenKind.SERVICE):
        with refused(Conflict) as refusal:
            await organisation.made(organisation.owner, kind=kind)
        told = {"code": "CONFLICT", "exceeded": "maxTokens", "limit": 2, "count": 3}
        assert dict(refusal.value.extensions) == told
    await organisation.session(organisation.owner.member)  # type: ignore[arg-type] # signing in makes no token


async def test_two_at_once_do_not_pass_the_limit(organisation: Organisation) -> None:
    await limit(organisation, maxTokens=3)
    wanted = [organisation.made(organisation.owner, kind=TokenKind.SERVICE) for _ in range(6)]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3
    assert await Token.filter(kind=TokenKind.SERVICE).count() == 3


@pytest.mark.parametrize("name", ["maxTokens", "maxMemberTokens"])
@pytest.mark.parametrize("most", [-1, 1_000_001])
async def test_a_bad_limit_is_named(organisation: Organisation, refused: Refused, name: str, most: int) -> None:
    with refused(Invalid) as refusal:
        await limit(organisation, **{name: most})
    assert refusal.value.field == name
