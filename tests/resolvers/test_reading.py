"""Listing shows exactly the rows that `decide` allows, and never another account's."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from tortoise.models import Model

from core.law import Authority, NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy, parse_policy
from core.vocabulary import Action, BuiltInRole
from models import AuditEntry, Member, ResourceKind, Role, Token, TokenKind
from models.database import Database
from resolvers.callers import Caller
from resolvers.reading import readable, readable_sessions, uses_readable
from tests.effort import tries
from tests.organisation import Organisation, founded

WORDS = ["*", "view*", *(action.value for action in Action if action.value.startswith("view"))]
READS: dict[type[Model], Action] = {
    Member: Action.VIEW_MEMBER,
    Role: Action.VIEW_ROLE,
    ResourceKind: Action.VIEW_KIND,
    Token: Action.VIEW_ACCESS_TOKEN,
    AuditEntry: Action.VIEW_AUDIT_LOG,
}
Drawn = list[list[list[dict[str, Any]]]]
"""Sides of policies of statements."""
TOP_LEVEL = ("member", "service-token", "role", "kind")
ATTRIBUTES = {"one": ("role-a",), "many": ("role-b", "proj", "*"), "none": ()}


@st.composite
def globbed(draw: DrawFn, name: str) -> str:
    """A name, or a glob near it, or one that cannot be."""
    at = draw(st.integers(0, len(name)))
    end = draw(st.integers(at, len(name)))
    return draw(
        st.sampled_from(
            [
                name,
                "*",
                f"{name[:at]}*",
                f"{name[:at]}*{name[end:]}",
                f"*{name[at:]}",
                f"*{name[at:end]}*",
                name.upper(),
                f"{name[:at].upper()}*{name[end:]}",
                "${roleAttribute/one}",
                "${roleAttribute/many}",
                "${roleAttribute/none}",
                "%",
                f"{name[:at]}_*{name[end:]}",
            ]
        )
    )


@st.composite
def specifiers(draw: DrawFn, names: dict[str, list[str]]) -> str:
    """A specifier of Latchkey's own kinds, aimed at rows that exist."""
    path = draw(
        st.sampled_from([(), ("acct",), ("member",), ("member", "token"), ("service-token",), ("role",), ("kind",)])
    )
    if not path:
        return "*"
    segments = []
    for kind in path:
        name = "" if kind == "acct" else "/" + draw(globbed(draw(st.sampled_from(names[kind]))))
        segments.append(kind + name + draw(st.sampled_from(["", "", "", "", ";tag", ";{critical:true}"])))
    return ":".join(segments)


@st.composite
def policies(draw: DrawFn, names: dict[str, list[str]]) -> list[dict[str, Any]]:
    """A policy of one to four statements."""
    return [
        {
            "effect": draw(st.sampled_from(["allow", "allow", "deny"])),
            draw(st.sampled_from(["actions", "actions", "notActions"])): draw(
                st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)
            ),
            draw(st.sampled_from(["resources", "resources", "notResources"])): draw(
                st.lists(specifiers(names), min_size=1, max_size=3)
            ),
        }
        for _ in range(draw(st.integers(1, 4)))
    ]


def sides(names: dict[str, list[str]]) -> SearchStrategy[Drawn]:
    """One to three sides of one or two policies."""
    return st.lists(st.lists(policies(names), min_size=1, max_size=2), min_size=1, max_size=3)


def with_rights(caller: Caller, drawn: Drawn) -> Caller:
    """Give a caller rights made of drawn policies."""

    def named(raw: list[dict[str, Any]]) -> NamedPolicy:
        return NamedPolicy("drawn", CompiledPolicy(parse_policy(raw, "policy"), caller.catalogue, ATTRIBUTES))

    built = tuple(Side(SideKind.OWNER, tuple(named(raw) for raw in side)) for side in drawn)
    return replace(caller, rights=Authority(built, caller.owner_id, None))


async def peopled(organisation: Organisation) -> dict[str, list[str]]:
    """Fill an organisation with rows of every kind, and tell their names."""
    for key in ("role-a", "role-b", "role_c", "a.role"):
        await organisation.role(key, {"effect": "allow", "actions": ["*"], "resources": ["role/*"]})
    people = [await organisation.as_role(role) for role in (BuiltInRole.READER, BuiltInRole.ADMIN)]
    made = [await organisation.made(person) for person in (*people, organisation.owner)]
    services = [await organisation.made(organisation.owner, kind=TokenKind.SERVICE) for _ in range(2)]
    return {
        "member": [str(member.id) for member in await Member.filter(account_id=organisation.account.id)],
        "token": [str(done.row.id) for done in made],
        "service-token": [str(done.row.id) for done in services],
        "role": ["role-a", "role-b", "role_c", "a.role"],
        "kind": ["proj", "env", "flag"],
    }


async def test_readable_rows_are_those_that_decide_allows(organisation: Organisation, database: Database) -> None:
    await peopled(await founded(database, "other"))
    names = await peopled(organisation)
    rows: dict[type[Model], list[Any]] = {
        model: await model.filter(account_id=organisation.account.id) for model in READS
    }
    sessions = [row for row in rows[Token] if row.kind is TokenKind.SESSION]
    rows[Token] = [row for row in rows[Token] if row.kind is not TokenKind.SESSION]
    shown = hidden = 0
    for drawn in cases(names):
        caller = with_rights(organisation.owner, drawn)
        for model, action in READS.items():
            seen = {row.pk for row in await readable(caller, model)}
            assert seen == {row.id for row in rows[model] if caller.sees(action, row)}, drawn
            shown, hidden = shown + len(seen), hidden + len(rows[model]) - len(seen)
        used = {row.id for row in await Token.filter(uses_readable(caller), account_id=organisation.account.id)}
        assert used == {row.id for row in rows[Token] if caller.sees(Action.VIEW_ACCESS_TOKEN_USE, row)}, drawn
        seen = {row.id for row in await readable_sessions(caller)}
        assert seen == {row.id for row in sessions if caller.sees(Action.VIEW_SESSION, row)}, drawn
    assert shown > 500
    assert hidden > 500


def cases(names: dict[str, list[str]]) -> list[Drawn]:
    """Draw rights. Hypothesis runs no coroutine inside a running loop, so it only draws here."""
    drawn: list[Drawn] = []

    @settings(max_examples=tries(100), deadline=None, database=None)
    @given(sides(names))
    def draw(case: Drawn) -> None:
        drawn.append(case)

    draw()
    return drawn
