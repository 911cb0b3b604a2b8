"""An explanation is the real decision, with exactly the statements that decided; a remedy that is applied is a yes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from random import Random
from typing import Any

import pytest

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.law import Authority, NamedPolicy, Side, SideKind, SideReason
from core.policy import CompiledPolicy, Reason, Statement, decide, parse_policy
from core.remedies import Remedy, RemedyKind
from core.vocabulary import BuiltInRole
from models import Account, Member, MemberState, ScopeKind, Token, TokenKind, TokenState, new_id, now
from models.database import Database
from resolvers import explaining, members, roles, tokens
from resolvers.access import Asked, Question
from resolvers.explaining import AccessAnswer, Explained, Standing, Subject
from resolvers.realms import catalogue_of
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.core.test_law import CATALOGUE, PAIRS, Held, guarded, pool
from tests.organisation import Organisation, founded
from tests.population import QUESTIONS, Population, allowed

NOW = now()
KINDS = (SideKind.SCOPE, SideKind.OWNER, SideKind.CEILING, SideKind.CEILING)
FLAG = Question("updateOn", "proj/web:env/dev:flag/f;")

MEMBERS = [Member(state=state) for state in [MemberState.ACTIVE] * 9 + [MemberState.SUSPENDED]]
TOKENS = [
    Token(kind=kind, scope_kind=ScopeKind.INLINE, expires_at=expires_at, revoked_at=revoked_at)
    for kind in (TokenKind.PERSONAL, TokenKind.SERVICE)
    for expires_at, revoked_at in [(None, None)] * 8 + [(NOW, None), (None, NOW)]
]


def drawn(random: Random) -> tuple[Standing, list[list[Held]]]:
    """Draw a token of a member's with up to two ceilings, or a member; most of them awake."""
    count = random.choice([1, 2, 2, 3, 4])
    held = [random.choices(pool(), k=random.choice([0, 1, 1, 2, 3])) for _ in range(count)]
    kinds = KINDS[1:2] if count == 1 else KINDS
    sides = tuple(Side(kind, tuple(role for role, _ in drawn)) for kind, drawn in zip(kinds, held, strict=False))
    token = random.choice(TOKENS) if count > 1 else None
    authority = Authority(sides, "boss", random.choice(["me", "boss", None]))
    return Standing(Account(), authority, CATALOGUE, NOW, token, random.choice(MEMBERS)), held


def oracle(standing: Standing, held: list[list[Held]], place: int) -> bool:
    """Decide by the sets of all that each policy allows, read plainly."""
    awake = standing.member is not None and standing.member.state is MemberState.ACTIVE
    if standing.token is not None:
        awake = awake and standing.token.revoked_at is None and standing.token.expires_at is None
    every = all(any(place in pairs for _, pairs in roles) for roles in held)
    return awake and every and place not in guarded("boss", standing.authority.member_id)


def reasons(named: NamedPolicy, place: int) -> tuple[bool, list[tuple[int | None, str]]]:
    """Give what a policy decides by itself, by the plain reading: the places of the statements, and on what."""
    action, resource = PAIRS[place]
    attributes = named.policy.attributes
    decision = decide(named.policy.policy, action, resource, gates=CATALOGUE.gates, attributes=attributes)
    return decision.allowed, [(reason.index, reason.action) for reason in decision.because]


def shown(because: tuple[SideReason, ...]) -> list[tuple[int | None, str]]:
    return [(decided.reason.index, decided.reason.action) for decided in because]


def test_an_explanation_is_the_real_decision_and_names_exactly_what_decided() -> None:
    random = Random(10_000)  # noqa: S311 - a search, not a secret
    met: dict[tuple[AccessAnswer, bool], int] = {}
    for _ in range(10_000):
        standing, held = drawn(random)
        place = random.randrange(len(PAIRS))
        action, resource = PAIRS[place]
        found = explaining.explained(standing, Question(action, str(resource)), Asked(action, resource))
        expected = oracle(standing, held, place)
        assert (found.outcome is AccessAnswer.ALLOWED) is expected
        assert found.answer
        assert found.answer.verdict.allowed is expected
        for side, policies in zip(found.sides, held, strict=True):
            by_itself = [reasons(named, place) for named, _ in policies]
            assert [(policy.allowed, shown(policy.because)) for policy in side.policies] == by_itself
            assert side.allowed is any(allows for allows, _ in by_itself)
        if standing.works and not found.answer.verdict.guard:
            decided = [
                because
                for side in found.sides
                for policy in side.policies
                if side.allowed is policy.allowed is expected
                for because in policy.because
            ]
            assert list(found.answer.verdict.because) == decided
        assert bool(found.remedies) is not expected
        met[found.outcome, standing.works] = met.get((found.outcome, standing.works), 0) + 1
    assert all(count > 500 for count in met.values())
    assert len(met) == 3


