"""Signing in through a provider of somebody else's, in a real browser, and by hand where a browser would not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.conftest import PATIENCE_MS
from tests.sign_in.conftest import OWNER, Server

OURS = {"Sec-Fetch-Site": "same-origin"}
SESSION = "latchkey_session"
BUTTON = "Sign in with Example ID"

ENTRIES = """query ($action: String) { auditEntries(first: 3, filter: {action: $action}) { nodes {
  title outcome actor { kind memberName } target { resource }
} } }"""


@contextmanager
def opened(chromium: Browser, server: Server, address: str = "/") -> Iterator[Page]:
    """Open a page in a browser of its own, which reaches the two servers alone: the provider has fonts elsewhere."""
    context = chromium.new_context()
    known = (f"{server.url}/", f"{server.issuer}/")
    context.route(lambda url: not url.startswith((*known, "data:", "blob:")), lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(urljoin(server.url, address))
    yield page
    context.close()


def log_in(page: Page, server: Server, login: str) -> None:
    """Log in at the provider, and agree to what it tells us."""
    page.wait_for_url(f"{server.issuer}/interaction/**")
    page.get_by_placeholder("Enter any login").fill(login)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_the_owner_of_a_new_server_comes_in_through_the_provider(chromium: Browser, server: Server) -> None:
    assert f"the owner is `{OWNER}`, who signs in at {server.url}" in server.log.read_text()
    with opened(chromium, server) as page:
        expect(page.get_by_role("button", name=BUTTON)).to_be_visible()
        expect(page.get_by_label("Password")).to_have_count(0)
        page.get_by_role("button", name=BUTTON).click()
        log_in(page, server, OWNER)
        expect(page.get_by_role("banner")).to_contain_text("olive")
        assert page.url == f"{server.url}/"
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies(server.url)}
        assert (cookies[SESSION]["httpOnly"], cookies[SESSION]["sameSite"]) == (True, "Strict")
        assert "latchkey_errand" not in cookies
        kept = page.evaluate(
            "JSON.stringify([performance.getEntries(), history.state, document.referrer, {...localStorage}])"
        )
        assert "code=" not in kept
        assert "state=" not in kept
        # Signed out here, one is still signed in there.
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name=BUTTON).click()
        expect(page.get_by_role("banner")).to_contain_text("olive")


def test_whoever_is_no_member_is_told_so_and_may_try_again(
    chromium: Browser, server: Server, owner: httpx2.Client
) -> None:
    with opened(chromium, server) as page:
        page.get_by_role("button", name=BUTTON).click()
        log_in(page, server, "stranger@example.com")
        expect(page.get_by_role("alert")).to_have_text(
            "Example ID knows you, but you are no member here. Ask an administrator to invite you."
        )
        assert page.url == f"{server.url}/"
        assert SESSION not in {cookie["name"] for cookie in page.context.cookies()}
        link = invite(owner, "stranger@example.com")
        page.goto(link)
        expect(page.get_by_text("You are invited.")).to_be_visible()
        assert page.url == f"{server.url}/"
        page.get_by_role("button", name=BUTTON).click()
        expect(page.get_by_role("banner")).to_contain_text("stranger")


@dataclass
class Walk:
    """A browser's way to the provider and back, taken step by step."""

    server: Server
    client: httpx2.Client

    def to_the_door(self, login: str, **wanted: Any) -> str:
        """Log in at the provider; returns the address at which it sends the browser back."""
        begun = self.client.post(f"{self.server.url}/sign-in/oidc", json=wanted, headers=OURS)
        assert begun.status_code == 200, begun.text
        answer = self._follow(self.client.get(begun.json()["url"]))
        for _ in range(3):
            if answer.has_redirect_location:
                break
            [action] = re.findall(r'action="([^"]+)"', answer.text)
            [prompt] = re.findall(r'name="prompt" value="(\w+)"', answer.text)
            form = {"prompt": prompt, "login": login, "password": "any"}
            answer = self._follow(self.client.post(urljoin(self.server.issuer, action), data=form))
        return str(answer.headers["location"])

    def _follow(self, answer: httpx2.Response) -> httpx2.Response:
        """Follow the provider's redirects, up to where they lead back to us."""
        while answer.has_redirect_location:
            there = urljoin(str(answer.url), answer.headers["location"])
            if there.startswith(self.server.url):
                break
            answer = self.client.get(there)
        return answer

    def through(self, address: str) -> str:
        """Come back; returns to where that leads."""
        answer = self.client.get(address)
        assert answer.status_code == 303
        return str(answer.headers["location"])

    def enter(self, login: str, **wanted: Any) -> str:
        """Go there and come back."""
        return self.through(self.to_the_door(login, **wanted))

    @property
    def secret(self) -> str | None:
        return self.client.cookies.get(SESSION)


