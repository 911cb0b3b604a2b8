"""Whom to believe about client addresses, and what a request's address then is."""

from pathlib import Path

import httpx2
import pytest

from settings import Settings
from tests.web.house import ORIGIN, World, build
from web.proxies import Proxies

PROXIES = Proxies.parse(("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.0.2.1", "2001:db8::9", "::ffff:10.1.2.3"])
def test_who_is_named_is_trusted(peer: str) -> None:
    assert PROXIES.trusts(peer)


@pytest.mark.parametrize("peer", ["11.0.0.1", "192.0.2.2", "2001:db9::", "::1", "", "unix", None, "10.0.0.1:80"])
def test_nobody_else_is(peer: str | None) -> None:
    assert not PROXIES.trusts(peer)
    assert not Proxies().trusts(peer)


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7, 10.9.9.9,192.0.2.1", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db9::1]:4711", "2001:db9::1"),
        ("10.0.0.1", "2001:DB9::0001", "2001:db9::1"),
        ("10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, unknown", None),
        ("10.0.0.1", "unknown", None),
        ("10.0.0.1", ",", None),
        ("10.0.0.1", "unknown, 198.51.100.7", "198.51.100.7"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("unix", "198.51.100.7", "unix"),
        (None, "198.51.100.7", None),
    ],
)
def test_the_client_is_the_last_who_is_not_trusted(peer: str | None, told: str, client: str | None) -> None:
    assert PROXIES.client_of(peer, told) == client


@pytest.mark.parametrize("told", ["10.0.0.1/8", "example.com", "10.0.0.0/40", "::ffff:10.0.0.0/104", "*"])
def test_what_is_no_network_is_named(told: str) -> None:
    with pytest.raises(ValueError, match=r"must .*" + told.replace(".", r"\.").replace("*", r"\*")):
        Proxies.parse((told,))


def test_the_setting_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATCHKEY_TRUSTED_PROXIES", "10.0.0.0/8, ::1,")
    assert Settings().trusted_proxies == ("10.0.0.0/8", "::1")


@pytest.mark.parametrize(("proxies", "address"), [((), "127.0.0.1"), (("127.0.0.1",), "198.51.100.7")])
async def test_every_request_has_the_clients_address(world: World, proxies: tuple[str, ...], address: str) -> None:
    transport = httpx2.ASGITransport(app=build(world, proxies=Proxies.parse(proxies)))
    headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7")]
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        await client.post("/graphql", json={"query": "{ hello }"}, headers=headers)
    assert [request.address for request in world.requests] == [address]


def test_a_scope_id_is_no_part_of_an_address() -> None:
    assert Proxies(["127.0.0.1"]).client_of("127.0.0.1", "fe80::1%" + "x" * 80) == "fe80::1"
