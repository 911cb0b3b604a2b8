"""Rows that are defined by their key: made, or replaced where there is one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from core.errors import Conflict
from core.vocabulary import Action
from models import Gate, ResourceKind
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.writing import At, Deed, Said, change

K = TypeVar("K", Gate, ResourceKind)


@asynccontextmanager
async def defining(
    caller: Caller, model: type[K], key: str, actions: tuple[Action, Action], said: Said
) -> AsyncIterator[Deed[K]]:
    """Open the change of the row with this key, new if the caller sees none: then `before` is None.

    `actions` are those of making and of changing. Raises `Conflict` where a hidden row has the key.
    """
    create, update = actions
    row = await readable(caller, model).filter(key=key).first()
    new = model(account_id=caller.account.id, key=key)
    action, target = (create, new) if row is None else (update, At(model, row.id))
    async with change(caller, action, target, said) as deed:
        if row is None and await model.filter(account_id=caller.account.id, key=key).exists():
            raise Conflict(f"`key` is taken: `{key}`", field="key")
        yield deed
