"""What the console asks, and the operations it offers, are of the schema as it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    get_variable_values,
    parse,
    validate,
)

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "console" / "src"
DOCUMENTS = sorted(SOURCES.glob("*/*.graphql"))
WITH_VARIABLES = sorted(SOURCES.glob("*/*.json"))


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema" / "schema.graphql").read_text())


def test_the_console_offers_the_common_jobs() -> None:
    assert {path.stem for path in DOCUMENTS if path.parent.name == "jobs"} == {
        "who-am-i",
        "create-token",
        "my-tokens",
        "audit-log",
        "change-role",
        "watch-audit-log",
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_is_valid(schema: GraphQLSchema, path: Path) -> None:
    assert validate(schema, parse(path.read_text())) == []


@pytest.mark.parametrize("path", WITH_VARIABLES, ids=lambda path: path.stem)
def test_the_variables_beside_a_document_fit_it(schema: GraphQLSchema, path: Path) -> None:
    variables: dict[str, Any] = json.loads(path.read_text().replace("IN_THIRTY_DAYS", "2030-01-31T12:00:00Z"))
    operations = [
        node
        for node in parse(path.with_suffix(".graphql").read_text()).definitions
        if isinstance(node, OperationDefinitionNode) and node.variable_definitions
    ]
    for operation in operations:
        coerced = get_variable_values(schema, operation.variable_definitions or (), variables)
        assert not isinstance(coerced, list), coerced
