"""Latchkey's own words: its actions, its kinds, and what each built-in role may do with them.

Where LaunchDarkly has a word for the same deed, it is that word. Each is written once, with what it is for.
"""

from enum import StrEnum
from typing import Self

from core.catalogue import Kind, KindAction, Mark


class Action(StrEnum):
    """A deed on one of Latchkey's own kinds: granted by policies, required by mutations, recorded by entries."""

    description: str

    def __new__(cls, word: str, description: str) -> Self:
        """Make an action from its word and what it is for."""
        action = str.__new__(cls, word)
        action._value_ = word
        action.description = description
        return action

    VIEW_ACCOUNT = "viewAccount", "See the account's name and settings."
    UPDATE_ACCOUNT_OWNER = "updateAccountOwner", "Hand the account over to another member. Only its owner ever may."
    UPDATE_ACCOUNT_NAME = "updateAccountName", "Change the account's name."
    UPDATE_VERDICT_LIFETIME = "updateVerdictLifetime", "Change for how long integrations may keep a verdict."
    UPDATE_TOKEN_LIFETIMES = "updateTokenLifetimes", "Change for how long tokens may live; those beyond it get an end."
    UPDATE_TOKEN_LIMITS = "updateTokenLimits", "Change how many tokens there may be, and how many a member may have."
    UPDATE_RATE_LIMITS = "updateRateLimits", "Change how often all tokens together may be used."
    UPDATE_REUSE_RESPONSE = "updateReuseResponse", "Change whether a token ends when an old secret of it comes back."
    RETIRE_ACCOUNT_TOKENS = "retireAccountTokens", "Set when the account-wide tokens end, all of them."
    VIEW_ADVICE = "viewAdvice", "See advice on the account's tokens, and how the account scores."
    VERIFY_ACCESS_TOKEN = "verifyAccessToken", "Ask what a token that somebody presented may do."
    RECORD_AUDIT_ENTRY = "recordAuditEntry", "Report to the log what was done with a token elsewhere."
    CREATE_ACCOUNT = "createAccount", "Make an account and its owner. Done on the command line; no policy grants it."
    VIEW_AUDIT_LOG = "viewAuditLog", "See audit entries: on `acct` all, on a member those of their deeds and tokens."
    VIEW_AUDIT_CHANGES = "viewAuditChanges", "See what an audit entry changed, before and after."
    PRUNE_AUDIT_LOG = (
        "pruneAuditLog",
        "Delete the oldest audit entries. Done on the command line or by retention; no policy grants it.",
    )

    VIEW_MEMBER = "viewMember", "See that a member exists, and their name, state and roles."
    VIEW_MEMBER_EMAIL = "viewMemberEmail", "See a member's e-mail address."
    VIEW_ACCESS = "viewAccess", "See what a member or a token may do, and which statements of which roles decide it."
    CREATE_MEMBER = "createMember", "Invite a member, and reissue the link that lets them in."
    DELETE_MEMBER = "deleteMember", "Remove a member for good; their personal tokens end."
    UPDATE_MEMBER_NAME = "updateMemberName", "Change a member's name."
    UPDATE_MEMBER_STATE = "updateMemberState", "Suspend a member and let them back in."
    UPDATE_ROLE = "updateRole", "Change a member's base role."
    UPDATE_CUSTOM_ROLE = "updateCustomRole", "Change which custom roles a member has."
    UPDATE_MEMBER_ROLE_ATTRIBUTES = "updateMemberRoleAttributes", "Change the values that fill a member's roles."
    CREATE_SESSION = "createSession", "Sign in. Done with a password, or by an OpenID provider; no policy grants it."
    UPDATE_PASSWORD = "updatePassword", "Change one's own password. Done with a password; no policy grants it."
    ACCEPT_INVITE = (
        "acceptInvite",
        "Come in as a member, by a one-time link or an OpenID provider; no policy grants it.",
    )
    BIND_IDENTITY = (
        "bindIdentity",
        "Keep who a member is at an OpenID provider. Done by signing in there; no policy grants it.",
    )
    UNBIND_IDENTITY = (
        "unbindIdentity",
        "Forget who a member is at an OpenID provider. Done on the command line; no policy grants it.",
    )
    VIEW_SESSION = "viewSession", "See where a member is signed in."
    REVOKE_SESSION = "revokeSession", "Sign a member out of a session."

    VIEW_ACCESS_TOKEN = "viewAccessToken", "See a token and what it may do; never its secret."
    VIEW_ACCESS_TOKEN_USE = "viewAccessTokenUse", "See how often a token is used, for what and from where."
    CREATE_ACCESS_TOKEN = "createAccessToken", "Make a token."
    IMPORT_ACCESS_TOKEN = "importAccessToken", "Bring an account-wide token over, by its secret or a digest of it."
    DELETE_ACCESS_TOKEN = "deleteAccessToken", "End a token's life at once."
    RESET_ACCESS_TOKEN = "resetAccessToken", "Give a token a new secret; the old one dies when its grace ends."
    UPDATE_ACCESS_TOKEN_NAME = "updateAccessTokenName", "Change a token's name."
    UPDATE_ACCESS_TOKEN_DESCRIPTION = "updateAccessTokenDescription", "Change a token's description."
    UPDATE_ACCESS_TOKEN_POLICY = "updateAccessTokenPolicy", "Change a token's scope."
    UPDATE_ACCESS_TOKEN_EXPIRY = "updateAccessTokenExpiry", "Change when a token ends."
    UPDATE_ACCESS_TOKEN_RESTRICTIONS = (
        "updateAccessTokenRestrictions",
        "Change from where a token may be used, and how often.",
    )
    UPDATE_ACCESS_TOKEN_RESPONSIBLE = "updateAccessTokenResponsible", "Change which member answers for a token."
    REUSE_ACCESS_TOKEN = (
        "reuseAccessToken",
        "Present a secret after its end. Latchkey notices; no policy grants it.",
    )
    ANNOUNCE_EXPIRY = "announceExpiry", "Announce that a token is about to end. Latchkey does; no policy grants it."
    NOTICE_LEGACY_USE = "noticeLegacyUse", "Notice that an account-wide token is used; no policy grants it."
    NOTICE_ADVICE = "noticeAdvice", "Notice that there is advice to follow; no policy grants it."

    VIEW_ROLE = "viewRole", "See that a custom role exists, and its name."
    VIEW_ROLE_POLICY = "viewRolePolicy", "See what a custom role allows and who holds it."
    CREATE_ROLE = "createRole", "Make a custom role."
    DELETE_ROLE = "deleteRole", "Delete a custom role that nobody holds."
    UPDATE_NAME = "updateName", "Change a custom role's name."
    UPDATE_DESCRIPTION = "updateDescription", "Change a custom role's description."
    UPDATE_POLICY = "updatePolicy", "Change what a custom role allows."
    UPDATE_BASE_PERMISSIONS = "updateBasePermissions", "Change what a custom role builds on."

    VIEW_KIND = "viewKind", "See a resource kind and its actions."
    CREATE_KIND = "createKind", "Define a new resource kind."
    UPDATE_KIND = "updateKind", "Change a resource kind and its actions."
    DELETE_KIND = "deleteKind", "Remove a resource kind."

    VIEW_GATE = "viewGate", "See a gate and its routes."
    CREATE_GATE = "createGate", "Define a new gate."
    UPDATE_GATE = "updateGate", "Change a gate and its routes."
    DELETE_GATE = "deleteGate", "Remove a gate; what it guards is refused from then on."

    VIEW_JOB = "viewJob", "See a job over many tokens, and how far it is."
    CREATE_JOB = "createJob", "Start a job over many tokens. What it does to each needs its own action on that token."
    CANCEL_JOB = "cancelJob", "Stop a job; what it has done stays done."

    VIEW_WEBHOOK = "viewWebhook", "See a webhook and what was delivered to it."
    CREATE_WEBHOOK = "createWebhook", "Have notices delivered to a URL."
    UPDATE_WEBHOOK = "updateWebhook", "Change a webhook, test it, and give it a new signing secret."
    DELETE_WEBHOOK = "deleteWebhook", "Remove a webhook; nothing more is delivered to it."


