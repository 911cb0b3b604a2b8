"""Advice as a client asks for it: each kind with its reason and its evidence, and a mutation that makes it go away."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from tortoise.expressions import F

from core.covers import MAX_STEPS
from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models import Account, Member, MemberState, Role, Token, TokenAccess, TokenDay, TokenKind, TokenOrigin, new_id, now
from resolvers import accounts, callers, judging, scoring
from resolvers.accounts import AccountChange
from resolvers.callers import Caller
from resolvers.lifetimes import LifetimesChange
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema.nodes import global_id
from tests.organisation import Organisation, forget
from tests.schema.conftest import Ask, Served

ADVICE = """query($kinds: [AdviceKind!], $tokens: TokenFilterInput, $days: Int! = 30, $first: Int, $after: String,
      $last: Int, $before: String) {
  advice(kinds: $kinds, tokens: $tokens, days: $days, first: $first, after: $after, last: $last, before: $before) {
    nodes {
      kind severity reason mutation variables
      token { id name scope { statements { effect actions resources } builtInRole } }
      role { key }
      member { id }
      evidence {
        since programs networks unusedActions
        uses { action resource allowed refused }
        origins { address userAgent uses }
        suggestedStatements { effect actions resources }
        exceeding { index limitedBy role statement { actions } }
      }
    }
    edges { cursor }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}"""
FLAG = "proj/web:env/dev:flag/a"
SCOPE = Scope(
    statements=[
        {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]},
        {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*:flag/*"]},
    ]
)
EVERY_TOKEN = ["account-token/*", "member/*:token/*", "service-token/*"]
OWN = {"effect": "allow", "actions": ["*"], "resources": ["member/*:token/*"]}
YEAR = timedelta(days=365)


def ago(days: float) -> datetime:
    return now() - timedelta(days=days)


async def aged(
    organisation: Organisation, maker: Caller | None = None, scope: Scope | None = None, **columns: Any
) -> Token:
    """Make a token that is 100 days old, used yesterday and ends in a year, but for what is said otherwise."""
    kind = columns.pop("kind", TokenKind.PERSONAL)
    made = await organisation.made(
        maker or organisation.owner, scope or SCOPE, kind if kind is TokenKind.SERVICE else TokenKind.PERSONAL
    )
    told = {"created_at": ago(100), "last_used_at": ago(1), "expires_at": now() + YEAR, **columns}
    if kind is TokenKind.ACCOUNT:
        told |= {"kind": kind, "owner_id": None, "responsible_id": made.row.owner_id}
    await Token.filter(id=made.row.id).update(**told)
    return await Token.get(id=made.row.id)


async def used(token: Token, *uses: str, days_ago: float = 1, times: int = 3, counted: int = 3) -> None:
    """Write what a token was used for, each an action and a resource with a blank between."""
    account_id, at = token.account_id, ago(days_ago)
    for use in uses:
        action, _, resource = use.partition(" ")
        if resource:
            await TokenAccess.create(
                account_id=account_id,
                token_id=token.id,
                action=action,
                specifier=resource,
                allowed=times,
                first_at=at,
                last_at=at,
            )
        if not await TokenDay.filter(token_id=token.id, day=at.date(), action=action).exists():
            await TokenDay.create(
                account_id=account_id, token_id=token.id, day=at.date(), action=action, allowed=counted
            )


async def came(token: Token, *whence: tuple[str, str], days_ago: float = 1, most: int = 100) -> None:
    """Write from where a token was used, and by what."""
    at = ago(days_ago)
    for number, (address, agent) in enumerate(whence):
        await TokenOrigin.create(
            account_id=token.account_id,
            token_id=token.id,
            address=address,
            user_agent=agent,
            first_at=at,
            last_at=at,
            uses=most - number,
        )


PROGRAMS = [("192.0.2.1", "curl/8.1"), ("192.0.2.2", "curl/7"), ("192.0.2.3", "terraform/1"), ("192.0.2.4", "ci (x)")]
NETWORKS = [(f"192.0.{n}.1", "curl/8") for n in range(5)]


async def again(organisation: Organisation) -> Caller:
    """The owner, as in a further request."""
    assert organisation.owner.token
    return await organisation.identify(organisation.secrets[str(organisation.owner.token.id)])


async def advised(ask: Ask, caller: Caller, *kinds: str, **wanted: Any) -> list[dict[str, Any]]:
    answer = await ask(caller, ADVICE, kinds=list(kinds) or None, **wanted)
    assert "errors" not in answer, answer
    nodes: list[dict[str, Any]] = answer["data"]["advice"]["nodes"]
    return nodes


async def follow(ask: Ask, served: Served, caller: Caller, kind: str, **wanted: Any) -> dict[str, Any]:
    """Send the mutation of the one piece of advice of a kind as it is, as the server takes it; then it is gone."""
    (item,) = await advised(ask, caller, kind, **wanted)
    assert item["mutation"], item
    answer = await served(caller, item["mutation"], **item["variables"])
    assert "errors" not in answer, answer
    assert await advised(ask, caller, kind, **wanted) == []
    return item


async def test_an_account_in_order_gets_no_advice(organisation: Organisation, ask: Ask) -> None:
    token = await aged(organisation)
    await used(token, f"viewFlag {FLAG}", "viewProject proj/web", f"updateOn {FLAG}", f"deleteFlag {FLAG}")
    kept = await advised(ask, organisation.owner, days=101)
    assert kept == []


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("ACCOUNT_TOKEN_UNUSED", {"kind": TokenKind.ACCOUNT, "last_used_at": ago(91)}),
        ("ACCOUNT_TOKEN_UNUSED", {"kind": TokenKind.ACCOUNT, "last_used_at": None}),
        ("UNUSED", {"last_used_at": ago(91)}),
        ("UNUSED", {"kind": TokenKind.SERVICE, "last_used_at": ago(91)}),
        ("NEVER_USED", {"last_used_at": None}),
    ],
)
async def test_what_is_not_used_is_to_be_revoked(
    organisation: Organisation, ask: Ask, served: Served, kind: str, columns: dict[str, Any]
) -> None:
    token = await aged(organisation, **columns)
    item = await follow(ask, served, organisation.owner, kind)
    assert item["token"]["id"] == global_id("Token", token.id)
    assert item["severity"] == ("HIGH" if kind.startswith("ACCOUNT") else "MEDIUM")
    assert f"made on {token.created_at:%Y-%m-%d}" in item["reason"] or "last used on" in item["reason"]
    assert (await Token.get(id=token.id)).revoked_at


@pytest.mark.parametrize(
    "columns",
    [
        {"last_used_at": ago(89)},
        {"last_used_at": None, "created_at": ago(29)},
        {"last_used_at": ago(91), "revoked_at": ago(1)},
        {"last_used_at": ago(91), "expires_at": ago(1)},
    ],
)
async def test_what_was_used_lately_or_is_over_is_not(
    organisation: Organisation, ask: Ask, columns: dict[str, Any]
) -> None:
    await aged(organisation, **columns)
    assert await advised(ask, organisation.owner, "UNUSED", "NEVER_USED", "ACCOUNT_TOKEN_UNUSED") == []


async def test_an_account_wide_token_in_use_is_to_get_an_end(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    token = await aged(organisation, kind=TokenKind.ACCOUNT, expires_at=None)
    await came(token, *PROGRAMS[:2])
    await used(token, f"updateOn {FLAG}")
    item = await follow(ask, served, organisation.owner, "ACCOUNT_TOKEN_USED")
    assert item["severity"] == "HIGH"
    assert item["evidence"]["programs"] == ["curl"]
    assert item["evidence"]["networks"] == ["192.0.2.0/24"]
    assert item["evidence"]["uses"] == [{"action": "updateOn", "resource": FLAG, "allowed": 3, "refused": 0}]
    assert [each["uses"] for each in item["evidence"]["origins"]] == [99, 100]
    ends_at = (await Token.get(id=token.id)).expires_at
    assert ends_at
    assert timedelta(days=89) < ends_at - now() <= timedelta(days=90)


async def test_once_the_account_dates_its_account_wide_tokens_there_is_no_more_to_say(
    organisation: Organisation, ask: Ask
) -> None:
    token = await aged(organisation, kind=TokenKind.ACCOUNT, expires_at=None)
    await came(token, *PROGRAMS)
    told = []
    for days in (200, 179, 29, -1):
        await Account.filter(id=organisation.account.id).update(
            legacy_ends_at=now() + timedelta(days=days), version=F("version") + 1
        )
        forget()  # a change that goes round `change` is heard of when it may
        items = await advised(ask, await again(organisation), "ACCOUNT_TOKEN_USED", "SHARED")
        told.append([item["kind"] for item in items])
    assert told == [["ACCOUNT_TOKEN_USED", "SHARED"], ["SHARED"], [], []]


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.SERVICE])
async def test_what_never_ends_is_to_get_an_end_that_the_account_allows(
    organisation: Organisation, ask: Ask, served: Served, kind: TokenKind
) -> None:
    token = await aged(organisation, kind=kind, expires_at=None)
    (item,) = await advised(ask, organisation.owner, "NO_EXPIRY")
    assert item["variables"]["input1"]["expiresAt"][:4] == str((now() + YEAR).year)
    week_s = 7 * 86400
    limits = {"maximumS": week_s}
    await accounts.update(
        organisation.owner, AccountChange(lifetimes=LifetimesChange({kind: limits}, notice_s=0)), Said()
    )
    await Token.filter(id=token.id).update(expires_at=None)
    organisation.owner = await again(organisation)
    await follow(ask, served, organisation.owner, "NO_EXPIRY")
    ends_at = (await Token.get(id=token.id)).expires_at
    assert ends_at
    assert ends_at - now() <= timedelta(seconds=week_s)
    assert await advised(ask, organisation.owner, "EXPIRING_SOON") == []


async def test_what_ends_soon_is_to_be_prolonged(organisation: Organisation, ask: Ask, served: Served) -> None:
    await aged(organisation, expires_at=now() + timedelta(days=15))
    assert await advised(ask, organisation.owner, "EXPIRING_SOON") == []
    await aged(organisation, expires_at=now() + timedelta(days=13))
    item = await follow(ask, served, organisation.owner, "EXPIRING_SOON")
    assert item["severity"] == "LOW"


async def test_what_nobody_answers_for_is_to_be_handed_to_its_maker_or_to_who_asks(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    token = await aged(organisation, admin, kind=TokenKind.SERVICE, responsible_id=None)
    await follow(ask, served, organisation.owner, "UNATTENDED")
    assert (await Token.get(id=token.id)).responsible_id == admin.member.id
    await Member.filter(id=admin.member.id).update(state=MemberState.SUSPENDED)
    await follow(ask, served, organisation.owner, "UNATTENDED")
    assert organisation.owner.member
    assert (await Token.get(id=token.id)).responsible_id == organisation.owner.member.id


async def test_a_role_that_nobody_holds_is_to_be_deleted(organisation: Organisation, ask: Ask, served: Served) -> None:
    allows = {"effect": "allow", "actions": ["*"], "resources": ["member/*"]}
    held, named, ended, empty = [await organisation.role(key, allows) for key in ("held", "named", "ended", "empty")]
    await organisation.member(custom=[held])
    await organisation.made(organisation.owner, Scope(custom_roles=[named.key]))
    over = await organisation.made(organisation.owner, Scope(custom_roles=[ended.key]))
    keys = [item["role"]["key"] for item in await advised(ask, organisation.owner, "EMPTY_ROLE")]
    assert keys == ["empty"]
    await Token.filter(id=over.row.id).update(revoked_at=now())
    keys = [item["role"]["key"] for item in await advised(ask, organisation.owner, "EMPTY_ROLE")]
    assert keys == ["empty", "ended"]
    await Role.filter(id=empty.id).delete()
    item = await follow(ask, served, organisation.owner, "EMPTY_ROLE")
    assert item["token"] is item["member"] is None
    assert not await Role.filter(key="ended").exists()


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.ACCOUNT])
async def test_a_token_that_uses_a_part_of_its_scope_is_to_be_narrowed_to_it(
    organisation: Organisation, ask: Ask, served: Served, kind: TokenKind
) -> None:
    token = await aged(organisation, kind=kind)
    await used(token, f"viewFlag {FLAG}", f"updateOn {FLAG}")
    item = await follow(ask, served, organisation.owner, "OVER_GRANTED")
    suggested = [
        {"effect": "ALLOW", "actions": ["updateOn", "viewFlag"], "resources": [FLAG]},
        {"effect": "ALLOW", "actions": ["viewProject"], "resources": ["proj/web"]},
    ]
    assert item["evidence"]["suggestedStatements"] == suggested
    assert item["evidence"]["unusedActions"] == ["deleteFlag"]
    assert len(item["evidence"]["uses"]) == 2
    stored = (await Token.get(id=token.id)).scope_policy
    assert stored == [{**line, "effect": "allow"} for line in suggested]
    caller = await organisation.identify(organisation.secrets[str(token.id)])
    assert caller.rights.allows("updateOn", Resource.parse(FLAG))
    assert not caller.rights.allows("deleteFlag", Resource.parse(FLAG))


async def test_a_suggested_scope_may_be_tried_first(organisation: Organisation, ask: Ask, served: Served) -> None:
    await used(await aged(organisation), f"updateOn {FLAG}")
    (item,) = await advised(ask, organisation.owner, "OVER_GRANTED")
    trying = """mutation ($input1: TryTokenScopeInput!) {
      tryTokenScope(input: $input1) { token { trial { scope { statements { actions } } } } }
    }"""
    tried = await served(organisation.owner, trying, **item["variables"])
    assert tried["data"]["tryTokenScope"]["token"]["trial"]["scope"]["statements"] == [
        {"actions": line["actions"]} for line in item["evidence"]["suggestedStatements"]
    ]
    assert len(await advised(ask, organisation.owner, "OVER_GRANTED")) == 1


async def test_what_is_asked_with_a_token_is_what_its_suggested_scope_allows(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    """From the requests themselves, by way of what is kept of them, to the scope, which lets the same requests pass."""
    token = await aged(organisation, scope=Scope(BuiltInRole.OWNER), last_used_at=None)
    checks = [{"action": "updateOn", "resource": f"proj/web:env/dev:flag/{name};x,y"} for name in "abcdefgh"]
    checks.append({"action": "updateTags", "resource": "proj/app"})
    asking = """query ($checks: [AccessCheckInput!]!) {
      checkAccess(checks: $checks) { allowed } tokens { nodes { id origins { address } } }
    }"""

    async def asked() -> dict[str, Any]:
        caller = await callers.used(organisation.secrets[str(token.id)], organisation.request)
        return await ask(caller, asking, checks=checks)

    before = (await asked())["data"]["checkAccess"]
    await organisation.house.uses.flush()
    item = await follow(ask, served, organisation.owner, "OVER_GRANTED")
    assert item["variables"]["input1"]["scope"]["statements"] == [
        {"effect": "ALLOW", "actions": ["updateOn"], "resources": ["proj/web:env/dev:flag/*"]},
        {"effect": "ALLOW", "actions": ["updateTags"], "resources": ["proj/app"]},
        {"effect": "ALLOW", "actions": ["viewAccessToken"], "resources": EVERY_TOKEN},
        {"effect": "ALLOW", "actions": ["viewAccessTokenUse"], "resources": [str(token.resource)]},
        {"effect": "ALLOW", "actions": ["viewProject"], "resources": ["proj/web"]},
    ]
    after = await asked()
    assert "errors" not in after
    assert after["data"]["checkAccess"] == before == {"allowed": [True] * 9}


async def test_a_service_token_is_to_be_replaced_by_a_narrower_one_and_to_end(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    token = await aged(organisation, kind=TokenKind.SERVICE)
    await Token.filter(id=token.id).update(networks=["192.0.2.0/24"])
    await used(token, f"updateOn {FLAG}")
    await follow(ask, served, organisation.owner, "OVER_GRANTED")
    new = await Token.filter(kind=TokenKind.SERVICE).order_by("-id").first()
    assert new
    assert new.id != token.id
    assert (new.networks, new.expires_at) == (["192.0.2.0/24"], token.expires_at)
    assert len(new.scope_policy or []) == 2
    ends_at = (await Token.get(id=token.id)).expires_at
    assert ends_at
    assert ends_at - now() <= timedelta(days=30)


@pytest.mark.parametrize(
    "uses",
    [
        [],
        [f"updateOn {FLAG}", ""],
        ["updateOn"],
        [f"viewFlag {FLAG}", "viewProject proj/web", "updateOn proj/*:env/*:flag/*", "deleteFlag *", "viewFlag *"],
    ],
    ids=["unused", "presented for nothing known", "on nothing known", "all of it"],
)
async def test_a_token_of_which_not_all_is_known_or_all_is_used_is_not_narrowed_too_far(
    organisation: Organisation, ask: Ask, uses: Sequence[str]
) -> None:
    token = await aged(organisation)
    await used(token, *uses)
    found = await advised(ask, organisation.owner, "OVER_GRANTED")
    resources = [line["resources"] for item in found for line in item["evidence"]["suggestedStatements"]]
    assert resources == ([["proj/*:env/*:flag/*"], ["proj/*"]] if uses == ["updateOn"] else [])


async def test_what_was_used_long_ago_is_left_out_and_young_tokens_are_left_alone(
    organisation: Organisation, ask: Ask
) -> None:
    token = await aged(organisation)
    await used(token, f"updateOn {FLAG}")
    await used(token, f"deleteFlag {FLAG}", days_ago=40)
    kept = [
        [line["actions"] for line in item["evidence"]["suggestedStatements"]]
        for days in (30, 60)
        for item in await advised(ask, organisation.owner, "OVER_GRANTED", days=days)
    ]
    assert kept == [[["updateOn"], ["viewProject"]], [["deleteFlag", "updateOn"], ["viewProject"]]]
    assert await advised(ask, organisation.owner, "OVER_GRANTED", days=101) == []
    answer = await ask(organisation.owner, ADVICE, days=0)
    assert answer["errors"][0]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.SERVICE, TokenKind.ACCOUNT])
async def test_a_token_that_several_programs_use_is_to_be_replaced_by_one_for_each(
    organisation: Organisation, ask: Ask, served: Served, kind: TokenKind
) -> None:
    token = await aged(organisation, kind=kind, name="shared")
    await came(token, *PROGRAMS[:3])
    assert await advised(ask, organisation.owner, "SHARED") == []
    await came(token, PROGRAMS[3], most=10)
    await used(token, f"updateOn {FLAG}")
    item = await follow(ask, served, organisation.owner, "SHARED")
    assert item["severity"] == "HIGH"
    assert item["evidence"]["programs"] == ["curl", "terraform", "ci"]
    made = await Token.filter(name__startswith="shared: ").order_by("id")
    assert [each.name for each in made] == ["shared: curl", "shared: terraform", "shared: ci"]
    assert {each.kind for each in made} == {TokenKind.SERVICE if kind is TokenKind.SERVICE else TokenKind.PERSONAL}
    assert all(len(each.scope_policy or []) == 2 for each in made)
    again = await served(organisation.owner, item["mutation"], **item["variables"])
    assert {error["extensions"]["code"] for error in again["errors"]} == {"CONFLICT"}
    assert await Token.filter(name__startswith="shared: ").count() == 3


async def test_a_token_used_from_several_networks_is_to_be_replaced_by_one_for_each(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    token = await aged(organisation, name="shared")
    await came(token, *NETWORKS)
    await follow(ask, served, organisation.owner, "SHARED")
    made = await Token.filter(name__startswith="shared: ").order_by("id")
    assert [each.networks for each in made] == [[f"192.0.{n}.0/24"] for n in range(5)]
    assert made[0].scope_policy == token.scope_policy


async def test_what_replaces_a_token_is_no_wider_and_ends_when_the_account_says(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    week_s = 7 * 86400
    token = await aged(organisation, kind=TokenKind.ACCOUNT, name="Müller", networks=["192.0.0.0/28", "192.0.1.0/24"])
    lifetimes = LifetimesChange({TokenKind.PERSONAL: {"maximumS": week_s}}, notice_s=0)
    await accounts.update(organisation.owner, AccountChange(lifetimes=lifetimes), Said())
    await came(token, *NETWORKS)
    organisation.owner = await again(organisation)
    await follow(ask, served, organisation.owner, "SHARED")
    made = await Token.filter(name__startswith="Müller: ").order_by("id")
    assert [each.networks for each in made[:3]] == [["192.0.0.0/28"], ["192.0.1.0/24"], token.networks]
    assert all(each.expires_at and each.expires_at <= now() + timedelta(seconds=week_s) for each in made)


async def test_of_anothers_shared_token_or_one_that_may_do_it_all_only_the_end_is_offered(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    await came(await aged(organisation, writer), *PROGRAMS)
    item = await follow(ask, served, organisation.owner, "SHARED")
    assert list(item["variables"]) == ["input1"]
    await came(await aged(organisation, scope=Scope(BuiltInRole.ADMIN)), *PROGRAMS)
    item = await follow(ask, served, organisation.owner, "SHARED")
    assert list(item["variables"]) == ["input1"]


@pytest.mark.parametrize("uses", [[], ["updateOn"]], ids=["unknown", "narrower"])
async def test_what_ceilings_bind_is_not_replaced_by_what_they_do_not(
    organisation: Organisation, ask: Ask, served: Served, uses: Sequence[str]
) -> None:
    viewing = {"effect": "allow", "actions": ["view*"], "resources": ["*"]}
    maker = await organisation.token(organisation.owner, Scope(statements=[viewing, OWN]))
    token = await aged(organisation, maker)
    await came(token, *PROGRAMS)
    await used(token, *uses)
    item = await follow(ask, served, organisation.owner, "SHARED")
    assert list(item["variables"]) == ["input1"]


async def test_uses_long_ago_share_nothing(organisation: Organisation, ask: Ask) -> None:
    token = await aged(organisation)
    await came(token, *PROGRAMS, days_ago=31)
    assert await advised(ask, organisation.owner, "SHARED") == []


async def test_a_scope_beyond_its_owners_rights_is_to_lose_what_is_dead(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.member
    within = await aged(organisation, writer, Scope(BuiltInRole.READER))
    token = await aged(organisation, writer, Scope(BuiltInRole.ADMIN))
    (item,) = await advised(ask, organisation.owner, "EXCEEDS_OWNER")
    assert item["token"]["id"] == global_id("Token", token.id) != global_id("Token", within.id)
    assert item["variables"]["input1"]["scope"] == {"builtInRole": "WRITER"}
    assert item["member"] == {"id": global_id("Member", writer.member.id)}
    assert {each["limitedBy"] for each in item["evidence"]["exceeding"]} == {"OWNER"}
    await follow(ask, served, organisation.owner, "EXCEEDS_OWNER")
    allows = {
        "effect": "allow",
        "actions": ["updateOn", "viewProject"],
        "resources": ["proj/web", "proj/web:env/*:flag/*"],
    }
    role = await organisation.role("web", allows)
    own = await organisation.role("own", OWN)
    await aged(organisation, await organisation.session(await organisation.member(custom=[role, own])))
    item = await follow(ask, served, organisation.owner, "EXCEEDS_OWNER")
    assert item["variables"]["input1"]["scope"] == {
        "statements": [
            {"effect": "ALLOW", "actions": ["updateOn"], "resources": ["proj/web:env/*:flag/*"]},
            {"effect": "ALLOW", "actions": ["viewProject"], "resources": ["proj/web"]},
        ]
    }


async def test_members_get_advice_on_their_own_tokens_and_those_who_may_on_all_that_they_see(
    organisation: Organisation, ask: Ask
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    other = await organisation.as_role(BuiltInRole.WRITER)
    own = await aged(organisation, writer, last_used_at=None, name="own")
    await aged(organisation, other, last_used_at=None, name="other")
    await aged(organisation, kind=TokenKind.SERVICE, last_used_at=None, name="robot")
    await organisation.role("empty", {"effect": "allow", "actions": ["*"], "resources": ["member/*"]})
    everything = {"effect": "allow", "actions": ["*"], "resources": ["*"]}
    blind = await organisation.role(
        "blind",
        everything,
        {"effect": "deny", "actions": ["viewAccessTokenUse"], "resources": ["service-token/*"]},
        {"effect": "deny", "actions": ["viewAccessToken"], "resources": [f"member/{own.owner_id}:token/*"]},
        {"effect": "deny", "actions": ["viewRolePolicy"], "resources": ["role/empty"]},
    )
    auditor = await organisation.session(await organisation.member(custom=[blind]))
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    told = {}
    for name, caller in (("writer", writer), ("auditor", auditor), ("admin", admin)):
        items = await advised(ask, caller, "NEVER_USED", "EMPTY_ROLE")
        told[name] = [(item["token"] or item["role"]).get("name", "role") for item in items]
    assert told == {"writer": ["own"], "auditor": ["other"], "admin": ["robot", "other", "own", "role"]}
    robot = await organisation.token(organisation.owner, Scope(BuiltInRole.WRITER), TokenKind.SERVICE)
    for caller in (await organisation.as_role(BuiltInRole.NO_ACCESS), robot):
        answer = await ask(caller, ADVICE)
        assert [error["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_who_may_not_see_the_words_of_a_role_is_suggested_none_of_them(
    organisation: Organisation, ask: Ask
) -> None:
    role = await organisation.role("flags", *(SCOPE.statements or []))
    holder = await organisation.session(await organisation.member(custom=[role, await organisation.role("own", OWN)]))
    token = await aged(organisation, holder, Scope(custom_roles=["flags"]))
    await used(token, f"updateOn {FLAG}")
    assert await advised(ask, holder, "OVER_GRANTED") == []
    assert len(await advised(ask, organisation.owner, "OVER_GRANTED")) == 1


async def test_pages_fit_together_both_ways(organisation: Organisation, ask: Ask) -> None:
    for number in range(4):
        await aged(organisation, last_used_at=None, expires_at=None, name=str(number))
    await organisation.role("empty", {"effect": "allow", "actions": ["*"], "resources": ["member/*"]})
    whole = await advised(ask, organisation.owner)
    names = [(item["kind"], item["token"] and item["token"]["name"]) for item in whole]
    assert names == [
        *(("NEVER_USED", str(number)) for number in (3, 2, 1, 0)),
        *(("NO_EXPIRY", str(number)) for number in (3, 2, 1, 0)),
        ("EMPTY_ROLE", None),
    ]
    for size in (1, 2, 3, 9):
        for forward in (True, False):
            listed: list[dict[str, Any]] = []
            at = None
            for _ in range(10):
                window = {"first": size, "after": at} if forward else {"last": size, "before": at}
                page = (await ask(organisation.owner, ADVICE, **window))["data"]["advice"]
                listed = [*listed, *page["nodes"]] if forward else [*page["nodes"], *listed]
                info = page["pageInfo"]
                at = info["endCursor" if forward else "startCursor"]
                if not info["hasNextPage" if forward else "hasPreviousPage"]:
                    break
            assert [(node["kind"], node["token"]) for node in listed] == [
                (item["kind"], item["token"]) for item in whole
            ]
    assert page["totalCount"] is None


async def test_a_page_is_within_what_a_request_may_cost(organisation: Organisation, served: Served) -> None:
    await aged(organisation, last_used_at=None)
    answer = await served(organisation.owner, ADVICE)
    assert [node["kind"] for node in answer["data"]["advice"]["nodes"]] == ["NEVER_USED"]


async def test_a_request_proves_only_so_much_and_the_next_goes_on(
    organisation: Organisation, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "STEPS", 199_990)
    for _ in range(3):
        await used(await aged(organisation), f"updateOn {FLAG}")
    found, at, pages = [], None, 0
    while pages < 10:
        asking = await again(organisation)
        page = (await ask(asking, ADVICE, kinds=["OVER_GRANTED"], after=at))["data"]["advice"]
        found += page["nodes"]
        at, pages = page["pageInfo"]["endCursor"], pages + 1
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages > 1
    assert len({item["token"]["id"] for item in found}) == len(found) == 3


async def test_what_is_asked_for_when_nothing_is_left_to_prove_with_stays_where_it_was(
    organisation: Organisation, ask: Ask
) -> None:
    for _ in range(2):
        await used(await aged(organisation), f"updateOn {FLAG}")
    whole = await ask(await again(organisation), ADVICE, kinds=["OVER_GRANTED"])
    first, last = (edge["cursor"] for edge in whole["data"]["advice"]["edges"])
    for window in ({"first": 1, "after": first}, {"last": 1, "before": last}):
        asking = await again(organisation)
        asking.request.allowance.takes(MAX_STEPS)
        page = (await ask(asking, ADVICE, kinds=["OVER_GRANTED"], **window))["data"]["advice"]
        info = page["pageInfo"]
        assert (page["nodes"], info["endCursor" if "first" in window else "startCursor"]) == ([], [*window.values()][1])


async def test_following_any_advice_never_lowers_the_score_and_no_bad_token_raises_it(
    organisation: Organisation, ask: Ask, served: Served
) -> None:
    random = Random(5)  # noqa: S311 - a search, not a secret
    scopes = [SCOPE, Scope(BuiltInRole.ADMIN), Scope(BuiltInRole.WRITER)]
    writer = await organisation.as_role(BuiltInRole.WRITER)
    scores = [await score(organisation)]
    for number in range(16):
        kind = random.choice([TokenKind.PERSONAL, TokenKind.SERVICE, TokenKind.ACCOUNT])
        token = await aged(
            organisation,
            writer if kind is TokenKind.PERSONAL and number % 2 else organisation.owner,
            random.choice(scopes),
            kind=kind,
            last_used_at=random.choice([None, ago(1), ago(91)]),
            expires_at=random.choice([None, now() + timedelta(days=7), now() + YEAR]),
            name=str(number),
        )
        if random.random() < 0.5:
            await used(token, f"updateOn {FLAG}")
            await came(token, *random.sample([*PROGRAMS, *NETWORKS], 5))
        scores.append(await score(organisation))
    counted = ("ACCOUNT_TOKEN_USED", "ACCOUNT_TOKEN_UNUSED", "UNUSED", "NEVER_USED", "UNATTENDED", "NO_EXPIRY")
    bad = {item["token"]["name"] for item in await advised(ask, organisation.owner, *counted, first=100)}
    assert len(bad) > 5
    assert all(after <= before for n, (before, after) in enumerate(pairwise(scores)) if str(n) in bad)
    followed: set[str] = set()
    for _ in range(100):
        owner = await again(organisation)
        items = [item for item in await advised(ask, owner, first=100) if str(item["variables"]) not in followed]
        if not items:
            break
        item = random.choice(items)
        followed.add(str(item["variables"]))
        await served(owner, item["mutation"], **item["variables"])
        scores.append(await score(organisation))
        assert scores[-1] >= scores[-2], item
    assert len(followed) > 10
    assert scores[-1] > scores[16]


async def score(organisation: Organisation) -> int:
    return (await scoring.reckoned(organisation.account, now())).score


async def test_advice_on_many_tokens_takes_as_many_statements_as_on_few(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    counts = []
    for many in (2, 18):
        for _ in range(many):
            token = await aged(organisation, last_used_at=ago(1), expires_at=None)
            await used(token, f"updateOn {FLAG}")
            await came(token, *PROGRAMS)
        owner = await again(organisation)
        statements.clear()
        items = await advised(ask, owner, first=100)
        counts.append(len(statements))
    assert len(items) > 40
    assert counts[1] <= counts[0] < 40, counts


async def test_what_made_and_ended_things_may_make_and_end_others(organisation: Organisation, ask: Ask) -> None:
    token = await aged(organisation, scope=Scope(BuiltInRole.ADMIN))
    ids = [new_id() for _ in range(3)]
    await used(token, *(f"{verb}AccessToken service-token/{each}" for verb in ("create", "delete") for each in ids))
    await used(token, f"updateAccessTokenName service-token/{ids[0]}")
    answer = await ask(await again(organisation), ADVICE, kinds=["OVER_GRANTED"])
    assert answer["data"]["advice"]["nodes"][0]["evidence"]["suggestedStatements"] == [
        {"effect": "ALLOW", "actions": actions, "resources": [resource]}
        for actions, resource in (
            (["createAccessToken", "deleteAccessToken"], "service-token/*"),
            (["updateAccessTokenName"], f"service-token/{ids[0]}"),
        )
    ]


async def test_asking_for_advice_counts_as_all_that_it_takes(organisation: Organisation, ask: Ask) -> None:
    made = await organisation.made(organisation.owner, Scope(BuiltInRole.ADMIN))
    caller = await callers.used(made.secret or "", organisation.request)
    await ask(caller, ADVICE)
    await organisation.house.uses.flush()
    known = {access.action for access in await TokenAccess.filter(token_id=made.row.id)}
    assert {"viewAdvice", "viewAccessToken", "viewAccessTokenUse"} <= known
