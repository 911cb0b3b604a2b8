"""The audit log and the tokens in a real browser, on a real server: looked through, opened, followed."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import PASSWORD, ROOT, Opened, Server
from tests.console.test_browser import sign_in

AXE = (ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js").read_text
WIDER = "[document.documentElement, document.querySelector('main')].some(each => each.scrollWidth > each.clientWidth)"
CREATE = "mutation ($input: CreateTokenInput!) { createToken(input: $input) { secret token { id } } }"
UPDATE = "mutation ($input: UpdateTokenInput!) { updateToken(input: $input) { token { id } } }"
DESCRIBE = 'd{0}: updateToken(input: {{ id: $id, description: "{0}" }}) {{ __typename }}'
ACCEPT = "mutation ($input: AcceptInviteInput!) { acceptInvite(input: $input) { email } }"
COUNTED = "query ($id: ID!) { auditEntries(filter: { actor: $id }) { totalCount } }"
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { secret } }"
"""What happens on the server beside the browser."""


def make(server: Server, name: str) -> dict[str, Any]:
    """Make a token that is for all that an admin may; returns it with its secret."""
    given = {"input": {"name": name, "scope": {"builtInRole": "ADMIN"}, "expiresAt": None}}
    made: dict[str, Any] = server.ask(CREATE, given)["createToken"]
    return made


@pytest.fixture(scope="module")
def busy(server: Server) -> Server:
    """A server on which the owner renamed and used a token, and a reader made one that is for more than they may."""
    made = make(server, "deploy")
    server.ask(f"mutation ($id: ID!) {{ {' '.join(map(DESCRIBE.format, range(20)))} }}", made["token"])
    named = {"name": "release", "comment": "it does more now"}
    for change in (named, {"rateLimits": ["100/minute"]}, {"rateLimits": ["100/minute", "5000/day"]}):
        server.ask(UPDATE, {"input": {"id": made["token"]["id"], **change}})
    replace(server, bearer=made["secret"]).invite("lin@example.com")
    secret = server.invite("grace@example.com").rpartition("/")[2]
    anyone = replace(server, bearer="")
    anyone.ask(ACCEPT, {"input": {"secret": secret, "name": "Grace Hopper", "password": PASSWORD}})
    entered = anyone.ask(SIGN_IN, {"input": {"email": "grace@example.com", "password": PASSWORD}})
    make(replace(server, bearer=entered["signIn"]["secret"]), "laptop")
    return server


@pytest.fixture
def audit(opened: Opened, busy: Server) -> Iterator[Page]:  # noqa: ARG001 - what it shows
    with opened("/#/audit") as page:
        sign_in(page)
        yield page


@pytest.fixture
def tokens(opened: Opened, busy: Server) -> Iterator[Page]:  # noqa: ARG001 - what it shows
    with opened("/#/tokens") as page:
        sign_in(page)
        yield page


def entries(page: Page) -> Locator:
    return page.locator(".day > ol > li")


def bars(page: Page) -> int:
    """How many entries the bars stand for, which stand as high as that."""
    heights = page.locator("svg [data-count]").evaluate_all(
        "bars => bars.map(bar => [Number(bar.dataset.count), bar.height.baseVal.value])"
    )
    (one,) = {round(height / count, 3) for count, height in heights}
    assert one > 0
    return sum(count for count, _ in heights)


def check(page: Page) -> None:
    """Look for what stands in the way of people, in light and dark, on a screen and on a telephone."""
    page.evaluate(AXE())
    for width_px, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width_px, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # the words of the loop above
        page.wait_for_function(f"!{WIDER}")
        found: dict[str, Any] = page.evaluate("axe.run()")
        wrong = [(each["id"], each["nodes"][0]["html"]) for each in found["violations"] if each["impact"] != "minor"]
        assert wrong == [], json.dumps(wrong, indent=1)


def test_the_log_is_looked_through_opened_and_followed(audit: Page, busy: Server) -> None:
    expect(entries(audit).filter(has_text="Grace Hopper created the token “laptop”")).to_have_count(1)
    audit.get_by_label("Member").fill("Ada Okafor")  # what Latchkey does by itself may come at any time
    audit.keyboard.press("Enter")
    expect(entries(audit).filter(has_text="Grace Hopper")).to_have_count(0)
    ada = busy.ask("{ viewer { member { id } } }")["viewer"]["member"]["id"]
    counted = busy.ask(COUNTED, {"id": ada})["auditEntries"]["totalCount"]
    expect(entries(audit)).to_have_count(25)
    audit.get_by_role("button", name="Older entries").press("Enter")
    expect(entries(audit)).to_have_count(counted)
    assert bars(audit) == counted
    audit.get_by_text("As a table").click()
    assert sum(int(cell) for cell in audit.locator("tbody td.number").all_text_contents()) == counted

    renamed = entries(audit).filter(has_text="changed the name of the token “release”")
    renamed.locator("summary").press("Enter")
    change = renamed.locator(".differences > div")
    expect(change).to_have_text("nameBefore: deployAfter: release")
    expect(renamed).to_contain_text("it does more now")
    expect(renamed.locator(".because")).to_contain_text("A statement of the member, in role owner")
    limited = entries(audit).filter(has_text="changed the restrictions of the token “release”").first
    limited.locator("summary").click()
    lines = limited.locator(".differences pre")
    expect(lines).to_have_text(['[ "100/minute",', 'After: "5000/day"', "]"])
    check(audit)

    audit.get_by_text("Filters").click()
    audit.get_by_label("Action").fill("createAccess*")
    audit.get_by_label("Member").fill("Grace Hopper")
    audit.keyboard.press("Enter")
    expect(entries(audit)).to_have_text([re.compile("Grace Hopper created the token “laptop”")])
    assert bars(audit) == 1
    audit.get_by_label("Resource").fill("what is this")
    audit.keyboard.press("Enter")
    expect(audit.get_by_label("Resource")).to_have_accessible_description(re.compile("It has the kind"))
    expect(entries(audit)).to_have_count(0)
    audit.get_by_label("Resource").fill("")
    audit.get_by_label("Member").fill("")

    audit.get_by_role("button", name="Live").click()
    audit.get_by_label("Action").press("Enter")
    expect(entries(audit)).to_have_count(2)
    make(busy, "while it was followed")
    busy.invite("nobody.of@example.com")
    expect(entries(audit).first).to_contain_text("created the token “while it was followed”")
    expect(entries(audit)).to_have_count(3)
    expect(audit.locator(".legend")).to_contain_text("Done 3")
    assert bars(audit) == 3


def test_tokens_stand_by_who_made_them_and_say_what_they_may_do(tokens: Page) -> None:
    made = {name: tokens.get_by_role("region", name=name).get_by_role("listitem") for name in ("Ada", "Grace")}
    expect(made["Grace"]).to_have_text([re.compile("laptop ….{4}Personalmade .*never used.*Exceeds owner")])
    expect(made["Ada"].filter(has_text="release")).not_to_contain_text("Exceeds owner")
    made["Grace"].locator("summary").first.press("Enter")
    expect(made["Grace"]).to_contain_text("Its scope allowsrole admin")
    expect(made["Grace"]).to_contain_text("and its owner may, nowrole reader")
    made["Grace"].get_by_text("statements of its scope are dead").click()
    expect(made["Grace"].get_by_text("Statement 2 of role admin, beyond its owner’s rights")).to_be_visible()  # noqa: RUF001
    check(tokens)

    deed = re.compile("Ada Okafor invited the member .* with the token “release”")
    made["Ada"].filter(has_text="release").locator("summary").first.click()
    expect(made["Ada"].get_by_role("listitem").filter(has_text=deed)).to_be_visible()
    made["Ada"].get_by_role("button", name="Its entries in the log").click()
    expect(tokens.get_by_role("heading", name="Audit log")).to_be_visible()
    expect(entries(tokens)).to_have_text([deed])
