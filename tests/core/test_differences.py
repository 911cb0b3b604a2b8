"""What differs is told field by field."""

from core.differences import Difference, differences


def test_only_what_differs_is_told_and_objects_by_their_fields() -> None:
    before = {"name": "a", "same": [1], "trial": {"roles": ["x"], "at": 1, "in": {"deep": 1}}, "gone": 1, "none": None}
    after = {"name": "b", "same": [1], "trial": {"roles": [], "at": 1, "in": {"deep": 2}}, "new": {"x": 1}}
    assert list(differences(before, after)) == [
        Difference("name", "a", "b"),
        Difference("trial.roles", ["x"], []),
        Difference("trial.in.deep", 1, 2),
        Difference("gone", 1, None),
        Difference("new", None, {"x": 1}),
    ]


def test_what_is_new_and_what_is_gone_is_told_whole() -> None:
    assert list(differences(None, {"a": 1, "b": None})) == [Difference("a", None, 1)]
    assert list(differences({"a": 1}, None)) == [Difference("a", 1, None)]
    assert list(differences(None, None)) == []
