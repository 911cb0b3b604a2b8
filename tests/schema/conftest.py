"""Asking the schema as a caller would, and reading the whole answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from graphql import GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError

from core.errors import Refusal, Unauthenticated
from resolvers import callers
from resolvers.callers import Caller
from schema import schema
from schema.context import Context
from tests.organisation import Organisation
from web.errors import RequestError
from web.execution import Engine, Parameters
from web.limits import Limits

Answer = dict[str, Any]
Ask = Callable[..., Awaitable[Answer]]
Served = Callable[..., Awaitable[Answer]]


def told(error: GraphQLError) -> dict[str, Any]:
    """Read an error as a client does; what is no refusal fails the test."""
    cause = error.original_error
    if isinstance(cause, StrawberryInputCoercionError):
        return {"message": error.message, "path": error.path, "code": "BAD_USER_INPUT"}
    if cause is not None and not isinstance(cause, Refusal):
        raise cause
    extensions = dict(cause.extensions) if isinstance(cause, Refusal) else dict(error.extensions or {})
    return {"message": error.message, "path": error.path, **extensions}


@pytest.fixture
def ask(organisation: Organisation) -> Ask:
    """Run an operation for a caller, or for nobody, with variables: `{"data": ..., "errors": [...]}`."""

    async def ask(caller: Caller | None, query: str, **variables: Any) -> Answer:
        context = Context(organisation.request, caller)
        result = await schema.execute(query, variable_values=variables, context_value=context)
        answer: Answer = {"data": result.data}
        if result.errors:
            answer["errors"] = [told(error) for error in result.errors]
        return answer

    return ask


@pytest.fixture
def served(organisation: Organisation) -> Served:
    """Run an operation as the server does: within its budget, its errors told as a client reads them."""
    engine = Engine(schema, Limits())

    async def served(caller: Caller | None, query: str, **variables: Any) -> Answer:
        try:
            known = caller and await callers.again(caller)
            operation = await engine.prepare(Parameters(query, None, variables), Context(organisation.request, known))
        except Unauthenticated:
            return {"errors": [{"extensions": {"code": "UNAUTHENTICATED"}}]}
        except RequestError as error:
            return {"errors": error.errors}
        return await engine.run(operation)

    return served