def mended(named: NamedPolicy, remedies: list[Remedy]) -> NamedPolicy:
    """Do to a policy what remedies propose."""
    removed = {remedy.index for remedy in remedies if remedy.kind is RemedyKind.REMOVE_DENY}
    added = parse_policy(
        [
            {"effect": "allow", "actions": [remedy.action], "resources": [remedy.resource]}
            for remedy in remedies
            if remedy.kind in (RemedyKind.ADD_ALLOW, RemedyKind.OPEN_GATE)
        ],
        "policy",
    )
    kept = tuple(line for index, line in enumerate(named.policy.policy) if index not in removed)
    return NamedPolicy(named.name, CompiledPolicy((*kept, *added), CATALOGUE, named.policy.attributes))


def edit(remedy: Remedy) -> object:
    """A statement is removed once, whatever it denies."""
    return remedy.index if remedy.kind is RemedyKind.REMOVE_DENY else (remedy.action, remedy.resource)


EDITS = (RemedyKind.ADD_ALLOW, RemedyKind.OPEN_GATE, RemedyKind.REMOVE_DENY)


def test_what_is_listed_for_one_role_turns_its_side_and_no_less_does() -> None:
    random = Random(99)  # noqa: S311 - a search, not a secret
    turned = 0
    for _ in range(3_000):
        standing, _ = drawn(random)
        standing = replace(standing, authority=replace(standing.authority, member_id="boss"))
        action, resource = random.choice(PAIRS)
        found = standing.remedies.find(standing.authority, action, resource)
        for (side_kind, role), group in groupby(
            (remedy for remedy in found if remedy.kind in EDITS), lambda remedy: (remedy.side, remedy.role)
        ):
            remedies = list(group)
            (side, *_) = [side for side in standing.authority.sides if side.kind is side_kind]
            (named, *_) = [named for named in side.policies if named.name == role]
            assert not side.allows(action, resource)
            assert mended(named, remedies).policy.allows(action, resource)
            for left_out in remedies:
                less = [remedy for remedy in remedies if edit(remedy) != edit(left_out)]
                assert not mended(named, less).policy.allows(action, resource)
            turned += 1
    assert turned > 1_000


def test_every_side_that_refuses_is_mended_and_no_other() -> None:
    random = Random(5)  # noqa: S311 - a search, not a secret
    for _ in range(2_000):
        standing, _ = drawn(random)
        action, resource = random.choice(PAIRS)
        verdict = standing.authority.decide(action, resource)
        found = standing.remedies.find(standing.authority, action, resource)
        if verdict.guard:
            assert [remedy.kind for remedy in found] == [RemedyKind.OWNER_ONLY]
            continue
        must = [remedy for remedy in found if remedy.kind is not RemedyKind.STATE_UNKNOWN]
        assert {remedy.side for remedy in must} == set(verdict.missing)
        for remedy in must:
            assert (remedy.side is SideKind.CEILING) <= (remedy.kind is RemedyKind.MAKE_ANOTHER_TOKEN)
            assert remedy.role not in list(BuiltInRole)


def of(row: Token | Member) -> Subject:
    return Subject(token_id=row.id) if isinstance(row, Token) else Subject(member_id=row.id)


async def test_an_explanation_is_what_the_secret_is_allowed(organisation: Organisation) -> None:
    people = await Population.of(organisation, 3, roles=8, members=10, tokens=20)
    await members.suspend(organisation.owner, people.members[0].id, Said())
    await tokens.revoke(organisation.owner, people.tokens[0].id, Said())
    outcomes = set()
    for subject in people.everyone:
        caller = await people.caller(subject)
        for question in people.random.sample(QUESTIONS, 5):
            found = await explaining.explain(organisation.owner, of(subject), question)
            assert (found.outcome is AccessAnswer.ALLOWED) is allowed(caller, question), (subject, question)
            assert found.standing
            assert found.standing.works is (caller is not None)
            if caller:
                asked = Asked.of(question, caller.catalogue)
                assert found.answer
                assert found.answer.verdict == caller.rights.decide(asked.action, asked.resource)
            outcomes.add((found.outcome, found.standing.works))
    assert len(outcomes) == 3


async def explained(organisation: Organisation, row: Token | Member, question: Question = FLAG) -> Explained:
    return await explaining.explain(organisation.owner, of(row), question)