A = Action

_READ = {A.VIEW_ACCOUNT, A.VIEW_MEMBER, A.VIEW_ROLE, A.VIEW_KIND}
"""Seeing the account, its members and roles by name, and the catalogue. All else of Latchkey's own is `MANAGE`."""

_TOKEN = (
    A.VIEW_ACCESS_TOKEN,
    A.VIEW_ACCESS_TOKEN_USE,
    A.VIEW_ACCESS,
    A.CREATE_ACCESS_TOKEN,
    A.DELETE_ACCESS_TOKEN,
    A.RESET_ACCESS_TOKEN,
    A.UPDATE_ACCESS_TOKEN_NAME,
    A.UPDATE_ACCESS_TOKEN_DESCRIPTION,
    A.UPDATE_ACCESS_TOKEN_EXPIRY,
    A.UPDATE_ACCESS_TOKEN_RESTRICTIONS,
)
"""What may be done with a token, whosever it is."""


def _own(key: str, *actions: Action, parents: tuple[str, ...] = (), singleton: bool = False, description: str) -> Kind:
    marked = (KindAction(a.value, Mark.READ if a in _READ else Mark.MANAGE, a.description) for a in actions)
    return Kind(key, tuple(marked), parents, key, description, singleton=singleton, own=True)


OWN_KINDS = (
    _own(
        "acct",
        A.VIEW_ACCOUNT,
        A.UPDATE_ACCOUNT_OWNER,
        A.UPDATE_ACCOUNT_NAME,
        A.UPDATE_VERDICT_LIFETIME,
        A.UPDATE_TOKEN_LIFETIMES,
        A.UPDATE_TOKEN_LIMITS,
        A.UPDATE_RATE_LIMITS,
        A.UPDATE_REUSE_RESPONSE,
        A.RETIRE_ACCOUNT_TOKENS,
        A.VIEW_ADVICE,
        A.VERIFY_ACCESS_TOKEN,
        A.RECORD_AUDIT_ENTRY,
        A.VIEW_AUDIT_LOG,
        A.VIEW_AUDIT_CHANGES,
        singleton=True,
        description="The account itself.",
    ),
    _own(
        "member",
        A.VIEW_MEMBER,
        A.VIEW_MEMBER_EMAIL,
        A.VIEW_ACCESS,
        A.CREATE_MEMBER,
        A.DELETE_MEMBER,
        A.UPDATE_MEMBER_NAME,
        A.UPDATE_MEMBER_STATE,
        A.UPDATE_ROLE,
        A.UPDATE_CUSTOM_ROLE,
        A.UPDATE_MEMBER_ROLE_ATTRIBUTES,
        A.VIEW_SESSION,
        A.REVOKE_SESSION,
        A.VIEW_AUDIT_LOG,
        A.VIEW_AUDIT_CHANGES,
        description="A person in the account, by id.",
    ),
    _own(
        "token",
        *_TOKEN,
        A.UPDATE_ACCESS_TOKEN_POLICY,
        parents=("member",),
        description="A personal token, by id, beneath the member who owns it.",
    ),
    _own(
        "service-token",
        *_TOKEN,
        A.UPDATE_ACCESS_TOKEN_RESPONSIBLE,
        description="A token that the account owns, by id.",
    ),
    _own(
        "account-token",
        A.VIEW_ACCESS_TOKEN,
        A.VIEW_ACCESS_TOKEN_USE,
        A.VIEW_ACCESS,
        A.IMPORT_ACCESS_TOKEN,
        A.DELETE_ACCESS_TOKEN,
        A.UPDATE_ACCESS_TOKEN_NAME,
        A.UPDATE_ACCESS_TOKEN_DESCRIPTION,
        A.UPDATE_ACCESS_TOKEN_POLICY,
        A.UPDATE_ACCESS_TOKEN_EXPIRY,
        A.UPDATE_ACCESS_TOKEN_RESTRICTIONS,
        A.UPDATE_ACCESS_TOKEN_RESPONSIBLE,
        description="A legacy account-wide token, by id. Flagged for deletion.",
    ),
    _own(
        "role",
        A.VIEW_ROLE,
        A.VIEW_ROLE_POLICY,
        A.CREATE_ROLE,
        A.DELETE_ROLE,
        A.UPDATE_NAME,
        A.UPDATE_DESCRIPTION,
        A.UPDATE_POLICY,
        A.UPDATE_BASE_PERMISSIONS,
        description="A custom role, by key.",
    ),
    _own(
        "kind",
        A.VIEW_KIND,
        A.CREATE_KIND,
        A.UPDATE_KIND,
        A.DELETE_KIND,
        description="A resource kind of the catalogue, by key.",
    ),
    _own(
        "gate",
        A.VIEW_GATE,
        A.CREATE_GATE,
        A.UPDATE_GATE,
        A.DELETE_GATE,
        description="A gate by which a proxy asks about requests, by key.",
    ),
    _own("token-job", A.VIEW_JOB, A.CREATE_JOB, A.CANCEL_JOB, description="A job over many tokens, by id."),
    _own(
        "webhook",
        A.VIEW_WEBHOOK,
        A.CREATE_WEBHOOK,
        A.UPDATE_WEBHOOK,
        A.DELETE_WEBHOOK,
        description="A URL that notices are delivered to, by id.",
    ),
)

