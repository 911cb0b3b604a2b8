"""The words of a GraphQL document, counted much faster than they are parsed, so that far too many cost next to nothing.

They are those of graphql-core's lexer wherever that reads to the end of a document. Where it does not, there may be
fewer, or more.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

_WORD = re.compile(
    r'"""(?:[^"\\]|\\(?:""")?|"(?!""))*+(?:"""|\Z)'  # a text of several lines
    r'|"(?:[^"\\\n\r]|\\.)*+"?'
    r"|#[^\n\r]*"
    r"|[A-Za-z_][A-Za-z_0-9]*"
    r"|-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
    r"|\.\.\."
    r"|[^\s,\ufeff]"
)

_BEFORE_OTHERS = frozenset({":", "@", "..."})
"""What stands before names that are none of the answer's."""


@dataclass(frozen=True, slots=True)
class Words:
    """How many there are, and what they can be told to be without a parser."""

    count: int
    aliases: int
    directives: int
    repeats: int
    """How often the field is there that is asked for most often in one place."""

    @classmethod
    def of(cls, text: str, limit: int) -> "Words":
        """Count, until there are more than the limit."""
        words = [found[0] for found in islice(_WORD.finditer(text), limit + 1)]
        aliases, repeats = _fields(words)
        return cls(len(words), aliases, words.count("@"), repeats)


def _fields(words: Sequence[str]) -> tuple[int, int]:
    """Count the aliases, and the fields of one name within one pair of braces: as many as there are where most are."""
    aliases = parentheses = 0
    before = last = ""
    places: list[Counter[str]] = [Counter()]  # what is open, definitions first
    ended: list[Counter[str]] = []
    for word in words:
        match word:
            case "(":
                parentheses += 1
            case ")":
                parentheses -= 1
            case _ if parentheses:  # arguments and variables
                pass
            case "{":
                places.append(Counter())
            case "}" if len(places) > 1:
                ended.append(places.pop())
            case ":":
                aliases += 1
            case _ if word.isidentifier() and last not in _BEFORE_OTHERS and (before, last) != ("...", "on"):
                places[-1][word] += 1
        before, last = last, word
    return aliases, max((max(place.values(), default=0) for place in (*ended, *places[1:])), default=0)
