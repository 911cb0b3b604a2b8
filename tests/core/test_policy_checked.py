"""Bad policies are refused by name of the field, whatever they are; good ones pass."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalogue import Catalogue, Kind
from core.errors import Invalid
from core.policy import MAX_STATEMENTS, MAX_WORDS, check, check_action, check_resource, parse_policy
from core.specifiers import Resource
from tests.core.policies import World, launchdarkly, worlds
from tests.effort import tries

GOOD = {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/*:env/*:flag/*"]}

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda values: st.one_of(st.lists(values, max_size=4), st.dictionaries(st.text(max_size=8), values, max_size=4)),
    max_leaves=12,
)
words = st.one_of(
    st.text(max_size=6),
    st.text(alphabet="*/:;,{}$a", max_size=8),
    st.sampled_from(["*", "proj/*", "proj/*:env/*;{critical:true}", "acct", "update*", "flag/x", "flg/*", "proj/a;b"]),
)
lists = st.one_of(json_values, st.lists(st.one_of(words, json_values), max_size=3), st.lists(words, min_size=1))
near_statements = st.fixed_dictionaries(
    {},
    optional={
        "effect": st.one_of(st.sampled_from(["allow", "deny", "ALLOW"]), json_values),
        "actions": lists,
        "notActions": lists,
        "resources": lists,
        "notResources": lists,
        "effects": json_values,
    },
)


def refused_policy(raw: object, catalogue: Catalogue | None = None) -> Invalid | None:
    """Give why a policy is refused. Any other error is a defect."""
    try:
        check(parse_policy(raw, "policy"), catalogue or launchdarkly(), "policy")
    except Invalid as refused:
        return refused
    return None


def refusal(raw: object) -> tuple[str, str]:
    """Give the field and the problem that a policy is refused for."""
    refused = refused_policy(raw)
    assert refused
    return refused.field, refused.problem


@settings(max_examples=tries(200))
@given(st.one_of(json_values, st.lists(st.one_of(near_statements, json_values), max_size=3)))
def test_any_json_value_is_a_policy_or_refused_by_the_name_of_its_field(raw: Any) -> None:
    refused = refused_policy(raw)
    if refused is None:
        policy = parse_policy(raw, "policy")
        assert parse_policy([statement.json() for statement in policy], "policy") == policy
    else:
        assert re.fullmatch(r"policy(\[\d+\](\.(effect|((a|notA)ctions|(r|notR)esources)(\[\d+\])?))?)?", refused.field)
        assert len(refused.problem) < 400


@given(worlds())
def test_what_is_drawn_from_a_catalogue_passes_its_check_but_for_actions_of_other_kinds(world: World) -> None:
    refused = refused_policy(world.raw, world.catalogue)
    assert refused is None or "is no action of" in refused.problem


def changed(**fields: object) -> Mapping[str, object]:
    """Give a good statement with some fields changed; None leaves one out."""
    return {key: value for key, value in ({**GOOD, **fields}).items() if value is not None}


@pytest.mark.parametrize(
    ("statement", "field", "problem"),
    [
        ("allow", "policy[1]", "must be a statement, an object"),
        (changed(action=["*"]), "policy[1]", "has the unknown field `action`, did you mean `actions`?"),
        (changed(effect=None), "policy[1].effect", "must be `allow` or `deny`"),
        (changed(effect="Allow"), "policy[1].effect", "must be `allow` or `deny`"),
        (changed(effect=["allow"]), "policy[1].effect", "must be `allow` or `deny`"),
        (changed(actions=None), "policy[1].actions", "is needed, or `notActions`"),
        (changed(notActions=["*"]), "policy[1].notActions", "cannot stand beside `actions`"),
        (changed(notActions=[]), "policy[1].notActions", "cannot stand beside `actions`"),
        (changed(resources=None), "policy[1].resources", "is needed, or `notResources`"),
        (changed(notResources=["*"]), "policy[1].notResources", "cannot stand beside `resources`"),
        (changed(actions=[]), "policy[1].actions", "must be a list of at least one string"),
        (changed(actions="updateOn"), "policy[1].actions", "must be a list of at least one string"),
        (changed(actions={"0": "updateOn"}), "policy[1].actions", "must be a list of at least one string"),
        (changed(actions=["updateOn", 1]), "policy[1].actions[1]", "must be a string"),
        (changed(actions=["updateOn", None]), "policy[1].actions[1]", "must be a string"),
        (
            changed(actions=["updateOn", "updateOm"]),
            "policy[1].actions[1]",
            "is no action of `flag`: `updateOm`, did you mean `updateOn`?",
        ),
        (
            changed(actions=["UPDATEON"]),
            "policy[1].actions[0]",
            "is no action of `flag`: `UPDATEON`, did you mean `updateOn`?",
        ),
        (changed(actions=["viewProject"]), "policy[1].actions[0]", "is no action of `flag`: `viewProject`"),
        (changed(actions=["zap*"]), "policy[1].actions[0]", "is no action of `flag`: `zap*`"),
        (
            changed(actions=["zap*"], resources=["acct", "role/*"]),
            "policy[1].actions[0]",
            "is no action of the kinds it is for: `zap*`",
        ),
        (
            changed(actions=["createFlagg"], resources=["*"]),
            "policy[1].actions[0]",
            "is no action of the kinds it is for: `createFlagg`, did you mean `createFlag`?",
        ),
        (
            changed(actions=None, notActions=["updateOm"]),
            "policy[1].notActions[0]",
            "is no action of `flag`: `updateOm`, did you mean `updateOn`?",
        ),
        (
            changed(resources=["proj/*:env/*:flag/*", "proj/*:env/*:flga/*"]),
            "policy[1].resources[1]",
            "has an unknown kind: `flga`, did you mean `flag`?",
        ),
        (
            changed(resources=None, notResources=["project/*"]),
            "policy[1].notResources[0]",
            "has an unknown kind: `project`, did you mean `proj`?",
        ),
        (
            changed(resources=["flag/*"]),
            "policy[1].resources[0]",
            "has `flag` where it cannot be: it stands beneath `env`",
        ),
        (
            changed(resources=["proj/*:flag/*"]),
            "policy[1].resources[0]",
            "has `flag` where it cannot be: it stands beneath `env`",
        ),
        (
            changed(resources=["member/*:acct"]),
            "policy[1].resources[0]",
            "has `acct` where it cannot be: it stands at the top",
        ),
        (changed(resources=["proj"]), "policy[1].resources[0]", "lacks a name for `proj`: write `proj/…`"),
        (
            changed(resources=["acct/*"]),
            "policy[1].resources[0]",
            "has a name for `acct`, of which there is only one: write `acct`",
        ),
        (
            changed(resources=["proj/*:env/*;{critcal:true}"]),
            "policy[1].resources[0]",
            "has an unknown property of `env`: `critcal`, did you mean `critical`?",
        ),
        (
            changed(resources=["member/*;vip"]),
            "policy[1].resources[0]",
            "asks for the tag `vip`, but `member` has no tags",
        ),
        (
            changed(resources=["proj/*:env/*:flag/*;view:mine"]),
            "policy[1].resources[0]",
            "has an unknown kind: `mine`",
        ),
        (
            changed(resources=["proj/*:env/* :flag/*"]),
            "policy[1].resources[0]",
            "has `* `, but words are 1 to 256 printable characters, no space and none of `: ; , / * { } $`",
        ),
        (
            changed(actions=["update:on"]),
            "policy[1].actions[0]",
            "has `update:on`, but words are 1 to 256 printable characters, no space and none of `: ; , / * { } $`",
        ),
        (
            changed(actions=["*"] * (MAX_WORDS + 1)),
            "policy[1].actions",
            f"has more than {MAX_WORDS} words",
        ),
        (
            changed(resources=["*"] * (MAX_WORDS + 1)),
            "policy[1].resources",
            f"has more than {MAX_WORDS} words",
        ),
    ],
)
def test_a_bad_statement_is_refused_by_field_and_offered_the_nearest_word(
    statement: object, field: str, problem: str
) -> None:
    assert refusal([GOOD, statement]) == (field, problem)


@pytest.mark.parametrize("raw", [None, {}, "[]", 1, GOOD])
def test_a_policy_is_a_list(raw: object) -> None:
    assert refusal(raw) == ("policy", "must be a list of statements")


def test_a_policy_has_a_bounded_number_of_statements() -> None:
    assert refusal([GOOD] * (MAX_STATEMENTS + 1)) == ("policy", f"has more than {MAX_STATEMENTS} statements")


@pytest.mark.parametrize(
    "policy",
    [
        [],
        [GOOD] * MAX_STATEMENTS,
        [changed(actions=["*"] * MAX_WORDS)],
        [changed(notActions=None, notResources=None)],
        [changed(resources=None, notResources=["acct"])],
        [changed(actions=["*"], resources=["acct", "member/*:token/*", "proj/a"])],
        [changed(actions=["viewProject", "updateOn"], resources=["proj/*", "proj/*:env/*:flag/*"])],
    ],
)
def test_a_good_policy_passes(policy: object) -> None:
    check(parse_policy(policy, "policy"), launchdarkly(), "policy")


def test_every_action_may_be_meant_of_a_kind_that_has_none_yet() -> None:
    raw = [{"effect": "deny", "actions": ["*"], "resources": ["new/*"]}]
    check(parse_policy(raw, "policy"), Catalogue.of([Kind("new", ())]), "policy")


@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        ("flg/a", "has an unknown kind: `flg`, did you mean `flag`?"),
        ("proj/a:flag/b", "has `flag` where it cannot be: it stands beneath `env`"),
        ("proj", "lacks a name for `proj`: write `proj/…`"),
        ("acct/a", "has a name for `acct`, of which there is only one: write `acct`"),
    ],
)
def test_a_resource_that_cannot_be_is_refused(resource: str, problem: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_resource(Resource.parse(resource), launchdarkly(), "checks[3].resource")
    assert (refused.value.field, refused.value.problem) == ("checks[3].resource", problem)


def test_a_resource_may_state_what_the_catalogue_does_not_know() -> None:
    check_resource(Resource.parse("member/m;vip,{paid:true}"), launchdarkly(), "resource")


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ("updateOm", "is no action of `flag`: `updateOm`, did you mean `updateOn`?"),
        ("viewProject", "is no action of `flag`: `viewProject`"),
        ("*", "is no action of `flag`: `*`"),
        ("update*", "is no action of `flag`: `update*`, did you mean `updateOn`?"),
    ],
)
def test_an_action_that_the_kind_does_not_have_is_refused(action: str, problem: str) -> None:
    flag = Resource.parse("proj/a:env/b:flag/c")
    with pytest.raises(Invalid) as refused:
        check_action(action, flag, launchdarkly(), "checks[3].action")
    assert (refused.value.field, refused.value.problem) == ("checks[3].action", problem)
    check_action("updateOn", flag, launchdarkly(), "checks[3].action")


def test_no_action_is_known_of_an_unknown_kind() -> None:
    with pytest.raises(Invalid, match="is no action of `lost`: `view`"):
        check_action("view", Resource.parse("lost/a"), launchdarkly(), "action")
