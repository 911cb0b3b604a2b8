"""What is told to be allowed on every resource of a kind is: on any, whatever it states, for every side."""

import sys
from collections import Counter
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.built_in_roles import built_in_policy
from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.covers import Allowance
from core.everywhere import Word, allowed_everywhere
from core.law import Authority, NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy, Policy, parse_policy
from core.specifiers import Attributes, Resource
from core.vocabulary import OWN_KINDS, BuiltInRole
from tests.core.policies import RawStatement, attributes, catalogues, launchdarkly, stated_segments, statements
from tests.effort import tries

BROAD: tuple[list[RawStatement], ...] = (
    [],
    [{"effect": "allow", "actions": ["*"], "resources": ["*"]}],
    [{"effect": "allow", "notActions": ["create"], "notResources": ["top/a"]}],
    [{"effect": "allow", "actions": ["view*", "update"], "resources": ["top/*", "top/*:low/*", "top/*:low/*:leaf/*"]}],
)


def side(*policies: Policy, catalogue: Catalogue, given: Attributes | None = None) -> Side:
    compiled = (CompiledPolicy(policy, catalogue, given or {}) for policy in policies)
    return Side(SideKind.SCOPE, tuple(NamedPolicy("role", each) for each in compiled))


def told(sides: list[Side], catalogue: Catalogue, steps: int = 100_000) -> set[Word]:
    return set(allowed_everywhere(sides, catalogue, Allowance(steps)))


@st.composite
def policies(draw: st.DrawFn, catalogue: Catalogue) -> Policy:
    narrow = draw(st.lists(statements(catalogue), max_size=2))
    return parse_policy([*draw(st.sampled_from(BROAD)), *narrow], "policy")


@settings(max_examples=tries(120))
@given(st.data())
def test_what_is_told_is_allowed_on_any_resource_of_the_kind(data: st.DataObject) -> None:
    catalogue, filled = data.draw(catalogues()), data.draw(attributes())
    raw = data.draw(st.lists(st.lists(policies(catalogue), min_size=1, max_size=2), min_size=1, max_size=3))
    sides = [side(*each, catalogue=catalogue, given=filled) for each in raw]
    authority = Authority(tuple(sides), None, None)
    words = told(sides, catalogue)
    for path in catalogue.paths:
        texts = data.draw(st.lists(st.tuples(*(stated_segments(catalogue.kinds[key]) for key in path)), max_size=8))
        resources = [Resource.parse(":".join(text)) for text in texts]
        for (kind, action), resource in product(words, resources):
            if kind == path[-1]:
                assert authority.allows(action, resource), (kind, action, resource)


CATALOGUE = Catalogue.of(
    [
        *OWN_KINDS,
        Kind("proj", (KindAction("view", Mark.READ, gate=True), KindAction("update", Mark.WRITE)), taggable=True),
        Kind("team", (KindAction("view", Mark.READ),)),
        Kind("flag", (KindAction("update", Mark.WRITE), KindAction("delete", Mark.MANAGE)), ("proj",), taggable=True),
        Kind("note", (KindAction("update", Mark.WRITE),), ("flag", "team")),
    ]
)
ALL = {(kind.key, action.key) for kind in CATALOGUE for action in kind.actions if kind not in OWN_KINDS}


def rule(effect: str, actions: str, *resources: str, **inverse: list[str]) -> dict[str, Any]:
    return {"effect": effect, "actions": actions.split(), **({"resources": list(resources)} if resources else inverse)}


ANYTHING = rule("allow", "*", "*")
OPEN = rule("allow", "view", "proj/*")
FLAGS = rule("allow", "update delete", "proj/*:flag/*")
NOTES = rule("allow", "update", "team/*:note/*"), rule("allow", "update", "proj/*:flag/*:note/*")

