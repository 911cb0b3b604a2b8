"""Policies made to cost: they are bounded when written, and proofs about them are bounded for the whole request."""

from typing import Any

import pytest

from core import covers
from core.errors import Invalid
from core.policy import MAX_POLICY_LENGTH, MAX_POLICY_WORDS
from core.vocabulary import BuiltInRole
from resolvers.scopes import Scope
from tests.organisation import Organisation
from tests.schema.conftest import Ask, Served

GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}


def words(count: int, letters: int = 1) -> list[dict[str, Any]]:
    """A policy of so many words, actions included."""
    resources = [f"proj/{'x' * letters}{n}:env/*:flag/*" for n in range(count)]
    lists = [resources[start : start + 199] for start in range(0, len(resources), 199)]
    return [GATE, *({"effect": "allow", "actions": ["updateOn"], "resources": listed} for listed in lists)]


async def test_a_policy_has_a_bounded_size(organisation: Organisation) -> None:
    fits = words(MAX_POLICY_WORDS - 2 - 5)
    await organisation.token(organisation.owner, Scope(statements=fits))
    for too_large in (words(MAX_POLICY_WORDS - 1 - 5), words(400, MAX_POLICY_LENGTH // 400)):
        with pytest.raises(Invalid, match="in all"):
            await organisation.token(organisation.owner, Scope(statements=too_large))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gather what proofs really held against each other."""
    taken: list[int] = []
    is_yes = covers.Question.is_yes

    def counted(question: covers.Question) -> bool:
        taken.append(question.steps)
        return is_yes(question)

    monkeypatch.setattr(covers.Question, "is_yes", counted)
    return taken


async def test_what_a_list_of_hostile_tokens_exceeds_costs_no_more_than_one_request_may(
    organisation: Organisation, ask: Ask, steps: list[int]
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    allow = {"effect": "allow", "actions": ["*"], "resources": [f"proj/*a{n}*:env/*:flag/*" for n in range(8)]}
    deny = {"effect": "deny", "actions": ["*"], "resources": [f"proj/*b{n}*:env/*:flag/*" for n in range(8)]}
    for _ in range(20):
        await organisation.made(writer, Scope(statements=[GATE, *[allow, deny] * 40]))
    steps.clear()
    query = "{ tokens(first: 100) { nodes { a: exceedsOwner { index } b: exceedsOwner { index } } } }"
    answer = await ask(writer, query)
    assert "errors" not in answer
    assert sum(steps) <= covers.MAX_STEPS
    nodes = answer["data"]["tokens"]["nodes"]
    assert all(node["a"] == node["b"] for node in nodes)
    assert len(nodes[-1]["a"]) == 41, "what is not proven is listed"


async def test_lists_of_words_are_paid_for_under_every_name(organisation: Organisation, served: Served) -> None:
    names = " ".join(f"a{n}: resources" for n in range(100))
    query = f"{{ tokens(first: 100) {{ nodes {{ scope {{ statements {{ {names} }} }} }} }} }}"
    answer = await served(organisation.owner, query)
    assert answer["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"
