"""Hands letters to a mail server, in plain text. It speaks SMTP in a thread, for which the standard library will do."""

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime, parseaddr
from enum import Enum
from typing import Self
from urllib.parse import unquote, urlsplit

from resolvers.sending import Letter, Unsent

STEP_TIMEOUT_S = 10
TIMEOUT_S = 45
"""For one word of the server's, and for all of them; less than `resolvers.deliveries.LEASE_S`."""


_THREADS = ThreadPoolExecutor(8, "mail")
"""Of our own, so that a mail server that hangs holds up nothing else that takes a thread."""


class Protection(Enum):
    """How the way to a mail server is protected, and its usual port."""

    NONE = "smtp", 25
    STARTTLS = "smtp+starttls", 587
    TLS = "smtps", 465


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server, and how one signs in there."""

    protection: Protection
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtps://user:password@host:port`, `smtp+starttls://…` or `smtp://host:port`.

        Raises ValueError, whose message tells nothing of the URL: it may hold a password.
        """
        schemes = {each.value[0]: each for each in Protection}
        try:
            parts = urlsplit(url)
            protection, port = schemes.get(parts.scheme), parts.port
        except ValueError:  # whose own words may repeat the password
            protection = None
        if protection is None or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("must be `smtps://user:password@host:port`, `smtp+starttls://…` or `smtp://host:port`")
        if parts.username is not None and protection is Protection.NONE:
            raise ValueError("must not send a password without TLS: use `smtps://` or `smtp+starttls://`")
        port = port or protection.value[1]
        return cls(protection, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


def sender(text: str) -> Address:
    """Read the address that mails come from, such as `Latchkey <latchkey@example.com>`. Raises ValueError."""
    return _address(*parseaddr(text))


def _address(name: str, spec: str) -> Address:
    with suppress(MessageError, IndexError, ValueError):
        parsed = Address(name, addr_spec=spec)
        if parsed.username and parsed.domain and parsed.addr_spec == spec:
            return parsed
    raise ValueError("must be an address such as `Latchkey <latchkey@example.com>`")


class Mailer:
    """Sends each letter over a connection of its own."""

    def __init__(self, server: MailServer, sender: Address) -> None:
        self._server = server
        self._sender = sender
        self._tls = ssl.create_default_context()

    async def __call__(self, letter: Letter) -> None:
        """Hand a letter over. Raises `Unsent`."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                written = self._written(letter)
                await asyncio.get_running_loop().run_in_executor(_THREADS, self._send, written, letter.to)
        except TimeoutError:
            raise Unsent("the mail server took too long") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Unsent(f"the mail server did not take it: {_why(error)}") from None

    def _written(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        try:
            message["To"] = _address("", letter.to)
        except ValueError:
            raise Unsent("the address is none that mail can be sent to") from None
        message["From"] = self._sender
        message["Subject"] = " ".join(letter.subject.split())
        message["Date"] = localtime()
        message["Message-ID"] = f"<{letter.id}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        return message

    def _send(self, message: EmailMessage, to: str) -> None:
        with self._connected() as connection:
            if self._server.user:
                connection.login(self._server.user, self._server.password)
            connection.send_message(message, self._sender.addr_spec, [to])

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.protection is Protection.TLS:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=STEP_TIMEOUT_S, context=self._tls)
        connection = smtplib.SMTP(server.host, server.port, timeout=STEP_TIMEOUT_S)
        if server.protection is Protection.STARTTLS:
            try:
                connection.starttls(context=self._tls)
            except BaseException:
                connection.close()
                raise
        return connection


def _why(error: smtplib.SMTPException | OSError) -> str:
    """Tell in a few words what went wrong, and nothing of what was said: that may hold anything."""
    match error:
        case smtplib.SMTPResponseException():
            return f"it answered {error.smtp_code}"
        case smtplib.SMTPRecipientsRefused():
            return f"it answered {next(iter(error.recipients.values()))[0]} to the address"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case _:
            return type(error).__name__
