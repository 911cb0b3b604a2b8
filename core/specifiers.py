"""Resource specifiers: what a policy's statements name, what a request asks about, and how the two match.

`docs/policy.md` is the specification; its table of matches is run as a test.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NoReturn, Self, TypeAlias

from core.catalogue import Catalogue

Attributes: TypeAlias = Mapping[str, tuple[str, ...]]
"""Role attributes: the literal names that stand for each."""

NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})

MAX_TEXT_LENGTH = 4096
"""Characters in one specifier or resource."""

REMEMBERED_LENGTH = 128
"""Characters of a segment, or of a whole resource, that is remembered, at most."""

_WORD = re.compile(r"[^\s:;,/*{}$]{1,256}")
_GLOB = re.compile(r"[^\s:;,/{}$]{1,256}")
_ATTRIBUTE = re.compile(rf"\$\{{roleAttribute/({_WORD.pattern})\}}")
_PROPERTY = re.compile(rf"\{{({_WORD.pattern}):({_WORD.pattern})\}}")


class Malformed(ValueError):
    """Text that is no specifier, resource or action. The message says what is wrong with it."""


class Match(IntEnum):
    """Whether something matches. `MAYBE`: something unstated or no longer resolvable decides."""

    NO = 0
    MAYBE = 1
    SURE = 2

    def __bool__(self) -> NoReturn:
        """Refuse: whether `MAYBE` is a yes depends on who asks, so every reader has to say which it means."""
        raise TypeError("a match is not a boolean: compare with NO for a deny, with SURE for an allow")


@dataclass(frozen=True, slots=True)
class ResourceSegment:
    """One step of a resource. `tags` None: not stated. A property that is not in `properties`: not stated."""

    kind: str
    name: str | None = None
    tags: frozenset[str] | None = None
    properties: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `flag/f;a,b`. Raises `Malformed`."""
        head, stated, carried = text.partition(";")
        kind, name = _kind_and_name(head)
        if name is not None:
            _require_word(name)
        items = carried.split(",") if stated else []
        properties = dict(_key_and_value(item) for item in items if item.startswith("{"))
        tags = [item for item in items if not item.startswith("{")]
        if len(properties) + len(tags) < len(items):
            raise Malformed(f"states a property twice in `{shorten(text)}`")
        return cls(kind, name, _stated(tags), tuple(sorted(properties.items())))

    def value(self, key: str) -> str | None:
        """Give the stated value of a property; None if it is not stated."""
        return next((value for known, value in self.properties if known == key), None)

    def known_to(self, catalogue: Catalogue) -> Self:
        """Forget what the catalogue does not let a resource of this kind have."""
        if self.tags is None and not self.properties:
            return self
        kind = catalogue.kinds.get(self.kind)
        tags = self.tags if kind and kind.taggable else None
        properties = tuple([pair for pair in self.properties if kind and pair[0] in kind.properties])
        lost = tags is not self.tags or len(properties) < len(self.properties)
        return type(self)(self.kind, self.name, tags, properties) if lost else self

    @property
    def specifier(self) -> str:
        """The narrowest segment of a specifier that surely matches it: it asks for all that is stated."""
        carried = [*sorted(self.tags or ()), *(f"{{{key}:{value}}}" for key, value in self.properties)]
        return f"{self};{','.join(carried)}" if carried else str(self)

    def __str__(self) -> str:
        return self.kind if self.name is None else f"{self.kind}/{self.name}"


_remembered = lru_cache(maxsize=4096)(ResourceSegment.parse)


def _segment(text: str) -> ResourceSegment:
    """Read a segment; the short ones that are asked about again and again are remembered."""
    return _remembered(text) if len(text) <= REMEMBERED_LENGTH else ResourceSegment.parse(text)


