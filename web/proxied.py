"""What a proxy sends when it asks at a gate, and the request that it thereby asks about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from core.routes import Request as Proxied
from core.routes import Unreadable, located
from models import GateSource
from resolvers.access import Question
from web.answers import Header, Heard
from web.credentials import Presented

PREFIX = b"/authz/"

AUTHORIZATION = b"authorization"
AGENT = b"user-agent"
FORWARDED_FOR = b"x-forwarded-for"
PREFLIGHT = (b"origin", b"access-control-request-method")
_SOURCES: Mapping[GateSource, frozenset[bytes]] = {
    GateSource.FORWARDED: frozenset({b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host"}),
    GateSource.ORIGINAL: frozenset({b"x-original-method", b"x-original-uri", b"x-original-url", b"x-original-host"}),
    GateSource.PATH: frozenset({b"host"}),
    GateSource.FIXED: frozenset(),
}
READ = frozenset({AUTHORIZATION, AGENT, FORWARDED_FOR, *PREFLIGHT}.union(*_SOURCES.values()))
_NONE_REPEATED: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proxy sent: the headers that are read, and where it asked."""

    headers: Mapping[bytes, bytes]
    repeated: frozenset[bytes]
    method: str
    url: bytes
    """The path of the URL, as it was sent."""
    query: bytes

    @classmethod
    def of(cls, heard: Heard) -> "Asked":
        """Read a request. Raises `Unreadable` if it has two credentials, or two answers to who sent a preflight."""
        headers, repeated = _read(heard.headers)
        asked = cls(headers, repeated, heard.method, heard.path, heard.query)
        asked.require_once((AUTHORIZATION, *PREFLIGHT))
        return asked

    @property
    def place(self) -> tuple[str, str]:
        """The keys of the account and of the gate in the URL."""
        place = self.url[len(PREFIX) :].partition(b"/")[0]
        account_key, _, key = place.decode("latin-1").partition(":")
        return account_key, key

    @property
    def path(self) -> bytes:
        """What comes after the gate in the URL."""
        _, slash, rest = self.url[len(PREFIX) :].partition(b"/")
        return slash + rest

    @property
    def presents(self) -> bool:
        """Whether a credential was presented, of whatever kind."""
        return AUTHORIZATION in self.headers

    @property
    def secret(self) -> str:
        """The secret that was presented; empty if none was."""
        return Presented.in_header(self.text(AUTHORIZATION)).secret

    def text(self, name: bytes) -> str:
        """Give a header's value, empty if it is missing."""
        return self.headers.get(name, b"").decode("latin-1")

    def require_once(self, names: Iterable[bytes]) -> None:
        """Raise `Unreadable` if one of these headers came twice: whoever reads on might take the other."""
        if not self.repeated:
            return
        for name in self.repeated.intersection(names):
            raise Unreadable(f"more than one `{name.decode()}` header")

    def wanted(self, source: GateSource) -> Proxied | Question:
        """Read the request that is asked about. Raises `Unreadable`."""
        self.require_once(_SOURCES[source])
        match source:
            case GateSource.FORWARDED:
                return self._told(b"x-forwarded-method", self._header(b"x-forwarded-uri"), b"x-forwarded-host")
            case GateSource.ORIGINAL:
                return self._original()
            case GateSource.PATH:
                return Proxied.parse(self.method.encode(), self.path or b"/", self.headers.get(b"host"))
            case GateSource.FIXED:
                return self._fixed()

    def _header(self, name: bytes) -> bytes:
        value = self.headers.get(name)
        if value is None:
            raise Unreadable(f"the header `{name.decode()}` is missing")
        return value

    def _told(self, method: bytes, target: bytes, host: bytes) -> Proxied:
        return Proxied.parse(self._header(method), target, self.headers.get(host))

    def _original(self) -> Proxied:
        if b"x-original-uri" in self.headers and b"x-original-url" in self.headers:
            raise Unreadable("both `x-original-uri` and `x-original-url` are given")
        name = b"x-original-url" if b"x-original-url" in self.headers else b"x-original-uri"
        target, host = located(self._header(name))
        told = self._told(b"x-original-method", target, b"x-original-host")
        if host is None:
            return told
        located_there = Proxied.parse(self._header(b"x-original-method"), target, host)
        if told.host not in {None, located_there.host}:
            raise Unreadable("the URL and `x-original-host` name different hosts")
        return located_there

    def _fixed(self) -> Question:
        if self.path.strip(b"/"):
            raise Unreadable("the URL goes on after the gate")  # so it might be the client's, and the query too
        try:
            pairs = parse_qsl(self.query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError:
            pairs = []
        given = dict(pairs)
        if len(pairs) != len(given) or given.keys() != {"action", "resource"}:
            raise Unreadable("the query must be one `action` and one `resource`")
        return Question(given["action"], given["resource"])

    @property
    def may_be_preflight(self) -> bool:
        """Whether it has the headers of a CORS preflight."""
        return all(name in self.headers for name in PREFLIGHT)


def _read(headers: Iterable[Header]) -> tuple[dict[bytes, bytes], frozenset[bytes]]:
    found: dict[bytes, bytes] = {}
    repeated = _NONE_REPEATED
    for name, value in headers:
        if name not in READ:
            continue
        if name not in found:
            found[name] = value
        elif name == FORWARDED_FOR:
            found[name] += b"," + value
        else:
            repeated |= {name}
    return found, repeated
