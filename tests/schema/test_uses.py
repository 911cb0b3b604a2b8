"""How tokens were used, as the schema shows it."""

from datetime import timedelta
from typing import Any

import pytest

from models import Token, TokenAccess, TokenDay, TokenOrigin, now
from resolvers import callers, usage
from resolvers.scopes import Scope
from resolvers.uses import Uses, deed
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask

USES = "{ allowed refused daily { day action allowed refused } }"
ACCESSES = "{ action resource allowed refused trialRefused firstAt lastAt }"
ORIGINS = "{ address userAgent firstUsedAt lastUsedAt uses }"


class Clock:
    def __init__(self) -> None:
        self.at = now()

    def __call__(self) -> float:
        return self.at.timestamp()


async def used(organisation: Organisation) -> tuple[Token, Clock]:
    """A token that was used today, yesterday and 40 days ago."""
    made, clock = await organisation.made(organisation.owner), Clock()
    row: Token = made.row
    uses, today = Uses(clock), clock.at
    for days, allowed, refused in ((40, 1, 0), (1, 2, 0), (0, 3, 1)):
        clock.at = today - timedelta(days=days)
        for yes in (True,) * allowed + (False,) * refused:
            uses.of(row, "192.0.2.7", "curl/8", (deed("updateOn", allowed=yes),)).note()
    uses.of(row, None, None).note()
    await uses.flush()
    return row, clock


async def test_uses_are_shown_by_day_and_action(organisation: Organisation, ask: Ask) -> None:
    row, clock = await used(organisation)
    token = global_id("Token", row.id)
    shown = await ask(
        organisation.owner, f'{{ token(id: "{token}") {{ uses {USES} long: uses(days: 41) {{ allowed }} }} }}'
    )
    today, before = clock.at.date(), clock.at.date() - timedelta(days=1)
    assert shown == {
        "data": {
            "token": {
                "uses": {
                    "allowed": 6,
                    "refused": 1,
                    "daily": [
                        {"day": today.isoformat(), "action": None, "allowed": 1, "refused": 0},
                        {"day": today.isoformat(), "action": "updateOn", "allowed": 3, "refused": 1},
                        {"day": before.isoformat(), "action": "updateOn", "allowed": 2, "refused": 0},
                    ],
                },
                "long": {"allowed": 7},
            }
        }
    }


async def test_origins_are_shown_the_latest_first(organisation: Organisation, ask: Ask) -> None:
    row, clock = await used(organisation)
    shown = await ask(organisation.owner, f'{{ token(id: "{global_id("Token", row.id)}") {{ origins {ORIGINS} }} }}')
    now_, first = clock.at.isoformat(), (clock.at - timedelta(days=40)).isoformat()
    unknown = {"address": None, "userAgent": None, "firstUsedAt": now_, "lastUsedAt": now_, "uses": 1}
    known = {"address": "192.0.2.7", "userAgent": "curl/8", "firstUsedAt": first, "lastUsedAt": now_, "uses": 7}
    origins = shown["data"]["token"]["origins"]
    assert sorted(origins, key=lambda each: each["uses"]) == [unknown, known]


async def test_accesses_are_shown_the_latest_first(organisation: Organisation, ask: Ask) -> None:
    row, clock = await used(organisation)
    uses, begun = Uses(clock), clock.at
    for minutes, resource, allowed in ((0, "proj/web", True), (1, "proj/web;a", False), (2, "proj/web", True)):
        clock.at = begun + timedelta(minutes=minutes)
        uses.of(row, None, None, (deed("viewProject", resource, allowed=allowed),)).note()
        await uses.flush()
    shown = await ask(organisation.owner, f'{{ token(id: "{global_id("Token", row.id)}") {{ accesses {ACCESSES} }} }}')
    at = [(begun + timedelta(minutes=minutes)).isoformat() for minutes in range(3)]
    assert shown["data"]["token"]["accesses"][:2] == [
        {
            "action": "viewProject",
            "resource": "proj/web",
            "allowed": 2,
            "refused": 0,
            "trialRefused": 0,
            "firstAt": at[0],
            "lastAt": at[2],
        },
        {
            "action": "viewProject",
            "resource": "proj/web;a",
            "allowed": 0,
            "refused": 1,
            "trialRefused": 0,
            "firstAt": at[1],
            "lastAt": at[1],
        },
    ]
    assert [each["resource"] for each in shown["data"]["token"]["accesses"][2:]] == ["*"]


