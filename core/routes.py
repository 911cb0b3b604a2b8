"""Routes: how the requests that a proxy asks about become actions on resources.

A request is read once and strictly: what two programs could read differently is refused, never guessed. Every route
that matches must allow, so a further route never opens what another one guards. Hence also: where a route fits but for
a segment that its part cannot hold, the request is refused, and not left to a wider route.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self
from urllib.parse import unquote_to_bytes

from core.catalogue import Catalogue
from core.errors import Invalid
from core.policy import check_action, check_resource
from core.specifiers import Malformed, Resource, shorten

MAX_ROUTES = 100
MAX_METHODS = 20
MAX_PATTERN_LENGTH = 512
MAX_TEMPLATE_LENGTH = 512
MAX_PATH_LENGTH = 4096
"""Bytes of a request's path."""

ANY_METHOD = ("*",)
BENEATH = "**"
"""As the last segment of a pattern: the path so far, and all beneath it."""

_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_HOST = re.compile(r"([a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:.]+\]")
_PORT = re.compile(r":[0-9]{0,5}")
_PART = re.compile(r"\{([a-z][A-Za-z0-9]{0,63})\}")
_HELD = re.compile(r"[A-Za-z0-9._-]+")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_NOT_IN_PATHS = ("\\", ";", "#", "?")
_DOTS = (".", "..")
_SCHEME = re.compile(rb"https?://", re.IGNORECASE)
_AUTHORITY = re.compile(rb"[^/?#]*")
_KEYS = ("methods", "host", "pattern", "action", "resource")


class Unreadable(ValueError):
    """A request that is not judged, because programs could read it differently. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a proxy tells of it: the method, the path in segments, decoded, and the host in lower case."""

    method: str
    path: tuple[str, ...]
    host: str | None = None

    @classmethod
    def parse(cls, method: bytes, target: bytes, host: bytes | None = None) -> Self:
        """Read a request. `target` is a path with or without a query, which is cut off. Raises `Unreadable`."""
        return cls(_method(method), path_of(target), None if host is None else _host(host))


def located(told: bytes) -> tuple[bytes, bytes | None]:
    """Split a URL into its target and its host; what is no URL is the target itself."""
    scheme = _SCHEME.match(told)
    if scheme is None:
        return told, None
    authority = _AUTHORITY.match(told, scheme.end())
    assert authority  # noqa: S101 - matches anything, and nothing too
    target = told[authority.end() :]
    return target if target.startswith(b"/") else b"/" + target, authority[0]


def path_of(target: bytes) -> tuple[str, ...]:
    """Read the path of a request's target: decoded once, in segments; a slash at its end is not told. `()` is `/`."""
    if b"#" in target:
        raise Unreadable("the target has a fragment")
    return _path(target.partition(b"?")[0])


@lru_cache(maxsize=1024)
def _path(told: bytes) -> tuple[str, ...]:
    if len(told) > MAX_PATH_LENGTH:
        raise Unreadable(f"the path has more than {MAX_PATH_LENGTH} bytes")
    if _BAD_ESCAPE.search(told) or _ENCODED_SLASH.search(told):
        raise Unreadable("the path has an encoded slash, or a `%` that encodes nothing")
    try:
        text = unquote_to_bytes(told).decode()
    except UnicodeDecodeError:
        raise Unreadable("the path is not UTF-8") from None
    if not text.startswith("/"):
        raise Unreadable("the path does not begin with `/`")
    return _segments(text)


def _segments(text: str) -> tuple[str, ...]:
    if not text.isprintable():
        raise Unreadable("the path has a character that cannot be printed")
    if _ESCAPE.search(text):
        raise Unreadable("the path is encoded twice")
    for character in _NOT_IN_PATHS:
        if character in text:
            raise Unreadable(f"the path has a `{character}`")
    segments = tuple(text.removesuffix("/").split("/")[1:])
    if "" in segments:
        raise Unreadable("the path has an empty segment")
    if any(segment in _DOTS for segment in segments):
        raise Unreadable("the path has a dot segment")
    return segments


@lru_cache(maxsize=64)
def _method(told: bytes) -> str:
    # Some servers take `post` for POST; then a route for POST would not be asked.
    method = told.decode("latin-1")
    if not _METHOD.fullmatch(method):
        raise Unreadable("the method is not written in capital letters")
    return method


