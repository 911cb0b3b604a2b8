"""What a secret's shape, checksum and digests promise."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.secret import ALPHABET, LONGEST, Digest, ForeignSecret, Malformed, Secret, SecretKind, ServerKeys, checksum

KINDS = list(SecretKind)
RING = ServerKeys({"new": b"n" * 32, "old": b"o" * 32})


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (SecretKind.PERSONAL, "lkp_"),
        (SecretKind.SERVICE, "lks_"),
        (SecretKind.SESSION, "lkt_"),
        (SecretKind.LINK, "lkl_"),
    ],
)
def test_a_minted_secret_has_the_shape_that_scanners_know(kind: SecretKind, prefix: str) -> None:
    secret = Secret.mint(kind)
    assert re.fullmatch(prefix + "[0-9A-Za-z]{36}", secret.text)
    assert Secret.parse(secret.text) == secret
    assert secret.kind is kind
    assert secret.ending == secret.text[-4:]


def test_the_checksum_is_crc32_in_six_base62_digits() -> None:
    assert string.digits + string.ascii_uppercase + string.ascii_lowercase == ALPHABET
    body = "A" * 30
    value = 0
    for digit in checksum(body):
        value = value * 62 + ALPHABET.index(digit)
    assert value == binascii.crc32(body.encode())
    assert len(checksum(body)) == 6
    assert checksum("") == "000000"


def test_a_known_secret_parses_for_ever() -> None:
    text = "lkp_0123456789ABCDEFGHIJKLMNOPQRST4PMbyp"
    assert Secret.parse(text).text == text


def test_secrets_do_not_repeat_and_use_the_whole_alphabet() -> None:
    texts = [Secret.mint(SecretKind.PERSONAL).text for _ in range(500)]
    assert len(set(texts)) == 500
    assert {character for text in texts for character in text[4:34]} == set(ALPHABET)


@given(st.sampled_from(KINDS), st.integers(4, 39), st.sampled_from(ALPHABET))
def test_any_one_wrong_character_is_noticed(kind: SecretKind, place: int, character: str) -> None:
    text = Secret.mint(kind).text
    wrong = text[:place] + character + text[place + 1 :]
    if wrong != text:
        with pytest.raises(Malformed, match=r"^not a credential$"):
            Secret.parse(wrong)


@pytest.mark.parametrize(
    "spoil", [lambda t: t + "\n", lambda t: " " + t, lambda t: t[:-1], lambda t: t + "0", str.upper]
)
def test_a_shape_that_is_nearly_right_is_not(spoil) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  # a str to str
    with pytest.raises(Malformed):
        Secret.parse(spoil(Secret.mint(SecretKind.SESSION).text))


@given(st.text())
def test_garbage_is_refused_with_one_message_that_repeats_nothing(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        Secret.parse(text)
    assert refused.value.args == ("not a credential",)


def test_nothing_shows_a_secret_or_a_key() -> None:
    secret, keys = Secret.mint(SecretKind.PERSONAL), ServerKeys.mint("first")
    assert (repr(secret), str(secret), f"{secret}") == ("Secret()", "Secret()", "Secret()")
    assert (repr(keys), str(keys)) == ("ServerKeys()", "ServerKeys()")


def test_a_digest_is_hmac_of_the_sha256_under_the_newest_key() -> None:
    secret = Secret.mint(SecretKind.SERVICE)
    inner = hashlib.sha256(secret.text.encode()).digest()
    new, old = (Digest(name, hmac.new(key, inner, "sha256").hexdigest()) for name, key in RING.keys.items())
    assert RING.digest(secret) == new
    assert RING.candidates(secret) == (new, old)
    assert RING.newest == "new"


def test_the_sha256_of_a_secret_is_all_that_its_digest_takes() -> None:
    for text in ("api-0b2c", "ünïcode", "with blanks inside"):
        hashed = hashlib.sha256(text.encode()).digest()
        assert RING.candidates_hashed(hashed) == RING.candidates(ForeignSecret.parse(text))


@pytest.mark.parametrize(
    "text", ["x", "api-0b2c", "token 0b2c", "Basic dTpw", "ünïcode ✓", "lk_x", "slkp_x", "a" * LONGEST]
)
def test_a_secret_from_elsewhere_keeps_its_shape(text: str) -> None:
    assert ForeignSecret.parse(text).text == text
    assert repr(ForeignSecret.parse(text)) == "ForeignSecret()"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" x", "blank"),
        ("x ", "blank"),
        ("\u00a0x", "blank"),
        ("a\tb", "printable"),
        ("a\nb", "printable"),
        ("a\ud800b", "printable"),
        ("lkp_x", "lk?_"),
        ("lk9_x", "lk?_"),
        ("lks_" + "a" * 30 + checksum("a" * 30), "lk?_"),
        ("Bearer x", "Bearer"),
        ("bearer", "Bearer"),
        ("a" * (LONGEST + 1), "4096"),
    ],
)
def test_a_text_that_no_header_brings_whole_is_no_secret(text: str, problem: str) -> None:
    with pytest.raises(Malformed) as refused:
        ForeignSecret.parse(text)
    assert problem in str(refused.value)
    assert len(text) < 3 or text not in str(refused.value)


def test_the_end_of_a_short_secret_is_not_shown() -> None:
    assert [ForeignSecret.parse(text).ending for text in ("a" * 15, "a" * 12 + "wxyz")] == ["", "wxyz"]


def test_a_retired_key_is_tried_no_more() -> None:
    secret = Secret.mint(SecretKind.PERSONAL)
    assert ServerKeys({"new": b"n" * 32}).candidates(secret) == RING.candidates(secret)[:1]


def test_a_key_ring_reads_what_it_writes_in_its_order() -> None:
    keys = ServerKeys({**ServerKeys.mint("b").keys, **ServerKeys.mint("a").keys})
    again = ServerKeys.parse(keys.json())
    assert list(again.keys.items()) == list(keys.keys.items())
    assert again.newest == "b"


KEY = base64.b64encode(b"k" * 32).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"keys": []}',
        '{"keys": 3}',
        '{"keys": [{"id": "a"}]}',
        json.dumps({"keys": [{"id": "", "key": KEY}]}),
        json.dumps({"keys": [{"id": 3, "key": KEY}]}),
        json.dumps({"keys": [{"id": "a", "key": KEY[:-4]}]}),
        json.dumps({"keys": [{"id": "a", "key": KEY + "!"}]}),
        json.dumps({"keys": [{"id": "a", "key": KEY}, {"id": "a", "key": KEY}]}),
    ],
)
def test_a_broken_key_ring_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        ServerKeys.parse(text)
    assert KEY[:8] not in str(refused.value)
    assert refused.value.__context__ is None