async def test_a_trial_is_shown_with_what_it_would_refuse(organisation: Organisation, ask: Ask) -> None:
    sees = {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]}
    emails = {**sees, "actions": ["viewMemberEmail"]}
    made = await organisation.made(organisation.owner, Scope(statements=[sees, emails]))
    token = global_id("Token", made.row.id)
    tried = """mutation { tryTokenScope(input: {id: "%s", scope: {statements: [
        {effect: ALLOW, actions: ["viewMember"], resources: ["member/*"]}
    ]}}) { token { trial { scope { kind statements { actions } } } } auditEntry { before after } } }"""
    shown = await ask(organisation.owner, tried % token)
    payload = shown["data"]["tryTokenScope"]
    scope = {"kind": "INLINE", "statements": [{"actions": ["viewMember"]}]}
    assert payload["token"]["trial"] == {"scope": scope}
    assert payload["auditEntry"]["before"]["trial"] is None
    assert payload["auditEntry"]["after"]["trial"]["policy"] == [sees]
    for _ in range(2):
        caller = await callers.used(made.secret or "", organisation.request)
        answer = await ask(caller, "{ members { nodes { name email } } }")
        assert "errors" not in answer
    await organisation.house.uses.flush()
    asked = f"trial {{ since allowed refused trialRefused wouldRefuse {ACCESSES} }} uses {{ daily {{ trialRefused }} }}"
    shown = await ask(organisation.owner, f'{{ token(id: "{token}") {{ {asked} }} }}')
    trial = shown["data"]["token"]["trial"]
    assert (trial["allowed"], trial["refused"], trial["trialRefused"]) == (4, 0, 2)
    (refused,) = trial["wouldRefuse"]
    assert organisation.owner.member
    assert refused["action"] == "viewMemberEmail"
    assert refused["resource"] == f"member/{organisation.owner.member.id}"
    assert (refused["allowed"], refused["refused"], refused["trialRefused"]) == (2, 0, 2)
    assert sorted(day["trialRefused"] for day in shown["data"]["token"]["uses"]["daily"]) == [0, 2]
    enforced = f'mutation {{ enforceTokenTrial(input: {{id: "{token}"}}) {{ token {{ trial {{ since }} }} }} }}'
    assert await ask(organisation.owner, enforced) == {"data": {"enforceTokenTrial": {"token": {"trial": None}}}}
    caller = await callers.used(made.secret or "", organisation.request)
    (error,) = (await ask(caller, "{ members { nodes { name email } } }"))["errors"]
    assert error["code"] == "FORBIDDEN"


NOTHING = {"builtInRole": None, "customRoles": None, "statements": None}


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("{builtInRole: READER}", {"kind": "BUILT_IN", **NOTHING, "builtInRole": "READER"}),
        ('{customRoles: ["ci"]}', {"kind": "CUSTOM_ROLES", **NOTHING, "customRoles": [{"key": "ci"}]}),
        ("{statements: []}", {"kind": "INLINE", **NOTHING, "statements": []}),
    ],
)
async def test_a_scope_on_trial_is_of_any_kind(
    organisation: Organisation, ask: Ask, scope: str, told: dict[str, object]
) -> None:
    await organisation.role("ci", {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]})
    token = global_id("Token", (await organisation.made(organisation.owner)).row.id)

    async def trying(given: str) -> Any:
        shown = "trial { scope { kind builtInRole customRoles { key } statements { effect } } }"
        wanted = f'input: {{id: "{token}" {given}}}'
        return await ask(organisation.owner, f"mutation {{ tryTokenScope({wanted}) {{ token {{ {shown} }} }} }}")

    tried, ended, left_out = [await trying(given) for given in (f"scope: {scope}", "scope: null", "")]
    assert tried["data"]["tryTokenScope"]["token"] == {"trial": {"scope": told}}
    assert ended["data"]["tryTokenScope"]["token"] == {"trial": None}
    (error,) = left_out["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "scope")


async def test_what_is_refused_at_a_field_counts_on_the_object_it_is_of(organisation: Organisation, ask: Ask) -> None:
    sees = {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]}
    made = await organisation.made(organisation.owner, Scope(statements=[sees]))
    caller = await callers.used(made.secret or "", organisation.request)
    await ask(caller, "{ members { nodes { name email } } }")
    await organisation.house.uses.flush()
    assert organisation.owner.member
    rows = await TokenAccess.filter(token_id=made.row.id).order_by("action")
    assert [(row.action, row.specifier, row.allowed, row.refused) for row in rows] == [
        ("viewMember", "*", 1, 0),
        ("viewMemberEmail", f"member/{organisation.owner.member.id}", 0, 1),
    ]


