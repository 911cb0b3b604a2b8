"""What `covers` promises: never a yes that is not so, and a yes wherever people would be angry at a no."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from random import Random
from typing import Any

import pytest

from core.built_in_roles import built_in_policy
from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.covers import MAX_STEPS, Allowance, covers
from core.policy import CompiledPolicy, Effect, parse_policy
from core.specifiers import Attributes, Resource, ResourceSegment
from core.vocabulary import OWN_KINDS, BuiltInRole
from tests.core.policies import launchdarkly
from tests.effort import tries

CATALOGUE = Catalogue.of(
    [
        *OWN_KINDS,
        Kind(
            "proj",
            (
                KindAction("viewProject", Mark.READ, gate=True),
                KindAction("updateTags", Mark.WRITE),
                KindAction("deleteProject", Mark.MANAGE),
            ),
            taggable=True,
            properties=("critical",),
        ),
        Kind(
            "flag",
            (
                KindAction("viewFlag", Mark.READ, gate=True),
                KindAction("updateOn", Mark.WRITE),
                KindAction("updateTags", Mark.WRITE),
            ),
            parents=("proj",),
            taggable=True,
            properties=("critical",),
        ),
        Kind("note", (KindAction("updateOn", Mark.WRITE),), parents=("flag",)),
        Kind("quota", (KindAction("updateOn", Mark.WRITE),), parents=("proj",), singleton=True),
    ]
)
SEE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
OPEN = {"effect": "allow", "actions": ["viewFlag"], "resources": ["proj/*:flag/*"]}
GIVEN = {"team": ("a", "ab")}


def policy(*raw: dict[str, Any], given: Attributes = GIVEN, catalogue: Catalogue = CATALOGUE) -> CompiledPolicy:
    return CompiledPolicy(parse_policy(list(raw), "policy"), catalogue, given)


def built_in(role: BuiltInRole, self_id: str | None = "me", catalogue: Catalogue = CATALOGUE) -> CompiledPolicy:
    return CompiledPolicy(built_in_policy(role, catalogue, self_id), catalogue)


def rule(effect: str, actions: str, resources: str) -> dict[str, Any]:
    """Write a statement in short: words with blanks between, `not` before them for the inverse."""
    lists = {}
    for key, text in (("actions", actions), ("resources", resources)):
        words = text.split()
        inverse = words[0] == "not"
        lists[f"not{key.title()}" if inverse else key] = words[inverse:]
    return {"effect": effect, **lists}


def allow(actions: str, resources: str) -> dict[str, Any]:
    return rule("allow", actions, resources)


def deny(actions: str, resources: str) -> dict[str, Any]:
    return rule("deny", actions, resources)


FLAGS = allow("updateOn", "proj/*:flag/*")
LADDER = [BuiltInRole.NO_ACCESS, BuiltInRole.READER, BuiltInRole.WRITER, BuiltInRole.ADMIN, BuiltInRole.OWNER]


@pytest.mark.parametrize("self_id", ["me", None])
@pytest.mark.parametrize(("lower", "higher"), [(a, b) for a in range(5) for b in range(a, 5)])
def test_each_built_in_role_covers_those_beneath_it(lower: int, higher: int, self_id: str | None) -> None:
    for catalogue in (CATALOGUE, launchdarkly(), Catalogue.of(OWN_KINDS)):
        wide, narrow = (built_in(LADDER[step], self_id, catalogue) for step in (higher, lower))
        assert covers([wide], [narrow], catalogue)


@pytest.mark.parametrize(("lower", "higher"), [(a, b) for a in range(4) for b in range(a + 1, 4)])
def test_no_built_in_role_covers_one_above_it(lower: int, higher: int) -> None:
    assert not covers([built_in(LADDER[lower])], [built_in(LADDER[higher])], CATALOGUE)


def test_a_reader_does_not_cover_another_reader() -> None:
    assert not covers([built_in(BuiltInRole.READER, "one")], [built_in(BuiltInRole.READER, "other")], CATALOGUE)


YES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "nothing in nothing": ([], []),
    "an exact name in a glob": ([SEE, FLAGS], [SEE, allow("updateOn", "proj/a:flag/b")]),
    "a prefix glob in a glob": ([allow("updateTags", "proj/a*")], [allow("updateTags", "proj/ab* proj/a*b*")]),
    "globs with more in the middle": ([allow("updateTags", "proj/*b*")], [allow("updateTags", "proj/a*bc*d")]),
    "fewer actions": ([allow("update* delete*", "proj/a")], [allow("updateTags", "proj/a")]),
    "an action glob that means the same": ([allow("updateTags", "proj/a")], [allow("update*", "proj/a")]),
    "other actions than": ([allow("*", "proj/a")], [allow("not viewProject", "proj/a")]),
    "the same in other words": (
        [allow("updateTags deleteProject", "proj/a")],
        [allow("not viewProject", "proj/a"), deny("viewProject", "proj/*")],
    ),
    "an extra filter": ([allow("updateTags", "proj/*")], [allow("updateTags", "proj/*;x,{critical:true}")]),
    "a narrower tag glob": ([allow("updateTags", "proj/*;x*")], [allow("updateTags", "proj/*;y,xy*")]),
    "an extra deny": ([allow("*", "proj/*")], [allow("*", "proj/*"), deny("updateTags", "proj/a;x")]),
    "the same deny": ([allow("*", "*"), deny("*", "proj/a;x")], [allow("*", "proj/*"), deny("*", "proj/a;x")]),
    "a wider deny in the narrower": (
        [allow("*", "*"), deny("updateTags", "proj/a;x,{critical:true}")],
        [allow("*", "*"), deny("update*", "proj/*;x*")],
    ),
    "a deny elsewhere": ([allow("*", "proj/*"), deny("*", "proj/b* acct")], [allow("*", "proj/a*")]),
    "a deny of other names": ([allow("*", "proj/*"), deny("*", "proj/*b")], [allow("*", "proj/a proj/b*a")]),
    "a deny of another value": (
        [allow("updateTags", "proj/*"), deny("*", "proj/*;{critical:true}")],
        [allow("updateTags", "proj/*;{critical:false}")],
    ),
    "a deny of other actions": ([allow("*", "proj/*"), deny("delete*", "proj/*")], [allow("updateTags", "proj/a")]),
    "a deny outside what is allowed": (
        [allow("*", "*"), deny("*", "not proj/a* proj/b")],
        [allow("*", "proj/ab"), allow("updateTags", "proj/b")],
    ),
    "the same deny outside": (
        [allow("*", "*"), deny("*", "not proj/a* acct")],
        [allow("*", "*"), deny("*", "not proj/ab")],
    ),
    "a deny kept away by one outside": (
        [allow("*", "*"), deny("*", "proj/b:flag/*")],
        [allow("*", "*"), deny("*", "not proj/a:flag/* proj/a")],
    ),
    "everything but what is denied": (
        [allow("updateTags", "not proj/a;x"), SEE],
        [allow("updateTags", "proj/*"), deny("*", "proj/a")],
    ),
    "everything but more": ([allow("*", "not proj/a")], [allow("*", "not proj/a* proj/b"), deny("*", "not proj/*")]),
    "all that is refused needs no allow": ([], [allow("*", "proj/*"), deny("update* view* delete*", "proj/*")]),
    "what no attribute fills": ([], [allow("*", "proj/${roleAttribute/none}")]),
    "an attribute's names in a glob": ([allow("*", "proj/a*")], [allow("*", "proj/${roleAttribute/team}")]),
    "an attribute's names one by one": ([allow("*", "proj/a proj/ab")], [allow("*", "proj/${roleAttribute/team}")]),
    "an attribute's name in an attribute": (
        [allow("*", "proj/${roleAttribute/team}")],
        [allow("*", "proj/ab")],
    ),
    "a gate opened as far as needed": (
        [allow("viewProject", "proj/a"), FLAGS],
        [allow("viewProject", "proj/a"), allow("updateOn", "proj/a:flag/*")],
    ),
    "a gate opened as far as the narrower's": (
        [allow("viewProject", "proj/a*"), allow("updateOn", "proj/a*:flag/*")],
        [allow("viewProject", "proj/a proj/ab"), FLAGS],
    ),
    "beneath a gate that the narrower never opens": ([], [FLAGS]),
    "a gate closed to both": (
        [allow("*", "*"), deny("viewProject", "proj/a;x")],
        [SEE, FLAGS, deny("viewProject", "proj/a")],
    ),
    "beneath a closed gate, denied by hand": (
        [SEE, FLAGS, deny("viewProject", "proj/b")],
        [allow("viewProject", "proj/a"), FLAGS, deny("updateOn", "proj/b:flag/*")],
    ),
    "beneath two gates": (
        [SEE, allow("viewFlag", "proj/a:flag/*"), allow("*", "proj/*:flag/*:note/*")],
        [SEE, allow("viewFlag", "proj/a:flag/b"), allow("*", "proj/*:flag/*:note/n")],
    ),
    "a singleton": ([SEE, allow("*", "proj/*:quota")], [SEE, allow("updateOn", "proj/a:quota")]),
    "only what nobody grants": ([], [allow("updateAccountOwner", "acct")]),
}


@pytest.mark.parametrize("case", YES)
def test_it_says_yes_to(case: str) -> None:
    wide, narrow = YES[case]
    assert covers([policy(*wide)], [policy(*narrow)], CATALOGUE)


NO: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "a glob in an exact name": ([allow("*", "proj/a")], [allow("*", "proj/a*")]),
    "a glob that only begins alike": ([allow("*", "proj/a*b")], [allow("*", "proj/a*")]),
    "a child in its parent": ([allow("*", "proj/*")], [SEE, FLAGS]),
    "a parent in its child": ([SEE, FLAGS], [allow("*", "proj/*")]),
    "more actions": ([allow("updateTags", "proj/a")], [allow("update* delete*", "proj/a")]),
    "a missing filter": ([allow("updateTags", "proj/*;x")], [allow("updateTags", "proj/*")]),
    "another tag": ([allow("updateTags", "proj/*;x")], [allow("updateTags", "proj/*;y")]),
    "another value": (
        [allow("updateTags", "proj/*;{critical:true}")],
        [allow("updateTags", "proj/*;{critical:false}")],
    ),
    "a deny of a singleton": ([allow("*", "*"), deny("*", "acct")], [allow("viewAccount", "acct")]),
    "a wider tag glob": ([allow("updateTags", "proj/*;xy")], [allow("updateTags", "proj/*;x*")]),
    "a tag for a property": (
        [allow("updateTags", "proj/*;{critical:true}")],
        [allow("updateTags", "proj/*;true")],
    ),
    "a deny the narrower lacks": ([allow("*", "*"), deny("*", "proj/a;x")], [allow("*", "proj/*")]),
    "a deny of a tag is not of another": ([allow("*", "*"), deny("*", "proj/*;x")], [allow("*", "proj/*;y")]),
    "a narrower deny": ([allow("*", "*"), deny("*", "proj/*")], [allow("*", "proj/*"), deny("*", "proj/a")]),
    "a deny of fewer actions": (
        [allow("*", "*"), deny("*", "proj/a")],
        [allow("*", "proj/*"), deny("updateTags", "proj/a")],
    ),
    "a deny of what no attribute fills": (
        [allow("*", "*"), deny("*", "proj/${roleAttribute/none}")],
        [allow("*", "proj/a")],
    ),
    "a deny of a value that is not stated": (
        [allow("*", "*"), deny("*", "proj/*;{critical:true}")],
        [allow("*", "proj/*;x")],
    ),
    "a deny outside something else": ([allow("*", "*"), deny("*", "not proj/a")], [allow("*", "proj/ab")]),
    "a wider deny outside": (
        [allow("*", "*"), deny("*", "not proj/a")],
        [allow("*", "*"), deny("*", "not proj/a proj/b")],
    ),
    "a deny of what the other leaves": (
        [allow("*", "*"), deny("*", "not proj/a")],
        [allow("updateTags", "proj/*"), deny("*", "proj/a")],
    ),
    "a deny outside what no attribute fills": (
        [allow("*", "*"), deny("*", "not proj/${roleAttribute/none}")],
        [allow("*", "proj/a")],
    ),
    "everything but": ([allow("*", "not proj/a")], [allow("*", "proj/*")]),
    "everything but less": ([allow("*", "not proj/a proj/b")], [allow("*", "not proj/a")]),
    "everything but what no attribute fills": (
        [allow("*", "not proj/${roleAttribute/none}")],
        [allow("*", "proj/a")],
    ),
    "an attribute's names beyond": ([allow("*", "proj/a")], [allow("*", "proj/${roleAttribute/team}")]),
    "in what no attribute fills": ([allow("*", "proj/${roleAttribute/none}")], [allow("*", "proj/a")]),
    "beneath a gate that is shut": ([FLAGS, allow("viewProject", "proj/a")], [SEE, FLAGS]),
    "beneath a gate denied": (
        [SEE, FLAGS, deny("viewProject", "proj/*;x")],
        [SEE, FLAGS],
    ),
    "beneath two gates, one shut": (
        [SEE, allow("*", "proj/*:flag/*:note/*"), allow("viewFlag", "*"), deny("viewFlag", "proj/*:flag/b;x")],
        [SEE, allow("*", "proj/*:flag/*:note/*"), allow("viewFlag", "*"), deny("viewFlag", "proj/*:flag/b;xy")],
    ),
    "an action added to an inverse": ([allow("not updateTags", "proj/*")], [allow("*", "proj/*")]),
    "a named singleton": ([allow("*", "acct")], [allow("viewAccount", "acct/*")]),
}


@pytest.mark.parametrize("case", NO)
def test_it_says_no_to(case: str) -> None:
    wide, narrow = NO[case]
    assert not covers([policy(*wide)], [policy(*narrow)], CATALOGUE)


def test_a_gate_is_to_be_opened_by_the_policy_that_allows_beneath_it() -> None:
    both = policy(SEE, FLAGS)
    assert covers([policy(SEE), both], [both], CATALOGUE)
    assert not covers([policy(SEE), policy(FLAGS)], [both], CATALOGUE)


def test_each_part_may_be_covered_by_another_policy() -> None:
    narrow = policy(allow("updateTags", "proj/a"), allow("deleteProject", "proj/b"))
    first, second = policy(allow("updateTags", "proj/*")), policy(allow("deleteProject", "proj/*"))
    assert covers([first, second], [narrow], CATALOGUE)
    assert not covers([first], [narrow], CATALOGUE)
    assert covers([policy(allow("*", "*"))], [first, second], CATALOGUE)
    assert not covers([first], [first, second], CATALOGUE)


def test_attributes_are_those_of_each_side() -> None:
    raw = allow("*", "proj/${roleAttribute/team}")
    one, two = policy(raw, given={"team": ("a",)}), policy(raw, given={"team": ("a", "b")})
    assert covers([two], [one], CATALOGUE)
    assert not covers([one], [two], CATALOGUE)
    star = policy(raw, given={"team": ("*",)})
    assert covers([one], [star], CATALOGUE)
    assert not covers([star], [one], CATALOGUE)


def test_many_names_of_attributes_are_compared_as_one() -> None:
    raw = allow("*", "proj/${roleAttribute/team}")
    many = {"team": tuple(f"name-{number}" for number in range(400))}
    assert covers([policy(allow("*", "proj/name-*"))], [policy(raw, given=many)], CATALOGUE)
    assert not covers([policy(allow("*", "proj/name-1*"))], [policy(raw, given=many)], CATALOGUE)


def test_what_the_catalogue_no_longer_knows_is_covered_by_the_same_policy_alone() -> None:
    gone, known = allow("*", "gone/*"), allow("*", "proj/a")
    assert covers([policy(gone, known)], [policy(gone, known)], CATALOGUE)
    for wide in (policy(known, gone), policy(allow("*", "*")), built_in(BuiltInRole.OWNER)):
        assert not covers([wide], [policy(gone, known)], CATALOGUE)
    assert covers([policy(known)], [policy(known, deny("*", "gone/*"))], CATALOGUE)
    assert not covers([], [policy(gone)], CATALOGUE)


def test_filters_the_catalogue_no_longer_knows_allow_nothing_and_deny_all_they_could() -> None:
    everything = allow("*", "*")
    for filtered in ("proj/*;{gone:true}", "service-token/*;x"):
        assert covers([], [policy(allow("*", filtered))], CATALOGUE)
        plain = filtered.partition(";")[0]
        assert not covers([policy(everything, deny("*", filtered))], [policy(allow("*", plain))], CATALOGUE)
        assert covers([policy(everything, deny("*", plain))], [policy(everything, deny("*", filtered))], CATALOGUE)


@pytest.mark.parametrize("role", [BuiltInRole.ADMIN, BuiltInRole.OWNER])
def test_who_may_everything_covers_any_role_that_can_be_written(role: BuiltInRole) -> None:
    random = Random(3)  # noqa: S311 - a search, not a secret
    for world in [*WORLDS.values()] * 150:
        raw = drawn_policy(random, world)
        assert covers([built_in(role)], [policy(*raw, given=drawn_attributes(random))], CATALOGUE)


def test_a_proof_too_long_is_none() -> None:
    wide, narrow = [policy(SEE, FLAGS)], [policy(SEE, allow("updateOn", "proj/a:flag/b"))]
    assert covers(wide, narrow, CATALOGUE)
    assert not covers(wide, narrow, CATALOGUE, Allowance(3))
    assert covers(narrow, narrow, CATALOGUE, Allowance(0))


def test_proofs_that_share_an_allowance_spend_it_together() -> None:
    wide, narrow = [policy(SEE, FLAGS)], [policy(SEE, allow("updateOn", "proj/a:flag/b"))]
    allowance = Allowance()
    assert covers(wide, narrow, CATALOGUE, allowance)
    one = MAX_STEPS - allowance.steps
    allowance.steps = 2 * one
    assert [covers(wide, narrow, CATALOGUE, allowance) for _ in range(3)] == [True, True, False]
    assert not covers(wide, narrow, CATALOGUE, allowance)


def test_hostile_policies_are_given_up_early() -> None:
    def large(number: int) -> CompiledPolicy:
        names = " ".join(f"proj/{number}-{each}*" for each in range(200))
        return policy(*(rule(effect, "*", names) for effect in ("allow", "deny") * 50))

    assert not covers([large(1)], [large(2)], CATALOGUE)


# --- The search: small worlds in which near misses are common ---

NAMES = ["*", "*", "a*", "*b", "a", "b", "ab", "${roleAttribute/team}"]
FILTERS = ["x", "y", "*", "x*", "{critical:true}", "{critical:false}"]


@dataclass(frozen=True)
class World:
    """A few kinds, what policies about them are drawn of, statements to begin with, and all that can be asked."""

    catalogue: Catalogue
    paths: list[str]
    actions: list[str]
    opened: list[list[dict[str, Any]]]

    @cached_property
    def questions(self) -> dict[tuple[str, tuple[str, ...]], list[Resource]]:
        """Each question there is among a few names, stated in many ways: by action and path, the resources."""
        found = {}
        for path in self.catalogue.paths:
            kind = self.catalogue.kinds[path[-1]]
            resources = [Resource(segments) for segments in product(*(stated(kind, path) for kind in path))]
            for action in ASKED[kind.key].split() if kind.own else [each.key for each in kind.actions]:
                assert self.catalogue.mark(kind.key, action)
                found[action, path] = resources
        return found


def on_oneself(self_id: str) -> list[dict[str, Any]]:
    """Write what every reader may do on themselves and on their own tokens."""
    return [line.json() for line in built_in_policy(BuiltInRole.READER, CATALOGUE, self_id)[-2:]]


def part(keys: str) -> Catalogue:
    return Catalogue.of(CATALOGUE.kinds[key] for key in keys.split())


WORLDS = {
    "an integration's kinds": World(
        part("proj flag note quota"),
        ["proj", "proj:flag", "proj:flag", "proj:flag:note", "proj:quota", "*"],
        ["viewProject", "viewFlag", "updateTags", "updateOn", "update*", "view*", "*"],
        [[SEE], [OPEN]],
    ),
    "own kinds": World(
        part("acct member token"),
        ["member", "member", "member:token", "member:token", "acct", "*"],
        ["viewMember", "updateMemberName", "createAccessToken", "*AccessToken", "*Account*", "update*", "view*", "*"],
        [on_oneself("a"), on_oneself("ab")],
    ),
}
"""Kinds with gates, tags and properties; and Latchkey's own, where members may do more on themselves than on others."""

