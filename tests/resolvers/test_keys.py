"""What hangs on a server key, of all accounts, and whether keys are those of a database."""

from datetime import timedelta

from core.secret import ServerKeys
from models import Token, now
from resolvers import heads, keys, members, tokens, webhooks
from resolvers.keys import Held
from resolvers.webhooks import GRACE, NewWebhook
from resolvers.writing import Said
from tests.conftest import SetClock
from tests.organisation import Organisation


async def test_what_hangs_on_a_key_is_counted_listed_and_revoked(organisation: Organisation) -> None:
    house, first = organisation.house, organisation.house.keys
    before = (await keys.held())[first.newest]
    early, over = [await organisation.made(organisation.owner) for _ in range(2)]
    await tokens.revoke(organisation.owner, over.row.id, Said())
    await members.create_link(organisation.owner, (await organisation.member()).id, Said())
    house.keys = first.beside("second").led_by("second")
    late = await organisation.made(organisation.owner)
    held = await keys.held()
    more = Held(before.tokens + 1, before.sessions, before.links + 1, before.webhooks)
    assert held == {first.newest: more, "second": Held(tokens=1)}
    assert [token.id for token in await keys.hanging("second")] == [late.row.id]
    assert early.row.id in [token.id for token in await keys.hanging(first.newest)]
    assert over.row.id not in [token.id for token in await keys.hanging(first.newest)]

    assert await keys.misfits(house.keys) == []
    assert await keys.misfits(first) == ["second"]
    other = ServerKeys({**first.keys, **ServerKeys.mint("second").keys})
    assert await keys.misfits(other) == [], "nothing says so yet"
    await heads.sign(house, organisation.account.id)
    assert await keys.misfits(house.keys) == []
    assert await keys.misfits(other) == ["second"]

    assert await keys.revoke(organisation.request, "second", Said("Its key goes.")) == 1
    assert (await Token.get(id=late.row.id)).revoked_at is not None
    assert (await Token.get(id=early.row.id)).revoked_at is None


async def test_a_webhook_hangs_on_a_key_as_long_as_it_is_signed_with_it(
    organisation: Organisation, set_clock: SetClock
) -> None:
    house, first = organisation.house, organisation.house.keys
    made = await webhooks.create(organisation.owner, NewWebhook("https://example.com/hook"), Said())
    house.keys = first.beside("second").led_by("second")
    await webhooks.rotate(organisation.owner, made.row.id, Said())
    held = await keys.held()
    assert (held[first.newest].webhooks, held["second"].webhooks) == (1, 1)
    set_clock(now() + GRACE + timedelta(minutes=1))
    held = await keys.held()
    assert (held[first.newest].webhooks, held["second"].webhooks) == (0, 1)
