"""Routes: what is read of a request and what is refused, what matches, and what it then needs."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.errors import Invalid
from core.routes import Check, Request, Route, Unreadable, checks, located, parse_routes, path_of
from tests.organisation import ENV, FLAG, PROJ

CATALOGUE = Catalogue.of((PROJ, ENV, FLAG, Kind("api", (KindAction("read", Mark.READ),), singleton=True)))


def route(pattern: str = "/**", **fields: Any) -> dict[str, Any]:
    return {"pattern": pattern, "action": "viewProject", "resource": "proj/web", **fields}


def needs(pattern: str, path: str, **fields: Any) -> tuple[Check, ...]:
    return checks(parse_routes([route(pattern, **fields)], "routes"), Request.parse(b"GET", path.encode()))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", ()),
        (b"/?", ()),
        (b"/a", ("a",)),
        (b"/a/", ("a",)),
        (b"/a/b?c=/../d//e;%00", ("a", "b")),
        (b"/a?b?c", ("a",)),
        (b"/%61%2e%2D", ("a.-",)),
        (b"/a%20b/100%25", ("a b", "100%")),
        (b"/caf%C3%A9", ("café",)),
        (b"/caf\xc3\xa9", ("café",)),
        (b"/...", ("...",)),
        (b"/.hidden", (".hidden",)),
        (b"/a+b:c,d@e", ("a+b:c,d@e",)),
    ],
)
def test_a_path_is_read(target: bytes, path: tuple[str, ...]) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize(
    "target",
    [
        b"", b"a", b"?", b"*", b"http://a/b", b"//", b"//a", b"/a//b", b"/a//", b"/.", b"/..", b"/a/../b", b"/a/./b",
        b"/a/..", b"/%2e", b"/%2E%2e/a", b"/.%2e/a", b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a\\b", b"/a;b", b"/a%3Bb",
        b"/a%3fb", b"/%00", b"/a%0ab", b"/a\x7fb", b"/a%C2%85", b"/%FF", b"/\xff", b"/%C0%AF", b"/%ED%A0%80", b"/a#b",
        b"/a%23b", b"/a?b#c", b"/%252e%252e", b"/%2541", b"/a%", b"/a%4", b"/a%zz", b"/%u002f", b"/a" * 2049,
        b"/a%E2%80%A8b",
    ],
)  # fmt: skip
def test_what_programs_could_read_differently_is_refused(target: bytes) -> None:
    with pytest.raises(Unreadable):
        path_of(target)


@pytest.mark.parametrize("method", [b"", b"get", b"Get", b"*", b"GET ", b" GET", b"G\xc9T", b"A" * 33, b"GET,POST"])
def test_a_method_is_written_in_capital_letters(method: bytes) -> None:
    with pytest.raises(Unreadable):
        Request.parse(method, b"/")


@pytest.mark.parametrize(
    ("told", "host"),
    [
        (b"example.com", "example.com"),
        (b"EXAMPLE.com:8080", "example.com"),
        (b"example.com.", "example.com"),
        (b"example.com.:443", "example.com"),
        (b"192.0.2.1:80", "192.0.2.1"),
        (b"[2001:db8::1]:80", "[2001:db8::1]"),
        (b"localhost:", "localhost"),
    ],
)
def test_a_host_is_read_without_its_port(told: bytes, host: str) -> None:
    assert Request.parse(b"GET", b"/", told).host == host


@pytest.mark.parametrize(
    "told", [b"", b".", b"a..b", b"a, b", b"a/b", b"u@a", b"a:b", b"a:80:90", b"a..", b"\xe9", b"[a]x"]
)
def test_a_malformed_host_is_refused(told: bytes) -> None:
    with pytest.raises(Unreadable):
        Request.parse(b"GET", b"/", told)


@pytest.mark.parametrize(
    ("told", "target", "host"),
    [
        (b"/a?b", b"/a?b", None),
        (b"http://h:1/a?b", b"/a?b", b"h:1"),
        (b"HTTPS://h", b"/", b"h"),
        (b"https://h?b", b"/?b", b"h"),
        (b"https:///a", b"/a", b""),
        (b"ftp://h/a", b"ftp://h/a", None),
        (b"http://h#a", b"/#a", b"h"),
    ],
)
def test_a_url_is_split_into_target_and_host(told: bytes, target: bytes, host: bytes | None) -> None:
    assert located(told) == (target, host)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/", ["/"], ["/a"]),
        ("/**", ["/", "/a", "/a/b/c"], []),
        ("/a", ["/a", "/a/", "/%61"], ["/", "/A", "/a/b", "/ab", "/b"]),
        ("/a/**", ["/a", "/a/", "/a/b", "/a/b/c"], ["/", "/ab", "/b/a"]),
        ("/a/b", ["/a/b"], ["/a", "/a/b/c", "/a/c"]),
        ("/{x}", ["/a", "/A.b_c-9", "/..."], ["/", "/a/b"]),
        ("/{x}/c", ["/a/c"], ["/a", "/a/b", "/a/b/c", "/a b/d"]),
        ("/a b", ["/a%20b"], ["/a+b", "/a"]),
        ("/café", ["/caf%C3%A9"], ["/cafe"]),
    ],
)
def test_a_pattern_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    assert [path for path in [*matching, *others] if needs(pattern, path)] == matching


@pytest.mark.parametrize("value", ["a b", "a~b", "é", "a%25", "a:b", "*", "{x}", "a,b"])
def test_what_a_part_cannot_hold_is_refused_and_not_left_to_a_wider_route(value: str) -> None:
    routes = parse_routes([route("/things/{x}"), route("/**")], "routes")
    with pytest.raises(Unreadable):
        checks(routes, Request.parse(b"GET", f"/things/{quote(value, safe='%')}".encode()))
    assert len(checks(routes, Request.parse(b"GET", b"/things/a"))) == 2
    assert len(checks(routes, Request.parse(b"GET", f"/others/{quote(value, safe='%')}".encode()))) == 1


def test_every_route_that_matches_has_its_say() -> None:
    listed = [
        route("/{a}/{b}", methods=["GET", "HEAD"], resource="proj/{a}:env/{b}", action="updateName"),
        route("/x/**", methods=["*"], resource="proj/x"),
        route("/x/y", methods=["POST"], resource="proj/y"),
        route("/**", resource="proj/all", host="other.example"),
    ]
    routes = parse_routes(listed, "routes")
    assert checks(routes, Request("GET", ("x", "y"), "a.example")) == (
        Check("updateName", "proj/x:env/y"),
        Check("viewProject", "proj/x"),
    )
    assert checks(routes, Request("DELETE", ("z",), "a.example")) == ()


@pytest.mark.parametrize(
    ("host", "matching", "others"),
    [
        ("example.com", ["example.com"], ["a.example.com", "example.org", "xexample.com"]),
        ("*.example.com", ["a.example.com", "a.b.example.com"], ["example.com", "aexample.com", "a.example.org"]),
    ],
)
def test_a_host_matches(host: str, matching: list[str], others: list[str]) -> None:
    routes = parse_routes([route(host=host)], "routes")
    assert [name for name in [*matching, *others] if checks(routes, Request("GET", (), name))] == matching


def test_where_a_route_names_a_host_it_must_be_told() -> None:
    routes = parse_routes([route(), route(host="example.com")], "routes")
    with pytest.raises(Unreadable):
        checks(routes, Request("GET", ()))


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("routes", None),
        ("routes", {}),
        ("routes", [route()] * 101),
        ("routes[0]", ["x"]),
        ("routes[0]", [route(colour="red")]),
        ("routes[0].pattern", [{"action": "a", "resource": "b"}]),
        ("routes[1].pattern", [route(), route("")]),
        ("routes[0].pattern", [route("a")]),
        ("routes[0].pattern", [route("/a/")]),
        ("routes[0].pattern", [route("//a")]),
        ("routes[0].pattern", [route("/../a")]),
        ("routes[0].pattern", [route("/a/**/b")]),
        ("routes[0].pattern", [route("/a**")]),
        ("routes[0].pattern", [route("/a*")]),
        ("routes[0].pattern", [route("**")]),
        ("routes[0].pattern", [route("/x{a}")]),
        ("routes[0].pattern", [route("/{a}b")]),
        ("routes[0].pattern", [route("/{}")]),
        ("routes[0].pattern", [route("/{A}")]),
        ("routes[0].pattern", [route("/{a}/{a}")]),
        ("routes[0].pattern", [route("/a;b")]),
        ("routes[0].pattern", [route("/a?b")]),
        ("routes[0].pattern", [route("/%61")]),
        ("routes[0].pattern", [route("/" + "a" * 512)]),
        ("routes[0].methods", [route(methods=[])]),
        ("routes[0].methods", [route(methods="GET")]),
        ("routes[0].methods", [route(methods=None)]),
        ("routes[0].methods", [route(methods=["GET"] * 21)]),
        ("routes[0].methods[1]", [route(methods=["GET", "*"])]),
        ("routes[0].methods[0]", [route(methods=["get"])]),
        ("routes[0].methods[0]", [route(methods=[["GET"]])]),
        ("routes[0].host", [route(host="")]),
        ("routes[0].host", [route(host=1)]),
        ("routes[0].host", [route(host="Example.com")]),
        ("routes[0].host", [route(host="example.com:80")]),
        ("routes[0].host", [route(host="*")]),
        ("routes[0].host", [route(host="a.*.com")]),
        ("routes[0].action", [route(action="")]),
        ("routes[0].action", [route(action=["a"])]),
        ("routes[0].resource", [route(resource="")]),
        ("routes[0].resource", [route(resource="proj/*")]),
        ("routes[0].resource", [route(resource="proj/{x}")]),
        ("routes[0].resource", [route("/{a}", resource="{a}/web")]),
        ("routes[0].resource", [route("/{a}", resource="proj/web;{a}")]),
        ("routes[0].resource", [route("/{a}", resource="proj/web;{critical:{a}}")]),
        ("routes[0].resource", [route("/{a}", resource="proj/{b}")]),
        ("routes[0].resource", [route(resource="proj/" + "a" * 512)]),
    ],
)
def test_a_bad_route_names_the_field(field: str, raw: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_routes(raw, "routes")
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("r.resource", route(resource="thing/x")),
        ("r.resource", route(resource="flag/x")),
        ("r.resource", route(resource="api/x")),
        ("r.action", route(action="updateOn")),
        ("r.action", route(action="read", resource="proj/x")),
    ],
)
def test_words_are_the_catalogues(field: str, raw: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        Route.parse(raw, "r").check_words(CATALOGUE, "r")
    assert refusal.value.field == field
    Route.parse(route("/{a}", resource="proj/web-{a}:env/{a};x:flag/{a}", action="updateOn"), "r").check_words(
        CATALOGUE, "r"
    )
    Route.parse(route(resource="api", action="read"), "r").check_words(CATALOGUE, "r")


def test_a_route_is_written_as_it_was_read() -> None:
    raw = route("/a/{b}/**", methods=["GET", "HEAD"], host="*.example.com", resource="proj/{b}")
    assert Route.parse(raw, "r").json() == raw
    assert Route.parse(route("/"), "r").json() == route("/", methods=["*"], host=None)


segments = st.text("aB1._-~ é%{}*", min_size=1, max_size=3)
literals = st.text("ab.é", min_size=1, max_size=2).filter(lambda text: text not in {".", ".."})
patterns = st.tuples(
    st.lists(st.one_of(literals, st.sampled_from(["{x}", "{y}"])), max_size=3, unique=True), st.booleans()
)


def written(path: list[str]) -> bytes:
    return ("/" + "/".join(quote(segment, safe="") for segment in path)).encode()


@given(patterns, st.lists(st.one_of(literals, segments), max_size=4))
def test_matching_is_that_of_a_regular_expression(pattern: tuple[list[str], bool], path: list[str]) -> None:
    listed, beneath = pattern
    assume(not any(segment in {".", ".."} for segment in path))
    assume(not re.search("%[0-9A-Fa-f]{2}", "/".join(path)))
    text = "/" + "/".join([*listed, *(["**"] if beneath else [])])
    held = "".join("/[^/]+" if segment[0] == "{" else f"/{re.escape(segment)}" for segment in listed)
    strict = held.replace("[^/]+", "[A-Za-z0-9._-]+")
    rest = "(/[^/]+)*" if beneath else ""
    told = "".join(f"/{segment}" for segment in path)
    routes = parse_routes([route(text)], "routes")
    try:
        matched = bool(checks(routes, Request.parse(b"GET", written(path))))
    except Unreadable:
        assert re.fullmatch(held + rest, told)
        assert not re.fullmatch(strict + rest, told)
    else:
        assert matched == bool(re.fullmatch(strict + rest, told))


@given(st.text(min_size=1, max_size=12).filter(lambda text: "/" not in text))
def test_a_segment_that_is_read_is_the_one_that_was_written(segment: str) -> None:
    try:
        written_so = quote(segment, safe="").encode()
    except UnicodeEncodeError:
        return
    try:
        assert path_of(b"/" + written_so) == (segment,)
    except Unreadable:
        odd = not segment.isprintable() or any(character in segment for character in "\\;#?%")
        assert odd or segment in {".", ".."}


@given(st.binary(max_size=24))
def test_whatever_is_told_it_is_read_or_refused(target: bytes) -> None:
    try:
        path = path_of(target)
    except Unreadable:
        return
    assert all(path)
    assert not {".", ".."} & set(path)
    assert not any(character in segment for segment in path for character in "/\\;#?\x00")


@given(
    st.lists(patterns, max_size=4),
    patterns,
    st.lists(st.one_of(literals, st.just("a1")), max_size=3),
)
def test_a_further_route_never_takes_a_need_away(
    listed: list[tuple[list[str], bool]], further: tuple[list[str], bool], path: list[str]
) -> None:
    request = Request("GET", tuple(path))
    texts = ["/" + "/".join([*names, *(["**"] if beneath else [])]) for names, beneath in listed]
    more = "/" + "/".join([*further[0], *(["**"] if further[1] else [])])
    raw = [route(text, resource=f"proj/p{index}") for index, text in enumerate(texts)]
    try:
        before = checks(parse_routes(raw, "routes"), request)
        after = checks(parse_routes([*raw, route(more, resource="proj/more")], "routes"), request)
    except Unreadable:
        return
    assert set(before) <= set(after)
