"""Latchkey as it is measured: served with a small organisation in it, set up over its own API like anybody's."""

import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load import ROOT, Target, answered, answers_at, free_port, served
from bench.postgres import Postgres

EXAMPLE = ROOT / "examples" / "launchdarkly.json"
GATE = "api"
KEYS = "keys.json"
PASSWORD = secrets.token_urlsafe(12)
JSON = {"Content-Type": "application/json"}

LIMITED: Sequence[Mapping[str, Any]] = (
    {"effect": "ALLOW", "resources": ["proj/web"], "actions": ["viewProject"]},
    {"effect": "ALLOW", "resources": ["proj/web:env/*:flag/*"], "actions": ["updateOn", "updateTargets"]},
)
VERIFYING: Sequence[Mapping[str, Any]] = ({"effect": "ALLOW", "resources": ["acct"], "actions": ["verifyAccessToken"]},)
ROUTE = {"methods": ["GET"], "pattern": "/projects/{project}/**", "action": "viewProject", "resource": "proj/{project}"}

ACCEPT = "mutation ($input: AcceptInviteInput!) { acceptInvite(input: $input) { email member { id } } }"
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { secret } }"
APPLY = "mutation ($input: ApplyConfigurationInput!) { applyConfiguration(input: $input) { dryRun } }"
DEFINE_GATE = "mutation ($input: DefineGateInput!) { defineGate(input: $input) { gate { url } } }"
INVITE = "mutation ($input: InviteMemberInput!) { inviteMember(input: $input) { inviteUrl } }"
CREATE = "mutation ($input: CreateTokenInput!) { createToken(input: $input) { secret token { id resource } } }"
REVOKE = "mutation ($input: RevokeTokenInput!) { revokeToken(input: $input) { token { id } } }"
ASSIGN = "mutation ($input: AssignRolesInput!) { assignRoles(input: $input) { member { id } } }"


@dataclass(frozen=True, slots=True)
class Server:
    """A Latchkey that answers."""

    url: str
    pid: int
    folder: Path
    """Where it keeps all it keeps, but what is in a PostgreSQL."""
    pids: tuple[int, ...] = ()
    """Whose CPU time counts: its own, and the database's."""

    def ask(self, query: str, credential: str | None = None, **variables: Any) -> Any:  # noqa: ANN401 - JSON
        """Ask a GraphQL question and give back its data. Raises RuntimeError on errors."""
        said = json.loads(answered(self.question(query, credential, **variables)))
        if "errors" in said:
            raise RuntimeError(json.dumps(said))
        return said["data"]

    def question(self, query: str, credential: str | None = None, **variables: Any) -> Target:  # noqa: ANN401 - JSON
        """Make a target of a GraphQL question."""
        body = json.dumps({"query": query, "variables": variables} if variables else {"query": query})
        headers = {**JSON, "Authorization": f"Bearer {credential}"} if credential else JSON
        return Target(f"{self.url}/graphql", self.pids, headers, body)


@dataclass(frozen=True, slots=True)
class Made:
    """A token that was made."""

    id: str
    secret: str = field(repr=False)
    uuid: str = ""
    """Its id in policy words."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """An account with a catalogue, a gate, three members and their tokens."""

    server: Server
    account: str
    sessions: Mapping[str, str] = field(repr=False)
    """Session secrets of `owner`, `admin` and `writer`."""
    members: Mapping[str, str]
    """Their global ids."""
    tokens: Mapping[str, Made] = field(repr=False)
    """`admin` may all an admin may, `limited` (a writer's) a little of one project, `service` verify tokens."""

    @property
    def gate(self) -> str:
        """Where a proxy asks."""
        return f"{self.server.url}/authz/{self.account}:{GATE}"

    def make(self, who: str, name: str, **wanted: Any) -> Made:  # noqa: ANN401 - JSON
        """Let a member make a token."""
        return made(self.server, self.sessions[who], name=name, **wanted)


@contextmanager
def latchkey(folder: Path, database: Postgres | None = None, **more: str) -> Iterator[Server]:
    """Serve Latchkey from a folder, on SQLite or on a PostgreSQL database; more than one may at a time.

    `more` are further variables of its environment.
    """
    port = free_port()
    command = [sys.executable, "server.py", "--port", str(port)]
    environment = {**settings(folder, database), **more}
    with served(command, folder / f"{port}.log", answers_at(port), environment) as pid:
        yield Server(f"http://127.0.0.1:{port}", pid, folder, (pid, *(database.pids if database else ())))


def settings(folder: Path, database: Postgres | None = None) -> dict[str, str]:
    """Give Latchkey's settings as variables of the environment."""
    return {
        "LATCHKEY_DATA_DIR": str(folder),
        "LATCHKEY_KEYS_FILE": str(folder / KEYS),
        "LATCHKEY_DATABASE_URL": database.url if database else "",
        "LATCHKEY_TRUSTED_PROXIES": "127.0.0.1",
    }


def founded(server: Server, link: str | None = None, account: str = "main") -> Organisation:
    """Found the organisation in an account that was just made, as whoever has its owner's link."""
    link = link or next(server.folder.rglob("sign-in-link.txt")).read_text().strip()
    sessions, members = {}, {}
    sessions["owner"], members["owner"] = _joined(server, account, link, "Olive Owner")
    for who, name, role in (("admin", "Adam Admin", "ADMIN"), ("writer", "Wanda Writer", "WRITER")):
        invitation = {"email": f"{who}@{account}.example", "baseRole": role}
        link = str(server.ask(INVITE, sessions["owner"], input=invitation)["inviteMember"]["inviteUrl"])
        sessions[who], members[who] = _joined(server, account, link, name)
    server.ask(APPLY, sessions["owner"], input={"document": json.loads(EXAMPLE.read_text(encoding="utf-8"))})
    gate = {"key": GATE, "name": "The API", "source": "FORWARDED", "routes": [ROUTE]}
    server.ask(DEFINE_GATE, sessions["owner"], input=gate)
    tokens = {
        "admin": made(server, sessions["admin"], name="Admin", scope={"builtInRole": "ADMIN"}),
        "limited": made(server, sessions["writer"], name="Limited to web", scope={"statements": LIMITED}),
        "service": made(server, sessions["admin"], name="API", kind="SERVICE", scope={"statements": VERIFYING}),
    }
    return Organisation(server, account, sessions, members, tokens)


def _joined(server: Server, account: str, link: str, name: str) -> tuple[str, str]:
    """Accept an invitation and sign in; gives the session's secret and the member's id."""
    secret = link.rpartition("/")[2]
    accepted = server.ask(ACCEPT, input={"secret": secret, "name": name, "password": PASSWORD})["acceptInvite"]
    credentials = {"email": accepted["email"], "password": PASSWORD, "account": account}
    return server.ask(SIGN_IN, input=credentials)["signIn"]["secret"], accepted["member"]["id"]


def made(server: Server, session: str, **wanted: Any) -> Made:  # noqa: ANN401 - JSON
    """Make a token in a session."""
    done = server.ask(CREATE, session, input=wanted)["createToken"]
    return Made(done["token"]["id"], done["secret"], done["token"]["resource"].rpartition("/")[2])
