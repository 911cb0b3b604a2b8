"""Cedar, another reading of policies, agrees wherever it can say the same: actions, resources, their inverses, globs.

Its `like` knows no segments, so each segment's name is an attribute of its own: then no `*` crosses `:` or `/`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

import cedarpy
import pytest

from core.policy import decide, parse_policy
from core.specifiers import Resource
from tests.core.policies import ACTION_GLOBS, ACTIONS, NAME_GLOBS, NAMES
from tests.core.test_specifiers import ROWS

Statement: TypeAlias = Mapping[str, Any]

PATHS = (("acct",), ("proj",), ("proj", "env"), ("proj", "env", "flag"), ("team",), ("team", "flag"))
ODD_NAMES = ('a"b', "a\\b", "ünï", "a\\n", "A")
GLOBS = (*NAME_GLOBS, *NAME_GLOBS, "a*a", "**", "ab*bc", "*ü*")
CASES, QUESTIONS = 300, 10


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def cedar_policy(statements: Iterable[Statement]) -> str:
    return "\n".join(map(cedar_statement, statements))


def cedar_statement(statement: Statement) -> str:
    effect = {"allow": "permit", "deny": "forbid"}[statement["effect"]]
    deeds = either(statement, "actions", "notActions", lambda word: f"context.deed like {quoted(word)}")
    places = either(statement, "resources", "notResources", cedar_specifier)
    return f"{effect} (principal, action, resource) when {{ {deeds} && {places} }};"


def either(statement: Statement, key: str, inverse: str, written: Any) -> str:
    words = statement.get(key) or statement[inverse]
    return ("" if key in statement else "!") + "(" + " || ".join(map(written, words)) + ")"


def cedar_specifier(text: str) -> str:
    if text == "*":
        return "true"
    segments = [segment.partition("/") for segment in text.split(":")]
    parts = [f"resource.length == {len(segments)}"]
    for at, (kind, slash, name) in enumerate(segments):
        parts.append(f"resource.kind{at} == {quoted(kind)}")
        named = f"resource has name{at}"
        parts.append(f"{named} && resource.name{at} like {quoted(name)}" if slash else f"!({named})")
    return "(" + " && ".join(parts) + ")"


def cedar_resource(resource: Resource) -> dict[str, Any]:
    attributes: dict[str, Any] = {"length": len(resource.segments)}
    for at, segment in enumerate(resource.segments):
        attributes[f"kind{at}"] = segment.kind
        if segment.name is not None:
            attributes[f"name{at}"] = segment.name
    return {"uid": {"type": "Resource", "id": str(resource)}, "attrs": attributes, "parents": []}


def cedar_allows(statements: Iterable[Statement], questions: Sequence[tuple[str, Resource]]) -> list[bool]:
    requests = [
        {
            "principal": {"type": "Token", "id": "t"},
            "action": {"type": "Action", "id": "ask"},
            "resource": {"type": "Resource", "id": str(resource)},
            "context": {"deed": action},
        }
        for action, resource in questions
    ]
    entities = {str(resource): cedar_resource(resource) for _, resource in questions}
    answers = cedarpy.is_authorized_batch(requests, cedar_policy(statements), list(entities.values()))
    assert [answer.diagnostics.errors for answer in answers] == [[]] * len(questions)
    return [answer.allowed for answer in answers]


def some(random: Random, words: Sequence[str], globs: Sequence[str]) -> list[str]:
    return random.choices([*words, *globs], k=random.randint(1, 3))


def specifier(random: Random) -> str:
    if random.random() < 0.15:
        return "*"
    names = [*NAMES, *ODD_NAMES, *GLOBS]
    return ":".join(kind if kind == "acct" else f"{kind}/{random.choice(names)}" for kind in random.choice(PATHS))


def statement(random: Random) -> Statement:
    deeds, places = random.choice(("actions", "actions", "notActions")), random.choice(("resources", "notResources"))
    return {
        "effect": random.choice(("allow", "allow", "deny")),
        deeds: some(random, ACTIONS, ACTION_GLOBS),
        places: [specifier(random) for _ in range(random.randint(1, 3))],
    }


def question(random: Random) -> tuple[str, Resource]:
    names = [*NAMES, *ODD_NAMES]
    path = random.choice(PATHS)
    segments = ((kind, None if kind == "acct" else random.choice(names)) for kind in path)
    return random.choice(ACTIONS), Resource.of(*segments)


def test_cedar_agrees_on_3000_random_cases() -> None:
    answers: Counter[bool] = Counter()
    for seed in range(CASES):
        random = Random(seed)  # noqa: S311 - the same cases every time
        raw = [statement(random) for _ in range(random.randint(0, 5))]
        questions = [question(random) for _ in range(QUESTIONS)]
        policy = parse_policy(raw, "policy")
        ours = [decide(policy, *each).allowed for each in questions]
        assert ours == cedar_allows(raw, questions), (seed, raw)
        answers.update(ours)
    assert answers.total() == CASES * QUESTIONS
    assert min(answers.values()) > answers.total() // 5


SAYABLE = [(row[0], row[3], row[4]) for row in ROWS if not {";", "$"} & {*row[0], *row[3]}]


@pytest.mark.parametrize(("written", "asked", "answer"), SAYABLE)
def test_cedar_agrees_with_the_table_of_matches(written: str, asked: str, answer: str) -> None:
    raw = [{"effect": "allow", "actions": ["*"], "resources": [written]}]
    assert cedar_allows(raw, [("do", Resource.parse(asked))]) == [answer == "yes"]


def test_the_table_says_that_no_star_crosses_a_colon() -> None:
    assert {("proj/*", "proj/web:env/dev", "no"), ("proj/*:env/*", "proj/web:env/dev:flag/f", "no")} <= {*SAYABLE}
