"""Tokens of every kind, sessions among them, and the digests of their secrets."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.expressions import Q
from tortoise.indexes import Index

from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models.accounts import Account, Owned
from models.members import Member
from models.roles import Role
from models.row import Json


class TokenKind(StrEnum):
    """Whose a token is. `ACCOUNT` is the legacy account-wide kind; a `SESSION` is got by signing in."""

    PERSONAL = "PERSONAL"
    SERVICE = "SERVICE"
    ACCOUNT = "ACCOUNT"
    SESSION = "SESSION"


class ScopeKind(StrEnum):
    """How a token's scope is given. A session has none: it may do all that its member may."""

    BUILT_IN = "BUILT_IN"
    CUSTOM_ROLES = "CUSTOM_ROLES"
    INLINE = "INLINE"
    MEMBER = "MEMBER"


class TokenState(StrEnum):
    """Whether a token works, and if not, why. `OWNER_INACTIVE` comes back with its owner."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    OWNER_INACTIVE = "OWNER_INACTIVE"


class SignInMethod(StrEnum):
    """How a session was got."""

    PASSWORD = "PASSWORD"  # noqa: S105 - a word, not a password
    OIDC = "OIDC"


class Token(Owned):
    """A credential. Stored scopes are never rewritten when rights shrink: rights are compared at every use."""

    recorded: ClassVar[Mapping[str, str]] = {
        "kind": "kind",
        "name": "name",
        "description": "description",
        "scope_kind": "scopeKind",
        "scope_role": "scopeRole",
        "scope_policy": "scopePolicy",
        "networks": "networks",
        "rate_limits": "rateLimits",
        "trial": "trial",
        "ending": "ending",
        "expires_at": "expiresAt",
        "revoked_at": "revokedAt",
        "reset_at": "resetAt",
        "leaked_at": "leakedAt",
        "responsible_id": "responsible",
    }

    related: ClassVar[tuple[str, ...]] = ("roles__role",)

    kind = fields.CharEnumField(TokenKind, max_length=16)
    owner: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="tokens", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    owner_id: UUID | None
    creator: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="made_tokens", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    creator_id: UUID | None
    parent: fields.ForeignKeyNullableRelation["Token"] = fields.ForeignKeyField(
        "models.Token", related_name="children", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    parent_id: UUID | None
    responsible: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="cared_for_tokens", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    responsible_id: UUID | None
    """Who answers for a token that no member owns: at first whoever made it."""
    name = fields.CharField(max_length=256, default="")
    description = fields.CharField(max_length=1024, default="")
    scope_kind = fields.CharEnumField(ScopeKind, max_length=16)
    scope_role = fields.CharEnumField(BuiltInRole, max_length=16, null=True)
    scope_policy: list[dict[str, Any]] | None = fields.JSONField(null=True)
    scope_attributes: dict[str, list[str]] = fields.JSONField(default=dict)
    ceilings: list[dict[str, Any]] = fields.JSONField(default=list)
    trial: dict[str, Any] | None = fields.JSONField(null=True)
    """A narrower scope that is tried, `{"at", "role", "policy", "roles"}` of which the last are one: never enforced."""
    networks: list[str] = fields.JSONField(default=list, db_default=[])
    """From where it may be used, as CIDR blocks; from anywhere if there are none."""
    rate_limits: list[str] = fields.JSONField(default=list, db_default=[])
    """How often it may be used, such as `100/minute`: every one must leave room."""
    leaked_at = fields.DatetimeField(null=True)
    """When somebody who held its secret reported it."""
    method = fields.CharEnumField(SignInMethod, max_length=16, null=True)
    """How a session was got; no other token has it, nor has a session from before there were several ways."""
    ending = fields.CharField(max_length=4)
    expires_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)
    reset_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)
    last_used_address = fields.CharField(max_length=64, null=True)
    last_used_agent = fields.CharField(max_length=256, null=True)
    roles: fields.ReverseRelation["TokenRole"]

    class Meta:
        """Listed by account, by owner and by creator, newest first."""

        table = "token"
        indexes = (
            Index(fields=("account_id", "id")),
            Index(fields=("account_id", "kind", "id")),
            Index(fields=("account_id", "owner_id", "id")),
            Index(fields=("account_id", "creator_id", "id")),
            Index(fields=("account_id", "name", "id")),
            Index(fields=("account_id", "expires_at", "id")),
            Index(fields=("account_id", "last_used_at", "id")),
            Index(fields=("account_id", "responsible_id", "id")),
            Index(fields=("parent_id",)),
        )

    @property
    def resource(self) -> Resource:
        """`member/<id>:token/<id>`, `service-token/<id>` or `account-token/<id>`; a session is its member's own."""
        match self.kind:
            case TokenKind.SESSION:
                return Resource.of(("member", str(self.owner_id)))
            case TokenKind.SERVICE:
                return Resource.of(("service-token", str(self.id)))
            case TokenKind.ACCOUNT:
                return Resource.of(("account-token", str(self.id)))
            case _:
                return Resource.of(("member", str(self.owner_id)), ("token", str(self.id)))

    @property
    def label(self) -> str:
        """The token's name, or its last characters."""
        return self.name or f"…{self.ending}"

    def ends_at(self, account: Account) -> datetime | None:
        """Say when it ends: as was set, or with all account-wide tokens of its account if that is earlier."""
        ends = account.legacy_ends_at if self.kind is TokenKind.ACCOUNT else None
        if ends is None or self.expires_at is None:
            return ends or self.expires_at
        return min(ends, self.expires_at)

    def dead(self, at: datetime, account: Account) -> TokenState | None:
        """Say why the token is over at a moment, its owner aside; None while it lives. The account is its own."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        ends_at = self.ends_at(account)
        return TokenState.EXPIRED if ends_at is not None and ends_at <= at else None

    def retired_at(self, at: datetime, account: Account) -> datetime | None:
        """Say when it ended with all account-wide tokens; None if it has not at a moment, or was over before."""
        retired = self.kind is TokenKind.ACCOUNT and self.revoked_at is None and account.has_retired_legacy(at)
        return account.legacy_ends_at if retired and self.ends_at(account) == account.legacy_ends_at else None

    def snapshot(self) -> dict[str, Json]:
        """Show the columns and, where they were fetched, the keys of the custom roles in its scope."""
        shown = super().snapshot()
        if self.roles._fetched:  # noqa: SLF001 - Tortoise offers no public way to ask
            shown["scopeRoles"] = sorted(held.role.key for held in self.roles)
        return shown


def living(at: datetime, account: Account) -> Q:
    """Find the tokens of an account that are not over at a moment, as `Token.dead` judges one."""
    lasting = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=at))
    return lasting & Q(kind__not=TokenKind.ACCOUNT) if account.has_retired_legacy(at) else lasting


def expired(at: datetime, account: Account) -> Q:
    """Find the tokens of an account that are over at a moment and were not revoked, likewise."""
    ended = Q(expires_at__lte=at)
    return Q(revoked_at__isnull=True) & (ended | Q(kind=TokenKind.ACCOUNT) if account.has_retired_legacy(at) else ended)


class TokenRole(Owned):
    """A custom role in a token's scope, followed live."""

    token: fields.ForeignKeyRelation[Token] = fields.ForeignKeyField(
        "models.Token", related_name="roles", on_delete=fields.OnDelete.CASCADE
    )
    token_id: UUID
    role: fields.ForeignKeyRelation[Role] = fields.ForeignKeyField(
        "models.Role", related_name="tokens", on_delete=fields.OnDelete.RESTRICT
    )
    role_id: UUID

    class Meta:
        """A role stands in a scope once."""

        table = "token_role"
        unique_together = (("account", "token", "role"),)
        indexes = (Index(fields=("account_id", "role_id")), Index(fields=("token_id",)), Index(fields=("role_id",)))


