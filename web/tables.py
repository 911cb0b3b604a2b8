"""What can be had as a file: for each list the query of a page of it, and how a line of it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import Invalid
from resolvers import entries, events

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A list of GraphQL's as a file."""

    name: str
    field: str
    page: str
    columns: tuple[str, ...]
    flat: Callable[[Line], Line]
    """Lays a node out as a row of the columns."""
    line: Callable[[Line], Line]
    """Makes of a node what is a line of JSON."""
    flags: frozenset[str] = frozenset()
    """The criteria of the filter that are no texts in GraphQL."""
    place: Callable[[str], str] | None = None
    """Reads `after` of the query string, where there is one, as a cursor."""

    @property
    def path(self) -> str:
        """Where it is, but for its ending."""
        return f"/{self.name}/export"


def _token(node: Line) -> Line:
    """Lay a token out flat, its columns in their order. What is refused or hidden is None."""
    flat = {
        **node,
        **{f"{name}Id": (node[name] or {}).get("id") for name in ("owner", "creator", "responsible", "parent")},
    }
    flat |= {name: (node[name] or {}).get("name") for name in ("owner", "creator", "responsible")}
    flat["builtInRole"] = node["scope"]["builtInRole"]
    flat["customRoles"] = [role["key"] for role in node["scope"]["customRoles"] or ()]
    return {column: flat[column] for column in TOKENS.columns}


TOKENS = Table(
    name="tokens",
    field="tokens",
    page="""query ($filter: TokenFilterInput, $after: String) {
  tokens(filter: $filter, orderBy: {field: CREATED_AT, direction: ASC}, first: 50, after: $after) {
    nodes {
      id resource kind name description state ending scope { builtInRole customRoles { key } }
      owner { id name } creator { id name } responsible { id name } parent { id }
      networks rateLimits createdAt expiresAt endsAt resetAt revokedAt leakedAt lastUsedAt lastUsedAddress lastUsedAgent
    }
    pageInfo { hasNextPage endCursor }
  }
}""",
    columns=(
        *("id", "resource", "kind", "name", "description", "state", "ending", "builtInRole", "customRoles"),
        *("ownerId", "owner", "creatorId", "creator", "responsibleId", "responsible", "parentId"),
        *("networks", "rateLimits", "createdAt", "expiresAt", "endsAt", "resetAt", "revokedAt", "leakedAt"),
        *("lastUsedAt", "lastUsedAddress", "lastUsedAgent"),
    ),
    flat=_token,
    line=_token,
    flags=frozenset({"unattended", "hasNoExpiry", "neverUsed"}),
)


def _behind(text: str) -> str:
    """Read the number of the entry after which to go on. Raises `Invalid`."""
    if not text.isdecimal() or not text.isascii() or len(text) > len(str(2**63 - 1)) - 1:
        raise Invalid("after", "must be the number of an entry")
    return entries.behind(int(text))


ENTRIES = Table(
    name="audit",
    field="auditEntries",
    page="""query ($filter: AuditEntryFilter, $after: String) {
  auditEntries(filter: $filter, orderBy: {field: SEQUENCE, direction: ASC}, first: 50, after: $after) {
    nodes {
      id sequence at title outcome accesses { action resource }
      actor { kind memberId memberName tokenId tokenName tokenEnding }
      onBehalfOf { memberName tokenName tokenEnding verified }
      target { kind nodeId resource name } because { action side role }
      comment requestId address userAgent reportedAt before after previous seal
    }
    pageInfo { hasNextPage endCursor }
  }
}""",
    columns=events.COLUMNS,
    flat=events.flat,
    line=lambda node: node,
    place=_behind,
)
