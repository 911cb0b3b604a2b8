"""Filters of the log find exactly the entries of which a plain reading says so, page by page, on either database."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from core.errors import Invalid
from core.findings import WHOLE
from core.policy import decide, parse_policy
from core.specifiers import NO_ATTRIBUTES, Match, Resource, Specifier
from core.vocabulary import Action, BuiltInRole
from models import CLOCKS_DIFFER, ActorKind, AuditAccess, AuditEntry, AuditHead, Outcome, Token, TokenKind, new_id, now
from resolvers import entries, members, searching
from resolvers.callers import Caller
from resolvers.entries import EntryFilter, by_sequence
from resolvers.pages import Window
from resolvers.writing import Said
from tests.conftest import SetClock
from tests.databases import Elsewhere
from tests.effort import tries
from tests.organisation import Organisation
from tests.resolvers.test_chains import verified

START = datetime(2060, 1, 1, tzinfo=UTC)
ACTIONS = ("updateOn", "updateName", "updateTags", "deleteFlag", "viewFlag", "UpdateOn", "up_dateOn")
PARTS = ("web", "Web", "w[e]b", "we?b", "w%b", "w_b", "webb", "a")
ADDRESSES = (
    None,
    "192.0.2.1",
    "192.0.2.77",
    "192.0.20.1",
    "198.51.100.9",
    "::ffff:192.0.2.5",
    "2001:db8::1",
    "nowhere",
)
NAMES = ("Wanda", "wanderer", "Bob 100%", "b_b", "Ann")
POLICIES: Sequence[list[dict[str, Any]]] = (
    [{"effect": "allow", "actions": ["update*"], "resources": ["proj/w*b:env/*"]}],
    [
        {"effect": "allow", "actions": ["*"], "resources": ["*"]},
        {"effect": "deny", "notActions": ["viewFlag", "update*n"], "resources": ["proj/*"]},
    ],
    [{"effect": "allow", "notActions": ["viewFlag"], "notResources": ["proj/*:env/a", "proj/${roleAttribute/x}"]}],
    [
        {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*:flag/*", "proj/web;tag"]},
        {"effect": "deny", "actions": ["*"], "resources": ["proj/*;tag:env/${roleAttribute/x}:flag/a"]},
    ],
    [{"effect": "deny", "actions": ["*"], "resources": ["*"]}],
    [],
)
SPECIFIERS = (
    "*",
    "proj/*",
    "proj/w*b:env/*",
    "proj/web:env/*:flag/*",
    "proj/web",
    "proj/w[*",
    "proj/w?b",
    "proj/*_*",
    "proj/*;tag",
    "proj/*:*",
    "proj/web:*",
    "proj/*:env/a:*",
)


@dataclass
class Log:
    """Entries that were written at random, without a seal that holds."""

    rows: list[AuditEntry]
    members: list[UUID]
    tokens: list[UUID]
    creators: dict[UUID, UUID | None]


def resource(rnd: random.Random) -> str:
    kinds = ("proj", "env", "flag")[: rnd.randint(1, 3)]
    return ":".join(f"{kind}/{rnd.choice(PARTS)}" for kind in kinds)


async def written(organisation: Organisation, rnd: random.Random, count: int = 150, also: UUID | None = None) -> Log:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    made = [
        await organisation.made(who, kind=TokenKind.SERVICE) for who in (organisation.owner, organisation.owner, admin)
    ]
    people = [caller.member.id for caller in (organisation.owner, admin) if caller.member]
    people.append(also or new_id())
    tokens = [done.row.id for done in made] + [new_id()]
    targets = [new_id() for _ in range(4)]
    account_id = organisation.account.id
    last = await AuditEntry.filter(account_id=account_id).order_by("-sequence").first()
    assert last
    rows, accesses, latest_at = [], [], START
    for sequence in range(last.sequence + 1, last.sequence + 1 + count):
        behalf, number = rnd.random() < 0.3, sequence - last.sequence - 1
        at = START + timedelta(minutes=2 * (number // 3), seconds=rnd.uniform(0, 4))
        if rnd.random() < 0.15:  # the clock was wrong
            at = START + timedelta(minutes=rnd.randrange(100))
        row = AuditEntry(
            account_id=account_id,
            sequence=sequence,
            at=at,
            set_back=True if at < latest_at - CLOCKS_DIFFER else None,
            request_id=rnd.choice(["first", "second", str(sequence)]),
            outcome=rnd.choice([Outcome.DONE, Outcome.DONE, Outcome.REFUSED]),
            actor_kind=rnd.choice([ActorKind.SESSION, ActorKind.SERVICE, ActorKind.SYSTEM]),
            member_id=rnd.choice([None, *people]),
            member_name=rnd.choice([None, *NAMES]),
            token_id=rnd.choice([None, *tokens]),
            token_name=rnd.choice([None, *NAMES]),
            token_ending=rnd.choice([None, "aaaa", "bbbb"]),
            address=rnd.choice(ADDRESSES),
            target_kind=rnd.choice(["proj", "env", "flag"]),
            target_id=rnd.choice(targets),
            target_resource="proj/web",
            target_name=rnd.choice(NAMES),
            target_member_id=rnd.choice([None, None, *people]),
            comment=rnd.choice([None, None, *NAMES]),
            reported_at=START if behalf else None,
            behalf_member_id=rnd.choice(people) if behalf else None,
            behalf_member_name=rnd.choice(NAMES) if behalf else None,
            behalf_token_id=rnd.choice(tokens) if behalf else None,
            behalf_token_name=rnd.choice(NAMES) if behalf else None,
            behalf_token_ending=rnd.choice(["aaaa", "bbbb", "cccc"]) if behalf else None,
            accesses=[
                {"action": rnd.choice(ACTIONS), "resource": resource(rnd)} for _ in range(rnd.choice([1, 1, 2, 3]))
            ],
            because=[],
            previous=f"previous {sequence}",
            seal=f"seal {sequence}",
        )
        rows.append(row)
        latest_at = max(at, latest_at)
        accesses += [AuditAccess(account_id=account_id, entry_id=row.id, sequence=sequence, **a) for a in row.accesses]
    await AuditEntry.bulk_create(rows)
    await AuditAccess.bulk_create(accesses)
    await AuditHead.filter(account_id=account_id).update(sequence=rows[-1].sequence)
    creators = {
        token.id: token.creator_id for token in await Token.filter(account_id=account_id, kind__not=TokenKind.SESSION)
    }
    everything = await AuditEntry.filter(account_id=account_id).order_by("sequence")
    return Log(everything, people, tokens, creators)


def drawn(log: Log, rnd: random.Random) -> EntryFilter:
    """Draw a filter of one to three things."""
    times = [START + timedelta(minutes=minutes) for minutes in (0, 10, 50, 90)]
    choices: dict[str, Sequence[Any]] = {
        "action": [*ACTIONS, "update*", "*On", "*d*e*", "*", "up_*"],
        "resource": [*SPECIFIERS, resource(rnd), resource(rnd)],
        "statements": [parse_policy(policy, "policy") for policy in POLICIES],
        "member_id": log.members,
        "token_id": log.tokens,
        "token_ending": ["aaaa", "cccc", "zzzz"],
        "creator_id": log.members,
        "actor_kind": list(ActorKind)[:4],
        "target_id": [log.rows[-1].target_id, log.rows[-2].target_id],
        "target_kind": ["proj", "flag", "role"],
        "outcome": list(Outcome),
        "is_reported": [True, False],
        "request_id": ["first", "third"],
        "network": [
            "192.0.2.1",
            "192.0.2.0/24",
            "192.0.0.0/19",
            "192.0.2.64/26",
            "0.0.0.0/0",
            "128.0.0.0/1",
            "2001:db8::1",
        ],
        "since": times,
        "until": times,
        "text": ["wand", "100%", "B_B", "ann", "nobody"],
    }
    assert choices.keys() == {field.name for field in fields(EntryFilter)}
    names = rnd.sample(list(choices), rnd.choice([1, 1, 2, 3]))
    return EntryFilter(**{name: rnd.choice(choices[name]) for name in names})


def matches(caller: Caller, log: Log, wanted: EntryFilter, row: AuditEntry) -> bool:
    """Read a filter plainly."""
    tests: dict[str, Callable[[Any], bool]] = {
        "member_id": lambda id_: id_ in (row.member_id, row.behalf_member_id),
        "token_id": lambda id_: id_ in (row.token_id, row.behalf_token_id),
        "token_ending": lambda ending: ending in (row.token_ending, row.behalf_token_ending),
        "creator_id": lambda id_: any(
            token and log.creators.get(token) == id_ for token in (row.token_id, row.behalf_token_id)
        ),
        "actor_kind": lambda kind: row.actor_kind is kind,
        "target_id": lambda id_: row.target_id == id_,
        "target_kind": lambda kind: row.target_kind == kind,
        "outcome": lambda outcome: row.outcome is outcome,
        "is_reported": lambda reported: (row.reported_at is not None) is reported,
        "request_id": lambda id_: row.request_id == id_,
        "network": lambda block: entries.shows_origin(caller, row) and comes_from(row.address, block),
        "since": lambda at: row.at >= at,
        "until": lambda at: row.at < at,
        "text": lambda text: any(text.lower() in (said or "").lower() for said in said_by(row)),
    }
    given = {field.name: value for field in fields(wanted) if (value := getattr(wanted, field.name)) is not None}
    return all(tests[name](value) for name, value in given.items() if name in tests) and any(
        took(wanted, access["action"], access["resource"]) for access in row.accesses
    )


def said_by(row: AuditEntry) -> list[str | None]:
    own = [row.target_name, row.member_name, row.token_name, row.comment]
    return [*own, row.behalf_member_name, row.behalf_token_name]


def comes_from(address: str | None, block: str) -> bool:
    try:
        given = ip_address((address or "").removeprefix("::ffff:"))
    except ValueError:
        return False
    return given in ip_network(block)


def took(wanted: EntryFilter, action: str, text: str) -> bool:
    found = Resource.parse(text)
    if wanted.statements is not None and not decide(wanted.statements, action, found):
        return False
    if wanted.action is not None and not decide(
        parse_policy([{"effect": "allow", "actions": [wanted.action], "resources": ["*"]}], ""), action, found
    ):
        return False
    if wanted.resource is None:
        return True
    above = Specifier.parse(wanted.resource.removesuffix(":*"))
    whole = found.ancestors if wanted.resource.endswith(":*") else (found,)
    return any(above.match(each, NO_ATTRIBUTES) is Match.SURE for each in whole)


async def walked(caller: Caller, wanted: EntryFilter, size: int, *, descending: bool, forward: bool) -> list[int]:
    """Read all pages, from one end to the other."""
    order = by_sequence(descending=descending)
    numbers: list[int] = []
    window = Window(order, size, forward=forward)
    for _ in range(1_000):
        page = await searching.search(caller, wanted, window)
        told = [row.sequence for row in page.rows]
        numbers = [*numbers, *told] if forward else [*told, *numbers]
        if not (page.has_next if forward else page.has_previous):
            return numbers
        last = page.reached or (page.rows[-1] if forward else page.rows[0])
        place = order.place("", order.cursor(last))
        window = replace(window, after=place) if forward else replace(window, before=place)
    raise AssertionError


async def test_filters_agree_with_a_plain_reading_whichever_way_one_pages(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnd = random.Random(6)  # noqa: S311 - to be the same again
    log = await written(organisation, rnd)
    found = cut = 0
    for _ in range(tries(80)):
        wanted = drawn(log, rnd)
        monkeypatch.setattr(searching, "STEPS", rnd.choice([(3,), (1, 2, 20), (20,) * 10, (1_000,)]))
        expected = [row.sequence for row in log.rows if matches(organisation.owner, log, wanted, row)]
        descending, forward = rnd.random() < 0.5, rnd.random() < 0.5
        size = rnd.choice([1, 7, 100])
        numbers = await walked(organisation.owner, wanted, size, descending=descending, forward=forward)
        assert numbers == (expected[::-1] if descending else expected), wanted
        rows = await (await entries.entries(organisation.owner, wanted)).order_by("sequence")
        assert [row.sequence for row in rows] == expected, wanted
        found += len(expected)
        cut += (await searching.search(organisation.owner, wanted, Window(by_sequence(), 100))).reached is not None
    assert found > 400
    assert cut > 4


async def test_filters_find_nothing_that_is_hidden(organisation: Organisation) -> None:
    rnd = random.Random(7)  # noqa: S311 - to be the same again
    somebody = await organisation.as_role(BuiltInRole.WRITER)
    assert somebody.member
    log = await written(organisation, rnd, also=somebody.member.id)
    log.creators = {}  # of no token that they see
    seen = [row for row in log.rows if somebody.sees(Action.VIEW_AUDIT_LOG, row)]
    assert 20 < len(seen) < len(log.rows)
    found = 0
    for _ in range(tries(60)):
        wanted = drawn(log, rnd)
        expected = [row.sequence for row in seen if matches(somebody, log, wanted, row)]
        assert await walked(somebody, wanted, 10, descending=False, forward=True) == expected, wanted
        found += len(expected)
    assert found > 80


async def test_the_address_is_found_only_where_it_is_shown(organisation: Organisation) -> None:
    somebody = await organisation.as_role(BuiltInRole.READER)
    assert somebody.member
    await members.update(organisation.owner, somebody.member.id, "Renamed", Said())
    window = Window(by_sequence(), 10)
    seen = await searching.search(somebody, EntryFilter(action="updateMemberName"), window)
    assert [row.target_name for row in seen.rows] == ["Renamed"]
    for network in ("192.0.2.1", "192.0.2.0/24"):
        wanted = EntryFilter(action="updateMemberName", network=network)
        assert not (await searching.search(somebody, wanted, window)).rows
        assert (await searching.search(organisation.owner, wanted, window)).rows


async def test_what_was_done_while_the_clock_was_set_back_says_so_and_is_found(
    organisation: Organisation, set_clock: SetClock
) -> None:
    owner, begin = organisation.owner, now()
    assert owner.member
    for minutes in (60, 0, 61):
        set_clock(begin + timedelta(minutes=minutes))
        await members.update(owner, owner.member.id, f"At {minutes}", Said())
    window, wanted = Window(by_sequence(), 10), EntryFilter(action="updateMemberName")
    every = (await searching.search(owner, wanted, window)).rows
    assert [row.set_back for row in every] == [None, True, None]
    for since, until, numbers in ((-1, 30, [1]), (30, None, [0, 2]), (None, 61, [0, 1]), (0, 62, [0, 1, 2])):
        of_time: dict[str, Any] = {
            name: None if minutes is None else begin + timedelta(minutes=minutes)
            for name, minutes in (("since", since), ("until", until))
        }
        page = await searching.search(owner, replace(wanted, **of_time), window)
        assert [row.sequence for row in page.rows] == [every[number].sequence for number in numbers]
    [found] = await verified(organisation)
    assert found.status == WHOLE


async def test_a_log_that_began_before_entries_said_that_the_clock_was_set_back_is_found_whole(
    organisation: Organisation, set_clock: SetClock, elsewhere: Elsewhere
) -> None:
    owner, begin = organisation.owner, now() + timedelta(hours=1)
    assert owner.member
    heads = AuditHead.filter(account_id=owner.account.id)
    for minute in (20, 120, 0, 60, 121, 125):
        set_clock(begin + timedelta(minutes=minute))
        await heads.update(latest_at=None)  # so that no entry knows of an earlier one
        await members.update(owner, owner.member.id, f"At {minute}", Said())
    await heads.update(latest_at=None)
    elsewhere(import_module("models.migrations.0011_clock").CLOCKED)
    head = await heads.get()
    assert (head.latest_at, head.clocked_from) == (begin + timedelta(minutes=125), head.sequence - 2)
    times = [begin + timedelta(minutes=minute) for minute in (10, 100, 121, 124.5, 127, 145)]
    for minutes, set_back in (((), []), ((30, 126, 128, 124, 150, 140, 160), [1, 4, 6])):
        for minute in minutes:
            set_clock(begin + timedelta(minutes=minute))
            await members.update(owner, owner.member.id, f"At {minute}", Said())
        log = await AuditEntry.filter(account_id=owner.account.id).order_by("sequence")
        assert [row.sequence - head.sequence for row in log if row.set_back] == set_back
        for clocked_from in (head.clocked_from, head.sequence):  # as if the last old one's clock was set back
            await heads.update(clocked_from=clocked_from)
            for since, until in product([None, *times], repeat=2):
                page = await searching.search(owner, EntryFilter(since=since, until=until), Window(by_sequence(), 100))
                of_time = [row for row in log if (not since or row.at >= since) and (not until or row.at < until)]
                assert [row.sequence for row in page.rows] == [row.sequence for row in of_time], (since, until)
    [found] = await verified(organisation)
    assert found.status == WHOLE


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (EntryFilter(resource="proj//x"), "filter.resource"),
        (EntryFilter(resource=":*"), "filter.resource"),
        (EntryFilter(network="nowhere"), "filter.address"),
        (EntryFilter(network="2001:db8::/32"), "filter.address"),
        (EntryFilter(network="192.0.2.1/24"), "filter.address"),
        (EntryFilter(text=""), "filter.text"),
        (EntryFilter(action=""), "filter.action"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    organisation: Organisation,
    sqlite: None,  # noqa: ARG001 - nothing is asked of the database
    wanted: EntryFilter,
    field: str,
) -> None:
    with pytest.raises(Invalid) as refused:
        await searching.search(organisation.owner, wanted, Window(by_sequence(), 10))
    assert refused.value.extensions["field"] == field
