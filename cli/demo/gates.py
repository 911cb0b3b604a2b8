"""The demo's gates, one for each way in which proxies tell of requests, and the made-up API behind them.

Who may read a part of that API gets through with GET; for all else it takes the right to change it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from core.catalogue import Kind, KindAction, Mark
from models import GateSource
from resolvers import gates, kinds
from resolvers.callers import Caller
from resolvers.gates import NewGate
from resolvers.writing import Said

API = Kind(
    "api",
    (
        KindAction("readApi", Mark.READ, "Read from this part of the API."),
        KindAction("writeApi", Mark.WRITE, "Change something in this part of the API."),
    ),
    name="API",
    description="A part of the API behind the gates, by the first segment of its paths.",
)
READS_THINGS: Mapping[str, Any] = {"effect": "allow", "resources": ["api/things"], "actions": ["readApi"]}

_OTHER_METHODS = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")
_ROUTES: Sequence[Mapping[str, Any]] = (
    {"methods": ["GET"], "pattern": "/{part}/**", "action": "readApi", "resource": "api/{part}"},
    {"methods": ["GET"], "pattern": "/", "action": "readApi", "resource": "api/root"},
    {"methods": _OTHER_METHODS, "pattern": "/**", "action": "writeApi", "resource": "api/all"},
)
_GATES = {
    "original": ("behind nginx", GateSource.ORIGINAL),
    "forwarded": ("behind Traefik or Caddy", GateSource.FORWARDED),
    "path": ("behind Envoy", GateSource.PATH),
}


async def guard(keeper: Callable[[], Awaitable[Caller]]) -> tuple[str, ...]:
    """Define the API and its gates, as a caller made anew for each; gives the gates' keys."""
    await kinds.define(await keeper(), API, Said())
    for key, (name, source) in _GATES.items():
        await gates.define(await keeper(), NewGate(key, f"API {name}", source, routes=_ROUTES), Said())
    return tuple(_GATES)