ASKED = {
    "acct": "viewAccount viewAuditLog updateAccountName verifyAccessToken",
    "member": "viewMember viewAuditLog updateMemberName revokeSession",
    "token": "viewAccessToken createAccessToken updateAccessTokenName viewAccess",
}
"""Of Latchkey's own kinds, actions that the words in policies tell apart; of the others, all."""

STATED: list[tuple[frozenset[str] | None, tuple[tuple[str, str], ...]]] = [
    (None, ()),
    (frozenset(), ()),
    (frozenset({"x"}), (("critical", "true"),)),
    (frozenset({"xy", "y"}), (("critical", "false"),)),
    (None, (("critical", "true"),)),
]


def stated(kind: str, path: tuple[str, ...]) -> list[ResourceSegment]:
    """Give a step of a resource, under a few names and in a few ways: the more, the less there is beside it."""
    if CATALOGUE.kinds[kind].singleton:
        return [ResourceSegment(kind)]
    if kind in {"note", "token"}:
        return [ResourceSegment(kind, name) for name in ("a", "b", "ab")]
    names, ways = (("a", "b", "ab", "c"), STATED) if kind == path[0] else (("a", "ab", "cb"), STATED[::2])
    plain = len(path) > 2 or CATALOGUE.kinds[kind].own
    return [ResourceSegment(kind, name, *way) for name, way in product(names, STATED[:3:2] if plain else ways)]


