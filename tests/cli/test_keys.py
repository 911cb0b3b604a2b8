"""The file of the server's keys: made once, for its owner alone, never made anew over a database, and changed."""

import asyncio
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli import keys
from cli.keys import KeysError, server_keys
from core.errors import Unauthenticated
from core.secret import ServerKeys
from models import SecretDigest, now
from resolvers import callers
from tests.organisation import Organisation


def test_the_first_start_makes_keys_that_stay(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys.json"
    made = server_keys(path, database_exists=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert server_keys(path, database_exists=True) == made
    assert server_keys(path, database_exists=False) == made
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_keys_that_were_lost_are_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(KeysError, match="put it back"):
        server_keys(path, database_exists=True)
    assert not path.exists()


@pytest.mark.parametrize("text", [b"", b"swordfish", b'{"keys": []}', b"\xff\xfe"])
def test_a_broken_file_is_refused_and_not_repeated(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(text)
    with pytest.raises(KeysError, match="holds no keys") as refused:
        server_keys(path, database_exists=True)
    assert "swordfish" not in str(refused.value)
    assert path.read_bytes() == text


def test_commands_change_the_file_one_after_the_other_and_leave_it_its_owners(tmp_path: Path) -> None:
    path, link = tmp_path / "keys.json", tmp_path / "link.json"
    server_keys(path, database_exists=False)
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 65534, 65533)
    link.symlink_to(path)
    before = path.stat()
    with ThreadPoolExecutor() as pool:
        with path.open("r+b") as another:
            fcntl.flock(another, fcntl.LOCK_EX)
            adding = pool.submit(keys.add, link, now())
            time.sleep(0.2)
            assert path.stat().st_ino == before.st_ino, "another command changes it"
            made = path.with_name("made")
            made.write_text(server_keys(path, database_exists=True).beside("another's").json())
            made.chmod(0o640)
            os.chown(made, before.st_uid, before.st_gid)
            made.replace(path)
        added = adding.result(30)
    assert list(server_keys(path, database_exists=True).keys) == ["1", "another's", added]
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert link.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["keys.json", "link.json"]


async def test_a_key_is_promoted_once_every_server_has_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    server_keys(path, database_exists=False)
    monkeypatch.setattr(keys, "SPREAD_S", 0.1)
    began_s = time.monotonic()
    await keys.change("keys rotate", path, None)
    assert time.monotonic() - began_s >= 2 * keys.SPREAD_S, "before and after"


async def test_a_file_that_cannot_be_read_for_once_ends_nothing(organisation: Organisation, tmp_path: Path) -> None:
    before = organisation.house.keys
    keys.reread(organisation.house, tmp_path / ("x" * 300), callers.forget)
    assert organisation.house.keys is before


async def test_what_is_left_under_a_key_ends_with_it_and_a_key_that_came_meanwhile_stays(
    organisation: Organisation, tmp_path: Path
) -> None:
    path, house = tmp_path / "keys.json", organisation.house
    assert organisation.owner.token
    session = organisation.secrets[str(organisation.owner.token.id)]
    token = await organisation.made(organisation.owner)
    old = house.keys
    path.write_text(old.beside("second").led_by("second").json())
    path.chmod(0o600)
    caller = await organisation.identify(session)  # by a server that has not read the file yet
    retiring = asyncio.create_task(keys.retire(organisation.request, path, old.newest, force=True))
    await asyncio.sleep(0)
    added = keys.add(path, now())
    assert "1 tokens revoked" in await retiring
    assert list(ServerKeys.parse(path.read_text()).keys) == ["second", added]
    for secret in (session, str(token.secret)):
        with pytest.raises(Unauthenticated):
            await organisation.identify(secret)
    with pytest.raises(Unauthenticated):
        await callers.current(caller)


async def test_what_was_found_by_keys_of_before_is_not_remembered_and_brings_none_of_them_back(
    organisation: Organisation,
) -> None:
    house, old = organisation.house, organisation.house.keys
    made = await organisation.made(organisation.owner)
    early = old.beside("second")
    new = early.led_by("second")

    async def asked(keys: ServerKeys, *, then: ServerKeys) -> str:
        """Present a secret to a server that reads other keys meanwhile; tells under which key it is kept."""
        house.keys = keys
        callers.forget()
        asking = asyncio.create_task(organisation.identify(str(made.secret)))
        await asyncio.sleep(0)
        house.keys = then
        await asking
        return (await SecretDigest.get(token_id=made.row.id)).key_id

    assert await asked(new, then=new) == "second"
    assert callers.remembered() == 1
    assert await asked(early, then=new) == "second"
    assert callers.remembered() == 0
