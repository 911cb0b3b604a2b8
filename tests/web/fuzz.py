"""Asks a server whatever its schema allows, as schemathesis draws it, and prints what came of it as JSON.

    python -m tests.web.fuzz URL CASES SECONDS < callers

`callers` is a JSON object of lists of secrets by name: sessions of one member each. Each case is asked as each of them;
where a session is no good any more, as what is asked may end it, the next is used. So many cases are drawn for each
root field, always the same ones, and then others until so many seconds are over.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.graphql import nodes
from schemathesis.graphql.checks import GraphQLServerError
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]

KNOWN = """{
  viewer { member { id } } members { nodes { id } } roles { nodes { id } } tokens { nodes { id } } catalogue { id }
}"""
"""What there is to be meant by an id."""
REFUSALS = frozenset({"UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "RATE_LIMITED", "QUERY_TOO_COMPLEX"})
"""What the server says on purpose. Schemathesis takes it for a failure: it knows the codes of wrong input alone."""
MISTAKES = frozenset({"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"})
"""What is wrong with a case that fits the schema: ids, policies, and inputs of which one is to be given."""


@dataclass
class Caller:
    """One who asks, and what came of it."""

    url: str
    secrets: list[str]
    failures: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    """How often a root field was answered with something, by its name."""
    sessions: int = 1

    def ask(self, case: AnyCase) -> None:
        """Ask, and check the answer."""
        response = self._answer(case)
        if _codes(response) == {"UNAUTHENTICATED"} and response.json().get("data") is None and self.secrets[1:]:
            self.secrets.pop(0)
            self.sessions += 1
            response = self._answer(case)
        codes = _codes(response)
        self.codes.update(codes or {"": 1})
        if any((response.json().get("data") or {}).values()):
            self.done[case.operation.label] += 1
        if unknown := codes - REFUSALS - MISTAKES:
            self.failures.append(f"{sorted(unknown)}\n{case.body!s}\n{response.text}")
        try:
            case.validate_response(response, excluded_checks=[positive_data_acceptance])
        except FailureGroup as group:
            self.failures += [f"{each}\n{case.body!s}" for each in group.exceptions if not _is_refusal(each)]

    @property
    def headers(self) -> dict[str, str]:
        """What it presents."""
        return {"Authorization": f"Bearer {self.secrets[0]}"}

    def post(self, query: str) -> Any:
        """Ask something else."""
        return requests.post(self.url, json={"query": query}, headers=self.headers, timeout=60).json()

    def _answer(self, case: AnyCase) -> Response:
        return case.call(headers=self.headers)


def _codes(response: Response) -> set[str]:
    return {error["extensions"]["code"] for error in response.json().get("errors", ())}


def _is_refusal(failure: BaseException) -> bool:
    return isinstance(failure, GraphQLServerError) and all(
        error.get("extensions", {}).get("code") in REFUSALS for error in failure.errors
    )


def _ids(told: object) -> Iterator[str]:
    if isinstance(told, dict):
        if isinstance(told.get("id"), str):
            yield told["id"]
        told = list(told.values())
    if isinstance(told, list):
        for each in told:
            yield from _ids(each)


def read(callers: list[Caller]) -> list[Operation]:
    """Read the schema of a server, and learn ids to be asked for: those of the callers are spared."""
    known = [caller.post(KNOWN)["data"] for caller in callers]
    own = {told["viewer"]["member"]["id"] for told in known}
    ids = st.sampled_from(sorted(set(_ids(known)) - own))
    schemathesis.graphql.scalar("ID", (ids | st.text()).map(nodes.String))
    schemathesis.graphql.scalar("JSON", st.text().map(nodes.String))
    schema = schemathesis.graphql.from_url(callers[0].url, headers=callers[0].headers)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def ask(operation: Operation, callers: list[Caller], cases: int, *, always_the_same: bool) -> None:
    """Ask for one root field."""

    @settings(
        max_examples=cases,
        derandomize=always_the_same,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def asked(case: AnyCase) -> None:
        for caller in callers:
            caller.ask(case)

    asked()


def main(url: str, cases: str, seconds: str) -> None:
    """Ask, and print what came of it."""
    callers = {name: Caller(url, secrets) for name, secrets in json.load(sys.stdin).items()}
    asking = list(callers.values())
    operations = read(asking)
    end_s = time.monotonic() + float(seconds)
    for operation in operations:
        ask(operation, asking, int(cases), always_the_same=True)
    while time.monotonic() < end_s:
        for operation in operations:
            ask(operation, asking, int(cases), always_the_same=False)
    told = {
        name: {"failures": caller.failures, "codes": caller.codes, "done": caller.done, "sessions": caller.sessions}
        for name, caller in callers.items()
    }
    print(json.dumps({"operations": [operation.label for operation in operations], "callers": told}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