@dataclass(frozen=True, slots=True)
class Resource:
    """What a request asks about: concrete, no globs. `path` and `names` are those of the segments."""

    segments: tuple[ResourceSegment, ...]
    path: tuple[str, ...] = field(init=False, repr=False, compare=False)
    names: tuple[str | None, ...] = field(init=False, repr=False, compare=False)
    _specifier: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.segments:
            raise Malformed("lacks a kind")
        object.__setattr__(self, "path", tuple([segment.kind for segment in self.segments]))
        object.__setattr__(self, "names", tuple([segment.name for segment in self.segments]))

    @staticmethod
    def parse(text: str) -> "Resource":
        """Read `proj/web;a,b:env/dev;{critical:true}:flag/f;`. Raises `Malformed`."""
        return _remembered_resource(text) if len(text) <= REMEMBERED_LENGTH else _resource(text)

    @staticmethod
    def of(*segments: tuple[str, str | None]) -> "Resource":
        """Make a resource of kinds and names, nothing else stated. Raises `Malformed` for what nothing is called."""
        return _made(segments)

    @property
    def ancestors(self) -> tuple[Self, ...]:
        """Every proper prefix, outermost first."""
        return tuple(type(self)(self.segments[:length]) for length in range(1, len(self.segments)))

    def known_to(self, catalogue: Catalogue) -> Self:
        """Forget stated tags and properties that the catalogue does not know: unknown, whatever is said."""
        for segment in self.segments:
            if segment.tags is not None or segment.properties:
                break
        else:
            return self
        segments = tuple([segment.known_to(catalogue) for segment in self.segments])
        return self if segments == self.segments else type(self)(segments)

    @property
    def specifier(self) -> str:
        """The narrowest specifier that surely matches it. Written once: the same resources are asked about for ever."""
        if not self._specifier:
            object.__setattr__(self, "_specifier", ":".join([segment.specifier for segment in self.segments]))
        return self._specifier

    def __str__(self) -> str:
        return ":".join(map(str, self.segments))


def _resource(text: str) -> Resource:
    return Resource(tuple([_segment(piece) for piece in pieces(text)]))


@lru_cache(maxsize=4096)
def _made(segments: tuple[tuple[str, str | None], ...]) -> Resource:
    """Make a resource that is asked about again and again: of rows, for every guarded field of theirs."""
    for kind, name in segments:
        _require_word(kind)
        if name is not None:
            _require_word(name)
    return Resource(tuple([ResourceSegment(kind, name) for kind, name in segments]))