def drawn_specifier(random: Random, world: World) -> str:
    path = random.choice(world.paths)
    return "*" if path == "*" else ":".join(drawn_segment(random, kind) for kind in path.split(":"))


def drawn_segment(random: Random, kind: str) -> str:
    head = kind if CATALOGUE.kinds[kind].singleton else f"{kind}/{random.choice(NAMES)}"
    filters = random.sample(FILTERS, random.choice([0, 0, 0, 1, 1, 2]))
    return head + (";" + ",".join(filters) if filters else "")


def drawn_statement(random: Random, world: World) -> dict[str, Any]:
    actions = "notActions" if random.random() < 0.15 else "actions"
    resources = "notResources" if random.random() < 0.2 else "resources"
    specifiers = [drawn_specifier(random, world) for _ in range(random.choice([1, 1, 2]))]
    return {
        "effect": "deny" if random.random() < 0.3 else "allow",
        actions: random.sample(world.actions, random.choice([1, 1, 2])),
        resources: specifiers,
    }


def drawn_policy(random: Random, world: World) -> list[dict[str, Any]]:
    opened = [line for lines in world.opened if random.random() < 0.6 for line in lines]
    return [*opened, *(drawn_statement(random, world) for _ in range(random.choice([1, 1, 2, 3])))]


