"""Clients who change something all the time, and hold the server to whatever it acknowledged to them.

A change counts as acknowledged once its answer says so. What was answered with 503, or not at all, may have happened or
not; what was answered with 429 has not. All other answers are wrong, whatever happens to the server meanwhile. Beside
them others present what was made and what was ended, at every face.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Self

from tests.faults.faces import Answer, Face, answered, faces, post
from tests.faults.servers import PATIENCE_S

CREATE = """mutation {
  createToken(input: { name: "a token", scope: { builtInRole: READER } }) {
    secret token { id } auditEntry { sequence }
  }
}"""
REVOKE = 'mutation { revokeToken(input: { id: "%s" }) { token { state } auditEntry { sequence } } }'
STATES = "{ nodes(ids: %s) { ... on Token { id state } } auditEntries(first: 1) { nodes { sequence } } }"
PAGE = 50
KEPT_ALIVE = 3
"""How many tokens each writer leaves alive at least."""
PAUSE_S = 0.02
CHANGES = "changes"
LATE_S = 1.0
"""In under which time what one process ended is over in the others."""


@dataclass(frozen=True)
class Made:
    """A token whose making was acknowledged, and by which entry."""

    id: str
    secret: str = field(repr=False)
    sequence: int


class Checked(NamedTuple):
    """What was found missing of that which had been acknowledged: tokens, and where those that were ended got in."""

    lost: tuple[str, ...]
    undone: tuple[str, ...]


class Load:
    """Clients at work on one server, or on several, for as long as this is open."""

    def __init__(self, urls: Sequence[str], owner: str, faces: Mapping[str, Face], writers: int = 2) -> None:
        self._urls = urls
        self._owner = owner
        self._faces = faces
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
        self.refused = Counter[str]()
        """How often it was said that nothing can be done now, by the face; of changes by `CHANGES`."""
        self.hung_up = 0
        """How often there was no answer at all."""
        self.wrong: list[object] = []
        """What should never have been answered."""
        self.let_in: list[str] = []
        """What was ended, and let in all the same."""
        self._checked: set[str] = set()
        self._sequence = 0

    def __enter__(self) -> Self:
        looks = [partial(self._look, name, face) for name, face in self._faces.items()]
        works = [*([self._write] * self._writers), *looks]
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
        """Wait until it was said of so many more changes that they cannot be made now."""
        before, until = self.refused[CHANGES], time.monotonic() + PATIENCE_S
        while self.refused[CHANGES] < before + count:
            assert time.monotonic() < until, (self.hung_up, self.wrong[:3])
            time.sleep(0.01)

    def checked(self) -> Checked:
        """Hold the server to all that was acknowledged so far, with the secrets of what was since the last time."""
        made, ended = list(self.made.values()), set(self.ended)
        time.sleep(self._late_s)
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
                undone += self._let_in_at(token)
        while self.let_in:
            undone.append(self.let_in.pop())
        turned_away = [token for token in made[-PAGE:] if not self._is_let_in(self._faces["GraphQL"], token)]
        lost += [token.id for token in turned_away if not self._may_be_over(token)]
        return Checked(tuple(lost), tuple(undone))

    def _may_be_over(self, token: Made) -> bool:
        return token.id in self.unsure or token.id in self.ended

    def _states(self, ids: Sequence[str]) -> list[str | None]:
        sequence = self._sequence
        told = answered(partial(post, self._urls[0], STATES % json.dumps(ids), self._owner))
        assert told.status == 200, told
        assert "errors" not in told.body, told
        [last] = told.body["data"]["auditEntries"]["nodes"]
        assert last["sequence"] >= sequence, "the end of the log is lost"
        return [node and node["state"] for node in told.body["data"]["nodes"]]

    def _let_in_at(self, token: Made) -> list[str]:
        faces = self._faces.items()
        return [f"{token.id} at {name}" for name, face in faces if self._is_let_in(face, token)]

    def _is_let_in(self, face: Face, token: Made) -> bool:
        told = answered(partial(face, self._urls[0], token.secret))
        assert told.is_yes or told.is_no, told
        return told.is_yes

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
        told = self._told(CHANGES, partial(post, random.choice(self._urls), query, self._owner))  # noqa: S311 - no secret
        if told is None:
            return None
        if told.status != 200 or "errors" in told.body:
            self.wrong.append(told)
            return None
        return told.body["data"]

    def _told(self, where: str, ask: Callable[[], Answer | None]) -> Answer | None:
        told = ask()
        if told is None:
            self.hung_up += 1
        elif told.is_away:
            self.refused[where] += 1
        elif not told.is_busy:
            return told
        self._over.wait(0.1)
        return None

    def _look(self, name: str, face: Face) -> None:
        """Present what was ended, which no answer may let in, and what was not, which none may turn away."""
        while not self._over.wait(PAUSE_S):
            url = random.choice(self._urls)  # noqa: S311 - no secret
            for token in self._some():
                began_s, may_live = time.monotonic(), not self._may_be_over(token)
                told = self._told(name, partial(face, url, token.secret))
                if told is None:
                    continue
                since_s = began_s - self.ended.get(token.id, began_s)
                if told.is_yes and since_s > self._late_s:
                    self.let_in.append(f"{token.id} at {name}, {since_s:.3f} s after its end")
                elif told.is_no and may_live and not self._may_be_over(token):
                    self.wrong.append((f"it lives, and was turned away at {name}", told))
                elif not (told.is_yes or told.is_no):
                    self.wrong.append((name, told))

    @property
    def _late_s(self) -> float:
        """For how long after its end a token may be let in."""
        return LATE_S if len(self._urls) > 1 else 0.0

    def _some(self) -> Iterator[Made]:
        """Choose tokens, of which some have just been made: what memory knows of them is what ends next."""
        made = list(self.made.values())[-4 * PAGE :]
        for among in (made, made[-2 * self._writers * KEPT_ALIVE :]):
            yield from random.sample(among, min(len(among), 2))


@contextmanager
def pressed(urls: Sequence[str], owner: str, writers: int = 2) -> Iterator[Load]:
    """Have clients at work, see that nothing was answered wrong, and that nothing is missing at the end."""
    with Load(urls, owner, faces(urls[0], owner), writers) as load:
        load.until_acknowledged(5)
        yield load
    assert not load.wrong, load.wrong[:5]
    assert not load.let_in, load.let_in[:5]
