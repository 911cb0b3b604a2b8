"""Database URLs: what they say, what is wrong with them, and that no message shows a password."""

import ssl
from pathlib import Path

import pytest

from models.urls import Server, parse

NAMED = "postgresql://ada:s3cret@db.example.com:6432/latchkey"


def server(url: str) -> Server:
    parsed = parse(url)
    assert isinstance(parsed, Server)
    return parsed


def test_a_url_names_a_server_and_a_database() -> None:
    named = server(NAMED)
    arguments = dict(named.arguments)
    assert arguments.pop("server_settings") == {"application_name": "latchkey"}
    assert arguments == {
        "host": "db.example.com",
        "port": 6432,
        "user": "ada",
        "password": "s3cret",
        "database": "latchkey",
        "ssl": "prefer",
        "statement_cache_size": 100,
        "target_session_attrs": "primary",
    }
    assert (named.pool_min, named.pool_max) == (1, 10)
    assert "s3cret" not in repr(named)


def test_parameters_say_the_rest() -> None:
    named = server(
        "postgresql:///latchkey?host=/run/postgresql&pool_min=0&pool_max=4&statement_cache=0&sslmode=disable"
    )
    arguments = named.arguments
    assert (arguments["host"], arguments["port"], arguments["user"]) == ("/run/postgresql", 5432, None)
    assert (named.pool_min, named.pool_max, arguments["statement_cache_size"]) == (0, 4, 0)
    assert arguments["ssl"] == "disable"


def test_what_is_special_is_escaped() -> None:
    arguments = server("postgresql://a%40b:p%2F%3F%23%40%3A@h/my%20db").arguments
    assert (arguments["user"], arguments["password"], arguments["database"]) == ("a@b", "p/?#@:", "my db")
    assert server("postgresql://[::1]:1/d").arguments["host"] == "::1"


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("", "begins neither with"),
        ("postgres://u:s3cret@h/d", "begins neither with `sqlite:///` nor with `postgresql://`"),
        ("mysql://u:s3cret@h/d", "begins neither with"),
        ("postgresql:u:s3cret@h/d", "is not `postgresql://user:password@host:port/name`"),
        ("postgresql://u:s3cret@h", "does not end with the name of a database"),
        ("postgresql://u:s3cret@h/", "does not end with the name of a database"),
        ("postgresql://u:s3cret@h/a/b", "does not end with the name of a database"),
        ("postgresql://u:s3cret@h:port/d", "no readable host and port"),
        ("postgresql://u:s3cret@h:99999/d", "no readable host and port"),
        ("postgresql://u:s3cret@[h/d", "no readable host and port"),
        ("postgresql://u:s3cret#x@h/d", "is written like `%40`"),
        ("postgresql://u:s3cret/x@h/d", "is written like `%40`"),
        ("postgresql://u:9s3cret?x=y@h/d", "is written like `%40`"),
        ("postgresql://u:s3cret@h℀/d", "no readable host and port"),
        ("postgresql://u:s3cret@h/d#x", "is not `postgresql://user:password@host:port/name`"),
        ("postgresql://u:s3cret@/d", "must name a host, or the folder of a Unix socket"),
        ("postgresql://u:s3cret@h/d?host=/run", "must name a host, or the folder of a Unix socket"),
        ("postgresql://u:s3cret@/d?host=db", "`host` must be the folder of a Unix socket"),
        ("postgresql://u:s3cret@h/d?options=x", "a parameter that is not known: `options`"),
        ("postgresql://u:s3cret@h/d?sslmode=require&sslmode=disable", "its parameter `sslmode` twice"),
        ("postgresql://u:s3cret@h/d?sslmode=allow", "`sslmode` must be one of disable, prefer, require, verify-ca"),
        ("postgresql://u:s3cret@h/d?sslrootcert=/ca", "`sslrootcert` needs an `sslmode` of `require` or more"),
        ("postgresql://u:s3cret@h/d?sslmode=require&sslkey=/key", "`sslkey` needs an `sslcert`"),
        (
            "postgresql://u:s3cret@h/d?sslmode=verify-ca&sslrootcert=/none",
            "`sslrootcert` cannot be used: `/none`: No such",
        ),
        ("postgresql://u:s3cret@h/d?sslmode=verify-full&sslcert=/none", "`sslcert` cannot be used: `/none`: No such"),
        ("postgresql://u:s3cret@h/d?pool_min=5&pool_max=4", "`pool_min` of 5 is more than its `pool_max` of 4"),
        ("postgresql://u:s3cret@h/d?pool_max=1", "`pool_max` must be a number from 2: `1`"),
        ("postgresql://u:s3cret@h/d?pool_min=-1", "`pool_min` must be a number from 0: `-1`"),
        ("postgresql://u:s3cret@h/d?statement_cache=some", "`statement_cache` must be a number from 0: `some`"),
    ],
)
def test_what_is_wrong_is_named_without_the_password(url: str, wrong: str) -> None:
    with pytest.raises(ValueError, match="the database URL") as refused:
        parse(url)
    assert wrong in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear reader")
    for name, mode in (("sslrootcert", "require"), ("sslcert", "verify-full")):
        with pytest.raises(ValueError, match=f"`{name}` cannot be used: `{tmp_path}/letter`: "):
            parse(f"{NAMED}?sslmode={mode}&{name}={tmp_path}/letter")


@pytest.mark.parametrize(
    ("mode", "verified", "named"),
    [
        ("require", ssl.CERT_NONE, False),
        ("verify-ca", ssl.CERT_REQUIRED, False),
        ("verify-full", ssl.CERT_REQUIRED, True),
    ],
)
def test_modes_of_tls_check_what_they_say(mode: str, verified: ssl.VerifyMode, named: bool) -> None:
    context = server(f"{NAMED}?sslmode={mode}").arguments["ssl"]
    assert (context.verify_mode, context.check_hostname) == (verified, named)
