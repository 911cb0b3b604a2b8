"""Refused mutations: noted beside the request, by what was asked for alone, so that hidden and absent look alike."""

import base64
import binascii
from typing import Any
from uuid import UUID

from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension

from core.errors import Forbidden, NotFound
from core.vocabulary import Action
from resolvers import refusing
from resolvers.input import KEY
from schema.context import Info

_KINDS = {
    "Account": "acct",
    "Job": "token-job",
    "Member": "member",
    "Role": "role",
    "Session": "session",
    "Token": "token",
    "Webhook": "webhook",
}
"""What an object of a type is called where only its id is known: whose token it is, the id does not say."""
_KEYED = {
    "CreateRoleInput": "role",
    "DefineGateInput": "gate",
    "DefineResourceKindInput": "kind",
    "RemoveGateInput": "gate",
    "RemoveResourceKindInput": "kind",
}
"""Of what the `key` of an input is."""
_ACCOUNT = "acct"


class NotesRefusals(FieldExtension):
    """Stands around a mutation and all that guards it, and notes whom it refuses."""

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self._actions = tuple(action.value for action in actions)

    async def resolve_async(self, next_: AsyncExtensionResolver, source: object, info: Info, **given: Any) -> Any:  # noqa: ANN401 - any value of the schema
        """Do what is asked. A refusal is noted and goes on its way."""
        try:
            return await next_(source, info, **given)
        except (Forbidden, NotFound):
            if (caller := info.context.anyone) is not None:
                refusing.refusal(caller, self._actions, asked_about(given.get("input"))).note()
            raise


def asked_about(given: object) -> str:
    """Write what an input asks about in policy words, as far as it says itself; the account where it names nothing."""
    name, colon, inner = _decoded(getattr(given, "id", None)).partition(":")
    if colon and name in _KINDS and _is_uuid(inner):
        return f"{_KINDS[name]}/{inner}" if name != "Account" else _ACCOUNT
    kind, key = _KEYED.get(type(given).__name__), getattr(given, "key", None)
    return f"{kind}/{key}" if kind and isinstance(key, str) and KEY.fullmatch(key) else _ACCOUNT


def _decoded(given: object) -> str:
    try:
        return base64.b64decode(str(given).encode("ascii"), validate=True).decode()
    except (UnicodeError, binascii.Error):
        return ""


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
