"""Read off the schema: with everything but its action a field shows nothing and changes nothing; with it, it does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from core.vocabulary import Action, BuiltInRole
from models import (
    AuditEntry,
    GateSource,
    Member,
    Token,
    TokenKind,
)
from resolvers import gates, jobs, leaks, notices, passwords, roles, tokens, webhooks
from resolvers import members as operations
from resolvers.callers import Caller
from resolvers.gates import NewGate
from resolvers.lists import TokenFilter
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.uses import Deed, Outcome, deed
from resolvers.webhooks import NewWebhook
from resolvers.writing import Said
from schema import schema
from schema.context import Context
from schema.nodes import global_id
from schema.permissions import Needs, Public, SignedIn
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation
from tests.schema.conftest import Ask, told
from tests.schema.test_surface import ROOTS, fields, permissions_of


@dataclass
class World:
    """An organisation with one of everything, by the names that the examples use."""

    organisation: Organisation
    variables: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def of(cls, organisation: Organisation) -> "World":
        world = cls(organisation)
        owner = organisation.owner
        assert owner.member
        assert owner.token
        role = await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["member/*"]})
        held = await organisation.role(
            "cd", {"effect": "allow", "actions": ["*"], "resources": ["member/*", "member/*:token/*"]}
        )
        await gates.define(owner, NewGate("api", "API", GateSource.PATH), Said())
        writer = await organisation.member(BuiltInRole.WRITER, name="Writer")
        admin = await organisation.member(BuiltInRole.ADMIN, name="Admin")
        asleep = await organisation.member(name="Asleep")
        holder = await organisation.session(await organisation.member(custom=(held,), name="Holder"))
        theirs = await organisation.made(holder, Scope(custom_roles=["cd"]))
        assert theirs.entry
        await operations.suspend(owner, asleep.id, Said())
        invited = await operations.invite(owner, "new@example.com", None, Grant(), Said())
        session = await organisation.session(writer)
        token = await organisation.made(owner, name="own")
        await roles.update(await organisation.identify(token), role.id, RoleChange(name="With a token"), Said())
        reader = await organisation.as_role(BuiltInRole.READER)
        exceeding = await organisation.made(reader, Scope(custom_roles=["cd"]))
        service = await organisation.made(owner, Scope(custom_roles=["cd"]), TokenKind.SERVICE, name="robot")
        job = await jobs.revoke_tokens(owner, TokenFilter(text="nothing like it"), Said())
        assert session.token
        entry = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").first()
        assert entry
        world.variables = {
            "account": global_id("Account", organisation.account.id),
            "member": global_id("Member", writer.id),
            "admin": global_id("Member", admin.id),
            "asleep": global_id("Member", asleep.id),
            "role": global_id("Role", role.id),
            "held": global_id("Role", held.id),
            "token": global_id("Token", token.row.id),
            "service": global_id("Token", service.row.id),
            "exceeding": global_id("Token", exceeding.row.id),
            "theirs": global_id("Token", theirs.row.id),
            "job": global_id("Job", job.row.id),
            "session": global_id("Session", session.token.id),
            "entry": global_id("AuditEntry", entry.id),
            "deed": global_id("AuditEntry", theirs.entry.id),
            "presented": theirs.secret or "",
            "link": (invited.secret or "").rpartition("/")[2],
        }
        await Token.filter(id=token.row.id).update(last_used_address="192.0.2.7", last_used_agent="curl")
        tried = await organisation.made(owner, name="tried")
        on_trial = (await tokens.try_scope(owner, tried.row.id, Scope(BuiltInRole.READER), Said())).row
        world.variables["tried"] = global_id("Token", on_trial.id)
        organisation.house.uses.of(on_trial, None, None, (Deed("updateOn", Outcome.TRIAL_REFUSED),)).note()
        done = deed("viewMember", allowed=True)
        organisation.house.uses.of(token.row, "192.0.2.7", "curl", (done,)).note()
        await organisation.house.uses.flush()
        webhook = await webhooks.create(owner, NewWebhook("https://hooks.example"), Said())
        world.variables["webhook"] = global_id("Webhook", webhook.row.id)
        await notices.advice_due(organisation.house, organisation.account, 1)
        await with_password(owner.member)
        return world

    async def without(self, *actions: Action) -> Caller:
        """A token of the owner's that may do everything but these."""
        words = [action.value for action in actions]
        statement = {"effect": "allow", "notActions": words, "resources": ["*"]}
        return await self.organisation.token(self.organisation.owner, Scope(statements=[statement]), name="all but")

    def filled(self, text: str) -> str:
        """Put the ids of this world into an example."""
        for name, value in self.variables.items():
            text = text.replace(f"${name}", f'"{value}"')
        return text.replace("$password", f'"{PASSWORD}"').replace("$statements", STATEMENTS)


