"""Every input of every update tells apart what is left out, what is null and what has a value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLNonNull, get_nullable_type, is_required_input_field

from core.vocabulary import BuiltInRole
from models import TokenKind
from resolvers import webhooks
from resolvers.webhooks import NewWebhook
from resolvers.writing import Said
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask
from tests.schema.test_surface import TYPES

UPDATES = ("Update", "Assign")
"""How mutations begin that change some of what a thing is, and leave the rest."""
BESIDE = {"comment", "expectedVersion"}
"""What is said beside the change itself."""
REFUSED = object()
"""Null is refused, and the field named."""


@dataclass(frozen=True)
class Case:
    """A value that a field is given, how it shows then and once it is null; and what else is changed without it."""

    value: Any
    null: Any
    shown: Any = None
    without: Mapping[str, Any] | None = None

    @property
    def given(self) -> Any:
        """How the value shows: as it was given, unless said."""
        return self.value if self.shown is None else self.shown


@dataclass(frozen=True)
class Update:
    """A mutation, on what, and how that is read."""

    mutation: str
    id: str
    type: str
    selected: str
    without: Mapping[str, Any]
    """Another change, which leaves all else as it is."""


ON_WEB = {"effect": "ALLOW", "actions": ["viewProject"], "resources": ["proj/web"]}
ENDS = "2040-01-31T12:00:00+00:00"
LIFETIMES = "tokenLifetimes { personal { ...of } service { ...of } }"
OF = " fragment of on TokenLifetime { maximumS defaultS expiryRequired }"
NOTHING = {"maximumS": None, "defaultS": None, "expiryRequired": False}
DAY = {"defaultS": 86400}


def lifetimes(**kinds: Any) -> dict[str, Any]:
    """Show lifetimes, nothing where nothing is said."""
    return {kind: {**NOTHING, **kinds.get(kind, {})} for kind in ("personal", "service")}


def personal(**wanted: Any) -> dict[str, Any]:
    return {"tokenLifetimes": {"personal": wanted}}


INPUTS = {
    "UpdateAccountInput": Update(
        "updateAccount",
        "account",
        "Account",
        f"name verdictLifetimeS rateLimits maxTokens maxMemberTokens revokesReused {LIFETIMES}",
        {"name": "Other"},
    ),
    "UpdateMemberInput": Update("updateMember", "member", "Member", "name", {}),
    "AssignRolesInput": Update(
        "assignRoles",
        "member",
        "Member",
        "baseRole customRoles { key } roleAttributes { key values }",
        {"baseRole": "READER"},
    ),
    "UpdateRoleInput": Update(
        "updateRole",
        "role",
        "Role",
        "name description basePermissions statements { effect actions resources }",
        {"name": "Other"},
    ),
    "UpdateTokenInput": Update(
        "updateToken",
        "token",
        "Token",
        "name description scope { builtInRole } expiresAt networks rateLimits",
        {"name": "Other"},
    ),
    "UpdateTokenInput.responsibleId": Update(
        "updateToken", "service", "Token", "responsible { id }", {"name": "Other"}
    ),
    "UpdateWebhookInput": Update(
        "updateWebhook", "webhook", "Webhook", "url description events disabledAt", {"description": "Other"}
    ),
}
"""By input, or by the one field that is tried on something else."""
CASES = {
    "UpdateAccountInput.name": Case("N", REFUSED, without={"maxTokens": 9}),
    "UpdateAccountInput.verdictLifetimeS": Case(5, REFUSED),
    "UpdateAccountInput.rateLimits": Case(["5/minute"], []),
    "UpdateAccountInput.maxTokens": Case(90, None),
    "UpdateAccountInput.maxMemberTokens": Case(90, None),
    "UpdateAccountInput.revokesReused": Case(True, REFUSED),
    "UpdateAccountInput.tokenLifetimes": Case({"personal": DAY}, lifetimes(), lifetimes(personal=DAY)),
    "UpdateAccountInput.tokenLifetimes.personal": Case(
        DAY, lifetimes(), lifetimes(personal=DAY), {"tokenLifetimes": {"noticeS": 9}, "name": "Other"}
    ),
    "UpdateAccountInput.tokenLifetimes.service": Case(
        DAY, lifetimes(), lifetimes(service=DAY), {"tokenLifetimes": {"noticeS": 9}, "name": "Other"}
    ),
    **{
        f"UpdateAccountInput.tokenLifetimes.{kind}.{name}": Case(
            value, null, lifetimes(**{kind: {name: value}}), {"tokenLifetimes": {kind: {}}, "name": "Other"}
        )
        for kind in ("personal", "service")
        for name, value, null in (
            ("maximumS", 86400, lifetimes()),
            ("defaultS", 3600, lifetimes()),
            ("expiryRequired", True, REFUSED),
        )
    },
    "UpdateMemberInput.name": Case("N", REFUSED),
    "AssignRolesInput.baseRole": Case("WRITER", REFUSED, without={"customRoles": []}),
    "AssignRolesInput.customRoles": Case(["ci"], [], [{"key": "ci"}]),
    "AssignRolesInput.roleAttributes": Case([{"key": "team", "values": ["web"]}], []),
    "UpdateRoleInput.name": Case("N", REFUSED, without={"description": "Other"}),
    "UpdateRoleInput.description": Case("D", ""),
    "UpdateRoleInput.basePermissions": Case("READER", REFUSED),
    "UpdateRoleInput.statements": Case([ON_WEB], REFUSED),
    "UpdateTokenInput.name": Case("N", REFUSED, without={"description": "Other"}),
    "UpdateTokenInput.description": Case("D", ""),
    "UpdateTokenInput.scope": Case({"builtInRole": "READER"}, REFUSED),
    "UpdateTokenInput.expiresAt": Case(ENDS, None),
    "UpdateTokenInput.responsibleId": Case("$heir", None),
    "UpdateTokenInput.networks": Case(["192.0.2.0/24"], []),
    "UpdateTokenInput.rateLimits": Case(["5/minute"], []),
    "UpdateWebhookInput.url": Case("https://n.example/", REFUSED),
    "UpdateWebhookInput.description": Case("D", "", without={"url": "https://other.example/"}),
    "UpdateWebhookInput.events": Case(["LEAKED"], []),
    "UpdateWebhookInput.enabled": Case(False, REFUSED),
}


def optional(name: str, type_: GraphQLInputObjectType) -> Iterator[str]:
    """List the fields of an update that may be left out or be null, those of objects within it too."""
    for key, given in type_.fields.items():
        if key in BESIDE or is_required_input_field(given) or isinstance(given.type, GraphQLNonNull):
            continue
        yield f"{name}.{key}"
        inner = get_nullable_type(given.type)
        if isinstance(inner, GraphQLInputObjectType) and key != "scope":
            yield from optional(f"{name}.{key}", inner)


def test_every_field_that_may_be_left_out_has_a_case() -> None:
    updates = {name: type_ for name, type_ in TYPES.items() if name.startswith(UPDATES) and name.endswith("Input")}
    found = [field for name, type_ in updates.items() for field in optional(name, type_)]  # type: ignore[arg-type]
    assert sorted(found) == sorted(CASES)


@pytest.fixture
async def ids(organisation: Organisation) -> dict[str, str]:
    """Make one of all that is updated, and give the ids."""
    owner = organisation.owner
    role = await organisation.role("ci", {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]})
    token, service = await organisation.made(owner), await organisation.made(owner, kind=TokenKind.SERVICE)
    member, heir = await organisation.member(BuiltInRole.NO_ACCESS), await organisation.member()
    webhook = (await webhooks.create(owner, NewWebhook("https://hooks.example"), Said())).row
    rows = {"Role": role, "Token": token.row, "Member": member, "Webhook": webhook, "Account": organisation.account}
    named = {name.lower(): global_id(name, row.id) for name, row in rows.items()}
    return {**named, "service": global_id("Token", service.row.id), "heir": global_id("Member", heir.id)}


def nested(path: list[str], value: Any) -> Any:
    """Put a value into the objects that it stands in."""
    return {path[0]: nested(path[1:], value)} if path else value


@pytest.mark.parametrize("field", CASES)
async def test_left_out_null_and_a_value_are_three_things(
    organisation: Organisation, ask: Ask, ids: dict[str, str], field: str
) -> None:
    name, *path = field.split(".")
    update, case = INPUTS.get(field) or INPUTS[name], CASES[field]

    async def given(wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        own = {} if update.type == "Account" else {"id": ids[update.id]}
        asked = f"mutation($input: {name}!) {{ {update.mutation}(input: $input) {{ __typename }} }}"
        answer = await ask(organisation.owner, asked, input={**own, **wanted})
        errors: list[dict[str, Any]] = answer.get("errors", [])
        return errors

    async def shown() -> Any:
        query = f"query($id: ID!) {{ node(id: $id) {{ ... on {update.type} {{ {update.selected} }} }} }}"
        organisation.owner = await organisation.session(organisation.owner.member)  # type: ignore[arg-type]
        answer = await ask(organisation.owner, query + (OF if "...of" in query else ""), id=ids[update.id])
        node = answer["data"]["node"]
        match path[0]:
            case "responsibleId":
                return node["responsible"] and node["responsible"]["id"]
            case "enabled":
                return node["disabledAt"] is None
            case key:
                return node[key]

    value, expected = (ids["heir"],) * 2 if case.value == "$heir" else (case.value, case.given)
    before = await shown()
    assert before != expected
    assert await given(nested(path, value)) == []
    assert await shown() == expected
    without = update.without if case.without is None else case.without
    assert bool(await given(without)) is not bool(without)
    assert await shown() == expected
    refused = await given(nested(path, None))
    if case.null is REFUSED:
        assert [error["code"] for error in refused] == ["BAD_USER_INPUT"]
        assert refused[0]["field"] == ".".join(path)
        assert await shown() == expected
    else:
        assert refused == []
        assert await shown() == case.null
