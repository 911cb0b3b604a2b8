"""Whatever is sent as a policy, a specifier, a cursor, a token or an id is read, or refused as it should be."""

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from core import receipt, secret
from core.errors import Invalid
from core.policy import check, parse_policy
from core.receipt import Receipt
from core.secret import ForeignSecret, Secret, SecretKind, ServerKeys
from core.specifiers import Malformed, Match, Resource, Specifier
from resolvers import entries, lists
from resolvers.pages import Order, Place
from schema import nodes
from tests.core.policies import launchdarkly
from tests.effort import tries
from web.credentials import Presented

T = TypeVar("T")

EACH = 100
SEEDS = settings(max_examples=tries(20))
"""Of each of the five kinds, with so many texts of each seed: ten thousand at every commit."""

CATALOGUE = launchdarkly()
KEYS = ServerKeys.mint("test")
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
AT = datetime(2030, 1, 31, 12, tzinfo=UTC)
PIECES = (
    *(
        "",
        ":",
        "/",
        ";",
        ",",
        "*",
        "{",
        "}",
        "{critical:true}",
        "$",
        "${roleAttribute/",
        "${roleAttribute/x}",
        "[",
        "]",
    ),
    *("\x00", "\ud800", "\u202e", "é", "ﬀ", "\n", " ", '"', "\\", "=", "_", "-", "+", "%00", "A" * 300, "9" * 400),
    *("null", "1e999", "true", "proj", "acct", "lkp_", "Bearer "),
)


def drawn(random: Random, good: tuple[str, ...]) -> str:
    """Draw a text: one that is right, one that is nearly so, or one that is nothing at all."""
    text = random.choice(good) if random.random() < 0.8 else ""
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        at = random.randint(0, len(text))
        text = text[:at] + random.choice(PIECES) + text[at + random.randint(0, 6) :]
    return text


def texts(*good: str) -> Callable[[int], list[str]]:
    """Draw texts by a seed."""

    def draw(seed: int) -> list[str]:
        random = Random(seed)  # noqa: S311 - so that a failure comes again
        return [drawn(random, good) for _ in range(EACH)]

    return draw


def seeded(draw: Callable[[int], list[str]]) -> st.SearchStrategy[list[str]]:
    return st.integers(0, 2**64).map(draw)


SPECIFIERS = (
    "*",
    "acct",
    "proj/*",
    "proj/web:env/production:flag/checkout",
    "proj/*;beta:env/*;{critical:true}:flag/web-*",
    "member/${roleAttribute/team}:token/*",
)
ACTIONS = ("*", "updateOn", "update*", "viewProject", "createAccessToken")
FIELDS = ("effect", "effect", "actions", "resources", "actions", "resources", "notActions", "notResources", "effects")


def statement(random: Random) -> Any:
    """Draw a statement, or what stands in the place of one."""
    if random.random() < 0.1:
        return random.choice((None, 1, "allow", [], {}, [[]], {"effect": "allow"}))
    words = {"effect": ("allow", "deny", "ALLOW"), "actions": ACTIONS, "notActions": ACTIONS}
    made: dict[str, Any] = {}
    for field in FIELDS[: random.choice((4, 4, 4, 9))]:
        good = words.get(field, SPECIFIERS)
        listed = [drawn(random, good) if random.random() < 0.5 else random.choice(good) for _ in range(2)]
        made[field] = random.choice(good) if field == "effect" else listed
    if random.random() < 0.2:
        made[random.choice(FIELDS)] = random.choice((None, 0, "", [], [None], {}, [[]], "allow"))
    return made


