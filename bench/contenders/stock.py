"""Strawberry as its documentation shows it: one field that says hello, no caller, no checks."""

import strawberry
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    """One field."""

    @strawberry.field
    def hello(self) -> str:
        """Say hello."""
        return "world"


app = GraphQL[None, None](strawberry.Schema(Query))
