"""A server's process beside the tests' own: `python -m tests.resolvers.another_process URL KEYS` takes orders by line.

Each order is a JSON list, `[deed, argument, ...]`, and each is answered by a line.
"""

import asyncio
import json
import sys
from datetime import datetime
from typing import Any
from uuid import UUID

from core.errors import Unauthenticated
from core.secret import ServerKeys
from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models import new_id
from models.database import opened
from resolvers import members, retirement, roles, tokens
from resolvers.callers import Caller, Request, identify
from resolvers.house import House
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Said

ADDRESS = "192.0.2.1"
"""From where everything is asked."""


async def may(secret: str, action: str, resource: str, request: Request) -> bool:
    """Say whether a secret is let in and may do something, out of memory where that will do."""
    try:
        caller = await identify(secret, request)
    except Unauthenticated:
        return False
    return caller.rights.allows(action, Resource.parse(resource))


def policy(*, deploys: bool) -> list[dict[str, Any]]:
    """Write a custom role's policy: one's own tokens, and a project or not."""
    resources = ["member/*:token/*", *(["proj/*"] if deploys else [])]
    return [{"effect": "allow", "actions": ["*"], "resources": [resource]} for resource in resources]


def scope(role: str) -> Scope:
    """Ask for the scope of a built-in role, or else of a custom one."""
    return Scope(BuiltInRole(role)) if role in list(BuiltInRole) else Scope(custom_roles=[role])


def moment(text: str) -> datetime | None:
    """Read a time, or none."""
    return datetime.fromisoformat(text) if text else None


async def done(caller: Caller, deed: str, on: str, how: str = "") -> str | None:
    """Do something in a caller's name; gives the secret where one is made."""
    row_id = UUID(on)
    match deed:
        case "assign":
            await members.assign_roles(caller, row_id, Grant(base_role=BuiltInRole(how)), Said())
        case "hold":
            await members.assign_roles(caller, row_id, Grant(custom_roles=how.split()), Said())
        case "edit":
            await roles.update(caller, row_id, RoleChange(policy=policy(deploys=bool(how))), Said())
        case "suspend":
            await members.suspend(caller, row_id, Said())
        case "reinstate":
            await members.reinstate(caller, row_id, Said())
        case "retire":
            await retirement.retire(caller, moment(how), Said())
        case _:
            return await done_to_token(caller, deed, row_id, how)
    return None


async def done_to_token(caller: Caller, deed: str, token_id: UUID, how: str) -> str | None:
    """Do something to a token; gives its new secret where it gets one."""
    match deed:
        case "rescope":
            await tokens.update(caller, token_id, TokenChange(scope=scope(how)), Said())
        case "restrict":
            await tokens.update(caller, token_id, TokenChange(networks=how.split()), Said())
        case "expire":
            await tokens.update(caller, token_id, TokenChange(expires_at=moment(how), clear_expiry=not how), Said())
        case "reset":
            return (await tokens.reset(caller, token_id, Said(), old_ends_at=moment(how))).secret
        case "revoke":
            await tokens.revoke(caller, token_id, Said())
        case _:
            raise ValueError(deed)
    return None


def set_clock(at: datetime) -> None:
    """Make it a certain time for every operation of this process."""
    for name, module in sys.modules.copy().items():
        if name.startswith("resolvers") and hasattr(module, "now"):
            vars(module)["now"] = lambda: at


async def obey(url: str, keys: str) -> None:
    """Open the database and take orders until there are no more."""
    async with opened(url) as database:
        request = Request(House(database, ServerKeys.parse(keys)), str(new_id()), ADDRESS)
        while line := await asyncio.to_thread(sys.stdin.readline):
            answer: object = None
            match json.loads(line):
                case ["clock", at]:
                    set_clock(datetime.fromisoformat(at))
                case ["may", secret, action, resource]:
                    answer = await may(secret, action, resource, request)
                case [secret, deed, *arguments]:
                    answer = await done(await identify(secret, request), deed, *arguments)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(obey(*sys.argv[1:]))