_remembered_resource = lru_cache(maxsize=4096)(_resource)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a segment must carry: a tag or tag glob, or, with `property`, that property's value."""

    value: str
    property: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `qa_*` or `{critical:true}`. Raises `Malformed`."""
        if text.startswith("{"):
            key, value = _key_and_value(text)
            return cls(value, key)
        return cls(_require_glob(text))

    def match(self, segment: ResourceSegment) -> Match:
        """Say whether the segment carries it; `MAYBE` if the segment does not say."""
        if self.property is not None:
            value = segment.value(self.property)
            return Match.MAYBE if value is None else _sure(value == self.value)
        if segment.tags is None:
            return Match.MAYBE
        return _sure(any(glob_matches(self.value, tag) for tag in segment.tags))

    def __str__(self) -> str:
        return self.value if self.property is None else f"{{{self.property}:{self.value}}}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One step of a specifier. `name` is as written: exact, a glob, `${roleAttribute/key}`, or None for a singleton."""

    kind: str
    name: str | None = None
    filters: tuple[Filter, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `flag/web-*;a,qa_*`. Raises `Malformed`."""
        head, filtered, filters = text.partition(";")
        kind, name = _kind_and_name(head)
        if name is not None and not _ATTRIBUTE.fullmatch(name):
            _require_glob(name)
        return cls(kind, name, tuple(map(Filter.parse, filters.split(","))) if filtered else ())

    @property
    def attribute(self) -> str | None:
        """The key of the role attribute that stands for the name, if one does."""
        found = _ATTRIBUTE.fullmatch(self.name) if self.name else None
        return found[1] if found else None

    @property
    def is_glob(self) -> bool:
        """Whether the name stands for many."""
        return self.name is not None and "*" in self.name

    def match(self, segment: ResourceSegment, attributes: Attributes) -> Match:
        """Say whether the kind, the name and every filter match."""
        if self.kind != segment.kind:
            return Match.NO
        return every(
            [self._match_name(segment.name, attributes), *(carried.match(segment) for carried in self.filters)]
        )

    def _match_name(self, name: str | None, attributes: Attributes) -> Match:
        if self.name is None or name is None:
            return _sure(self.name == name)
        if self.attribute is None:
            return _sure(glob_matches(self.name, name))
        values = attributes.get(self.attribute, ())
        return _sure(name in values) if values else Match.MAYBE

    def __str__(self) -> str:
        head = self.kind if self.name is None else f"{self.kind}/{self.name}"
        return f"{head};{','.join(map(str, self.filters))}" if self.filters else head


@dataclass(frozen=True, slots=True)
class Specifier:
    """Which resources a statement means. No segments: the lone `*`, everything."""

    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `proj/*:env/*;{critical:true}:flag/web-*`. Raises `Malformed`."""
        if text == "*":
            return cls(())
        first, *rest = pieces(text)
        # A published LaunchDarkly example has a stray slash before a kind; a kind cannot begin with one.
        return cls((Segment.parse(first), *(Segment.parse(piece.removeprefix("/")) for piece in rest)))

    @property
    def path(self) -> tuple[str, ...]:
        """The kinds from the top down; empty for everything."""
        return tuple(segment.kind for segment in self.segments)

    def match(self, resource: Resource, attributes: Attributes) -> Match:
        """Say whether the resource is meant. `attributes` are literal names by role attribute; without any: `MAYBE`."""
        if not self.segments:
            return Match.SURE
        if len(self.segments) != len(resource.segments):
            return Match.NO
        pairs = zip(self.segments, resource.segments, strict=True)
        return every(mine.match(theirs, attributes) for mine, theirs in pairs)

    def unknown(self, resource: Resource, attributes: Attributes) -> Iterator[str]:
        """Say what would have to be known to turn a match that is `MAYBE` into one or the other; nothing for others."""
        if self.match(resource, attributes) is not Match.MAYBE:
            return
        for length, (mine, theirs) in enumerate(zip(self.segments, resource.segments, strict=True), start=1):
            if mine.attribute and not attributes.get(mine.attribute):
                yield f"the value of `${{roleAttribute/{mine.attribute}}}`"
            for carried in mine.filters:
                if carried.match(theirs) is Match.MAYBE:
                    what = "the tags" if carried.property is None else f"`{carried.property}`"
                    yield f"{what} of `{Resource(resource.segments[:length])}`"

    def __str__(self) -> str:
        return ":".join(map(str, self.segments)) or "*"


def every(matches: Iterable[Match]) -> Match:
    """Join as `and`: one no is no, else one unknown is unknown."""
    return min(matches)


def some(matches: Iterable[Match]) -> Match:
    """Join as `or`: one yes is yes, else one unknown is unknown."""
    return max(matches)


def turned(match: Match) -> Match:
    """Turn round: yes becomes no, no becomes yes, unknown stays unknown."""
    return Match(Match.SURE - match)


def glob_matches(glob: str, text: str) -> bool:
    """Say whether the text is the glob with each `*` replaced by some run of characters. Linear, whatever the glob."""
    first, *rest = glob.split("*")
    if not rest:
        return text == glob
    *middle, last = rest
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def require_action_word(text: str) -> str:
    """Give back an action or action glob. Raises `Malformed`."""
    return _require_glob(text if text.isprintable() else "")


def shorten(text: str) -> str:
    """Cut what somebody typed down to what fits a message."""
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - about a line


def _sure(matches: bool) -> Match:
    return Match.SURE if matches else Match.NO


def pieces(text: str) -> list[str]:
    """Split a resource or a specifier into its segments: at every colon outside of braces. Raises `Malformed`."""
    if len(text) > MAX_TEXT_LENGTH:
        raise Malformed(f"is longer than {MAX_TEXT_LENGTH} characters")
    if not text.isprintable():
        raise Malformed("has a character that cannot be printed")
    if "{" not in text:
        return text.split(":")
    found, braced = [""], False
    for character in text:
        braced = character == "{" or (braced and character != "}")
        if character == ":" and not braced:
            found.append("")
        else:
            found[-1] += character
    return found


def _kind_and_name(head: str) -> tuple[str, str | None]:
    kind, slash, name = head.partition("/")
    if not _WORD.fullmatch(kind):
        raise Malformed(f"has the kind `{shorten(kind)}`, but {_RULE}" if kind else "lacks a kind")
    return kind, name if slash else None


def _key_and_value(text: str) -> tuple[str, str]:
    found = _PROPERTY.fullmatch(text)
    if not found:
        raise Malformed(f"has `{shorten(text)}` where a property is written `{{critical:true}}`")
    return found[1], found[2]


def _stated(tags: list[str]) -> frozenset[str] | None:
    """Nothing written states nothing; a single empty tag states that there are none."""
    if not tags:
        return None
    return frozenset() if tags == [""] else frozenset(map(_require_word, tags))


def _require_word(text: str) -> str:
    if not (_WORD.fullmatch(text) and text.isprintable()):
        raise Malformed(f"has `{shorten(text)}`, but {_RULE}")
    return text


def _require_glob(text: str) -> str:
    if not _GLOB.fullmatch(text):
        raise Malformed(f"has `{shorten(text)}`, but {_RULE}")
    return text


_RULE = "words are 1 to 256 printable characters, no space and none of `: ; , / * { } $`"