def listed(found: Explained) -> list[tuple[RemedyKind, SideKind | None, str | None]]:
    return [(remedy.kind, remedy.side, remedy.role) for remedy in found.remedies]


async def test_what_has_ended_or_sleeps_is_a_no_that_says_so(organisation: Organisation) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.member
    revoked, expired, asleep = [(await organisation.made(writer)).row for _ in range(3)]
    await tokens.revoke(organisation.owner, revoked.id, Said())
    await Token.filter(id=expired.id).update(expires_at=now() - timedelta(seconds=1))
    another = (RemedyKind.MAKE_ANOTHER_TOKEN, None, None)
    revive = (RemedyKind.REVIVE, None, None)

    async def seen(row: Token) -> Any:
        found = await explained(organisation, row)
        assert found.standing
        assert found.answer
        assert (found.outcome, found.answer.verdict.allowed) == (AccessAnswer.REFUSED, False)
        assert all(side.allowed for side in found.sides)
        return found.standing.token_state, listed(found)

    assert await seen(revoked) == (TokenState.REVOKED, [another])
    assert await seen(expired) == (TokenState.EXPIRED, [another])
    await members.suspend(organisation.owner, writer.member.id, Said())
    assert await seen(revoked) == (TokenState.REVOKED, [another, revive])
    assert await seen(asleep) == (TokenState.OWNER_INACTIVE, [revive])
    found = await explained(organisation, writer.member)
    assert (found.outcome, listed(found)) == (AccessAnswer.REFUSED, [revive])


