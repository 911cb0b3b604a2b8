"""GraphQL over server-sent events, in the graphql-sse protocol's "distinct connections mode": a stream an operation."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from graphql import OperationType
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import Refusal
from web.answers import ENDING
from web.bodies import NO_STORE, NOSNIFF, REQUEST_ID, media_header
from web.errors import Formatted, RequestError, counted, masked, refused
from web.execution import Engine, Operation
from web.media import EVENT_STREAM

KEEP_ALIVE_S = 12.0
"""How often a stream says that it lasts, so that nobody between takes it for dead."""
_UNBUFFERED = (b"x-accel-buffering", b"no")
_COMPLETE = b"event: complete\ndata:\n\n"
_COMMENT = b":\n\n"


async def told(engine: Engine, operation: Operation) -> AsyncGenerator[bytes, None]:
    """Run an operation of any type and give its responses in JSON. What keeps it from going on is the last of them."""
    try:
        if operation.type is not OperationType.SUBSCRIPTION:
            yield orjson.dumps(await engine.run(operation))
            return
        async with aclosing(engine.subscribe(operation)) as responses:
            async for response in responses:
                yield orjson.dumps(response)
    except RequestError as error:
        yield _errors(error.errors)
    except Refusal as error:
        yield _errors([refused(error)])
    except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
        yield _errors([masked(error, operation.context.request.id)])


async def told_refusal(error: RequestError) -> AsyncGenerator[bytes, None]:
    """Tell why an operation is not run: a client that waits for events reads nothing else."""
    yield _errors(error.errors)


class EventStream(Response):
    """Responses as events: until there are no more, or whoever asked leaves, or, if it `lasts`, the server ends."""

    def __init__(self, told: AsyncGenerator[bytes, None], request_id: str, *, lasts: bool = False) -> None:
        self.status_code = 200
        self.raw_headers = [
            NO_STORE,
            NOSNIFF,
            media_header(EVENT_STREAM),
            _UNBUFFERED,
            (REQUEST_ID, request_id.encode()),
        ]
        self.background = None
        self._told = told
        self._lasts = lasts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; see ASGI."""
        ending = asyncio.Event()
        if self._lasts:
            ending = scope.setdefault("state", {}).setdefault(ENDING, ending)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        awaited = (self._tell(send), _left(receive), _keep_alive(send), ending.wait())
        tasks = [asyncio.create_task(each) for each in awaited]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Send) -> None:
        async with aclosing(self._told) as told:
            async for response in told:
                await _send(send, b"event: next\ndata: %b\n\n" % response)
        await _send(send, _COMPLETE)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _keep_alive(send: Send) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE_S)
        await _send(send, _COMMENT)


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _errors(errors: list[Formatted]) -> bytes:
    return orjson.dumps({"errors": counted(errors)})
