"""Reading a JSON document that somebody wrote: every problem is named by its place, and several are told at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.errors import Invalid, Unfit
from core.policy import suggest

MOST_PROBLEMS = 20


@dataclass(slots=True)
class Problems:
    """What was found wrong so far. `Unfit` is raised by `settle`, or as soon as there are enough."""

    found: list[Invalid] = field(default_factory=list)

    @contextmanager
    def noted(self, beneath: str = "") -> Iterator[None]:
        """Note an `Invalid` that is raised inside, beneath a path, and go on after it."""
        try:
            yield
        except Invalid as problem:
            self.note(f"{beneath}.{problem.field}" if beneath else problem.field, problem.problem)

    def note(self, where: str, problem: str) -> None:
        """Note a problem; of one field only the first."""
        if any(known.field == where for known in self.found):
            return
        self.found.append(Invalid(where, problem))
        if len(self.found) == MOST_PROBLEMS:
            self.settle()

    def settle(self) -> None:
        """Raise `Unfit` if there are any."""
        if self.found:
            raise Unfit(self.found)


@dataclass(frozen=True, slots=True)
class Given:
    """An object of the document. What is not of the type asked for is noted, and something of the type stands in."""

    raw: Mapping[str, object]
    field: str
    problems: Problems

    @classmethod
    def read(cls, raw: object, field: str, known: Sequence[str], problems: Problems) -> "Given":
        """Read an object of which only these fields are known."""
        if not isinstance(raw, Mapping):
            problems.note(field or "document", "must be an object")
            raw = {}
        given = cls(raw, field, problems)
        for name in raw:
            if name not in known:
                problems.note(given.at(str(name)[:64]), f"is no field that is known: {suggest(str(name), known)}")
        return given

    def at(self, name: str) -> str:
        """Give the path of a field."""
        return f"{self.field}.{name}" if self.field else name

    def text(self, name: str, default: str | None = None) -> str:
        """Read a text, one of these words if there are any."""
        value = self.raw.get(name, default)
        if isinstance(value, str):
            return value
        self.problems.note(self.at(name), "is needed" if value is None else "must be a string")
        return ""

    def word(self, name: str, words: Sequence[str], default: str | None = None) -> str:
        """Read one of some words."""
        value = self.text(name, default)
        if value in words:
            return value
        if isinstance(self.raw.get(name), str):
            self.problems.note(self.at(name), f"must be one of `{'`, `'.join(words)}`")
        return words[0]

    def flag(self, name: str) -> bool:
        """Read a yes or no; no where it is left out."""
        value = self.raw.get(name, False)
        if isinstance(value, bool):
            return value
        self.problems.note(self.at(name), "must be true or false")
        return False

    def listed(self, name: str) -> Sequence[object]:
        """Read a list; an empty one where it is left out."""
        value = self.raw.get(name, [])
        if isinstance(value, list | tuple):
            return value
        self.problems.note(self.at(name), "must be a list")
        return []

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a list of texts."""
        values = self.listed(name)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                self.problems.note(f"{self.at(name)}[{index}]", "must be a string")
        return tuple(value for value in values if isinstance(value, str))

    def objects(self, name: str, known: Sequence[str]) -> "list[Given]":
        """Read a list of objects of which only these fields are known; what is none is noted and left out."""
        read = [
            (value, Given.read(value, f"{self.at(name)}[{index}]", known, self.problems))
            for index, value in enumerate(self.listed(name))
        ]
        return [given for value, given in read if isinstance(value, Mapping)]
