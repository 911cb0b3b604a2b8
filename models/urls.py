"""Database URLs: a file of SQLite's, or a database on a PostgreSQL server. No message shows one: it has a password."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

POOL = (1, 10)
STATEMENT_CACHE = 100

_UNVERIFIED = ("disable", "prefer")
_MODES = (*_UNVERIFIED, "require", "verify-ca", "verify-full")
_FILES = ("sslrootcert", "sslcert", "sslkey")
_ESCAPE = "; what is special in a user, a password or a file is written like `%40`"
_NUMBERS = {"pool_min": 0, "pool_max": 2, "statement_cache": 0}
"""The parameters that are numbers, and the least of each. Below two connections, a transaction would have them all."""


@dataclass(frozen=True, slots=True)
class Server:
    """A database on a PostgreSQL server, and how to reach it. `arguments` are those of `asyncpg.connect`."""

    arguments: Mapping[str, Any] = field(repr=False)
    pool_min: int
    pool_max: int


def parse(url: str) -> Path | Server:
    """Read a URL. Raises ValueError naming what is wrong."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return path_of(url)
    if scheme == "postgresql":
        return _server(url)
    raise ValueError("the database URL begins neither with `sqlite:///` nor with `postgresql://`")


def path_of(url: str) -> Path:
    """Take the file out of a URL of SQLite's. Raises ValueError unless it is `sqlite:///absolute/path.sqlite3`."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path.replace("//", "/", 1)))
    named = path.is_absolute() and path.name and path.name != ":memory:"
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or not named:
        raise ValueError("the database URL is not of the form `sqlite:///absolute/path.sqlite3`")
    return path


def _server(url: str) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:  # its message may show the password
        raise ValueError(f"the database URL has no readable host and port{_ESCAPE}") from None
    if not url.startswith("postgresql://") or parts.fragment or "@" in parts.path + parts.query:
        raise ValueError(f"the database URL is not `postgresql://user:password@host:port/name`{_ESCAPE}")
    given = _given(parts.query)
    numbers = {name: _number(name, given[name]) for name in _NUMBERS if name in given}
    pool_min, pool_max = numbers.get("pool_min", POOL[0]), numbers.get("pool_max", POOL[1])
    if pool_min > pool_max:
        raise ValueError(f"the database URL's `pool_min` of {pool_min} is more than its `pool_max` of {pool_max}")
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise ValueError("the database URL does not end with the name of a database, as in `postgresql://host/name`")
    arguments = {
        "host": _host(parts.hostname, given.get("host")),
        "port": port,
        "user": None if parts.username is None else unquote(parts.username),
        "password": unquote(parts.password) if parts.password else None,
        "database": name,
        "ssl": _ssl(given),
        "statement_cache_size": numbers.get("statement_cache", STATEMENT_CACHE),
        "server_settings": {"application_name": "latchkey"},
        "target_session_attrs": "primary",  # what follows another server may still allow what that one has revoked
    }
    return Server(arguments, pool_min, pool_max)


def _given(query: str) -> dict[str, str]:
    """Read the parameters. An unknown one is refused: what it was to protect would not be protected."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in {"host", "sslmode", *_FILES, *_NUMBERS}:
            raise ValueError(f"the database URL has a parameter that is not known: `{name}`")
        if name in given:
            raise ValueError(f"the database URL has its parameter `{name}` twice")
        given[name] = value
    return given


def _number(name: str, typed: str) -> int:
    least = _NUMBERS[name]
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 7 and int(typed) >= least):  # noqa: PLR2004 - no pool has a million
        raise ValueError(f"the database URL's `{name}` must be a number from {least}: `{typed}`")
    return int(typed)


def _host(named: str | None, folder: str | None) -> str:
    if bool(named) is bool(folder):
        raise ValueError("the database URL must name a host, or the folder of a Unix socket as `?host=/run/postgresql`")
    if folder and not folder.startswith("/"):
        raise ValueError("the database URL's `host` must be the folder of a Unix socket, such as `/run/postgresql`")
    return named or folder or ""


def _ssl(given: Mapping[str, str]) -> ssl.SSLContext | str:
    """Make what asyncpg takes, as libpq reads the same words; with no root named the system's own are trusted."""
    mode = given.get("sslmode", "prefer")
    if mode not in _MODES:
        raise ValueError(f"the database URL's `sslmode` must be one of {', '.join(_MODES)}: `{mode}`")
    files = {name: given[name] for name in _FILES if name in given}
    if mode in _UNVERIFIED:
        if files:
            raise ValueError(
                f"the database URL's `{min(files)}` needs an `sslmode` of `require` or more: it is `{mode}`"
            )
        return mode
    if "sslkey" in files and "sslcert" not in files:
        raise ValueError("the database URL's `sslkey` needs an `sslcert`")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    root = files.get("sslrootcert")
    if mode == "require" and root is None:
        context.verify_mode = ssl.CERT_NONE
    elif root is None:
        context.load_default_certs()
    else:
        _loaded("sslrootcert", root, lambda: context.load_verify_locations(root))
    if certificate := files.get("sslcert"):
        key = files.get("sslkey")
        _loaded("sslcert", certificate, lambda: context.load_cert_chain(certificate, key, password=""))
    return context


def _loaded(name: str, file: str, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as problem:  # as are errors of `ssl`
        raise ValueError(f"the database URL's `{name}` cannot be used: `{file}`: {problem.strerror}") from None