def drawn_attributes(random: Random) -> Attributes:
    return random.choice([{}, {"team": ("a",)}, {"team": ("a", "ab")}, {"team": ("b", "*")}])


def mutated(random: Random, world: World, raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Change a policy a little: the likely places of a wrong yes."""
    changed = [dict(statement) for statement in raw]
    for _ in range(random.choice([1, 1, 2])):
        at = random.randrange(len(changed)) if changed else 0
        match (
            random.choice(["drop", "add", "effect", "invert", "word", "word", "word", "actions"]) if changed else "add"
        ):
            case "drop":
                del changed[at]
            case "add":
                changed.insert(at, drawn_statement(random, world))
            case "effect":
                changed[at]["effect"] = random.choice(["allow", "deny"])
            case "invert":
                here, there = random.choice([("actions", "notActions"), ("resources", "notResources")])
                here, there = (here, there) if here in changed[at] else (there, here)
                changed[at][there] = changed[at].pop(here)
            case "actions":
                key = "actions" if "actions" in changed[at] else "notActions"
                changed[at][key] = random.sample(world.actions, random.choice([1, 2]))
            case "word":
                key = "resources" if "resources" in changed[at] else "notResources"
                words = list(changed[at][key])
                place = random.randrange(len(words))
                words[place] = mutated_specifier(random, world, words[place])
                changed[at][key] = words
    return changed


def mutated_specifier(random: Random, world: World, text: str) -> str:
    if text == "*":
        return drawn_specifier(random, world)
    segments = re.split(r":(?=[a-z]+(?:[/;:]|$))", text)
    at = random.randrange(len(segments))
    head, _, filters = segments[at].partition(";")
    kind, _, _ = head.partition("/")
    carried = [each for each in filters.split(",") if each]
    match random.choice(["name", "add", "drop", "swap", "swap", "all"] if carried else ["name", "add", "all"]):
        case "name":
            head = f"{kind}/{random.choice(NAMES)}"  # a singleton too: by mistake, and rarely
        case "add":
            carried.append(random.choice(FILTERS))
        case "drop":
            carried = carried[1:]
        case "swap":
            carried[-1] = random.choice(FILTERS)
        case _:
            return "*"
    segments[at] = head + (";" + ",".join(carried) if carried else "")
    return ":".join(segments)


def counterexample(world: World, wider: list[CompiledPolicy], narrower: list[CompiledPolicy]) -> tuple[str, str] | None:
    for (action, path), resources in world.questions.items():
        asking = [narrow for narrow in narrower if may_allow(narrow, action, path)]
        for resource in resources if asking else ():
            allowed = any(narrow.allows(action, resource) for narrow in asking)
            if allowed and not any(wide.allows(action, resource) for wide in wider):
                return action, repr(resource)
    return None


def may_allow(policy: CompiledPolicy, action: str, path: tuple[str, ...]) -> bool:
    """Say whether any allow speaks of the action on these kinds, so that most questions need not be asked."""
    return any(
        line.effect is Effect.ALLOW
        and line.speaks_of(action)
        and (line.resources is None or any(each.path in ((), path) for each in line.resources))
        for line in policy.policy
    )


def drawn_sides(random: Random, world: World) -> tuple[list[CompiledPolicy], list[CompiledPolicy]]:
    raws = [drawn_policy(random, world) for _ in range(random.choice([1, 1, 2]))]
    given = drawn_attributes(random)
    other = given if random.random() < 0.8 else drawn_attributes(random)
    changed = [mutated(random, world, raw) for raw in raws]
    pair = (
        [policy(*raw, given=given, catalogue=world.catalogue) for raw in raws],
        [policy(*raw, given=other, catalogue=world.catalogue) for raw in changed],
    )
    return pair if random.random() < 0.5 else (pair[1], pair[0])


@pytest.mark.parametrize("name", WORLDS)
def test_a_yes_is_never_wrong(name: str) -> None:
    world = WORLDS[name]
    random = Random(20261124)  # noqa: S311 - a search, not a secret
    seen: Counter[tuple[bool, bool]] = Counter()
    for _ in range(tries(600)):
        wider, narrower = drawn_sides(random, world)
        said = covers(wider, narrower, world.catalogue)
        if said or random.random() < 0.2:
            wrong = counterexample(world, wider, narrower)
            assert not (said and wrong), (shown(wider), shown(narrower), wrong)
            seen[said, wrong is None] += 1
    # The search is worth something only if it met both, and it should be rare that a truth is not proven.
    assert seen[True, True] > tries(250)
    assert seen[False, False] > tries(20)
    assert seen[False, True] < 20


def shown(policies: list[CompiledPolicy]) -> list[Any]:
    return [(dict(each.attributes), *(line.json() for line in each.policy)) for each in policies]
