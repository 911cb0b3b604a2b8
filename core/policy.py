"""Policies: lists of statements that allow or deny, and how they decide.

`decide` is the plain reading of `docs/policy.md`; `CompiledPolicy` gives the same answers fast, and a property test
holds it to them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self, TypeAlias, TypeVar

from core.catalogue import Catalogue, Kind
from core.errors import Invalid
from core.reach import Reach
from core.specifiers import (
    NO_ATTRIBUTES,
    Attributes,
    Malformed,
    Match,
    Resource,
    ResourceSegment,
    Segment,
    Specifier,
    glob_matches,
    require_action_word,
    shorten,
    some,
    turned,
)

MAX_STATEMENTS = 100
MAX_WORDS = 200
"""Actions of one statement, and as many resources."""

MAX_POLICY_WORDS = 1_000
MAX_POLICY_LENGTH = 32_768
"""Of all statements together: words, and characters. A policy is held against others word by word."""

MAX_PLANS = 4096
"""Kept per compiled policy, so that no asker fills the memory with odd questions."""

Gates: TypeAlias = Mapping[str, tuple[str, ...]]
"""The gate actions of each kind that has any."""

NO_GATES: Final[Gates] = MappingProxyType({})

T = TypeVar("T")


class Effect(StrEnum):
    """What a matching statement does."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of a policy. Of the two actions exactly one is given, and not empty; of the two resources as well."""

    effect: Effect
    actions: tuple[str, ...] | None = None
    not_actions: tuple[str, ...] | None = None
    resources: tuple[Specifier, ...] | None = None
    not_resources: tuple[Specifier, ...] | None = None

    def __post_init__(self) -> None:
        if bool(self.actions) == bool(self.not_actions) or bool(self.resources) == bool(self.not_resources):
            raise ValueError("a statement has either actions or not_actions, and either resources or not_resources")

    @classmethod
    def parse(cls, raw: object, field: str) -> Self:
        """Read LaunchDarkly's public JSON form. Raises `Invalid` naming the place, whatever `raw` is."""
        if not isinstance(raw, Mapping):
            raise Invalid(field, "must be a statement, an object")
        for key in map(str, raw):
            if key not in _FIELDS:
                raise Invalid(field, f"has the unknown field {suggest(key, _FIELDS)}")
        effect = raw.get("effect")
        if not isinstance(effect, str) or effect not in list(Effect):
            raise Invalid(f"{field}.effect", "must be `allow` or `deny`")
        actions, not_actions = _either(raw, "actions", "notActions", require_action_word, field)
        resources, not_resources = _either(raw, "resources", "notResources", Specifier.parse, field)
        return cls(Effect(effect), actions, not_actions, resources, not_resources)

    def json(self) -> dict[str, str | list[str]]:
        """Give LaunchDarkly's public JSON form."""
        given = {key: [str(word) for word in words] for key, words in zip(_LISTS, self.lists, strict=True) if words}
        return {"effect": self.effect.value, **given}

    @property
    def lists(self) -> tuple[tuple[Specifier, ...] | tuple[str, ...] | None, ...]:
        """The four lists, of which two are given."""
        return (self.resources, self.not_resources, self.actions, self.not_actions)

    def speaks_of(self, action: str) -> bool:
        """Say whether the actions match."""
        words = self.actions or self.not_actions or ()
        listed = action in words or any("*" in word and glob_matches(word, action) for word in words)
        return listed is bool(self.actions)

    def reaches(self, resource: Resource, attributes: Attributes) -> Match:
        """Say whether the resources match."""
        if self.resources:
            return some(specifier.match(resource, attributes) for specifier in self.resources)
        return turned(some(specifier.match(resource, attributes) for specifier in self.not_resources or ()))

    def match(self, action: str, resource: Resource, attributes: Attributes) -> Match:
        """Say whether the statement matches."""
        return self.reaches(resource, attributes) if self.speaks_of(action) else Match.NO


_LISTS = ("resources", "notResources", "actions", "notActions")
_FIELDS = ("effect", *_LISTS)

