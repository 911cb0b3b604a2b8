"""What is asked: of Latchkey and beside it. Every answer was seen to be whole before it is pressed."""

from base64 import b64encode
from dataclasses import replace
from urllib.parse import urlencode

from bench.load import Target, Varied, checked
from bench.organisation import CREATE, JSON, Organisation

CHECKS = 100
LISTED = 50
URIS = 10_000

HELLO = replace(Target("", ()), headers=JSON, body='{"query":"{ hello }"}')
STOCK_LIST = '{"query":"{ tokens { id name kind ending createdAt owner { name } } }"}'
VIEWER = """{ viewer {
  member { id name email state baseRole createdAt }
  account { id key name }
  token { name }
} }"""
TOKENS = f"{{ tokens(first: {LISTED}) {{ nodes {{ id name kind ending createdAt owner {{ name }} }} }} }}"
CHECK = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed } }"
VERIFY = """query ($secret: String!, $checks: [AccessCheckInput!]) { verifyToken(secret: $secret, checks: $checks) {
  active allowed token { tokenId name member { memberId name } }
} }"""


def bare(served: Target) -> Target:
    """Ask the bare application."""
    return checked(replace(HELLO, url=served.url, pids=served.pids), '{"data":{"hello":"world"}}')


stock = bare
"""Ask the stock view the same, which has the same answer."""


def stock_list(served: Target) -> Target:
    """Ask the stock view for its list."""
    last = f"Token {LISTED - 1}"
    return checked(replace(HELLO, url=served.url, pids=served.pids, body=STOCK_LIST), last, "Wanda Writer", "createdAt")


def viewer(organisation: Organisation) -> Target:
    """Ask who one is: ten fields of three objects."""
    asked = organisation.server.question(VIEWER, organisation.tokens["admin"].secret)
    return checked(asked, "Adam Admin", "admin@main.example", '"createdAt"', '"key":"main"', '"token":{"name":"Admin"}')


def tokens50(organisation: Organisation) -> Target:
    """List tokens, with their owners, of an organisation that has enough."""
    asked = organisation.server.question(TOKENS, organisation.tokens["admin"].secret)
    return checked(asked, f"Job {LISTED - 1}", "Wanda Writer", "Adam Admin", "Olive Owner")


def check(organisation: Organisation, count: int) -> Target:
    """Ask whether so many flags may be switched, each another."""
    asked = organisation.server.question(CHECK, organisation.tokens["admin"].secret, checks=_checks(count))
    return checked(asked, f"[{','.join(['true'] * count)}]")


def _checks(count: int) -> list[dict[str, str]]:
    return [{"action": "updateOn", "resource": f"proj/web:env/production:flag/flag-{n}"} for n in range(count)]


def verify_token(organisation: Organisation) -> Target:
    """Verify a token as a service, with one question about it."""
    service, limited = organisation.tokens["service"], organisation.tokens["limited"]
    asked = organisation.server.question(VERIFY, service.secret, secret=limited.secret, checks=_checks(1))
    return checked(asked, '"active":true', '"allowed":[true]', "Wanda Writer", "Limited to web")


def introspect(organisation: Organisation) -> Target:
    """Introspect a token as RFC 7662 has it."""
    asked = introspection(organisation)
    return checked(asked, '"active":true', "Wanda Writer", organisation.tokens["limited"].uuid)


def introspection(organisation: Organisation, **question: str) -> Target:
    """Write the request of a service with HTTP Basic that introspects `limited`, with a question about it or none."""
    service, limited = organisation.tokens["service"], organisation.tokens["limited"]
    basic = b64encode(f"{service.uuid}:{service.secret}".encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {basic}"}
    body = urlencode({"token": limited.secret, **question})
    return Target(f"{organisation.server.url}/oauth2/introspect", organisation.server.pids, headers, body)


def forward_auth(organisation: Organisation) -> Target:
    """Ask as a proxy does about one and the same request."""
    secret = organisation.tokens["limited"].secret
    asked = Target(organisation.gate, organisation.server.pids, forwarded(secret), method="GET")
    checked(asked)
    _see_refused(asked)
    return asked


def _see_refused(asked: Target) -> None:
    """See that the yes depends on the token, so that it is not anybody's."""
    try:
        checked(replace(asked, headers={**asked.headers, "Authorization": "Bearer lkp_nobody"}))
    except RuntimeError as refused:
        if "401" in str(refused):
            return
    raise RuntimeError("a proxy is told yes without a token")


def forward_auth_varied(organisation: Organisation, count: int = URIS) -> Target:
    """Ask as a proxy does about requests for so many different URIs."""
    uris = [f"/projects/web/flags/{number}?fields=all" for number in range(count)]
    return replace(forward_auth(organisation), varied=Varied("X-Forwarded-Uri", uris))


def forward_auth_noisy(organisation: Organisation, count: int = 5 * URIS) -> Target:
    """Ask as a proxy does that hands on what each request has of its own, and that decides nothing."""
    ids = [f"{number:032x}" for number in range(count)]
    return replace(forward_auth(organisation), varied=Varied("X-Request-Id", ids))


def forwarded(secret: str) -> dict[str, str]:
    """Write the headers of a proxy that asks about a request."""
    return {
        "Authorization": f"Bearer {secret}",
        "User-Agent": "curl/8.0",
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Uri": "/projects/web/flags/42?fields=all",
    }


def create_token(organisation: Organisation) -> Target:
    """Make a token, with its entry in the audit log."""
    wanted = {"name": "Nightly job", "scope": {"builtInRole": "READER"}}
    asked = organisation.server.question(CREATE, organisation.sessions["writer"], input=wanted)
    return checked(asked, '"secret":"lkp_', '"resource":"member/')


def peopled(organisation: Organisation) -> Organisation:
    """Let the members make tokens in turns, so that there is a page to list."""
    for number in range(LISTED):
        who = ("owner", "admin", "writer")[number % 3]
        organisation.make(who, f"Job {number}", scope={"builtInRole": "READER"})
    return organisation
