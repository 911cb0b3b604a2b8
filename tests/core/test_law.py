"""What the law of access promises: the least of all sides, with the reasons, and the owner's own out of reach."""

from functools import cache
from itertools import product
from random import Random

import pytest

from core.built_in_roles import built_in_policy
from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.law import Authority, NamedPolicy, Side, SideKind, SideReason, Verdict
from core.policy import CompiledPolicy, Policy, Reason, decide, parse_policy
from core.specifiers import Attributes, Resource
from core.vocabulary import OWN_KINDS, OWNER_ONLY, BuiltInRole
from tests.effort import tries

CATALOGUE = Catalogue.of(
    [
        *OWN_KINDS,
        Kind("proj", (KindAction("viewProject", Mark.READ, gate=True), KindAction("updateTags", Mark.WRITE))),
        Kind(
            "flag", (KindAction("updateOn", Mark.WRITE), KindAction("updateTags", Mark.WRITE)), ("proj",), taggable=True
        ),
    ]
)
RESOURCES = [
    *("acct", "member/me", "member/other", "member/boss", "member/me:token/t", "member/boss:token/t", "role/r"),
    *("proj/a", "proj/b", "proj/a:flag/f", "proj/a:flag/f;", "proj/a:flag/f;x", "proj/b:flag/f;x,y"),
]
PAIRS = [
    (action, Resource.parse(text))
    for text in RESOURCES
    for action in (each.key for each in CATALOGUE.kinds[Resource.parse(text).path[-1]].actions)
]
Pairs = frozenset[int]
"""A set of places in PAIRS: what somebody may do, in the small world of these tests."""


def named(name: str, policy: Policy, attributes: Attributes | None = None) -> NamedPolicy:
    return NamedPolicy(name, CompiledPolicy(policy, CATALOGUE, attributes or {}))


def rule(effect: str, actions: str, *resources: str) -> dict[str, object]:
    return {"effect": effect, "actions": actions.split(), "resources": list(resources)}


# --- The oracle: each policy as the set of all that it allows, by the plain reading ---


def allowed_by(policy: Policy, attributes: Attributes) -> Pairs:
    return frozenset(
        place
        for place, (action, resource) in enumerate(PAIRS)
        if decide(policy, action, resource, gates=CATALOGUE.gates, attributes=attributes)
    )


def guarded(owner_id: str, member_id: str | None) -> Pairs:
    """What is the owner's alone, written again as a plain list of deeds."""
    if member_id == owner_id:
        return frozenset()
    on_owner = {f"member/{owner_id}", f"member/{owner_id}:token/t"}
    return frozenset(
        place
        for place, (action, resource) in enumerate(PAIRS)
        if (str(resource) in on_owner and action[:4] != "view")
        or (str(resource), action) == ("acct", "updateAccountOwner")
    )


Held = tuple[NamedPolicy, Pairs]

STATEMENTS = [
    {"effect": effect, actions: words, resources: [place]}
    for effect in ("allow", "allow", "deny")
    for actions, words in [
        *(("actions", [word]) for word in ("*", "update*", "viewProject", "createAccessToken")),
        ("notActions", ["viewProject"]),
    ]
    for resources in ("resources", "notResources")
    for place in ("*", "proj/*", "proj/a", "proj/*:flag/*", "proj/*:flag/*;x", "member/*", "member/me:token/*")
] + [rule("allow", "viewProject", "proj/*"), rule("allow", "*", "proj/${roleAttribute/team}:flag/*")] * 20


@cache
def pool() -> list[Held]:
    """Draw the policies that owners, scopes and ceilings are made of."""
    random = Random(11)  # noqa: S311 - a search, not a secret
    drawn: list[Held] = []
    for number in range(300):
        given: Attributes = random.choice([{}, {"team": ("a",)}, {"team": ("a", "b")}])
        policy = parse_policy(random.sample(STATEMENTS, random.randint(0, 4)), "policy")
        drawn.append((named(f"role-{number}", policy, given), allowed_by(policy, given)))
    for role, self_id in product(BuiltInRole, ("me", None)):
        policy = built_in_policy(role, CATALOGUE, self_id)
        drawn.append((named(role.value, policy), allowed_by(policy, {})))
    return drawn