Policy: TypeAlias = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """A statement that decided, its index in the policy, and what it decided about: what was asked, or a closed gate.

    Without a statement: nothing opened the gate.
    """

    index: int | None
    statement: Statement | None
    action: str
    resource: Resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a policy allows, and exactly the statements that decided. A refusal without any is silence."""

    allowed: bool
    because: tuple[Reason, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


def parse_policy(raw: object, field: str) -> Policy:
    """Read a JSON list of statements. Raises `Invalid` naming the place beneath `field`, whatever `raw` is."""
    if not isinstance(raw, list | tuple):
        raise Invalid(field, "must be a list of statements")
    return tuple(Statement.parse(statement, f"{field}[{index}]") for index, statement in enumerate(raw))


def decide(
    policy: Policy, action: str, resource: Resource, *, gates: Gates = NO_GATES, attributes: Attributes = NO_ATTRIBUTES
) -> Decision:
    """Decide as `docs/policy.md` says. `gates` are the catalogue's, `attributes` the values of role attributes."""

    def weigh(action: str, resource: Resource) -> Decision:
        lines = [(index, line, line.match(action, resource, attributes)) for index, line in enumerate(policy)]
        denies = [(index, line) for index, line, match in lines if line.effect is Effect.DENY and match is not Match.NO]
        allows = [(index, line) for index, line, match in lines if line.effect is Effect.ALLOW and match is Match.SURE]
        because = tuple(Reason(index, line, action, resource) for index, line in denies or allows)
        return Decision(bool(allows) and not denies, because)

    return _behind_gates(weigh, action, resource, gates)


def _behind_gates(
    weigh: Callable[[str, Resource], Decision], action: str, resource: Resource, gates: Gates
) -> Decision:
    """Allow what `weigh` allows if it allows every gate above the resource as well."""
    decision = weigh(action, resource)
    if not decision:
        return decision
    closed: list[Reason] = []
    for ancestor in resource.ancestors:
        for gate in gates.get(ancestor.path[-1], ()):
            opened = weigh(gate, ancestor)
            if not opened:
                closed += opened.because or [Reason(None, None, gate, ancestor)]
    return Decision(False, tuple(closed)) if closed else decision


def _either(
    raw: Mapping[str, object], key: str, inverse: str, parse: Callable[[str], T], field: str
) -> tuple[tuple[T, ...] | None, tuple[T, ...] | None]:
    """Read the one list of the two that is given; null is not given."""
    given = [each for each in (key, inverse) if raw.get(each) is not None]
    if not given:
        raise Invalid(f"{field}.{key}", f"is needed, or `{inverse}`")
    if len(given) > 1:
        raise Invalid(f"{field}.{inverse}", f"cannot stand beside `{key}`")
    words = _words(raw[given[0]], parse, f"{field}.{given[0]}")
    return (words, None) if given == [key] else (None, words)


