"""The letter of the specifications as others read them: docs/specifications.md says which, and what is not followed."""

import asyncio
import json
from collections import Counter
from typing import Any

from server import assembled
from settings import Settings
from tests.frontends.conftest import HERE, succeeded
from tests.organisation import Organisation
from tests.schema.test_connections import expected
from tests.web.conftest import serving

AUDITS = {"MUST": 13, "SHOULD": 23, "MAY": 25}


async def test_every_audit_of_graphql_over_http_holds(
    organisation: Organisation,
    sqlite: None,  # noqa: ARG001
    node: str,
) -> None:
    secret = next(iter(organisation.secrets.values()))
    async with serving(assembled(Settings(), organisation.house)) as server:
        command = [node, str(HERE / "audits.mjs"), f"http://{server}/graphql", f"Bearer {secret}"]
        audits = json.loads(await asyncio.to_thread(succeeded, command, HERE))
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert Counter(audit["name"].split()[0] for audit in audits) == AUDITS
    assert sum(AUDITS.values()) == 61


def test_pages_are_those_that_graphql_relay_cuts_out_of_an_array(node: str) -> None:
    pages: list[dict[str, Any]] = json.loads(succeeded([node, str(HERE / "pages.mjs")], HERE))
    compared = 0
    for page in pages:
        names, asked = [str(place) for place in range(page["length"])], page["asked"]
        if asked["first"] is None and asked["last"] is None:
            continue  # of which we give 25, and not all
        places = {name: None if asked[name] is None else str(asked[name]) for name in ("after", "before")}
        ours = expected(names, names, {**asked, **places})
        assert [edge["cursor"] for edge in ours["edges"]] == [str(row) for row in page["rows"]], asked
        assert [ours["pageInfo"][name] for name in ("hasNextPage", "hasPreviousPage")] == [
            page["hasNextPage"],
            page["hasPreviousPage"],
        ], asked
        compared += 1
    assert compared == 48 * (1 + 4 + 9 + 16 + 25)