@pytest.mark.parametrize("asked", ['{ node(id: "$id") { id } }', '{ token(id: "$id") { name } }'])
async def test_what_is_found_by_its_id_counts_as_seen(organisation: Organisation, ask: Ask, asked: str) -> None:
    sees = {"effect": "allow", "actions": ["viewAccessToken"], "resources": ["member/*:token/*"]}
    made = await organisation.made(organisation.owner, Scope(statements=[sees]))
    caller = await callers.used(made.secret or "", organisation.request)
    assert "errors" not in await ask(caller, asked.replace("$id", global_id("Token", made.row.id)))
    await organisation.house.uses.flush()
    rows = await TokenAccess.filter(token_id=made.row.id).exclude(specifier="*")
    assert [(row.action, row.specifier) for row in rows] == [("viewAccessToken", str(made.row.resource))]


async def test_so_many_days_are_shown_and_no_more(organisation: Organisation, ask: Ask) -> None:
    row, _ = await used(organisation)
    for days in (0, -1, usage.DAYS_SHOWN + 1):
        shown = await ask(
            organisation.owner,
            f'{{ token(id: "{global_id("Token", row.id)}") {{ uses(days: {days}) {{ allowed }} }} }}',
        )
        (error,) = shown["errors"]
        assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "days")


async def test_the_latest_lines_are_listed_and_all_are_counted(
    organisation: Organisation, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "LINES_SHOWN", 1)
    row, clock = await used(organisation)
    shown = await ask(organisation.owner, f'{{ token(id: "{global_id("Token", row.id)}") {{ uses {USES} }} }}')
    uses = shown["data"]["token"]["uses"]
    assert (uses["allowed"], uses["refused"]) == (6, 1)
    assert uses["daily"] == [{"day": clock.at.date().isoformat(), "action": None, "allowed": 1, "refused": 0}]


async def test_more_than_an_int_holds_is_shown_as_the_most_it_holds(organisation: Organisation, ask: Ask) -> None:
    row, _ = await used(organisation)
    await TokenDay.filter(token_id=row.id).update(allowed=2**40)
    await TokenOrigin.filter(token_id=row.id).update(uses=2**40)
    shown = await ask(
        organisation.owner, f'{{ token(id: "{global_id("Token", row.id)}") {{ uses {USES} origins {ORIGINS} }} }}'
    )
    token = shown["data"]["token"]
    assert token["uses"]["allowed"] == token["uses"]["daily"][0]["allowed"] == token["origins"][0]["uses"] == 2**31 - 1


async def test_fifty_tokens_show_their_uses_in_one_statement_more(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    uses = Uses()
    for _ in range(50):
        made = await organisation.made(organisation.owner)
        uses.of(made.row, "192.0.2.7", "curl/8").note()
    await uses.flush()
    for asked, most in (
        ("name", 1),
        (f"uses {USES}", 2),
        (f"origins {ORIGINS}", 2),
        (f"uses {USES} origins {ORIGINS} accesses {ACCESSES}", 4),
    ):
        statements.clear()
        shown = await ask(organisation.owner, f"{{ tokens(first: 50) {{ nodes {{ {asked} }} }} }}")
        assert "errors" not in shown
        assert len(shown["data"]["tokens"]["nodes"]) == 50
        assert len(statements) == most, asked