@lru_cache(maxsize=256)
def _host(told: bytes) -> str:
    text = told.decode("latin-1").lower()
    found = _HOST.match(text)
    rest = text[found.end() :] if found else text
    if found is None or (rest.removeprefix(".") and not _PORT.fullmatch(rest.removeprefix("."))):
        raise Unreadable("the host is malformed")
    return found[0]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of paths, as in `/projects/{project}/flags/**`."""

    segments: tuple[str, ...]
    """Literal, or `{part}`."""
    beneath: bool = False
    _literal: tuple[tuple[int, str], ...] = field(init=False, repr=False, compare=False)
    _held: tuple[tuple[int, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = [(index, segment, _part(segment)) for index, segment in enumerate(self.segments)]
        literal = tuple((index, segment) for index, segment, name in named if name is None)
        object.__setattr__(self, "_literal", literal)
        object.__setattr__(self, "_held", tuple((index, name) for index, _, name in named if name is not None))

    @classmethod
    def parse(cls, text: str, field: str) -> Self:
        """Read a pattern. Raises `Invalid`."""
        if len(text) > MAX_PATTERN_LENGTH:
            raise Invalid(field, f"must have at most {MAX_PATTERN_LENGTH} characters")
        if not text.startswith("/") or (text.endswith("/") and text != "/"):
            raise Invalid(field, f"must begin with `/` and not end with one: `{shorten(text)}`")
        beneath = text.endswith(f"/{BENEATH}")
        pattern = cls(_literals(text.removesuffix(BENEATH) if beneath else text, field), beneath)
        parts = pattern.parts
        if len(set(parts)) < len(parts):
            raise Invalid(field, "names a part twice")
        return pattern

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its parts."""
        return tuple(name for segment in self.segments if (name := _part(segment)))

    def match(self, path: tuple[str, ...]) -> dict[str, str] | None:
        """Give what the parts are in a path; None if it does not match. Raises `Unreadable` for what no part holds."""
        if len(path) < len(self.segments) or (len(path) > len(self.segments) and not self.beneath):
            return None
        for index, segment in self._literal:
            if path[index] != segment:
                return None
        found = {name: path[index] for index, name in self._held}
        for name, value in found.items():
            if not _HELD.fullmatch(value):
                raise Unreadable(f"the path has `{shorten(value)}` in the place of `{{{name}}}`")
        return found

    def __str__(self) -> str:
        return "/" + "/".join((*self.segments, *((BENEATH,) if self.beneath else ())))


def _part(segment: str) -> str | None:
    return segment[1:-1] if segment[0] == "{" else None


def _literals(text: str, field: str) -> tuple[str, ...]:
    try:
        segments = _segments(text)
    except Unreadable as problem:
        raise Invalid(field, f"matches nothing: {problem}") from None
    for segment in segments:
        if not _PART.fullmatch(segment) and any(character in segment for character in "{}*"):
            raise Invalid(
                field,
                f"has the segment `{shorten(segment)}`, but a segment is literal, or a part as in `{{project}}`, "
                f"or `{BENEATH}` as the last",
            )
    return segments


@dataclass(frozen=True, slots=True)
class Template:
    """A resource in which parts of a pattern stand for names, as in `proj/{project}:env/*`."""

    text: str

    @classmethod
    def parse(cls, text: str, parts: tuple[str, ...], field: str) -> Self:
        """Read a template that may use these parts. Raises `Invalid`."""
        if len(text) > MAX_TEMPLATE_LENGTH:
            raise Invalid(field, f"must have at most {MAX_TEMPLATE_LENGTH} characters")
        for name in _PART.findall(text):
            if name not in parts:
                raise Invalid(field, f"has `{{{name}}}`, which is no part of the pattern")
        template = cls(text)
        one, other = (template._sample(sample, field) for sample in ("a", "b"))
        if _nameless(one) != _nameless(other):
            raise Invalid(field, "has a part outside of a name")
        return template

    def sample(self, field: str) -> Resource:
        """Give one of the resources that it stands for. Raises `Invalid` if it stands for none."""
        return self._sample("a", field)

    def _sample(self, sample: str, field: str) -> Resource:
        try:
            return Resource.parse(_PART.sub(sample, self.text))
        except Malformed as problem:
            raise Invalid(field, str(problem)) from None

    def filled(self, values: Mapping[str, str]) -> str:
        """Put the values of parts in."""
        if "{" not in self.text:
            return self.text
        return _PART.sub(lambda part: values[part[1]], self.text)


