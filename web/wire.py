"""The HTTP protocol: uvicorn's, which hands requests to the ASGI application, with a shorter way for some.

What the application answers at once is written where the request was parsed, with no task, scope or cycle made for it.
docs/decisions/below-asgi.md says why, and what holds.
"""

import asyncio
from typing import Any, cast

import httptools
from uuid_utils import uuid7
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from web.answers import ENDING, LATE, Answer, Answers, Header, Heard, Prompt, Settled, lines
from web.limits import Limits

MAX_BODY_BYTES = 16_384
"""Of what is answered at once."""
MAX_REQUEST_BYTES = 8192
"""Of what is looked for in memory as it came in."""

_GATES, _INTROSPECTION, _GRAPHQL = b"/authz/", b"/oauth2/introspect", b"/graphql"
_SHORT = (_GATES, _INTROSPECTION, _GRAPHQL)


PATIENCE = 1024
"""After how many known questions in a row of which the bytes were new, bytes are looked for in one of `SELDOM` only."""
SELDOM = 64

_LATE = b"the head of the request did not come in time\n"
_LONG = b"the head of the request is too long\n"
_CLOSING = (b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")


class Wire(HttpToolsProtocol):
    """One connection.

    A request takes the short way only if it is complete by the end of the data that its head ended in. As uvicorn never
    runs the application before that, nobody can tell the two ways apart.
    """

    sent: Answers = Answers()
    """By the very bytes that came in, and the peer."""
    heard: Answers = Answers()
    """By what was heard in them."""
    limits = Limits()
    """How long the client may take, of them all."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **named)
        self._app = cast("Prompt", self.config.app)
        self._reads = self._app.reads
        self._allowed = not (self.access_log or self.root_path or self.limit_concurrency)
        self._peer: str | None = None
        self._between = True
        """Whether the parser is between two requests."""
        self._in_body = False
        self._chunked = False
        """Whether there ever was a chunked body, whose trailers come in as headers do."""
        self._strange = 0
        """How many known questions came in new bytes since one came in known ones."""
        self._begun = 0
        """How many requests began in the data that is being read."""
        self._held: Heard | None = None
        """A request whose head was read and that may be answered at once."""
        self._settled: Settled | None = None
        """What the last request was answered with, if its answer was known and it leaves the connection as it was."""
        self._defaults_of: list[Header] | None = None
        self._defaults = b""
        self._waiting: asyncio.TimerHandle | None = None
        """What ends the connection unless the client goes on."""
        self._waits_for_body = False
        self._goes_on = False
        """Whether the data that is being read had anything of a body."""
        self._unheard_bytes = 0
        """How much came of a head, or of what is behind a body, since anything else did."""
        self._handed_over = False
        """Whether it is a WebSocket's now."""

    @classmethod
    def forget(cls) -> None:
        """Forget what was answered."""
        cls.sent.forget()
        cls.heard.forget()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Start; see asyncio."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; see asyncio."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came in; see asyncio."""
        was_between, self._begun, self._goes_on, self._settled = self._between, 0, False, None
        digest = self._digest(data) if was_between else None
        if digest is not None and self._is_free() and (settled := self._found(digest)) is not None:
            self._strange = 0
            self._unset_keepalive_if_required()
            self._write(settled.answer, keep_alive=True)
            self._wait_no_more()
            return
        super().data_received(data)
        if self._held is not None:
            self._let_go()
        self._mind(len(data))
        # Exactly one request, from its first byte to its last: equal bytes, read from the same state, are an equal one.
        if digest is not None and self._settled is not None and self._begun == 1:
            self.sent.keep(digest, self._settled)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; see uvicorn."""
        self._handed_over = True
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """Have what is under way end, a stream of events at once; see uvicorn."""
        super().shutdown()
        if self.cycle is not None:
            state = self.cycle.scope.setdefault("state", {})
            state.setdefault(ENDING, asyncio.Event()).set()  # a stream may begin only now

    def on_message_begin(self) -> None:
        """Begin a request; see httptools."""
        self.url = b""
        self.headers = []
        self._between = False
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; see httptools. What comes behind a body is none: nobody between saw it as one."""
        if self._in_body:
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hold the request back if it may be answered at once."""
        self._in_body = True
        self._held = self._heard() if self.url.startswith(_SHORT) and self._is_free() else None
        if self._held is None:
            self._let_go()

    def on_chunk_header(self) -> None:
        """Note that a body comes in chunks."""
        self._chunked = self._goes_on = True
        if self._held is not None:
            self._let_go()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._goes_on = True
        if self._held is None:
            super().on_body(body)
            return
        self._held = self._held._replace(body=body)  # all there is so far: nothing is held until more data comes
        if len(body) > MAX_BODY_BYTES:
            self._let_go()

    def on_message_complete(self) -> None:
        """Answer at once, or leave it to the application."""
        self._between, self._in_body = True, False
        if self._held is not None:
            keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            answer = self._answered(self._held, keep_alive=keep_alive)
            if answer is not None:
                self._held = None
                self._write(answer, keep_alive=keep_alive)
                return
            self._let_go()
        super().on_message_complete()

    def _digest(self, data: bytes) -> bytes | None:
        """Digest what may be a request that was answered before."""
        begins = data[:32]
        if self._chunked or len(data) > MAX_REQUEST_BYTES or not (_GATES in begins or _INTROSPECTION in begins):
            return None
        if self._strange > PATIENCE and self._strange % SELDOM:
            return None
        return self.sent.digest(b"%b\n%b" % (str(self._peer).encode(), data))  # no address has a line break

    def _is_free(self) -> bool:
        """Say whether an answer that is written now comes in its turn, and can be sent."""
        return (
            self._allowed
            and not self._is_answering()
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _is_answering(self) -> bool:
        """Say whether the application has a request that is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr] # none before the first

    def _mind(self, size: int) -> None:
        """Bound what the client has begun and not ended, or else the time until its next request.

        What goes on piece by piece gets no more time. Between requests that were answered it is uvicorn's to wait.
        """
        if self._handed_over or (self._between and (self.timeout_keep_alive_task is not None or self._is_answering())):
            self._wait_no_more()
            return
        self._unheard_bytes = 0 if self._begun or self._goes_on or self._between else self._unheard_bytes + size
        if self._unheard_bytes > self.limits.head_bytes:
            self._close(431, _LONG)
        elif self._waiting is None or self._begun or self._waits_for_body is not self._in_body:
            self._wait()

    def _wait(self) -> None:
        self._wait_no_more()
        self._waits_for_body = self._in_body
        limit_s = self.limits.body_s if self._in_body else self.limits.head_s
        self._waiting = self.loop.call_later(limit_s, self._give_up)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        """Close a connection whose client took too long, but only when what is being answered has been.

        The application is told of a body that it waits for in vain, and answers for it.
        """
        self._waiting = None
        if not self._is_answering():
            self._close(408, _LATE)
        elif self.flow.read_paused:  # so it is not for the client to go on
            self._wait()
        else:
            self.cycle.keep_alive = False
            if self._in_body:
                self.cycle.scope.setdefault("state", {})[LATE] = True
                self.cycle.message_event.set()

    def _close(self, status: int, why: bytes) -> None:
        """Close the connection, and say why if that is the answer to a head."""
        if self.transport.is_closing():
            return
        if not (self._between or self._in_body or self._is_answering()):
            headers = [*self.server_state.default_headers, *_CLOSING, (b"content-length", b"%d" % len(why))]
            self.transport.write(b"".join((STATUS_LINE[status], lines(headers), b"\r\n", why)))
        self.transport.close()

    def _heard(self) -> Heard | None:
        method = self.parser.get_method()
        if method == b"HEAD" or self.parser.should_upgrade() or not self.url.isascii():
            return None
        url = httptools.parse_url(self.url)
        # An answer to a GraphQL request is not kept, so it may depend on any header.
        reads = None if url.path == _GRAPHQL else self._reads
        headers = []
        for header in self.headers:
            if header[0] == b"expect":
                return None
            if reads is None or header[0] in reads:
                headers.append(header)
        return Heard(self._peer, method.decode(), url.path, url.query or b"", headers)

    def _found(self, digest: bytes) -> Settled | None:
        try:
            return self.sent.find(digest)
        except Exception:  # noqa: BLE001 - the application meets it as well, and answers for it
            return None

    def _answered(self, heard: Heard, *, keep_alive: bool) -> Answer | None:
        try:
            if heard.path == _GRAPHQL:
                settled = self._app.at_once(heard)
                return None if settled is None else settled.answer
            digest = self.heard.digest(heard.essence)
            known = self.heard.find(digest)
            if known is not None:  # so it is asked again and again, perhaps in the same bytes
                self._strange += 1
                self._settled = known if keep_alive else None
                return known.answer
            settled = self._app.at_once(heard)
            if settled is None:
                return None
            settled.answer.lines  # noqa: B018 - so that what cannot be written is found out here
            self.heard.keep(digest, settled)
        except Exception:  # noqa: BLE001 - as above
            return None
        return settled.answer

    def _let_go(self) -> None:
        """Leave a request to the application, told to uvicorn as its own callbacks would have told it."""
        held, self._held = self._held, None
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        if any(name == b"expect" for name, _ in headers):  # the one that uvicorn does more with than to keep it
            for name, value in headers:
                super().on_header(name, value)
        else:
            self.headers += headers
        super().on_headers_complete()
        if held is not None and held.body:
            super().on_body(held.body)

    def _write(self, answer: Answer, *, keep_alive: bool) -> None:
        """Write an answer and end the request as uvicorn's cycle does."""
        if self._defaults_of is not self.server_state.default_headers:  # a new list whenever the date is another
            self._defaults_of = self.server_state.default_headers
            self._defaults = lines(self._defaults_of)
        end = b"\r\n\r\n" if keep_alive else b"\r\nconnection: close\r\n\r\n"
        request_id = (answer.request_id or str(uuid7())).encode()
        told = (STATUS_LINE[answer.status], self._defaults, answer.lines, request_id, end, answer.body)
        self.transport.write(b"".join(told))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()


class SocketWire(WebSocketsSansIOProtocol):
    """A WebSocket: uvicorn's, which leaves its end to an application that says it will see to it."""

    def shutdown(self) -> None:
        """Have what is under way answered and the connection closed; see uvicorn."""
        scope = getattr(self, "scope", None)  # there is none before the handshake
        ending = scope["state"].get(ENDING) if scope and not self.close_sent else None
        if ending is None:
            super().shutdown()
        else:
            ending.set()