CREDENTIAL_ONLY = frozenset(
    {
        A.CREATE_ACCOUNT,
        A.CREATE_SESSION,
        A.UPDATE_PASSWORD,
        A.ACCEPT_INVITE,
        A.BIND_IDENTITY,
        A.UNBIND_IDENTITY,
        A.REUSE_ACCESS_TOKEN,
        A.ANNOUNCE_EXPIRY,
        A.NOTICE_LEGACY_USE,
        A.NOTICE_ADVICE,
        A.PRUNE_AUDIT_LOG,
    }
)
"""Deeds that a password, a provider, a one-time link or the command line allows, or that nobody does but that happen.

Standing on no kind, no policy speaks of them.
"""

OWNER_ONLY = frozenset({("acct", A.UPDATE_ACCOUNT_OWNER.value)})
"""(kind, action) pairs that no policy can grant: being the owner does."""


class BuiltInRole(StrEnum):
    """A role that every account has. `OWNER` is held by exactly one member."""

    NO_ACCESS = "no_access"
    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"
    OWNER = "owner"


ON_ONESELF = (
    A.VIEW_MEMBER_EMAIL,
    A.VIEW_ACCESS,
    A.UPDATE_MEMBER_NAME,
    A.VIEW_SESSION,
    A.REVOKE_SESSION,
    A.VIEW_AUDIT_LOG,
    A.VIEW_AUDIT_CHANGES,
)
"""What readers and writers may do on `member/<self>`, beside every action on their own tokens."""
