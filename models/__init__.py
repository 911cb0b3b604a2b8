"""The rows that Latchkey keeps, each in the module named for its resource."""

from models.accounts import Account
from models.audit import CLOCKS_DIFFER, ActorKind, AuditAccess, AuditEntry, AuditHead, AuditStub, Outcome, SignedHead
from models.feeds import Feed
from models.gates import Gate, GateSource
from models.identities import Identity
from models.jobs import Job, JobKind, JobState
from models.kinds import ResourceKind
from models.members import Link, Member, MemberRole, MemberState
from models.notices import Channel, Delivery, Notice, NoticeKind, Webhook, WebhookEvent
from models.roles import BasePermissions, Role
from models.row import Json, Row, new_id, now
from models.scores import Score
from models.tokens import (
    ScopeKind,
    SecretDigest,
    SignInMethod,
    Token,
    TokenAccess,
    TokenDay,
    TokenKind,
    TokenOrigin,
    TokenRole,
    TokenState,
    expired,
    living,
)

__all__ = [
    "CLOCKS_DIFFER",
    "Account",
    "ActorKind",
    "AuditAccess",
    "AuditEntry",
    "AuditHead",
    "AuditStub",
    "BasePermissions",
    "Channel",
    "Delivery",
    "Feed",
    "Gate",
    "GateSource",
    "Identity",
    "Job",
    "JobKind",
    "JobState",
    "Json",
    "Link",
    "Member",
    "MemberRole",
    "MemberState",
    "Notice",
    "NoticeKind",
    "Outcome",
    "ResourceKind",
    "Role",
    "Row",
    "ScopeKind",
    "Score",
    "SecretDigest",
    "SignInMethod",
    "SignedHead",
    "Token",
    "TokenAccess",
    "TokenDay",
    "TokenKind",
    "TokenOrigin",
    "TokenRole",
    "TokenState",
    "Webhook",
    "WebhookEvent",
    "expired",
    "living",
    "new_id",
    "now",
]
