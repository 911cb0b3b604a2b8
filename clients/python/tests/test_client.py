"""The clients ask a real Latchkey, and answer in values and exceptions."""

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from threading import Thread

import pytest
from conftest import Demo, Made

from latchkey_client import (
    AsyncLatchkey,
    BadInput,
    Deed,
    Forbidden,
    Latchkey,
    LatchkeyError,
    Unauthenticated,
    Unavailable,
)
from latchkey_client.answers import Answers, Verification

FLAG = "env/production:flag/checkout"
CHECKS = [("updateOn", f"proj/web:{FLAG}"), ("updateOn", f"proj/mobile:{FLAG}")]


def test_a_living_token_is_told_with_what_it_may(demo: Demo, latchkey: Latchkey) -> None:
    verified = latchkey.verify(demo.secrets["limited"], CHECKS)

    assert verified.active
    assert verified.allowed == (True, False)
    assert not verified
    assert verified.decisions is None
    assert verified.cache_until is None
    assert not verified.fresh
    token = verified.token
    assert token
    assert token.member
    assert (token.kind, token.name, token.member.name, token.expires_at) == (
        "PERSONAL",
        "demo: limited to web",
        "Wanda Writer",
        None,
    )


def test_reasons_come_where_they_are_asked_for(demo: Demo, latchkey: Latchkey) -> None:
    asked = [*CHECKS, ("updateOn", "not a resource")]
    decisions = latchkey.verify(demo.secrets["limited"], asked, explain=True).decisions

    assert decisions
    yes, no, never = decisions
    assert yes
    assert yes.lacking == ()
    assert yes.decision_id
    assert not no
    assert ("updateOn", f"proj/mobile:{FLAG}") in no.lacking
    assert no.decision_id is None
    assert never.problem
    assert not never


@pytest.mark.parametrize("secret", ["", "lkp_unknown", "nonsense", "session"])
def test_whatever_opens_nothing_is_not_active_and_no_more(latchkey: Latchkey, secret: str) -> None:
    verified = latchkey.verify(secret, CHECKS, explain=True)
    assert not verified.active
    assert verified.allowed == (False, False)
    assert (verified.token, verified.decisions, verified.cache_until) == (None, None, None)


def test_a_token_without_checks_is_as_true_as_it_lives(demo: Demo, latchkey: Latchkey) -> None:
    made = demo.make("PERSONAL", ("viewProject", "proj/web"), expires_in_s=600)
    verified = latchkey.verify(made.secret)
    assert verified
    assert verified.token
    assert verified.token.id == made.id
    assert verified.token.expires_at
    assert timedelta(seconds=590) < verified.token.expires_at - datetime.now(UTC) < timedelta(seconds=601)
    demo.revoke(made)
    assert not latchkey.verify(made.secret)


def test_the_clients_own_token_asks_for_itself(demo: Demo) -> None:
    with Latchkey(demo.url, demo.secrets["limited"]) as latchkey:
        assert latchkey.check(CHECKS).allowed == (True, False)
        assert latchkey.check(CHECKS[:1])
        decisions = latchkey.check(CHECKS, explain=True).decisions
        assert decisions
        assert [decision.allowed for decision in decisions] == [True, False]


async def test_both_clients_say_the_same(demo: Demo, latchkey: Latchkey, async_latchkey: AsyncLatchkey) -> None:
    for name in (*demo.secrets, "unknown"):
        asked = (demo.secrets.get(name, "lkp_unknown"), CHECKS, "192.0.2.7")
        now, later = latchkey.verify(*asked), await async_latchkey.verify(*asked)
        assert (now.active, now.token, now.allowed) == (later.active, later.token, later.allowed)
    assert latchkey.check(CHECKS, explain=True) == await async_latchkey.check(CHECKS, explain=True)
    with pytest.raises(BadInput):
        latchkey.verify("lkp_unknown", address="nowhere")
    with pytest.raises(BadInput):
        await async_latchkey.verify("lkp_unknown", address="nowhere")


