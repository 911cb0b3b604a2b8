"""The index of specifiers finds what asking each of them finds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from core.reach import Reach
from core.specifiers import Attributes, Resource, Specifier, some, turned
from tests.core.policies import CATALOGUES, attributes, segments, stated_segments
from tests.effort import tries

KIND = CATALOGUES[1].kinds["leaf"]  # it has tags and both properties


@settings(max_examples=tries(400))
@given(
    st.lists(segments(KIND), min_size=1, max_size=8),
    st.lists(stated_segments(KIND), min_size=1, max_size=8),
    attributes(),
)
def test_the_index_finds_what_asking_each_specifier_finds(
    written: list[str], stated: list[str], values: Attributes
) -> None:
    specifiers = [Specifier.parse(text) for text in written]
    reach = Reach(specifiers, values, inverted=False)
    inverted = Reach(specifiers, values, inverted=True)
    for resource in map(Resource.parse, stated):
        found = some(specifier.match(resource, values) for specifier in specifiers)
        assert reach.match(resource) is found
        assert inverted.match(resource) is turned(found)
        assert reach.concerns(resource.path)


def test_only_what_may_match_is_concerned() -> None:
    flag, everything = Specifier.parse("env/*:flag/*"), Specifier.parse("*")
    assert Reach([flag], {}, inverted=False).concerns(("env", "flag"))
    assert not Reach([flag], {}, inverted=False).concerns(("env",))
    assert Reach([flag], {}, inverted=True).concerns(("env",))
    assert Reach([flag, everything], {}, inverted=False).concerns(("env",))
