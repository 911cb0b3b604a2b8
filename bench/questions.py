"""What a page of 50 entries of the audit log costs for each filter, in a short log and in a long one.

Both logs are served at the same time, by a server each, and asked in turns: what else the machine does, it does to
both.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import bulk
from bench.load import answered, say
from bench.organisation import Organisation, founded, latchkey
from bench.postgres import postgres
from bench.results import keep
from core.ids import global_id

LENGTHS = (10_000, 1_000_000)
BEGAN_S = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
EVERY_S = 20
_MEMBER, _TOKEN, _TARGET = 5, 6, 7
ACTION = "CASE i % 50 WHEN 0 THEN 'deleteFlag' WHEN 1 THEN 'updateName' ELSE 'updateOn' END"
RESOURCE = "'proj/p' || (i % 100) || ':env/e' || (i % 2) || ':flag/f' || (i % 50)"
QUERY = """query ($filter: AuditEntryFilter) { auditEntries(first: 50, filter: $filter) {
  nodes { id sequence at title } pageInfo { hasNextPage endCursor } } }"""
DEEDS = "{ tokens(first: 50) { nodes { name creator { name } deeds(first: 3) { nodes { at title } } } } }"


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=30, help="how often each log is asked each question (default 30)")
    asked.add_argument("--on", choices=("sqlite", "postgresql"), nargs="*", default=["sqlite", "postgresql"])
    options = asked.parse_args()
    keep("questions", measured(options.on, options.rounds))


@dataclass(frozen=True, slots=True)
class Log:
    """A log of some length, and whoever may see all of it."""

    length: int
    organisation: Organisation

    def asked(self, filter_: Mapping[str, Any] | None) -> float:
        """Ask for a page; gives the milliseconds it took."""
        query, variables = (DEEDS, {}) if filter_ is None else (QUERY, {"filter": filter_})
        target = self.organisation.server.question(query, self.organisation.sessions["owner"], **variables)
        begin = time.perf_counter()
        said = answered(target)
        took_ms = (time.perf_counter() - begin) * 1000
        assert b'"errors"' not in said, said  # noqa: S101 - what is wrong is no figure
        return took_ms


def measured(on: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure on each kind of database."""
    figures: dict[str, Any] = {}
    for kind in on:
        say(f"on {kind}")
        with ExitStack() as stack:
            logs = [_log(stack, kind, length) for length in LENGTHS]
            figures[kind] = {name: _page(name, logs, rounds) for name in _filters(logs[0])}
    return figures


def _log(stack: ExitStack, kind: str, length: int) -> Log:
    database = stack.enter_context(stack.enter_context(postgres()).database()) if kind == "postgresql" else None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
    with latchkey(folder, database) as server:
        organisation = founded(server)
    place = bulk.place(folder, database)
    otherwise = bulk.Otherwise(dict(_entries(place, organisation)), {"action": ACTION, "resource": RESOURCE})
    bulk.multiply_entries(place, 1, length, otherwise=otherwise)
    server = stack.enter_context(latchkey(folder, database))
    return Log(length, Organisation(server, "main", organisation.sessions, organisation.members, organisation.tokens))


def _entries(place: bulk.Place, organisation: Organisation) -> Iterator[tuple[str, str]]:
    """Say what differs from entry to entry. Most values are of one in a hundred, so that the short log fills a page."""
    yield "at", place.at(f"{BEGAN_S} + i * {EVERY_S}")
    yield "request_id", "'bench-' || i"
    yield "outcome", "CASE i % 100 WHEN 3 THEN 'REFUSED' ELSE 'DONE' END"
    yield "actor_kind", "CASE i % 4 WHEN 0 THEN 'SESSION' ELSE 'PERSONAL' END"
    yield "member_id", place.id(_MEMBER, "i % 100")
    made = organisation.tokens["limited"].uuid
    yield "token_id", f"CASE i % 100 WHEN 7 THEN {_literal(place, made)} ELSE {place.id(_TOKEN, 'i % 100')} END"
    yield "token_ending", "substr(CAST(10000 + i % 100 AS text), 2, 4)"
    yield "address", "'198.51.100.' || (i % 128)"
    yield "target_id", place.id(_TARGET, "i % 100")
    yield "target_kind", "CASE i % 200 WHEN 0 THEN 'flag' ELSE 'token' END"
    yield "target_name", "'Thing ' || i"
    yield "comment", "CASE i % 100 WHEN 1 THEN 'a needle' WHEN 2 THEN 'hay' END"
    text = f'\'[{{"action":"\' || {ACTION} || \'","resource":"\' || {RESOURCE} || \'"}}]\''
    yield "accesses", place.json(text)


def _literal(place: bulk.Place, uuid: str) -> str:
    return f"CAST('{uuid}' AS uuid)" if isinstance(place, bulk.Tables) else f"'{uuid}'"


def _filters(log: Log) -> dict[str, Mapping[str, Any] | None]:
    """Write the questions to a log; None is the one about tokens."""
    half = datetime.fromtimestamp(BEGAN_S + log.length // 2 * EVERY_S, UTC).isoformat()
    early = datetime.fromtimestamp(BEGAN_S + log.length // 100 * EVERY_S, UTC).isoformat()
    actor = global_id("Member", _id(_MEMBER, 11))
    flags = {"effect": "ALLOW", "actions": ["update*"], "resources": ["proj/p4:env/*:flag/*"]}
    return {
        "nothing": {},
        "actor": {"actor": actor},
        "token": {"token": global_id("Token", _id(_TOKEN, 12))},
        "tokenEnding": {"tokenEnding": "0012"},
        "tokenCreator": {"tokenCreator": log.organisation.members["writer"]},
        "actorKind": {"actorKind": "SESSION"},
        "target": {"target": global_id("Token", _id(_TARGET, 13))},
        "targetKind": {"targetKind": "flag"},
        "action": {"action": "deleteFlag"},
        "action, a glob": {"action": "delete*"},
        "resource": {"resource": "proj/p4:env/e0:flag/f4"},
        "resource, a specifier": {"resource": "proj/p4:env/*:flag/*"},
        "statements": {"statements": [flags]},
        "outcome": {"outcome": "REFUSED"},
        "source": {"source": "INTEGRATION"},
        "requestId": {"requestId": "bench-777"},
        "address": {"address": "198.51.100.9"},
        "address, a block": {"address": "198.51.100.0/28"},
        "since": {"since": half},
        "until": {"until": half},
        "until, early": {"until": early},
        "text": {"text": "needle"},
        "text, of nothing": {"text": "no such text"},
        "actor, until": {"actor": actor, "until": half},
        "action, outcome, since, until": {"action": "update*", "outcome": "DONE", "since": early, "until": half},
        "deeds of 50 tokens": None,
    }


def _id(kind: int, number: int) -> str:
    return f"0190000{kind}-{number >> 12:04x}-7{number & 4095:03x}-8000-{number:012x}"


def _page(name: str, logs: Sequence[Log], rounds: int) -> dict[str, float]:
    """Ask all logs in turns."""
    took: dict[int, list[float]] = {log.length: [] for log in logs}
    for round_ in range(rounds + 2):
        for log in logs:
            took_ms = log.asked(_filters(log)[name])
            if round_ > 1:  # the first ones are read from the disk
                took[log.length].append(took_ms)
    figures = {str(length): statistics.median(each) for length, each in took.items()}
    short, long = figures.values()
    say(f"{name:32} {short:8.1f} ms {long:8.1f} ms  {long / short:5.2f}")
    return figures


if __name__ == "__main__":
    main()