async def test_what_was_done_is_recorded_once_and_as_proven_as_it_is(demo: Demo) -> None:
    reporter = demo.make(
        "SERVICE", ("verifyAccessToken", "acct"), ("recordAuditEntry", "acct"), ("viewAccessToken", "*")
    )
    action, resource = CHECKS[0]
    at = datetime.now(UTC) - timedelta(minutes=1)
    with Latchkey(demo.url, reporter.secret) as latchkey:
        verified = latchkey.verify(demo.secrets["limited"], CHECKS[:1], explain=True)
        assert verified.token
        assert verified.decisions
        decision_id = verified.decisions[0].decision_id
        proven = Deed(action=action, resource=resource, decision_id=decision_id, details={"on": True}, at=at)
        claimed = Deed(action=action, resource=resource, token_id=verified.token.id, comment="By hand.")
        assert latchkey.record([proven, claimed], idempotency_key="once") == 2
        with pytest.raises(LatchkeyError) as replayed:
            latchkey.record([proven, claimed], idempotency_key="once")
    assert replayed.value.code == "CONFLICT"
    async with AsyncLatchkey(demo.url, reporter.secret) as async_latchkey:
        assert await async_latchkey.record([Deed(action=action, resource=resource)]) == 1
    told = demo.ask(
        "query ($by: ID!) { auditEntries(filter: { token: $by }) { nodes { accesses { action resource }"
        " comment after onBehalfOf { tokenName verified } } } }",
        by=reporter.id,
    )["auditEntries"]["nodes"]
    assert [entry["onBehalfOf"] for entry in told] == [
        None,
        {"tokenName": "demo: limited to web", "verified": "CLAIMED"},
        {"tokenName": "demo: limited to web", "verified": "VERIFIED"},
    ]
    assert (told[1]["comment"], told[2]["after"]) == ("By hand.", {"on": True})
    assert all(entry["accesses"] == [{"action": action, "resource": resource}] for entry in told)


def test_refusals_are_exceptions_by_their_code(demo: Demo, latchkey: Latchkey) -> None:
    with Latchkey(demo.url, "lkp_unknown") as unknown, pytest.raises(Unauthenticated):
        unknown.check(CHECKS)
    with Latchkey(demo.url, demo.secrets["reader"]) as reader, pytest.raises(Forbidden) as forbidden:
        reader.verify(demo.secrets["limited"])
    assert (forbidden.value.code, forbidden.value.action) == ("FORBIDDEN", "verifyAccessToken")
    with pytest.raises(BadInput) as bad:
        latchkey.verify(demo.secrets["limited"], address="nowhere")
    assert bad.value.field == "address"
    with pytest.raises(LatchkeyError) as many:
        latchkey.check([("viewProject", "proj/web")] * 1001)
    assert not isinstance(many.value, Unavailable)


async def test_what_cannot_answer_is_unavailable(demo: Demo, verifier: Made) -> None:
    with socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for url in (nobody, f"{demo.url}/elsewhere"):
        with Latchkey(url, verifier.secret) as latchkey, pytest.raises(Unavailable):
            latchkey.verify(demo.secrets["limited"])
        async with AsyncLatchkey(url, verifier.secret) as async_latchkey:
            with pytest.raises(Unavailable):
                await async_latchkey.verify(demo.secrets["limited"])


class Stranger(BaseHTTPRequestHandler):
    """Something that answers in Latchkey's place."""

    status, body = 200, ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"data": {"checkAccess": {"allowed": [true]}}}'),
        (302, ""),
        (200, "<html></html>"),
        (200, "[]"),
        (200, "{}"),
        (200, '{"data": null}'),
        (200, '{"data": {"checkAccess": null}}'),
        (200, '{"data": {"checkAccess": {"allowed": []}}}'),
        (200, '{"data": {"checkAccess": {"allowed": true}}}'),
        (200, '{"errors": [{}]}'),
        (200, '{"errors": [{"message": "?", "extensions": {"code": "INTERNAL"}}]}'),
    ],
)
def test_what_latchkey_would_not_say_is_unavailable(status: int, body: str) -> None:
    handler = type("Handler", (Stranger,), {"status": status, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            with Latchkey(f"http://127.0.0.1:{server.server_port}", "x") as latchkey, pytest.raises(Unavailable):
                latchkey.check(CHECKS[:1])
        finally:
            server.shutdown()
            serving.join()


def test_no_secret_is_in_what_a_client_shows(latchkey: Latchkey, verifier: Made) -> None:
    for shown in (repr(latchkey), str(vars(latchkey)), repr(latchkey.verify(verifier.secret))):
        assert verifier.secret not in shown


def test_too_few_answers_are_none() -> None:
    with pytest.raises(ValueError, match="1 answers to 2 checks"):
        Answers.of({"allowed": [True]}, 2)


@pytest.mark.parametrize(("for_s", "until_s"), [(None, 1000.0), (0.0, 1000.0), (2.5, 1002.5)])
def test_a_verdict_stays_fresh_for_as_long_as_the_server_says_from_when_it_was_asked(
    for_s: float | None, until_s: float
) -> None:
    fields: dict[str, object] = {"active": True, "token": None, "allowed": [], "cacheUntil": None, "cacheForS": for_s}
    assert Verification.read(fields, 0, 1000.0).fresh_until_s == until_s
