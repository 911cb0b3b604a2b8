"""The console's files, as Vite built them, under a policy that lets a page load and ask nothing but this server."""

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "worker-src 'self'",
    "style-src 'self' 'unsafe-inline'",  # the editor writes styles as it lays out text
    "font-src 'self' data:",
    "img-src 'self' data:",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'self'",
)
"""The directives of the Content-Security-Policy, for the page and for its workers, which go by their script's own."""

HEADERS = {
    "Content-Security-Policy": "; ".join(POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_MEDIA = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""Written out, because what a machine's own table says of them differs, and browsers take no other for a script."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""What Vite calls a file. No such name leads out of the folder."""


def console_routes(folder: Path, *, graphiql: bool = True) -> list[BaseRoute]:
    """Serve the build in a folder: its page at `/`, and beneath `/assets` the files whose names hold their digest.

    Without GraphiQL, the page is told that it has none.
    """

    def page(_: Request) -> Response:
        index = folder / "index.html"
        if not index.is_file():
            return _told("The console is not built. `make install` builds it.", 503)
        if graphiql:
            return _file(index, "no-cache")
        told = index.read_text(encoding="utf-8").replace("<html", '<html data-graphiql="off"', 1)
        return HTMLResponse(told, headers={**HEADERS, "Cache-Control": "no-cache"})

    def asset(request: Request) -> Response:
        name: str = request.path_params["name"]
        path = folder / "assets" / name
        if not _NAME.fullmatch(name) or not path.is_file():
            return _told("There is no such file.", 404)
        return _file(path, "public, max-age=31536000, immutable")

    return [Route("/", page), Route("/assets/{name}", asset)]


def _file(path: Path, keep: str) -> Response:
    media = _MEDIA.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=media, headers={**HEADERS, "Cache-Control": keep})


def _told(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status, {**HEADERS, "Cache-Control": "no-store"})
