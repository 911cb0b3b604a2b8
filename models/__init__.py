"""The rows that Latchkey keeps, each in the module named for its resource."""

from models.accounts import Account
from models.audit import ActorKind, AuditAccess, AuditEntry, AuditHead, Outcome
from models.gates import Gate, GateSource
from models.kinds import ResourceKind
from models.members import Link, Member, MemberRole, MemberState
from models.roles import BasePermissions, Role
from models.row import Json, Row, new_id, now
from models.tokens import (
    ScopeKind,
    SecretDigest,
    Token,
    TokenDay,
    TokenKind,
    TokenOrigin,
    TokenRole,
    TokenState,
    living,
)

__all__ = [
    "Account",
    "ActorKind",
    "AuditAccess",
    "AuditEntry",
    "AuditHead",
    "BasePermissions",
    "Gate",
    "GateSource",
    "Json",
    "Link",
    "Member",
    "MemberRole",
    "MemberState",
    "Outcome",
    "ResourceKind",
    "Role",
    "Row",
    "ScopeKind",
    "SecretDigest",
    "Token",
    "TokenDay",
    "TokenKind",
    "TokenOrigin",
    "TokenRole",
    "TokenState",
    "living",
    "new_id",
    "now",
]
