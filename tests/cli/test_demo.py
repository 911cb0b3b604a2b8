"""The demo shows everything: every role and state, every kind of token, a history that holds."""

from collections import Counter
from pathlib import Path

import pytest

from cli.demo import Demo, fresh, load
from core import chain
from core.secret import ServerKeys
from core.specifiers import Resource
from core.vocabulary import Action
from models import AuditEntry, AuditHead, Member, MemberState, Role, Token, TokenKind, new_id
from models.database import Database
from resolvers import sessions
from resolvers.callers import Caller, Request, identify
from resolvers.house import House


class Loaded:
    def __init__(self, house: House, demo: Demo) -> None:
        self.demo = demo
        self.request = Request(house, str(new_id()))

    async def caller(self, name: str) -> Caller:
        return await identify(self.demo.secrets[name], self.request)


@pytest.fixture
async def loaded(database: Database) -> Loaded:
    house = House(database, ServerKeys.mint("demo"))
    return Loaded(house, await load(house))


def may(caller: Caller, action: str, resource: str) -> bool:
    return caller.rights.decide(action, Resource.parse(resource)).allowed


async def test_it_shows_everything(loaded: Loaded) -> None:
    callers = {name: await loaded.caller(name) for name in loaded.demo.secrets}

    assert {name: caller.actor.value for name, caller in callers.items()} == {
        **dict.fromkeys(("owner", "admin", "writer", "reader", "limited"), "PERSONAL"),
        "service": "SERVICE",
        "legacy": "ACCOUNT",
    }
    assert {name: caller.member.base_role.value for name, caller in callers.items() if caller.member} == {
        **{role: role for role in ("owner", "admin", "writer", "reader")},
        "limited": "writer",
    }

    members = await Member.all()
    assert {member.base_role.value for member in members} == {"owner", "admin", "writer", "reader", "no_access"}
    assert {member.state for member in members} == {MemberState.ACTIVE, MemberState.INVITED, MemberState.SUSPENDED}
    assert any(member.role_attributes for member in members)
    assert await Role.filter(members__id__isnull=False).distinct().count() >= 2
    assert Counter(token.kind for token in await Token.exclude(kind=TokenKind.SESSION)).keys() == set(TokenKind) - {
        TokenKind.SESSION
    }

    flag = "env/production:flag/checkout"
    assert [name for name in callers if may(callers[name], "updateOn", f"proj/web:{flag}")] == [
        "owner",
        "admin",
        "writer",
        "service",
        "legacy",
        "limited",
    ]
    assert not may(callers["limited"], "updateOn", f"proj/mobile:{flag}")
    assert not may(callers["limited"], "deleteFlag", f"proj/web:{flag}")


async def test_its_service_introspects_and_may_do_nothing_else(loaded: Loaded) -> None:
    client_id, client_secret = (loaded.demo.introspection[name] for name in ("client_id", "client_secret"))
    caller = await identify(client_secret, loaded.request)
    assert caller.token
    assert (str(caller.token.id), caller.actor.value) == (client_id, "SERVICE")
    actions = [action.value for action in Action if caller.could(action)]
    assert actions == ["verifyAccessToken"]
    assert may(caller, "verifyAccessToken", "acct")


async def test_its_members_sign_in_with_the_password_it_tells(loaded: Loaded) -> None:
    done = await sessions.sign_in(loaded.request, loaded.demo.owner_email, loaded.demo.password)
    assert done.secret


async def test_its_history_is_a_whole_chain_with_a_rotation_a_revocation_and_a_demotion(loaded: Loaded) -> None:
    caller = await loaded.caller("owner")
    entries = await AuditEntry.all().order_by("sequence")
    deeds = {access["action"] for entry in entries for access in entry.accesses}
    assert {"resetAccessToken", "deleteAccessToken", "updateRole", "updateMemberState", "updateDescription"} <= deeds
    seal = chain.genesis(str(caller.account.id))
    for entry in entries:
        assert entry.previous == seal
        seal = chain.seal(seal, entry.sealed())
        assert entry.seal == seal
    assert (await AuditHead.get(account_id=caller.account.id)).seal == seal


def test_each_demo_has_a_place_of_its_own_emptied_at_its_start(tmp_path: Path) -> None:
    with fresh(tmp_path) as first, fresh(tmp_path) as second:
        assert first != second
        first.write_text("an organisation")
    with fresh(tmp_path) as again:
        assert again == first
        assert not again.exists()