async def with_password(member: Member) -> None:
    member.password_hash = await passwords.hashed(PASSWORD)
    await member.save()


STATEMENTS = """[
  {effect: ALLOW, actions: ["viewProject"], resources: ["proj/web"]}
  {effect: ALLOW, actions: ["updateOn"], resources: ["proj/web:env/*:flag/*"]}
]"""
EXAMPLES = {
    "Query.viewer": "{ viewer { account { id } } }",
    "Query.account": "{ account { id } }",
    "Query.tokensBeyond": "{ tokensBeyond(tokenLifetimes: {service: {maximumS: 60}}) { count tokens { totalCount } } }",
    "Query.members": "{ members { nodes { id } } }",
    "Query.member": "{ member(id: $member) { id } }",
    "Query.roles": "{ roles { nodes { id } } }",
    "Query.role": '{ role(key: "ci") { id } }',
    "Query.tokens": "{ tokens { nodes { id } } }",
    "Query.token": "{ token(id: $token) { id } }",
    "Query.advice": "{ advice { nodes { kind } } }",
    "Query.scores": "{ scores(days: 1) { score } }",
    "Query.jobs": "{ jobs { nodes { id } } }",
    "Query.job": "{ job(id: $job) { id } }",
    "Query.auditEntries": "{ auditEntries { nodes { id } } }",
    "Query.auditCounts": '{ auditCounts(since: "2026-01-01T00:00:00Z", groupBy: ACTION) { groups { counts } } }',
    "Query.auditHead": "{ auditHead { signature } }",
    "Query.auditKeys": "{ auditKeys { id publicKey } }",
    "Query.auditEntry": "{ auditEntry(id: $entry) { id } }",
    "Query.notices": "{ notices { nodes { id } } }",
    "Query.webhooks": "{ webhooks { nodes { id url } } }",
    "Query.webhook": "{ webhook(id: $webhook) { url deliveries { nodes { id } } } }",
    "Mutation.createWebhook": 'mutation { createWebhook(input: {url: "https://hooks.example"}) { secret } }',
    "Mutation.updateWebhook": "mutation { updateWebhook(input: {id: $webhook, enabled: false}) { webhook { id } } }",
    "Mutation.rotateWebhookSecret": "mutation { rotateWebhookSecret(input: {id: $webhook}) { secret } }",
    "Mutation.testWebhook": "mutation { testWebhook(input: {id: $webhook}) { delivery { error } } }",
    "Mutation.deleteWebhook": "mutation { deleteWebhook(input: {id: $webhook}) { deletedWebhookId } }",
    "Query.catalogue": "{ catalogue { key } }",
    "Query.gates": "{ gates { nodes { id } } }",
    "Query.gate": '{ gate(key: "api") { id } }',
    "Query.checkAccess": '{ checkAccess(checks: [{action: "viewMember", resource: "member/x"}]) { allowed } }',
    "Query.verifyToken": "{ verifyToken(secret: $presented) { token { name } } }",
    "Query.explainAccess": """{ explainAccess(
        subject: {token: $theirs}, action: "viewMember", resource: "member/x"
    ) { answer } }""",
    "Query.whoMay": '{ whoMay(action: "viewMember", resource: "member/x") { tokens { nodes { id } } } }',
    "Query.node": "{ node(id: $account) { id } }",
    "Query.nodes": "{ nodes(ids: [$account, $member, $role, $token, $session, $entry]) { id } }",
    "Mutation.updateAccount": "mutation { updateAccount(input: {verdictLifetimeS: 5}) { account { id } } }",
    "Mutation.signIn": 'mutation { signIn(input: {email: "owner@main.example", password: $password}) { secret } }',
    "Mutation.signOut": "mutation { signOut { session { revokedAt } } }",
    "Mutation.revokeSession": "mutation { revokeSession(input: {id: $session}) { session { id } } }",
    "Mutation.changePassword": """mutation { changePassword(input: {
        currentPassword: $password, newPassword: "a new one, long"
    }) { member { id } } }""",
    "Mutation.inviteMember": 'mutation { inviteMember(input: {email: "a@b.example"}) { inviteUrl } }',
    "Mutation.createMemberLink": "mutation { createMemberLink(input: {id: $member}) { inviteUrl } }",
    "Mutation.acceptInvite": """mutation { acceptInvite(input: {
        secret: $link, password: "a long password"
    }) { member { id } } }""",
    "Mutation.updateMember": 'mutation { updateMember(input: {id: $member, name: "W"}) { member { name } } }',
    "Mutation.assignRoles": "mutation { assignRoles(input: {id: $member, baseRole: READER}) { member { baseRole } } }",
    "Mutation.suspendMember": "mutation { suspendMember(input: {id: $member}) { member { state } } }",
    "Mutation.reinstateMember": "mutation { reinstateMember(input: {id: $asleep}) { member { state } } }",
    "Mutation.removeMember": "mutation { removeMember(input: {id: $member}) { member { state } } }",
    "Mutation.createRole": """mutation {
        createRole(input: {key: "qa", name: "QA", statements: $statements}) { role { key } }
    }""",
    "Mutation.updateRole": 'mutation { updateRole(input: {id: $role, name: "CI"}) { role { name } } }',
    "Mutation.deleteRole": "mutation { deleteRole(input: {id: $role}) { deletedRoleId } }",
    "Mutation.createToken": 'mutation { createToken(input: {name: "t", scope: {statements: $statements}}) { secret } }',
    "Mutation.updateToken": 'mutation { updateToken(input: {id: $token, name: "T"}) { token { name } } }',
    "Mutation.tryTokenScope": """mutation {
        tryTokenScope(input: {id: $token, scope: {statements: $statements}}) { token { trial { since } } }
    }""",
    "Mutation.enforceTokenTrial": "mutation { enforceTokenTrial(input: {id: $tried}) { token { state } } }",
    "Mutation.resetToken": "mutation { resetToken(input: {id: $token}) { secret } }",
    "Mutation.revokeToken": "mutation { revokeToken(input: {id: $token}) { token { state } } }",
    "Mutation.importTokens": """mutation { importTokens(input: {tokens: [
        {name: "old", secret: "hunter2hunter2", scope: {builtInRole: READER}}
    ]}) { tokens { name } } }""",
    "Mutation.retireLegacyTokens": """mutation {
        retireLegacyTokens(input: {at: "2100-01-01T00:00:00Z"}) { account { legacyEndsAt } }
    }""",
    "Mutation.revokeTokens": 'mutation { revokeTokens(input: {filter: {text: "own"}}) { job { id } } }',
    "Mutation.cancelJob": "mutation { cancelJob(input: {id: $job}) { job { state } } }",
    "Mutation.defineResourceKind": """mutation { defineResourceKind(input: {
        key: "plan", name: "Plan", actions: [{key: "runPlan", mark: WRITE}]
    }) { resourceKind { key } } }""",
    "Mutation.recordAuditEntries": """mutation { recordAuditEntries(input: {
        entries: [{action: "updateOn", resource: "proj/web:env/dev:flag/f"}]
    }) { count } }""",
    "Mutation.removeResourceKind": 'mutation { removeResourceKind(input: {key: "flag"}) { deletedResourceKindId } }',
    "Query.configuration": "{ configuration }",
    "Mutation.applyConfiguration": """mutation { applyConfiguration(input: {document: {latchkey: 1, resourceKinds: [
        {key: "tour", name: "Tour", actions: [{key: "runTour", mark: "WRITE"}]}
    ]}}) { differences { key } } }""",
    "Mutation.defineGate": """mutation { defineGate(input: {
        key: "web", name: "Web", source: FORWARDED,
        routes: [{pattern: "/**", action: "viewProject", resource: "proj/web"}]
    }) { gate { key } } }""",
    "Mutation.removeGate": 'mutation { removeGate(input: {key: "api"}) { deletedGateId } }',
    "Mutation.transferOwnership": """mutation {
        transferOwnership(input: {id: $admin, password: $password}) { account { id } }
    }""",
    "Subscription.auditEntryRecorded": "subscription { auditEntryRecorded { id } }",
    "Subscription.noticeAdded": "subscription { noticeAdded { id } }",
    "Member.email": "{ member(id: $member) { email } }",
    "Member.sessions": "{ member(id: $member) { sessions { nodes { id } } } }",
    "Role.statements": "{ role(id: $role) { statements { effect } } }",
    "Role.members": "{ role(id: $held) { members { nodes { name } } } }",
    "Token.lastUsedAddress": "{ token(id: $token) { lastUsedAddress } }",
    "Token.uses": "{ token(id: $token) { uses { allowed } } }",
    "Token.origins": "{ token(id: $token) { origins { address } } }",
    "Token.accesses": "{ token(id: $token) { accesses { action } } }",
    "TokenTrial.allowed": "{ token(id: $tried) { trial { allowed } } }",
    "TokenTrial.refused": "{ token(id: $tried) { trial { refused } } }",
    "TokenTrial.trialRefused": "{ token(id: $tried) { trial { trialRefused } } }",
    "TokenTrial.wouldRefuse": "{ token(id: $tried) { trial { wouldRefuse { action } } } }",
    "Token.lastUsedAgent": "{ token(id: $token) { lastUsedAgent } }",
    "Token.auditEntries": "{ token(id: $token) { auditEntries { nodes { id } } } }",
    "Token.deeds": "{ token(id: $token) { deeds { nodes { id } } } }",
    "Justification.statement": "{ auditEntry(id: $deed) { because { statement { effect } } } }",
    "Reason.statement": """{ verifyToken(secret: $presented, checks: [
        {action: "viewMember", resource: "member/x"}
    ]) { decisions { because { statement { effect } } } } }""",
    "AuditEntry.before": "{ auditEntry(id: $entry) { before } }",
    "AuditEntry.after": "{ auditEntry(id: $entry) { after } }",
    "AuditEntry.changes": "{ auditEntry(id: $entry) { changes { field } } }",
    "EffectiveRole.statements": "{ token(id: $theirs) { effectiveScope { statements { effect } } } }",
    "ExceedingStatement.statement": "{ token(id: $exceeding) { exceedsOwner { statement { effect } } } }",
}
BY_TOKEN = {"Query.verifyToken", "Reason.statement", "Mutation.recordAuditEntries"}
"""What no session may do, so that its example is run with a token."""
MAY_BE_NULL = {"AuditEntry.before"}
"""What the example shows as null even to those who may see it."""


