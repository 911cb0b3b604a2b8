"""Networks agree with the standard library about every address, and name what is wrong with what was typed."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.networks import Network, Networks

ADDRESSES: st.SearchStrategy[IPv4Address | IPv6Address] = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/29"), st.ip_addresses(v=6, network="2001:db8::/125"), st.ip_addresses()
)
BLOCKS: st.SearchStrategy[Network] = st.one_of(
    st.builds(
        lambda address, bits: IPv4Network((address, bits), strict=False),
        st.ip_addresses(v=4, network="10.0.0.0/29"),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, bits: IPv6Network((address, bits), strict=False),
        st.ip_addresses(v=6, network="2001:db8::/125"),
        st.integers(0, 128),
    ),
)


def oracle(blocks: list[Network], address: IPv4Address | IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return not blocks or any((mapped or address) in block for block in blocks)


@given(st.lists(BLOCKS, max_size=4), ADDRESSES)
def test_it_holds_what_the_standard_library_says(blocks: list[Network], address: IPv4Address | IPv6Address) -> None:
    networks = Networks.parse([str(block) for block in blocks], "networks")
    assert networks.holds(str(address)) is oracle(blocks, address)
    assert Networks.of(networks.texts) == networks


@given(st.lists(BLOCKS, max_size=4), st.ip_addresses(v=4))
def test_a_mapped_address_is_its_ipv4_one(blocks: list[Network], address: IPv4Address) -> None:
    networks = Networks.parse([str(block) for block in blocks], "networks")
    assert networks.holds(f"::ffff:{address}") is networks.holds(str(address)) is oracle(blocks, address)


@given(st.lists(BLOCKS, min_size=1, max_size=4), st.lists(BLOCKS, max_size=6), ADDRESSES)
def test_what_lies_within_holds_no_more(narrow: list[Network], wide: list[Network], address: IPv4Address) -> None:
    narrower, wider = Networks(tuple(narrow)), Networks(tuple(wide))
    if narrower.within(wider):
        assert not narrower.holds(str(address)) or wider.holds(str(address))
    else:
        ends = [end for block in narrow for end in (block[0], block[-1])]
        starts = [block[-1] + 1 for block in wide if int(block[-1]) + 1 < 1 << block.max_prefixlen]
        tried = [*ends, *(start for start in starts if narrower.holds(str(start)))]
        assert any(not wider.holds(str(each)) for each in tried)


@pytest.mark.parametrize(
    ("narrower", "wider", "expected"),
    [
        (["10.0.0.0/8"], ["10.0.0.0/9", "10.128.0.0/9"], True),
        (["::ffff:10.0.0.0/104"], ["10.0.0.0/8"], True),
        (["10.0.0.1"], ["10.0.0.0/31"], True),
        (["10.0.0.0/8"], ["10.0.0.0/9"], False),
        ([], ["0.0.0.0/0", "::/0"], False),
        (["10.0.0.0/8"], [], True),
        ([], [], True),
    ],
)
def test_within(narrower: list[str], wider: list[str], expected: bool) -> None:
    assert Networks.parse(narrower, "a").within(Networks.parse(wider, "b")) is expected


def test_what_is_unknown_is_in_no_network() -> None:
    for text in (None, "", "unix:", "10.0.0.0/8", "\x00"):
        assert not Networks.parse(["0.0.0.0/0", "::/0"], "networks").holds(text)
        assert Networks().holds(text)


def test_each_block_is_told_as_everybody_writes_it() -> None:
    typed = ["10.0.0.0/8", "2001:DB8:0::/32", "192.0.2.1", "::1", "::ffff:192.0.2.0/120", "10.0.0.0/8"]
    told = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32", "::1/128", "192.0.2.0/24"]
    assert Networks.parse(typed, "networks").texts == told


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("10.0.0.1/8", "has bits set beyond its length: `10.0.0.1/8`; the network is `10.0.0.0/8`"),
        ("::ffff:10.0.0.1/104", "has bits set beyond its length: `::ffff:10.0.0.1/104`; the network is `10.0.0.0/8`"),
        ("2001:db8::1/32", "has bits set beyond its length: `2001:db8::1/32`; the network is `2001:db8::/32`"),
        *[
            (text, f"must be a network such as `192.0.2.0/24` or `2001:db8::/32`, or an address: `{text[:49]}")
            for text in (
                "",
                "x",
                "10.0.0.0/33",
                "10.0.0.0/255.0.0.0",
                "10.0.0.0/-1",
                "10.0.0/8",
                "010.0.0.0/8",
                "10.0.0.0/8/8",
                "10.0.0.0/",
                "fe80::1%eth0",
                "fe80::%1/64",
                " 10.0.0.0/8",
                "0" * 1000,
            )
        ],
    ],
)
def test_what_is_no_network_is_named(typed: str, problem: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Networks.parse(["10.0.0.0/8", typed], "networks")
    assert refusal.value.field == "networks[1]"
    assert refusal.value.problem.startswith(problem)


def test_there_are_at_most_fifty() -> None:
    typed = [f"10.0.{number}.0/24" for number in range(51)]
    assert len(Networks.parse(typed[:50], "networks").blocks) == 50
    with pytest.raises(Invalid) as refusal:
        Networks.parse(typed, "networks")
    assert refusal.value.message == "`networks` must hold at most 50"
