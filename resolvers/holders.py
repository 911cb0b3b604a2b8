"""Who may do something now: the members and the tokens of an account, decided one by one, a page at a time."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from core.catalogue import Catalogue
from core.law import Authority, NamedPolicy, Side, SideKind
from core.slices import sliced
from core.vocabulary import Action, BuiltInRole
from models import Member, MemberState, Role, ScopeKind, Token, living, now
from resolvers import holdings, rights
from resolvers.access import Asked
from resolvers.callers import Caller
from resolvers.pages import Page, Place, Window
from resolvers.reading import readable

M = TypeVar("M", Member, Token)
Decide: TypeAlias = Callable[[M], bool]

CHUNK = 50
"""How many rows are read at once."""
AT_ONCE = 10
"""How many are decided about before other requests go on."""
MOST_EXAMINED = 2_000
"""How many rows one page is looked for among, at most."""
MOST_KEPT = 200
"""How many policies are kept while a page is looked for."""


@dataclass(frozen=True, slots=True)
class Found(Page[M]):
    """A page of those who may. `reached` is the last row looked at, where the page ends before it is full."""

    reached: M | None = None


async def members(caller: Caller, asked: Asked, window: Window) -> Found[Member]:
    """List active members who may do something, as far as the caller sees them and what they may."""
    shelf = _Shelf(asked, caller.catalogue)

    async def read(rows: Sequence[Member]) -> Decide[Member]:
        held = await holdings.of_members(caller.account.id, {row.id for row in rows})
        return lambda row: _allows(caller, asked, row.id, [shelf.owner(row, held.get(row.id, ()))])

    return await _scanned(caller, readable(caller, Member).filter(state=MemberState.ACTIVE), window, read)


async def tokens(caller: Caller, asked: Asked, window: Window) -> Found[Token]:
    """List working tokens that may do something, as far as the caller sees them and what they may. No sessions."""
    shelf = _Shelf(asked, caller.catalogue)

    async def read(rows: Sequence[Token]) -> Decide[Token]:
        scopes = await holdings.of_tokens(caller.account.id, {row.id for row in rows})
        held = await holdings.of_members(caller.account.id, {row.owner.id for row in rows if row.owner})

        def decide(row: Token) -> bool:
            sides = [shelf.scope(row, scopes.get(row.id, ()))]
            if row.owner is not None:
                sides.append(shelf.owner(row.owner, held.get(row.owner.id, ())))
            # Ceilings are long and allow most of what the rest does, so they are read last.
            return _allows(caller, asked, row.owner_id, sides) and all(
                shelf.ceiling(ceiling).allows(asked.action, asked.resource) for ceiling in row.ceilings
            )

        return decide

    awake = Q(owner_id__isnull=True) | Q(owner__state=MemberState.ACTIVE)
    working = readable(caller, Token).filter(living(now(), caller.account) & awake).select_related("owner")
    return await _scanned(caller, working, window, read)


def _allows(caller: Caller, asked: Asked, member_id: UUID | None, sides: Sequence[Side]) -> bool:
    authority = Authority(tuple(sides), caller.owner_id, str(member_id) if member_id else None)
    return authority.allows(asked.action, asked.resource)


async def _scanned(
    caller: Caller, rows: QuerySet[M], window: Window, read: Callable[[Sequence[M]], Awaitable[Decide[M]]]
) -> Found[M]:
    """Look through rows, chunk by chunk, until the page is full or enough have been looked at."""
    ordered = window.within(rows).order_by(*window.order.columns(forward=window.forward)).limit(CHUNK)
    found: list[M] = []
    reached = None
    chunk = await ordered
    for examined in range(CHUNK, MOST_EXAMINED + 1, CHUNK):
        seen = [row for row in chunk if caller.sees(Action.VIEW_ACCESS, row)]
        decide = await read(seen)
        for some in sliced(seen, AT_ONCE):
            found += [row for row in some if decide(row)]
            await asyncio.sleep(0)
        if len(found) > window.size or len(chunk) < CHUNK:
            break
        last = chunk[-1]
        if examined >= MOST_EXAMINED:
            reached = last
            break
        chunk = await ordered.filter(window.order.beyond(Place(last.id, last.id), forward=window.forward))
    page = Page.cut(found, window, short=reached is not None)
    return Found(page.rows, page.order, page.has_next, page.has_previous, reached)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Policies read once for all who hold them, as far as one question goes."""

    asked: Asked
    catalogue: Catalogue
    _kept: dict[Hashable, tuple[NamedPolicy, ...]] = field(default_factory=dict)

    def owner(self, member: Member, roles: Sequence[Role]) -> Side:
        """Read what a member may do, as `rights.of_member` does."""
        return self._side(SideKind.OWNER, member.base_role, roles, member.role_attributes, member.id)

    def scope(self, token: Token, roles: Sequence[Role]) -> Side:
        """Read a token's scope, as `rights.of_scope` does."""
        owner = token.owner
        if token.scope_kind is ScopeKind.INLINE:
            return rights.of_scope(token, (), self.catalogue, owner)
        attributes = owner.role_attributes if owner else token.scope_attributes
        base = token.scope_role if token.scope_kind is ScopeKind.BUILT_IN else BuiltInRole.NO_ACCESS
        return self._side(SideKind.SCOPE, base or BuiltInRole.NO_ACCESS, roles, attributes, token.owner_id)

    def ceiling(self, ceiling: Mapping[str, Any]) -> Side:
        """Read a ceiling, as `rights.of_ceiling` does: equal ones once, as those of one maker's tokens are."""
        return Side(
            SideKind.CEILING,
            self._once(json.dumps(ceiling), lambda: rights.of_ceiling(ceiling, self.catalogue).policies),
        )

    def _side(
        self,
        kind: SideKind,
        base: BuiltInRole,
        roles: Sequence[Role],
        attributes: rights.Attributes,
        member_id: UUID | None,
    ) -> Side:
        # Only what is asked about oneself depends on who one is.
        first = self.asked.resource.segments[0]
        self_id = first.name if first.kind == "member" and first.name == str(member_id) else None
        if not roles:
            return Side(kind, self._once((base, self_id), lambda: (rights.of_built_in(base, self.catalogue, self_id),)))
        values = json.dumps(attributes, sort_keys=True)
        held = (self._role(role, attributes, values, self_id) for role in roles)
        return Side(kind, tuple(chain.from_iterable(held)))

    def _role(
        self, role: Role, attributes: rights.Attributes, values: str, self_id: str | None
    ) -> tuple[NamedPolicy, ...]:
        def read() -> tuple[NamedPolicy, ...]:
            return (rights.of_role(role, self.catalogue, attributes, self_id),)

        return self._once((role.id, values, self_id), read)

    def _once(self, key: Hashable, read: Callable[[], tuple[NamedPolicy, ...]]) -> tuple[NamedPolicy, ...]:
        if key not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = read()
        return self._kept[key]
