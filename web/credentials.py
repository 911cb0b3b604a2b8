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
from resolvers.devices import REMEMBERED
from web import logs
from web.errors import RejectedError
from web.proxies import Proxies

COOKIE = "latchkey_session"
DEVICE_COOKIE = "latchkey_device"
ERRAND_COOKIE = "latchkey_errand"
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


def decoded(value: str) -> str:
    """Decode a header that was read as Latin-1 and is UTF-8, as most programs write now. What is not is Latin-1."""
    try:
        return value if value.isascii() else value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def program_of(header: str | None) -> str | None:
    """Take what a program calls itself; what would break or hide a line, wherever it is written, is marked."""
    shown = decoded(header or "")[:MAX_USER_AGENT_LENGTH]
    if shown.isprintable():
        return shown or None
    return "".join(each if each.isprintable() else "\ufffd" for each in shown)


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
        request_id = str(uuid7())
        logs.answering(request_id)
        return self.asking(request_id, *self.whence(peer, connection.headers))

    def whence(self, peer: str | None, headers: Headers) -> tuple[str | None, str | None]:
        """Say where a request comes from, and by which program."""
        address = self.proxies.client_of(peer, ",".join(headers.getlist("x-forwarded-for")))
        return address, program_of(headers.get("user-agent"))

    def presented(self, connection: HTTPConnection[Any]) -> Presented | None:
        """Find a request's credential; a header wins over the cookie. Raises `RejectedError` for two headers."""
        headers = connection.headers.getlist("authorization")
        if len(headers) > 1:
            raise RejectedError(400, "more than one `Authorization` header")
        if headers:
            return Presented.in_header(headers[0])
        return self.in_cookie(connection)

    def in_cookie(self, connection: HTTPConnection[Any]) -> Presented | None:
        """Find the session that the browser sent along."""
        secret = self._sent(connection, COOKIE)
        return None if secret is None else Presented(secret, ambient=True)

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

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this server by TLS."""
        return urlsplit(self.public_url).scheme == "https"

    def cookie(self, secret: str) -> str:
        """Write the header that gives the browser a session; an empty secret takes it away."""
        return self._cookie(COOKIE, secret, None if secret else 0)

    def device_cookie(self, note: str) -> str:
        """Write the header that has the browser remember that somebody signed in."""
        return self._cookie(DEVICE_COOKIE, note, int(REMEMBERED.total_seconds()))

    def device_in(self, connection: HTTPConnection[Any]) -> str | None:
        """Find what the browser remembers of who signed in."""
        return self._sent(connection, DEVICE_COOKIE)

    def errand_cookie(self, errand: str, age_s: int) -> str:
        """Write the header that tells the browser apart when it comes back from elsewhere; so it is not `Strict`."""
        return self._cookie(ERRAND_COOKIE, errand, age_s, same_site="Lax")

    def errand_in(self, connection: HTTPConnection[Any]) -> str | None:
        """Find by what the browser is told apart."""
        return self._sent(connection, ERRAND_COOKIE)

    def _cookie(self, name: str, value: str, age_s: int | None, same_site: str = "Strict") -> str:
        cookie: SimpleCookie = SimpleCookie({self._named(name): value})
        morsel = cookie[self._named(name)]
        morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, same_site
        morsel["secure"] = self.is_secure
        if age_s is not None:
            morsel["max-age"] = age_s
        return morsel.OutputString()

    def _sent(self, connection: HTTPConnection[Any], name: str) -> str | None:
        cookies = (cookie_parser(header) for header in connection.headers.getlist("cookie"))
        return next((found[self._named(name)] for found in cookies if self._named(name) in found), None)

    def _named(self, name: str) -> str:
        """Name a cookie. With this prefix a browser takes it from this very host alone, by TLS: no other plants one."""
        return f"__Host-{name}" if self.is_secure else name
