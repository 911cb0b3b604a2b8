"""TLS to a PostgreSQL server: who is believed, by whose word, and that nothing is sent to whom is not.

In front of the server stands a proxy that speaks its way of beginning TLS, as pgbouncer and the clouds' balancers do.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tortoise.exceptions import DBConnectionError

from models.engines.asyncpg import connect
from models.urls import Server, parse
from tests.databases import Postgres

Proxy = Callable[[ssl.SSLContext | None], AbstractAsyncContextManager[int]]


@dataclass
class Authority:
    """One who vouches for others."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self.certificate = self._signed(self.subject, self.key, x509.BasicConstraints(ca=True, path_length=0))

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        building = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject).public_key(key.public_key())
        )
        building = building.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        building = building.not_valid_after(now + timedelta(days=1))
        for extension in extensions:
            building = building.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return building.sign(self.key, hashes.SHA256())

    @property
    def path(self) -> Path:
        """The file with the authority's own certificate."""
        path = self.folder / f"{self.name}.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def vouch(self, host: str) -> Path:
        """Make a certificate for a host, with its key in the same file."""
        key, path = ec.generate_private_key(ec.SECP256R1()), self.folder / f"{self.name}-{host}.pem"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._signed(subject, key, x509.SubjectAlternativeName([x509.DNSName(host)]))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def proxy(postgres: Postgres) -> Proxy:
    """Stand in front of the server, with TLS or without, on a port of this machine."""
    behind = parse(postgres.url)
    assert isinstance(behind, Server)
    place, number = behind.arguments["host"], behind.arguments["port"]

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    @asynccontextmanager
    async def standing(context: ssl.SSLContext | None) -> AsyncIterator[int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                assert await reader.readexactly(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"  # SSLRequest
                writer.write(b"N" if context is None else b"S")
                if context is not None:
                    await writer.start_tls(context)
                backwards, forwards = (
                    await asyncio.open_unix_connection(f"{place}/.s.PGSQL.{number}")
                    if place.startswith("/")
                    else await asyncio.open_connection(place, number)
                )
                await asyncio.gather(pump(reader, forwards), pump(backwards, writer))
            except (OSError, asyncio.IncompleteReadError):
                pass  # who does not believe us leaves
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "localhost", 0, family=2)
        async with server:
            yield int(server.sockets[0].getsockname()[1])

    return standing


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "theirs")


async def reaches(postgres: Postgres, port: int, parameters: str, host: str = "127.0.0.1") -> bool:
    """Try to ask something through the proxy."""
    behind = parse(postgres.url)
    assert isinstance(behind, Server)
    user, database = behind.arguments["user"], behind.arguments["database"]
    server = parse(f"postgresql://{user}:{behind.arguments['password'] or 'x'}@{host}:{port}/{database}?{parameters}")
    assert isinstance(server, Server)
    try:
        connection = await connect(server)
    except DBConnectionError:
        return False
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    return True


async def test_a_server_is_believed_as_the_mode_says(
    proxy: Proxy, postgres: Postgres, ours: Authority, theirs: Authority
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.vouch("localhost"))
    async with proxy(context) as port:
        asked = {
            ("sslmode=prefer", "127.0.0.1"): True,
            ("sslmode=require", "127.0.0.1"): True,
            (f"sslmode=require&sslrootcert={ours.path}", "127.0.0.1"): True,
            (f"sslmode=require&sslrootcert={theirs.path}", "127.0.0.1"): False,
            ("sslmode=verify-ca", "127.0.0.1"): False,  # the system does not know who vouches
            (f"sslmode=verify-ca&sslrootcert={ours.path}", "127.0.0.1"): True,
            (f"sslmode=verify-ca&sslrootcert={theirs.path}", "127.0.0.1"): False,
            (f"sslmode=verify-full&sslrootcert={ours.path}", "127.0.0.1"): False,  # it is not called so
            (f"sslmode=verify-full&sslrootcert={ours.path}", "localhost"): True,
            (f"sslmode=verify-full&sslrootcert={theirs.path}", "localhost"): False,
        }
        assert {case: await reaches(postgres, port, *case) for case in asked} == asked


async def test_without_tls_only_who_does_not_insist_goes_on(proxy: Proxy, postgres: Postgres, ours: Authority) -> None:
    async with proxy(None) as port:
        assert await reaches(postgres, port, "sslmode=prefer")
        assert not await reaches(postgres, port, "sslmode=require")
        assert not await reaches(postgres, port, f"sslmode=verify-full&sslrootcert={ours.path}", "localhost")


async def test_a_server_that_wants_a_certificate_gets_it(proxy: Proxy, postgres: Postgres, ours: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.vouch("localhost"))
    context.load_verify_locations(ours.path)
    context.verify_mode = ssl.CERT_REQUIRED
    async with proxy(context) as port:
        assert not await reaches(postgres, port, "sslmode=require")
        assert await reaches(postgres, port, f"sslmode=require&sslcert={ours.vouch('latchkey')}")
