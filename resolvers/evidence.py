"""What is known of how tokens were used, as advice goes by it: read for many of them at once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_network
from uuid import UUID

from tortoise.functions import Sum

from core.networks import plain_address
from core.specifiers import Malformed, Segment, Specifier
from core.suggesting import Access
from core.vocabulary import Action
from models import TokenAccess, TokenDay, TokenOrigin
from resolvers.uses import NO_ACTION

ANYTHING = Specifier(())
IPV4_BITS, IPV6_BITS = 24, 48
"""How long the blocks are that addresses are counted by: what one site is usually given."""
ONCE = frozenset(action.value for action in Action if action.startswith(("create", "import", "delete")))
"""What is done to a thing once, when it is made or ends: what is made or ends the next time has another id."""
_PROGRAM = re.compile(r"[^\s/(;,]+")

Daily = Mapping[UUID, Mapping[str, int]]
"""How often tokens were allowed each action."""


async def daily(account_id: UUID, token_ids: Sequence[UUID], since: datetime) -> Daily:
    """Read how often tokens were allowed which actions since the day of a moment."""
    found: dict[UUID, dict[str, int]] = {token_id: {} for token_id in token_ids}
    rows = TokenDay.filter(account_id=account_id, token_id__in=list(token_ids), day__gte=since.date(), allowed__gt=0)
    summed = rows.annotate(times=Sum("allowed")).group_by("token_id", "action")
    for token_id, action, times in await summed.values_list("token_id", "action", "times"):
        found[token_id][action] = int(times)
    return found


def used(rows: Iterable[TokenAccess], counted: Mapping[str, int]) -> list[Access]:
    """Say what a token was used for. What was counted more often than it is known on what may have been on anything."""
    known: dict[str, int] = {}
    listed: list[Access] = []
    for row in rows:
        if row.allowed and row.action != NO_ACTION:
            known[row.action] = known.get(row.action, 0) + row.allowed
            listed.append((row.action, _specifier(row.action, row.specifier)))
    more = (action for action, times in counted.items() if action != NO_ACTION and times > known.get(action, 0))
    return [*listed, *((action, ANYTHING) for action in more)]


def _specifier(action: str, text: str) -> Specifier:
    """Take the names of what a token was used on: what was stated of it may be another thing the next time."""
    try:
        found = Specifier.parse(text)
    except Malformed:
        return ANYTHING
    segments = [Segment(segment.kind, segment.name) for segment in found.segments]
    if segments and action in ONCE:
        segments[-1] = Segment(segments[-1].kind, "*")
    return Specifier(tuple(segments))


def programs(origins: Iterable[TokenOrigin]) -> list[str]:
    """List the programs that used a token, by the first word of what they call themselves, most uses first."""
    return _by_uses((program(origin.user_agent), origin.uses) for origin in origins)


def networks(origins: Iterable[TokenOrigin]) -> list[str]:
    """List the networks from which a token was used, most uses first."""
    return _by_uses((network(origin.address), origin.uses) for origin in origins)


def program(user_agent: str) -> str:
    """Take from `curl/8.5.0` the `curl`; nothing if it does not say."""
    found = _PROGRAM.search(user_agent)
    return found[0].lower() if found else ""


def network(address: str) -> str:
    """Give the block that an address is in; nothing if it is not known."""
    try:
        plain = plain_address(address)
    except ValueError:
        return ""
    return str(ip_network((plain, IPV4_BITS if plain.version == 4 else IPV6_BITS), strict=False))  # noqa: PLR2004 - IPv4


def _by_uses(counted: Iterable[tuple[str, int]]) -> list[str]:
    uses: dict[str, int] = {}
    for name, times in counted:
        if name:
            uses[name] = uses.get(name, 0) + times
    return sorted(uses, key=lambda name: (-uses[name], name))
