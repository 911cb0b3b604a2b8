"""The credential a request presents: its `Authorization` header, else the console's session cookie."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, cookie_parser
from uuid_utils import uuid7

from core.errors import Unauthenticated
from core.secret import LONGEST
from resolvers.callers import Caller, Request
from web.errors import RejectedError
from web.proxies import Proxies

COOKIE = "latchkey_session"
MAX_CREDENTIAL_LENGTH = LONGEST
MAX_USER_AGENT_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Presented:
    """What was presented. `ambient` if the browser added it by itself, so that the page that asks must be ours."""

    secret: str = field(repr=False)
    ambient: bool = False

    @classmethod
    def parse(cls, text: str) -> "Presented":
        """Read `Bearer <secret>` or the bare secret."""
        scheme, _, rest = text.strip().partition(" ")
        return cls(rest.strip() if scheme.lower() == "bearer" else text.strip())

    @classmethod
    def in_header(cls, value: str) -> "Presented":
        """Read the value of an `Authorization` header, as it is read off the wire: in Latin-1."""
        return cls.parse(decoded(value))

    @classmethod
    def by(cls, connection: HTTPConnection[Any]) -> "Presented | None":
        """Find a request's credential; a header wins over the cookie. Raises `RejectedError` for two headers."""
        headers = connection.headers.getlist("authorization")
        if len(headers) > 1:
            raise RejectedError(400, "more than one `Authorization` header")
        if headers:
            return cls.in_header(headers[0])
        return cls.in_cookie(connection)

    @classmethod
    def in_cookie(cls, connection: HTTPConnection[Any]) -> "Presented | None":
        """Find the session that the browser sent along."""
        cookies = (cookie_parser(header) for header in connection.headers.getlist("cookie"))
        secrets = [found[COOKIE] for found in cookies if COOKIE in found]
        return cls(secrets[0], ambient=True) if secrets else None


def decoded(value: str) -> str:
    """Decode a header that was read as Latin-1 and is UTF-8, as most programs write now. What is not is Latin-1."""
    try:
        return value if value.isascii() else value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


@dataclass(frozen=True, slots=True)
class Gate:
    """Who is asking, and whether a browser's page may ask with its cookie.

    `asking` makes the resolvers' request of its id, address and user agent; `identify` makes the caller.
    """

    asking: Callable[[str, str | None, str | None], Request]
    identify: Callable[[str, Request], Awaitable[Caller]]
    public_url: str
    proxies: Proxies = field(default_factory=Proxies)
    """Those who are believed about where a request comes from."""

    def request_of(self, connection: HTTPConnection[Any]) -> Request:
        """Give a request its id and say where it comes from."""
        peer = connection.client.host if connection.client else None
        return self.asking(str(uuid7()), *self.whence(peer, connection.headers))

    def whence(self, peer: str | None, headers: Headers) -> tuple[str | None, str | None]:
        """Say where a request comes from, and by which program."""
        address = self.proxies.client_of(peer, ",".join(headers.getlist("x-forwarded-for")))
        agent = headers.get("user-agent")
        return address, agent[:MAX_USER_AGENT_LENGTH] if agent else None

    async def caller_of(self, presented: Presented | None, request: Request) -> Caller | None:
        """Make the caller, None if no credential was presented. Raises `Unauthenticated` for one that does not work."""
        if presented is None:
            return None
        if not 0 < len(presented.secret) <= MAX_CREDENTIAL_LENGTH:
            raise Unauthenticated
        return await self.identify(presented.secret, request)

    def guard(self, headers: Headers) -> None:
        """Raise `RejectedError` unless the page that asks is this server's own.

        `Sec-Fetch-Site` is the browser's own word and knows the address it really used; without it `Origin` must be
        the origin of the public URL. A request that says neither was not made by a browser's page of ours.
        """
        site = headers.get("sec-fetch-site")
        ours = site == "same-origin" if site else headers.get("origin") == self.origin
        if not ours:
            raise RejectedError(403, "the session cookie is taken from this server's own pages only", "FORBIDDEN")

    @property
    def origin(self) -> str:
        """The scheme, host and port of the public URL, as a browser writes it."""
        parts = urlsplit(self.public_url)
        port = "" if parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)} else f":{parts.port}"
        return f"{parts.scheme}://{parts.hostname}{port}"

    def cookie(self, secret: str) -> str:
        """Write the header that gives the browser a session; an empty secret takes it away."""
        cookie: SimpleCookie = SimpleCookie({COOKIE: secret})
        morsel = cookie[COOKIE]
        morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, "Strict"
        morsel["secure"] = urlsplit(self.public_url).scheme == "https"
        if not secret:
            morsel["max-age"] = 0
        return morsel.OutputString()
