"""What is posted to webhooks goes to addresses that may be reached, over connections to exactly those."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from core.errors import Invalid
from core.networks import is_public
from resolvers.destinations import Destinations
from resolvers.sending import Unsent
from tests.models.test_tls import Authority
from tests.web.receiver import Receiver, receiving
from web import posting
from web.posting import Poster

LOCAL = Destinations.parse(["127.0.0.0/8"])
NOWHERE = Destinations()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these, one answer after the other; gives the names that were asked for."""
    asked: list[str] = []

    async def getaddrinfo(_: object, host: str, port: int, **__: object) -> list[Any]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("uvloop.Loop.getaddrinfo", getaddrinfo, raising=False)
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),  # noqa: S104
    *("100.64.0.1", "192.0.0.8", "192.88.99.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1"),
    *("fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2001:0:7f00:1::1", "2001:db8::1", "100::1", "5f00::1"),
]


def test_what_is_public() -> None:
    assert [text for text in PUBLIC if not is_public(ip_address(text))] == []
    assert [text for text in PRIVATE if is_public(ip_address(text))] == []


HOSTS = [
    "127.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_private_addresses_are_refused_when_given_and_when_posted_to(
    receiver: Receiver, host: str, scheme: str
) -> None:
    url = f"{scheme}://{host}:{receiver.port}/"
    with pytest.raises(Invalid, match="`url`"):
        NOWHERE.checked("url", url)
    with pytest.raises(Invalid, match="`url` names an address"):
        Destinations.parse(["10.0.0.0/8"]).checked("url", url)
    with pytest.raises(Unsent, match="do not let webhooks reach"):
        await Poster(NOWHERE)(url, {}, b"")
    assert receiver.connected == 0


async def test_names_that_resolve_to_a_private_address_are_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unsent, match="do not let webhooks reach"):
        await Poster(NOWHERE)(f"https://localhost:{receiver.port}/", {}, b"")
    resolving(monkeypatch, ["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["10.0.0.1"])
    for _ in range(3):
        with pytest.raises(Unsent, match="do not let webhooks reach"):
            await Poster(NOWHERE)(f"https://hooks.example:{receiver.port}/", {}, b"")
    assert receiver.connected == 0


async def test_it_connects_to_the_address_that_was_checked_whatever_the_name_resolves_to_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving("127.0.0.2") as other:
        asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        url = f"http://hooks.example:{receiver.port}/hook?a=b"
        assert await Poster(LOCAL)(url, {"webhook-id": "1"}, b"{}") == 200
        assert asked == ["hooks.example"]
        assert (receiver.connected, other.connected) == (1, 0)
    (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?a=b", b"{}")
    assert received.headers["host"] == f"hooks.example:{receiver.port}"


async def test_without_tls_only_allowed_networks_are_reached(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["1.1.1.1"])
    with pytest.raises(Unsent, match="do not let webhooks reach"):
        await Poster(LOCAL)(f"http://hooks.example:{receiver.port}/", {}, b"")
    with pytest.raises(Invalid, match="must begin with `https://`"):
        NOWHERE.checked("url", "http://hooks.example/")
    assert LOCAL.checked("url", receiver.url) == receiver.url


async def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [302], f"Location: {receiver.url}/elsewhere\r\n"
    assert await Poster(LOCAL)(receiver.url, {}, b"") == 302
    assert receiver.connected == 1


async def test_over_tls_the_name_is_asked_for_and_must_be_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "ca")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.vouch("hooks.example"))
    resolving(monkeypatch, ["127.0.0.1"])
    async with receiving(tls=context) as receiver:
        with pytest.raises(Unsent, match="CERTIFICATE_VERIFY_FAILED"):
            await Poster(LOCAL)(f"https://hooks.example:{receiver.port}/", {}, b"")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        poster = Poster(LOCAL)
        assert await poster(f"https://hooks.example:{receiver.port}/", {}, b"") == 200
        with pytest.raises(Unsent, match="CERTIFICATE_VERIFY_FAILED"):
            await poster(f"https://other.example:{receiver.port}/", {}, b"")
        assert receiver.names == ["hooks.example", "hooks.example", "other.example"]
        assert len(receiver.received) == 1


async def test_what_does_not_answer_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.2)
    receiver.statuses = [0]
    with pytest.raises(Unsent, match="no answer within"):
        await Poster(LOCAL)(receiver.url, {}, b"")
    with pytest.raises(Unsent, match="did not answer"):
        await Poster(LOCAL)("http://127.0.0.1:1/", {}, b"")
    with pytest.raises(Unsent, match="name is unknown"):
        await Poster(LOCAL)("https://nothing.invalid/", {}, b"")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must begin with"),
        ("ftp://hooks.example/", "must begin with"),
        ("https:///path", "must begin with"),
        ("https://[::1", "must be a URL"),
        ("https://hooks.example:99999/", "must be a URL"),
        ("https://user:pass@hooks.example/", "neither a name with a password"),
        ("https://hooks.example/#x", "nor a fragment"),
        ("https://hooks.example/a b", "printable ASCII"),
        ("https://hooks.example/\r\nx: y", "printable ASCII"),
        ("https://häuser.example/", "printable ASCII"),
        ("https://hooks.example/" + "a" * 2048, "at most 2048"),
        ("https://hooks.example/lkp_" + "0" * 30 + "000000", "secret"),
    ],
)
def test_what_is_no_url_for_a_webhook_is_told_why(url: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        LOCAL.checked("url", url)


async def test_the_whole_url_is_posted_to(receiver: Receiver) -> None:
    assert await Poster(LOCAL)(f"{receiver.url}/a;b=1/c;d=2?e=3;f", {}, b"") == 200
    assert receiver.received[0].path == "/hook/a;b=1/c;d=2?e=3;f"


async def test_what_another_service_says_is_not_told() -> None:
    for said in ("220 mail.internal ESMTP", "HTTP/1.1 200 OK\r\nmail.internal : ESMTP"):
        async with banner(f"{said}\r\n\r\n") as port:
            with pytest.raises(Unsent, match="did not answer") as unsent:
                await Poster(LOCAL)(f"http://127.0.0.1:{port}/", {}, b"")
        assert "internal" not in str(unsent.value)


@asynccontextmanager
async def banner(said: str) -> AsyncIterator[int]:
    """Say the same to whoever connects, at a free port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said.encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_name_that_leads_within_is_not_told_from_one_that_there_is_not() -> None:
    told = []
    for host in ("no-such-name.invalid", "localhost"):
        with pytest.raises(Unsent) as unsent:
            await Poster(NOWHERE)(f"https://{host}/", {}, b"")
        told.append(str(unsent.value))
    assert told[0] == told[1]
