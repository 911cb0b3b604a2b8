"""Who may gain by a change that reaches many: members, and living tokens that no member owns.

A personal token never does more than its owner, so those are left aside. Holders of the same are looked at once.
"""

import asyncio
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from core.catalogue import Catalogue
from core.covers import Allowance
from core.gains import Gain, Standing, gained
from core.law import Side
from core.vocabulary import Action
from models import Account, Member, MemberState, Role, Token, TokenKind, living, now
from resolvers import holdings, rights
from resolvers.callers import Caller
from resolvers.reading import readable

ONESELF = "00000000-0000-0000-0000-000000000000"
"""Stands in for each member's own id, so that what all may do on themselves is the same."""
MOST_SHOWN = 100
MOST_ASKED = 1_000
"""Of how many gainers it is asked whether the caller sees them."""

Sides: TypeAlias = tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """A member or a token, by id."""

    model: type[Member] | type[Token]
    id: UUID


@dataclass(frozen=True, slots=True)
class Standings:
    """What everybody may do at one moment: each holder under what decides it, and the sides that come of that."""

    catalogue: Catalogue
    holders: Mapping[Holder, Hashable]
    sides: Mapping[Hashable, Sides]

    def of(self, key: Hashable) -> Standing:
        """Give what one kind of holder may do."""
        return Standing(self.sides[key], self.catalogue)


async def standings(account: Account, catalogue: Catalogue) -> Standings:
    """Read what every member and every unowned token may do now."""
    account_id = account.id
    members = Member.filter(account_id=account_id).exclude(state=MemberState.REMOVED)
    tokens = Token.filter(living(now(), account), account_id=account_id, owner_id=None).exclude(kind=TokenKind.SESSION)
    theirs, own = await holdings.of_members(account_id), await holdings.of_tokens(account_id)
    holders: dict[Holder, Hashable] = {}
    sides: dict[Hashable, Sides] = {}
    for member in await members:
        held = theirs.get(member.id, [])
        key = holders[Holder(Member, member.id)] = _what_decides_a_member(member, held)
        if key not in sides:
            sides[key] = (rights.of_member(member, held, catalogue, ONESELF),)
    for token in await tokens:
        held = own.get(token.id, [])
        key = holders[Holder(Token, token.id)] = _what_decides_a_token(token, held)
        if key not in sides:
            sides[key] = rights.of_token(token, held, None, (), catalogue)
    return Standings(catalogue, holders, sides)


def _what_decides_a_member(member: Member, held: Sequence[Role]) -> Hashable:
    if not held:
        return member.base_role
    return (json.dumps(member.role_attributes, sort_keys=True), *((role.id, role.version) for role in held))


def _what_decides_a_token(token: Token, held: Sequence[Role]) -> Hashable:
    scope = (token.scope_kind, token.scope_role, token.scope_policy, token.scope_attributes, token.ceilings)
    return (json.dumps(scope, sort_keys=True), *((role.id, role.version) for role in held))


@dataclass(frozen=True, slots=True)
class Gainer:
    """A member or a token that the caller sees and that may gain.

    What, as (action, resource specifier); None if the caller may not see what they may do, or it takes too long to say.
    """

    row: Member | Token
    gains: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, slots=True)
class Gainers:
    """Who may gain: up to a hundred that the caller sees, and how many others."""

    shown: tuple[Gainer, ...] = ()
    others: int = 0


async def gainers(caller: Caller, before: Standings, after: Standings) -> Gainers:
    """Say who may gain. All proofs share one allowance: when it is spent, whoever is left may gain."""
    allowance = Allowance()
    known: dict[tuple[Hashable, Hashable], tuple[Gain, ...] | None] = {}
    found: dict[Holder, tuple[Gain, ...] | None] = {}
    for holder, key in after.holders.items():
        pair = (before.holders[holder], key)
        if pair not in known:
            # A proof takes a while, and nobody shall wait for it.
            known[pair] = await asyncio.to_thread(gained, before.of(pair[0]), after.of(pair[1]), allowance)
        if known[pair] != ():
            found[holder] = known[pair]
    shown = [gainer for model in (Member, Token) for gainer in await _seen(caller, model, found, after.catalogue)][
        :MOST_SHOWN
    ]
    return Gainers(tuple(shown), len(found) - len(shown))


async def _seen(
    caller: Caller,
    model: type[Member] | type[Token],
    found: Mapping[Holder, tuple[Gain, ...] | None],
    catalogue: Catalogue,
) -> list[Gainer]:
    ids = [holder.id for holder in found if holder.model is model][:MOST_ASKED]
    if not ids:
        return []
    rows = readable(caller, model).filter(id__in=ids).order_by("id").limit(MOST_SHOWN)
    if model is Token:
        rows = rows.select_related("owner")
    return [
        Gainer(row, _told(found[Holder(model, row.id)], catalogue) if caller.sees(Action.VIEW_ACCESS, row) else None)
        for row in await rows
    ]


def _told(gains: tuple[Gain, ...] | None, catalogue: Catalogue) -> tuple[tuple[str, str], ...] | None:
    if gains is None:
        return None
    kinds = catalogue.kinds
    return tuple(
        (action, ":".join(kind if kinds[kind].singleton else f"{kind}/*" for kind in path)) for action, path in gains
    )