async def test_each_remedy_fits_what_it_is_for(organisation: Organisation) -> None:
    owner = organisation.owner
    reader = await organisation.as_role(BuiltInRole.READER)
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert reader.member
    gate = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/app"]}
    await organisation.role("closed", gate, {"effect": "allow", "actions": ["updateOn"], "resources": ["*"]})
    scoped = Scope(statements=[{"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}])
    personal = (await organisation.made(writer, Scope(BuiltInRole.READER))).row
    inline = (await organisation.made(writer, scoped)).row
    service = (await organisation.made(owner, scoped, TokenKind.SERVICE)).row
    role = (await organisation.made(owner, Scope(custom_roles=["closed"]), TokenKind.SERVICE)).row
    makes = {"effect": "allow", "actions": ["createAccessToken"], "resources": ["member/*:token/*"]}
    maker = await organisation.token(owner, Scope(statements=[makes]))
    child = (await organisation.made(maker, Scope(BuiltInRole.OWNER))).row
    kinds = RemedyKind
    for row, expected in (
        (reader.member, [(kinds.CHANGE_ROLE, SideKind.OWNER, None)]),
        (personal, [(kinds.CHANGE_SCOPE, SideKind.SCOPE, None)]),
        (inline, [(kinds.ADD_ALLOW, SideKind.SCOPE, "inline")]),
        (service, [(kinds.MAKE_ANOTHER_TOKEN, SideKind.SCOPE, None)]),
        (role, [(kinds.OPEN_GATE, SideKind.SCOPE, "closed")]),
        (child, [(kinds.MAKE_ANOTHER_TOKEN, SideKind.CEILING, None)]),
    ):
        assert listed(await explained(organisation, row)) == expected
    transfer = Question("updateAccountOwner", "acct")
    assert listed(await explained(organisation, reader.member, transfer)) == [(kinds.OWNER_ONLY, None, None)]


async def test_a_remedy_that_is_applied_to_a_role_is_a_yes(organisation: Organisation) -> None:
    deny = {"effect": "deny", "actions": ["update*"], "resources": ["proj/*:env/*:flag/*;frozen"]}
    role = await organisation.role("flags", deny)
    member = await organisation.member(custom=[role])
    question = Question("updateOn", "proj/web:env/dev:flag/f")
    found = await explained(organisation, member, question)
    assert [(remedy.kind, remedy.index, remedy.action, remedy.resource) for remedy in found.remedies] == [
        (RemedyKind.REMOVE_DENY, 0, "updateOn", "proj/web:env/dev:flag/f"),
        (RemedyKind.ADD_ALLOW, None, "updateOn", "proj/web:env/dev:flag/f"),
        (RemedyKind.OPEN_GATE, None, "viewProject", "proj/web"),
        (RemedyKind.STATE_UNKNOWN, None, "updateOn", "proj/web:env/dev:flag/f"),
    ]
    sentences = [remedy.sentence() for remedy in found.remedies]
    assert sentences == [
        "Remove or narrow statement 0 of `flags`, which denies `updateOn` on `proj/web:env/dev:flag/f`.",
        "Add a statement to `flags` that allows `updateOn` on `proj/web:env/dev:flag/f`.",
        "Add a statement to `flags` that allows `viewProject` on `proj/web`: without it nothing beneath is allowed.",
        "State the tags of `proj/web:env/dev:flag/f`, on which `flags` depends: it may be a yes then.",
    ]
    policy: list[Mapping[str, Any]] = [
        {"effect": "allow", "actions": [remedy.action], "resources": [remedy.resource]}
        for remedy in found.remedies
        if remedy.kind in (RemedyKind.ADD_ALLOW, RemedyKind.OPEN_GATE)
    ]
    await roles.update(organisation.owner, role.id, RoleChange(policy=policy), Said())
    found = await explained(organisation, member, question)
    assert (found.outcome, list(found.remedies)) == (AccessAnswer.ALLOWED, [])


async def test_hidden_and_absent_and_anothers_look_alike_and_cost_alike(
    organisation: Organisation, database: Database, statements: list[str]
) -> None:
    other = await founded(database, "other")
    foreign = (await other.made(other.owner)).row
    hidden = (await organisation.made(organisation.owner)).row
    assert organisation.owner.member
    assert other.owner.member
    near = {"effect": "allow", "actions": ["*"], "resources": ["member/x", "member/x:token/*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[near]))
    counts = set()
    for at in (None, now()):
        for token_id in (hidden.id, foreign.id, new_id()):
            statements.clear()
            with pytest.raises(NotFound):
                await explaining.explain(caller, Subject(token_id=token_id), FLAG, at)
            counts.add(tuple(statements))
        for member_id in (organisation.owner.member.id, other.owner.member.id, new_id()):
            with pytest.raises(NotFound):
                await explaining.explain(caller, Subject(member_id=member_id), FLAG, at)
    assert len(counts) == 1


async def test_whom_one_sees_without_the_right_to_see_their_access_is_refused(organisation: Organisation) -> None:
    member = await organisation.member()
    reader = await organisation.as_role(BuiltInRole.READER)
    assert reader.member
    assert (await explaining.explain(reader, of(reader.member), FLAG)).outcome is AccessAnswer.REFUSED
    with pytest.raises(Forbidden) as refusal:
        await explaining.explain(reader, of(member), FLAG)
    assert refusal.value.extensions["action"] == "viewAccess"
    assert refusal.value.extensions["resource"] == f"member/{member.id}"


async def test_bad_input_names_its_field(organisation: Organisation) -> None:
    member = await organisation.member()
    for question, at, field in (
        (Question("updateOnn", "proj/web:env/dev:flag/f"), None, "action"),
        (Question("updateOn", "proj/web:flag/f"), None, "resource"),
        (Question("updateOnn", "proj/web:env/dev:flag/f"), now(), "action"),
        (FLAG, now() + timedelta(seconds=5), "at"),
        (FLAG, organisation.account.created_at - timedelta(microseconds=1), "at"),
        (FLAG, now().replace(tzinfo=None), "at"),
    ):
        with pytest.raises(Invalid) as refusal:
            await explaining.explain(organisation.owner, of(member), question, at)
        assert refusal.value.field == field


async def test_what_changes_while_it_is_read_is_read_again(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes are made between the reading of the subject and that of its roles."""
    writer = await organisation.member(BuiltInRole.WRITER)
    times = 0

    async def disturbed(account: Account) -> Any:
        nonlocal times
        times += 1
        if times < stop:
            await members.update(organisation.owner, writer.id, f"{times}", Said())
            if times == 1:
                await members.suspend(organisation.owner, writer.id, Said())
        return await catalogue_of(account)

    monkeypatch.setattr(explaining, "catalogue_of", disturbed)
    stop = 3
    assert (await explained(organisation, writer)).outcome is AccessAnswer.REFUSED
    assert times == 3
    times, stop = 0, 1_000
    with pytest.raises(Conflict):
        await explained(organisation, writer)


def test_a_reason_keeps_its_statement() -> None:
    """What the face shows of a reason is there: the statement itself, not only its place."""
    allow = Statement.parse({"effect": "allow", "actions": ["*"], "resources": ["*"]}, "")
    named = NamedPolicy("all", CompiledPolicy((allow,), CATALOGUE))
    standing = Standing(
        Account(),
        Authority((Side(SideKind.OWNER, (named,)),), None, "me"),
        CATALOGUE,
        NOW,
        None,
        Member(state=MemberState.ACTIVE),
    )
    action, resource = PAIRS[0]
    found = explaining.explained(standing, Question(action, str(resource)), Asked(action, resource))
    assert found.sides[0].policies[0].because == (
        SideReason(SideKind.OWNER, "all", Reason(0, allow, action, resource)),
    )