def guarded() -> dict[str, type[Any]]:
    """Every field of the schema that has a permission class."""
    return {f"{t}.{f}": permissions[0] for t, f, _ in fields() if (permissions := permissions_of(t, f))}


def needing() -> list[str]:
    return sorted(name for name, permission in guarded().items() if issubclass(permission, Needs))


def test_every_guarded_field_has_an_example() -> None:
    assert set(EXAMPLES) == set(guarded())


def nulls(value: Any) -> bool:
    """Say whether every leaf of an answer is null."""
    if isinstance(value, dict):
        return all(nulls(inner) for inner in value.values())
    return all(nulls(inner) for inner in value) if isinstance(value, list) else value is None


@pytest.fixture
async def world(organisation: Organisation) -> World:
    return await World.of(organisation)


async def followed(world: World, caller: Caller | None, example: str) -> dict[str, Any]:
    """Follow the log until its first entry, which somebody makes meanwhile."""
    stream = await schema.subscribe(example, context_value=Context(world.organisation.request, caller))
    assert not isinstance(stream, ExecutionResult)
    made = asyncio.create_task(someone_acts(world)) if caller is world.organisation.owner else None
    result = await anext(stream)
    await stream.aclose()
    if made:
        await made
    return {"data": result.data, **({"errors": [told(error) for error in result.errors]} if result.errors else {})}