@SEEDS
@given(st.integers(0, 2**64))
def test_a_policy(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - as above
    for _ in range(EACH):
        raw = [statement(random) for _ in range(random.randint(0, 3))]
        policy = accepted(partial(parse_policy, raw, "policy"))
        if policy is not None:
            assert parse_policy([each.json() for each in policy], "policy") == policy
            accepted(partial(check, policy, CATALOGUE, "policy"))


def accepted(asked: Callable[[], T]) -> T | None:
    """Ask about a policy; None of what is refused as it should be."""
    try:
        return asked()
    except Invalid as error:
        refused = error
    assert refused.field.startswith("policy")
    assert len(refused.message) < 2_000
    return None


@SEEDS
@given(seeded(texts(*SPECIFIERS)))
def test_a_specifier(drawn: list[str]) -> None:
    for text in drawn:
        specifier = read(partial(Specifier.parse, text), Malformed)
        if specifier is not None:
            assert Specifier.parse(str(specifier)) == specifier, text
        resource = read(partial(Resource.parse, text), Malformed)
        if resource is not None:
            assert Specifier.parse(resource.specifier).match(resource, {}) is Match.SURE, text


def read(parse: Callable[[], T], refusal: type[Exception]) -> T | None:
    """Parse; None of what is refused."""
    with suppress(refusal):
        return parse()
    return None


ORDERS: Mapping[Order, Any] = {
    lists.by_id(): ID,
    lists.by_name(descending=True): "a name",
    lists.by_key(): "a-key",
    lists.by_expiry(): AT,
    lists.by_use(descending=True): None,
    lists.by_creator(): ID,
    entries.by_sequence(): 17,
}


def cursor(order: Order, value: Any, row_id: UUID = ID) -> str:
    """Write a cursor of an order, of a row with this value and no other."""
    return order.cursor(SimpleNamespace(**{"pk": row_id, order.column: value}))


def raw_cursor(text: str) -> str:
    """Write a text as cursors are written."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


CURSORS = tuple(cursor(order, value) for order, value in ORDERS.items())
INNER = tuple(json.dumps([order.name, order.descending, str(value), str(ID)]) for order, value in ORDERS.items())


@SEEDS
@given(seeded(texts(*CURSORS)), seeded(texts(*INNER, "[" * 3000)))
def test_a_cursor(outer: list[str], inner: list[str]) -> None:
    for text in (*outer[::2], *map(raw_cursor, inner[::2])):
        for order in ORDERS:
            try:
                place = order.place("after", text)
            except Invalid as refused:
                assert str(refused) == "`after` is no cursor of this list in this order", text  # noqa: PT017
                continue
            assert order.place("after", cursor(order, place.value, place.id)) == place, text
            order.beyond(place, forward=True)


def test_cursors_that_are_right_are_read() -> None:
    for order, value in ORDERS.items():
        assert order.place("after", cursor(order, value)) == Place(value, ID)


TOKEN = Secret.mint(SecretKind.PERSONAL).text
RECEIPT = Receipt(ID.bytes, ID.bytes, "updateOn", "proj/web", 1_900_000_000_000)


@SEEDS
@given(seeded(texts(TOKEN, f"Bearer {TOKEN}", TOKEN.swapcase(), "api-0123456789", RECEIPT.text(KEYS))))
def test_a_token(drawn: list[str]) -> None:
    for text in drawn:
        presented = Presented.in_header(text.encode("utf-8", "surrogatepass").decode("latin-1")).secret
        for each in (text, presented):
            ours = read(partial(Secret.parse, each), secret.Malformed)
            assert ours is None or ours.text == each
            foreign = read(partial(ForeignSecret.parse, each), secret.Malformed)
            assert foreign is None or not foreign.text.startswith("lkp_")
            told = read(partial(Receipt.read, each, ID.bytes, "updateOn", "proj/web", KEYS), receipt.Malformed)
            assert told in {None, RECEIPT}


@SEEDS
@given(seeded(texts(nodes.global_id("Token", ID), nodes.global_id("ResourceKind", "flag"), str(ID), f"Token:{ID}")))
def test_an_id(drawn: list[str]) -> None:
    for text in drawn:
        assert read(partial(nodes.any_uuid, "id", text), Invalid) in {None, ID}, text
