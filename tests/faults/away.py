"""A database that is away for one process of the tests, as far as that process can tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.databases import Elsewhere, Postgres

PAGE_BYTES = 4096


def overwrite(path: Path, page: int) -> None:
    """Write over a page of a file."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(bytes(range(256)) * (PAGE_BYTES // 256))


@contextmanager
def refusing(postgres: Postgres, name: str) -> Iterator[None]:
    """Have a server let nobody into a database, and put out whoever is in it."""
    postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        postgres.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 - its own name
        yield
    finally:
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def damaged(elsewhere: Elsewhere, table: str) -> None:
    """Damage a table, so that whoever reads it meets that, and not what was read before."""
    assert isinstance(elsewhere.place, Path)
    [(root,)] = elsewhere(f"SELECT rootpage FROM sqlite_schema WHERE name = '{table}'")  # noqa: S608 - its own name
    elsewhere("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(elsewhere.place, int(root))
    elsewhere("UPDATE account SET version = version + 1")
