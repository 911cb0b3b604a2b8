"""The laws of the policy language as properties, and the compiled form held to two plain readings."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.policy import MAX_PLANS, CompiledPolicy, Decision, Effect, Policy, Reason, Statement, decide, parse_policy
from core.specifiers import Match, Resource, ResourceSegment, Specifier
from tests.core import policy_oracle
from tests.core.policies import (
    ATTRIBUTES,
    NAMES,
    PROPERTIES,
    TAGS,
    VALUES,
    Question,
    World,
    launchdarkly,
    questions,
    statements,
    worlds,
)
from tests.effort import tries

EVERYTHING = Statement(Effect.ALLOW, ("*",), resources=(Specifier.parse("*"),))
ENOUGH = settings(max_examples=tries(100))


@st.composite
def asked(draw: st.DrawFn) -> tuple[World, Question]:
    """Draw a world and a question about it."""
    world = draw(worlds())
    return world, draw(questions(world.catalogue))


def decided(world: World, policy: Policy, question: Question, *, gated: bool = True) -> Decision:
    """Decide by the plain reading."""
    gates = world.catalogue.gates if gated else {}
    resource = question.resource.known_to(world.catalogue)
    return decide(policy, question.action, resource, gates=gates, attributes=world.attributes)


def statement(effect: str, *actions: str, on: str) -> Statement:
    """Make a statement about one specifier."""
    return Statement(Effect(effect), actions, resources=(Specifier.parse(on),))


@settings(max_examples=tries(250))
@given(st.data())
def test_the_compiled_form_the_plain_reading_and_the_oracle_agree(data: st.DataObject) -> None:
    """250 worlds with 20 questions each: 5,000 cases, and ten times as many in `make soak`."""
    world = data.draw(worlds())
    compiled = CompiledPolicy(world.policy, world.catalogue, world.attributes)
    for question in data.draw(st.lists(questions(world.catalogue), min_size=20, max_size=20)):
        decision = decided(world, world.policy, question)
        assert compiled.decide(question.action, question.resource) == decision
        assert compiled.allows(question.action, question.resource) == decision.allowed
        written = (question.action, question.resource_text, world.catalogue, world.attributes)
        assert decision.allowed == policy_oracle.allowed(world.raw, *written)
        ungated = decided(world, world.policy, question, gated=False)
        assert {reason.index for reason in ungated.because} == policy_oracle.deciding(world.raw, *written)


@ENOUGH
@given(asked())
def test_silence_denies(case: tuple[World, Question]) -> None:
    world, question = case
    assert decided(world, (), question) == Decision(False, ())
    denies = tuple(line for line in world.policy if line.effect is Effect.DENY)
    assert not decided(world, denies, question)


@ENOUGH
@given(asked(), st.integers(0, 5))
def test_a_matching_deny_denies(case: tuple[World, Question], place: int) -> None:
    world, question = case
    deny = statement("deny", question.action, on=str(question.resource))
    policy = (*world.policy[:place], deny, *world.policy[place:])
    decision = decided(world, policy, question)
    assert not decision
    assert deny in [reason.statement for reason in decision.because]


@ENOUGH
@given(asked(), st.data())
def test_order_and_repetition_change_nothing(case: tuple[World, Question], data: st.DataObject) -> None:
    world, question = case
    repeated = data.draw(st.lists(st.sampled_from(world.policy))) if world.policy else []
    shuffled = tuple(data.draw(st.permutations([*world.policy, *repeated])))
    before, after = decided(world, world.policy, question), decided(world, shuffled, question)
    assert after.allowed == before.allowed
    assert {(reason.statement, reason.action, reason.resource) for reason in after.because} == {
        (reason.statement, reason.action, reason.resource) for reason in before.because
    }


@ENOUGH
@given(asked(), st.data())
def test_an_added_allow_never_closes_and_an_added_deny_never_opens(
    case: tuple[World, Question], data: st.DataObject
) -> None:
    world, question = case
    added = parse_policy([data.draw(statements(world.catalogue))], "policy")[0]
    before = decided(world, world.policy, question)
    assert decided(world, (*world.policy, replace(added, effect=Effect.ALLOW)), question).allowed >= before.allowed
    assert decided(world, (*world.policy, replace(added, effect=Effect.DENY)), question).allowed <= before.allowed


@ENOUGH
@given(asked())
def test_the_reasons_given_are_exactly_the_deciding_statements(case: tuple[World, Question]) -> None:
    """Each statement is asked alone: an allow by itself, a deny beside an allow of everything."""
    world, question = case
    denies, allows = set(), set()
    for index, line in enumerate(world.policy):
        if line.effect is Effect.DENY and not decided(world, (EVERYTHING, line), question, gated=False):
            denies.add(index)
        if line.effect is Effect.ALLOW and decided(world, (line,), question, gated=False):
            allows.add(index)
    decision = decided(world, world.policy, question, gated=False)
    resource = question.resource.known_to(world.catalogue)
    assert decision == Decision(
        bool(allows) and not denies,
        tuple(Reason(index, world.policy[index], question.action, resource) for index in sorted(denies or allows)),
    )


@st.composite
def stated_more(draw: st.DrawFn, resource: Resource) -> Resource:
    """State everything that the resource leaves open."""

    def filled(segment: ResourceSegment) -> ResourceSegment:
        tags = draw(st.frozensets(st.sampled_from(TAGS))) if segment.tags is None else segment.tags
        properties = {key: draw(st.sampled_from(VALUES)) for key in PROPERTIES} | dict(segment.properties)
        return replace(segment, tags=tags, properties=tuple(sorted(properties.items())))

    return Resource(tuple(map(filled, resource.segments)))


@ENOUGH
@given(asked(), st.data())
def test_what_is_allowed_while_unknown_stays_allowed_whatever_is_stated(
    case: tuple[World, Question], data: st.DataObject
) -> None:
    world, question = case
    resource = question.resource
    if decide(world.policy, question.action, resource, gates=world.catalogue.gates, attributes=world.attributes):
        more = data.draw(stated_more(resource))
        assert decide(world.policy, question.action, more, gates=world.catalogue.gates, attributes=world.attributes)


@ENOUGH
@given(asked(), st.data())
def test_what_is_allowed_while_an_attribute_has_no_value_stays_allowed_whatever_value_it_gets(
    case: tuple[World, Question], data: st.DataObject
) -> None:
    world, question = case
    values = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map(tuple)
    resolved = {key: world.attributes.get(key) or data.draw(values) for key in ATTRIBUTES}
    if decided(world, world.policy, question):
        assert decided(replace(world, attributes=resolved), world.policy, question)


@ENOUGH
@given(asked())
def test_a_property_or_tags_that_the_catalogue_lost_can_only_close(case: tuple[World, Question]) -> None:
    world, question = case
    lost = Catalogue.of(replace(kind, properties=(), taggable=False) for kind in world.catalogue)
    after = CompiledPolicy(world.policy, lost, world.attributes).decide(question.action, question.resource)
    assert after.allowed <= decided(world, world.policy, question).allowed
    bare = Resource.of(*zip(question.resource.path, question.resource.names, strict=True))
    assert after == decide(
        world.policy, question.action, bare, gates=world.catalogue.gates, attributes=world.attributes
    )


@ENOUGH
@given(asked())
def test_a_gate_closes_what_is_beneath_it_and_says_so(case: tuple[World, Question]) -> None:
    world, question = case
    resource = question.resource.known_to(world.catalogue)
    ungated, decision = decided(world, world.policy, question, gated=False), decided(world, world.policy, question)
    closed = [
        (gate, ancestor, shut)
        for ancestor in resource.ancestors
        for gate in world.catalogue.gates.get(ancestor.path[-1], ())
        if not (shut := decide(world.policy, gate, ancestor, attributes=world.attributes))
    ]
    if not ungated or not closed:
        assert decision == ungated
    else:
        reasons = [shut.because or (Reason(None, None, gate, ancestor),) for gate, ancestor, shut in closed]
        assert decision == Decision(False, tuple(reason for several in reasons for reason in several))


def test_a_gate_on_every_level_must_be_open() -> None:
    catalogue = Catalogue.of(
        [
            Kind("proj", (KindAction("viewProject", Mark.READ, gate=True), KindAction("see", Mark.READ, gate=True))),
            Kind("env", (KindAction("viewEnv", Mark.READ, gate=True),), parents=("proj",), taggable=True),
            Kind("flag", (KindAction("updateOn", Mark.WRITE),), parents=("env",)),
        ]
    )
    on_flag = statement("allow", "updateOn", on="proj/*:env/*:flag/*")
    on_env = statement("allow", "viewEnv", on="proj/*:env/*;dev")
    on_project = statement("allow", "viewProject", "see", on="proj/p")
    no_env = statement("deny", "viewEnv", on="proj/*:env/x*")

    def because(flag: str, *policy: Statement) -> tuple[bool, list[tuple[int | None, str, str]]]:
        resource = Resource.parse(flag)
        decision = decide(policy, "updateOn", resource, gates=catalogue.gates)
        assert CompiledPolicy(policy, catalogue).decide("updateOn", resource) == decision
        return decision.allowed, [(each.index, each.action, str(each.resource)) for each in decision.because]

    flag = "proj/p:env/e;dev:flag/f"
    policy = (on_flag, on_env, on_project)
    assert because(flag, *policy) == (True, [(0, "updateOn", "proj/p:env/e:flag/f")])
    assert because("proj/p:env/e:flag/f", *policy) == (False, [(None, "viewEnv", "proj/p:env/e")])
    assert because("proj/q:env/e;dev:flag/f", *policy) == (
        False,
        [(None, "viewProject", "proj/q"), (None, "see", "proj/q")],
    )
    assert because("proj/p:env/x;dev:flag/f", *policy, no_env) == (False, [(3, "viewEnv", "proj/p:env/x")])
    assert because(flag, on_env, on_project) == (False, [])
    assert decide((on_env,), "viewEnv", Resource.parse("proj/p:env/e;dev"), gates={"env": ("viewEnv",)})


@pytest.mark.parametrize("resource", ["proj/p:env/e:flag/f", "proj/p:env/e:flag/f;critical"])
def test_a_deny_on_a_tag_refuses_a_check_that_does_not_state_the_tags(resource: str) -> None:
    policy = (EVERYTHING, statement("deny", "updateOn", on="proj/*:env/*:flag/*;critical"))
    assert not decide(policy, "updateOn", Resource.parse(resource))
    assert decide(policy, "updateOn", Resource.parse("proj/p:env/e:flag/f;"))
    assert decide(policy, "updateOn", Resource.parse("proj/p:env/e:flag/f;harmless"))


def test_unknown_stays_unknown_when_resources_are_turned_round() -> None:
    critical = (Specifier.parse("flag/*;critical"),)
    unstated, harmless, critical_one = map(Resource.parse, ("flag/f", "flag/f;", "flag/f;critical"))
    allow = Statement(Effect.ALLOW, ("*",), not_resources=critical)
    assert [bool(decide((allow,), "a", each)) for each in (unstated, harmless, critical_one)] == [False, True, False]
    deny = Statement(Effect.DENY, ("*",), not_resources=critical)
    policy = (EVERYTHING, deny)
    assert [bool(decide(policy, "a", each)) for each in (unstated, harmless, critical_one)] == [False, False, True]


def test_a_removed_action_drops_only_its_word() -> None:
    policy = (statement("allow", "gone", "stays", on="flag/*"),)
    compiled = CompiledPolicy(policy, Catalogue.of([Kind("flag", (KindAction("stays", Mark.WRITE),))]))
    assert compiled.allows("stays", Resource.parse("flag/f"))


def test_a_statement_can_only_be_made_whole() -> None:
    spec = (Specifier.parse("*"),)
    for wrong in (
        {"resources": spec},
        {"actions": ("a",)},
        {"actions": (), "resources": spec},
        {"actions": ("a",), "resources": ()},
        {"actions": ("a",), "not_actions": ("b",), "resources": spec},
        {"actions": ("a",), "resources": spec, "not_resources": spec},
    ):
        with pytest.raises(ValueError, match="either actions or not_actions"):
            Statement(Effect.DENY, **wrong)


@given(asked())
def test_a_statement_prints_to_what_parses_alike(case: tuple[World, Question]) -> None:
    world, _ = case
    assert [line.json() for line in world.policy] == world.raw


def test_a_statement_prints_as_launchdarkly_does() -> None:
    raw = {"effect": "deny", "notResources": ["proj/a*"], "notActions": ["viewProject"]}
    assert Statement.parse(raw, "policy[0]").json() == raw


def test_the_compiled_form_keeps_what_it_was_made_of_and_not_what_it_is_asked() -> None:
    policy, attributes = (EVERYTHING,), {"team": ("a",)}
    compiled = CompiledPolicy(policy, launchdarkly(), attributes)
    attributes["team"] = ("b",)
    assert (compiled.policy, compiled.attributes) == (policy, {"team": ("a",)})
    for number in range(MAX_PLANS + 10):
        assert compiled.allows(f"made{number}", Resource.of(("flag", "f")))
        assert compiled.allows("updateOn", Resource.of((f"made{number}", "m"), ("flag", "f")))
    assert len(compiled._plans) == MAX_PLANS  # noqa: SLF001 - what is kept cannot be seen from outside


def test_the_compiled_form_is_indexed_by_exact_names_beneath_globs() -> None:
    """A hundred statements of two hundred names each, and only what may match is asked."""
    names = [f"f{number}" for number in range(20_000)]
    chunks = [names[start : start + 200] for start in range(0, 20_000, 200)]
    policy = tuple(
        Statement(
            Effect.ALLOW, ("updateOn",), resources=tuple(Specifier.parse(f"proj/*:env/*:flag/{n}") for n in chunk)
        )
        for chunk in chunks
    )
    compiled = CompiledPolicy(policy, Catalogue.of([]))
    last = Resource.parse("proj/p:env/e:flag/f19999")
    assert [reason.index for reason in compiled.decide("updateOn", last).because] == [99]
    assert not compiled.allows("updateOn", Resource.parse("proj/p:env/e:flag/g"))


def test_a_specifier_of_a_kind_without_a_name_matches_no_named_one() -> None:
    assert Specifier.parse("acct").match(Resource.parse("acct/a"), {}) is Match.NO
    assert Specifier.parse("acct/*").match(Resource.parse("acct"), {}) is Match.NO
    compiled = CompiledPolicy((statement("allow", "*", on="acct/*"),), Catalogue.of([]))
    assert not compiled.allows("a", Resource.parse("acct"))
