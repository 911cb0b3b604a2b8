"""Strawberry as its documentation shows it, listing fifty constant objects of six fields, one of them an object."""

from datetime import UTC, datetime

import strawberry
from strawberry.asgi import GraphQL

MADE = datetime(2026, 1, 1, tzinfo=UTC)


@strawberry.type
class Owner:
    """Whose a token is."""

    name: str


@strawberry.type
class Token:
    """A token that is made up."""

    id: strawberry.ID
    name: str
    kind: str
    ending: str
    created_at: datetime
    owner: Owner


TOKENS = [
    Token(
        id=strawberry.ID(f"VG9rZW46{number:012}"),
        name=f"Token {number}",
        kind="PERSONAL",
        ending="0000",
        created_at=MADE,
        owner=Owner(name="Wanda Writer"),
    )
    for number in range(50)
]


@strawberry.type
class Query:
    """One list."""

    @strawberry.field
    def tokens(self) -> list[Token]:
        """List them."""
        return TOKENS


app = GraphQL[None, None](strawberry.Schema(Query))
