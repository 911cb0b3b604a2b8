"""A suggested policy allows what was used, nothing beyond its scope, and less than that; or there is none."""

from collections.abc import Sequence
from time import process_time
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from core.built_in_roles import built_in_policy
from core.catalogue import Catalogue
from core.covers import Allowance, covers
from core.policy import CompiledPolicy, check, parse_policy
from core.specifiers import Specifier
from core.suggesting import Access, suggested
from core.vocabulary import BuiltInRole
from tests.core.policies import (
    RawStatement,
    attributes,
    catalogues,
    launchdarkly,
    questions,
    statements,
)
from tests.effort import tries

GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
BROAD: tuple[list[RawStatement], ...] = (
    [],
    [{"effect": "allow", "actions": ["*"], "resources": ["*"]}],
    [{"effect": "allow", "actions": ["*"], "resources": ["top/*", "top/*:low/*", "top/*:low/*:leaf/*"]}],
)
FLAGS = {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*:flag/*"]}


def compiled(*statements: RawStatement, catalogue: Catalogue | None = None, **values: Any) -> CompiledPolicy:
    return CompiledPolicy(parse_policy(list(statements), "policy"), catalogue or launchdarkly(), values)


def uses(*said: str) -> list[Access]:
    """Read uses, each an action and a resource with a blank between."""
    return [(action, Specifier.parse(resource)) for action, _, resource in (each.partition(" ") for each in said)]


def told(scope: Sequence[CompiledPolicy], *used: str, steps: int = 200_000) -> list[dict[str, Any]] | None:
    found = suggested(scope, uses(*used), launchdarkly(), Allowance(steps))
    return None if found is None else [statement.json() for statement in found.policy]


def allow(actions: str, *resources: str) -> dict[str, Any]:
    return {"effect": "allow", "resources": list(resources), "actions": actions.split()}


def deny(actions: str, *resources: str) -> dict[str, Any]:
    return {**allow(actions, *resources), "effect": "deny"}


def test_what_was_used_is_kept_with_the_gates_above_it_and_nothing_else() -> None:
    scope = [compiled(GATE, FLAGS)]
    used = [
        "updateOn proj/web:env/dev:flag/a",
        "updateOn proj/web:env/dev:flag/b",
        "updateName proj/web:env/dev:flag/a",
    ]
    assert told(scope, *used) == [
        allow("updateName updateOn", "proj/web:env/dev:flag/a"),
        allow("updateOn", "proj/web:env/dev:flag/b"),
        allow("viewProject", "proj/web"),
    ]


def test_a_built_in_role_gives_way_to_what_was_used_of_it() -> None:
    scope = [CompiledPolicy(built_in_policy(BuiltInRole.ADMIN, launchdarkly(), "me"), launchdarkly())]
    found = suggested(scope, uses("updateOn proj/web:env/dev:flag/a", "viewAccount acct"), launchdarkly(), Allowance())
    assert found
    assert [statement.json() for statement in found.policy] == [
        allow("updateOn", "proj/web:env/dev:flag/a"),
        allow("viewAccount", "acct"),
        allow("viewProject", "proj/web"),
    ]
    assert "createProject" in found.unused
    assert "updateOn" not in found.unused


@pytest.mark.parametrize(
    ("many", "kept"), [(5, [f"proj/web:env/dev:flag/f{n}" for n in range(5)]), (6, ["proj/web:env/dev:flag/f*"])]
)
def test_many_names_become_the_glob_of_the_scope_and_few_are_listed(many: int, kept: list[str]) -> None:
    scope = [compiled(GATE, allow("*", "proj/*:env/*:flag/f*"))]
    used = [f"updateOn proj/web:env/dev:flag/f{n}" for n in range(many)]
    assert told(scope, *used) == [allow("updateOn", *kept), allow("viewProject", "proj/web")]


def test_a_use_of_names_that_nobody_kept_is_as_wide_as_the_scope() -> None:
    scope = [compiled(GATE, allow("*", "proj/*:env/*:flag/web-*"))]
    assert told(scope, "updateOn proj/web:env/*:flag/*") == [
        allow("updateOn", "proj/web:env/*:flag/web-*"),
        allow("viewProject", "proj/web"),
    ]


def test_a_use_of_nobody_knows_what_keeps_the_action_wherever_the_scope_has_it() -> None:
    scope = [compiled(GATE, FLAGS, allow("updateName", "role/*"))]
    assert told(scope, "updateName *") == [
        allow("updateName", "proj/*:env/*:flag/*", "role/*"),
        allow("viewProject", "proj/*"),
    ]


def test_tags_properties_and_attributes_of_the_scope_come_along() -> None:
    team = allow("updateOn", "proj/${roleAttribute/team}:env/*;{critical:false}:flag/*;web")
    scope = [compiled(GATE, team, team=("web", "app"))]
    assert told(scope, "updateOn proj/web:env/dev:flag/a", "updateOn proj/*:env/prod:flag/b") == [
        allow(
            "updateOn",
            "proj/app:env/prod;{critical:false}:flag/b;web",
            "proj/web:env/dev;{critical:false}:flag/a;web",
            "proj/web:env/prod;{critical:false}:flag/b;web",
        ),
        allow("viewProject", "proj/*"),
    ]


def test_a_deny_that_could_bind_comes_along_and_no_other() -> None:
    scope = [
        compiled(
            GATE, FLAGS, deny("update*", "proj/*:env/*;{critical:true}:flag/*"), deny("*", "proj/app:env/*:flag/*")
        )
    ]
    assert told(scope, "updateOn proj/web:env/dev:flag/a", "updateOn proj/app:env/dev:flag/a") == [
        allow("updateOn", "proj/web:env/dev:flag/a"),
        allow("viewProject", "proj/app", "proj/web"),
        deny("updateOn", "proj/*:env/*;{critical:true}:flag/*"),
    ]


def test_what_all_but_a_few_resources_allow_is_told_by_resources() -> None:
    every = {"effect": "allow", "actions": ["*"], "notResources": ["proj/secret:env/*:flag/*"]}
    fence = {"effect": "deny", "actions": ["updateOn"], "notResources": ["proj/w*:env/dev:flag/*"]}
    assert told([compiled(every, fence)], "updateOn proj/*:env/*:flag/a", "updateName proj/app:env/dev:flag/*") == [
        allow("updateName", "proj/app:env/dev:flag/*"),
        allow("updateOn", "proj/w*:env/dev:flag/a"),
        allow("viewProject", "proj/*"),
    ]


def test_where_nothing_is_left_out_nothing_is_suggested() -> None:
    scope = [compiled(allow("viewProject", "proj/web"), allow("updateOn", "proj/web:env/dev:flag/a"))]
    assert told(scope, "updateOn proj/web:env/dev:flag/a") is None


def test_without_a_use_nothing_is_suggested() -> None:
    assert told([compiled(GATE, FLAGS)]) is None
    assert told([compiled(GATE, FLAGS)], "noLonger proj/web", "updateOn gone/x") is None


def test_what_cannot_be_proven_within_the_allowance_is_not_suggested() -> None:
    scope = [compiled(GATE, FLAGS)]
    assert told(scope, "updateOn proj/web:env/dev:flag/a", steps=3) is None
    assert told(scope, "updateOn proj/web:env/dev:flag/a") is not None


@settings(max_examples=tries(60))
@given(st.data())
def test_a_suggestion_refuses_nothing_that_was_used_allows_nothing_new_and_is_less(data: st.DataObject) -> None:
    catalogue, filled = data.draw(catalogues()), data.draw(attributes())
    raw = data.draw(st.lists(st.lists(statements(catalogue), min_size=1, max_size=3), min_size=1, max_size=2))
    broad = data.draw(st.sampled_from(BROAD))
    scope = [
        CompiledPolicy(parse_policy([*(broad if fits(broad, catalogue) else []), *each], "policy"), catalogue, filled)
        for each in raw
    ]
    asked = [data.draw(questions(catalogue)) for _ in range(data.draw(st.integers(1, 12)))]
    allowed = [
        each
        for each in asked
        if catalogue.mark(each.resource.path[-1], each.action)
        and any(p.allows(each.action, each.resource) for p in scope)
    ]
    used = [(each.action, hidden(data, Specifier.parse(str(each.resource)))) for each in allowed]
    most = data.draw(st.integers(1, 5))
    found = suggested(scope, used, catalogue, Allowance(20_000), most)
    event(f"suggested: {found is not None}, of {len(used)}")
    if found is None:
        return
    check(found.policy, catalogue, "policy")
    narrow = CompiledPolicy(found.policy, catalogue)
    for each in allowed:
        assert narrow.decide(each.action, each.resource), each
    for _ in range(10):
        question = data.draw(questions(catalogue))
        if narrow.allows(question.action, question.resource):
            assert any(policy.allows(question.action, question.resource) for policy in scope)
    assert covers(scope, [narrow], catalogue)
    assert not covers([narrow], scope, catalogue)
    assert suggested(scope, list(reversed(used)), catalogue, Allowance(20_000), most) == found
    assert suggested([narrow], used, catalogue, Allowance(20_000), most) is None


def fits(raw: list[RawStatement], catalogue: Catalogue) -> bool:
    specifiers = (specifier for statement in parse_policy(raw, "policy") for specifier in statement.resources or ())
    return all(not specifier.segments or specifier.path in catalogue.paths for specifier in specifiers)


def hidden(data: st.DataObject, specifier: Specifier) -> Specifier:
    """Forget some names, as is done where there are too many."""
    text = ":".join(
        f"{segment.kind}/*" if segment.name and data.draw(st.booleans()) and data.draw(st.booleans()) else str(segment)
        for segment in specifier.segments
    )
    return Specifier.parse(text)


def fence(*resources: str) -> RawStatement:
    return {"effect": "deny", "actions": ["updateOn"], "notResources": list(resources)}


def test_fences_that_say_the_same_again_and_again_are_one() -> None:
    fences = [fence("proj/*:env/*:flag/*", "proj/w*:env/*:flag/*") for _ in range(40)]
    assert told([compiled(GATE, FLAGS, *fences)], "updateOn proj/web:env/dev:flag/a") == [
        allow("updateOn", "proj/web:env/dev:flag/a"),
        allow("viewProject", "proj/web"),
    ]


TAGS = range(40)
HOSTILE: dict[str, list[RawStatement]] = {
    "fences": [FLAGS, *(fence(f"proj/*:env/*:flag/*;a{n}", f"proj/*:env/*:flag/*;b{n}") for n in TAGS)],
    "allows": [allow("*", f"proj/*:env/*:flag/*;a{n}") for n in TAGS[:8]],
    "denies": [FLAGS, *(deny("updateOn", *(f"proj/*:env/*:flag/*;a{n}.{m}" for m in TAGS)) for n in TAGS[:20])],
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_policy_made_to_multiply_takes_no_more_than_its_allowance(hostile: str) -> None:
    scope = [compiled(GATE, *HOSTILE[hostile])]
    used = [f"updateOn proj/p{n % 5}:env/e{n // 5 % 5}:flag/f{n // 25}" for n in range(125)]
    began_s = process_time()
    assert told(scope, *used, steps=20_000) is None
    assert process_time() - began_s < 2