def test_a_caller_may_what_every_side_allows_and_nothing_else() -> None:
    random = Random(20_000)  # noqa: S311 - a search, not a secret
    met: set[int] = set()
    for _ in range(tries(6_000)):
        held = [
            random.choices(pool(), k=random.choice([0, 1, 1, 2, 3])) for _ in range(random.choice([0, 1, 2, 2, 3, 4]))
        ]
        kinds = [SideKind.SCOPE, SideKind.OWNER, SideKind.CEILING, SideKind.CEILING]
        sides = tuple(Side(kind, tuple(role for role, _ in roles)) for kind, roles in zip(kinds, held, strict=False))
        member_id = random.choice(["me", "boss", None])
        unions = [frozenset[int]().union(*(pairs for _, pairs in roles)) for roles in held]
        expected = frozenset(range(len(PAIRS))).intersection(*unions) if unions else frozenset()
        expected -= guarded("boss", member_id)
        authority = Authority(sides, "boss", member_id)
        places = random.sample(range(len(PAIRS)), 12)
        assert {place for place in places if authority.allows(*PAIRS[place])} == expected.intersection(places)
        if expected:
            met.add(len(sides))
        place = random.choice([*expected, *places])
        assert authority.decide(*PAIRS[place]).allowed is (place in expected)
    assert met == {1, 2, 3, 4}


def test_a_verdict_names_exactly_what_decided() -> None:
    random = Random(7)  # noqa: S311 - a search, not a secret
    for _ in range(2_000):
        held = [[role for role, _ in random.choices(pool(), k=random.choice([0, 1, 2]))] for _ in range(3)]
        sides = tuple(Side(kind, tuple(roles)) for kind, roles in zip(SideKind, held, strict=True))
        action, resource = random.choice(PAIRS)
        verdict = Authority(sides, None, None).decide(action, resource)
        if (resource.path[-1], action) in OWNER_ONLY:
            assert verdict == Verdict(allowed=False, guard=True)
            continue
        expected, missing = [], []
        for side in sides:
            decisions = [
                (
                    role.name,
                    decide(
                        role.policy.policy,
                        action,
                        resource,
                        gates=CATALOGUE.gates,
                        attributes=role.policy.attributes,
                    ),
                )
                for role in side.policies
            ]
            opened = any(decision for _, decision in decisions)
            if not opened:
                missing.append(side.kind)
            expected.append(
                (
                    opened,
                    [
                        SideReason(side.kind, name, reason)
                        for name, decision in decisions
                        if bool(decision) == opened
                        for reason in decision.because
                    ],
                )
            )
        because = tuple(reason for opened, reasons in expected if opened is not bool(missing) for reason in reasons)
        assert verdict == Verdict(not missing, because, tuple(missing))


# --- The same, by hand ---

ON = rule("allow", "updateOn", "proj/a:flag/*")
SEE = rule("allow", "viewProject", "proj/*")
NEVER = rule("deny", "*", "proj/*:flag/f")
FLAG = Resource.parse("proj/a:flag/f")


def role(name: str, *raw: dict[str, object]) -> NamedPolicy:
    return named(name, parse_policy(list(raw), "policy"))


def because(side: SideKind, held: NamedPolicy, index: int) -> SideReason:
    return SideReason(side, held.name, Reason(index, held.policy.policy[index], "updateOn", FLAG))


def test_a_yes_names_the_statements_of_every_side() -> None:
    scope, dull = role("inline", SEE, ON), role("dull", SEE)
    one, other = role("one", ON, SEE), role("other", SEE, ON)
    sides = (Side(SideKind.SCOPE, (scope,)), Side(SideKind.OWNER, (one, dull, other)))
    assert Authority(sides, "boss", "me").decide("updateOn", FLAG) == Verdict(
        allowed=True,
        because=(because(SideKind.SCOPE, scope, 1), because(SideKind.OWNER, one, 0), because(SideKind.OWNER, other, 1)),
    )


