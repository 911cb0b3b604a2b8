"""Every face gives the same verdict: GraphQL, introspection, forward-auth and the function in process."""

from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx2
import pytest

from core.errors import Unauthenticated
from core.specifiers import Resource
from models import GateSource, Token, TokenKind
from resolvers import gates, members, tokens
from resolvers.access import Question, authorize
from resolvers.gates import NewGate
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from tests.population import BASES, QUESTIONS, Population
from web.proxies import LOOPBACK

ROUNDS, TOKENS, QUESTIONS_EACH = 2, 50, 20
"""2,000 cases: each round asks of every token this many questions."""

CHECKED = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed } }"
VERIFIED = """query ($secret: String!, $checks: [AccessCheckInput!]!) {
  verifyToken(secret: $secret, checks: $checks) { active allowed decisions { allowed missing } }
}"""

Verdict: TypeAlias = tuple[bool, tuple[str, ...]] | None
"""Whether it is allowed, and which sides refuse if not; None for a secret that opens nothing."""
Answer: TypeAlias = bool | None
"""The same from a face that names no sides."""


@dataclass(frozen=True)
class Faces:
    """The assembled application, and a service that asks at it about the tokens it is shown."""

    organisation: Organisation
    client: httpx2.AsyncClient
    verifier: Token

    @property
    def basic(self) -> str:
        secret = self.organisation.secrets[str(self.verifier.id)]
        return f"Basic {b64encode(f'{self.verifier.id}:{secret}'.encode()).decode()}"

    async def in_process(self, secret: str, questions: Sequence[Question]) -> list[Verdict]:
        try:
            caller = await self.organisation.identify(secret)
        except Unauthenticated:
            return [None] * len(questions)
        answers = authorize(caller, questions)
        verdicts = [answer.verdict for answer in answers.decisions]
        assert answers.allowed == [verdict.allowed for verdict in verdicts]
        return [(verdict.allowed, tuple(side.value for side in verdict.missing)) for verdict in verdicts]

    async def check_access(self, secret: str, questions: Sequence[Question]) -> list[Answer]:
        told = await self._graphql(secret, CHECKED, {"checks": _checks(questions)})
        if "data" not in told:
            assert told["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
            return [None] * len(questions)
        return [*told["data"]["checkAccess"]["allowed"]]

    async def verify_token(self, secret: str, questions: Sequence[Question]) -> list[Verdict]:
        asking = self.organisation.secrets[str(self.verifier.id)]
        told = await self._graphql(asking, VERIFIED, {"secret": secret, "checks": _checks(questions)})
        verified = told["data"]["verifyToken"]
        if not verified["active"]:
            assert verified == {"active": False, "allowed": [False] * len(questions), "decisions": None}
            return [None] * len(questions)
        assert verified["allowed"] == [decision["allowed"] for decision in verified["decisions"]]
        return [(decision["allowed"], tuple(decision["missing"])) for decision in verified["decisions"]]

    async def _graphql(self, secret: str, query: str, variables: dict[str, Any]) -> Any:
        operation = {"query": query, "variables": variables}
        return (
            await self.client.post("/graphql", json=operation, headers={"Authorization": f"Bearer {secret}"})
        ).json()

    async def introspect(self, secret: str, question: Question) -> Verdict:
        form = {"token": secret, "action": question.action, "resource": question.resource}
        answer = await self.client.post("/oauth2/introspect", data=form, headers={"Authorization": self.basic})
        told = answer.json()
        assert answer.status_code == 200
        if told == {"active": False}:
            return None
        _refuse_words_beyond(told, question)
        return told["allowed"], tuple(told.get("missing", ()))

    async def pass_gate(self, secret: str, question: Question) -> Answer:
        asked = {"action": question.action, "resource": question.resource}
        headers = {"Authorization": f"Bearer {secret}"}
        answer = await self.client.get("/authz/main:faces", params=asked, headers=headers)
        return {200: True, 403: False, 401: None}[answer.status_code]


def _checks(questions: Sequence[Question]) -> list[dict[str, str]]:
    return [{"action": question.action, "resource": question.resource} for question in questions]


def _refuse_words_beyond(told: dict[str, Any], question: Question) -> None:
    """Hold the scope to the verdict: what it lets in by a word is allowed."""
    if f"{Resource.parse(question.resource).path[-1]}:{question.action}" in told["scope"].split():
        assert told["allowed"], (told, question)


@pytest.fixture
async def faces(organisation: Organisation) -> AsyncIterator[Faces]:
    await gates.define(organisation.owner, NewGate("faces", "Faces", GateSource.FIXED), Said())
    allow = {"effect": "allow", "actions": ["verifyAccessToken"], "resources": ["acct"]}
    verifier = await organisation.made(organisation.owner, Scope(statements=[allow]), TokenKind.SERVICE)
    app = assembled(Settings(trusted_proxies=LOOPBACK), organisation.house)
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield Faces(organisation, client, verifier.row)


async def happen(population: Population) -> None:
    """Change who may what: every other member's roles, and a few tokens end."""
    owner, random = population.organisation.owner, population.random
    for member in population.members[::2]:
        await members.assign_roles(owner, member.id, Grant(random.choice(BASES)), Said())
    for token in random.sample(population.tokens, 3):
        await tokens.revoke(owner, token.id, Said())


async def test_every_face_gives_the_same_verdict_on_2000_random_cases(faces: Faces) -> None:
    population = await Population.of(faces.organisation, 2000, roles=8, members=12, tokens=TOKENS)
    met: Counter[Answer] = Counter()
    for turn in range(ROUNDS):
        for token in population.tokens:
            secret = faces.organisation.secrets[str(token.id)]
            questions = population.random.choices(QUESTIONS, k=QUESTIONS_EACH)
            verdicts = await faces.in_process(secret, questions)
            answers = [verdict and verdict[0] for verdict in verdicts]
            assert await faces.verify_token(secret, questions) == verdicts
            assert await faces.check_access(secret, questions) == answers
            assert [await faces.introspect(secret, question) for question in questions] == verdicts
            assert [await faces.pass_gate(secret, question) for question in questions] == answers
            met.update(answers)
        if turn < ROUNDS - 1:
            await happen(population)
    assert met.total() == 2000
    assert min(met[True], met[False]) > 300
    assert met[None] > 50