def _nameless(resource: Resource) -> Resource:
    return Resource(tuple(replace(segment, name=None) for segment in resource.segments))


@dataclass(frozen=True, slots=True)
class Check:
    """What a request needs by a route: an action, and a resource as text."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Route:
    """Which requests need an action on a resource. `host` None: on any; `*.example.com`: on any beneath it."""

    methods: tuple[str, ...]
    host: str | None
    pattern: Pattern
    action: str
    resource: Template

    @classmethod
    def parse(cls, raw: object, field: str) -> Self:
        """Read a route's JSON form. Raises `Invalid` naming the place, whatever `raw` is."""
        if not isinstance(raw, Mapping):
            raise Invalid(field, "must be a route, an object")
        for key in map(str, raw):
            if key not in _KEYS:
                raise Invalid(field, f"has the unknown field `{shorten(key)}`")
        pattern = Pattern.parse(_text(raw, "pattern", field), f"{field}.pattern")
        return cls(
            methods=_methods(raw.get("methods", ANY_METHOD), f"{field}.methods"),
            host=_route_host(raw.get("host"), f"{field}.host"),
            pattern=pattern,
            action=_text(raw, "action", field),
            resource=Template.parse(_text(raw, "resource", field), pattern.parts, f"{field}.resource"),
        )

    def check_words(self, catalogue: Catalogue, field: str) -> None:
        """Refuse words that the catalogue does not know. Raises `Invalid`."""
        resource = self.resource.sample(f"{field}.resource")
        check_resource(resource, catalogue, f"{field}.resource")
        check_action(self.action, resource, catalogue, f"{field}.action")

    def check(self, request: Request) -> Check | None:
        """Say what a request needs by this route; None if it does not match. Raises `Unreadable`."""
        if self.methods != ANY_METHOD and request.method not in self.methods:
            return None
        if self.host is not None and not _is_on(self.host, request.host):
            return None
        values = self.pattern.match(request.path)
        return None if values is None else Check(self.action, self.resource.filled(values))

    def json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "methods": list(self.methods),
            "host": self.host,
            "pattern": str(self.pattern),
            "action": self.action,
            "resource": self.resource.text,
        }


def parse_routes(raw: object, field: str) -> tuple[Route, ...]:
    """Read a JSON list of routes. Raises `Invalid` naming the place beneath `field`, whatever `raw` is."""
    if not isinstance(raw, list | tuple):
        raise Invalid(field, "must be a list of routes")
    if len(raw) > MAX_ROUTES:
        raise Invalid(field, f"must hold at most {MAX_ROUTES}")
    return tuple(Route.parse(route, f"{field}[{index}]") for index, route in enumerate(raw))


def checks(routes: tuple[Route, ...], request: Request) -> tuple[Check, ...]:
    """Say all that a request needs, by every route that matches; nothing means that none does. Raises `Unreadable`."""
    return tuple(check for route in routes if (check := route.check(request)))


def _is_on(host: str, asked: str | None) -> bool:
    if asked is None:
        raise Unreadable("the host is not told, and a route names one")
    return asked.endswith(host[1:]) if host.startswith("*.") else asked == host


def _methods(raw: object, field: str) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        raise Invalid(field, "must be a list of at least one method, `*` alone for any")
    if len(raw) > MAX_METHODS:
        raise Invalid(field, f"must hold at most {MAX_METHODS}")
    methods = tuple(raw)
    if methods == ANY_METHOD:
        return methods
    for index, method in enumerate(methods):
        if not isinstance(method, str) or not _METHOD.fullmatch(method):
            raise Invalid(f"{field}[{index}]", "must be a method in capital letters, or `*` alone for any")
    return methods


def _route_host(raw: object, field: str) -> str | None:
    if raw is None:
        return None
    if not isinstance(raw, str) or len(raw) > MAX_PATTERN_LENGTH or not _HOST.fullmatch(raw.removeprefix("*.")):
        raise Invalid(field, "must be a host in lower case without a port, or `*.` and a host for all beneath it")
    return raw


def _text(raw: Mapping[Any, Any], key: str, field: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise Invalid(f"{field}.{key}", "must be a string that is not empty")
    return value
