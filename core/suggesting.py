"""The least that a scope need allow: what was used of it, and no more. Proven before it is offered, or not offered.

Each use is held against each statement of the scope, which gives *pieces*: what of the statement was used. Where many
names were used, a piece is as wide as its statement. Denies that could bind on a piece come along.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, product
from typing import TypeAlias

from core.catalogue import Catalogue
from core.covers import WORDS_A_STEP, Allowance, Allowed, Question, Reader, Reading, Readings, Refused, covers, words
from core.errors import Invalid
from core.policy import CompiledPolicy, Effect, Policy, Statement, check
from core.shapes import Path, Shape, Step, apart, split, whole, within
from core.specifiers import Resource, ResourceSegment, Segment, Specifier
from core.vocabulary import OWNER_ONLY

MOST_NAMES = 5
"""How many names a suggestion lists where the scope has a glob; if more were used, it keeps the glob."""
MOST_PIECES = 1_000
"""How many pieces are put together, at most: more would not fit a policy."""
EXAMPLE_STEPS = 5
"""What one example costs: to make it, and to decide about it twice."""

Access: TypeAlias = tuple[str, Specifier]
"""An action, and on what it was allowed: a resource, or names with `*` for many. The lone `*`: nobody knows on what."""
Word: TypeAlias = tuple[Path, str]
"""An action on a path of kinds."""
Wanted: TypeAlias = Mapping[Word, AbstractSet[Shape]]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy that allows what was used of a scope, provably no more than that scope, and surely less."""

    policy: Policy
    unused: tuple[str, ...]
    """The actions of the scope that it leaves out wherever they stand, sorted."""


def suggested(
    scope: Sequence[CompiledPolicy],
    used: Iterable[Access],
    catalogue: Catalogue,
    allowance: Allowance,
    most_names: int = MOST_NAMES,
) -> Suggestion | None:
    """Suggest a policy in place of a scope, which allows what any of its policies does.

    Whatever the scope allows of what was `used`, the suggestion provably allows; whatever it allows, the scope does;
    and there is a resource on which the scope allows more. None if there is no such policy, or no proof within the
    allowance.
    """
    used = list(used)
    wanted = _wanted(used, catalogue)
    try:
        parts = [list(_parts(policy, wanted, catalogue, allowance)) for policy in scope]
        policy = _written(chain.from_iterable(parts), catalogue, most_names, allowance)
    except _UnclearError:
        return None
    narrow = CompiledPolicy(policy, catalogue)
    unused = _unused(scope, narrow, catalogue, allowance) if policy else None
    if unused is None or not _allows_used(scope, narrow, used):
        return None
    proven = all(_keeps(narrow, each, catalogue, allowance) for each in parts) and covers(
        scope, [narrow], catalogue, allowance
    )
    return Suggestion(policy, unused) if proven else None


def _wanted(used: Iterable[Access], catalogue: Catalogue) -> Wanted:
    """Say what must be allowed, with the gates above. What the catalogue no longer knows can no longer be asked."""
    wanted: dict[Word, set[Shape]] = defaultdict(set)
    for action, specifier in used:
        for path in [specifier.path] if specifier.segments else catalogue.paths:
            if path not in catalogue.paths or catalogue.mark(path[-1], action) is None:
                continue
            named = tuple(Step((segment.name,), segment.filters) for segment in specifier.segments)
            names = named or whole(path, catalogue)
            wanted[path, action].add(names)
            for length in range(1, len(path)):
                for gate in catalogue.gates.get(path[length - 1], ()):
                    wanted[path[:length], gate].add(names[:length])
    return {word: shapes for word, shapes in wanted.items() if (word[0][-1], word[1]) not in OWNER_ONLY}


class _UnclearError(Exception):
    """Two globs that have names in common, but neither all of the other's; or too much to be put together."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What was used of one statement that allows, for an action on a path: pieces of what it allows, as it says it."""

    word: Word
    wide: Shape
    pieces: frozenset[Shape]
    refused: tuple[Refused, ...]
    """What is refused of it by what else its policy says."""


