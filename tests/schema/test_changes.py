"""Mutations: one refusal spoils no other answer, what is left out stays, and bad input is named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.vocabulary import BuiltInRole
from models import AuditEntry, TokenKind
from resolvers import members
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask

ON_WEB = [
    {"effect": "ALLOW", "actions": ["viewProject"], "resources": ["proj/web"]},
    {"effect": "ALLOW", "actions": ["updateOn"], "resources": ["proj/web:env/*:flag/*"]},
]
CREATE = """mutation($input: CreateTokenInput!) { createToken(input: $input) {
  secret token { id name description kind state expiresAt version
    scope { kind builtInRole customRoles { key } statements { effect actions notActions resources notResources } } }
  auditEntry { sequence comment }
} }"""
UPDATE = """mutation($input: UpdateTokenInput!) { updateToken(input: $input) {
  token { name description expiresAt version scope { kind builtInRole statements { effect } } } auditEntry { sequence }
} }"""


async def test_a_token_is_made_as_asked(organisation: Organisation, ask: Ask) -> None:
    at = "2040-01-31T12:00:00+00:00"
    wanted = {"name": "ci", "scope": {"statements": ON_WEB}, "expiresAt": at, "comment": "for the build"}
    made = (await ask(organisation.owner, CREATE, input=wanted))["data"]["createToken"]
    head = await AuditEntry.all().order_by("-sequence").first()
    assert head
    assert made.pop("secret").startswith("lkp_")
    assert made["token"].pop("id")
    assert made == {
        "token": {
            "name": "ci",
            "description": "",
            "kind": "PERSONAL",
            "state": "ACTIVE",
            "expiresAt": at,
            "version": 1,
            "scope": {
                "kind": "INLINE",
                "builtInRole": None,
                "customRoles": None,
                "statements": [{**line, "notActions": None, "notResources": None} for line in ON_WEB],
            },
        },
        "auditEntry": {"sequence": head.sequence, "comment": "for the build"},
    }


async def test_the_first_answers_with_its_secret_though_the_second_is_refused(
    organisation: Organisation, ask: Ask
) -> None:
    query = """mutation($scope: ScopeInput!) {
      first: createToken(input: {name: "a", scope: $scope}) { secret }
      second: createToken(input: {name: "", scope: $scope}) { secret }
      third: createToken(input: {name: "c", scope: $scope}) { secret }
    }"""
    answer = await ask(organisation.owner, query, scope={"builtInRole": "READER"})
    data = answer["data"]
    assert data["second"] is None
    assert all(data[name]["secret"].startswith("lkp_") for name in ("first", "third"))
    (error,) = answer["errors"]
    assert (error["code"], error["field"], error["path"]) == ("BAD_USER_INPUT", "name", ["second"])


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ({"builtInRole": "READER"}, {"kind": "BUILT_IN", "builtInRole": "READER", "customRoles": None}),
        ({"customRoles": ["ci"]}, {"kind": "CUSTOM_ROLES", "builtInRole": None, "customRoles": [{"key": "ci"}]}),
        ({"statements": []}, {"kind": "INLINE", "builtInRole": None, "customRoles": None}),
    ],
)
async def test_a_scope_is_one_of_three(
    organisation: Organisation, ask: Ask, scope: dict[str, Any], shown: dict[str, Any]
) -> None:
    await organisation.role("ci", {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]})
    made = (await ask(organisation.owner, CREATE, input={"name": "t", "scope": scope}))["data"]["createToken"]
    assert made["token"]["scope"] == {**shown, "statements": scope.get("statements")}


async def test_what_is_left_out_stays_and_null_clears(organisation: Organisation, ask: Ask) -> None:
    made = await organisation.made(
        organisation.owner, name="n", description="d", expires_at=datetime(2040, 1, 1, tzinfo=UTC)
    )
    id_ = global_id("Token", made.row.id)

    async def update(**wanted: Any) -> dict[str, Any]:
        token: dict[str, Any] = (await ask(organisation.owner, UPDATE, input={"id": id_, **wanted}))["data"][
            "updateToken"
        ]["token"]
        return token

    scope = {"kind": "BUILT_IN", "builtInRole": "OWNER", "statements": None}
    token = {"name": "N", "description": "d", "expiresAt": "2040-01-01T00:00:00+00:00", "version": 2, "scope": scope}
    assert await update(name="N") == token
    assert await update(description=None) == {**token, "description": "", "version": 3}
    assert await update(expiresAt=None) == {**token, "description": "", "expiresAt": None, "version": 4}
    narrowed = {"kind": "BUILT_IN", "builtInRole": "READER", "statements": None}
    assert (await update(scope={"builtInRole": "READER"}))["scope"] == narrowed


async def test_a_null_where_none_is_taken_is_refused(organisation: Organisation, ask: Ask) -> None:
    made = await organisation.made(organisation.owner, name="n")
    answer = await ask(organisation.owner, UPDATE, input={"id": global_id("Token", made.row.id), "name": None})
    assert answer["data"] == {"updateToken": None}
    assert [error["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_another_version_than_expected_is_a_conflict(organisation: Organisation, ask: Ask) -> None:
    made = await organisation.made(organisation.owner, name="n")
    wanted = {"id": global_id("Token", made.row.id), "name": "N", "expectedVersion": 7}
    answer = await ask(organisation.owner, UPDATE, input=wanted)
    (error,) = answer["errors"]
    assert (error["code"], error["field"], error["currentVersion"]) == ("CONFLICT", "expectedVersion", 1)
    answer = await ask(organisation.owner, UPDATE, input={**wanted, "expectedVersion": 1})
    assert answer["data"]["updateToken"]["token"]["version"] == 2


async def test_a_key_used_twice_makes_nothing_twice(organisation: Organisation, ask: Ask) -> None:
    wanted = {"name": "n", "scope": {"builtInRole": "READER"}, "idempotencyKey": "once"}
    assert (await ask(organisation.owner, CREATE, input=wanted))["data"]["createToken"]
    answer = await ask(organisation.owner, CREATE, input=wanted)
    assert answer["data"] == {"createToken": None}
    assert (answer["errors"][0]["code"], answer["errors"][0]["field"]) == ("CONFLICT", "idempotencyKey")
    listed = await ask(organisation.owner, "{ tokens { totalCount } }")
    assert listed["data"]["tokens"]["totalCount"] == 1


async def test_scope_beyond_the_owner_is_shown_while_it_is_dead(organisation: Organisation, ask: Ask) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.member
    lines = [{**line, "effect": "allow"} for line in ON_WEB]
    token = await organisation.token(writer, Scope(statements=lines))
    query = """{ viewer { token {
      exceedsOwner { role index limitedBy statement { actions } } effectiveScope { side name }
    } } }"""
    sides = [{"side": "SCOPE", "name": "inline"}, {"side": "OWNER", "name": "writer"}]
    shown = await ask(token, query)
    assert shown == {"data": {"viewer": {"token": {"exceedsOwner": [], "effectiveScope": sides}}}}
    await members.assign_roles(organisation.owner, writer.member.id, Grant(BuiltInRole.READER), Said())
    again = await organisation.identify(organisation.secrets[str(token.token.id)])  # type: ignore[union-attr]
    dead = {"role": "inline", "index": 1, "limitedBy": "OWNER", "statement": {"actions": ["updateOn"]}}
    sides[1]["name"] = "reader"
    shown = await ask(again, query)
    assert shown == {"data": {"viewer": {"token": {"exceedsOwner": [dead], "effectiveScope": sides}}}}


async def test_viewer_can_says_beforehand_what_would_be_refused(organisation: Organisation, ask: Ask) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    made = await organisation.made(writer, name="n")
    query = "query($id: ID!) { token(id: $id) { viewerCanRevoke viewerCanReset viewerCanUpdate } }"
    id_ = global_id("Token", made.row.id)

    def can(revoke: bool, reset: bool, update: bool) -> dict[str, Any]:
        shown = {"viewerCanRevoke": revoke, "viewerCanReset": reset, "viewerCanUpdate": update}
        return {"data": {"token": shown}}

    assert await ask(writer, query, id=id_) == can(revoke=True, reset=True, update=True)
    assert await ask(admin, query, id=id_) == can(revoke=True, reset=False, update=True)
    revoked = await ask(admin, "mutation($id: ID!) { revokeToken(input: {id: $id}) { token { state } } }", id=id_)
    assert revoked == {"data": {"revokeToken": {"token": {"state": "REVOKED"}}}}
    assert await ask(writer, query, id=id_) == can(revoke=False, reset=False, update=True)


BAD_TOKENS = [
    ({"name": ""}, "name"),
    ({"name": "x" * 300}, "name"),
    ({"expiresAt": "2001-01-01T00:00:00Z"}, "expiresAt"),
    ({"expiresAt": "2040-01-01T00:00:00"}, "expiresAt"),
    ({"kind": "ACCOUNT"}, "kind"),
    ({"comment": "x" * 2000}, "comment"),
    ({"idempotencyKey": "é"}, "idempotencyKey"),
    ({"scope": {"customRoles": []}}, "scope.customRoles"),
    ({"scope": {"customRoles": ["none"]}}, "scope.customRoles[0]"),
    ({"scope": {"statements": [{**ON_WEB[0], "actions": ["fly"]}]}}, "scope.statements[0].actions[0]"),
    ({"scope": {"statements": [{**ON_WEB[0], "notActions": ["updateOn"]}]}}, "scope.statements[0].notActions"),
    ({"scope": {"statements": [{**ON_WEB[0], "resources": ["proj//"]}]}}, "scope.statements[0].resources[0]"),
    ({"scope": {"statements": [{"effect": "ALLOW", "actions": ["*"]}]}}, "scope.statements[0].resources"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD_TOKENS, ids=[field for _, field in BAD_TOKENS])
async def test_bad_input_is_refused_by_its_name_and_changes_nothing(
    organisation: Organisation, ask: Ask, wrong: dict[str, Any], field: str
) -> None:
    entries = await AuditEntry.all().count()
    answer = await ask(organisation.owner, CREATE, input={"name": "t", "scope": {"builtInRole": "READER"}, **wrong})
    assert answer["data"] == {"createToken": None}
    (error,) = answer["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", field)
    assert await AuditEntry.all().count() == entries


async def test_a_roles_statements_are_named_where_they_are_wrong(organisation: Organisation, ask: Ask) -> None:
    query = "mutation($input: CreateRoleInput!) { createRole(input: $input) { role { key } } }"
    for wrong, field in (
        ({"key": "x" * 300}, "key"),
        ({"key": "Upper"}, "key"),
        ({"statements": [{**ON_WEB[0], "actions": ["fly"]}]}, "statements[0].actions[0]"),
    ):
        answer = await ask(organisation.owner, query, input={"key": "k", "name": "n", "statements": ON_WEB, **wrong})
        assert [(error["code"], error["field"]) for error in answer["errors"]] == [("BAD_USER_INPUT", field)]


async def test_signing_in_gives_a_bearer_once(organisation: Organisation, ask: Ask) -> None:
    link = (await members.invite(organisation.owner, "ada@main.example", None, Grant(), Said())).secret
    assert link
    accept = "mutation($input: AcceptInviteInput!) { acceptInvite(input: $input) { member { name state } } }"
    secret = link.rpartition("/")[2]
    accepted = await ask(None, accept, input={"secret": secret, "password": "a long password", "name": "Ada"})
    assert accepted == {"data": {"acceptInvite": {"member": {"name": "Ada", "state": "ACTIVE"}}}}
    sign_in = "mutation($input: SignInInput!) { signIn(input: $input) { secret session { id current address } } }"
    wanted = {"email": "ada@main.example", "password": "a long password"}
    answer = (await ask(None, sign_in, input=wanted))["data"]["signIn"]
    caller = await organisation.identify(answer["secret"])
    assert caller.token
    session = {"id": global_id("Session", caller.token.id), "current": False, "address": "192.0.2.1"}
    assert answer["session"] == session
    assert await ask(caller, "{ viewer { session { id current address } } }") == {
        "data": {"viewer": {"session": {**session, "current": True}}}
    }
    refused = await ask(None, sign_in, input={**wanted, "password": "another password"})
    assert refused["data"] == {"signIn": None}
    assert [error["code"] for error in refused["errors"]] == ["UNAUTHENTICATED"]


async def test_lists_are_filtered_as_asked(organisation: Organisation, ask: Ask) -> None:
    role = await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    await organisation.role("cd", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    holder = await organisation.member(custom=(role,), name="Grace 100%")
    asleep = await organisation.member(BuiltInRole.WRITER, name="Alan_T")
    made = await organisation.made(await organisation.session(asleep), name="theirs")
    await members.suspend(organisation.owner, asleep.id, Said())
    await organisation.made(organisation.owner, name="mine")

    async def names(field: str, input_type: str, **wanted: Any) -> list[str]:
        query = f"query($filter: {input_type}) {{ {field}(filter: $filter) {{ nodes {{ name }} }} }}"
        answer = await ask(organisation.owner, query, filter=wanted)
        return [node["name"] for node in answer["data"][field]["nodes"]]

    for wanted, found in (
        ({"state": "SUSPENDED"}, ["Alan_T"]),
        ({"baseRole": "OWNER"}, ["Owner"]),
        ({"role": "ci"}, ["Grace 100%"]),
        ({"role": "none"}, []),
        ({"email": holder.email.upper()}, ["Grace 100%"]),
        ({"text": "gRAce"}, ["Grace 100%"]),
        ({"text": "0%"}, ["Grace 100%"]),
        ({"text": "_"}, ["Alan_T"]),
        ({}, ["Alan_T", "Grace 100%", "Owner"]),
    ):
        assert await names("members", "MemberFilterInput", **wanted) == found, wanted
    by_token: list[tuple[dict[str, Any], list[str]]] = [
        ({"state": "OWNER_INACTIVE"}, ["theirs"]),
        ({"state": "ACTIVE"}, ["mine"]),
        ({"state": "REVOKED"}, []),
        ({"kind": "SERVICE"}, []),
        ({"owner": global_id("Member", asleep.id)}, ["theirs"]),
        ({"creator": global_id("Member", asleep.id), "text": "HEIR"}, ["theirs"]),
        ({"parent": global_id("Token", made.row.id)}, []),
        ({"builtInRole": "OWNER", "hasNoExpiry": True, "neverUsed": True}, ["mine", "theirs"]),
        ({"role": "ci"}, []),
        ({"createdFrom": "2020-01-01T00:00:00Z", "createdBefore": "2020-01-02T00:00:00Z"}, []),
        ({"lastUsedFrom": "2020-01-01T00:00:00Z", "lastUsedBefore": "2990-01-02T00:00:00Z"}, []),
        ({}, ["mine", "theirs"]),
    ]
    for wanted, found in by_token:
        assert await names("tokens", "TokenFilterInput", **wanted) == found, wanted
    assert await names("roles", "RoleFilterInput", text="CI") == ["Ci"]
    members_of = '{ role(key: "ci") { members { totalCount nodes { name } } } }'
    listed = await ask(organisation.owner, members_of)
    assert listed["data"]["role"]["members"] == {"totalCount": 1, "nodes": [{"name": "Grace 100%"}]}
    assert made.row.owner_id == asleep.id


async def test_the_catalogue_shows_all_kinds_and_takes_new_ones(organisation: Organisation, ask: Ask) -> None:
    define = """mutation($input: DefineResourceKindInput!) { defineResourceKind(input: $input) {
      resourceKind {
        id key name parents properties taggable singleton own version actions { key mark description gate }
      }
    } }"""
    wanted = {
        "key": "plan",
        "name": "Plan",
        "parents": ["proj"],
        "properties": ["nightly"],
        "taggable": True,
        "actions": [{"key": "runPlan", "mark": "WRITE", "description": "Run it."}],
    }
    defined = await ask(organisation.owner, define, input=wanted)
    assert defined["data"]["defineResourceKind"]["resourceKind"] == {
        **wanted,
        "id": global_id("ResourceKind", "plan"),
        "singleton": False,
        "own": False,
        "version": 1,
        "actions": [{"key": "runPlan", "mark": "WRITE", "description": "Run it.", "gate": False}],
    }
    own = await ask(organisation.owner, "{ catalogue(own: true) { key own version } }")
    assert [kind["key"] for kind in own["data"]["catalogue"]] == [
        "acct",
        "member",
        "token",
        "service-token",
        "account-token",
        "role",
        "kind",
        "gate",
        "token-job",
        "webhook",
    ]
    theirs = await ask(organisation.owner, "{ catalogue(own: false) { key } }")
    assert [kind["key"] for kind in theirs["data"]["catalogue"]] == ["env", "flag", "plan", "proj"]


RULES = """mutation($input: UpdateAccountInput!) { updateAccount(input: $input) {
  shortenedTokens auditEntry { before after } account { maxTokens maxMemberTokens revokesReused
    tokenLifetimes { personal { ...of } service { ...of } } } } }
