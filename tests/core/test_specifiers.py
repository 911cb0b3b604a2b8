"""What a specifier matches, how it is written, and that no text whatever does worse than be refused."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.catalogue import Catalogue, Kind
from core.specifiers import Malformed, Match, Resource, ResourceSegment, Specifier, every, glob_matches, some, turned
from tests.core import policy_oracle
from tests.core.policies import catalogues, questions, specifiers

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
ROWS = re.findall(
    r"^\| `([^`]+)`(?: with (no value for )?team(?: = ([^|]+))?)? \| `([^`]+)` \| (\w+) \|$", PAGE, re.MULTILINE
)
ANSWERS = {"yes": Match.SURE, "no": Match.NO, "unknown": Match.MAYBE}

near_words = st.text(alphabet="ab*:;,/{}$ é\n\u200b\u2028\ud800", max_size=24)
"""Text made of what the grammar is made of, and of what it forbids."""


def test_the_table_of_matches_is_read_whole() -> None:
    assert len(ROWS) == sum(line.startswith("| `") for line in PAGE.splitlines()) > 40


@pytest.mark.parametrize(("specifier", "unset", "values", "resource", "answer"), ROWS)
def test_the_table_of_matches_holds(specifier: str, unset: str, values: str, resource: str, answer: str) -> None:
    attributes = {"team": tuple(values.split(", "))} if values else {}
    assert bool(unset or values) == ("roleAttribute" in specifier)
    assert Specifier.parse(specifier).match(Resource.parse(resource), attributes) is ANSWERS[answer]
    assert policy_oracle.specifier(specifier, resource, None, attributes) == answer


@given(st.data())
def test_a_specifier_prints_as_it_was_written(data: st.DataObject) -> None:
    text = data.draw(specifiers(data.draw(catalogues())))
    assert str(Specifier.parse(text)) == text


@given(near_words)
@example("proj/*:env/*:/flag/*")
@example("a/${roleAttribute/b};{a:b},b*")
def test_whatever_parses_prints_to_what_parses_alike_and_all_else_is_malformed(text: str) -> None:
    try:
        specifier = Specifier.parse(text)
    except Malformed:
        return
    assert Specifier.parse(str(specifier)) == specifier


@given(near_words)
@example("a/b;a,{a:b}")
def test_a_resource_prints_as_its_bare_specifier_which_surely_matches_it(text: str) -> None:
    try:
        resource = Resource.parse(text)
    except Malformed:
        return
    assert Resource.parse(str(resource)) == Resource.of(*zip(resource.path, resource.names, strict=True))
    assert Specifier.parse(str(resource)).match(resource, {}) is Match.SURE


@given(st.data())
def test_a_parent_never_covers_its_children_nor_a_child_its_parent(data: st.DataObject) -> None:
    catalogue = data.draw(catalogues())
    specifier = Specifier.parse(data.draw(specifiers(catalogue).filter(lambda text: text != "*")))
    resource = data.draw(questions(catalogue)).resource
    if specifier.path != resource.path:
        assert specifier.match(resource, {}) is Match.NO


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=8))
def test_a_glob_is_the_regular_expression_it_stands_for(glob: str, text: str) -> None:
    pattern = ".*".join(map(re.escape, glob.split("*")))
    assert glob_matches(glob, text) == (re.fullmatch(pattern, text) is not None)


def test_no_glob_makes_matching_blow_up() -> None:
    assert not glob_matches("*a" * 127 + "*c", "a" * 255 + "b")  # a backtracking matcher does not come back from this


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "lacks a kind"),
        (":", "lacks a kind"),
        ("flag/f:", "lacks a kind"),
        ("flag//f", "has `/f`, but words are"),
        ("flag/", "has ``, but words are"),
        ("flag/f;", "has ``, but words are"),
        ("flag/f;a,", "has ``, but words are"),
        ("*:flag/f", "has the kind `*`, but words are"),
        ("fl*g/f", "has the kind `fl*g`, but words are"),
        ("/flag/f", "lacks a kind"),
        ("flag/f f", "has `f f`, but words are"),
        ("flag/f\n", "has a character that cannot be printed"),
        ("flag/\u200b", "has a character that cannot be printed"),
        ("flag/\ud800", "has a character that cannot be printed"),
        ("proj/a,b", "has `a,b`, but words are"),
        ("proj/${roleAttribute/}", "has `${roleAttribute/}`, but words are"),
        ("proj/${team}", "has `${team}`, but words are"),
        ("proj/x-${roleAttribute/team}", "has `x-${roleAttribute/team}`, but words are"),
        ("env/e;{critical}", "has `{critical}` where a property is written `{critical:true}`"),
        ("env/e;{critical:t*}", "has `{critical:t*}` where a property is written `{critical:true}`"),
        ("env/e;{critical:true", "has `{critical:true` where a property is written `{critical:true}`"),
        ("flag/" + "f" * 257, f"has `{'f' * 79}…`, but words are"),
        ("flag/f;" + ",".join("a" * 4096), "is longer than 4096 characters"),
    ],
)
def test_malformed_text_is_refused_with_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(Malformed, match=f"^{re.escape(problem)}"):
        Specifier.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "flag/*",
        "flag/a*",
        "flag/${roleAttribute/team}",
        "flag/f;a*",
        "flag/f;a,,b",
        "env/e;{a:b},{a:c}",
        "a/b:/c/d",
    ],
)
def test_a_resource_is_concrete(text: str) -> None:
    with pytest.raises(Malformed):
        Resource.parse(text)


@pytest.mark.parametrize("name", ["", "a:b", "a/b", "*", "a b", "a\x00", "\u2028", "a" * 257])
def test_nothing_is_made_of_what_no_resource_is_called(name: str) -> None:
    with pytest.raises(Malformed):
        Resource.of(("role", name))
    with pytest.raises(Malformed):
        Resource.of((name, "a"))


def test_nothing_is_no_resource() -> None:
    with pytest.raises(Malformed):
        Resource.of()


def test_a_resource_states_what_is_written_and_no_more() -> None:
    text = "acct:proj/p;b,a:env/e;,{critical:true}:flag/f;:flag/g;{x:y},a"
    assert Resource.parse(text).segments == (
        ResourceSegment("acct"),
        ResourceSegment("proj", "p", frozenset({"a", "b"})),
        ResourceSegment("env", "e", frozenset(), (("critical", "true"),)),
        ResourceSegment("flag", "f", frozenset()),
        ResourceSegment("flag", "g", frozenset({"a"}), (("x", "y"),)),
    )


def test_ancestors_are_every_proper_prefix_with_what_they_state() -> None:
    resource = Resource.parse("proj/p;a:env/e:flag/f")
    assert resource.ancestors == (Resource.parse("proj/p;a"), Resource.parse("proj/p;a:env/e"))
    assert resource.path == ("proj", "env", "flag")
    assert resource.names == ("p", "e", "f")


def test_what_the_catalogue_does_not_know_is_not_stated() -> None:
    catalogue = Catalogue.of([Kind("env", (), properties=("critical",)), Kind("flag", (), taggable=True)])
    stated = Resource.parse("env/e;a,{critical:true},{gone:true}:flag/f;a,{critical:true}:lost/l;a,{critical:true}")
    assert stated.known_to(catalogue) == Resource.parse("env/e;{critical:true}:flag/f;a:lost/l")


def test_a_match_is_no_boolean() -> None:
    for match in Match:
        with pytest.raises(TypeError):
            bool(match)


def test_unknown_is_between_no_and_yes() -> None:
    no, unknown, yes = Match
    assert every([yes, yes]) is yes
    assert every([yes, unknown]) is unknown
    assert every([unknown, no]) is no
    assert some([no, no]) is no
    assert some([no, unknown]) is unknown
    assert some([unknown, yes]) is yes
    assert [turned(match) for match in Match] == [yes, unknown, no]
