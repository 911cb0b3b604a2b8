"""Trusted documents: operations that were listed when a frontend was built, and are asked for by their ids.

The manifest is Relay's, a JSON object of texts by id, or Apollo's, with a `format`. Whatever its ids are, each document
is also known by `sha256:` and the digest of its text, as the draft of GraphQL over HTTP has it:
https://github.com/graphql/graphql-over-http/blob/main/spec/Appendix%20A%20--%20Persisted%20Documents.md
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from web.errors import RequestError

APOLLO_FORMAT = "apollo-persisted-query-manifest"


class ManifestError(Exception):
    """A manifest that cannot be served. The message says where and why."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """Documents by their ids. With `only`, no others are run."""

    texts: Mapping[str, str] = field(default_factory=dict)
    only: bool = False

    @classmethod
    def read(cls, path: Path, *, only: bool = False) -> "Trusted":
        """Read a manifest. Raises `ManifestError`, and OSError if there is no such file."""
        try:
            raw = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise ManifestError(f"{path} is not JSON: {error}") from None
        texts: dict[str, str] = {}
        for place, id_, text in _listed(path, raw):
            if not isinstance(id_, str) or not id_ or not isinstance(text, str):
                raise ManifestError(f"{path}: {place} is no id with the text of a document")
            if texts.setdefault(id_, text) != text:
                raise ManifestError(f"{path}: two documents have the id `{id_}`")
        return cls(texts | {_digest(text): text for text in texts.values()}, only)

    def text(self, document_id: str) -> str:
        """Find a document by its id. Raises `RequestError` in Apollo's words, which its client understands."""
        if not self.texts:
            raise RequestError.of("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
        text = self.texts.get(document_id)
        if text is None:
            raise RequestError.of("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
        return text


def id_of(raw: Mapping[str, Any]) -> str | None:
    """Find the id of the document that a request without a `query` asks for, None if it names none.

    Raises `RequestError` for what is no id, and for two that differ.
    """
    extension = (raw.get("extensions") or {}).get("persistedQuery")
    named: dict[str, Any] = {
        "documentId": raw.get("documentId"),
        "extensions.persistedQuery": extension and _hash(extension),
        **{name: raw[name] for name in ("doc_id", "id") if isinstance(raw.get(name), str)},  # as apps with Relay do
    }
    given = {name: value for name, value in named.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, str):
            raise RequestError.of(f"`{name}` must be a string", "BAD_REQUEST")
    if len(set(given.values())) > 1:
        raise RequestError.of(f"{' and '.join(f'`{name}`' for name in given)} name different documents", "BAD_REQUEST")
    return next(iter(given.values()), None)


def _hash(extension: object) -> str:
    if not isinstance(extension, dict) or extension.get("version") != 1:
        raise RequestError.of("`extensions.persistedQuery` must be an object with `version` 1", "BAD_REQUEST")
    found = extension.get("sha256Hash")
    if not isinstance(found, str):
        raise RequestError.of("`extensions.persistedQuery.sha256Hash` must be a string", "BAD_REQUEST")
    return found


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _listed(path: Path, raw: object) -> Iterator[tuple[str, object, object]]:
    """Give each entry of a manifest: where it is, its id and its text."""
    if not isinstance(raw, dict):
        raise ManifestError(f"{path} is no JSON object")
    if "format" not in raw or "operations" not in raw:
        yield from ((f"`{id_}`", id_, text) for id_, text in raw.items())
        return
    if raw["format"] != APOLLO_FORMAT or raw.get("version") != 1 or not isinstance(raw["operations"], list):
        raise ManifestError(f"{path} is not of the format `{APOLLO_FORMAT}`, version 1")
    for index, operation in enumerate(raw["operations"]):
        given = operation if isinstance(operation, dict) else {}
        yield f"`operations[{index}]`", given.get("id"), given.get("body")
