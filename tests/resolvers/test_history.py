"""What the log tells of an earlier moment is the truth of that moment, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import pytest

from core.catalogue import Kind, KindAction, Mark
from core.errors import Conflict, Refusal
from core.vocabulary import BuiltInRole
from models import (
    AuditEntry,
    BasePermissions,
    Member,
    MemberRole,
    Role,
    ScopeKind,
    Token,
    TokenKind,
    TokenRole,
    TokenState,
    now,
)
from resolvers import explaining, kinds, members, passwords, roles, tokens
from resolvers.access import Question
from resolvers.callers import identify
from resolvers.explaining import AccessAnswer, Explained, Subject
from resolvers.members import Grant
from resolvers.roles import NewRole, RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Said
from tests.databases import Elsewhere, Run
from tests.organisation import ENV, FLAG, PASSWORD, PROJ, Organisation
from tests.population import ATTRIBUTES, BASES, GATE, QUESTIONS, STATEMENTS, Population, allowed

KINDS = [
    PROJ,
    Kind("proj", (KindAction("viewProject", Mark.READ), KindAction("updateTags", Mark.MANAGE)), name="P"),
    FLAG,
    Kind("flag", (KindAction("viewFlag", Mark.READ), KindAction("updateOn", Mark.READ)), ("env",), "F"),
    ENV,
]


@dataclass(frozen=True)
class Remembered:
    """What was true at a moment, asked then."""

    at: datetime
    subject: Member | Token
    question: Question
    allowed: bool
    works: bool


@dataclass
class Story:
    """Random changes to an organisation, and what was true after each."""

    people: Population
    truth: list[Remembered] = field(default_factory=list)
    done: set[str] = field(default_factory=set)

    @property
    def organisation(self) -> Organisation:
        return self.people.organisation

    async def lived(self, changes: int) -> "Story":
        for _ in range(changes):
            await self.remember()
            await self.change()
        await self.remember()
        await self.wake_owner()
        await self.organisation.define()  # so that every question is a proper one now
        return self

    async def remember(self) -> None:
        """Ask about some, as whoever holds their secrets would. The moment is that before the asking."""
        at, truth = now(), []
        for subject in self.people.random.sample(self.people.everyone, 3):
            caller = await self.people.caller(subject)
            for question in self.people.random.sample(QUESTIONS, 1):
                told = allowed(caller, question)
                truth.append(Remembered(at, subject, question, told, caller is not None))
        if not await Token.filter(expires_at__gt=at, expires_at__lte=now()).exists():  # none ended while it was asked
            self.truth += truth

    async def change(self) -> None:
        """Change something. What is refused changes nothing."""
        await self.wake_owner()
        name = self.people.random.choice(CHANGES)
        with suppress(Refusal, IndexError):  # there may be no role left
            await getattr(self, name)()
            self.done.add(name)

    async def wake_owner(self) -> None:
        """Sign in whoever owns the account now."""
        owner = await Member.get(account_id=self.organisation.account.id, base_role=BuiltInRole.OWNER)
        self.organisation.owner = await self.organisation.identify(self.organisation.secrets[str(owner.id)])

    async def assign(self) -> None:
        random, member = self.people.random, self.people.random.choice(self.people.members)
        keys = [role.key for role in await Role.filter(account_id=self.organisation.account.id).order_by("key")]
        grant = Grant(
            random.choice([None, *BASES]),
            random.choice([None, [], random.sample(keys, min(2, len(keys)))]),
            random.choice([None, *ATTRIBUTES]),
        )
        await members.assign_roles(self.organisation.owner, member.id, grant, Said())

    async def rewrite(self) -> None:
        random = self.people.random
        role = random.choice(self.people.roles)
        base = random.choice([None, *BasePermissions])
        await roles.update(self.organisation.owner, role.id, RoleChange(None, None, self.people.policy(), base), Said())

    async def define(self) -> None:
        await kinds.define(self.organisation.owner, self.people.random.choice(KINDS), Said())

    async def undefine(self) -> None:
        await kinds.remove(self.organisation.owner, "flag", Said())

    async def suspend(self) -> None:
        await members.suspend(self.organisation.owner, self.people.random.choice(self.people.members).id, Said())

    async def reinstate(self) -> None:
        for member in self.people.members:
            with suppress(Refusal):
                await members.reinstate(self.organisation.owner, member.id, Said())

    async def remove(self) -> None:
        if self.people.random.random() < 0.2:
            await members.remove(self.organisation.owner, self.people.random.choice(self.people.members).id, Said())

    async def hand_over(self) -> None:
        member = self.people.random.choice(self.people.members[:SETTLED])
        await members.assign_roles(self.organisation.owner, member.id, Grant(custom_roles=[]), Said())
        await members.transfer_ownership(self.organisation.owner, member.id, PASSWORD, Said())

    async def revoke(self) -> None:
        await tokens.revoke(self.organisation.owner, self.people.random.choice(self.people.tokens).id, Said())

    async def rescope(self) -> None:
        token = self.people.random.choice(self.people.tokens)
        assert token.kind
        session = self.organisation.secrets.get(str(token.owner_id))
        caller = await identify(session, self.organisation.request) if session else self.organisation.owner
        end = now() + timedelta(seconds=self.people.random.choice([0.2, 0.5, 3600]))
        change = TokenChange(None, None, self.people.scope(), self.people.random.choice([None, None, end]))
        await tokens.update(caller, token.id, change, Said())

    async def drop_role(self) -> None:
        """Delete a role that nobody holds; now and then make another with its key, which is another role."""
        for role in await Role.filter(account_id=self.organisation.account.id).order_by("key"):
            with suppress(Refusal):
                await roles.delete(self.organisation.owner, role.id, Said())
                break
        else:
            raise Conflict("every role is held")
        if self.people.random.random() < 0.7:
            with suppress(Refusal):
                again = NewRole(role.key, role.name, self.people.policy())
                await roles.create(self.organisation.owner, again, Said())
        self.people.roles = await Role.filter(account_id=self.organisation.account.id).order_by("key")

    async def mint(self) -> None:
        await self.people.mint()

    async def join(self) -> None:
        await self.people.join()


CHANGES = [
    *("assign", "rewrite", "define", "undefine", "suspend", "reinstate", "remove", "hand_over", "revoke", "rescope"),
    *("drop_role", "mint", "join", "assign", "rewrite", "define", "rescope"),
]


SETTLED = 6
"""So many members have been there from the beginning, the owner among them."""


async def story(organisation: Organisation, seed: int, changes: int) -> Story:
    """Live through random changes in an organisation of which everyone has the same password."""
    kept = await passwords.hashed(PASSWORD)
    await Member.all().update(password_hash=kept)
    people = await Population.of(organisation, seed, roles=4, members=5, tokens=8)
    assert organisation.owner.member
    owner = await Member.get(id=organisation.owner.member.id)
    session = await organisation.session(owner)
    assert session.token
    organisation.secrets[str(owner.id)] = organisation.secrets[str(session.token.id)]
    await Member.all().update(password_hash=kept)
    people.members.append(owner)
    organisation.owner = await organisation.identify(organisation.secrets[str(owner.id)])
    for member in people.members:  # inviting would have left an entry, too
        await members.update(organisation.owner, member.id, f"member {member.id}", Said())
    return await Story(people).lived(changes)


async def asked(organisation: Organisation, remembered: Remembered) -> Explained:
    subject = remembered.subject
    whom = Subject(token_id=subject.id) if isinstance(subject, Token) else Subject(member_id=subject.id)
    return await explaining.explain(organisation.owner, whom, remembered.question, remembered.at)


async def hold(organisation: Organisation, truth: list[Remembered]) -> int:
    """Hold what the log tells to what was true; returns of how much it tells nothing."""
    forgotten = 0
    for remembered in truth:
        found = await asked(organisation, remembered)
        if found.outcome is AccessAnswer.UNKNOWN:
            forgotten += 1
            continue
        assert (found.outcome is AccessAnswer.ALLOWED) is remembered.allowed, remembered
        assert found.standing
        assert found.standing.works is remembered.works, remembered
        assert found.at == remembered.at
    return forgotten


async def test_what_the_log_tells_is_what_was_true_and_it_tells_everything(organisation: Organisation) -> None:
    lived = await story(organisation, 11, 60)
    assert await hold(organisation, lived.truth) == 0
    assert lived.done == set(CHANGES)
    assert {remembered.allowed for remembered in lived.truth} == {True, False}


@contextmanager
def tampered(elsewhere: Elsewhere) -> Iterator[Run]:
    """Take the guards of the log away, as whoever holds the database can."""
    with elsewhere.transaction() as run:
        for table in ("audit_entry", "audit_access"):
            run(f"DROP TRIGGER IF EXISTS {table}_no_delete{'' if elsewhere.is_file else f' ON {table}'}")
        yield run


def forget(elsewhere: Elsewhere, sequences: list[int]) -> None:
    with tampered(elsewhere) as run:
        for table in ("audit_access", "audit_entry"):
            run(f"DELETE FROM {table} WHERE sequence IN ({', '.join(map(str, sequences))})")  # noqa: S608 - tables of ours


async def test_where_entries_are_missing_it_tells_nothing_rather_than_something_wrong(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    lived = await story(organisation, 23, 25)
    random = Random(1)  # noqa: S311 - a search, not a secret
    last = await AuditEntry.all().order_by("-sequence").first()
    assert last
    told = []
    for gone in (
        [last.sequence * 3 // 4],
        random.sample(range(last.sequence // 2, last.sequence), 4),
        [*range(1, last.sequence * 4 // 5)],
        [last.sequence],
    ):
        forget(elsewhere, gone)
        told.append(len(lived.truth) - await hold(organisation, lived.truth))
    assert told == sorted(told, reverse=True)
    assert told[0] > told[3]
    forget(elsewhere, [*range(1, last.sequence + 1)])
    assert await hold(organisation, lived.truth) == len(lived.truth)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
async def test_many_stories_are_told_as_they_were(organisation: Organisation, elsewhere: Elsewhere, seed: int) -> None:
    lived = await story(organisation, seed, 60)
    assert await hold(organisation, lived.truth) == 0
    random, log = Random(seed), await AuditEntry.all().order_by("sequence").values_list("sequence", flat=True)  # noqa: S311 - a search, not a secret
    for _ in range(6):
        forget(elsewhere, random.sample([int(str(sequence)) for sequence in log], random.randint(1, 4)))
        await hold(organisation, lived.truth)


async def test_a_key_that_is_used_again_names_another_role(organisation: Organisation) -> None:
    """An ended token lost the first role when that was deleted, without an entry of its own."""
    everything = [GATE, {"effect": "allow", "actions": ["*"], "resources": ["*"]}]
    role = await organisation.role("ci", *everything)
    made = await organisation.made(organisation.owner, Scope(custom_roles=["ci"]), TokenKind.SERVICE)
    living_at = now()
    await tokens.revoke(organisation.owner, made.row.id, Said())
    revoked_at = now()
    await roles.delete(organisation.owner, role.id, Said())
    await roles.create(organisation.owner, NewRole("ci", "CI", everything), Said())

    async def sides(at: datetime) -> tuple[AccessAnswer, TokenState | None, list[list[str]]]:
        found = await explaining.explain(organisation.owner, Subject(token_id=made.row.id), QUESTIONS[0], at)
        assert found.standing
        scope = [[policy.name for policy in side.policies] for side in found.sides][:1]
        return found.outcome, found.standing.token_state, scope

    assert await sides(living_at) == (AccessAnswer.ALLOWED, TokenState.ACTIVE, [["ci"]])
    assert await sides(revoked_at) == (AccessAnswer.REFUSED, TokenState.REVOKED, [["ci"]])
    assert await sides(now()) == (AccessAnswer.REFUSED, TokenState.REVOKED, [[]])


async def test_who_was_not_there_yet_could_do_nothing(organisation: Organisation) -> None:
    before = now()
    written = await organisation.member(BuiltInRole.WRITER)
    invited = (await members.invite(organisation.owner, "a@b.example", None, Grant(), Said())).row
    token = (await organisation.made(organisation.owner)).row
    for subject in (
        Subject(member_id=written.id),
        Subject(member_id=invited.id),
        Subject(token_id=token.id),
    ):
        found = await explaining.explain(organisation.owner, subject, QUESTIONS[0], before)
        assert found.outcome is AccessAnswer.REFUSED
        assert found.standing
        assert (found.standing.exists, found.standing.token_state, found.remedies) == (False, None, [])


async def test_a_question_is_read_by_the_catalogue_of_that_moment(organisation: Organisation) -> None:
    assert organisation.owner.member
    owner, flag = Subject(member_id=organisation.owner.member.id), QUESTIONS[0]
    with_flags = now()
    await kinds.remove(organisation.owner, "flag", Said())
    without = now()
    found = await explaining.explain(organisation.owner, owner, flag, with_flags)
    assert found.outcome is AccessAnswer.ALLOWED
    await organisation.define(FLAG)
    found = await explaining.explain(organisation.owner, owner, flag, without)
    assert found.outcome is AccessAnswer.REFUSED
    assert found.answer
    assert found.answer.problem
    assert found.answer.problem.field == "resource"


async def test_what_was_changed_past_the_log_is_not_told(organisation: Organisation) -> None:
    """A row without entries tells of the time since it was last touched, and of none before."""
    member = await organisation.member(BuiltInRole.WRITER)
    at = now()
    whom, flag = Subject(member_id=member.id), QUESTIONS[0]
    assert (await explaining.explain(organisation.owner, whom, flag, at)).outcome is AccessAnswer.ALLOWED
    await Member.filter(id=member.id).update(base_role=BuiltInRole.NO_ACCESS, updated_at=now())
    assert (await explaining.explain(organisation.owner, whom, flag, at)).outcome is AccessAnswer.UNKNOWN
    assert (await explaining.explain(organisation.owner, whom, flag, now())).outcome is AccessAnswer.REFUSED


async def test_a_role_whose_accesses_were_taken_out_of_the_log_is_not_told(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    role = await organisation.role("ci", GATE)
    member = await organisation.member(custom=[role])
    await roles.update(organisation.owner, role.id, RoleChange(policy=STATEMENTS[:1]), Said())
    at = now()
    await roles.update(organisation.owner, role.id, RoleChange(policy=[GATE]), Said())
    whom = Subject(member_id=member.id)
    assert (await explaining.explain(organisation.owner, whom, QUESTIONS[0], at)).outcome is not AccessAnswer.UNKNOWN
    with tampered(elsewhere) as run:
        run(
            "DELETE FROM audit_access WHERE id = (SELECT id FROM audit_access WHERE resource = 'role/ci' "
            "ORDER BY sequence LIMIT 1 OFFSET 1)"
        )
    found = await explaining.explain(organisation.owner, whom, QUESTIONS[0], at)
    assert (found.outcome, found.forgotten) == (AccessAnswer.UNKNOWN, "the log contradicts itself")


async def test_where_the_clock_went_back_it_tells_nothing(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await organisation.member(BuiltInRole.WRITER)
    at = now()
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.READER), Said())
    monkeypatch.setattr("resolvers.writing.now", lambda: at - timedelta(seconds=1))
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.ADMIN), Said())
    found = await explaining.explain(organisation.owner, Subject(member_id=member.id), QUESTIONS[0], now())
    assert found.outcome is AccessAnswer.UNKNOWN


async def test_members_keep_the_roles_that_were_theirs(organisation: Organisation) -> None:
    """Nothing of the rows that are shown is ever saved: explaining the past changes nothing."""
    role = await organisation.role("ci", GATE)
    member = await organisation.member(custom=[role])
    at = now()
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.ADMIN, []), Said())
    entries = await AuditEntry.all().count()
    await explaining.explain(organisation.owner, Subject(member_id=member.id), QUESTIONS[0], at)
    assert (await Member.get(id=member.id)).base_role is BuiltInRole.ADMIN
    assert (await MemberRole.all().count(), await AuditEntry.all().count()) == (0, entries)


async def at_each(organisation: Organisation, member: Member, changes: list[Grant]) -> tuple[list[datetime], list[int]]:
    """Change a member, each time followed by another's change; give the moments between, and the entries' numbers."""
    moments, numbers = [now()], []
    for number, grant in enumerate(changes):
        done = await members.assign_roles(organisation.owner, member.id, grant, Said())
        await organisation.role(f"between-{number}", GATE)
        assert done.entry
        numbers.append(done.entry.sequence)
        moments.append(now())
    return moments, numbers


async def told(organisation: Organisation, whom: Subject, moments: list[datetime]) -> list[str]:
    question = Question("updateOn", "proj/web:env/dev:flag/f;")
    found = [await explaining.explain(organisation.owner, whom, question, at) for at in moments]
    return [each.outcome.value for each in found]


async def test_a_row_is_told_from_either_side_up_to_the_next_gap(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    member = await organisation.member(BuiltInRole.WRITER)
    whom = Subject(member_id=member.id)
    grants = [Grant(base) for base in (BuiltInRole.READER, BuiltInRole.ADMIN, BuiltInRole.NO_ACCESS)]
    moments, numbers = await at_each(organisation, member, grants)
    whole = ["ALLOWED", "REFUSED", "ALLOWED", "REFUSED"]
    assert await told(organisation, whom, moments) == whole
    forget(elsewhere, [numbers[1]])  # what it did is told by the entry after it, but not from which moment on
    assert await told(organisation, whom, moments) == ["ALLOWED", "UNKNOWN", "ALLOWED", "REFUSED"]
    forget(elsewhere, [numbers[0]])
    assert await told(organisation, whom, moments) == ["UNKNOWN", "UNKNOWN", "ALLOWED", "REFUSED"]
    forget(elsewhere, [numbers[2]])
    assert await told(organisation, whom, moments) == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "REFUSED"]


async def test_what_came_and_went_in_a_gap_is_not_told(organisation: Organisation, elsewhere: Elsewhere) -> None:
    plan = Kind("plan", (KindAction("runPlan", Mark.WRITE),), name="Plan")
    assert organisation.owner.member
    whom, question = Subject(member_id=organisation.owner.member.id), Question("runPlan", "plan/j")
    made = await kinds.define(organisation.owner, plan, Said())
    at = now()
    gone = await kinds.remove(organisation.owner, "plan", Said())
    assert (await explaining.explain(organisation.owner, whom, question, at)).outcome is AccessAnswer.ALLOWED
    assert made.entry
    assert gone.entry
    forget(elsewhere, [made.entry.sequence, gone.entry.sequence])
    assert (await explaining.explain(organisation.owner, whom, question, at)).outcome is AccessAnswer.UNKNOWN


async def test_a_role_taken_from_an_ended_token_without_an_entry_is_not_told(organisation: Organisation) -> None:
    role = await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    account_id = organisation.account.id
    token = await Token.create(
        account_id=account_id, ending="abcd", kind=TokenKind.SERVICE, scope_kind=ScopeKind.CUSTOM_ROLES
    )
    await TokenRole.create(account_id=account_id, token_id=token.id, role_id=role.id)
    whom, moments = Subject(token_id=token.id), [now()]
    assert await told(organisation, whom, moments) == ["ALLOWED"]
    await Token.filter(id=token.id).update(revoked_at=now())
    await roles.delete(organisation.owner, role.id, Said())
    assert await told(organisation, whom, moments) == ["UNKNOWN"]


async def test_handing_the_account_over_is_told_of_both(organisation: Organisation) -> None:
    """Only the base role of a new owner of whom there is no entry from before is recorded nowhere."""
    kept = await passwords.hashed(PASSWORD)
    old = organisation.owner.member
    assert old
    new, later = [await organisation.member(BuiltInRole.NO_ACCESS) for _ in range(2)]
    await members.assign_roles(organisation.owner, later.id, Grant(BuiltInRole.READER), Said())
    await Member.all().update(password_hash=kept)
    moments, own = [now()], Question("updateAccountOwner", "acct")
    for whom in (new, later):
        owner = await Member.get(base_role=BuiltInRole.OWNER)
        organisation.owner = await organisation.session(owner)
        await members.transfer_ownership(organisation.owner, whom.id, PASSWORD, Said())
        moments.append(now())
    organisation.owner = await organisation.session(await Member.get(id=later.id))
    yes, no, unknown = "ALLOWED", "REFUSED", "UNKNOWN"
    for whom, expected in ((old, [yes, yes, yes]), (new, [unknown, yes, yes]), (later, [no, no, yes])):
        assert await told(organisation, Subject(member_id=whom.id), moments) == expected
    for whom, expected in ((old, [yes, no, no]), (new, [unknown, yes, no]), (later, [no, no, yes])):
        subject = Subject(member_id=whom.id)
        found = [await explaining.explain(organisation.owner, subject, own, at) for at in moments]
        assert [each.outcome.value for each in found] == expected
