"""Introspection at a real server, as its page tells it and by two OAuth clients of other people's making."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests_oauth2client
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from authlib.oauth2 import OAuth2Request  # type: ignore[import-untyped]
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError  # type: ignore[import-untyped]
from authlib.oauth2.rfc7662 import IntrospectTokenValidator  # type: ignore[import-untyped]
from requests_oauth2client import ClientSecretBasic, OAuth2Client

from tests.walk import ROOT, prepared, walk

FLAG = "proj/web:env/production:flag/checkout"


@dataclass(frozen=True)
class Demo:
    """A running demo: where it introspects, for whom, and the tokens of its members."""

    endpoint: str
    client_id: str
    client_secret: str
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    command = [sys.executable, str(ROOT / "server.py"), "--demo", "--json", "--port", "0"]
    environment = {**clean, "LATCHKEY_DATA_DIR": str(folder)}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())
            yield Demo(f"{told['url']}/oauth2/introspect", **told["introspection"], secrets=told["secrets"])
        finally:
            process.kill()


def client(demo: Demo, auth: Any) -> OAuth2Client:
    return OAuth2Client(token_endpoint=demo.endpoint, introspection_endpoint=demo.endpoint, auth=auth, testing=True)


@pytest.fixture
def requests_client(demo: Demo) -> OAuth2Client:
    return client(demo, ClientSecretBasic(demo.client_id, demo.client_secret))


@pytest.fixture
def authlib_session(demo: Demo) -> Iterator[Any]:
    with OAuth2Session(demo.client_id, demo.client_secret) as session:
        yield session


def test_requests_oauth2client_introspects(demo: Demo, requests_client: OAuth2Client) -> None:
    told = requests_client.introspect_token(demo.secrets["writer"], token_type_hint="access_token")
    assert (told["active"], told["username"], told["account"]) == (True, "Wanda Writer", "demo")
    assert "flag:updateOn" in told["scope"].split()
    asked = requests_client.introspect_token(demo.secrets["limited"], action="deleteFlag", resource=FLAG)
    assert (asked["allowed"], asked["missing"]) == (False, ["SCOPE"])
    assert requests_client.introspect_token("lkp_nothing") == {"active": False}


def test_requests_oauth2client_understands_each_refusal(demo: Demo, requests_client: OAuth2Client) -> None:
    with pytest.raises(requests_oauth2client.InvalidRequest, match="`address` must be"):
        requests_client.introspect_token(demo.secrets["writer"], address="somewhere")
    with pytest.raises(requests_oauth2client.InvalidClient):
        client(demo, ClientSecretBasic(demo.client_id, "x")).introspect_token(demo.secrets["writer"])
    bearer = requests_oauth2client.BearerToken(demo.secrets["limited"])
    with pytest.raises(requests_oauth2client.IntrospectionError) as refusal:
        client(demo, bearer).introspect_token(demo.secrets["writer"])
    assert refusal.value.error == "insufficient_scope"


def test_authlib_introspects(demo: Demo, authlib_session: Any) -> None:
    answer = authlib_session.introspect_token(demo.endpoint, demo.secrets["writer"], token_type_hint="access_token")
    told = answer.json()
    assert (told["active"], told["token_type"], told["username"]) == (True, "Bearer", "Wanda Writer")
    answer = authlib_session.introspect_token(demo.endpoint, "lkp_nothing")
    assert (answer.status_code, answer.json()) == (200, {"active": False})


def test_a_resource_server_by_authlib_lets_in_whom_the_scope_words_let_in(demo: Demo, authlib_session: Any) -> None:
    class Validator(IntrospectTokenValidator):  # type: ignore[misc]
        def introspect_token(self, token_string: str) -> Any:
            return authlib_session.introspect_token(demo.endpoint, token_string).json()

    validator = Validator()
    request = OAuth2Request("GET", "https://api.example/flags")

    def enters(secret: str, scope: str) -> None:
        validator.validate_token(validator.authenticate_token(secret), [scope], request)

    enters(demo.secrets["writer"], "flag:updateOn")
    enters(demo.secrets["reader"], "proj:viewProject")
    for name in ("reader", "limited"):
        with pytest.raises(InsufficientScopeError):
            enters(demo.secrets[name], "flag:updateOn")
    with pytest.raises(InvalidTokenError):
        enters("lkp_nothing", "flag:updateOn")


def test_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    walk((ROOT / "docs" / "introspection.md").read_text(encoding="utf-8"), prepared(tmp_path))
