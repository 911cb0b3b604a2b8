"""Clients who change something all the time, and hold the server to whatever it acknowledged to them.

A change counts as acknowledged once its answer says so. What was answered with 503, or not at all, may have happened or
not; what was answered with 429 has not. All other answers are wrong, whatever happens to the server meanwhile.
"""

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from tests.faults.servers import PATIENCE_S

CREATE = """mutation {
  createToken(input: { name: "a token", scope: { builtInRole: READER } }) {
    secret token { id } auditEntry { sequence }
  }
}"""
REVOKE = 'mutation { revokeToken(input: { id: "%s" }) { token { state } auditEntry { sequence } } }'
VIEWER = "{ viewer { account { key } } }"
STATES = "{ nodes(ids: %s) { ... on Token { id state } } auditEntries(first: 1) { nodes { sequence } } }"
PAGE = 50
KEPT_ALIVE = 3
"""How many tokens each writer leaves alive at least."""
PAUSE_S = 0.02
LATE_S = 1.0
"""In under which time what one process ended is over in the others."""


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    retry_after: str | None
    body: Any

    @property
    def is_away(self) -> bool:
        """Whether it says, as it should, that it can do nothing now."""
        if self.status != 503 or not (self.retry_after or "").isdecimal():
            return False
        codes = {error["extensions"]["code"] for error in self.body["errors"]}
        return codes == {"UNAVAILABLE"}

    @property
    def is_busy(self) -> bool:
        """Whether it says that too much is asked at once with the same credential."""
        return self.status == 429 and (self.retry_after or "").isdecimal()


