"""The ASGI application: which path is answered by what. All it depends on is handed over by `server.py`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import strawberry
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HTTPRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from resolvers.callers import Caller, Request
from web import deprecations, introspection, proxied
from web.answers import Heard, Settled
from web.credentials import Gate
from web.endpoint import METHODS, Endpoint
from web.execution import Engine
from web.exports import Exports
from web.forward_auth import PREFIX, ForwardAuth
from web.health import healthz, readyz
from web.introspection import PATH as INTROSPECTION_PATH
from web.introspection import Introspection
from web.leaks import PATH as LEAKS_PATH
from web.leaks import Leaks
from web.limits import Audience, Limits
from web.oidc import PATH as OIDC_PATH
from web.oidc import Enter, Oidc, ways
from web.proxies import Proxies
from web.rates import EXPOSED
from web.sessions import Sessions, SignedIn
from web.sockets import Sockets
from web.tables import ENTRIES, TOKENS
from web.trusted import Trusted

if TYPE_CHECKING:
    from web.provider import Provider

GRAPHQL_PATH = "/graphql"


def application(  # noqa: PLR0913 - the one place where all that the web needs is named
    *,
    schema: strawberry.Schema,
    asking: Callable[[str, str | None, str | None], Request],
    identify: Callable[[str, Request], Awaitable[Caller]],
    sign_in: Callable[[Request, str, str, str | None], Awaitable[SignedIn]],
    sign_out: Callable[[Caller], Awaitable[object]],
    note_device: Callable[[Caller], str],
    enter: Enter | None = None,
    provider: "Provider | None" = None,
    passwords: bool = True,
    database_answers: Callable[[], Awaitable[object]],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
    public_url: str,
    cors_origins: Sequence[str] = (),
    proxies: Proxies | None = None,
    limits: Limits | None = None,
    introspection: Audience = "callers",
    trusted: Trusted | None = None,
    routes: Sequence[BaseRoute] = (),
) -> "Application":
    """Assemble the application.

    `asking` makes a request of its id, address and user agent; `provider` vouches for those whom `enter` signs in.
    `routes` (the console's) come last. The lifespan ends only after the last mutation whose caller left.
    """
    limits = limits or Limits()
    engine = Engine(schema, limits, introspection=introspection, trusted=trusted)
    proxies = proxies or Proxies()
    gate = Gate(asking, identify, public_url, proxies)
    endpoint = Endpoint(engine, gate, body_limit_bytes=limits.body_bytes)
    sockets = Sockets(engine, gate, limits)

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        async with lifespan(app):
            yield
            await engine.finish()

    graphql = _shared(endpoint, cors_origins)
    introspecting = Introspection(gate)
    sessions = Sessions(engine, gate, sign_in=sign_in, sign_out=sign_out, note_device=note_device)
    exports = {table.path: Exports(engine, gate, table) for table in (TOKENS, ENTRIES)}
    own: list[BaseRoute] = [
        Route(GRAPHQL_PATH, graphql),
        WebSocketRoute(GRAPHQL_PATH, sockets),
        Route("/session", sessions),
        Route("/sign-in", ways(gate, provider.relying.name if provider else None, passwords=passwords)),
        *([Route(OIDC_PATH, Oidc(gate, provider, enter, sessions.end))] if provider and enter else []),
        Route(INTROSPECTION_PATH, introspecting),
        Route(LEAKS_PATH, Leaks(gate)),
        *(Route(f"{path}.{ending}", export) for path, export in exports.items() for ending in ("csv", "jsonl")),
        *([] if introspection == "nobody" else [Route("/schema.graphql", _sdl(schema.as_str()))]),
        Route("/healthz", healthz),
        Route("/readyz", readyz(database_answers)),
    ]
    prompt = {GRAPHQL_PATH.encode(): endpoint.at_once, INTROSPECTION_PATH.encode(): introspecting.at_once}
    app = Application(graphql, ForwardAuth(asking, proxies), prompt, [*own, *routes], living)
    app.engine, app.sockets = engine, sockets
    return app


class Application(Starlette):
    """Starlette, with ways to the GraphQL endpoint and to forward-auth that are as short as they are busy.

    Both answer every error themselves.
    """

    def __init__(
        self,
        graphql: ASGIApp,
        forward_auth: ForwardAuth,
        prompt: Mapping[bytes, Callable[[Heard], Settled | None]],
        routes: Sequence[BaseRoute],
        lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
    ) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self._graphql = graphql
        self._forward_auth = forward_auth
        self._prompt = prompt

    engine: Engine
    sockets: Sockets

    reads = proxied.READ | introspection.READ

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer from memory; see `web.answers.Prompt`."""
        if heard.path.startswith(PREFIX):
            return self._forward_auth.at_once(heard)
        answering = self._prompt.get(heard.path)
        return answering(heard) if answering else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; see ASGI."""
        if scope["type"] == "http" and scope["path"] == GRAPHQL_PATH:
            await self._graphql(scope, receive, send)
        elif scope["type"] == "http" and scope["raw_path"].startswith(PREFIX):
            await self._forward_auth(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _shared(endpoint: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of other origins ask with a bearer of their own; the session cookie is never theirs to use."""
    if not origins:
        return endpoint
    return CORSMiddleware(
        endpoint,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=["Authorization"],
        expose_headers=["X-Request-Id", "WWW-Authenticate", *EXPOSED, *deprecations.EXPOSED],
    )


def _sdl(text: str) -> Callable[[HTTPRequest], Awaitable[Response]]:
    async def answer(_: HTTPRequest) -> Response:
        return PlainTextResponse(text)

    return answer
