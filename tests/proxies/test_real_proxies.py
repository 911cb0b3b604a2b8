"""What is promised of every proxy, configured word for word as the documentation has it."""

import base64
import posixpath
import urllib.request
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from tests.cli.test_server import ask
from tests.proxies.conftest import PAGE, Place, Proxy, blocks, free_port, running

SUBJECT = ("x-latchkey-account", "x-latchkey-member", "x-latchkey-token", "x-latchkey-request-id")
FORGED = "00000000-0000-0000-0000-000000000000"


def subject(arrived: list[tuple[str, str]]) -> dict[str, str]:
    """The four headers as the API saw them, each of them once."""
    found = [(name, value) for name, value in arrived if name in SUBJECT]
    assert sorted(name for name, _ in found) == sorted(SUBJECT)
    return dict(found)


def known(demo: dict[str, Any], secret: str) -> dict[str, str]:
    """Who a token is, as Latchkey itself says: the ids, without their types."""
    answer = ask(demo["url"], "{ viewer { account { id } member { id } token { id } } }", secret)
    ids = {name: base64.b64decode(shown["id"]).decode() for name, shown in answer["data"]["viewer"].items() if shown}
    return {f"x-latchkey-{name}": told.partition(":")[2] for name, told in ids.items()}


def test_a_good_token_passes_with_who_it_is(proxy: Proxy, demo: dict[str, Any]) -> None:
    for method, target in (("GET", "/other?x=1"), ("POST", "/things"), ("PUT", "/things/1"), ("DELETE", "/a/b/c")):
        answer = proxy.ask(target, demo["secrets"]["writer"], method)
        assert (answer.status, answer.reached) == (200, [target]), answer.body
        told = subject(answer.arrived)
        UUID(told.pop("x-latchkey-request-id"))
        assert told == known(demo, demo["secrets"]["writer"])
    service = subject(proxy.ask("/things", demo["secrets"]["service"]).arrived)
    UUID(service.pop("x-latchkey-request-id"))
    assert service == {"x-latchkey-member": "-", **known(demo, demo["secrets"]["service"])}


def test_without_a_token_or_with_a_dead_one_the_challenge_arrives(proxy: Proxy) -> None:
    missing = proxy.ask("/things")
    assert (missing.status, missing.reached) == (401, [])
    assert missing.all("www-authenticate") == ['Bearer realm="latchkey"']
    for dead in ("lkp_" + "0" * 36, "x"):
        answer = proxy.ask("/things", dead)
        assert (answer.status, answer.reached) == (401, [])
        assert answer.all("www-authenticate") == ['Bearer realm="latchkey", error="invalid_token"']


def test_a_limited_token_passes_by_path_and_method(proxy: Proxy, demo: dict[str, Any]) -> None:
    limited = demo["secrets"]["limited"]
    for target in ("/things", "/things/", "/things/1", "/things/1/2?x=y", "/things?x=/other"):
        answer = proxy.ask(target, limited)
        assert (answer.status, answer.reached) == (200, [target])
    for method, target in (
        ("GET", "/"),
        ("GET", "/other"),
        ("GET", "/thingsx"),
        ("GET", "/other/things"),
        ("GET", "/other?/things"),
        ("POST", "/things"),
        ("DELETE", "/things/1"),
        ("OPTIONS", "/things"),
    ):
        answer = proxy.ask(target, limited, method)
        assert (answer.status, answer.reached) == (403, [])


def test_what_a_client_says_of_itself_never_arrives(proxy: Proxy, demo: dict[str, Any]) -> None:
    names = [written for name in SUBJECT for written in (name, name.title(), name.upper())]
    if proxy.kind != "traefik":  # which cannot drop them, as the documentation says
        names += [double for name in SUBJECT for double in doubles(name)]
    for secret in (demo["secrets"]["writer"], demo["secrets"]["service"]):
        headers = [(name, FORGED) for name in names] + [("Authorization", f"Bearer {secret}")]
        answer = proxy.send("/things", "GET", headers)
        assert answer.status == 200
        assert FORGED not in subject(answer.arrived).values()
        assert FORGED not in {value for _, value in answer.arrived}


def doubles(name: str) -> list[str]:
    """All that a CGI program takes for the same header."""
    pieces = name.split("-")
    joints = product("-_", repeat=len(pieces) - 1)
    return ["".join([*(p + j for p, j in zip(pieces, joint, strict=False)), pieces[-1]]) for joint in joints]