async def someone_acts(world: World) -> None:
    owner = world.organisation.owner
    assert owner.member
    for name in ("Owner I", "Owner"):
        await operations.update(owner, owner.member.id, name, Said())
    made = await world.organisation.made(owner)
    await leaks.revoke(world.organisation.request, [made.secret or ""])


Run = Callable[[Caller | None, str], Awaitable[dict[str, Any]]]


@pytest.fixture
def run(ask: Ask, world: World) -> Run:
    """Run the example of a field; a subscription once, until something comes."""

    async def run(caller: Caller | None, name: str) -> dict[str, Any]:
        if name.startswith("Subscription"):
            return await followed(world, caller, EXAMPLES[name])
        return await ask(caller, world.filled(EXAMPLES[name]))

    return run


async def test_without_its_action_a_field_shows_and_changes_nothing(
    world: World, run: Run, elsewhere: Elsewhere
) -> None:
    for name in needing():
        actions = guarded()[name].actions
        caller = await world.without(*actions)
        before = elsewhere.everything()
        answer = await run(caller, name)
        assert nulls(answer["data"]), name
        words = {action.value for action in actions}
        told = {(error["code"], error["action"] in words) for error in answer["errors"]}
        assert told == {("FORBIDDEN", True)}, name
        assert elsewhere.everything() == before, name
        noted = [each for window in world.organisation.house.refusals.take(all_=True) for each in window.summaries()]
        refused = [tuple(action.value for action in actions)] if name.startswith("Mutation") else []
        assert [summary.asked.actions for summary in noted] == refused, name


