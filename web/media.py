"""Media types: which one a client is answered in, and whether its body is JSON in UTF-8."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"

_OFFERED = (JSON, GRAPHQL_RESPONSE, EVENT_STREAM)
_PARAMETER = re.compile(r""";\s*([^\s;="]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)""")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range with its parameters, both in lower case."""

    name: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        """Read one media type; what is malformed has an empty name or lacks parameters."""
        # Not by the standard library's `email`, which raises for some of what a client may send.
        name, semicolon, rest = text.lower().partition(";")
        return cls(name.strip(), {key: value.strip('"') for key, value in _PARAMETER.findall(semicolon + rest)})

    @property
    def is_utf8(self) -> bool:
        """Whether it says UTF-8 or nothing about its encoding."""
        return self.parameters.get("charset", "utf-8") in {"utf-8", "utf8"}

    @property
    def quality(self) -> float:
        """The weight of a range in `Accept`, 0 for one that is malformed."""
        try:
            return min(max(float(self.parameters.get("q", "1")), 0.0), 1.0)
        except ValueError:
            return 0.0


@lru_cache(maxsize=128)
def is_json(content_type: str) -> bool:
    """Tell whether a body is said to be JSON in UTF-8."""
    kind = MediaType.parse(content_type)
    return kind.name == JSON and kind.is_utf8


@lru_cache(maxsize=128)
def negotiated(accept: tuple[str, ...]) -> str | None:
    """Choose the media type of the answer from the `Accept` headers; None if none of ours will do.

    The highest weight wins, then the one named outright, then the one named first. Without a preference: JSON. A
    stream of events is what no range asks for, only its own name.
    """
    if not any(header.strip() for header in accept):
        return JSON
    ranges = [MediaType.parse(text) for header in accept for text in header.split(",")]
    best = max(_OFFERED, key=lambda offered: _preference(offered, ranges))
    return best if _preference(best, ranges)[0] > 0 else None


def wants_page(accept: Sequence[str]) -> bool:
    """Tell whether a browser asks for a page to look at."""
    return any(MediaType.parse(text).name == "text/html" for header in accept for text in header.split(","))


def _preference(offered: str, ranges: Sequence[MediaType]) -> tuple[float, int, int]:
    """Weigh one offer by the most specific range that takes it."""
    best = max(_matching(offered, ranges), default=None)
    if best is None:
        return 0.0, 0, 0
    specificity, earliness, quality = best
    return quality, int(specificity == _EXACT), earliness if specificity == _EXACT else 0


_EXACT = 2
_RANGES = {"*/*": 0, "application/*": 1}


def _matching(offered: str, ranges: Sequence[MediaType]) -> Iterator[tuple[int, int, float]]:
    wider = {} if offered == EVENT_STREAM else _RANGES
    for index, accepted in enumerate(ranges):
        specificity = _EXACT if accepted.name == offered else wider.get(accepted.name)
        if specificity is not None and accepted.is_utf8:
            yield specificity, -index, accepted.quality
