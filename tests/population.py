"""A random organisation for tests: custom roles, members who hold them, and tokens of every kind; and questions."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

from core.catalogue import Catalogue
from core.errors import Invalid, Refusal, Unauthenticated
from core.policy import check, parse_policy
from core.vocabulary import OWN_KINDS, BuiltInRole
from models import Member, Role, Token, TokenKind
from resolvers import members
from resolvers.access import Asked, Question
from resolvers.callers import Caller
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.organisation import ENV, FLAG, PROJ, Organisation

GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
OWN = {"effect": "allow", "actions": ["*AccessToken*", "viewAccess"], "resources": ["member/*:token/*"]}
CATALOGUE = Catalogue.of((*OWN_KINDS, PROJ, ENV, FLAG))


def _is_known(statement: dict[str, Any]) -> bool:
    try:
        check(parse_policy([statement], "policy"), CATALOGUE, "policy")
    except Invalid:
        return False
    return True


STATEMENTS = [
    statement
    for effect in ("allow", "allow", "allow", "deny")
    for actions, words in (
        *(("actions", [word]) for word in ("*", "*", "update*", "updateOn", "viewFlag")),
        ("notActions", ["deleteFlag"]),
    )
    for resources in ("resources", "resources", "resources", "notResources")
    for place in (
        *("*", "proj/web", "proj/*:env/*:flag/*", "proj/*:env/*:flag/*;x", "proj/web:env/*;{critical:true}:flag/*"),
        *("proj/${roleAttribute/team}:env/*:flag/*", "member/*"),
    )
    if _is_known(statement := {"effect": effect, actions: words, resources: [place]})
]
QUESTIONS = [
    *(
        Question(action, f"proj/{proj}:env/dev{env}:flag/f{flag}")
        for action, proj, env, flag in product(
            ("viewFlag", "updateOn", "deleteFlag"), ("web", "app"), ("", ";{critical:true}"), ("", ";", ";x")
        )
    ),
    *(Question(action, proj) for action, proj in product(("viewProject", "updateTags"), ("proj/web;", "proj/app"))),
    *(Question(action, "acct") for action in ("viewAccount", "updateAccountOwner")),
]
BASES = (BuiltInRole.READER, BuiltInRole.WRITER, BuiltInRole.ADMIN, BuiltInRole.NO_ACCESS)
ATTRIBUTES: Sequence[dict[str, list[str]]] = ({}, {}, {"team": ["web"]}, {"team": ["app", "web"]})


@dataclass
class Population:
    """Roles, members and tokens, with a secret that opens each member and each token."""

    organisation: Organisation
    random: Random
    roles: list[Role] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)

    @classmethod
    async def of(cls, organisation: Organisation, seed: int, roles: int, members: int, tokens: int) -> "Population":
        """Make one."""
        made = cls(organisation, Random(seed))  # noqa: S311 - a search, not a secret
        for number in range(roles):
            made.roles.append(await organisation.role(f"role-{number}", *made.policy()))
        for _ in range(members):
            await made.join()
        while len(made.tokens) < tokens:
            await made.mint()
        return made

    @property
    def everyone(self) -> list[Member | Token]:
        """All whom one can ask about."""
        return [*self.members, *self.tokens]

    def policy(self) -> list[dict[str, Any]]:
        """Draw a role's policy."""
        drawn = self.random.sample(STATEMENTS, self.random.randint(1, 3))
        return [*drawn, *self.random.sample([GATE, OWN, GATE], self.random.randint(1, 2))]

    async def join(self) -> None:
        """Draw a member, with a session that opens them."""
        random = self.random
        custom = random.sample(self.roles, min(len(self.roles), random.choice([0, 0, 1, 2])))
        member = await self.organisation.member(
            random.choice(BASES), custom=custom, attributes=random.choice(ATTRIBUTES)
        )
        session = await self.organisation.session(member)
        assert session.token
        self.organisation.secrets[str(member.id)] = self.organisation.secrets[str(session.token.id)]
        if random.random() < 0.1:
            member = (await members.suspend(self.organisation.owner, member.id, Said())).row
        self.members.append(member)

    def scope(self) -> Scope:
        """Draw a token's scope."""
        random = self.random
        match random.randint(0, 2):
            case 0:
                return Scope(statements=[GATE, *random.sample(STATEMENTS, random.randint(1, 3))])
            case 1 if self.roles:
                held = random.sample(self.roles, min(len(self.roles), random.randint(1, 2)))
                return Scope(custom_roles=[role.key for role in held])
            case _:
                return Scope(random.choice([*BASES, BuiltInRole.OWNER]))

    async def mint(self, **wanted: Any) -> None:
        """Draw a token: of the owner's or a member's, or a service token, made in a session or with another token."""
        random, organisation = self.random, self.organisation
        with suppress(Refusal):
            maker = organisation.owner
            if self.members and random.random() < 0.8:
                maker = await organisation.identify(organisation.secrets[str(random.choice(self.members).id)])
            if self.tokens and random.random() < 0.3:
                maker = await organisation.identify(organisation.secrets[str(random.choice(self.tokens).id)])
            kind = random.choice([TokenKind.PERSONAL, TokenKind.PERSONAL, TokenKind.SERVICE])
            self.tokens.append((await organisation.made(maker, self.scope(), kind, **wanted)).row)

    async def caller(self, subject: Member | Token) -> Caller | None:
        """Open a member or a token, as the next request would; None if that does not work now."""
        with suppress(Unauthenticated):
            return await self.organisation.identify(self.organisation.secrets[str(subject.id)])
        return None


def allowed(caller: Caller | None, question: Question) -> bool:
    """Decide as every face does; what cannot be asked is a no."""
    if caller is None:
        return False
    try:
        asked = Asked.of(question, caller.catalogue)
    except Invalid:
        return False
    return caller.rights.decide(asked.action, asked.resource).allowed
