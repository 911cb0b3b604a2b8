"""GraphQL over WebSocket: the sub-protocol `graphql-transport-ws`, and no other.

Each operation gets a context of its own and its caller anew, so that a connection outlives no credential.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack, aclosing, suppress
from time import perf_counter
from typing import Any

import orjson
from graphql import OperationType
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from core.errors import RateLimited, Retired, Unauthenticated
from core.meters import Spread
from core.networks import neighbourhood
from models.engines.transactions import AwayError
from schema.context import Context
from web.answers import ENDING
from web.bodies import reply_errors
from web.credentials import Gate, Presented
from web.errors import RejectedError, RequestError, counted, masked, refused
from web.execution import Engine, Parameters
from web.limits import Limits
from web.places import Places

PROTOCOL = "graphql-transport-ws"
FINISHED_EVERY_S = 0.1
"""How often it is looked, when the server ends, which operations are still to be answered."""
MAX_REASON_BYTES = 123
"""A close frame carries no longer reason."""


class _CloseError(Exception):
    """Ends the connection with one of the protocol's codes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


class Sockets:
    """Answers WebSocket requests to the GraphQL path."""

    def __init__(self, engine: Engine, gate: Gate, limits: Limits) -> None:
        self.engine = engine
        self.gate = gate
        self.limits = limits
        self.places = Places(limits.sockets)
        self.took: defaultdict[str, Spread] = defaultdict(Spread)
        """How long operations took that ended, by type."""
        self._open: set[_Connection] = set()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def operations(self) -> int:
        """How many operations run on them."""
        return sum(connection.operations for connection in self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; see ASGI."""
        socket: WebSocket[Any] = WebSocket(scope, receive, send)
        try:
            presented = self.gate.presented(socket)
            if presented and presented.ambient:
                self.gate.guard(socket.headers)
        except RejectedError as error:
            request = self.gate.request_of(socket)
            await socket.send_denial_response(reply_errors(error.errors, request.id, status=error.status))
            return
        if PROTOCOL not in scope["subprotocols"]:
            await socket.accept()
            await socket.close(4406, "Subprotocol not acceptable")
            return
        await socket.accept(PROTOCOL)
        with suppress(WebSocketDisconnect, WebSocketDisconnected):
            connection = _Connection(self, socket, presented)
            self._open.add(connection)
            try:
                await connection.serve()
            finally:
                self._open.discard(connection)


class _Connection:
    """One accepted connection and the operations that run on it."""

    def __init__(self, sockets: Sockets, socket: WebSocket[Any], presented: Presented | None) -> None:
        self._engine = sockets.engine
        self._gate = sockets.gate
        self._places = sockets.places
        self._took = sockets.took
        self._limits = sockets.limits
        self._socket = socket
        self._presented = presented
        self._acknowledged = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._followed: set[str] = set()
        """Which of them are subscriptions: they last until the connection does not."""
        self._ending = asyncio.Event()
        """Set when the server ends."""
        self._held = ExitStack()
        self._deadline = asyncio.timeout(self._limits.init_timeout_s)
        """Until it is acknowledged, and from then on, whenever nothing runs."""

    @property
    def operations(self) -> int:
        """How many operations run."""
        return len(self._operations)

    async def serve(self) -> None:
        """Take messages until either side ends the connection; then end what runs on it."""
        self._socket.scope.setdefault("state", {})[ENDING] = self._ending
        finishing = asyncio.create_task(self._finish())
        try:
            with self._held:
                await self._take_messages()
        except _CloseError as close:
            await self._socket.close(close.code, close.reason)
        except (WebSocketDisconnect, WebSocketDisconnected):
            return
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            masked(error, self._gate.request_of(self._socket).id)
            await self._socket.close(4500, "Internal server error")
        finally:
            finishing.cancel()

    async def _finish(self) -> None:
        """When the server ends, close once all is answered but what lasts: clients come back and ask for that again."""
        await self._ending.wait()
        while answering := [task for id_, task in self._operations.items() if id_ not in self._followed]:
            await asyncio.wait(answering, timeout=FINISHED_EVERY_S)
        with suppress(
            WebSocketDisconnect, WebSocketDisconnected, RuntimeError
        ):  # it may be closed, or closing, already
            await self._socket.close(1012, "Service restart")

    async def _take_messages(self) -> None:
        try:
            async with self._deadline:
                try:
                    while True:
                        await self._take(await self._message())
                finally:
                    await self._end()  # here, as what ends by itself sets the deadline
        except TimeoutError:
            if not self._deadline.expired():
                raise
            if self._acknowledged:
                raise _CloseError(1000, "Nothing runs here") from None
            raise _CloseError(4408, "Connection initialisation timeout") from None

    async def _end(self) -> None:
        running = list(self._operations.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, operation_id: str) -> asyncio.Task[None] | None:
        """Forget an operation, if it runs; with the last of them the wait for another begins."""
        task = self._operations.pop(operation_id, None)
        self._followed.discard(operation_id)
        if task is not None:
            self._rest()
        return task

    def _rest(self) -> None:
        idle_since = asyncio.get_running_loop().time()
        self._deadline.reschedule(None if self._operations else idle_since + self._limits.idle_timeout_s)

    async def _message(self) -> dict[str, Any]:
        event = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        text = event.get("text")
        if text is None:
            raise _CloseError(4400, "Invalid message: a text frame is expected")
        if len(text) > self._limits.body_bytes:
            raise _CloseError(1009, "Message too big")
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _CloseError(4400, "Invalid message: not JSON") from None
        if not isinstance(message, dict):
            raise _CloseError(4400, "Invalid message: a JSON object is expected")
        return message

    async def _take(self, message: Mapping[str, Any]) -> None:
        payload = message.get("payload")
        match message.get("type"):
            case "connection_init":
                await self._init(_object(payload))
            case "subscribe":
                self._subscribe(_id(message), payload)
            case "complete":
                if task := self._ended(_id(message)):
                    task.cancel()
            case "ping":
                _object(payload)
                await self._send({"type": "pong"})
            case "pong":
                _object(payload)
            case _:
                raise _CloseError(4400, "Invalid message: unknown `type`")

    async def _init(self, payload: Mapping[str, Any]) -> None:
        if self._acknowledged:
            raise _CloseError(4429, "Too many initialisation requests")
        presented = [value for key, value in payload.items() if key.lower() == "authorization"]
        if len(presented) > 1:
            raise _CloseError(4400, "Invalid message: more than one `authorization`")
        if presented:
            if not isinstance(presented[0], str):
                raise _CloseError(4400, "Invalid message: `authorization` must be a string")
            self._presented = Presented.parse(presented[0])
        request = self._gate.request_of(self._socket)
        try:
            await self._gate.caller_of(self._presented, request)
        except Unauthenticated as error:
            raise _CloseError(4401, error.message if isinstance(error, Retired) else "Unauthorized") from None
        except (
            RateLimited,
            AwayError,
        ):  # each operation says so and when to try again, as no code of the protocol does
            pass
        try:
            holder = self._presented.secret if self._presented else neighbourhood(request.address)
            self._held.enter_context(self._places.taken(holder))
        except RateLimited:
            raise _CloseError(4403, "Too many connections") from None
        self._acknowledged = True
        self._rest()
        await self._send({"type": "connection_ack"})

    def _subscribe(self, operation_id: str, payload: object) -> None:
        if not self._acknowledged:
            raise _CloseError(4401, "Unauthorized")
        if self._ending.is_set():
            return
        if operation_id in self._operations:
            raise _CloseError(4409, f"Subscriber for {operation_id} already exists")
        if len(self._operations) >= self._limits.socket_operations:
            raise _CloseError(4400, f"Invalid message: {self._limits.socket_operations} operations are running")
        try:
            parameters = Parameters.parse(payload)
        except RequestError as error:
            raise _CloseError(4400, f"Invalid message: {error}") from None
        self._operations[operation_id] = asyncio.create_task(self._operate(operation_id, parameters))
        self._rest()

    async def _operate(self, operation_id: str, parameters: Parameters) -> None:
        with suppress(WebSocketDisconnect, WebSocketDisconnected):
            last = await self._operated(operation_id, parameters)
            # The id is free again before the client can know of it.
            self._ended(operation_id)
            await self._send({"id": operation_id, **last})

    async def _operated(self, operation_id: str, parameters: Parameters) -> dict[str, Any]:
        """Run an operation and send its responses; the message that ends it is returned."""
        request, began_s = self._gate.request_of(self._socket), perf_counter()
        try:
            caller = await self._gate.caller_of(self._presented, request)
            operation = await self._engine.prepare(parameters, Context(request, caller))
            if operation.type is OperationType.SUBSCRIPTION:
                self._followed.add(operation_id)
                async with aclosing(self._engine.subscribe(operation)) as responses:
                    async for response in responses:
                        await self._send({"id": operation_id, "type": "next", "payload": response})
            else:
                response = await self._engine.run(operation)
                await self._send({"id": operation_id, "type": "next", "payload": response})
                self._took[operation.type.value].took(perf_counter() - began_s)
        except (RateLimited, Unauthenticated) as error:
            return {"type": "error", "payload": counted([refused(error)])}
        except RequestError as error:
            return {"type": "error", "payload": counted(error.errors)}
        except (WebSocketDisconnect, WebSocketDisconnected):
            raise
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            return {"type": "error", "payload": counted([masked(error, request.id)])}
        return {"type": "complete"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._socket.send_text(orjson.dumps(message).decode())


def _object(payload: object) -> Mapping[str, Any]:
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise _CloseError(4400, "Invalid message: `payload` must be an object")
    return payload


def _id(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise _CloseError(4400, "Invalid message: `id` must be a string that is not empty")
    return operation_id