async def test_with_its_action_a_field_shows(world: World, run: Run) -> None:
    for name in needing():
        if name.startswith("Mutation"):
            continue
        owner = world.organisation.owner
        answer = await run(await world.without(Action.VIEW_KIND) if name in BY_TOKEN else owner, name)
        assert "errors" not in answer, name
        assert not nulls(answer["data"]) or name in MAY_BE_NULL, name


async def test_without_a_credential_nothing_answers(run: Run, elsewhere: Elsewhere) -> None:
    before = elsewhere.everything()
    for name in sorted(name for name, guard in guarded().items() if guard is not Public):
        answer = await run(None, name)
        assert nulls(answer["data"]), name
        assert {error["code"] for error in answer["errors"]} == {"UNAUTHENTICATED"}, name
    assert elsewhere.everything() == before


async def test_what_is_public_answers_without_a_credential(run: Run) -> None:
    for name in sorted(name for name, guard in guarded().items() if guard is Public):
        assert "errors" not in await run(None, name), name


async def test_what_needs_a_credential_takes_that_of_someone_with_no_rights(world: World, run: Run) -> None:
    member = await world.organisation.member(BuiltInRole.NO_ACCESS)
    await with_password(member)
    for name in sorted(name for name, guard in guarded().items() if guard is SignedIn):
        await member.refresh_from_db()
        answer = await run(await world.organisation.session(member), name)
        hidden = [error["code"] for error in answer.get("errors", [])]
        assert hidden == (["NOT_FOUND"] if name == "Query.node" else []), name


def test_roots_are_all_guarded() -> None:
    assert all(f"{t}.{f}" in guarded() for t, f, _ in fields() if t in ROOTS)
