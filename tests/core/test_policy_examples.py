"""Policies written for LaunchDarkly run unchanged on kinds like LaunchDarkly's, and decide as its documentation says.

The patterns are those of its public documentation; the words around them are ours.
"""

from typing import Any

import pytest

from core.policy import CompiledPolicy, check, decide, parse_policy
from core.specifiers import Resource
from tests.core.policies import launchdarkly

ALLOW_ALL = [{"effect": "allow", "actions": ["*"], "resources": ["*"]}]
QA = [
    {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*;qa_*"]},
    {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*;qa_*:flag/*"]},
    {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]},
]
API_EXAMPLE = [
    {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*;qa_*:/flag/*"]},
    {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]},
]
CRITICAL = [
    {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]},
    {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*;{critical:true},fedramp-enabled"]},
    {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*;{critical:false}:flag/*"]},
    {"effect": "deny", "actions": ["bypassRequiredApproval"], "resources": ["proj/*:env/*;{critical:true}:flag/*"]},
]
PRIVATE = [*ALLOW_ALL, {"effect": "deny", "actions": ["viewProject"], "resources": ["proj/secret"]}]
ONLY_OWN = [
    *ALLOW_ALL,
    {"effect": "deny", "actions": ["viewProject"], "notResources": ["proj/brand-x-*"]},
]
CREATOR = [
    {"effect": "allow", "actions": ["createProject", "viewProject"], "resources": ["proj/brand-x-*"]},
    {"effect": "allow", "actions": ["createFlag"], "resources": ["proj/brand-x-*:env/*:flag/*"]},
]
DEVELOPER = [
    {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/${roleAttribute/projects}"]},
    {
        "effect": "allow",
        "actions": ["updateOn", "updateRules", "createApprovalRequest"],
        "resources": ["proj/${roleAttribute/projects}:env/${roleAttribute/environments}:flag/*"],
    },
    {"effect": "allow", "notActions": ["deleteMetric"], "resources": ["proj/${roleAttribute/projects}:metric/*"]},
]
ALL_BUT_APPROVING = [
    *ALLOW_ALL,
    {
        "effect": "deny",
        "notActions": ["reviewApprovalRequest", "applyApprovalRequest"],
        "resources": ["proj/*:env/*;{critical:true}:segment/*"],
    },
]
TAGGED_TWICE = [
    {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]},
    {"effect": "allow", "actions": ["update*"], "resources": ["proj/*:env/*:flag/*;mobile,growth"]},
]
TOKENS = [
    {"effect": "allow", "actions": ["createAccessToken"], "resources": ["member/*:token/*"]},
    {"effect": "allow", "actions": ["*"], "resources": ["service-token/*"]},
    {"effect": "deny", "actions": ["resetAccessToken", "updateAccessToken*"], "resources": ["service-token/*"]},
]
NOTHING = [{"effect": "deny", "actions": ["*"], "resources": ["*"]}]

ANSWERS: list[tuple[str, list[dict[str, Any]], str, str, bool]] = [
    ("everything", ALLOW_ALL, "updateOn", "proj/web:env/production:flag/f", True),
    ("everything", ALLOW_ALL, "updateRole", "member/m", True),
    ("nothing", NOTHING, "viewProject", "proj/web", False),
    ("qa", QA, "updateColor", "proj/web:env/test;qa_test", True),
    ("qa", QA, "updateColor", "proj/web:env/test;prod", False),
    ("qa", QA, "updateColor", "proj/web:env/test", False),
    ("qa", QA, "updateOn", "proj/web:env/test;qa_test:flag/f", True),
    ("qa", QA, "updateOn", "proj/web:env/test;QA_test:flag/f", False),
    ("qa", QA, "updateOn", "proj/web:env/test:flag/f", False),
    ("qa", QA, "updateRules", "proj/web:env/test;qa_test:segment/s", False),
    ("qa", QA, "updateProjectName", "proj/web", False),
    ("stray slash", API_EXAMPLE, "updateOn", "proj/web:env/test;qa_test:flag/f", True),
    ("stray slash", API_EXAMPLE, "updateOn", "proj/web:env/test;:flag/f", False),
    ("critical", CRITICAL, "updateColor", "proj/web:env/e;fedramp-enabled,{critical:true}", True),
    ("critical", CRITICAL, "updateColor", "proj/web:env/e;{critical:true}", False),
    ("critical", CRITICAL, "updateColor", "proj/web:env/e;fedramp-enabled", False),
    ("critical", CRITICAL, "updateOn", "proj/web:env/e;{critical:false}:flag/f", True),
    ("critical", CRITICAL, "updateOn", "proj/web:env/e;{critical:true}:flag/f", False),
    ("critical", CRITICAL, "bypassRequiredApproval", "proj/web:env/e;{critical:false}:flag/f", True),
    ("critical", CRITICAL, "bypassRequiredApproval", "proj/web:env/e:flag/f", False),
    ("private project", PRIVATE, "viewProject", "proj/secret", False),
    ("private project", PRIVATE, "updateOn", "proj/secret:env/e:flag/f", False),
    ("private project", PRIVATE, "updateName", "proj/secret:metric/m", False),
    ("private project", PRIVATE, "updateTags", "proj/secret", True),
    ("private project", PRIVATE, "updateOn", "proj/web:env/e:flag/f", True),
    ("only one's own", ONLY_OWN, "updateOn", "proj/brand-x-shop:env/e:flag/f", True),
    ("only one's own", ONLY_OWN, "updateOn", "proj/brand-y-shop:env/e:flag/f", False),
    ("only one's own", ONLY_OWN, "updateRole", "member/m", True),
    ("creating by key", CREATOR, "createProject", "proj/brand-x-new", True),
    ("creating by key", CREATOR, "createProject", "proj/brand-new", False),
    ("creating by key", CREATOR, "createFlag", "proj/brand-x-new:env/e:flag/f", True),
    ("creating by key", CREATOR, "deleteFlag", "proj/brand-x-new:env/e:flag/f", False),
    ("role attributes", DEVELOPER, "updateOn", "proj/app:env/dev:flag/f", True),
    ("role attributes", DEVELOPER, "updateOn", "proj/web:env/staging:flag/f", True),
    ("role attributes", DEVELOPER, "updateOn", "proj/web:env/production:flag/f", False),
    ("role attributes", DEVELOPER, "updateOn", "proj/other:env/dev:flag/f", False),
    ("role attributes", DEVELOPER, "updateName", "proj/web:metric/m", True),
    ("role attributes", DEVELOPER, "deleteMetric", "proj/web:metric/m", False),
    ("all but approving", ALL_BUT_APPROVING, "updateRules", "proj/p:env/e;{critical:true}:segment/s", False),
    ("all but approving", ALL_BUT_APPROVING, "applyApprovalRequest", "proj/p:env/e;{critical:true}:segment/s", True),
    ("all but approving", ALL_BUT_APPROVING, "updateRules", "proj/p:env/e;{critical:false}:segment/s", True),
    ("two tags", TAGGED_TWICE, "updateOn", "proj/p:env/e:flag/f;mobile,growth,more", True),
    ("two tags", TAGGED_TWICE, "updateOn", "proj/p:env/e:flag/f;mobile", False),
    ("two tags", TAGGED_TWICE, "deleteFlag", "proj/p:env/e:flag/f;mobile,growth", False),
    ("tokens", TOKENS, "createAccessToken", "member/m:token/t", True),
    ("tokens", TOKENS, "createAccessToken", "member/m", False),
    ("tokens", TOKENS, "createAccessToken", "service-token/t", True),
    ("tokens", TOKENS, "resetAccessToken", "service-token/t", False),
    ("tokens", TOKENS, "updateAccessTokenName", "service-token/t", False),
]
ATTRIBUTES = {"projects": ("web", "app"), "environments": ("dev", "staging")}


@pytest.mark.parametrize(
    ("policy", "action", "resource", "answer"),
    [each[1:] for each in ANSWERS],
    ids=[f"{name}: {action} {resource}" for name, _, action, resource, _ in ANSWERS],
)
def test_a_policy_written_for_launchdarkly_runs_unchanged(
    policy: list[dict[str, Any]], action: str, resource: str, answer: bool
) -> None:
    parsed, asked, catalogue = parse_policy(policy, "policy"), Resource.parse(resource), launchdarkly()
    check(parsed, catalogue, "policy")
    decision = decide(parsed, action, asked, gates=catalogue.gates, attributes=ATTRIBUTES)
    assert decision.allowed == answer
    assert CompiledPolicy(parsed, catalogue, ATTRIBUTES).decide(action, asked) == decision


def test_a_role_without_its_attributes_allows_nothing() -> None:
    compiled = CompiledPolicy(parse_policy(DEVELOPER, "policy"), launchdarkly())
    assert not [each for each in ANSWERS if compiled.allows(each[2], Resource.parse(each[3]))]


def test_every_action_of_the_catalogue_says_what_it_is_for() -> None:
    for kind in launchdarkly():
        assert kind.description.endswith(".")
        assert all(action.description.endswith(".") for action in kind.actions)
        assert len({action.key for action in kind.actions}) == len(kind.actions)
        assert set(kind.parents) <= launchdarkly().kinds.keys()
    assert launchdarkly().gates == {"proj": ("viewProject",)}
