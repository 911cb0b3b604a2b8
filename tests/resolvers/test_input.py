"""What callers type, at the edge of what is taken."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import Mock

import pytest

from core.errors import Invalid
from core.secret import Secret, SecretKind
from models import now
from resolvers import input as typed

HIDDEN = ["\x00", "\x1b", "\x7f", "\u200b", "\u202e", "\u2028", "\ufeff", "\ud800"]
CYRILLIC = "\u0430\u0434\u0430"
MIXED = "ex\u0430mple".encode("idna").decode()


@pytest.mark.parametrize(
    ("take", "given", "taken"),
    [
        (typed.name, "  Zoe\u0308  ", "Zo\u00eb"),
        (typed.name, "x" * 256, "x" * 256),
        (typed.name, "名前 🦊", "名前 🦊"),
        (typed.description, "", ""),
        (typed.description, "one\n\ttwo\n", "one\n\ttwo"),
        (typed.key, "a", "a"),
        (typed.key, "0.a_b-c", "0.a_b-c"),
        (typed.key, "a" * 64, "a" * 64),
        (typed.email, " Ada@Example.COM ", ("Ada@Example.COM", "ada@example.com")),
        (typed.email, "Stra\u00dfe@example.com", ("Stra\u00dfe@example.com", "strasse@example.com")),
        (typed.email, "ada@B\u00fccher.example", ("ada@xn--bcher-kva.example", "ada@b\u00fccher.example")),
        (typed.email, "ada@XN--BCHER-KVA.example", ("ada@xn--bcher-kva.example", "ada@b\u00fccher.example")),
        (typed.email, "Ada@Stra\u00dfe.example", ("Ada@xn--strae-oqa.example", "ada@stra\u00dfe.example")),
        (typed.email, "ada@xn--strae-oqa.example", ("ada@xn--strae-oqa.example", "ada@stra\u00dfe.example")),
        (typed.email, "ada@STRASSE.example", ("ada@STRASSE.example", "ada@strasse.example")),
        (typed.email, "ada@\uff45xample\u3002com", ("ada@example.com", "ada@example.com")),
        (typed.email, "名前2ada@例え.jp", ("名前2ada@xn--r8jz45g.jp", "名前2ada@例え.jp")),
        (typed.email, f"{CYRILLIC}@example.com", (f"{CYRILLIC}@example.com", f"{CYRILLIC}@example.com")),
        (typed.password, "x" * 12, "x" * 12),
        (typed.password, "x" * 256, "x" * 256),
        (typed.comment, None, None),
        (typed.comment, "  ", None),
        (typed.comment, "why", "why"),
        (typed.idempotency_key, None, None),
        (typed.idempotency_key, "~" * 128, "~" * 128),
        (typed.role_attributes, {"team": ("web", "a.b")}, {"team": ["web", "a.b"]}),
        (typed.role_attributes, {}, {}),
    ],
)
def test_what_is_fine_is_taken(take: Callable[[str, Any], object], given: object, taken: object) -> None:
    assert take("it", given) == taken


@pytest.mark.parametrize(
    ("take", "given"),
    [
        *((typed.name, bad) for bad in ["", " \t", "x" * 257, "a\nb", *(f"a{c}b" for c in HIDDEN)]),
        *((typed.description, bad) for bad in ["x" * 1025, "a\rb", *(f"a{c}b" for c in HIDDEN)]),
        *((typed.key, bad) for bad in ["", "A", "a b", "a" * 65, "a" * 300, ".a", "a\n", "é", "٣", "a/b", "a*"]),
        *((typed.email, bad) for bad in ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b c", "a\x00@b"]),
        *((typed.email, bad) for bad in ["x" * 65 + "@b", "a@" + "x" * 256, "a\uff20b@c", "\ufdfa" * 9 + "@b"]),
        *((typed.email, bad) for bad in ["\u0430da@example.com", "ad\u03b1@example.com", "ada@ex\u0430mple.com"]),
        *((typed.email, bad) for bad in [f"ada@{MIXED}.com", "ada@xn--\u0430.com", "ada@ex\u2100mple.com"]),
        *((typed.email, bad) for bad in ["ada@\u2603.com", "ada@xn--a.com"]),
        *((typed.email, bad) for bad in ["ada@xn--ab\u00df-.com", "a@\u00e9..com", "a@" + "\u00e9" * 64 + ".com"]),
        *((typed.password, bad) for bad in ["", "x" * 11, "x" * 257]),
        *((typed.comment, bad) for bad in ["x" * 1025, "a\x00"]),
        *((typed.idempotency_key, bad) for bad in ["", "a b", "é", "x" * 129, "a\n"]),
        (typed.future, datetime(2999, 1, 1)),  # noqa: DTZ001 - it is what is refused
        (typed.future, datetime(2020, 1, 1, tzinfo=UTC)),
        (typed.future, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
    ],
)
def test_what_is_not_is_refused_by_the_fields_name(take: Callable[[str, Any], object], given: object) -> None:
    with pytest.raises(Invalid) as refusal:
        take("it", given)
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": "it"}
    assert str(refusal.value).startswith("`it` ")
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("take", "most"), [(typed.name, 256), (typed.description, 1024), (typed.comment, 1024), (typed.email, 320)]
)
def test_what_is_too_long_is_refused_before_its_letters_are_composed(
    take: Callable[[str, Any], object], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    composing = Mock(side_effect=unicodedata.normalize)
    monkeypatch.setattr(unicodedata, "normalize", composing)
    for text in ("a" + "\u0301\u0316" * most, "e\u0301" * (most // 2) + "e"):
        with pytest.raises(Invalid, match=f"`it` must have at most {most} characters"):
            take("it", text)
    composing.assert_not_called()


@pytest.mark.parametrize("take", [typed.name, typed.description, typed.comment])
def test_a_secret_that_was_pasted_in_a_wrong_place_is_not_kept(take: Callable[[str, Any], object]) -> None:
    secret = Secret.mint(SecretKind.PERSONAL).text
    with pytest.raises(Invalid, match="`it` holds what looks like a secret") as refused:
        take("it", f"see {secret}.")
    assert secret not in str(refused.value)
    take("it", "see lkp_…")


def test_a_time_is_to_come_and_becomes_utc() -> None:
    at = (now() + timedelta(hours=1)).astimezone(timezone(timedelta(hours=9)))
    taken = typed.future("expiresAt", at)
    assert (taken, taken.tzinfo) == (at, UTC)
    with pytest.raises(Invalid):
        typed.future("expiresAt", now())
