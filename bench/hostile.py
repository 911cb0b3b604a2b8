"""Requests that are made to cost a server as much as they can, each with the code that it is refused with.

`bench.attacks` measures what they cost, and tests/web/test_attacks.py sees that they reach nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

NEW = "(new)"
"""Where a text stands that is another each time."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """The body of a request, and how it is refused."""

    body: bytes
    code: str = "QUERY_TOO_COMPLEX"

    def fresh(self) -> bytes:
        """The body, with a text that was never there before where there is to be one."""
        return self.body.replace(NEW.encode(), uuid4().hex.encode())


def _asking(query: str, **variables: object) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def _nested(depth: int) -> str:
    """Walk from a token to its owner's tokens and on."""
    return "tokens(first:100){nodes{owner{" * depth + "id" + "}}}" * depth


def _fragments(levels: int, within: str) -> str:
    """Spread each fragment twice in the one before: 2 to the power of `levels` of the last."""
    return "".join(f"fragment F{n} on Member{{{within % (n + 1, n + 1)}}}" for n in range(levels))


_TWICE_DEEPER = "a:tokens{nodes{owner{...F%d}}}b:tokens{nodes{owner{...F%d}}}"
_TWICE = "...F%d ...{...F%d}"
_NODES = "query($ids:[ID!]!){nodes(ids:$ids){id}}"


def _within(*names: str) -> str:
    """Ask for the last of some fields, each within the one before."""
    return "{".join(names) + "}" * (len(names) - 1)


_FIELDS = ("fields", "type", "fields", "args", "type")
_FIELD = _within(*_FIELDS, "name")
_OF_TOKENS = (
    "id kind name description createdAt updatedAt expiresAt resetAt revokedAt lastUsedAt lastUsedAgent state endsAt"
)
_OF_MEMBERS = "id name state baseRole createdAt updatedAt version email resource"
_OWNED = f"{_OF_TOKENS} owner{{{_OF_MEMBERS}"
_LONG = "".join(f"a{n}:tokens(first:100){{nodes{{{_OWNED} tokens{{nodes{{{_OWNED}}}}}}}}}}}}}" for n in range(14))
_SCHEMA = _within("__schema", "types", *_FIELDS, "name")


REQUESTS: Mapping[str, Hostile] = {
    "lists in JSON, 100,000 deep": Hostile(b"[" * 100_000, "BAD_REQUEST"),
    "objects in JSON, 100,000 deep": Hostile(
        b'{"query":"{__typename}","variables":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "BAD_REQUEST"
    ),
    "variables 1,000 deep": Hostile(b'{"query":"{__typename}","variables":{"a":' + b"[" * 1000 + b"]" * 1000 + b"}}"),
    "half a million variables": Hostile(_asking(_NODES, ids=[0] * 340_000)),
    "20,000 ids": Hostile(_asking(_NODES, ids=["x"] * 19_900)),
    "a megabyte of document": Hostile(_asking("{__typename " * 80_000)),
    "3,000 aliases": Hostile(_asking(f"{{{''.join(f'a{n}:__typename ' for n in range(3000))}}}")),
    "330 aliases": Hostile(_asking(f"{{{''.join(f'a{n}:__typename ' for n in range(330))}}}")),
    "one field 990 times": Hostile(_asking("{" + "__typename " * 990 + "}")),
    "one object 240 times": Hostile(_asking("{viewer{" + "account{id}" * 240 + "}}")),
    "circular fragments": Hostile(
        _asking("{viewer{member{...F0}}}" + _fragments(60, _TWICE) + "fragment F60 on Member{...F0}"),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "fragments in fragments, twice each": Hostile(
        _asking("{viewer{member{...F0}}}" + _fragments(30, _TWICE_DEEPER) + "fragment F30 on Member{id}")
    ),
    "fragments in fragments within the depth": Hostile(
        _asking("{viewer{member{...F0}}}" + _fragments(4, _TWICE_DEEPER) + "fragment F4 on Member{id}")
    ),
    "a walk 44 objects deep": Hostile(_asking("{viewer{member{" + _nested(14) + "}}}")),
    "a walk within the depth": Hostile(_asking("{viewer{member{" + _nested(4) + "}}}")),
    "a number of 4,301 digits": Hostile(
        _asking("{nodes(ids:" + "1" * 4301 + "){id}viewer{member{" + _nested(4) + "}}}")
    ),
    "selections 330 deep": Hostile(_asking("{a" * 330 + "}" * 330), "GRAPHQL_PARSE_FAILED"),
    "lists in a document, 950 deep": Hostile(_asking("{nodes(ids:" + "[" * 950), "GRAPHQL_PARSE_FAILED"),
    "140 directives": Hostile(_asking("{__typename" + "@skip(if:false)" * 140 + "}")),
    "490 directives that nobody knows": Hostile(_asking("{__typename" + "@x" * 490 + "}")),
    "types of types of types": Hostile(
        _asking("{" + _within("__schema", "types", *_FIELDS, "fields", "name") + "}"), "GRAPHQL_VALIDATION_FAILED"
    ),
    "the schema twenty times": Hostile(_asking("{" + "".join(f"s{n}:{_SCHEMA}" for n in range(20)) + "}")),
    "all fields of all fields, fifty times": Hostile(
        _asking("{__schema{types{" + "".join(f"f{n}:{_FIELD}" for n in range(50)) + "}}}")
    ),
    "as long as may be, and valid, and new": Hostile(_asking(f"#{NEW}\n{{viewer{{member{{{_LONG}}}}}}}")),
}
