"""The server on PostgreSQL, as a user starts it: on an empty database, two at once, with the rights that it needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.urls import Server, parse
from tests.cli.test_server import ACCEPT, SIGN_IN, VIEWER, ask, ended, run, started, until_ready
from tests.databases import Elsewhere, Postgres

CREATE = 'mutation { createToken(input: { name: "ci", scope: { builtInRole: ADMIN } }) { secret token { id } } }'
REVOKE = 'mutation { revokeToken(input: { id: "%s" }) { token { state } } }'
DATABASE = "LATCHKEY_DATABASE_URL"


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """An empty database, as who may do everything reaches it."""
    url = postgres.make("template0")
    yield url
    postgres.drop(url)


@pytest.fixture
def role(postgres: Postgres, empty: str) -> Iterator[str]:
    """A user with the rights that docs/databases.md names."""
    server = parse(empty)
    assert isinstance(server, Server)
    name, within = server.arguments["database"], Elsewhere(empty)
    role = f"{name}_role"
    within(f"CREATE ROLE {role} LOGIN PASSWORD 's3cret'")
    within(f"GRANT CONNECT ON DATABASE {name} TO {role}")
    within(f"GRANT USAGE, CREATE ON SCHEMA public TO {role}")
    yield role
    within(f"DROP OWNED BY {role}")
    postgres.run(f"DROP ROLE {role}")


@pytest.fixture
def url(empty: str, role: str) -> str:
    """The empty database, as that user reaches it."""
    return f"postgresql://{role}:s3cret@{empty.partition('@')[2]}"


def test_two_that_start_at_once_on_an_empty_database_share_it(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "data"
    with started(folder, **{DATABASE: url}) as one, started(folder, **{DATABASE: url}) as other:
        (first, log), (second, other_log) = until_ready(one), until_ready(other)
        kept = folder / "sign-in-link.txt"
        assert str(kept) in log + other_log
        secret = kept.read_text().strip().rpartition("/")[2]
        assert "errors" not in ask(first, ACCEPT % secret)
        session = ask(second, SIGN_IN)["data"]["signIn"]["secret"]
        made = ask(first, CREATE, session)["data"]["createToken"]
        for server in (first, second):
            assert ask(server, VIEWER, made["secret"])["data"]["viewer"] == {
                "member": {"email": "owner@localhost", "baseRole": "OWNER"},
                "account": {"key": "main"},
            }
        assert ask(first, REVOKE % made["token"]["id"], session)["data"]["revokeToken"]["token"]["state"] == "REVOKED"
        ends = [ended(process) for process in (one, other)]
    assert [(status, out) for status, out, _ in ends] == [(0, "")] * 2
    logs = log + other_log + "".join(err for _, _, err in ends)
    for told in ("s3cret", secret, session, made["secret"]):
        assert told not in logs
    assert {path.name for path in folder.iterdir()} == {"latchkey.keys.json", "sign-in-link.txt"}

    (folder / "latchkey.keys.json").unlink()
    lost = run(folder, "serve", **{DATABASE: url})
    assert (lost.returncode, lost.stdout) == (2, "")
    assert lost.stderr == (
        f"latchkey: there is a database, but not the file of its keys `{folder}/latchkey.keys.json`: put it back\n"
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("postgresql://ada:s3cret@127.0.0.1:1/none", "the database cannot be reached: "),
        (
            "postgresql://ada:s3cret@127.0.0.1/none?sslmode=some",
            "`LATCHKEY_DATABASE_URL`: the database URL's `sslmode`",
        ),
    ],
)
def test_a_database_that_cannot_be_had_is_told_in_one_line_without_the_password(
    tmp_path: Path, wrong: str, said: str
) -> None:
    refused = run(tmp_path / "data", "serve", **{DATABASE: wrong})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"latchkey: {said}")
    assert refused.stderr.count("\n") == 1
    assert "s3cret" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_user_without_rights_is_told_what_is_missing(tmp_path: Path, empty: str, role: str, url: str) -> None:
    Elsewhere(empty)(f"REVOKE CREATE ON SCHEMA public FROM {role}")
    refused = run(tmp_path / "data", "migrate", **{DATABASE: url})
    assert (refused.returncode, refused.stderr) == (2, "latchkey: permission denied for schema public\n")
