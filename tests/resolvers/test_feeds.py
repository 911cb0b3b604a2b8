"""The log delivered outside: every entry, in its order, to real files, collectors and webhooks, whatever goes wrong."""

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from core.errors import Forbidden
from core.vocabulary import BuiltInRole
from models import AuditEntry, Feed, NoticeKind, Webhook, WebhookEvent, now
from resolvers import events, feeds, kinds, members, webhooks
from resolvers.feeds import BATCH, FIRST_DELAY_S, LEASE_S, feed
from resolvers.house import House
from resolvers.sinks import FileSink, Sink, SyslogSink
from resolvers.webhooks import NewWebhook, WebhookChange
from resolvers.writing import Done, Said
from tests.organisation import PROJ, Organisation
from tests.resolvers.conftest import SetClock
from tests.web.receiver import Received, Receiver

SECOND = timedelta(seconds=1)


def into(organisation: Organisation, **sinks: Sink) -> House:
    return replace(organisation.house, entry_sinks=sinks)


async def hooked(organisation: Organisation, url: str) -> Done[Webhook]:
    return await webhooks.create(organisation.owner, NewWebhook(url, "SIEM", [WebhookEvent.AUDIT_ENTRY]), Said())


async def renamed(organisation: Organisation, *names: str) -> None:
    assert organisation.owner.member
    for name in names:
        await members.update(organisation.owner, organisation.owner.member.id, name, Said())


async def expected(after: int = 0) -> list[dict[str, Any]]:
    rows = await AuditEntry.filter(sequence__gt=after).order_by("sequence").select_related("account")
    return [events.event(row.account, row) for row in rows]


def batches(received: Sequence[Received], secret: str) -> list[dict[str, Any]]:
    """Read what a webhook got, as a receiver does."""
    assert {request.headers["content-type"] for request in received} <= {"application/cloudevents-batch+json"}
    return [event for request in received for event in request.verified(secret)]


def sequences(told: Sequence[dict[str, Any]]) -> list[int]:
    return [event["data"]["sequence"] for event in told]


@dataclass
class Collector:
    """A collector of syslog over TCP, which keeps what comes."""

    received: bytearray = field(default_factory=bytearray)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read()
        writer.close()
        async with self.heard:
            self.received += received
            self.heard.notify_all()

    @property
    def messages(self) -> list[bytes]:
        """The messages, as RFC 6587 counts their octets."""
        found, rest = [], bytes(self.received)
        while rest:
            length, _, rest = rest.partition(b" ")
            found.append(rest[: int(length)])
            rest = rest[int(length) :]
        return found


async def test_a_file_a_collector_and_a_webhook_get_the_same_events(
    sending: Organisation, receiver: Receiver, tmp_path: Path
) -> None:
    collector, file = Collector(), tmp_path / "entries.jsonl"
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    house = into(sending, file=FileSink(file), syslog=SyslogSink.parse(url, "audit-entry"))
    made = await hooked(sending, receiver.url)
    assert made.entry
    await renamed(sending, "ü", "two")
    for _ in range(2):
        await feed(house)
    await renamed(sending, *map(str, range(BATCH)))
    await feed(house)
    wanted = await expected()
    assert [json.loads(line) for line in file.read_bytes().splitlines()] == wanted
    assert batches(receiver.received, made.secret or "") == wanted[made.entry.sequence - 1 :]
    assert len(receiver.received) == 2
    async with asyncio.timeout(30), collector.heard:
        await collector.heard.wait_for(lambda: len(collector.messages) >= len(wanted))
    server.close()
    heads, _, texts = zip(*(message.partition(b" - {") for message in collector.messages), strict=True)
    assert [json.loads(b"{" + text) for text in texts] == wanted
    assert {(head.split()[0], *head.split()[3:4], head.split()[5]) for head in heads} == {
        (b"<109>1", b"latchkey", b"audit-entry")
    }
    assert {row.sequence for row in await Feed.all()} == {len(wanted)}


async def test_entries_are_cloud_events_to_somebody_elses_reader(sending: Organisation, tmp_path: Path) -> None:
    await renamed(sending, "a")
    await feed(into(sending, file=FileSink(tmp_path / "entries")))
    rows = await AuditEntry.all().order_by("sequence")
    read = [JSONFormat().read(CloudEvent, line) for line in (tmp_path / "entries").read_bytes().splitlines()]
    assert len({event.get_id() for event in read}) == len(rows)
    for event, row in zip(read, rows, strict=True):
        assert event.get_specversion() == "1.0"
        assert event.get_source() == f"urn:uuid:{sending.account.id}"
        assert event.get_type() == f"latchkey.audit.{row.accesses[0]['action']}"
        assert event.get_subject() == row.target_resource
        assert event.get_time() == row.at
        assert event.get_datacontenttype() == "application/json"
        assert (event.get_extension("account"), int(event.get_extension("sequence"))) == ("main", row.sequence)
        assert event.get_data() == events.shown(row)


