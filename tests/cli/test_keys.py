"""The file of the server's keys: made once, for its owner alone, and never made anew over a database."""

from pathlib import Path

import pytest

from cli.keys import KeysError, server_keys


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