def _words(raw: object, parse: Callable[[str], T], field: str) -> tuple[T, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        raise Invalid(field, "must be a list of at least one string")
    return tuple(_word(word, parse, f"{field}[{index}]") for index, word in enumerate(raw))


def _word(raw: object, parse: Callable[[str], T], field: str) -> T:
    if not isinstance(raw, str):
        raise Invalid(field, "must be a string")
    try:
        return parse(raw)
    except Malformed as problem:
        raise Invalid(field, str(problem)) from None


def check(policy: Policy, catalogue: Catalogue, field: str) -> None:
    """Refuse a policy that is too long or has words that the catalogue does not know. Raises `Invalid`."""
    if len(policy) > MAX_STATEMENTS:
        raise Invalid(field, f"has more than {MAX_STATEMENTS} statements")
    words = [str(word) for statement in policy for listed in statement.lists for word in listed or ()]
    if len(words) > MAX_POLICY_WORDS:
        raise Invalid(field, f"has more than {MAX_POLICY_WORDS} actions and resources in all")
    if sum(map(len, words)) > MAX_POLICY_LENGTH:
        raise Invalid(field, f"has more than {MAX_POLICY_LENGTH} characters in all")
    for index, statement in enumerate(policy):
        check_statement(statement, catalogue, f"{field}[{index}]")


def check_resource(resource: Resource, catalogue: Catalogue, field: str) -> None:
    """Refuse a resource whose kinds the catalogue does not know, or does not nest or name so. Raises `Invalid`."""
    shape = (resource.path, tuple([name is None for name in resource.names]) if None in resource.names else ())
    if shape not in catalogue.proper:
        for _ in _checked_kinds(resource.segments, catalogue, field):
            pass
        catalogue.proper.add(shape)  # proper ones are as few as the catalogue's paths


def check_action(action: str, resource: Resource, catalogue: Catalogue, field: str) -> None:
    """Refuse an action that the resource's kind does not have. Raises `Invalid`."""
    kind = resource.path[-1]
    if catalogue.mark(kind, action) is None:
        known = [each.key for each in catalogue.kinds[kind].actions] if kind in catalogue.kinds else []
        raise Invalid(field, f"is no action of `{kind}`: {suggest(action, known)}")


def check_statement(statement: Statement, catalogue: Catalogue, field: str) -> None:
    """Refuse a statement that has words the catalogue does not know. Raises `Invalid`."""
    specifiers = statement.resources or statement.not_resources or ()
    specifiers_at = f"{field}.{'resources' if statement.resources else 'notResources'}"
    actions = statement.actions or statement.not_actions or ()
    actions_at = f"{field}.{'actions' if statement.actions else 'notActions'}"
    for at, words in ((specifiers_at, specifiers), (actions_at, actions)):
        if len(words) > MAX_WORDS:
            raise Invalid(at, f"has more than {MAX_WORDS} words")
    for index, specifier in enumerate(specifiers):
        _check_specifier(specifier, catalogue, f"{specifiers_at}[{index}]")
    kinds = _kinds_named(statement, catalogue)
    known = {action.key for kind in kinds for action in kind.actions}
    for index, action in enumerate(actions):
        if action != "*" and not any(glob_matches(action, each) for each in known):
            on = f"`{kinds[0].key}`" if len(kinds) == 1 else "the kinds it is for"
            raise Invalid(f"{actions_at}[{index}]", f"is no action of {on}: {suggest(action, known)}")


def _kinds_named(statement: Statement, catalogue: Catalogue) -> Sequence[Kind]:
    """The kinds that a statement's actions may belong to."""
    if statement.resources and all(specifier.segments for specifier in statement.resources):
        return [catalogue.kinds[key] for key in {specifier.path[-1]: None for specifier in statement.resources}]
    return list(catalogue)


def _check_specifier(specifier: Specifier, catalogue: Catalogue, field: str) -> None:
    kinds = _checked_kinds(specifier.segments, catalogue, field)
    for segment, kind in zip(specifier.segments, kinds, strict=True):
        for carried in segment.filters:
            if carried.property is None and not kind.taggable:
                raise Invalid(field, f"asks for the tag `{shorten(carried.value)}`, but `{kind.key}` has no tags")
            if carried.property is not None and carried.property not in kind.properties:
                raise Invalid(
                    field, f"has an unknown property of `{kind.key}`: {suggest(carried.property, kind.properties)}"
                )


def _checked_kinds(
    segments: Sequence[Segment] | Sequence[ResourceSegment], catalogue: Catalogue, field: str
) -> Iterator[Kind]:
    """Go down the kinds, refusing one that is unknown, or where it may not stand, or named as it may not be."""
    above = None
    for segment in segments:
        kind = catalogue.kinds.get(segment.kind)
        if kind is None:
            raise Invalid(field, f"has an unknown kind: {suggest(segment.kind, catalogue.kinds)}")
        if above not in (kind.parents or (None,)):
            place = "beneath " + " or ".join(f"`{parent}`" for parent in kind.parents) if kind.parents else "at the top"
            raise Invalid(field, f"has `{kind.key}` where it cannot be: it stands {place}")
        if kind.singleton and segment.name is not None:
            raise Invalid(field, f"has a name for `{kind.key}`, of which there is only one: write `{kind.key}`")
        if not kind.singleton and segment.name is None:
            raise Invalid(field, f"lacks a name for `{kind.key}`: write `{kind.key}/…`")
        yield kind
        above = kind.key


def suggest(word: str, known: Iterable[str]) -> str:
    """Quote a word, and the nearest known one if any is near."""
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(shorten(word).lower(), by_lower, n=1)
    quoted = f"`{shorten(word)}`"
    return f"{quoted}, did you mean `{by_lower[near[0]]}`?" if near else quoted


@dataclass(frozen=True, slots=True)
class _Line:
    """A statement with its index in the policy, and its resources made ready to look up."""

    index: int
    statement: Statement
    reach: Reach


@dataclass(frozen=True, slots=True)
class _Plan:
    """The lines of a policy that may have a say about one action on one path of kinds."""

    denies: tuple[_Line, ...]
    allows: tuple[_Line, ...]
    open: bool
    """Whether it allows every resource there whose segments all have names."""
    gates: tuple[tuple[int, str], ...]
    """The gates to ask above, each with how many segments down it is."""
    wide_open: bool
    """Whether it is open, and every gate above as well."""

    def passes(self, resource: Resource) -> bool:
        """Say whether the lines allow, gates aside."""
        if self.open and None not in resource.names:
            return True
        for line in self.denies:
            if line.reach.match(resource) is not Match.NO:
                return False
        return any(line.reach.match(resource) is Match.SURE for line in self.allows)


def _reach(statement: Statement, attributes: Attributes) -> Reach:
    specifiers = statement.resources or statement.not_resources or ()
    return Reach(specifiers, attributes, inverted=bool(statement.not_resources))


class CompiledPolicy:
    """A policy made ready to decide often: `decide` with this catalogue's gates and these role attributes.

    What a resource states that the catalogue does not know counts as not stated.
    """

    __slots__ = ("__weakref__", "_beginning", "_catalogue", "_lines", "_plans", "attributes", "policy")

    def __init__(self, policy: Policy, catalogue: Catalogue, attributes: Attributes = NO_ATTRIBUTES) -> None:
        self.policy = policy
        self.attributes: Attributes = MappingProxyType(dict(attributes))
        self._catalogue = catalogue
        self._beginning: CompiledPolicy | None = None
        self._lines: list[_Line] = []
        self._plans: dict[tuple[tuple[str, ...], str], _Plan] = {}
        self._read(policy)

    def and_then(self, more: Policy) -> "CompiledPolicy":
        """Make the policy that has further statements behind these; what is ready of these is shared."""
        longer = CompiledPolicy((), self._catalogue, self.attributes)
        longer.policy = (*self.policy, *more)
        longer._beginning = self  # kept as long, for others that begin with it
        longer._lines = [*self._lines]
        longer._read(more)
        return longer

    def _read(self, policy: Policy) -> None:
        for index, line in enumerate(policy, start=len(self._lines)):
            self._lines.append(_Line(index, line, _reach(line, self.attributes)))

    def decide(self, action: str, resource: Resource) -> Decision:
        """Decide, with exactly the statements that decided."""
        return _behind_gates(self._weigh, action, resource.known_to(self._catalogue), self._catalogue.gates)

    def allows(self, action: str, resource: Resource) -> bool:
        """Say whether `decide` allows, without its reasons."""
        plan = self._plan(action, resource.path)
        if plan.wide_open and None not in resource.names:
            return True
        known = resource.known_to(self._catalogue)
        if not plan.passes(known):
            return False
        for length, gate in plan.gates:
            above = self._plan(gate, known.path[:length])
            if above.open and None not in known.names:
                continue
            if not above.passes(Resource(known.segments[:length])):
                return False
        return True

    def allows_all(self, action: str, path: tuple[str, ...]) -> bool:
        """Say whether it allows whatever is on a path of kinds, as long as every segment has a name."""
        return self._plan(action, path).wide_open

    def opens(self, action: str, resource: Resource) -> bool:
        """Say whether it allows, gates aside."""
        known = resource.known_to(self._catalogue)
        return self._plan(action, known.path).passes(known)

    def gates_above(self, resource: Resource) -> Iterator[tuple[str, Resource]]:
        """List the gates that must be open for anything on a resource."""
        known = resource.known_to(self._catalogue)
        for length, gate in self._gates_above(known.path):
            yield gate, Resource(known.segments[:length])

    def unknown(self, action: str, resource: Resource) -> Iterator[str]:
        """Say what is not known of the resource, or of the gates above it, that the statements ask about."""
        known = resource.known_to(self._catalogue)
        for asked, of in ((action, known), *self.gates_above(known)):
            for line in self.policy:
                if line.match(asked, of, self.attributes) is Match.MAYBE:
                    for specifier in line.resources or line.not_resources or ():
                        yield from specifier.unknown(of, self.attributes)

    def _gates_above(self, path: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        gates = self._catalogue.gates
        for length, kind in enumerate(path[:-1], start=1):
            for gate in gates.get(kind, ()):
                yield length, gate

    def _weigh(self, action: str, resource: Resource) -> Decision:
        plan = self._plan(action, resource.path)
        denies = [line for line in plan.denies if line.reach.match(resource) is not Match.NO]
        allows = [line for line in plan.allows if line.reach.match(resource) is Match.SURE]
        because = tuple(Reason(line.index, line.statement, action, resource) for line in denies or allows)
        return Decision(bool(allows) and not denies, because)

    def _plan(self, action: str, path: tuple[str, ...]) -> _Plan:
        plan = self._plans.get((path, action))
        if plan is None:
            lines = [each for each in self._lines if each.statement.speaks_of(action) and each.reach.concerns(path)]
            denies = tuple(line for line in lines if line.statement.effect is Effect.DENY)
            allows = tuple(line for line in lines if line.statement.effect is Effect.ALLOW)
            is_open = not denies and any(line.reach.holds_all(path) for line in allows)
            gates = tuple(self._gates_above(path))
            wide_open = is_open and all(self._plan(gate, path[:length]).open for length, gate in gates)
            plan = _Plan(denies, allows, is_open, gates, wide_open)
            if len(self._plans) < MAX_PLANS and self._catalogue.mark(path[-1], action) is not None:
                self._plans[path, action] = plan
        return plan