async def test_what_fails_is_tried_again_in_order_and_nothing_is_lost(
    sending: Organisation, receiver: Receiver, set_clock: SetClock
) -> None:
    made = await hooked(sending, receiver.url)
    receiver.statuses = [500, 503, 200]
    begin = now()
    await feed(sending.house)
    await renamed(sending, "while it fails")
    await feed(sending.house)  # spared
    assert len(receiver.received) == 1
    row = await Feed.get()
    assert (row.failures, row.error) == (1, "the answer was 500")
    assert (await Webhook.get()).failing_since
    for turn in (1, 2):
        set_clock(begin + turn * 10 * FIRST_DELAY_S * SECOND)
        await feed(sending.house)
    assert (await Webhook.get()).failing_since is None
    first, second, third = receiver.received
    assert first.message_id != second.message_id == third.message_id  # an entry had come
    assert made.entry
    assert batches([third], made.secret or "") == await expected(made.entry.sequence - 1)
    row = await Feed.get()
    assert (row.failures, row.error) == (0, None)

    receiver.statuses = [410]
    await renamed(sending, "gone")
    await feed(sending.house)
    assert (await Webhook.get()).disabled_at
    receiver.statuses = [200]
    set_clock(begin + timedelta(minutes=2))  # due, but disabled
    await feed(sending.house)
    assert len(receiver.received) == 4
    await Feed.all().update(next_at=begin + timedelta(hours=1))  # forgiven as well, once it is enabled
    await webhooks.update(sending.owner, made.row.id, WebhookChange(enabled=True), Said())
    await feed(sending.house)
    told = batches([third, *receiver.received[4:]], made.secret or "")
    assert sequences(told) == list(range(made.entry.sequence, len(await expected()) + 1))


@dataclass
class Dying:
    """A file that is written, and then the process dies, as many times as is said."""

    path: Path
    deaths: int
    longest: ClassVar[None] = None

    async def deliver(self, lines: Sequence[bytes]) -> None:
        await FileSink(self.path).deliver(lines)
        self.deaths -= 1
        if self.deaths >= 0:
            raise asyncio.CancelledError


async def test_what_a_process_took_along_when_it_died_another_delivers(
    sending: Organisation, tmp_path: Path, set_clock: SetClock
) -> None:
    file = tmp_path / "entries"
    await renamed(sending, "a")
    begin = now()
    for turn in range(2):
        set_clock(begin + turn * (LEASE_S + 1) * SECOND)
        await feed(into(sending, file=Dying(file, deaths=1)))
        await feed(into(sending, file=FileSink(file)))  # too early
    set_clock(begin + 2 * (LEASE_S + 1) * SECOND)
    await feed(into(sending, file=FileSink(file)))
    wanted, told = await expected(), [json.loads(line) for line in file.read_bytes().splitlines()]
    assert told == 3 * wanted
    assert list({event["id"]: event for event in told}.values()) == wanted  # as docs/audit.md says


async def test_of_several_processes_one_delivers_and_one_that_is_late_stops(
    sending: Organisation, tmp_path: Path
) -> None:
    file = tmp_path / "entries"
    await renamed(sending, *map(str, range(20)))
    house = into(sending, file=FileSink(file))
    await asyncio.gather(*(feed(replace(house)) for _ in range(5)))
    wanted = await expected()
    assert [json.loads(line) for line in file.read_bytes().splitlines()] == wanted

    @dataclass
    class Slow(Dying):
        async def deliver(self, lines: Sequence[bytes]) -> None:
            await FileSink(self.path).deliver(lines)
            await Feed.all().update(turn=1_000)  # as if its time was over, and another had taken it

    await renamed(sending, *map(str, range(20, 21 + BATCH)))
    await feed(into(sending, file=Slow(file, 0)))
    row = await Feed.get()
    assert (row.sequence, len(file.read_bytes().splitlines())) == (len(wanted), len(wanted) + BATCH)