def test_a_no_names_the_sides_that_refused_and_their_denies() -> None:
    scope, denied, silent = role("inline", SEE, ON), role("denied", SEE, ON, NEVER), role("silent", SEE)
    sides = (
        Side(SideKind.SCOPE, (scope,)),
        Side(SideKind.OWNER, (denied, silent)),
        Side(SideKind.CEILING, (scope,)),
        Side(SideKind.CEILING, (silent,)),
    )
    verdict = Authority(sides, "boss", "me").decide("updateOn", FLAG)
    assert verdict == Verdict(
        allowed=False,
        because=(because(SideKind.OWNER, denied, 2),),
        missing=(SideKind.OWNER, SideKind.CEILING),
    )
    assert not verdict


def test_a_deny_binds_inside_its_role_only() -> None:
    denied, granted = role("denied", SEE, ON, NEVER), role("granted", SEE, ON)
    verdict = Authority((Side(SideKind.OWNER, (denied, granted)),), "boss", "me").decide("updateOn", FLAG)
    assert verdict == Verdict(allowed=True, because=(because(SideKind.OWNER, granted, 1),))


def test_without_sides_or_roles_nothing_is_allowed() -> None:
    for sides in ((), (Side(SideKind.OWNER, ()),)):
        authority = Authority(sides, "boss", "boss")
        assert not authority.allows("viewProject", Resource.parse("proj/a"))
        assert not authority.decide("viewProject", Resource.parse("proj/a"))


EVERYTHING = (Side(SideKind.SCOPE, (role("inline", rule("allow", "*", "*")),)),)
ON_THE_OWNER = [
    ("updateAccountOwner", "acct"),
    *(("deleteMember", who) for who in ("member/boss", "member/boss:token/t")),
    *((action, "member/boss") for action in ("updateRole", "updateCustomRole", "updateMemberState", "revokeSession")),
    *((action, "member/boss:token/t") for action in ("createAccessToken", "deleteAccessToken", "resetAccessToken")),
    ("inventedLater", "member/boss:token/t"),
]


@pytest.mark.parametrize(("action", "resource"), ON_THE_OWNER)
@pytest.mark.parametrize(("owner_id", "member_id"), [("boss", "me"), ("boss", None)])
def test_only_the_owner_edits_the_owner_whatever_policies_say(
    action: str, resource: str, owner_id: str, member_id: str | None
) -> None:
    authority = Authority(EVERYTHING, owner_id, member_id)
    assert authority.decide(action, Resource.parse(resource)) == Verdict(allowed=False, guard=True)
    assert not authority.allows(action, Resource.parse(resource))
    assert Authority(EVERYTHING, "boss", "boss").decide(action, Resource.parse(resource))


def test_an_account_without_an_owner_is_nobodys() -> None:
    assert Authority(EVERYTHING, None, None).decide("updateAccountOwner", Resource.parse("acct")).guard


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("viewMember", "member/boss"),
        ("viewMemberEmail", "member/boss"),
        ("viewAccessToken", "member/boss:token/t"),
        ("updateRole", "member/other"),
        ("deleteAccessToken", "member/other:token/boss"),
        ("deleteRole", "role/boss"),
        ("deleteProject", "proj/boss"),
        ("viewAuditLog", "acct"),
    ],
)
def test_the_guard_leaves_the_rest_to_policies(action: str, resource: str) -> None:
    assert Authority(EVERYTHING, "boss", "me").decide(action, Resource.parse(resource))
    assert not Authority((), "boss", "me").decide(action, Resource.parse(resource))


def test_every_action_that_reads_a_member_is_called_view() -> None:
    for kind in (CATALOGUE.kinds["member"], CATALOGUE.kinds["token"]):
        for action in kind.actions:
            assert action.key.startswith("view") or action.mark is not Mark.READ
