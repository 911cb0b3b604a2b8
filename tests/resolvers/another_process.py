"""A server's process beside the tests' own: `python -m tests.resolvers.another_process URL KEYS` takes orders by line.

Each order is a JSON list, `[deed, argument, ...]`, and each is answered by a line.
"""

import asyncio
import json
import sys
from uuid import UUID

from core.errors import Unauthenticated
from core.secret import ServerKeys
from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models import new_id
from models.database import opened
from resolvers import members, tokens
from resolvers.callers import Caller, Request, identify
from resolvers.house import House
from resolvers.members import Grant
from resolvers.writing import Said


async def may(secret: str, action: str, resource: str, request: Request) -> bool:
    """Say whether a secret is let in and may do something, out of memory where that will do."""
    try:
        caller = await identify(secret, request)
    except Unauthenticated:
        return False
    return caller.rights.allows(action, Resource.parse(resource))


async def done(owner: Caller, deed: str, on: str, role: str = "") -> None:
    """Do something as the owner of the account."""
    row_id = UUID(on)
    match deed:
        case "assign":
            await members.assign_roles(owner, row_id, Grant(base_role=BuiltInRole(role)), Said())
        case "suspend":
            await members.suspend(owner, row_id, Said())
        case "reinstate":
            await members.reinstate(owner, row_id, Said())
        case "revoke":
            await tokens.revoke(owner, row_id, Said())
        case _:
            raise ValueError(deed)


async def obey(url: str, keys: str) -> None:
    """Open the database and take orders until there are no more."""
    async with opened(url) as database:
        request = Request(House(database, ServerKeys.parse(keys)), str(new_id()))
        while line := await asyncio.to_thread(sys.stdin.readline):
            match json.loads(line):
                case ["may", secret, action, resource]:
                    answer: object = await may(secret, action, resource, request)
                case [secret, deed, *arguments]:
                    await done(await identify(secret, request), deed, *arguments)
                    answer = None
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(obey(*sys.argv[1:]))
