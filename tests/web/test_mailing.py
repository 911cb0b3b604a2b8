"""Mails to who is told, handed to a real mail server: over TLS where it is asked for, with nothing smuggled in."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from core.vocabulary import BuiltInRole
from models import Channel, Delivery, Token, TokenKind, WebhookEvent, now
from resolvers import accounts, leaks, members, webhooks
from resolvers.accounts import AccountChange
from resolvers.deliveries import LEASE_S, deliver
from resolvers.destinations import Destinations
from resolvers.lifetimes import KINDS, LifetimesChange
from resolvers.sending import Letter, Unsent
from resolvers.webhooks import NewWebhook
from resolvers.writing import Said
from tests.models.test_tls import Authority
from tests.organisation import Organisation
from tests.web.receiver import receiving as hooks
from web.mailing import Mailer, MailServer, sender
from web.posting import Poster

SENDER = sender("Latchkey <latchkey@latchkey.example>")
LETTER = Letter("1", "ada@example.com", "Subject", "Text\n.\nMore “text”\n")


@dataclass
class Box:
    """What a mail server got, and what it says to recipients."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    signed_in: list[tuple[bytes, bytes]] = field(default_factory=list)
    answer: str = "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, to: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's
        envelope.rcpt_tos.append(to)
        return self.answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.signed_in.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss word", handled=False)


@asynccontextmanager
async def receiving(ssl_context: ssl.SSLContext | None = None, **settings: Any) -> AsyncIterator[Box]:
    """Run a mail server at a free port of this machine."""
    box, loop = Box(), asyncio.get_running_loop()

    def served() -> SMTP:
        return SMTP(box, loop=loop, hostname="localhost", authenticator=box.authenticate, **settings)

    server = await loop.create_server(served, "localhost", 0, ssl=ssl_context, family=socket.AF_INET)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    async with receiving() as box:
        yield box


def mailer(box: Box, scheme: str = "smtp", user: str = "") -> Mailer:
    return Mailer(MailServer.parse(f"{scheme}://{user}localhost:{box.port}"), SENDER)


@pytest.fixture
async def mailing(organisation: Organisation, box: Box) -> Organisation:
    """An organisation whose server sends mails."""
    assert organisation.owner.token
    organisation.house = replace(organisation.house, mail=mailer(box), public_url="https://tokens.example.com")
    organisation.owner = await organisation.identify(organisation.secrets[str(organisation.owner.token.id)])
    return organisation


async def test_who_is_told_gets_a_mail_that_says_what_and_where(mailing: Organisation, box: Box) -> None:
    writer = await mailing.as_role(BuiltInRole.WRITER)
    assert writer.member
    made = await mailing.made(writer, name="deploy ü")
    await leaks.revoke(mailing.request, [made.secret or ""])
    await deliver(mailing.house)
    (mail,) = box.mails
    delivery = await Delivery.get(channel=Channel.MAIL)
    assert box.envelopes == [("latchkey@latchkey.example", [writer.member.email])]
    assert (mail["to"], mail["from"]) == (writer.member.email, "Latchkey <latchkey@latchkey.example>")
    ending = made.row.ending
    assert (
        mail["subject"]
        == f"[main] A secret of the token `deploy ü` (ending in `{ending}`) was reported as leaked, and has ended."
    )
    assert mail["message-id"] == f"<{delivery.id}@latchkey.example>"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert "https://tokens.example.com/" in text.splitlines()
    assert "Account: Main" in text
    assert made.secret
    assert made.secret not in mail.as_string()
    assert delivery.delivered_at


