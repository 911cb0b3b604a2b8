"""Revoking many over GraphQL: tried first, started, watched, stopped."""

import asyncio
from typing import Any

from core.vocabulary import BuiltInRole
from models import TokenKind
from resolvers.scopes import Scope
from resolvers.working import working
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask

REVOKE = """mutation($input: RevokeTokensInput!) { revokeTokens(input: $input) {
  count skipped auditEntry { comment target { resource nodeId } }
  job { id kind state total done skipped progress comment error endedAt viewerCanCancel member { name } }
  tokens(first: 1) { totalCount nodes { name } pageInfo { hasNextPage } }
} }"""
JOB = "query($id: ID!) { job(id: $id) { state done progress viewerCanCancel } node(id: $id) { __typename } }"
CANCEL = (
    'mutation($id: ID!) { cancelJob(input: {id: $id, comment: "enough"}) { job { state } auditEntry { comment } } }'
)


async def test_a_dry_run_shows_what_a_job_would_end(organisation: Organisation, ask: Ask) -> None:
    for name in ("old", "older", "young"):
        await organisation.made(organisation.owner, name=name, kind=TokenKind.SERVICE)
    wanted: dict[str, Any] = {"filter": {"text": "old", "kind": "SERVICE"}}
    tokens = {"totalCount": 2, "nodes": [{"name": "older"}], "pageInfo": {"hasNextPage": True}}
    tried = (await ask(organisation.owner, REVOKE, input={**wanted, "dryRun": True}))["data"]["revokeTokens"]
    assert tried == {"count": 2, "skipped": 0, "auditEntry": None, "job": None, "tokens": tokens}
    assert (await ask(organisation.owner, "{ jobs { totalCount } }"))["data"]["jobs"]["totalCount"] == 0

    done = (await ask(organisation.owner, REVOKE, input={**wanted, "comment": "tidy"}))["data"]["revokeTokens"]
    job_id = done["job"].pop("id")
    assert done == {
        "count": 2,
        "skipped": 0,
        "auditEntry": {
            "comment": "tidy",
            "target": {"resource": done["auditEntry"]["target"]["resource"], "nodeId": job_id},
        },
        "job": {
            "kind": "REVOKE_TOKENS",
            "state": "RUNNING",
            "total": 2,
            "done": 0,
            "skipped": 0,
            "progress": 0.0,
            "comment": "tidy",
            "error": None,
            "endedAt": None,
            "viewerCanCancel": True,
            "member": {"name": "Owner"},
        },
        "tokens": tokens,
    }
    shown = {"state": "RUNNING", "done": 0, "progress": 0.0, "viewerCanCancel": True}
    assert (await ask(organisation.owner, JOB, id=job_id))["data"] == {"job": shown, "node": {"__typename": "Job"}}
    async with working(organisation.house):
        while (await ask(organisation.owner, JOB, id=job_id))["data"]["job"]["state"] == "RUNNING":  # noqa: ASYNC110 - as a client does
            await asyncio.sleep(0.01)
    shown = {"state": "DONE", "done": 2, "progress": 1.0, "viewerCanCancel": False}
    assert (await ask(organisation.owner, JOB, id=job_id))["data"]["job"] == shown
    listed = await ask(organisation.owner, "{ tokens(filter: {state: REVOKED}) { nodes { name } } }")
    assert [node["name"] for node in listed["data"]["tokens"]["nodes"]] == ["older", "old"]


async def test_a_job_is_stopped_and_hidden_from_others(organisation: Organisation, ask: Ask) -> None:
    wanted = {"filter": {"neverUsed": True}}
    job_id = (await ask(organisation.owner, REVOKE, input=wanted))["data"]["revokeTokens"]["job"]["id"]
    reader = await organisation.as_role(BuiltInRole.READER)
    hidden = await ask(reader, "query($id: ID!) { node(id: $id) { id } }", id=job_id)
    absent = await ask(reader, "query($id: ID!) { node(id: $id) { id } }", id=global_id("Job", organisation.account.id))
    assert hidden == absent
    stopped = {"data": {"cancelJob": {"job": {"state": "CANCELLED"}, "auditEntry": {"comment": "enough"}}}}
    assert await ask(organisation.owner, CANCEL, id=job_id) == stopped
    again = {"data": {"cancelJob": {"job": {"state": "CANCELLED"}, "auditEntry": None}}}
    assert await ask(organisation.owner, CANCEL, id=job_id) == again


async def test_who_may_start_jobs_sees_what_their_member_started_and_a_token_for_something_else_does_not(
    organisation: Organisation, ask: Ask
) -> None:
    wanted = {"filter": {"neverUsed": True}}
    job_id = (await ask(organisation.owner, REVOKE, input=wanted))["data"]["revokeTokens"]["job"]["id"]
    seen = {"job": {"state": "RUNNING"}, "node": {"__typename": "Job"}, "jobs": {"totalCount": 1}}
    query = "query($id: ID!) { job(id: $id) { state } node(id: $id) { __typename } jobs { totalCount } }"
    for action, resource in (("createJob", "token-job/*"), ("viewJob", "token-job/x"), ("viewRole", "role/*")):
        statement = {"effect": "allow", "actions": [action], "resources": [resource]}
        token = await organisation.token(organisation.owner, Scope(statements=[statement]))
        answer = await ask(token, query, id=job_id)
        if action == "viewRole":
            codes = {error["path"][0]: error["code"] for error in answer["errors"]}
            assert codes == {"job": "FORBIDDEN", "node": "NOT_FOUND", "jobs": "FORBIDDEN"}
        else:
            assert answer == {"data": seen}


async def test_a_filter_that_names_nothing_is_refused_by_its_name(organisation: Organisation, ask: Ask) -> None:
    for wanted, field in (({}, "filter"), ({"owner": "x"}, "filter.owner"), ({"state": "EXPIRED"}, "filter.state")):
        for dry_run in (True, False):
            answer = await ask(organisation.owner, REVOKE, input={"filter": wanted, "dryRun": dry_run})
            assert [(error["code"], error["field"]) for error in answer["errors"]] == [("BAD_USER_INPUT", field)]
