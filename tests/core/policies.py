"""Random catalogues, policies and questions, drawn from few words so that they meet; and LaunchDarkly's catalogue.

Everything is drawn in its written form, so that a reading of the text can be held against a reading of the parsed form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.policy import Policy, parse_policy
from core.specifiers import Attributes, Resource
from core.vocabulary import OWN_KINDS

RawStatement = dict[str, Any]

NAMES = ("a", "b", "ab", "abc", "B")
NAME_GLOBS = ("*", "a*", "*b", "a*c", "*b*")
TAGS = ("x", "y", "xy")
TAG_GLOBS = ("*", "x*", "*y")
VALUES = ("true", "false")
PROPERTIES = ("critical", "paid")
ATTRIBUTES = ("team", "stage")
ACTIONS = ("view", "viewAll", "update", "updateOn", "create")
ACTION_GLOBS = ("*", "view*", "update*", "*e")


@cache
def launchdarkly() -> Catalogue:
    """LaunchDarkly-like kinds, as the demo defines them, beside Latchkey's own."""
    path = Path(__file__).parents[2] / "cli" / "demo" / "catalogue.json"
    return Catalogue.of([*OWN_KINDS, *map(_kind, json.loads(path.read_text()))])


def _kind(raw: Mapping[str, Any]) -> Kind:
    return Kind(
        key=raw["key"],
        actions=tuple(KindAction(a["key"], Mark(a["mark"]), a["description"], a["gate"]) for a in raw["actions"]),
        parents=tuple(raw["parents"]),
        name=raw["name"],
        description=raw["description"],
        properties=tuple(raw["properties"]),
        taggable=raw["taggable"],
        singleton=raw["singleton"],
    )


@dataclass(frozen=True)
class Question:
    """What is asked, the resource as written."""

    action: str
    resource_text: str

    @property
    def resource(self) -> Resource:
        """The resource as parsed."""
        return Resource.parse(self.resource_text)


@dataclass(frozen=True)
class World:
    """A catalogue, a policy that is right for it, as written, and the values of role attributes."""

    catalogue: Catalogue
    raw: Sequence[RawStatement]
    attributes: Attributes

    @property
    def policy(self) -> Policy:
        """The policy as parsed."""
        return parse_policy(list(self.raw), "policy")


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """Up to four kinds: two at the top, one of them perhaps a singleton, and two beneath, at one place or two."""
    parents = draw(st.sampled_from([(("top",), ("low",)), (("top",), ("top", "low")), (("top", "one"), ("low",))]))
    return Catalogue.of(
        [
            draw(kinds("top", ())),
            draw(kinds("one", (), singleton=True)),
            draw(kinds("low", parents[0])),
            draw(kinds("leaf", parents[1])),
        ]
    )


@st.composite
def kinds(draw: st.DrawFn, key: str, parents: tuple[str, ...], *, singleton: bool = False) -> Kind:
    """Draw a kind with a few actions, some of them gates."""
    actions = draw(st.lists(st.sampled_from(ACTIONS), unique=True, min_size=2))
    gates = draw(st.sets(st.sampled_from(actions), max_size=2)) if draw(st.booleans()) else set()
    return Kind(
        key=key,
        actions=tuple(KindAction(word, draw(st.sampled_from(Mark)), gate=word in gates) for word in actions),
        parents=parents,
        properties=tuple(draw(st.lists(st.sampled_from(PROPERTIES), unique=True))),
        taggable=draw(st.booleans()),
        singleton=singleton,
    )


@st.composite
def specifiers(draw: st.DrawFn, catalogue: Catalogue) -> str:
    """Draw a specifier that the catalogue knows, as written."""
    if draw(st.integers(0, 11)) == 0:
        return "*"
    return ":".join(draw(_segment(catalogue.kinds[key])) for key in draw(st.sampled_from(catalogue.paths)))


@st.composite
def _segment(draw: st.DrawFn, kind: Kind) -> str:
    attribute = st.sampled_from(ATTRIBUTES).map(lambda key: f"${{roleAttribute/{key}}}")
    name = draw(st.one_of(st.sampled_from(NAMES), st.sampled_from(NAME_GLOBS), st.just("*"), attribute))
    head = kind.key if kind.singleton else f"{kind.key}/{name}"
    tags = st.sampled_from(TAGS + TAG_GLOBS) if kind.taggable else st.nothing()
    values = st.sampled_from([f"{{{each}:{value}}}" for each in kind.properties for value in VALUES] or [""])
    choices = st.one_of(tags, values) if kind.properties else tags
    filters = draw(st.lists(choices, max_size=2)) if draw(st.booleans()) and not choices.is_empty else []
    return f"{head};{','.join(filters)}" if filters else head


@st.composite
def statements(draw: st.DrawFn, catalogue: Catalogue) -> RawStatement:
    """Draw a statement in its public JSON form. More allow than deny, else nothing is ever allowed."""
    words = st.lists(st.sampled_from(ACTIONS + ACTION_GLOBS), min_size=1, max_size=3)
    places = st.lists(specifiers(catalogue), min_size=1, max_size=4)
    actions, resources = (draw(st.sampled_from(("", "", "", "not"))) for _ in range(2))
    return {
        "effect": draw(st.sampled_from(("allow", "allow", "allow", "deny"))),
        "notActions" if actions else "actions": draw(words),
        "notResources" if resources else "resources": draw(places),
    }


def attributes() -> st.SearchStrategy[Attributes]:
    """Draw role attributes: some have no value, some several."""
    return st.dictionaries(
        st.sampled_from(ATTRIBUTES), st.lists(st.sampled_from((*NAMES, "a*")), max_size=2).map(tuple)
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a catalogue and a policy about it."""
    catalogue = draw(catalogues())
    return World(catalogue, draw(st.lists(statements(catalogue), max_size=5)), draw(attributes()))


@st.composite
def questions(draw: st.DrawFn, catalogue: Catalogue) -> Question:
    """Draw a question about a resource that states anything at all, also what the catalogue does not know."""
    path = draw(st.sampled_from(catalogue.paths))
    resource = ":".join(draw(_stated_segment(catalogue.kinds[key])) for key in path)
    return Question(draw(st.sampled_from(ACTIONS)), resource)


@st.composite
def _stated_segment(draw: st.DrawFn, kind: Kind) -> str:
    head = kind.key if kind.singleton else f"{kind.key}/{draw(st.sampled_from(NAMES))}"
    if draw(st.booleans()):
        return head
    tags = draw(st.one_of(st.none(), st.sets(st.sampled_from(TAGS))))
    values = draw(st.dictionaries(st.sampled_from(PROPERTIES), st.sampled_from(VALUES)))
    items = ([] if tags is None else [",".join(sorted(tags))]) + [f"{{{key}:{value}}}" for key, value in values.items()]
    return f"{head};{','.join(items)}" if items else head
