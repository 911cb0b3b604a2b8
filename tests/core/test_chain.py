"""What the chain of seals promises: nothing in it changes unnoticed, and the first place is named."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.chain import JSON, Break, Problem, Sealed, canonical, genesis, seal, verify

ACCOUNT = "0199c0de-0000-7000-8000-000000000001"
TEXTS = st.text(st.sampled_from('ab"\\\n\x7fü\u2028🔑'), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.dictionaries(st.sampled_from(["action", "before", "after", "ü", ""]), VALUES)


def chain_of(entries: list[dict[str, Any]], account_id: str = ACCOUNT) -> list[Sealed]:
    previous = genesis(account_id)
    sealed: list[Sealed] = []
    for sequence, entry in enumerate(entries, 1):
        numbered: dict[str, JSON] = {**entry, "sequence": sequence}
        sealed.append((numbered, previous, seal(previous, numbered)))
        previous = sealed[-1][2]
    return sealed


CHAINS = st.lists(ENTRIES, min_size=1, max_size=7).map(chain_of)
EIGHT = chain_of([{"action": "createAccessToken", "n": n} for n in range(8)])


@given(CHAINS)
def test_a_whole_chain_has_no_break(chain: list[Sealed]) -> None:
    assert verify(ACCOUNT, chain) is None


def test_an_empty_chain_has_no_break() -> None:
    assert verify(ACCOUNT, []) is None


@given(CHAINS, st.data(), VALUES)
def test_any_single_change_of_an_entry_is_named(chain: list[Sealed], data: st.DataObject, value: JSON) -> None:
    place = data.draw(st.integers(0, len(chain) - 1))
    entry, before, sealed = chain[place]
    key = data.draw(st.sampled_from([*(key for key in entry if key != "sequence"), "new"]))
    assume(key not in entry or canonical({"v": entry[key]}) != canonical({"v": value}))
    chain[place] = ({**entry, key: value}, before, sealed)
    assert verify(ACCOUNT, chain) == Break(place + 1, Problem.ALTERED)


@given(CHAINS, st.data())
def test_any_word_taken_out_of_an_entry_is_named(chain: list[Sealed], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(chain) - 1))
    entry, before, sealed = chain[place]
    key = data.draw(st.sampled_from(list(entry)))
    chain[place] = ({k: v for k, v in entry.items() if k != key}, before, sealed)
    assert verify(ACCOUNT, chain) == Break(place + 1, Problem.ALTERED)


@pytest.mark.parametrize("place", range(8))
def test_any_changed_seal_is_named(place: int) -> None:
    entry, before, sealed = EIGHT[place]
    changes = [
        (sealed, sealed),
        (before, before),
        (before.upper(), sealed),
        (before, sealed.upper()),
        ("", sealed),
        (before, ""),
        ("not hex", sealed),
    ]
    for change in changes:
        chain = [*EIGHT[:place], (entry, *change), *EIGHT[place + 1 :]]
        assert verify(ACCOUNT, chain) == Break(place + 1, Problem.ALTERED)


@pytest.mark.parametrize("place", range(7))
def test_an_entry_replaced_with_a_seal_of_its_own_is_named(place: int) -> None:
    _, before, _ = EIGHT[place]
    forged: dict[str, JSON] = {"action": "nothing", "sequence": place + 1}
    chain = [*EIGHT[:place], (forged, before, seal(before, forged)), *EIGHT[place + 1 :]]
    assert verify(ACCOUNT, chain) == Break(place + 1, Problem.ALTERED)


@pytest.mark.parametrize("place", range(7))
def test_a_dropped_entry_is_named(place: int) -> None:
    assert verify(ACCOUNT, [*EIGHT[:place], *EIGHT[place + 1 :]]) == Break(place + 1, Problem.MISSING)


def test_a_cut_off_end_cannot_be_seen_without_a_head() -> None:
    assert verify(ACCOUNT, EIGHT[:-1]) is None


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in range(8) for b in range(a + 1, 8)])
def test_two_swapped_entries_are_named(one: int, other: int) -> None:
    chain = list(EIGHT)
    chain[one], chain[other] = chain[other], chain[one]
    assert verify(ACCOUNT, chain) == Break(one + 1, Problem.REORDERED)


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("copied", range(8))
def test_an_entry_repeated_is_named(place: int, copied: int) -> None:
    chain = [*EIGHT[:place], EIGHT[copied], *EIGHT[place:]]
    # Before its own place a copy is too early; after it, one too many.
    expected = Break(place + 1, Problem.REORDERED) if copied > place else Break(copied + 1, Problem.ADDED)
    assert verify(ACCOUNT, chain) == expected


@pytest.mark.parametrize("place", range(8))
def test_a_forged_entry_slipped_in_is_named(place: int) -> None:
    before = EIGHT[place][1]
    forged: dict[str, JSON] = {"action": "nothing", "sequence": place + 1}
    chain = [*EIGHT[:place], (forged, before, seal(before, forged)), *EIGHT[place:]]
    assert verify(ACCOUNT, chain) == Break(place + 1, Problem.ADDED)


def test_a_chain_fits_no_other_account() -> None:
    assert verify("another", EIGHT) == Break(1, Problem.ALTERED)
    assert verify(ACCOUNT, chain_of([{}], "another")) == Break(1, Problem.ALTERED)
    assert genesis(ACCOUNT) != genesis("another")


@pytest.mark.parametrize("spoil", [1.5, float("nan"), b"bytes", {1}, 2**53, "\ud800"])
def test_an_entry_that_has_no_text_breaks_the_chain_and_is_never_sealed(spoil: Any) -> None:
    entry, before, sealed = EIGHT[3]
    chain = [*EIGHT[:3], ({**entry, "after": [spoil]}, before, sealed), *EIGHT[4:]]
    assert verify(ACCOUNT, chain) == Break(4, Problem.ALTERED)
    with pytest.raises(ValueError, match=r"."):
        seal(before, {"after": {"deep": [spoil]}})


def test_keys_other_than_texts_have_no_canonical_form() -> None:
    inner: Any = {1: "a"}
    with pytest.raises(ValueError, match="keys are texts"):
        canonical({"after": inner})


@given(VALUES, VALUES)
def test_two_entries_share_a_text_only_if_they_are_the_same(one: JSON, other: JSON) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical({"v": one}) == canonical({"v": other})) is same


def test_the_canonical_form_is_fixed() -> None:
    assert canonical({"b": [1, None, True], "a": {"ü": "\n", "": {}}}) == (
        '{"a":{"":{},"ü":"\\n"},"b":[1,null,true]}'.encode()
    )


@pytest.mark.parametrize("previous", ["", "ab", "AB" * 32, "ab" * 33, "xy" * 32])
def test_nothing_is_sealed_onto_what_is_no_seal(previous: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        seal(previous, {})


def test_seals_are_what_the_documentation_says() -> None:
    start = hashlib.sha256(b"latchkey chain 1\n" + ACCOUNT.encode()).hexdigest()
    assert genesis(ACCOUNT) == start
    framed = b"latchkey entry 1\n" + bytes.fromhex(start) + b'{"sequence":1}'
    assert seal(start, {"sequence": 1}) == hashlib.sha256(framed).hexdigest()