def _parts(policy: CompiledPolicy, wanted: Wanted, catalogue: Catalogue, allowance: Allowance) -> Iterator[_Part]:
    """Take from a policy what was used of it, gates aside."""
    by_path: dict[Path, list[str]] = defaultdict(list)
    for path, action in wanted:
        by_path[path].append(action)
    for path, actions in by_path.items():
        _require(allowance, words([policy]) * len(path) // WORDS_A_STEP)
        reader = Reader(policy, path, catalogue)
        for action in actions:
            reading, *_ = reader.read(action)
            for line in reading.allowed:
                yield from _taken((path, action), line, reading, wanted[path, action], allowance)


def _require(allowance: Allowance, steps: int) -> None:
    if not allowance.takes(steps):
        raise _UnclearError


def _taken(
    word: Word, line: Allowed, reading: Reading, used: AbstractSet[Shape], allowance: Allowance
) -> Iterator[_Part]:
    inside = [refused.shapes for refused in reading.refused if refused.outside]
    refused = tuple(each for each in (*reading.refused, *line.left_out) if not each.outside)
    wides = _each_within(line.shapes, inside, allowance)
    _require(allowance, 1 + len(wides) * (1 + len(refused)) * len(used))
    for wide in wides:
        met = (_meet(names, wide) for names in used)
        pieces = frozenset(piece for piece in met if piece and not any(each.holds((piece,)) for each in refused))
        yield _Part(word, wide, pieces, refused)


def _each_within(shapes: Sequence[Shape], limits: Iterable[Sequence[Shape]], allowance: Allowance) -> Sequence[Shape]:
    """Give what of some shapes is within one of each list: with every list there may be twice as much, or more."""
    for limit in limits:
        parts = [part for wide in limit for part in split(wide)]
        if len(parts) * len(shapes) > MOST_PIECES:
            raise _UnclearError
        _require(allowance, len(parts) * len(shapes))
        shapes = list(dict.fromkeys(met for part in parts for shape in shapes if (met := _meet(shape, part))))
    return shapes


def _meet(one: Shape, other: Shape) -> Shape | None:
    """Give what is surely in both of two shapes of one name per segment; None if nothing is."""
    if apart(one, other):
        return None
    return tuple(map(_met, one, other))


def _met(mine: Step, theirs: Step) -> Step:
    filters = tuple(dict.fromkeys((*theirs.filters, *mine.filters)))
    for narrow, wide in ((mine, theirs), (theirs, mine)):
        if within(((Step(narrow.names),),), (Step(wide.names),)):
            return Step(narrow.names, filters)
    raise _UnclearError


def _widened(pieces: AbstractSet[Shape], wide: Shape, most_names: int) -> AbstractSet[Shape]:
    """Put the glob of `wide` in place of names, from the last segment up, where pieces differ in too many."""
    for at in reversed(range(len(wide))):
        siblings: dict[Shape, set[Shape]] = defaultdict(set)
        for piece in pieces:
            siblings[(*piece[:at], wide[at], *piece[at + 1 :])].add(piece)
        each = ({general} if len(alike) > most_names else alike for general, alike in siblings.items())
        pieces = set(chain.from_iterable(each))
    return pieces


def _written(parts: Iterable[_Part], catalogue: Catalogue, most_names: int, allowance: Allowance) -> Policy:
    """Write what was used, with the denies that could bind on it. Nothing if it is too much for a policy."""
    allowed: dict[Word, set[Shape]] = defaultdict(set)
    denied: dict[Word, set[Shape]] = defaultdict(set)
    for part in parts:
        pieces = _widened(part.pieces, part.wide, most_names)
        denies = [shape for each in part.refused for denied_ in each.shapes for shape in split(denied_)]
        _require(allowance, len(denies) * len(pieces))
        allowed[part.word] |= pieces
        denied[part.word] |= {deny for deny in denies if not all(apart(deny, piece) for piece in pieces)}
        if len(allowed[part.word]) > MOST_PIECES:
            raise _UnclearError
    _require(allowance, sum(len(shapes) ** 2 for shapes in (*allowed.values(), *denied.values())))
    policy = (*_statements(Effect.ALLOW, allowed), *_statements(Effect.DENY, denied))
    try:
        check(policy, catalogue, "")
    except Invalid:
        raise _UnclearError from None
    return policy


def _outermost(shapes: Iterable[Shape]) -> list[Shape]:
    """Leave out what is within another."""
    left = sorted(shapes, key=str)
    for shape in tuple(left):
        others = [other for other in left if other is not shape]
        if any(within((shape,), other) for other in others):
            left = others
    return left


def _statements(effect: Effect, shapes: Mapping[Word, Iterable[Shape]]) -> Iterator[Statement]:
    actions: dict[Specifier, list[str]] = defaultdict(list)
    for (path, action), listed in shapes.items():
        for shape in _outermost(listed):
            actions[_specifier(path, shape)].append(action)
    alike: dict[tuple[str, ...], list[Specifier]] = defaultdict(list)
    for specifier, listed_actions in actions.items():
        alike[tuple(sorted(listed_actions))].append(specifier)
    for words_, specifiers in sorted(alike.items()):
        yield Statement(effect, actions=words_, resources=tuple(sorted(specifiers, key=str)))


def _specifier(path: Path, shape: Shape) -> Specifier:
    return Specifier(tuple(Segment(kind, step.names[0], step.filters) for kind, step in zip(path, shape, strict=True)))


def _allows_used(scope: Sequence[CompiledPolicy], narrow: CompiledPolicy, used: Iterable[Access]) -> bool:
    """Decide each use of a resource once more, as it was asked with nothing stated."""
    for action, specifier in used:
        if not specifier.segments or any(segment.is_glob for segment in specifier.segments):
            continue
        resource = Resource.of(*((segment.kind, segment.name) for segment in specifier.segments))
        if any(policy.allows(action, resource) for policy in scope) and not narrow.allows(action, resource):
            return False
    return True


def _keeps(narrow: CompiledPolicy, parts: Iterable[_Part], catalogue: Catalogue, allowance: Allowance) -> bool:
    """Prove that the narrow policy allows what was used of another, behind its gates, whatever is stated."""
    used: dict[Word, list[Allowed]] = defaultdict(list)
    for part in parts:
        used[part.word].append(Allowed(tuple(part.pieces), part.refused))
    readers: dict[Path, Reader] = {}
    for path, action in tuple(used):
        reader = readers.setdefault(path, Reader(narrow, path, catalogue))
        gates = (
            (path[:length], gate)
            for length in range(1, len(path))
            for gate in catalogue.gates.get(path[length - 1], ())
        )
        asked = [_beneath(used[word], path, catalogue) for word in ((path, action), *gates)]
        question = Question((reader.read(action),), tuple(asked))
        if not allowance.takes(question.steps) or not question.is_yes():
            return False
    return True


def _beneath(allowed: Iterable[Allowed], path: Path, catalogue: Catalogue) -> Reading:
    """Read what is allowed above as what it is of all that is on a path."""
    everything = whole(path, catalogue)

    def longer(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
        return tuple((*shape, *everything[len(shape) :]) for shape in shapes)

    return Reading(
        tuple(
            Allowed(longer(each.shapes), tuple(Refused(longer(refused.shapes)) for refused in each.left_out))
            for each in allowed
        ),
        (),
    )


def _unused(
    scope: Sequence[CompiledPolicy], narrow: CompiledPolicy, catalogue: Catalogue, allowance: Allowance
) -> tuple[str, ...] | None:
    """List the actions of a scope that the narrow policy nowhere allows; None if no example shows that it allows less.

    An example is a resource that the scope allows something on and the narrow policy does not.
    """
    is_less = False
    allowed, kept = set[str](), set[str]()
    for path in catalogue.paths:
        if not allowance.takes(words([*scope, narrow]) * len(path) // WORDS_A_STEP):
            return None
        readers = [Reader(policy, path, catalogue) for policy in scope]
        own = Reader(narrow, path, catalogue)
        for action in (action.key for action in catalogue.kinds[path[-1]].actions):
            if (path[-1], action) in OWNER_ONLY:
                continue
            if own.read(action)[0].allowed:
                kept.add(action)
            for example in _examples(path, [reader.read(action) for reader in readers], allowance):
                if any(policy.allows(action, example) for policy in scope):
                    allowed.add(action)
                    is_less = is_less or not narrow.allows(action, example)
                if is_less and action in allowed:
                    break
    return tuple(sorted(allowed - kept)) if is_less else None


def _examples(path: Path, readings: Iterable[Readings], allowance: Allowance) -> Iterator[Resource]:
    """Give a resource of each choice of shapes, of an action and of the gates above it, that all have one."""
    for each in readings:
        shapes = [[shape for line in reading.allowed for shape in line.shapes] for reading in each]
        for chosen in product(*shapes):
            if not allowance.takes(EXAMPLE_STEPS):
                return
            with suppress(_UnclearError):
                if met := _all_of(chosen):
                    yield Resource(tuple(map(_example, path, met)))


def _all_of(shapes: Sequence[Shape]) -> Shape | None:
    met: Shape | None = shapes[0]
    for shape in shapes[1:]:
        met = met and _meet(met, shape)
    return met


def _example(kind: str, step: Step) -> ResourceSegment:
    name = step.names[0] and step.names[0].replace("*", "other")
    tags = frozenset(each.value.replace("*", "") or "any" for each in step.filters if each.property is None)
    properties = {each.property: each.value for each in step.filters if each.property is not None}
    return ResourceSegment(kind, name, tags, tuple(sorted(properties.items())))


def granted(policies: Iterable[CompiledPolicy], catalogue: Catalogue) -> Iterator[Access]:
    """List what policies allow, denies aside: each action on each of the names that it is allowed on."""
    for policy in policies:
        for path in catalogue.paths:
            reader = Reader(policy, path, catalogue)
            for action in catalogue.kinds[path[-1]].actions:
                for line in reader.read(action.key)[0].allowed:
                    for shape in line.shapes:
                        yield action.key, _specifier(path, shape)
