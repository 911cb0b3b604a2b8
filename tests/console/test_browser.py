"""The console in a real browser, on a real server: from the first link to signing out."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.console.conftest import OWNER, PASSWORD, Opened, Server

STORED_MS = 1000
"""GraphiQL stores its tabs half a second after they change."""
STORES = """async () => JSON.stringify({
    local: {...localStorage}, session: {...sessionStorage}, cookie: document.cookie, state: history.state,
    databases: await indexedDB.databases(), caches: await caches.keys(), address: location.href,
})"""


@pytest.fixture
def owner(opened: Opened) -> Iterator[Page]:
    """The owner, signed in."""
    with opened() as page:
        sign_in(page)
        settle(page)
        yield page


def sign_in(page: Page, email: str = OWNER, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def settle(page: Page) -> None:
    """Wait until the editor stands and knows the schema."""
    expect(page.get_by_role("button", name="Execute query")).to_be_enabled()
    expect(page.get_by_role("button", name="Re-fetch GraphQL schema")).to_be_enabled()
    expect(page.locator(".graphiql-query-editor .view-line").first).to_be_visible()


def choose(page: Page, job: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{re.escape(job)}")).click()


def asked(response: Response) -> bool:
    """Tell an answer to what the editor holds from one to what the console asks by itself."""
    return response.url.endswith("/graphql") and "IntrospectionQuery" not in (response.request.post_data or "")


def run(page: Page) -> dict[str, Any]:
    """Run what the editor holds and return the whole answer."""
    with page.expect_response(asked) as answered:
        page.get_by_role("button", name="Execute query").click()
    answer: dict[str, Any] = answered.value.json()
    return answer


def write_variables(page: Page, variables: dict[str, Any]) -> None:
    page.locator("section[aria-label=Variables] .view-lines").click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(json.dumps(variables))


def test_a_link_leaves_the_address_bar_at_once_and_lets_its_holder_in(opened: Opened, server: Server) -> None:
    link = server.invite("grace@example.com")
    with opened(link) as page:
        expect(page.get_by_role("heading", name="Choose a password")).to_be_visible()
        assert page.url == f"{server.url}/"
        page.get_by_label("Your name").fill("Grace Hopper")
        page.get_by_label("Password", exact=True).fill("not what comes next")
        page.get_by_label("Password again").fill("what comes next")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The two passwords are not the same.")
        page.get_by_label("Password", exact=True).fill("what comes next")
        page.keyboard.press("Enter")
        settle(page)
        expect(page.get_by_role("banner")).to_contain_text("Grace Hopper")
        expect(page.get_by_role("banner")).to_contain_text("reader")
        assert link.rpartition("/")[2] not in page.evaluate(STORES)


def test_a_link_that_does_not_work_says_so(opened: Opened) -> None:
    with opened("/#/invite/lkl_nothing") as page:
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Password again").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("This link has been used, has ended, or never was one.")


def test_a_wrong_password_says_no_more_than_that(opened: Opened) -> None:
    with opened(expected="401") as page:
        sign_in(page, password="not the password")
        expect(page.get_by_role("alert")).to_have_text("That e-mail address and password do not open an account here.")


def test_the_common_jobs_run_as_they_are(owner: Page) -> None:
    for job in ("Who am I, and what may I do?", "Create a scoped token", "My tokens", "The audit log"):
        choose(owner, job)
        answer = run(owner)
        assert "errors" not in answer, answer
    expect(owner.get_by_label("Result Window")).to_contain_text("auditEntries")


def test_a_members_role_is_changed(owner: Page, server: Server) -> None:
    server.invite("lin@example.com")
    choose(owner, "Change a member's role")
    with owner.expect_response("**/graphql") as listed:
        run_one_of_several(owner, "Members")
    members = listed.value.json()["data"]["members"]["nodes"]
    invited = next(
        member["id"] for member in members if member["state"] == "INVITED" and member["baseRole"] == "READER"
    )
    write_variables(owner, {"input": {"id": invited, "baseRole": "WRITER"}})
    with owner.expect_response("**/graphql") as answered:
        run_one_of_several(owner, "ChangeRole")
    changed = answered.value.json()["data"]["assignRoles"]["member"]
    assert (changed["id"], changed["baseRole"]) == (invited, "WRITER")


def run_one_of_several(page: Page, name: str) -> None:
    page.get_by_role("button", name="Execute query").click()
    page.get_by_role("menuitem", name=name).click()


def test_the_audit_log_is_followed_as_it_is_written(owner: Page, server: Server) -> None:
    choose(owner, "Watch the audit log")
    owner.get_by_role("button", name="Execute query").click()
    result = owner.get_by_label("Result Window")
    for n in range(100):  # nothing in the page says from when on it follows
        server.invite(f"mary{n}@example.com")
        owner.wait_for_timeout(100)
        if "createMember" in (result.text_content() or ""):
            break
    expect(result).to_contain_text("createMember")
    owner.get_by_role("button", name="Stop query").click()


def test_a_token_stands_in_for_the_session_and_is_stored_nowhere(owner: Page) -> None:
    choose(owner, "Create a scoped token")
    secret = run(owner)["data"]["createToken"]["secret"]
    assert re.fullmatch(r"lkp_[0-9A-Za-z]{36}", secret)

    owner.get_by_role("button", name="Try a token").click()
    owner.get_by_label("Token", exact=True).fill(secret)
    owner.keyboard.press("Enter")
    expect(owner.get_by_role("status")).to_contain_text("Asking with the token member list")
    choose(owner, "The audit log")
    refused = run(owner)
    assert refused["data"] == {"auditEntries": None}
    assert refused["errors"][0]["extensions"]["action"] == "viewAuditLog"
    owner.get_by_role("button", name="New tab").click()
    owner.wait_for_timeout(STORED_MS)
    assert secret not in owner.evaluate(STORES)

    owner.get_by_role("button", name="Back to my session").click()
    choose(owner, "The audit log")
    assert "errors" not in run(owner)
    owner.reload()
    settle(owner)
    assert secret not in owner.content()


def test_what_is_typed_and_answered_is_stored_nowhere(owner: Page) -> None:
    run(owner)
    write_variables(owner, {"action": "typed-in-secret", "resource": "acct"})
    owner.get_by_role("button", name="Execute query").click()
    owner.get_by_role("button", name="New tab").click()
    owner.wait_for_timeout(STORED_MS)
    stores = owner.evaluate(STORES)
    assert "typed-in-secret" not in stores
    assert "WhoAmI" not in stores


def test_a_token_that_does_not_work_is_refused_before_it_is_used(opened: Opened) -> None:
    with opened(expected="401") as page:
        sign_in(page)
        settle(page)
        page.get_by_role("button", name="Try a token").click()
        page.get_by_label("Token", exact=True).fill("lkp_nobody")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(
            "This token does not work: it has ended, or never was one."
        )
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Try a token")).to_be_focused()


def test_signing_out_forgets_everything(owner: Page) -> None:
    choose(owner, "Create a scoped token")
    secret = run(owner)["data"]["createToken"]["secret"]
    owner.get_by_role("button", name="Sign out").click()
    expect(owner.get_by_role("heading", name="Sign in")).to_be_visible()
    assert [cookie.get("name") for cookie in owner.context.cookies()] == ["latchkey_device"], "which opens nothing"
    assert secret not in owner.evaluate(STORES) + owner.content()
    sign_in(owner)
    settle(owner)
    expect(owner.get_by_label("Result Window")).not_to_contain_text("lkp_")


def test_the_session_cookie_is_out_of_reach_of_scripts(owner: Page) -> None:
    cookies = owner.context.cookies()
    assert {cookie.get("name") for cookie in cookies} == {"latchkey_session", "latchkey_device"}
    for cookie in cookies:
        assert (cookie.get("httpOnly"), cookie.get("sameSite"), cookie.get("path")) == (True, "Strict", "/")
    assert owner.evaluate("document.cookie") == ""


def test_a_telephone_scrolls_one_way_only(opened: Opened) -> None:
    wider = "document.documentElement.scrollWidth > innerWidth"
    with opened(width_px=390) as page:
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert page.evaluate(wider) is False
        sign_in(page)
        settle(page)
        assert page.evaluate(wider) is False
        assert "errors" not in run(page)


def test_where_the_server_says_so_there_is_no_graphiql(opened: Opened, server: Server) -> None:
    with opened() as page:
        text = page.request.get(f"{server.url}/").text().replace("<html", '<html data-graphiql="off"', 1)
        page.route(f"{server.url}/", lambda route: route.fulfill(body=text, content_type="text/html"))
        page.reload()
        sign_in(page)
        faces = page.get_by_role("navigation", name="Console").get_by_role("link")
        expect(faces).to_have_text(["Audit", "Tokens"])
        expect(faces.first).to_have_attribute("aria-current", "page")
        expect(page.get_by_role("button", name="Execute query")).to_have_count(0)