class SecretDigest(Owned):
    """A secret that opens a token: its digest under a server key. The secret itself is nowhere."""

    token: fields.ForeignKeyRelation[Token] = fields.ForeignKeyField(
        "models.Token", related_name="digests", on_delete=fields.OnDelete.CASCADE
    )
    token_id: UUID
    digest = fields.CharField(max_length=64, unique=True)
    key_id = fields.CharField(max_length=64)
    expires_at = fields.DatetimeField(null=True)

    class Meta:
        """Found by its digest; a token has one, or two while an old secret is in its grace."""

        table = "secret"
        indexes = (Index(fields=("account_id", "token_id")), Index(fields=("token_id",)), Index(fields=("key_id",)))


class TokenDay(Owned):
    """How often a token was used for an action on a day, in UTC. Counted beside the log, off the path of requests."""

    token: fields.ForeignKeyRelation[Token] = fields.ForeignKeyField(
        "models.Token", related_name="days", on_delete=fields.OnDelete.CASCADE
    )
    token_id: UUID
    day = fields.DateField()
    action = fields.CharField(max_length=64)
    allowed = fields.BigIntField(default=0)
    refused = fields.BigIntField(default=0)
    trial_refused = fields.BigIntField(default=0)
    """Of those allowed, how many the scope that is tried would have refused."""

    class Meta:
        """One row a token, day and action."""

        table = "token_day"
        unique_together = (("account", "token", "day", "action"),)
        indexes = (Index(fields=("token_id",)),)


class TokenOrigin(Owned):
    """From where and by which program a token was used: as many as `resolvers.uses` keeps."""

    token: fields.ForeignKeyRelation[Token] = fields.ForeignKeyField(
        "models.Token", related_name="origins", on_delete=fields.OnDelete.CASCADE
    )
    token_id: UUID
    address = fields.CharField(max_length=64, default="")
    user_agent = fields.CharField(max_length=256, default="")
    first_at = fields.DatetimeField()
    last_at = fields.DatetimeField()
    uses = fields.BigIntField(default=0)

    class Meta:
        """One row a token, address and program."""

        table = "token_origin"
        unique_together = (("account", "token", "address", "user_agent"),)
        indexes = (Index(fields=("token_id",)),)


class TokenAccess(Owned):
    """What a token was used for: an action on a resource, and how that was decided. As many as `resolvers.uses` keeps.

    `specifier` surely matches the resource, with the tags and properties that were stated. Where there are too many,
    names are replaced by `*` and what their segments carry is left out: that row then stands for them all. `*` alone is
    for an action that was asked about at large, such as by a list, and for more kinds than are kept apart. Gates above
    a resource are decided with it, and stand in no row of their own.
    """

    token: fields.ForeignKeyRelation[Token] = fields.ForeignKeyField(
        "models.Token", related_name="accesses", on_delete=fields.OnDelete.CASCADE
    )
    token_id: UUID
    action = fields.CharField(max_length=64)
    specifier = fields.CharField(max_length=1024)
    allowed = fields.BigIntField(default=0)
    refused = fields.BigIntField(default=0)
    trial_refused = fields.BigIntField(default=0)
    """Of those allowed, how many the scope that is tried would have refused."""
    first_at = fields.DatetimeField()
    last_at = fields.DatetimeField()

    class Meta:
        """One row a token, action and resource."""

        table = "token_access"
        unique_together = (("account", "token", "action", "specifier"),)
        indexes = (Index(fields=("token_id",)),)