async def test_a_token_that_got_an_end_is_told_to_who_owns_it_or_answers_for_it_and_to_webhooks(
    mailing: Organisation, box: Box
) -> None:
    writer, admin = [await mailing.as_role(role) for role in (BuiltInRole.WRITER, BuiltInRole.ADMIN)]
    assert writer.member
    assert admin.member
    await mailing.made(writer, name="own")
    await mailing.made(admin, kind=TokenKind.SERVICE, name="service")
    local = Destinations.parse(["127.0.0.0/8"])
    house = replace(mailing.house, destinations=local, post=Poster(local))
    caller = replace(mailing.owner, request=replace(mailing.owner.request, house=house))
    lifetimes = LifetimesChange({kind: {"maximumS": 24 * 60 * 60} for kind in KINDS})
    async with hooks() as receiver:
        hook = await webhooks.create(caller, NewWebhook(receiver.url, events=[WebhookEvent.SHORTENED]), Said())
        await accounts.update(caller, AccountChange(lifetimes=lifetimes), Said())
        await deliver(house)
    mailed = {mail["to"]: mail["subject"].split("`")[1] for mail in box.mails}
    assert mailed == {writer.member.email: "own", admin.member.email: "service"}
    told = [each.verified(hook.secret or "") for each in receiver.received]
    assert {each["type"] for each in told} == {"token.shortened"}
    assert {each["data"]["token"]["name"]: each["data"]["expiresAt"] for each in told} == {
        token.name: token.expires_at and token.expires_at.astimezone(UTC).isoformat()
        for token in await Token.filter(kind__in=list(KINDS))
    }


async def test_a_mail_that_is_not_taken_is_tried_again(mailing: Organisation, box: Box) -> None:
    made = await mailing.made(mailing.owner)
    box.answer = "451 later"
    await leaks.revoke(mailing.request, [made.secret or ""])
    await deliver(mailing.house)
    delivery = await Delivery.get()
    assert delivery.error == "the mail server did not take it: it answered 451 to the address"
    assert delivery.next_at
    box.answer = "250 OK"
    await Delivery.all().update(next_at=delivery.created_at)
    await deliver(mailing.house)
    assert len(box.mails) == 1


