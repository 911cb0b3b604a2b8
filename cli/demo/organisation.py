"""The demo's organisation: members of every role, a catalogue like LaunchDarkly's, tokens of each kind, a history.

All of it is done by the members themselves through the operations that every caller has, so the log is true.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cli.demo.gates import READS_THINGS, guard
from core.vocabulary import BuiltInRole
from models import Token, TokenKind, new_id, now
from resolvers import accounts, configuration, imports, members, roles, sessions, tokens
from resolvers.callers import Caller, Request, identify
from resolvers.house import House
from resolvers.imports import Import
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import NewToken, TokenChange
from resolvers.writing import Done, Said

ACCOUNT_KEY = "demo"
EXAMPLE = Path(__file__).parents[2] / "examples" / "launchdarkly.json"

ONE_PROJECT: Sequence[Mapping[str, Any]] = (
    {"effect": "allow", "resources": ["proj/web"], "actions": ["viewProject"]},
    {"effect": "allow", "resources": ["proj/web:env/*:flag/*"], "actions": ["updateOn", "updateTargets"]},
    READS_THINGS,
)
"""What the token `limited` may do: flags of one project, the gate that leads there, and reading a part of the API."""

VERIFYING: Sequence[Mapping[str, Any]] = ({"effect": "allow", "resources": ["acct"], "actions": ["verifyAccessToken"]},)
"""What the service token may do with which the demo's services introspect tokens."""

RELEASES: Sequence[Mapping[str, Any]] = (
    {"effect": "allow", "resources": ["proj/*"], "actions": ["viewProject"]},
    {"effect": "allow", "resources": ["proj/*:env/*:flag/*"], "actions": ["updateOn", "updateFallthrough"]},
    {"effect": "deny", "resources": ["proj/*:env/*:flag/*;frozen"], "actions": ["*"]},
)


@dataclass(frozen=True, slots=True)
class Demo:
    """What starting the demo gives away."""

    owner_email: str
    password: str = field(repr=False)
    """The password of every member who has one."""
    secrets: Mapping[str, str] = field(repr=False)
    """A live token's secret by what it stands for."""
    introspection: Mapping[str, str] = field(repr=False)
    """With what a service introspects tokens: `client_id` and `client_secret`."""
    gates: Sequence[str] = ()
    """The keys of the gates."""


@dataclass(slots=True)
class _Organisation:
    """The organisation while it is founded: who is signed in, by the first part of their e-mail address."""

    house: House
    password: str = field(repr=False)
    signed_in: dict[str, str] = field(default_factory=dict, repr=False)
    ids: dict[str, UUID] = field(default_factory=dict)
    """Members by the first part of their address, roles by their key."""

    @property
    def request(self) -> Request:
        return Request(self.house, str(new_id()), "127.0.0.1", "latchkey --demo")

    async def caller(self, who: str) -> Caller:
        """Make the caller anew, as every request does."""
        return await identify(self.signed_in[who], self.request)

    async def join(self, who: str, name: str, link: str) -> None:
        """Accept an invitation and sign in."""
        secret = link.rpartition("/")[2]
        self.ids[who] = (await members.accept_invite(self.request, secret, name, self.password)).row.id
        done = await sessions.sign_in(self.request, _email(who), self.password, ACCOUNT_KEY)
        self.signed_in[who] = _secret(done)

    async def invite(self, inviter: str, who: str, grant: Grant) -> str:
        done = await members.invite(await self.caller(inviter), _email(who), None, grant, Said())
        self.ids[who] = done.row.id
        return _secret(done)

    async def token(self, who: str, name: str, scope: Scope, **wanted: Any) -> Done[Token]:  # noqa: ANN401
        new = NewToken(wanted.pop("kind", TokenKind.PERSONAL), name, scope, **wanted)
        return await tokens.create(await self.caller(who), new, Said())


async def load(house: House) -> Demo:
    """Found the organisation in an empty database."""
    organisation = _Organisation(house, secrets.token_urlsafe(12))
    await _founded(organisation)
    await _defined(organisation)
    gates = await guard(lambda: organisation.caller("owner"))
    await _peopled(organisation)
    given = await _tokens(organisation)
    introspection = await _introspection(organisation)
    await _history(organisation)
    for who in organisation.signed_in:
        await sessions.sign_out(await organisation.caller(who))
    return Demo(_email("owner"), organisation.password, given, introspection, gates)


