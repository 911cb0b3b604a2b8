"""A narrower scope is tried on a token: it decides nothing, and exactly what it would have refused is counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Forbidden, Invalid, NotFound
from core.vocabulary import BuiltInRole
from models import AuditEntry, Gate, GateSource, Role, ScopeKind, Token, TokenAccess, TokenDay, TokenKind, now
from resolvers import access, entries, gates, roles, tokens
from resolvers.access import Asked, Question, authorize
from resolvers.callers import note_deeds, used
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Done, Said
from tests.core.policies import CATALOGUES, RawStatement, questions, statements
from tests.core.policies import Question as Drawn
from tests.effort import tries
from tests.organisation import Organisation

FLAG = "proj/web:env/dev:flag/f"
SEES = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
READS = {"effect": "allow", "actions": ["viewFlag"], "resources": ["proj/*:env/*:flag/*"]}
TURNS = {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/*:env/*:flag/*"]}
WIDE = Scope(statements=[SEES, READS, TURNS])
NARROW = Scope(statements=[SEES, READS])


async def asked(organisation: Organisation, secret: str, *asked: tuple[str, str]) -> list[bool]:
    """Ask questions in a request with a token."""
    caller = await used(secret, organisation.request)
    return authorize(caller, [Question(*each) for each in asked]).allowed


async def refused(organisation: Organisation, token: Token) -> dict[tuple[str, str], int]:
    """What a token's trial would have refused, and how often."""
    await organisation.house.uses.flush()
    rows = await TokenAccess.filter(token_id=token.id, trial_refused__gt=0)
    days = [row.trial_refused for row in await TokenDay.filter(token_id=token.id)]
    each = [row.trial_refused for row in rows]
    assert max(each, default=0) <= sum(days) <= sum(each)
    return {(row.action, row.specifier): row.trial_refused for row in rows}


def shown(done: Done[Token], name: str) -> tuple[Any, Any]:
    """What the log shows of something before and after."""
    assert done.entry
    return (done.entry.before or {})[name], (done.entry.after or {})[name]


async def test_what_a_narrower_scope_would_refuse_is_counted_and_then_refused_with_the_same_secret(
    organisation: Organisation,
) -> None:
    made = await organisation.made(organisation.owner, WIDE)
    secret, token = made.secret or "", made.row
    done = await tokens.try_scope(organisation.owner, token.id, NARROW, Said("try it"))
    trial = done.row.trial
    assert trial == {"at": (trial or {})["at"], "policy": [SEES, READS]}
    assert shown(done, "trial") == (None, trial)
    assert (await AuditEntry.get(id=done.entry.id if done.entry else None)).comment == "try it"
    for _ in range(2):
        assert await asked(organisation, secret, ("updateOn", FLAG), ("viewFlag", FLAG), ("deleteFlag", FLAG)) == [
            True,
            True,
            False,
        ]
    assert await refused(organisation, token) == {("updateOn", FLAG): 2}
    (day,) = await TokenDay.filter(token_id=token.id, action="updateOn")
    assert (day.allowed, day.refused, day.trial_refused) == (2, 0, 2)

    enforced = await tokens.enforce_trial(organisation.owner, token.id, Said())
    assert (enforced.row.trial, enforced.row.scope_policy) == (None, [SEES, READS])
    assert (shown(enforced, "trial"), shown(enforced, "scopePolicy")) == (
        (trial, None),
        ([SEES, READS, TURNS], [SEES, READS]),
    )
    assert await asked(organisation, secret, ("updateOn", FLAG), ("viewFlag", FLAG)) == [False, True]
    assert await refused(organisation, token) == {("updateOn", FLAG): 2}


async def test_another_trial_begins_to_count_anew(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, WIDE)
    await tokens.try_scope(organisation.owner, made.row.id, NARROW, Said())
    caller = await used(made.secret or "", organisation.request)
    assert authorize(caller, [Question("updateOn", FLAG)]).allowed == [True]
    assert await refused(organisation, made.row) == {("updateOn", FLAG): 1}
    await tokens.try_scope(organisation.owner, made.row.id, Scope(statements=[SEES, TURNS]), Said())
    assert await refused(organisation, made.row) == {}
    # A request that began before knows of the earlier trial only.
    note_deeds(
        caller, caller.deed("updateOn", Asked.of(Question("updateOn", FLAG), caller.catalogue).resource, allowed=True)
    )
    await asked(organisation, made.secret or "", ("viewFlag", FLAG))
    assert await refused(organisation, made.row) == {("viewFlag", FLAG): 1}
    ended = await tokens.try_scope(organisation.owner, made.row.id, None, Said())
    assert ended.row.trial is None
    await asked(organisation, made.secret or "", ("viewFlag", FLAG))
    assert await refused(organisation, made.row) == {("viewFlag", FLAG): 1}
    assert (await tokens.try_scope(organisation.owner, made.row.id, None, Said())).entry is None


