"""The schema keeps the rules that graphql-eslint has for it, and breaks nobody who asked the last release's."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.frontends.conftest import HERE, ROOT, succeeded

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
NEWEST = CHANGELOG.split("\n## ")[1]


@pytest.fixture(scope="module")
def told(node: str) -> Mapping[str, Any]:
    told: dict[str, Any] = json.loads(succeeded([node, str(HERE / "lint.mjs"), str(ROOT)], ROOT))
    return told


def test_neither_the_schema_nor_an_operation_of_the_console_breaks_a_rule(told: Mapping[str, Any]) -> None:
    documents = [str(path.relative_to(ROOT)) for path in (ROOT / "console" / "src").rglob("*.graphql")]
    assert sorted(told["linted"]) == sorted([*documents, "schema/schema.graphql"])
    assert told["found"] == []


def test_what_breaks_who_asked_the_last_release_is_named_in_the_changelog(told: Mapping[str, Any]) -> None:
    assert [change["path"] for change in told["broken"]] == ["AuditEntry.sequence"]
    named = set(re.findall(r"`([^`]+)`", NEWEST))
    assert [change for change in told["breaking"] if change["path"] not in named] == []


def test_a_release_is_what_the_next_one_is_compared_with() -> None:
    folder = Path(ROOT) / "schema"
    is_out = "unreleased" not in NEWEST.splitlines()[0]
    assert not is_out or (folder / "released.graphql").read_text() == (folder / "schema.graphql").read_text()