async def test_without_a_mail_server_nothing_is_to_be_mailed(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    await leaks.revoke(organisation.request, [made.secret or ""])
    assert await Delivery.all().count() == 0


@pytest.mark.parametrize(("end", "ended"), [(members.remove, "removed"), (members.suspend, "suspended")])
async def test_who_was_removed_or_suspended_gets_no_mail(
    mailing: Organisation, box: Box, end: Callable[..., Awaitable[object]], ended: str
) -> None:
    writer = await mailing.as_role(BuiltInRole.WRITER)
    assert writer.member
    made = await mailing.made(writer)
    await leaks.revoke(mailing.request, [made.secret or ""])
    await end(mailing.owner, writer.member.id, Said())
    await deliver(mailing.house)
    assert box.mails == []
    assert (await Delivery.get()).error == f"the member was {ended}"


async def test_what_nobody_thought_of_is_a_failure_like_any_other(mailing: Organisation) -> None:
    made = await mailing.made(mailing.owner)
    await leaks.revoke(mailing.request, [made.secret or ""])
    async with receiving(auth_require_tls=False) as box:
        server = replace(MailServer.parse(f"smtp://localhost:{box.port}"), user="ada", password="beyond ASCII: ä")
        at = now()
        await deliver(replace(mailing.house, mail=Mailer(server, SENDER)))
    delivery = await Delivery.get()
    assert delivery.error == "the server could not send it: its log says why"
    assert delivery.next_at
    assert delivery.next_at < at + timedelta(seconds=LEASE_S)


async def test_a_mail_server_that_hangs_holds_up_neither_webhooks_nor_what_else_takes_a_thread(
    mailing: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.mailing.STEP_TIMEOUT_S", 3)
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    silent = await asyncio.start_server(hold, "localhost", 0, family=socket.AF_INET)
    port, local = silent.sockets[0].getsockname()[1], Destinations.parse(["127.0.0.0/8"])
    hanging = Mailer(MailServer.parse(f"smtp://localhost:{port}"), SENDER)
    async with hooks() as receiver:
        house = replace(mailing.house, mail=hanging, destinations=local, post=Poster(local))
        caller = replace(mailing.owner, request=replace(mailing.owner.request, house=house))
        for _ in range(12):
            made = await mailing.made(mailing.owner)
            await leaks.revoke(mailing.request, [made.secret or ""])
        await webhooks.create(caller, NewWebhook(receiver.url), Said())
        made = await mailing.made(mailing.owner)
        await leaks.revoke(mailing.request, [made.secret or ""])
        delivering = asyncio.create_task(deliver(house))
        letters = [asyncio.create_task(hanging(LETTER)) for _ in range(40)]
        async with asyncio.timeout(2):
            while not receiver.received:  # noqa: ASYNC110 - what another task does
                await asyncio.sleep(0.01)
            await asyncio.to_thread(int)
        for task in (delivering, *letters):
            task.cancel()
        await asyncio.gather(delivering, *letters, return_exceptions=True)
    silent.close()
    for writer in held:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "subject", ["a\r\nBcc: eve@example.com", "a\nBcc: eve@example.com\n\nbody", "a\rBcc: e", "a\x00b"]
)
async def test_nothing_is_smuggled_into_the_head(box: Box, subject: str) -> None:
    await mailer(box)(replace(LETTER, subject=subject))
    (mail,) = box.mails
    assert mail["bcc"] is None
    content = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assert {*mail.keys()} == {"To", "From", "Subject", "Date", "Message-ID", "Auto-Submitted"} | content
    assert len(mail.keys()) == 9
    assert box.envelopes[0][1] == ["ada@example.com"]
    assert mail.get_content().splitlines() == LETTER.text.splitlines()


@pytest.mark.parametrize(
    "to",
    [
        "ada",
        "a,b@example.com",
        "<ada@example.com>",
        "Ada <ada@example.com>",
        "a@b>@c",
        "a\r\nRCPT TO:<eve@x>@b",
        '"@x',
        "@x",
    ],
)
async def test_an_address_is_one_address(box: Box, to: str) -> None:
    with pytest.raises(Unsent, match="none that mail can be sent to"):
        await mailer(box)(replace(LETTER, to=to))
    assert box.envelopes == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_over_tls_the_server_must_prove_its_name_before_the_password_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    authority = Authority(tmp_path, "ca")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.vouch("localhost"))
    ways: dict[str, dict[str, Any]] = {
        "smtps": {"ssl_context": tls, "auth_require_tls": False},
        "smtp+starttls": {"tls_context": tls},
    }
    async with receiving(**ways[scheme]) as box:
        user = "ada:p%40ss%20word@"
        with pytest.raises(Unsent, match="certificate is not trusted"):
            await mailer(box, scheme, user)(LETTER)
        assert box.signed_in == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        await mailer(box, scheme, user)(LETTER)
        assert box.signed_in == [(b"ada", b"p@ss word")]
        with pytest.raises(Unsent, match="answered 535") as unsent:
            await mailer(box, scheme, "ada:wrong@")(LETTER)
        assert "wrong" not in str(unsent.value)
    assert len(box.mails) == 1


async def test_a_server_that_offers_no_tls_gets_nothing_where_tls_is_asked_for(box: Box) -> None:
    with pytest.raises(Unsent, match="did not take it"):
        await mailer(box, "smtp+starttls")(LETTER)
    with pytest.raises(Unsent, match="did not take it"):
        await mailer(Box(port=1))(LETTER)
    assert box.mails == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:25", "must be"),
        ("http://localhost", "must be"),
        ("smtp://", "must be"),
        ("smtp://host/path", "must be"),
        ("smtp://ada:secret@host", "without TLS"),
        ("smtps://ada:secret#word@host", "must be"),
        ("smtps://ada:secret@host:secret", "must be"),
        ("smtps://ada:secret\u2100@host", "must be"),
        ("smtps://[secret@host", "must be"),
    ],
)
def test_what_names_no_mail_server_is_told_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as told:
        MailServer.parse(url)
    assert "secret" not in str(told.value)


def test_what_is_left_out_is_the_usual() -> None:
    ports = [MailServer.parse(f"{scheme}://host").port for scheme in ("smtp", "smtps", "smtp+starttls")]
    assert ports == [25, 465, 587]
    assert "secret" not in repr(MailServer.parse("smtps://ada:secret@host"))