TOLD: dict[str, tuple[list[dict[str, Any]], set[Word]]] = {
    "nothing": ([], set()),
    "everything, but never Latchkey's own": ([ANYTHING], ALL),
    "all but what is elsewhere": ([rule("allow", "*", notResources=["acct"])], ALL),
    "one kind and the gate that leads there": (
        [OPEN, FLAGS],
        {("proj", "view"), ("flag", "update"), ("flag", "delete")},
    ),
    "nothing behind a closed gate": ([FLAGS], set()),
    "nothing behind a gate that opens for some": ([FLAGS, rule("allow", "view", "proj/a*")], set()),
    "not what is for some names": ([OPEN, rule("allow", "update", "proj/*:flag/a*")], {("proj", "view")}),
    "not what is for some tags": ([OPEN, rule("allow", "update", "proj/*:flag/*;qa")], {("proj", "view")}),
    "not what is denied for one": ([ANYTHING, rule("deny", "update", "proj/*:flag/f")], ALL - {("flag", "update")}),
    "not what is denied for a tag": ([ANYTHING, rule("deny", "delete", "proj/*:flag/*;x")], ALL - {("flag", "delete")}),
    "not what is beneath a project that is denied": (
        [ANYTHING, rule("deny", "view", "proj/secret")],
        ALL - {("proj", "view"), ("flag", "update"), ("flag", "delete"), ("note", "update")},
    ),
    "not what is denied for an attribute without value": (
        [ANYTHING, rule("deny", "view", "team/${roleAttribute/none}")],
        ALL - {("team", "view")},
    ),
    "not a kind on one of its two paths": ([OPEN, NOTES[0]], {("proj", "view")}),
    "a kind on both of its paths": ([OPEN, *NOTES], {("proj", "view"), ("note", "update")}),
}


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told_wherever_it_is_so(name: str) -> None:
    raw, words = TOLD[name]
    policy = parse_policy(raw, "policy")
    assert told([side(policy, catalogue=CATALOGUE)], CATALOGUE) == words
    assert (
        told([side(policy, catalogue=CATALOGUE), side(parse_policy([ANYTHING], ""), catalogue=CATALOGUE)], CATALOGUE)
        == words
    )


def test_every_side_must_allow_and_each_role_by_itself() -> None:
    opened, flags, everything = (parse_policy(raw, "policy") for raw in ([OPEN], [FLAGS], [ANYTHING]))
    assert told([side(opened, flags, catalogue=CATALOGUE)], CATALOGUE) == {("proj", "view")}
    both = [side(everything, catalogue=CATALOGUE), side(opened, catalogue=CATALOGUE)]
    assert told(both, CATALOGUE) == told(both[::-1], CATALOGUE) == {("proj", "view")}
    assert told([], CATALOGUE) == set()


def test_a_built_in_role_is_told_by_its_marks() -> None:
    catalogue = launchdarkly()
    marks = {BuiltInRole.NO_ACCESS: set(), BuiltInRole.READER: {Mark.READ}, BuiltInRole.WRITER: {Mark.READ, Mark.WRITE}}
    for role in BuiltInRole:
        expected = {
            (kind.key, action.key)
            for kind in catalogue
            for action in kind.actions
            if not kind.own and action.mark in marks.get(role, set(Mark))
        }
        policy = built_in_policy(role, catalogue, "me")
        assert told([side(policy, catalogue=catalogue)] * 3, catalogue, 20_000) == expected


def test_what_the_allowance_does_not_suffice_for_is_left_out() -> None:
    catalogue = launchdarkly()
    sides = [side(parse_policy([ANYTHING], ""), catalogue=catalogue)]
    found = [told(sides, catalogue, steps) for steps in range(0, 1_200, 50)]
    assert all(fewer <= more for fewer, more in pairwise(found))
    assert (len(found[0]), len(found[-1])) == (0, sum(len(kind.actions) for kind in catalogue if not kind.own))


def test_the_most_a_policy_can_hold_takes_no_more_work_than_its_allowance() -> None:
    catalogue = launchdarkly()
    actions, names = ["up*e*O*n", "*a*g*", "*"], range(7)
    hostile = [
        {"effect": effect, "actions": actions, "resources": [f"proj/*{at}*:env/*:flag/*{name}" for name in names]}
        for at, effect in zip(range(100), ("allow", "deny") * 50, strict=True)
    ]
    many = [side(*[parse_policy(hostile, "policy")] * 10, catalogue=catalogue)] * 3
    calls: Counter[str] = Counter()
    sys.setprofile(lambda _frame, event, _arg: calls.update([event]))
    try:
        found = told(many, catalogue, 20_000)
    finally:
        sys.setprofile(None)
    assert found == set()
    assert calls["call"] < 1_000_000
