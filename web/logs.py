"""What the server logs, on standard error: an event a line, as text or as JSON, with the id of its request.

Whoever logs it, a library or a crash, no secret of ours is in it, and nothing that was sent can look like a line of its
own.
"""

import json
import logging
import sys
import threading
from collections import Counter
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from core.secret import listen, redacted

Form = Literal["text", "json"]
Level = Literal["info", "warning", "error"]
"""Not more than this: what libraries write down beneath, values and headers, may be secrets."""

ACCESS = "latchkey.access"
"""The logger of requests. What is told of one is the record's `told`."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

events: Counter[tuple[str, str]] = Counter()
"""How many there were since the process began, by logger and level."""


_SEPARATORS = (0x2028, 0x2029)
_ESCAPED = {
    code: ascii(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), *_SEPARATORS) if chr(code) != "\n"
}
"""What a terminal, or whatever reads lines, takes for more than a character."""

_log = logging.getLogger("latchkey")


class Text(logging.Formatter):
    """An event as text. Lines that go on with it are indented, so that no event but begins at the margin."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the message, with the request's id unless that is told anyway."""
        written = super().formatMessage(record)
        asked = request_id.get()
        return written if asked is None or asked in written else f"{written} (request {asked})"

    def format(self, record: logging.LogRecord) -> str:
        """Write an event."""
        return redacted(super().format(record)).translate(_ESCAPED).replace("\n", "\n    ")


class JSON(logging.Formatter):
    """An event as an object of JSON, in ASCII. What is below the first line of a message is its `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write an event."""
        message, _, below = record.getMessage().partition("\n")
        told: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            "requestId": request_id.get(),
            **getattr(record, "told", {}),
            "exception": "\n".join(filter(None, (below, self._exception(record)))) or None,
        }
        return json.dumps({name: _shown(value) for name, value in told.items() if value is not None})

    def _exception(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


def _shown(value: object) -> object:
    return redacted(value) if isinstance(value, str) else value


def _time(at_s: float) -> str:
    """Write a time as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Standard(logging.StreamHandler[Any]):
    """The one handler: all that anybody logs goes to standard error, and is counted."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event."""
        events[record.name, record.levelname.lower()] += 1
        super().emit(record)


def answering(id_: str) -> None:
    """Have what is logged from here on tell the id of this request, and no secret that comes with it."""
    request_id.set(id_)
    listen()


def begin(form: Form = "text", level: Level = "info") -> None:
    """Log like this from here on, crashes too; unless somebody else, a test, has said how already."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_Standard(sys.stderr))
    for handler in root.handlers:
        if isinstance(handler, _Standard):
            handler.setFormatter(JSON() if form == "json" else Text())
            root.setLevel(level.upper())
            sys.excepthook = _crashed
            threading.excepthook = _thread_crashed


def _crashed(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _log.critical("crashed", exc_info=(kind, error, traceback))


def _thread_crashed(what: threading.ExceptHookArgs) -> None:
    error = what.exc_value or what.exc_type()
    _log.critical("a thread crashed", exc_info=(what.exc_type, error, what.exc_traceback))
