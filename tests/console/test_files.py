"""How the server hands out the console's files."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from web.console import console_routes

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
GUARDS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A small build, with a file beside it that is none of anybody's business."""
    folder = tmp_path / "dist"
    assets = folder / "assets"
    assets.mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Latchkey</title>")
    (folder / ".built-from").write_text("digest")
    (assets / "index-B7aqZpT1.js").write_text("export {};")
    (assets / "style-C0ffee11.css").write_text("body {}")
    (tmp_path / "secret.key").write_text("not for you")
    return folder


@pytest.fixture
async def client(build: Path) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(Starlette(routes=console_routes(build)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://latchkey.test") as client:
        yield client


def guards(response: httpx2.Response) -> dict[str, str]:
    return {name: response.headers[name] for name in GUARDS}


async def test_the_page_is_asked_for_anew_each_time(client: httpx2.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.text) == (200, "<!doctype html><title>Latchkey</title>")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert guards(response) == GUARDS


async def test_the_page_is_told_if_it_is_to_have_no_graphiql(build: Path) -> None:
    (build / "index.html").write_text('<!doctype html>\n<html lang="en"></html>')
    transport = httpx2.ASGITransport(Starlette(routes=console_routes(build, graphiql=False)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://latchkey.test") as client:
        response = await client.get("/")
    assert response.text == '<!doctype html>\n<html data-graphiql="off" lang="en"></html>'
    assert response.headers["cache-control"] == "no-cache"
    assert guards(response) == GUARDS


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("index-B7aqZpT1.js", "text/javascript; charset=utf-8"),
        ("style-C0ffee11.css", "text/css; charset=utf-8"),
    ],
)
async def test_a_file_named_for_its_content_is_kept_for_good(client: httpx2.AsyncClient, name: str, media: str) -> None:
    response = await client.get(f"/assets/{name}")
    assert (response.status_code, response.headers["content-type"]) == (200, media)
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert guards(response) == GUARDS


@pytest.mark.parametrize(
    "path",
    [
        "/assets/absent.js",
        "/assets/%2e%2e",
        "/assets/%2e",
        "/assets/..%5c.built-from",
        "/assets/..%5c..%5csecret.key",
        "/assets/%00",
        "/assets/index-B7aqZpT1.js%00",
        "/assets/" + "a" * 300,
    ],
)
async def test_a_file_that_is_not_there_is_refused_and_not_kept(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(_as_written(path))
    assert (response.status_code, response.text) == (404, "There is no such file.\n")
    assert response.headers["cache-control"] == "no-store"
    assert guards(response) == GUARDS


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../.built-from",
        "/assets/%2e%2e/%2e%2e/secret.key",
        "/assets/..%2f..%2fsecret.key",
        "/assets/..%2f.built-from",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/.built-from",
        "/index.html",
    ],
)
async def test_nothing_outside_the_assets_is_reached(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(_as_written(path))).status_code == 404


def _as_written(path: str) -> httpx2.URL:
    """Keep dot segments and escapes, which a polite client would resolve before it asks."""
    return httpx2.URL("http://latchkey.test").copy_with(raw_path=path.encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_files_are_only_read(client: httpx2.AsyncClient, method: str) -> None:
    assert (await client.request(method, "/")).status_code == 405
    assert (await client.request(method, "/assets/index-B7aqZpT1.js")).status_code == 405


async def test_without_a_build_the_page_says_what_makes_one(tmp_path: Path) -> None:
    transport = httpx2.ASGITransport(Starlette(routes=console_routes(tmp_path / "dist")))
    async with httpx2.AsyncClient(transport=transport, base_url="http://latchkey.test") as client:
        response = await client.get("/")
        assert (response.status_code, response.text) == (
            503,
            "The console is not built. `make install` builds it.\n",
        )
        assert guards(response) == GUARDS
        assert (await client.get("/assets/index-B7aqZpT1.js")).status_code == 404