fragment of on TokenLifetime { maximumS defaultS expiryRequired }"""


async def test_the_rules_for_tokens_tell_absent_null_and_value_apart(organisation: Organisation, ask: Ask) -> None:
    nothing = {"maximumS": None, "defaultS": None, "expiryRequired": False}
    expected: dict[str, Any] = {
        "maxTokens": None,
        "maxMemberTokens": None,
        "revokesReused": False,
        "tokenLifetimes": {"personal": nothing, "service": nothing},
    }
    personal = {"maximumS": 864000, "defaultS": 86400, "expiryRequired": False}
    steps: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({"maxTokens": 9, "maxMemberTokens": 4}, {"maxTokens": 9, "maxMemberTokens": 4}),
        ({"maxTokens": None, "revokesReused": True}, {"maxTokens": None, "revokesReused": True}),
        (
            {"tokenLifetimes": {"personal": {"maximumS": 864000, "defaultS": 86400}}},
            {"tokenLifetimes": {"personal": personal, "service": nothing}},
        ),
        (
            {"tokenLifetimes": {"personal": {"defaultS": None}, "service": {"expiryRequired": True}}},
            {
                "tokenLifetimes": {
                    "personal": {**personal, "defaultS": None},
                    "service": {**nothing, "expiryRequired": True},
                }
            },
        ),
        (
            {"tokenLifetimes": {"service": None}},
            {"tokenLifetimes": {"personal": {**personal, "defaultS": None}, "service": nothing}},
        ),
        ({"tokenLifetimes": None}, {"tokenLifetimes": {"personal": nothing, "service": nothing}}),
    )
    for wanted, becomes in steps:
        expected |= becomes
        done = (await ask(organisation.owner, RULES, input=wanted))["data"]["updateAccount"]
        assert done["account"] == expected
        assert done["auditEntry"]["before"] != done["auditEntry"]["after"]
    for name in ("revokesReused", "maxTokens"):
        wrong = {name: None if name == "revokesReused" else -1}
        assert [error["code"] for error in (await ask(organisation.owner, RULES, input=wrong))["errors"]] == [
            "BAD_USER_INPUT"
        ]
    bad = {"tokenLifetimes": {"personal": {"maximumS": 1}}}
    (error,) = (await ask(organisation.owner, RULES, input=bad))["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "tokenLifetimes.personal.maximumS")


async def test_lifetimes_are_previewed_before_they_are_set(organisation: Organisation, ask: Ask) -> None:
    for name in ("a", "b"):
        await organisation.made(organisation.owner, name=name)
    preview = """query($wanted: TokenLifetimesInput!, $after: String) { tokensBeyond(tokenLifetimes: $wanted) {
      count tokens(first: 1, after: $after) { totalCount pageInfo { endCursor hasNextPage }
        nodes { expiresAt token { name expiresAt } } } } }"""
    wanted = {"personal": {"maximumS": 86400}, "noticeS": 0}
    after, seen = None, []
    for more in (True, False):
        beyond = (await ask(organisation.owner, preview, wanted=wanted, after=after))["data"]["tokensBeyond"]
        assert (beyond["count"], beyond["tokens"]["totalCount"]) == (2, 2)
        assert beyond["tokens"]["pageInfo"]["hasNextPage"] is more
        after = beyond["tokens"]["pageInfo"]["endCursor"]
        seen += beyond["tokens"]["nodes"]
    assert [node["token"] for node in seen] == [{"name": name, "expiresAt": None} for name in ("a", "b")]
    ahead = datetime.fromisoformat(seen[0]["expiresAt"]) - datetime.now(UTC)
    assert 86000 < ahead.total_seconds() <= 86400
    done = await ask(organisation.owner, RULES, input={"tokenLifetimes": wanted})
    assert done["data"]["updateAccount"]["shortenedTokens"] == 2
    (error,) = (await ask(organisation.owner, preview, wanted={"noticeS": -1}))["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "tokenLifetimes.noticeS")


async def test_an_end_left_out_null_and_given_are_three_things(organisation: Organisation, ask: Ask) -> None:
    await ask(organisation.owner, RULES, input={"tokenLifetimes": {"personal": {"defaultS": 86400}}})

    async def ends(**wanted: Any) -> str | None:
        answer = await ask(organisation.owner, CREATE, input={"name": "t", "scope": {"statements": []}, **wanted})
        end: str | None = answer["data"]["createToken"]["token"]["expiresAt"]
        return end

    assert await ends()
    assert await ends(expiresAt=None) is None
    assert await ends(expiresAt="2040-01-01T00:00:00Z") == "2040-01-01T00:00:00+00:00"
    await ask(organisation.owner, RULES, input={"maxMemberTokens": 3})
    answer = await ask(organisation.owner, CREATE, input={"name": "t", "scope": {"statements": []}})
    (error,) = answer["errors"]
    assert (error["code"], error["exceeded"], error["limit"], error["count"]) == ("CONFLICT", "maxMemberTokens", 3, 3)


async def test_who_answers_for_a_service_token_is_shown_and_handed_over(organisation: Organisation, ask: Ask) -> None:
    made = await organisation.made(organisation.owner, kind=TokenKind.SERVICE, name="robot")
    heir = await organisation.member(name="Heir")
    id_ = global_id("Token", made.row.id)
    update = """mutation($input: UpdateTokenInput!) { updateToken(input: $input) {
      token { responsible { name } version } } }"""

    async def handed(**wanted: Any) -> Any:
        return (await ask(organisation.owner, update, input={"id": id_, **wanted}))["data"]["updateToken"]

    owner = {"responsible": {"name": "Owner"}}
    assert await handed(name="bot") == {"token": {**owner, "version": 2}}
    assert await handed(responsibleId=global_id("Member", heir.id)) == {
        "token": {"responsible": {"name": "Heir"}, "version": 3}
    }
    listed = "query($filter: TokenFilterInput) { tokens(filter: $filter) { nodes { name } } }"
    for wanted, found in (
        ({"responsible": global_id("Member", heir.id)}, ["bot"]),
        ({"unattended": True}, []),
        ({"expiresBefore": "2999-01-01T00:00:00Z"}, []),
    ):
        nodes = (await ask(organisation.owner, listed, filter=wanted))["data"]["tokens"]["nodes"]
        assert [node["name"] for node in nodes] == found
    assert await handed(responsibleId=None) == {"token": {"responsible": None, "version": 4}}
    (error,) = (await ask(organisation.owner, update, input={"id": id_, "responsibleId": "x"}))["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "responsibleId")
    (error,) = (await ask(organisation.owner, listed, filter={"expiresFrom": "2999-01-01T00:00:00"}))["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "filter.expiresFrom")


async def test_a_reset_says_until_when_the_old_secret_works(organisation: Organisation, ask: Ask) -> None:
    made = await organisation.made(organisation.owner)
    reset = "mutation($input: ResetTokenInput!) { resetToken(input: $input) { oldSecretExpiresAt secret } }"
    id_ = global_id("Token", made.row.id)
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    done = (await ask(organisation.owner, reset, input={"id": id_, "oldSecretExpiresAt": until}))["data"]["resetToken"]
    assert done["oldSecretExpiresAt"] == until
    assert (await organisation.identify(made)).token
    done = (await ask(organisation.owner, reset, input={"id": id_}))["data"]["resetToken"]
    assert done["oldSecretExpiresAt"] is None
    wrong = {"id": id_, "oldSecretExpiresAt": "2999-01-01T00:00:00Z"}
    (error,) = (await ask(organisation.owner, reset, input=wrong))["errors"]
    assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "oldSecretExpiresAt")
