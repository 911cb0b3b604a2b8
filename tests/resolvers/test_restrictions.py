"""Restrictions of tokens: who may set them, and that nobody gets beyond their own."""

from datetime import timedelta
from typing import Any

import pytest

from core.errors import Forbidden, Invalid, Unauthenticated
from core.vocabulary import BuiltInRole
from models import TokenKind, now
from resolvers import tokens
from resolvers.callers import Caller, Request, identify
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Done, Said
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused

INSIDE = ["192.0.2.0/24"]


async def changed(caller: Caller, made: Done[Any], **wanted: Any) -> Done[Any]:
    return await tokens.update(caller, made.row.id, TokenChange(**wanted), Said())


async def test_restrictions_are_in_the_entry(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, networks=["192.0.2.7", *INSIDE], rate_limits=["5/minute"])
    assert made.entry
    assert made.entry.after
    assert made.entry.after["networks"] == ["192.0.2.7/32", *INSIDE]
    assert made.entry.after["rateLimits"] == ["5/minute"]
    done = await changed(organisation.owner, made, networks=[])
    assert done.entry
    assert done.entry.before
    assert done.entry.after
    assert (done.entry.before["networks"], done.entry.after["networks"]) == (["192.0.2.7/32", *INSIDE], [])
    assert done.entry.after["rateLimits"] == ["5/minute"]
    assert [access["action"] for access in done.entry.accesses] == ["updateAccessTokenRestrictions"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"networks": ["10.0.0.0/8", "10.0.0.1/8"]}, "networks[1]"),
        ({"rate_limits": ["5/minute", "5/week"]}, "rateLimits[1]"),
    ],
)
async def test_bad_input_names_the_field_and_the_item(
    organisation: Organisation, refused: Refused, wanted: dict[str, Any], field: str
) -> None:
    made = await organisation.made(organisation.owner)
    with refused(Invalid) as refusal:
        await organisation.made(organisation.owner, **wanted)
    assert refusal.value.field == field
    with refused(Invalid) as refusal:
        await changed(organisation.owner, made, **wanted)
    assert refusal.value.field == field


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.SERVICE])
async def test_a_token_made_with_a_token_is_no_less_restricted(
    organisation: Organisation, refused: Refused, kind: TokenKind
) -> None:
    parent = await organisation.token(organisation.owner, networks=INSIDE, rate_limits=["10/minute"])
    made = await organisation.made(parent, kind=kind)
    assert (made.row.networks, made.row.rate_limits) == (INSIDE, ["10/minute"])
    narrower: dict[str, Any] = {"networks": ["192.0.2.128/25", "192.0.2.1"], "rate_limits": ["5/minute", "50/day"]}
    assert (await organisation.made(parent, kind=kind, **narrower)).row.networks == ["192.0.2.128/25", "192.0.2.1/32"]
    wider: list[tuple[dict[str, Any], str]] = [
        ({"networks": []}, "networks"),
        ({"networks": ["192.0.0.0/16"]}, "networks"),
        ({"networks": [*INSIDE, "::/0"]}, "networks"),
        ({"rate_limits": []}, "rateLimits"),
        ({"rate_limits": ["11/minute"]}, "rateLimits"),
        ({"rate_limits": ["100/hour"]}, "rateLimits"),
    ]
    for wanted, field in wider:
        with refused(Invalid) as refusal:
            await organisation.made(parent, kind=kind, **wanted)
        assert refusal.value.field == field


async def test_others_may_only_narrow(organisation: Organisation, refused: Refused) -> None:
    holder = await organisation.as_role(BuiltInRole.WRITER)
    made = await organisation.made(holder, Scope(BuiltInRole.WRITER), networks=["192.0.0.0/16"])
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    own_token = await organisation.token(holder, Scope(BuiltInRole.WRITER))
    for caller in (admin, organisation.owner, own_token):
        for networks in ([], ["192.0.0.0/8"], ["192.0.0.0/16", "10.0.0.0/8"]):
            with refused(Forbidden) as refusal:
                await changed(caller, made, networks=networks)
            assert refusal.value.extensions["action"] == "updateAccessTokenRestrictions"
    await changed(admin, made, networks=INSIDE, rate_limits=["5/minute"])
    await changed(own_token, made, rate_limits=["5/minute", "1/second"])
    with refused(Forbidden):
        await changed(admin, made, rate_limits=["5/minute"])
    done = await changed(holder, made, networks=[], rate_limits=[])
    assert (done.row.networks, done.row.rate_limits) == ([], [])


async def test_widening_a_service_token_takes_rights_over_it_and_no_narrower_restrictions(
    organisation: Organisation, refused: Refused
) -> None:
    made = await organisation.made(organisation.owner, kind=TokenKind.SERVICE, networks=INSIDE)
    lesser = {"effect": "allow", "actions": ["*"], "resources": ["service-token/*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[lesser]))
    with refused(Forbidden):
        await changed(caller, made, networks=[])
    bound = await organisation.token(organisation.owner, networks=["192.0.0.0/16"])
    with refused(Invalid):
        await changed(bound, made, networks=[])
    await changed(bound, made, networks=["192.0.0.0/16"])
    await changed(bound, made, networks=["192.0.2.7"])
    await changed(organisation.owner, made, networks=[])


async def test_without_the_action_nothing_of_it_changes(organisation: Organisation, refused: Refused) -> None:
    made = await organisation.made(organisation.owner)
    but = {"effect": "allow", "notActions": ["updateAccessTokenRestrictions"], "resources": ["*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[but]))
    for wanted in ({"networks": INSIDE}, {"rate_limits": ["1/day"]}):
        with refused(Forbidden):
            await changed(caller, made, **wanted)


async def test_what_has_ended_keeps_its_restrictions(organisation: Organisation, refused: Refused) -> None:
    made = await organisation.made(organisation.owner, networks=INSIDE, expires_at=now() + timedelta(hours=1))
    await tokens.revoke(organisation.owner, made.row.id, Said())
    with refused(Invalid):
        await changed(organisation.owner, made, networks=["192.0.2.7"])


async def test_a_caller_is_found_in_memory_for_its_addresses_alone(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, networks=INSIDE)
    secret = made.secret or ""
    inside, outside, nowhere = (
        Request(organisation.house, "1", address) for address in ("192.0.2.1", "198.51.100.1", None)
    )
    for _ in range(2):
        assert (await identify(secret, inside)).request is inside
        for request in (outside, nowhere):
            with pytest.raises(Unauthenticated):
                await identify(secret, request)


async def test_what_a_caller_does_is_refused_once_it_may_not_come_from_there(
    organisation: Organisation, refused: Refused
) -> None:
    made = await organisation.made(organisation.owner)
    caller = await organisation.identify(made)
    await changed(organisation.owner, made, networks=["198.51.100.0/24"])
    with refused(Unauthenticated):
        await organisation.made(caller)