def post(url: str, query: str, credential: str) -> Answer | None:
    """Ask on a connection of its own; None if that ended without an answer. Raises TimeoutError."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    headers = {"Content-Type": "application/json", "Authorization": credential}
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query}), headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers["Retry-After"], json.loads(answer.read()))
    except TimeoutError:
        raise
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


@dataclass(frozen=True)
class Made:
    """A token whose making was acknowledged, and by which entry."""

    id: str
    secret: str = field(repr=False)
    sequence: int


class Checked(NamedTuple):
    """What was found missing of that which had been acknowledged."""

    lost: tuple[str, ...]
    undone: tuple[str, ...]


class Load:
    """Clients at work on one server, or on several, for as long as this is open."""

    def __init__(self, urls: Sequence[str], owner: str, writers: int = 2) -> None:
        self._urls = urls
        self._owner = owner
        self._writers = writers
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.made: dict[str, Made] = {}
        self.ended: dict[str, float] = {}
        """Tokens whose end was acknowledged, and when."""
        self.unsure: set[str] = set()
        """Tokens whose end was asked for, and not acknowledged."""
        self.acknowledged: list[float] = []
        """When each change was acknowledged."""
        self.refused = 0
        """How often it was said that nothing can be done now."""
        self.hung_up = 0
        """How often there was no answer at all."""
        self.wrong: list[object] = []
        """What should never have been answered."""
        self._checked: set[str] = set()
        self._sequence = 0

    def __enter__(self) -> Self:
        works = [*([self._write] * self._writers), self._look]
        self._threads = [threading.Thread(target=self._until_over, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def until_acknowledged(self, count: int, since_s: float | None = None) -> float:
        """Wait until so many more changes were acknowledged; returns when the first of them was."""
        begin_s = time.monotonic() if since_s is None else since_s
        until = time.monotonic() + PATIENCE_S
        while True:
            later = [at_s for at_s in list(self.acknowledged) if at_s > begin_s]
            if len(later) >= count:
                return later[0]
            assert time.monotonic() < until, (len(later), self.refused, self.hung_up, self.wrong[:3])
            assert any(thread.is_alive() for thread in self._threads)
            time.sleep(0.01)

    def until_refused(self, count: int = 1) -> None:
        """Wait until it was said so many more times that nothing can be done now."""
        before, until = self.refused, time.monotonic() + PATIENCE_S
        while self.refused < before + count:
            assert time.monotonic() < until, (self.hung_up, self.wrong[:3])
            time.sleep(0.01)

    def checked(self) -> Checked:
        """Hold the server to all that was acknowledged so far, with the secrets of what was since the last time."""
        made, ended = list(self.made.values()), set(self.ended)
        lost: list[str] = []
        undone: list[str] = []
        for begin in range(0, len(made), PAGE):
            some = made[begin : begin + PAGE]
            for token, state in zip(some, self._states([token.id for token in some]), strict=True):
                if token.id in ended:
                    (undone if state == "ACTIVE" else [] if state == "REVOKED" else lost).append(token.id)
                elif state != "ACTIVE" and not self._may_be_over(token):
                    lost.append(token.id)
        for token in made:
            if token.id in ended and token.id not in self._checked:
                self._checked.add(token.id)
                if self._is_let_in(token.secret):
                    undone.append(token.id)
        turned_away = [token for token in made[-PAGE:] if not self._is_let_in(token.secret)]
        lost += [token.id for token in turned_away if not self._may_be_over(token)]
        return Checked(tuple(lost), tuple(undone))

    def _may_be_over(self, token: Made) -> bool:
        return token.id in self.unsure or token.id in self.ended

    def _states(self, ids: Sequence[str]) -> list[str | None]:
        sequence = self._sequence
        told = self._answered(STATES % json.dumps(ids), self._owner)
        assert told.status == 200, told
        assert "errors" not in told.body, told
        [last] = told.body["data"]["auditEntries"]["nodes"]
        assert last["sequence"] >= sequence, "the end of the log is lost"
        return [node and node["state"] for node in told.body["data"]["nodes"]]

    def _is_let_in(self, secret: str) -> bool:
        told = self._answered(VIEWER, secret)
        assert told.status in {200, 401}, told
        return told.status == 200

    def _answered(self, query: str, credential: str) -> Answer:
        """Ask until there is an answer: what was met last may still be on its way."""
        until = time.monotonic() + PATIENCE_S
        while (answer := post(self._urls[0], query, credential)) is None or answer.is_away or answer.is_busy:
            assert time.monotonic() < until
            time.sleep(0.1)
        return answer

    def _until_over(self, work: Any) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a client that stops would be missed
            self.wrong.append(error)

    def _write(self) -> None:
        mine: list[str] = []
        while not self._over.wait(PAUSE_S):
            token_id = self._make()
            if token_id is not None:
                mine.append(token_id)
            if len(mine) > KEPT_ALIVE:
                self._end(mine.pop(random.randrange(len(mine))))  # noqa: S311 - no secret

    def _make(self) -> str | None:
        made = self._changed(CREATE)
        if made is None:
            return None
        entry = made["createToken"]
        token = Made(entry["token"]["id"], entry["secret"], entry["auditEntry"]["sequence"])
        self.made[token.id] = token
        self._acknowledge(token.sequence)
        return token.id

    def _end(self, token_id: str) -> None:
        self.unsure.add(token_id)
        ended = self._changed(REVOKE % token_id)
        if ended is None:
            return
        self.ended[token_id] = time.monotonic()
        self.unsure.discard(token_id)
        self._acknowledge((ended["revokeToken"]["auditEntry"] or {"sequence": 0})["sequence"])

    def _acknowledge(self, sequence: int) -> None:
        self._sequence = max(self._sequence, sequence)
        self.acknowledged.append(time.monotonic())

    def _changed(self, query: str) -> Any:
        """Ask for a change; returns what came of it, or None where that is not known."""
        told = self._told(random.choice(self._urls), query, self._owner)  # noqa: S311 - no secret
        if told is None:
            return None
        if told.status != 200 or "errors" in told.body:
            self.wrong.append(told)
            return None
        return told.body["data"]

    def _told(self, url: str, query: str, credential: str) -> Answer | None:
        told = post(url, query, credential)
        if told is None:
            self.hung_up += 1
        elif told.is_away:
            self.refused += 1
        elif not told.is_busy:
            return told
        self._over.wait(0.1)
        return None

    def _look(self) -> None:
        """Present what was ended, which no answer may let in, and what was not, which none may turn away."""
        while not self._over.wait(PAUSE_S):
            url = random.choice(self._urls)  # noqa: S311 - no secret
            for token in self._some():
                began_s, may_live = time.monotonic(), not self._may_be_over(token)
                told = self._told(url, VIEWER, token.secret)
                if told is None:
                    continue
                if not may_live:
                    since_s = began_s - self.ended.get(token.id, began_s)
                    if told.status == 200 and since_s > (LATE_S if len(self._urls) > 1 else 0):
                        self.wrong.append(("it was ended, and let in", since_s, token))
                elif told.status != 200 and not self._may_be_over(token):
                    self.wrong.append(("it lives, and was turned away", told))

    def _some(self) -> Iterator[Made]:
        made = list(self.made.values())[-4 * PAGE :]
        yield from random.sample(made, min(len(made), 3))


@contextmanager
def pressed(urls: Sequence[str], owner: str, writers: int = 2) -> Iterator[Load]:
    """Have clients at work, see that nothing was answered wrong, and that nothing is missing at the end."""
    with Load(urls, owner, writers) as load:
        load.until_acknowledged(5)
        yield load
    assert not load.wrong, load.wrong[:5]
