"""What every resolver of one operation is given."""

from dataclasses import dataclass

from strawberry.types import Info as StrawberryInfo

from core.errors import Unauthenticated
from resolvers.callers import Caller, Request


@dataclass(slots=True)
class Context:
    """One operation's caller and request. `anyone` is None where no credential was presented."""

    request: Request
    anyone: Caller | None

    @property
    def caller(self) -> Caller:
        """The caller; raises `Unauthenticated` where there is none."""
        if self.anyone is None:
            raise Unauthenticated
        return self.anyone


Info = StrawberryInfo[Context, None]