async def _founded(organisation: _Organisation) -> None:
    done = await accounts.create(organisation.request, ACCOUNT_KEY, "Demo Organisation", _email("owner"))
    await organisation.join("owner", "Olive Owner", _secret(done))


async def _defined(organisation: _Organisation) -> None:
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    applied = await configuration.apply(await organisation.caller("owner"), example, Said(), dry_run=False)
    for entry in applied.entries:
        kind, _, key = entry.target_resource.partition("/")
        if kind == "role":
            organisation.ids[key] = entry.target_id


async def _peopled(organisation: _Organisation) -> None:
    built_in = BuiltInRole
    joining = (
        ("admin", "Adam Admin", Grant(built_in.ADMIN)),
        ("writer", "Wanda Writer", Grant(built_in.WRITER)),
        ("reader", "Rita Reader", Grant(built_in.WRITER)),
        ("no-access", "Noor Noaccess", Grant(built_in.NO_ACCESS)),
        ("developer", "Dana Developer", Grant(built_in.READER, ("developer", "approver"), {"project": ["web"]})),
        ("suspended", "Sam Suspended", Grant(built_in.WRITER)),
    )
    for who, name, grant in joining:
        await organisation.join(who, name, await organisation.invite("owner", who, grant))
    await organisation.invite("admin", "invited", Grant(built_in.READER, ("qa",)))


async def _tokens(organisation: _Organisation) -> dict[str, str]:
    given = {
        role.value: _secret(await organisation.token(role.value, f"demo: {role.value}", Scope(role)))
        for role in (BuiltInRole.OWNER, BuiltInRole.ADMIN, BuiltInRole.WRITER, BuiltInRole.READER)
    }
    service = await organisation.token(
        "admin", "CI", Scope(BuiltInRole.WRITER), kind=TokenKind.SERVICE, description="Releases from the main branch."
    )
    limited = await organisation.token("writer", "demo: limited to web", Scope(statements=ONE_PROJECT))
    legacy = await _imported(organisation)
    return {**given, "service": _secret(service), "legacy": legacy, "limited": _secret(limited)}


async def _introspection(organisation: _Organisation) -> dict[str, str]:
    scope = Scope(statements=VERIFYING)
    done = await organisation.token("admin", "API", scope, kind=TokenKind.SERVICE, description="Introspects tokens.")
    return {"client_id": str(done.row.id), "client_secret": _secret(done)}


async def _imported(organisation: _Organisation) -> str:
    secret = f"api-{uuid4()}"
    wanted = Import(
        "legacy: deploy script",
        secret,
        description="From before there were personal tokens. To be replaced.",
        scope=Scope(BuiltInRole.WRITER),
    )
    await imports.bring(await organisation.caller("admin"), [wanted], Said())
    return secret


async def _history(organisation: _Organisation) -> None:
    """Let the members live a little: a rotation, a leak, a demotion, a suspension."""
    caller, ids = organisation.caller, organisation.ids
    soon = now() + timedelta(days=90)
    releases = await organisation.token("writer", "Releases", Scope(statements=RELEASES), expires_at=soon)
    rotated = Said("Ninety days are over.")
    await tokens.reset(await caller("writer"), releases.row.id, rotated)
    leaked = await organisation.token("writer", "Nightly report", Scope(BuiltInRole.READER))
    await tokens.revoke(await caller("admin"), leaked.row.id, Said("Found in a public build log."))
    await organisation.token("developer", "Laptop", Scope(custom_roles=["developer"]))
    await organisation.token("suspended", "Old laptop", Scope(BuiltInRole.WRITER))
    deploy = await organisation.token("reader", "Deploy", Scope(BuiltInRole.WRITER))
    await tokens.update(await caller("reader"), deploy.row.id, TokenChange(name="Deploy (staging)"), Said())
    moved = Said("Moved from the platform team to support.")
    await members.assign_roles(await caller("admin"), ids["reader"], Grant(BuiltInRole.READER), moved)
    await members.suspend(await caller("admin"), ids["suspended"], Said("On leave until spring."))
    wider = RoleChange(description="Switches flags tagged `qa_…` anywhere but in production, and sees the rest.")
    await roles.update(await caller("owner"), ids["qa"], wider, Said())
    del organisation.signed_in["suspended"]


def _email(who: str) -> str:
    return f"{who}@demo.example"


def _secret(done: Done[Any]) -> str:
    assert done.secret is not None  # noqa: S101 - what was just made
    return done.secret