@pytest.mark.parametrize(
    "wider",
    [
        Scope(BuiltInRole.READER),
        Scope(statements=[SEES, READS, {**TURNS, "actions": ["*"]}]),
        Scope(custom_roles=["everything"]),
    ],
)
async def test_only_a_narrower_scope_is_tried(organisation: Organisation, wider: Scope) -> None:
    await organisation.role("everything", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    made = await organisation.made(organisation.owner, WIDE)
    with pytest.raises(Invalid, match="must be narrower") as problem:
        await tokens.try_scope(organisation.owner, made.row.id, wider, Said())
    assert problem.value.field == "scope"
    assert (await Token.get(id=made.row.id)).trial is None


async def test_what_cannot_be_enforced_is_not_tried(organisation: Organisation) -> None:
    owner = organisation.owner
    service = await organisation.made(owner, WIDE, TokenKind.SERVICE)
    everything = await organisation.role("everything", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    anybody = await organisation.session(await organisation.member(custom=[everything]))
    for caller, error, why in ((owner, Forbidden, "needs"), (anybody, Invalid, "fixed for good")):
        with pytest.raises(error, match=why):
            await tokens.try_scope(caller, service.row.id, NARROW, Said())
    ended = await organisation.made(owner, WIDE)
    with pytest.raises(Invalid, match="no scope is tried"):
        await tokens.enforce_trial(owner, ended.row.id, Said())
    await tokens.try_scope(owner, ended.row.id, NARROW, Said())
    await tokens.revoke(owner, ended.row.id, Said())
    for deed in (
        tokens.enforce_trial(owner, ended.row.id, Said()),
        tokens.try_scope(owner, ended.row.id, None, Said()),
    ):
        with pytest.raises(Invalid, match="has ended"):
            await deed


async def test_trying_takes_the_right_to_narrow(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, WIDE)
    sees = {"effect": "allow", "notActions": ["updateAccessTokenPolicy"], "resources": ["*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[sees]))
    with pytest.raises(Forbidden):
        await tokens.try_scope(caller, made.row.id, NARROW, Said())
    await tokens.try_scope(organisation.owner, made.row.id, NARROW, Said())
    with pytest.raises(Forbidden):
        await tokens.enforce_trial(caller, made.row.id, Said())


async def test_an_admin_enforces_on_anothers_token_what_cannot_grow(organisation: Organisation) -> None:
    admin, session = [await organisation.as_role(role) for role in (BuiltInRole.ADMIN, BuiltInRole.WRITER)]
    await organisation.role("reads", SEES, READS)
    made = await organisation.made(session, WIDE)
    await tokens.try_scope(admin, made.row.id, Scope(custom_roles=["reads"]), Said())
    with pytest.raises(Forbidden, match="owner's own session"):
        await tokens.enforce_trial(admin, made.row.id, Said())
    assert (await Token.get(id=made.row.id)).trial is not None
    await tokens.try_scope(admin, made.row.id, NARROW, Said())
    await tokens.enforce_trial(admin, made.row.id, Said())
    assert await asked(organisation, made.secret or "", ("updateOn", FLAG), ("viewFlag", FLAG)) == [False, True]


async def test_custom_roles_on_trial_are_followed_live(organisation: Organisation) -> None:
    role = await organisation.role("tried", SEES, READS, TURNS)
    made = await organisation.made(organisation.owner, WIDE)
    await tokens.try_scope(organisation.owner, made.row.id, Scope(custom_roles=["tried"]), Said())
    await asked(organisation, made.secret or "", ("updateOn", FLAG))
    assert await refused(organisation, made.row) == {}
    await roles.update(organisation.owner, role.id, RoleChange(policy=[SEES, READS]), Said())
    await asked(organisation, made.secret or "", ("updateOn", FLAG), ("viewFlag", FLAG))
    assert await refused(organisation, made.row) == {("updateOn", FLAG): 1}
    await roles.delete(organisation.owner, role.id, Said())
    assert not await Role.filter(key="tried").exists()
    await asked(organisation, made.secret or "", ("updateOn", FLAG), ("viewFlag", FLAG))
    assert await refused(organisation, made.row) == {("updateOn", FLAG): 2, ("viewFlag", FLAG): 1}
    with pytest.raises(Invalid, match="no role you can see"):
        await tokens.enforce_trial(organisation.owner, made.row.id, Said())


async def test_what_has_grown_on_trial_is_not_enforced(organisation: Organisation) -> None:
    role = await organisation.role("tried", SEES)
    made = await organisation.made(organisation.owner, NARROW)
    await tokens.try_scope(organisation.owner, made.row.id, Scope(custom_roles=["tried"]), Said())
    await roles.update(organisation.owner, role.id, RoleChange(policy=[SEES, READS, TURNS]), Said())
    with pytest.raises(Invalid, match="must be narrower"):
        await tokens.enforce_trial(organisation.owner, made.row.id, Said())
    assert await asked(organisation, made.secret or "", ("updateOn", FLAG)) == [False]
    await roles.update(organisation.owner, role.id, RoleChange(policy=[SEES]), Said())
    await tokens.enforce_trial(organisation.owner, made.row.id, Said())
    assert await asked(organisation, made.secret or "", ("viewFlag", FLAG)) == [False]


async def test_the_log_shows_roles_on_trial_to_those_who_see_them(organisation: Organisation) -> None:
    await organisation.role("tried", SEES)
    made = await organisation.made(organisation.owner, NARROW)
    done = await tokens.try_scope(organisation.owner, made.row.id, Scope(custom_roles=["tried"]), Said())
    role = await organisation.role("auditor", {"effect": "allow", "actions": ["viewAuditLog"], "resources": ["acct"]})
    auditor = await organisation.session(await organisation.member(custom=[role]))
    assert done.entry
    for caller, roles_shown in ((organisation.owner, ["tried"]), (auditor, [])):
        seen = entries.shown(caller, done.entry, done.entry.after)
        assert (seen or {})["trial"] == {"at": (done.row.trial or {})["at"], "roles": roles_shown}


async def test_what_is_asked_at_length_is_not_remembered(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, WIDE)
    before = len(access._decided)  # noqa: SLF001 - it must not grow
    await asked(organisation, made.secret or "", ("look" * 40, FLAG), ("viewFlag", FLAG + "f" * 200))
    assert len(access._decided) == before  # noqa: SLF001 - as above
    await asked(organisation, made.secret or "", ("viewFlag", FLAG))
    assert len(access._decided) == before + 1  # noqa: SLF001 - as above


async def test_a_new_scope_ends_a_trial(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, WIDE)
    await tokens.try_scope(organisation.owner, made.row.id, NARROW, Said())
    kept = await tokens.update(organisation.owner, made.row.id, TokenChange(name="renamed"), Said())
    assert kept.row.trial is not None
    done = await tokens.update(organisation.owner, made.row.id, TokenChange(scope=Scope(statements=[SEES])), Said())
    assert done.row.trial is None


async def test_deeds_of_latchkeys_own_are_tried_too(organisation: Organisation) -> None:
    own = {"effect": "allow", "actions": ["viewAccessToken", "updateAccessToken*"], "resources": ["member/*:token/*"]}
    made = await organisation.made(organisation.owner, Scope(statements=[own]))
    target = await organisation.made(organisation.owner)
    narrow = Scope(statements=[{**own, "actions": ["viewAccessToken", "updateAccessTokenDescription"]}])
    await tokens.try_scope(organisation.owner, made.row.id, narrow, Said())
    caller = await used(made.secret or "", organisation.request)
    done = await tokens.update(caller, target.row.id, TokenChange(name="renamed", description="d"), Said())
    assert done.row.name == "renamed"
    assert await refused(organisation, made.row) == {("updateAccessTokenName", str(target.row.resource)): 1}


async def test_what_would_not_be_found_is_counted(organisation: Organisation) -> None:
    own = {"effect": "allow", "actions": ["viewAccessToken", "updateAccessToken*"], "resources": ["member/*:token/*"]}
    made, target = [await organisation.made(organisation.owner, Scope(statements=[own])) for _ in range(2)]
    narrow = Scope(
        statements=[
            own,
            {**own, "effect": "deny", "actions": ["viewAccessToken"], "resources": [str(target.row.resource)]},
        ]
    )
    await tokens.try_scope(organisation.owner, made.row.id, narrow, Said())
    caller = await used(made.secret or "", organisation.request)
    await tokens.update(caller, target.row.id, TokenChange(name="renamed"), Said())
    assert await refused(organisation, made.row) == {("viewAccessToken", str(target.row.resource)): 1}
    await tokens.enforce_trial(organisation.owner, made.row.id, Said())
    caller = await used(made.secret or "", organisation.request)
    with pytest.raises(NotFound):
        await tokens.update(caller, target.row.id, TokenChange(name="again"), Said())


async def test_a_legacy_token_is_narrowed_with_no_new_secret(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, Scope(BuiltInRole.ADMIN))
    await Token.filter(id=made.row.id).update(kind=TokenKind.ACCOUNT, owner_id=None)
    await tokens.try_scope(organisation.owner, made.row.id, NARROW, Said())
    assert await asked(organisation, made.secret or "", ("updateOn", FLAG), ("viewFlag", FLAG)) == [True, True]
    assert await refused(organisation, made.row) == {("updateOn", FLAG): 1}
    await tokens.enforce_trial(organisation.owner, made.row.id, Said())
    assert await asked(organisation, made.secret or "", ("updateOn", FLAG), ("viewFlag", FLAG)) == [False, True]


async def test_a_trial_is_as_bounded_by_its_owner_as_the_scope(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.READER)
    made = await organisation.made(session, WIDE)
    await tokens.try_scope(session, made.row.id, NARROW, Said())
    assert await asked(organisation, made.secret or "", ("updateOn", FLAG), ("viewFlag", FLAG)) == [False, True]
    assert await refused(organisation, made.row) == {}


@dataclass
class Case:
    """A scope, another that is tried on it, and what is asked."""

    scope: list[RawStatement]
    trial: list[RawStatement]
    asked: list[Drawn]


def cases() -> list[Case]:
    """Draw cases. Hypothesis runs no coroutine inside a running loop, so it only draws here."""
    drawn: list[Case] = []
    line = statements(CATALOGUES[0])
    everything: RawStatement = {"effect": "allow", "actions": ["*"], "resources": ["*"]}

    @settings(max_examples=tries(40), deadline=None, database=None)
    @given(
        st.one_of(st.just([everything]), st.lists(line, min_size=1, max_size=4)),
        st.lists(line, max_size=4),
        st.lists(questions(CATALOGUES[0]), min_size=4, max_size=8),
    )
    def draw(scope: list[RawStatement], trial: list[RawStatement], asked: list[Drawn]) -> None:
        drawn.append(Case(scope, trial, asked))

    draw()
    return drawn


async def token_of(
    organisation: Organisation, policy: Sequence[RawStatement], trial: Sequence[RawStatement] | None
) -> Any:
    """Make a token with a scope and a trial, whatever they come to."""
    made = await organisation.made(organisation.owner)
    tried = None if trial is None else {"at": now().isoformat(), "policy": list(trial)}
    await Token.filter(id=made.row.id).update(scope_kind=ScopeKind.INLINE, scope_policy=list(policy), trial=tried)
    return made


async def test_exactly_what_enforcing_would_have_refused_is_counted(organisation: Organisation) -> None:
    await organisation.define(*(replace(kind, name=kind.key) for kind in CATALOGUES[0]))
    gate = Gate(account_id=organisation.account.id, key="fixed", source=GateSource.FIXED, routes=[])
    counted = kept = 0
    for case in cases():
        live = await token_of(organisation, case.scope, case.trial)
        plain = await token_of(organisation, case.scope, None)
        enforced = await token_of(organisation, case.trial, None)
        expected: Counter[tuple[str, str]] = Counter()
        for drawn in case.asked:
            question = Question(drawn.action, drawn.resource_text)
            caller, before, after = [
                await used(each.secret or "", organisation.request) for each in (live, plain, enforced)
            ]
            answers = [authorize(each, [question]).decisions[0] for each in (caller, before, after)]
            if answers[0].asked is None:
                continue
            there = gates.CompiledGate(gate, organisation.account, caller.catalogue)
            passage = gates.decide(there, caller, question)
            note_deeds(caller, *passage.deeds)
            assert bool(passage) is bool(answers[0].verdict) is bool(answers[1].verdict)
            if answers[0].verdict and not answers[2].verdict:
                expected[question.action, answers[0].asked.resource.specifier] += 1
            kept += bool(answers[2].verdict)
        assert await refused(organisation, live.row) == expected, case
        counted += expected.total()
    assert counted > 3
    assert kept > 3
