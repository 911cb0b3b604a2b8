"""Who gains by a change: whatever is not told was allowed before, whichever catalogue it was and is read by."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.covers import Allowance
from core.gains import Standing, gained
from core.law import NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy, parse_policy
from tests.core import policies
from tests.core.policies import Question, RawStatement, launchdarkly
from tests.effort import tries

ALL: RawStatement = {"effect": "allow", "actions": ["*"], "resources": ["*"]}


def side(catalogue: Catalogue, *written: Sequence[RawStatement]) -> Side:
    compiled = (CompiledPolicy(parse_policy(list(each), "policy"), catalogue, {"team": ("a", "b")}) for each in written)
    return Side(SideKind.OWNER, tuple(NamedPolicy("role", policy) for policy in compiled))


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """Draw what somebody may do: one or two sides of one or two policies."""
    catalogue = draw(policies.catalogues())
    written = st.lists(policies.statements(catalogue), max_size=3)
    sides = draw(st.lists(st.lists(written, min_size=1, max_size=2), min_size=1, max_size=2))
    return Standing(tuple(side(catalogue, *each) for each in sides), catalogue)


@st.composite
def changes(draw: st.DrawFn) -> tuple[Standing, Standing, list[Question]]:
    """Draw a change, often one that keeps much, and questions about what there is after it."""
    before, after = draw(standings()), draw(standings())
    if draw(st.integers(0, 3)):
        wider = [[named.policy.policy for named in each.policies] for each in before.sides]
        kept = [
            Side(each.kind, _again(policies_, after.catalogue))
            for each, policies_ in zip(before.sides, wider, strict=True)
        ]
        after = Standing((*kept, *after.sides[: draw(st.integers(0, 1))]), after.catalogue)
    return before, after, draw(st.lists(policies.questions(after.catalogue), min_size=1, max_size=20))


def _again(written: Sequence[object], catalogue: Catalogue) -> tuple[NamedPolicy, ...]:
    attributes = {"team": ("a", "b")}
    return tuple(NamedPolicy("role", CompiledPolicy(each, catalogue, attributes)) for each in written)  # type: ignore[arg-type]


def allows(standing: Standing, question: Question) -> bool:
    resource = question.resource
    known = resource.path in standing.catalogue.paths and standing.catalogue.mark(resource.path[-1], question.action)
    return bool(known) and all(each.allows(question.action, resource) for each in standing.sides)


@settings(max_examples=tries(80), deadline=None)
@given(changes())
def test_what_is_not_told_was_allowed_before(change: tuple[Standing, Standing, list[Question]]) -> None:
    before, after, questions = change
    gains = gained(before, after, Allowance(10**9))
    assert gains is not None
    for question in questions:
        if allows(after, question) and (question.action, question.resource.path) not in gains:
            assert allows(before, question)


@settings(max_examples=tries(20), deadline=None)
@given(standings())
def test_nobody_gains_where_nothing_changes(standing: Standing) -> None:
    assert gained(standing, Standing(standing.sides, standing.catalogue), Allowance(0)) == ()


def changed(catalogue: Catalogue, key: str, **traits: object) -> Catalogue:
    return Catalogue.of(replace(kind, **traits) if kind.key == key else kind for kind in catalogue)  # type: ignore[arg-type]


FLAGS: RawStatement = {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*:flag/*"]}


def by_catalogue(before: Catalogue, after: Catalogue, *statements: RawStatement) -> dict[str, set[str]]:
    """What a role that says the same all the time gives more of, by kind."""
    then, now = (Standing((side(each, statements),), each) for each in (before, after))
    found: dict[str, set[str]] = {}
    for action, path in gained(then, now, Allowance()) or ():
        found.setdefault(path[-1], set()).add(action)
    return found


def test_a_gate_that_is_taken_away_gives_what_was_behind_it() -> None:
    closed = launchdarkly()
    opened = changed(closed, "proj", actions=tuple(replace(each, gate=False) for each in closed.kinds["proj"].actions))
    assert by_catalogue(closed, opened, FLAGS) == {"flag": {action.key for action in closed.kinds["flag"].actions}}
    assert by_catalogue(opened, closed, FLAGS) == {}


def test_an_action_and_a_kind_that_are_added_give_themselves_to_wildcards() -> None:
    before, gate = launchdarkly(), {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
    flown = KindAction("flyFlag", Mark.READ)
    after = changed(before, "flag", actions=(*before.kinds["flag"].actions, flown))
    assert by_catalogue(before, after, FLAGS, gate) == {"flag": {"flyFlag"}}
    assert by_catalogue(after, before, FLAGS, gate) == {}
    assert by_catalogue(before, after, gate) == {}
    plan = Kind("plan", (KindAction("runPlan", Mark.WRITE),))
    assert by_catalogue(before, Catalogue.of((*before, plan)), ALL) == {"plan": {"runPlan"}}


def test_a_property_that_is_added_frees_what_a_deny_held_for_it() -> None:
    with_property = launchdarkly()
    without = changed(with_property, "env", properties=())
    gate = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
    deny = {"effect": "deny", "actions": ["updateOn"], "resources": ["proj/*:env/*;{critical:true}:flag/*"]}
    assert by_catalogue(without, with_property, gate, FLAGS, deny) == {"flag": {"updateOn"}}
    assert by_catalogue(without, with_property, gate, FLAGS) == {}


def test_a_kind_that_stands_elsewhere_is_new_there() -> None:
    before = launchdarkly()
    after = changed(before, "metric", parents=())
    everywhere = {"effect": "allow", "actions": ["createMetric"], "resources": ["*"]}
    assert by_catalogue(before, after, everywhere) == {"metric": {"createMetric"}}


def test_what_takes_too_long_is_not_told() -> None:
    catalogue = launchdarkly()
    before, after = Standing((side(catalogue, []),), catalogue), Standing((side(catalogue, [ALL]),), catalogue)
    assert gained(before, after, Allowance(3)) is None
    assert gained(before, after, Allowance(10)) is None
    told = gained(before, after, Allowance())
    assert told
    assert len(told) == sum(len(kind.actions) for kind in catalogue) - 1  # the owner's alone


def test_a_side_that_is_added_or_stays_bounds_what_another_gives() -> None:
    catalogue = launchdarkly()
    narrow = [{"effect": "allow", "actions": ["updateOn"], "resources": ["proj/a:env/*:flag/*"]}]
    bounded = Standing((side(catalogue, narrow), side(catalogue, narrow)), catalogue)
    widened = Standing((side(catalogue, [ALL]), side(catalogue, narrow)), catalogue)
    assert gained(bounded, widened, Allowance()) == ()
    opened = Standing((side(catalogue, [ALL]), side(catalogue, [ALL])), catalogue)
    assert gained(bounded, opened, Allowance())
