"""Last uses of tokens are gathered and written, never backwards, and never disturb anything else."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from tortoise.transactions import in_transaction

from models import Account, Token
from resolvers.callers import Request, used
from resolvers.uses import Uses
from tests.databases import Elsewhere
from tests.organisation import Organisation


async def test_a_use_is_written_with_where_it_came_from(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    assert made.secret
    uses = organisation.house.uses
    await used(made.secret, Request(organisation.house, "1", "192.0.2.7", "curl/8"))
    assert (await Token.get(id=made.row.id)).last_used_at is None
    version = (await Account.get(id=organisation.account.id)).version

    await uses.flush()

    token = await Token.get(id=made.row.id)
    assert token.last_used_at is not None
    assert (token.last_used_address, token.last_used_agent) == ("192.0.2.7", "curl/8")
    assert (token.version, token.updated_at) == (made.row.version, made.row.updated_at)
    assert (await Account.get(id=organisation.account.id)).version == version


async def test_an_earlier_use_never_replaces_a_later_one(organisation: Organisation) -> None:
    caller = await organisation.token(organisation.owner)
    assert caller.token
    later = datetime.now(UTC) + timedelta(minutes=5)
    await Token.filter(id=caller.token.id).update(last_used_at=later, last_used_address="192.0.2.9")
    uses = Uses()
    uses.note(caller.token.id, "192.0.2.8", None)
    await uses.flush()
    kept = await Token.get(id=caller.token.id)
    assert (kept.last_used_at, kept.last_used_address) == (later, "192.0.2.9")


async def test_what_is_noted_at_the_end_is_not_lost(organisation: Organisation) -> None:
    caller = await organisation.token(organisation.owner)
    assert caller.token
    uses = Uses()
    async with uses.flushed():
        uses.note(caller.token.id, "192.0.2.8", None)
    assert (await Token.get(id=caller.token.id)).last_used_address == "192.0.2.8"


async def test_flushes_and_changes_never_wait_for_each_other_in_a_circle(organisation: Organisation) -> None:
    made = [(await organisation.token(organisation.owner)).token for _ in range(20)]
    ids = [token.id for token in made if token]

    async def flush(order: list[UUID]) -> None:
        uses = Uses()
        for token_id in order:
            uses.note(token_id, "192.0.2.8", None)
        await uses.flush()

    async def change(order: list[UUID]) -> None:
        async with in_transaction():
            for token_id in order:
                await Token.filter(id=token_id).update(name="another")

    async with asyncio.timeout(30):
        await asyncio.gather(*(flush(order) for order in (ids, ids[::-1]) * 3), change(ids[1:]), change(ids))
    assert {token.name for token in await Token.filter(id__in=ids)} == {"another"}


@pytest.mark.usefixtures("postgresql")
async def test_the_use_of_a_token_that_is_being_changed_is_written_later(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    tokens = [(await organisation.token(organisation.owner)).token for _ in range(2)]
    first, second = (token.id for token in tokens if token)
    uses = Uses()
    uses.note(first, "192.0.2.8", None)
    uses.note(second, "192.0.2.8", None)
    with elsewhere.transaction() as run:
        run(f"SELECT 1 FROM token WHERE id = '{first}' FOR UPDATE")  # noqa: S608 - an id of ours
        async with asyncio.timeout(10):
            await uses.flush()
        written = {row.id for row in await Token.filter(last_used_address="192.0.2.8")}
        assert written == {second}
    await uses.flush()
    assert await Token.filter(last_used_address="192.0.2.8").count() == 2