async def test_what_is_changed_of_a_webhook_holds_from_the_next_batch_on(
    sending: Organisation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BATCH", 2)
    made = await hooked(sending, receiver.url)
    await renamed(sending, *map(str, range(5)))
    deeds = [WebhookChange(url=f"{receiver.url}/elsewhere"), WebhookChange(enabled=False)]

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        if deeds:
            await webhooks.update(sending.owner, made.row.id, deeds.pop(0), Said())
        return await sending.house.post(url, headers, body)

    await feed(replace(sending.house, post=post))
    assert [request.path for request in receiver.received] == ["/hook", "/hook/elsewhere"]
    await webhooks.update(sending.owner, made.row.id, WebhookChange(enabled=True), Said())
    await feed(sending.house)
    assert made.entry
    told = sequences(batches(receiver.received, made.secret or ""))
    assert told == list(range(made.entry.sequence, len(await expected()) + 1))


async def test_one_that_always_lags_holds_up_no_other(
    sending: Organisation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BATCH", 2)
    monkeypatch.setattr(feeds, "CONCURRENT", 1)
    await hooked(sending, f"{receiver.url}/one")
    await renamed(sending, *map(str, range(5)))
    await hooked(sending, f"{receiver.url}/two")
    await feed(sending.house)
    assert "/hook/two" in [request.path for request in receiver.received][:2]


async def test_a_clock_that_ran_ahead_stops_nothing_and_what_always_fails_is_told(
    sending: Organisation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await hooked(sending, receiver.url)
    with monkeypatch.context() as ahead:
        ahead.setattr(feeds, "now", lambda: now() + timedelta(days=1))
        await feed(sending.house)
    await renamed(sending, "later")
    await feed(sending.house)
    assert len(receiver.received) == 2
    await renamed(sending, "broken")
    await Webhook.filter(id=made.row.id).update(url="http://[")  # no URL was ever like this
    await feed(sending.house)
    row = await Feed.get()
    assert (row.failures, row.error) == (1, "the server could not send it: its log says why")
    assert (await Webhook.get()).failing_since


async def test_a_webhook_takes_the_sight_of_all_that_it_gets(sending: Organisation, receiver: Receiver) -> None:
    hook = {"effect": "allow", "actions": ["createWebhook", "updateWebhook", "viewWebhook"], "resources": ["webhook/*"]}
    sights = [
        ("viewAuditLog", "acct"),
        ("viewAuditChanges", "acct"),
        ("viewMemberEmail", "member/*"),
        ("viewRole", "role/*"),
        ("viewRolePolicy", "role/*"),
    ]
    wanted = NewWebhook(receiver.url, events=[WebhookEvent.AUDIT_ENTRY])
    for count in range(len(sights) + 1):
        policy = [{"effect": "allow", "actions": [action], "resources": [on]} for action, on in sights[:count]]
        role = await sending.role(f"r{count}", hook, *policy)
        caller = await sending.session(await sending.member(custom=(role,)))
        if count == len(sights):
            await webhooks.create(caller, wanted, Said())
            continue
        with pytest.raises(Forbidden, match=f"needs `{sights[count][0]}`"):
            await webhooks.create(caller, wanted, Said())
        if count:
            made = await webhooks.create(caller, NewWebhook(receiver.url, events=[WebhookEvent.LEAKED]), Said())
            with pytest.raises(Forbidden, match=f"needs `{sights[count][0]}`"):
                await webhooks.update(caller, made.row.id, WebhookChange(events=wanted.events), Said())
    admin = await sending.as_role(BuiltInRole.ADMIN)
    made = await webhooks.create(admin, NewWebhook(receiver.url), Said())
    assert await Feed.all().count() == 1
    changed = await webhooks.update(admin, made.row.id, WebhookChange(events=wanted.events), Said())
    assert changed.entry
    begun = await Feed.get(webhook_id=made.row.id)
    assert begun.sequence == changed.entry.sequence - 1
    await webhooks.update(admin, made.row.id, WebhookChange(events=[WebhookEvent.LEAKED]), Said())
    assert not await Feed.exists(webhook_id=made.row.id)


@pytest.mark.usefixtures("sqlite")
async def test_an_entry_that_fits_in_no_datagram_comes_shortened(sending: Organisation) -> None:
    actions = tuple(replace(PROJ.actions[1], key=f"do{n}", description=120 * "ü") for n in range(120))
    await kinds.define(sending.owner, replace(PROJ, key="large", actions=actions), Said())
    [*_, last] = await expected()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        await Feed.create(
            account_id=sending.account.id, place="syslog", sequence=len(await expected()) - 2, next_at=now()
        )
        url = f"udp://127.0.0.1:{collector.getsockname()[1]}"
        await feed(into(sending, syslog=SyslogSink.parse(url, "audit-entry")))
        got = [json.loads(b"{" + collector.recv(2**16).partition(b" - {")[2]) for _ in range(2)]
    assert len(events.written(last)) > 60_000
    assert "shortened" not in got[0]["data"]
    assert got[1] == events.shortened(last)
    assert got[1]["data"]["shortened"] is True
    assert got[1]["data"]["title"] == last["data"]["title"]


@pytest.mark.usefixtures("sqlite")
async def test_a_line_that_was_torn_spoils_no_other(sending: Organisation, tmp_path: Path) -> None:
    file = tmp_path / "entries"
    file.write_bytes(b'{"specversion":"1.0","id":"half')
    await feed(into(sending, file=FileSink(file)))
    torn, *lines = file.read_bytes().splitlines()
    assert torn.endswith(b"half")
    assert [json.loads(line) for line in lines] == await expected()


async def test_lines_of_several_at_once_are_whole_and_none_is_empty(tmp_path: Path) -> None:
    sinks = [FileSink(tmp_path / "entries") for _ in range(8)]
    lines = [b"x" * 100_000] * 5
    await asyncio.gather(*(sink.deliver([line]) for line in lines for sink in sinks))
    assert (tmp_path / "entries").read_bytes().splitlines() == lines * 8


def test_a_webhook_may_ask_for_each_kind_of_notice() -> None:
    assert {event.value for event in WebhookEvent} == {kind.value for kind in NoticeKind} | {"AUDIT_ENTRY"}