@contextmanager
def walking(server: Server) -> Iterator[Walk]:
    with httpx2.Client(timeout=60) as client:
        yield Walk(server, client)


@pytest.fixture(scope="module")
def owner(server: Server) -> Iterator[httpx2.Client]:
    """The owner, who signed in through the provider, with a bearer."""
    with walking(server) as walk:
        assert walk.enter(OWNER) == "/"
        headers = {"Authorization": f"Bearer {walk.secret}"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


def ask(client: httpx2.Client, query: str, **variables: Any) -> Any:
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    return answer["data"]


def invite(owner: httpx2.Client, email: str) -> str:
    query = "mutation ($email: String!) { inviteMember(input: {email: $email}) { inviteUrl } }"
    link: str = ask(owner, query, email=email)["inviteMember"]["inviteUrl"]
    return link


def test_a_way_back_works_once_and_for_who_went(server: Server, owner: httpx2.Client) -> None:
    invite(owner, "ada@example.com")
    with walking(server) as walk, walking(server) as other:
        address = walk.to_the_door("ada@example.com")
        assert other.through(address) == "/#/sign-in/stale"
        kept = walk.client.cookies["latchkey_errand"]
        assert walk.through(re.sub("state=[^&]+", "state=another", address)) == "/#/sign-in/stale"
        mixed_up = re.sub("iss=[^&]+", "iss=https://id.example.com", address)
        assert mixed_up != address
        led = []
        for each in (mixed_up, address, address):  # a browser that keeps what is taken away
            walk.client.cookies.set("latchkey_errand", kept, domain="127.0.0.1", path="/")
            led.append(walk.through(each))
        assert led == ["/#/sign-in/untrusted", "/", "/#/sign-in/untrusted"]
        secret = walk.secret
    log = server.log.read_text()
    assert "does not take the code: invalid_grant" in log
    [code] = re.findall("code=([^&]+)", address)
    for told in (code, kept, "state=", "eyJ", "ada@example.com", secret or "lkt_"):
        assert told not in log


def test_who_comes_in_and_who_does_not(server: Server, owner: httpx2.Client) -> None:
    invite(owner, "grace@example.com")
    led = {}
    for login in (
        "grace@example.com#unverified",
        "grace@example.com",
        "grace@example.com#second",
        "new@joining.example#unverified",
        "new@joining.example",
        "new@else.example",
    ):
        with walking(server) as walk:
            led[login] = walk.enter(login)
            assert (walk.secret is not None) == (led[login] == "/")
    assert {login: place.removeprefix("/#/sign-in/") for login, place in led.items()} == {
        "grace@example.com#unverified": "unverified",
        "grace@example.com": "/",
        "grace@example.com#second": "somebody-else",
        "new@joining.example#unverified": "unverified",
        "new@joining.example": "/",
        "new@else.example": "refused",
    }
    members = ask(owner, "{ members(first: 100) { nodes { id email baseRole sessions { nodes { method } } } } }")
    found = {member["email"]: member for member in members["members"]["nodes"]}
    assert found["new@joining.example"]["baseRole"] == "NO_ACCESS"
    grace = found["grace@example.com"]
    assert grace["sessions"]["nodes"] == [{"method": "OIDC"}]
    suspend = "mutation ($id: ID!) { suspendMember(input: {id: $id}) { member { state } } }"
    assert ask(owner, suspend, id=grace["id"])["suspendMember"]["member"]["state"] == "SUSPENDED"
    with walking(server) as walk:
        assert (walk.enter("grace@example.com"), walk.secret) == ("/#/sign-in/refused", None)
    entered = ask(owner, ENTRIES, action="bindIdentity")["auditEntries"]["nodes"]
    assert "Somebody joined as the member “new” and bound it to an identity through the OpenID provider" in {
        entry["title"] for entry in entered
    }
    assert {entry["actor"]["kind"] for entry in entered} == {"OIDC"}


def test_without_passwords_nobody_comes_in_by_one(server: Server, owner: httpx2.Client) -> None:
    assert httpx2.get(f"{server.url}/sign-in").json() == {"password": False, "provider": "Example ID"}
    link = invite(owner, "lin@example.com").rpartition("/")[2]
    off = "signing in with a password is turned off on this server"
    for query in (
        'mutation { signIn(input: {email: "olive@example.com", password: "correct horse battery"}) { secret } }',
        f'mutation {{ acceptInvite(input: {{secret: "{link}", password: "correct horse battery"}}) {{ email }} }}',
    ):
        answer = httpx2.post(f"{server.url}/graphql", json={"query": query}).json()
        assert [error["message"] for error in answer["errors"]] == [off]
    credentials = {"email": OWNER, "password": "correct horse battery"}
    answer = httpx2.post(f"{server.url}/session", json=credentials, headers=OURS)
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (403, off)
