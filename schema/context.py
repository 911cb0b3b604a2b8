"""What every resolver of one operation is given."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from core.errors import Unauthenticated
from resolvers.callers import Caller, Request

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class Context:
    """One operation's caller and request. `anyone` is None where no credential was presented."""

    request: Request
    anyone: Caller | None
    _loaders: dict[Hashable, DataLoader[Any, Any]] = field(default_factory=dict)
    _made: dict[int, tuple[object, Any]] = field(default_factory=dict)

    @property
    def caller(self) -> Caller:
        """The caller; raises `Unauthenticated` where there is none."""
        if self.anyone is None:
            raise Unauthenticated
        return self.anyone

    def once(self, what: object, make: Callable[[], V]) -> V:
        """Make something of an object that others share, once for all of them."""
        known = self._made.get(id(what))
        if known is None:
            known = self._made[id(what)] = what, make()  # kept with it, so that no other takes its place
        made: V = known[1]
        return made

    async def batched(
        self, what: Hashable, key: K, load: Callable[[Caller, Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> V | None:
        """Load the value of one key together with those of its siblings, in one call of `load`; None if it has none.

        Nothing is kept between batches, so that a mutation never shows what was true before it.
        """
        loader = self._loaders.get(what)
        if loader is None:
            loader = self._loaders[what] = DataLoader(self._in_batches(load), cache=False)
        value: V | None = await loader.load(key)
        return value

    def _in_batches(
        self, load: Callable[[Caller, Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> Callable[[list[K]], Awaitable[list[V | None]]]:
        async def batch(keys: list[K]) -> list[V | None]:
            found = await load(self.caller, list(dict.fromkeys(keys)))
            return [found.get(key) for key in keys]

        return batch


Info = StrawberryInfo[Context, None]
