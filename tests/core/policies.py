"""Random catalogues, policies and questions, drawn from few words so that they meet; and LaunchDarkly's catalogue.

Everything is drawn in its written form, so that a reading of the text can be held against a reading of the parsed form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
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
    """LaunchDarkly's kinds, as the example has them, beside Latchkey's own."""
    path = Path(__file__).parents[2] / "examples" / "launchdarkly.json"
    return Catalogue.of([*OWN_KINDS, *map(_kind, json.loads(path.read_text())["resourceKinds"])])


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


def _made(key: str, actions: str, parents: tuple[str, ...] = (), **traits: Any) -> Kind:
    """Make a kind whose actions are words, those that end in `!` gates."""
    words = [(word.rstrip("!"), word.endswith("!")) for word in actions.split()]
    return Kind(key, tuple(KindAction(word, Mark.WRITE, gate=gate) for word, gate in words), parents, **traits)


_ONE = _made("one", "view update", singleton=True)
CATALOGUES = (
    Catalogue.of(
        [
            _ONE,
            _made("top", "view! create update", taggable=True),
            _made("low", "view update updateOn", ("top",), taggable=True, properties=("critical",)),
            _made("leaf", "view update updateOn create", ("low",), taggable=True),
        ]
    ),
    Catalogue.of(
        [
            _ONE,
            _made("top", "view! viewAll! update", properties=PROPERTIES),
            _made("low", "view! update", ("top",), properties=("paid",)),
            _made("leaf", "view update", ("top", "low"), taggable=True, properties=PROPERTIES),
        ]
    ),
    Catalogue.of(
        [
            _made("one", "view! update", singleton=True, taggable=True),
            _made("top", "view update create", taggable=True),
            _made("low", "view update!", ("top", "one"), taggable=True),
            _made("leaf", "view updateOn", ("low",), properties=("critical",)),
        ]
    ),
    Catalogue.of([_ONE, _made("top", "view update"), _made("leaf", "view viewAll update", ("top",))]),
)
"""Two and three levels; gates at no, one and every level, and of a singleton; tags and properties here and there."""

_FILTERS = tuple(TAGS + TAG_GLOBS), tuple(f"{{{key}:{value}}}" for key in PROPERTIES for value in VALUES)
_WORDS = [list(words) for count in (1, 2, 3) for words in product(ACTIONS + ACTION_GLOBS, repeat=count)]
_OUTLINES = [
    (effect, actions, resources)
    for effect in ("allow", "allow", "allow", "deny")
    for actions in ("actions", "actions", "actions", "notActions")
    for resources in ("resources", "resources", "resources", "notResources")
]


def catalogues() -> st.SearchStrategy[Catalogue]:
    """Draw a small catalogue."""
    return st.sampled_from(CATALOGUES)


@st.composite
def specifiers(draw: st.DrawFn, catalogue: Catalogue) -> str:
    """Draw a specifier that the catalogue knows, as written."""
    path = draw(st.sampled_from([*catalogue.paths, *catalogue.paths, ()]))
    return ":".join(draw(segments(catalogue.kinds[key])) for key in path) or "*"


@cache
def segments(kind: Kind) -> st.SearchStrategy[str]:
    """Draw a segment of a specifier, as written."""
    attributes = [f"${{roleAttribute/{key}}}" for key in ATTRIBUTES]
    heads = [kind.key] if kind.singleton else [f"{kind.key}/{each}" for each in (*NAMES, *NAME_GLOBS, *attributes, "*")]
    tags, values = _FILTERS
    filters = [
        *(tags if kind.taggable else ()),
        *(each for each in values if each[1:].split(":")[0] in kind.properties),
    ]
    several = [*filters, *(f"{one},{other}" for one, other in product(filters, repeat=2))]
    return st.one_of(st.sampled_from(heads), st.sampled_from([f"{h};{f}" for h in heads for f in several] or heads))


@st.composite
def statements(draw: st.DrawFn, catalogue: Catalogue) -> RawStatement:
    """Draw a statement in its public JSON form. More allow than deny, else nothing is ever allowed."""
    effect, actions, resources = draw(st.sampled_from(_OUTLINES))
    places = draw(st.lists(specifiers(catalogue), min_size=1, max_size=4))
    return {"effect": effect, resources: places, actions: draw(st.sampled_from(_WORDS))}


def attributes() -> st.SearchStrategy[Attributes]:
    """Draw role attributes: some have no value, some several."""
    values = st.sampled_from([(), *product((*NAMES, "a*"), repeat=1), *product(NAMES, repeat=2)])
    return st.dictionaries(st.sampled_from(ATTRIBUTES), values)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a catalogue and a policy about it."""
    catalogue = draw(catalogues())
    return World(catalogue, draw(st.lists(statements(catalogue), max_size=5)), draw(attributes()))


@st.composite
def questions(draw: st.DrawFn, catalogue: Catalogue) -> Question:
    """Draw a question about a resource that states anything at all, also what the catalogue does not know."""
    path = draw(st.sampled_from(catalogue.paths))
    resource = ":".join(draw(stated_segments(catalogue.kinds[key])) for key in path)
    return Question(draw(st.sampled_from(ACTIONS)), resource)


@cache
def stated_segments(kind: Kind) -> st.SearchStrategy[str]:
    """Draw a segment of a resource, as written."""
    heads = [kind.key] if kind.singleton else [f"{kind.key}/{name}" for name in NAMES]
    tags = [None, "", *TAGS, "x,y", "xy,y"]
    values = ["", *_FILTERS[1], "{critical:true},{paid:false}"]
    carried = [
        ",".join(([] if tag is None else [tag]) + ([value] if value else [])) for tag in tags for value in values
    ]
    return st.one_of(st.sampled_from(heads), st.sampled_from([f"{h};{each}" for h in heads for each in carried]))
