"""Two servers on one database: what one of them changed, the other goes by with the very next request."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.cli.test_kills import signed_in
from tests.cli.test_server import ACCEPT, VIEWER, ask, started, until_ready

INVITE = 'mutation { inviteMember(input: { email: "%s@localhost", baseRole: %s }) { inviteUrl member { id } } }'
SIGN_IN = 'mutation { signIn(input: { email: "%s@localhost", password: "correct horse battery" }) { secret } }'
MINT = 'mutation { createToken(input: { name: "a token", scope: { builtInRole: ADMIN } }) { secret token { id } } }'
ASSIGN = 'mutation { assignRoles(input: { id: "%s", baseRole: %s }) { auditEntry { sequence } } }'
SUSPEND = 'mutation { suspendMember(input: { id: "%s" }) { auditEntry { sequence } } }'
REVOKE = 'mutation { revokeToken(input: { id: "%s" }) { token { state } } }'
CREATE_ROLE = """mutation {
  createRole(input: { key: "%s", name: "A role", statements: [] }) { auditEntry { sequence } }
}"""
NOW = """{
  auditEntries(first: 1) { nodes { sequence } } roles(first: 100) { nodes { key } } member(id: "%s") { state version }
}"""


@dataclass(frozen=True)
class House:
    """Two servers on one folder, and the owner's session."""

    folder: Path
    first: str
    second: str
    owner: str

    def own(self, query: str) -> Any:
        """Ask the first server as the owner; nothing may be refused."""
        answer = ask(self.first, query, self.owner)
        assert "errors" not in answer
        return answer["data"]

    def join(self, name: str, role: str) -> tuple[str, str]:
        """Invite somebody and sign them in; returns their id and their session."""
        invited = self.own(INVITE % (name, role))["inviteMember"]
        assert "errors" not in ask(self.first, ACCEPT % invited["inviteUrl"].rpartition("/")[2])
        return invited["member"]["id"], ask(self.first, SIGN_IN % name)["data"]["signIn"]["secret"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("shared")
    with started(folder) as one:
        first, _ = until_ready(one)
        owner = signed_in(folder, first)
        with started(folder) as other:
            second, _ = until_ready(other)
            yield House(folder, first, second, owner)


def codes(answer: Any) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", ())]


def base_role(url: str, secret: str) -> Any:
    return ask(url, VIEWER, secret)["data"]["viewer"]["member"]["baseRole"]


def test_a_just_demoted_admin_writes_nothing_through_the_other_process(house: House) -> None:
    admin, session = house.join("admin", "ADMIN")
    other, _ = house.join("other", "READER")
    token = ask(house.second, MINT, session)["data"]["createToken"]["secret"]
    for number, secret in enumerate((session, token), start=1):
        made = ask(house.second, CREATE_ROLE % f"made-{number}", secret)
        assert codes(made) == [], "the other process knows the credential, and lets it write"
        before = house.own(NOW % other)
        demoted = house.own(ASSIGN % (admin, "READER"))["assignRoles"]["auditEntry"]["sequence"]
        refused = [ask(house.second, query, secret) for query in (SUSPEND % other, CREATE_ROLE % f"lost-{number}")]
        assert [codes(answer) for answer in refused] == [["FORBIDDEN"], ["FORBIDDEN"]]
        assert [answer["data"] for answer in refused] == [{"suspendMember": None}, {"createRole": None}]
        assert house.own(NOW % other) == {**before, "auditEntries": {"nodes": [{"sequence": demoted}]}}
        house.own(ASSIGN % (admin, "ADMIN"))


def test_a_write_that_waited_while_its_admin_was_demoted_is_refused(house: House) -> None:
    """Both processes have begun when neither may write yet. Whichever is let in first, nothing follows the demotion."""
    admin, session = house.join("waiting", "ADMIN")
    refused: set[str] = set()
    made: set[str] = set()
    database = sqlite3.connect(house.folder / "latchkey.sqlite3", isolation_level=None)
    with ThreadPoolExecutor() as pool, closing(database):
        while len(refused) < 3 and len(made) < 30:
            key = f"waited-{len(refused)}-{len(made)}"
            assert base_role(house.second, session) == "ADMIN"
            database.execute("BEGIN IMMEDIATE")
            writing = pool.submit(ask, house.second, CREATE_ROLE % key, session)
            time.sleep(0.25)  # who has waited longer looks more rarely, so that the demotion is mostly let in first
            demotion = pool.submit(house.own, ASSIGN % (admin, "READER"))
            time.sleep(0.03)
            database.execute("ROLLBACK")
            demoted, answer = demotion.result()["assignRoles"]["auditEntry"]["sequence"], writing.result()
            if codes(answer) == ["FORBIDDEN"]:
                refused.add(key)
            else:
                made.add(key)
                assert answer["data"]["createRole"]["auditEntry"]["sequence"] < demoted
            house.own(ASSIGN % (admin, "ADMIN"))
    assert refused
    keys = {role["key"] for role in house.own(NOW % admin)["roles"]["nodes"]}
    assert {key for key in keys if key.startswith("waited")} == made


def test_what_was_ended_in_one_process_is_dead_in_the_other(house: House) -> None:
    admin, session = house.join("leaving", "ADMIN")
    minted = ask(house.first, MINT, session)["data"]["createToken"]
    for secret, ending in (
        (minted["secret"], REVOKE % minted["token"]["id"]),
        (session, SUSPEND % admin),
    ):
        assert base_role(house.second, secret) == "ADMIN"
        house.own(ending)
        with pytest.raises(HTTPError) as refused:
            ask(house.second, VIEWER, secret)
        with refused.value as answer:
            assert answer.code == 401
