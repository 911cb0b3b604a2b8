"""What advice offers to do: mutations with their inputs, ready to be sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.ids import global_id
from core.policy import Policy
from models import Account, Json, Role, ScopeKind, Token, TokenKind
from resolvers.callers import Caller
from resolvers.lifetimes import LONGEST_S, Lifetime

LONG = timedelta(days=365)
"""How long a token lives that gets an end, unless the account says otherwise."""
HANDOVER = timedelta(days=30)
"""For how long a token works on that others are to replace."""
MOST_REPLACEMENTS = 5
"""How many tokens are offered in place of one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One mutation, by the name of its field, and its input. Ids are global ones, times are ISO 8601."""

    mutation: str
    input: Mapping[str, Json]


Use = Mapping[str, Any]
"""What tells a replacement for one use from the others: its name, and what restricts it beside what all have."""


def revoke(token: Token) -> Step:
    """End a token at once."""
    return Step("revokeToken", {"id": _id(token), "expectedVersion": token.version})


def change(token: Token, **what: Json) -> Step:
    """Change something about a token."""
    return Step("updateToken", {"id": _id(token), **what, "expectedVersion": token.version})


def end(token: Token, at: datetime) -> Step:
    """Give a token an end, or another."""
    return change(token, expiresAt=at.isoformat())


def narrow(token: Token, policy: Policy) -> Step:
    """Give a token a policy of its own for a scope."""
    return change(token, scope=scope_as(policy))


def hand_over(token: Token, member_id: UUID) -> Step:
    """Let a member answer for a token."""
    return change(token, responsibleId=global_id("Member", member_id))


def delete_role(role: Role) -> Step:
    """Delete a custom role."""
    return Step("deleteRole", {"id": global_id("Role", role.id), "expectedVersion": role.version})


def replace(
    caller: Caller, token: Token, at: datetime, uses: Sequence[Use], scope: Mapping[str, Json]
) -> tuple[Step, ...]:
    """Make a token for each use in place of one, which ends when there was time to move over.

    Nobody makes another member's tokens, and only members make any: where they cannot, only the end is offered.
    """
    member = caller.member
    may_make = member is not None and (token.kind is not TokenKind.PERSONAL or member.id == token.owner_id)
    made = tuple(_made(caller.account, token, at, uses, scope)) if may_make else ()
    return (*made, end(token, at + HANDOVER))


def _made(
    account: Account, token: Token, at: datetime, uses: Sequence[Use], scope: Mapping[str, Json]
) -> Iterator[Step]:
    kind = TokenKind.SERVICE if token.kind is TokenKind.SERVICE else TokenKind.PERSONAL
    latest = lifetime_end(account, kind, at) if token.expires_at is None else _latest(account, kind, at)
    ends_at = min(latest, token.expires_at or latest)
    for number, use in enumerate(uses[:MOST_REPLACEMENTS], start=1):
        yield Step(
            "createToken",
            {
                "kind": kind.value,
                "name": "".join(letter if letter.isprintable() else "?" for letter in use["name"])[:256],
                "description": token.description,
                "scope": dict(scope),
                "expiresAt": ends_at.isoformat(),
                "networks": use.get("networks") or token.networks,
                "rateLimits": token.rate_limits,
                "idempotencyKey": f"advice-{token.id}-{token.version}-{number}",
            },
        )


def lifetime_end(account: Account, kind: TokenKind, at: datetime) -> datetime:
    """Give the end of a token that gets one at a moment, as its account says: by default, or as late as may be."""
    lifetime = Lifetime.of(account, kind)
    seconds = lifetime.default_s or lifetime.maximum_s
    return at + (LONG if seconds is None else timedelta(seconds=seconds))


def _latest(account: Account, kind: TokenKind, at: datetime) -> datetime:
    longest_s = Lifetime.of(account, kind).maximum_s
    return at + timedelta(seconds=LONGEST_S if longest_s is None else longest_s)


def scope_of(token: Token, roles: Sequence[str]) -> dict[str, Json]:
    """Write a token's scope as an input."""
    match token.scope_kind:
        case ScopeKind.BUILT_IN:
            return {"builtInRole": token.scope_role.name if token.scope_role else "NO_ACCESS"}
        case ScopeKind.CUSTOM_ROLES:
            return {"customRoles": list(roles)}
        case _:
            return {"statements": [_input(raw) for raw in token.scope_policy or []]}


def scope_as(policy: Policy) -> dict[str, Json]:
    """Write a policy as the input of a scope."""
    return {"statements": [_input(statement.json()) for statement in policy]}


def _input(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, "effect": str(raw["effect"]).upper()}


def _id(token: Token) -> str:
    return global_id("Token", token.id)
