"""A token's scope as it is given, checked before it is stored, and held against what others may do."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.catalogue import Catalogue
from core.covers import Allowance, covers
from core.errors import Invalid
from core.law import Side
from core.policy import check, parse_policy
from core.vocabulary import BuiltInRole
from models import Role, ScopeKind, Token, TokenRole
from resolvers import input as typed
from resolvers import rights
from resolvers.callers import Caller, roles_of_token
from resolvers.reading import readable
from resolvers.realms import roles_of_member

MAX_ROLES = 100
"""How many custom roles are named at once, at most."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope as a caller asks for it: a built-in role, or custom roles by key, or statements of its own."""

    built_in: BuiltInRole | None = None
    custom_roles: Sequence[str] | None = None
    statements: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A scope that holds: its words are known and, for custom roles, the caller sees them."""

    kind: ScopeKind
    built_in: BuiltInRole | None = None
    roles: tuple[Role, ...] = ()
    statements: list[dict[str, Any]] | None = None

    def onto(self, token: Token) -> None:
        """Set the scope's columns on a token; its custom roles are rows of their own, see `save_roles`."""
        token.scope_kind = self.kind
        token.scope_role = self.built_in  # type: ignore[assignment]
        token.scope_policy = self.statements

    @property
    def trial(self) -> dict[str, Any]:
        """The scope as a token keeps one that is tried; see `tried`."""
        if self.kind is ScopeKind.CUSTOM_ROLES:
            return {"roles": [role.key for role in self.roles]}
        return {"policy": self.statements} if self.built_in is None else {"role": self.built_in.value}

    def stays_within(self, before: Side) -> bool:
        """Say whether what it allows cannot grow beyond `before` by itself, as live roles and attributes may."""
        if self.kind is ScopeKind.CUSTOM_ROLES:
            return {role.key for role in self.roles} <= {named.name for named in before.policies}
        if self.kind is ScopeKind.BUILT_IN:
            return all(named.name in list(BuiltInRole) for named in before.policies)  # both grow with the catalogue
        return "${" not in json.dumps(self.statements)

    def roles_of(self, token: Token) -> list[TokenRole]:
        """Make the rows of a new token's custom roles."""
        return [TokenRole(account_id=token.account_id, token_id=token.id, role=role) for role in self.roles]

    async def save_roles(self, token: Token) -> None:
        """Make the token's rows of custom roles those of this scope."""
        await TokenRole.filter(account_id=token.account_id, token_id=token.id).delete()
        for role in self.roles:
            await TokenRole.create(account_id=token.account_id, token_id=token.id, role_id=role.id)


def tried(trial: Mapping[str, Any]) -> Scope:
    """Read the scope that is tried on a token, as it would be asked for."""
    role = trial.get("role")
    return Scope(BuiltInRole(role) if role else None, trial.get("roles"), trial.get("policy"))


async def checked(caller: Caller, scope: Scope) -> Checked:
    """Check a scope against the catalogue and against the roles the caller sees. Raises `Invalid` naming the field."""
    if scope.built_in is not None:
        return Checked(ScopeKind.BUILT_IN, built_in=scope.built_in)
    if scope.custom_roles is not None:
        return Checked(ScopeKind.CUSTOM_ROLES, roles=await _known_roles(caller, scope.custom_roles))
    policy = parse_policy(scope.statements or [], "scope.statements")
    check(policy, caller.catalogue, "scope.statements")
    return Checked(ScopeKind.INLINE, statements=[statement.json() for statement in policy])


async def _known_roles(caller: Caller, keys: Sequence[str]) -> tuple[Role, ...]:
    if not keys:
        raise Invalid("scope.customRoles", "must name at least one role")
    own = await roles_of_member(caller.member) if caller.member else ()
    return await roles_named(caller, "scope.customRoles", keys, own)


async def roles_named(caller: Caller, field: str, keys: Sequence[str], own: Iterable[Role] = ()) -> tuple[Role, ...]:
    """Find roles by key, each once, among `own` and those the caller sees. Raises `Invalid` naming the place."""
    if len(keys) > MAX_ROLES:
        raise Invalid(field, f"must name at most {MAX_ROLES} roles")
    asked = [typed.key(f"{field}[{index}]", key) for index, key in enumerate(keys)]
    seen = {role.key: role for role in (*own, *await readable(caller, Role).filter(key__in=asked))}
    for index, key in enumerate(asked):
        if key not in seen:
            raise Invalid(f"{field}[{index}]", f"is no role you can see: `{key}`")
    return tuple(seen[key] for key in dict.fromkeys(asked))


def refuse_hopeless(side: Side, catalogue: Catalogue, allowance: Allowance) -> None:
    """Refuse a scope of which nothing could ever apply. An empty one is identity only, and fine."""
    written = [named.policy for named in side.policies if named.policy.policy]
    if written and covers((), written, catalogue, allowance):
        raise Invalid("scope", "allows nothing that could ever apply; leave it empty for a token of identity only")


async def scope_side(token: Token, catalogue: Catalogue) -> Side:
    """Read the scope side of a stored token whose owner is fetched."""
    return rights.of_scope(token, await roles_of_token(token), catalogue, token.owner)
