"""Custom roles by who holds them: members, and tokens in their scopes."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

from models import MemberRole, Role, TokenRole

Holdings: TypeAlias = Mapping[UUID, list[Role]]
"""Custom roles by their holders' ids, in the order of their keys. Who holds none is not among them."""


async def of_members(account_id: UUID, members: Collection[UUID] | None = None) -> Holdings:
    """Read the custom roles of members, or of all of an account."""
    held = MemberRole.filter(account_id=account_id).select_related("role")
    rows = held if members is None else held.filter(member_id__in=list(members))
    return _by_holder((row.member_id, row.role) for row in await rows)


async def of_tokens(account_id: UUID, tokens: Collection[UUID] | None = None) -> Holdings:
    """Read the custom roles in the scopes of tokens, or of all of an account."""
    held = TokenRole.filter(account_id=account_id).select_related("role")
    rows = held if tokens is None else held.filter(token_id__in=list(tokens))
    return _by_holder((row.token_id, row.role) for row in await rows)


def _by_holder(held: Iterable[tuple[UUID, Role]]) -> Holdings:
    by_holder = defaultdict[UUID, list[Role]](list)
    for holder, role in sorted(held, key=lambda pair: pair[1].key):
        by_holder[holder].append(role)
    return dict(by_holder)