def test_a_client_cannot_say_what_it_is_judged_by(proxy: Proxy, demo: dict[str, Any]) -> None:
    lies = [
        {"X-Forwarded-Uri": "/things", "X-Forwarded-Method": "GET"},
        {"X-Original-URI": "/things", "X-Original-Method": "GET"},
        {"X-Original-URL": "/things"},
        {"X-Envoy-Original-Path": "/things"},
    ]
    for told in [*lies, {name: value for lie in lies for name, value in lie.items()}]:
        headers = [*told.items(), ("Authorization", f"Bearer {demo['secrets']['limited']}")]
        for method, target in (("GET", "/other"), ("POST", "/things")):
            answer = proxy.send(target, method, headers)
            assert (answer.status, answer.reached) == (403, [])


ODD = [
    "/things/../other",
    "/things/%2e%2e/other",
    "/things/%2E./other",
    "/things%2f..%2fother",
    "/things/..%2fother",
    "/things/%252e%252e/other",
    "/things/..;/other",
    "/things;/../other",
    "/things\\..\\other",
    "/things/%5c../other",
    "/other/../things",
    "//things",
    "//other/things",
    "/things//../other",
    "/./things",
    "/things%00/other",
    "/things%3F/../other",
    "/things#/../other",
    "/things/%ff",
    "http://things/other",
]


def test_no_odd_path_leads_elsewhere(proxy: Proxy, demo: dict[str, Any]) -> None:
    for target in ODD:
        answer = proxy.ask(target, demo["secrets"]["limited"])
        assert answer.status in {200, 301, 307, 308, 400, 403, 404}, target
        for path in answer.reached:
            whole = path.partition("?")[0]
            for _ in range(3):
                whole = unquote(whole)
            led = posixpath.normpath(whole.replace("\\", "/"))
            assert led == "/things" or led.startswith("/things/"), (target, path)


def made(demo: dict[str, Any], restrictions: str) -> str:
    """Make a token that may do anything, but is restricted."""
    scope = "scope: {builtInRole: WRITER}"
    mutation = f'mutation {{ createToken(input: {{name: "t", {scope}, {restrictions}}}) {{ secret }} }}'
    secret: str = ask(demo["url"], mutation, demo["secrets"]["owner"])["data"]["createToken"]["secret"]
    return secret


def test_a_token_passes_from_its_networks_alone(proxy: Proxy, demo: dict[str, Any]) -> None:
    own = "0.0.0.0/0" if proxy.kind == "envoy" else "127.0.0.1"  # Envoy says of a loopback client where itself is
    here, elsewhere = (made(demo, f'networks: ["{network}"]') for network in (own, "203.0.113.0/24"))
    for _ in range(2):
        assert proxy.ask("/things", here).status == 200
        answer = proxy.ask("/things", elsewhere)
        assert (answer.status, answer.reached) == (401, [])
        assert answer.all("www-authenticate") == ['Bearer realm="latchkey", error="invalid_token"']


def test_a_token_beyond_its_limits_hears_when_to_come_back(proxy: Proxy, demo: dict[str, Any]) -> None:
    limited = made(demo, 'rateLimits: ["2/day"]')
    assert [proxy.ask("/things", limited).status for _ in range(2)] == [200, 200]
    for _ in range(2):
        answer = proxy.ask("/things", limited)
        assert (answer.status, answer.reached) == (429, [])
        assert 86_000 < int(*answer.all("retry-after")) <= 86_400
    refused = proxy.ask("/other", demo["secrets"]["limited"])
    assert (refused.status, refused.all("retry-after")) == (403, [])


def test_with_latchkey_down_nobody_passes(kind: str, demo: dict[str, Any], api: int, tmp_path: Path) -> None:
    with running(kind, Place(tmp_path, free_port(), free_port(), api)) as proxy:
        for credential in (demo["secrets"]["owner"], None):
            answer = proxy.ask("/things", credential)
            assert answer.status in {403, 500, 502, 503}
            assert answer.reached == []


def test_the_gate_of_the_page_is_defined_as_it_is_written(demo: dict[str, Any]) -> None:
    (mutation,) = blocks("A gate")
    url = ask(demo["url"], mutation, demo["secrets"]["owner"])["data"]["defineGate"]["gate"]["url"]
    assert url == f"{demo['url']}/authz/demo:api"
    asked = {"X-Original-Method": "PUT", "X-Original-URI": "/projects/web/production/flags/checkout"}
    headers = {**asked, "Authorization": demo["secrets"]["limited"]}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:  # noqa: S310 - loopback
        assert answer.status == 200


def test_every_block_of_the_page_is_run() -> None:
    assert PAGE.count("```") // 2 == sum(
        len(blocks(title)) for title in ("A gate", "nginx", "Caddy", "Traefik", "Envoy")
    )
