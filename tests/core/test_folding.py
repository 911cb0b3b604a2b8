"""Folded specifiers mean all that those meant in whose place they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.folding import EVERYTHING, fitting, fold, fold_each, standing, wider
from core.specifiers import NO_ATTRIBUTES, Match, Resource, Specifier
from tests.core.policies import CATALOGUES, stated_segments


def resources() -> st.SearchStrategy[Resource]:
    """Draw a resource of any of the small catalogues, whatever it states."""
    kinds = [tuple(catalogue.kinds[key] for key in path) for catalogue in CATALOGUES for path in catalogue.paths]
    texts = st.sampled_from(kinds).flatmap(lambda path: st.tuples(*map(stated_segments, path)))
    return texts.map(":".join).map(Resource.parse)


def means(specifier: str, resource: Resource) -> bool:
    return Specifier.parse(specifier).match(resource, NO_ATTRIBUTES) is Match.SURE


@given(resources())
def test_the_specifier_of_a_resource_surely_means_it(resource: Resource) -> None:
    assert means(resource.specifier, resource)
    assert all(means(each, resource) for each in wider(resource.specifier))


def test_the_specifier_of_a_resource_says_all_that_it_states() -> None:
    text = "proj/web;b,{paid:true},a:env/dev;:one:flag/f"
    assert Resource.parse(text).specifier == "proj/web;a,b,{paid:true}:env/dev:one:flag/f"
    assert Resource.parse("proj/web:flag/f").specifier == "proj/web:flag/f"


def test_names_give_way_from_the_right() -> None:
    assert wider("proj/web;a:env/prod:flag/x;b") == (
        "proj/web;a:env/prod:flag/*",
        "proj/web;a:env/*:flag/*",
        "proj/*:env/*:flag/*",
    )
    assert wider("acct") == ("acct",)
    assert wider(EVERYTHING) == ()


@given(st.lists(resources(), max_size=40), st.integers(1, 12))
def test_what_was_folded_means_all_that_there_was(asked: list[Resource], most: int) -> None:
    stands = fold((resource.specifier for resource in asked), most)
    assert all(means(stands[resource.specifier], resource) for resource in asked)
    assert len(set(stands.values())) <= most
    again = fold(stands.values(), most)
    assert all(means(again[stands[resource.specifier]], resource) for resource in asked)


@given(st.lists(st.tuples(st.sampled_from("abc"), resources()), max_size=60), st.integers(1, 8), st.integers(1, 15))
def test_of_several_words_those_are_folded_that_have_most(
    asked: list[tuple[str, Resource]], most_each: int, most: int
) -> None:
    specifiers = {word: {each.specifier for other, each in asked if other == word} for word, _ in asked}
    folded = fold_each(specifiers, most_each, most)
    assert all(means(folded[word][resource.specifier], resource) for word, resource in asked)
    sizes = [len(set(stands.values())) for stands in folded.values()]
    assert all(size <= most_each for size in sizes)
    assert sum(sizes) <= max(most, len(sizes))


def test_no_more_is_folded_than_must_be() -> None:
    flags = [f"proj/web:env/prod:flag/{number}" for number in range(5)]
    few = ["proj/web:env/dev:flag/1", "proj/web:env/dev:flag/2", "proj/web", "acct"]
    folded = {*fold([*flags, *few], 8).values()}
    assert folded == {"proj/web:env/prod:flag/*", *few}
    assert {*fold([*flags, *few], 9).values()} == {*flags, *few}
    assert {*fold([*flags, *few], 3).values()} == {"proj/web:env/*:flag/*", "proj/web", "acct"}
    assert {*fold([*flags, *few], 1).values()} == {EVERYTHING}


def test_what_was_asked_about_at_large_stands_for_nothing_else() -> None:
    assert fold([EVERYTHING, "proj/web"], 2) == {EVERYTHING: EVERYTHING, "proj/web": "proj/web"}
    assert standing("proj/web", [EVERYTHING]) is None
    assert standing("proj/web:flag/f", ["proj/web:flag/*", "proj/*:flag/*"]) == "proj/web:flag/*"


@pytest.mark.parametrize(
    ("longest", "fits"),
    [(100, "proj/éé:flag/é"), (16, "proj/éé:flag/*"), (15, "proj/*:flag/*"), (12, EVERYTHING)],
)
def test_what_is_too_long_gives_way_to_what_is_not(longest: int, fits: str) -> None:
    assert fitting("proj/éé:flag/é", longest) == fits
