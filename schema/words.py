"""The enums of the inner layers, described value by value for those who read the schema."""

from core.catalogue import Mark
from core.law import SideKind
from core.policy import Effect
from core.vocabulary import BuiltInRole
from models import (
    ActorKind,
    BasePermissions,
    GateSource,
    JobKind,
    JobState,
    MemberState,
    NoticeKind,
    Outcome,
    SignInMethod,
    TokenState,
    WebhookEvent,
)
from resolvers.advice import AdviceKind, Severity
from schema import face

face.words(
    BuiltInRole,
    "A role that every account has.",
    NO_ACCESS="May do nothing; what custom roles give is all there is.",
    READER="Sees members, roles and the catalogue, and every resource of the integrations; has tokens of their own.",
    WRITER="May also change the resources of the integrations.",
    ADMIN="May do everything but what concerns the owner.",
    OWNER="May do everything. Exactly one member is the owner.",
)
face.words(
    BasePermissions,
    "What a custom role builds on.",
    NO_ACCESS="Nothing: the role's statements are all it allows.",
    READER="All that a reader may do; the role's own denies bind it too.",
)
face.words(
    MemberState,
    "Where a member stands. Only an `ACTIVE` member's credentials work.",
    INVITED="Has a one-time link and has not used it yet.",
    ACTIVE="Is in.",
    SUSPENDED="Is kept out until reinstated; sessions and personal tokens sleep.",
    REMOVED="Is gone for good; what they did stays in the audit log.",
)
face.words(
    TokenState,
    "Whether a token works, and if not, why.",
    ACTIVE="Works.",
    EXPIRED="Its time is over.",
    REVOKED="Was ended by somebody.",
    OWNER_INACTIVE="Sleeps, because its owner is not active; it works again when they are reinstated.",
)
face.words(JobKind, "What a job does.", REVOKE_TOKENS="Ends tokens, and all that was made with them.")
face.words(
    JobState,
    "How far a job is.",
    RUNNING="Is under way, or waits for a server to go on with it.",
    DONE="Is through with all its tokens.",
    CANCELLED="Was stopped by somebody.",
    FAILED="Ended because whoever started it may not do the rest any more.",
)
face.words(
    Effect,
    "What a statement does where it matches.",
    ALLOW="Allows what it surely matches.",
    DENY="Denies what it matches or could match; within its role, a deny beats every allow.",
)
face.words(
    Mark,
    "What an action does to the world; built-in roles are granted by it.",
    READ="Looks; readers may.",
    WRITE="Changes; writers may.",
    MANAGE="Administers; admins may.",
)
face.words(
    SideKind,
    "A side that must allow. Each is a set of policies of which one is enough.",
    SCOPE="The token's own scope.",
    OWNER="What its owner, or the member who is signed in, may do now.",
    CEILING="What a token's maker might do when it was made, frozen then.",
)
face.words(
    ActorKind,
    "With what something was done.",
    SESSION="A session of somebody who is signed in.",
    PERSONAL="A member's personal token.",
    SERVICE="A service token.",
    ACCOUNT="A legacy account-wide token.",
    PASSWORD="A password, when signing in.",  # noqa: S106 - a description
    LINK="A one-time link.",
    COMMAND_LINE="The command line of the server.",
    SYSTEM="Latchkey itself: nobody did it, it was noticed.",
    POSSESSION="Nothing but a secret, by reporting that it leaked.",
    OIDC="An OpenID provider, which vouched for whoever signed in.",
)
face.words(
    SignInMethod,
    "How a session was got.",
    PASSWORD="With a password.",  # noqa: S106 - a description
    OIDC="Through the OpenID provider.",
)
face.words(
    Outcome,
    "How a deed ended.",
    DONE="It was done.",
    REFUSED="It was refused, and nothing changed.",
)
face.words(
    GateSource,
    "From where a gate takes the request that it judges. All are believed from trusted proxies alone.",
    FORWARDED="`X-Forwarded-Method`, `-Uri` and `-Host`, as Traefik and Caddy send them.",
    ORIGINAL="`X-Original-Method`, `-URI` (or `-URL`) and `-Host`, as nginx is told to send them.",
    PATH="The request itself, with the gate's own path in front, as Envoy sends it.",
    FIXED="None: the proxy's configuration fixes `action` and `resource`, in the query of the gate's URL.",
)
face.words(
    NoticeKind,
    "What a notice is about.",
    EXPIRING="A token is about to end: within 14, 7 days or one.",
    SHORTENED="A token got an end, or an earlier one: the account changed for how long tokens may live.",
    LEAKED="Somebody who held a token's secret reported it as leaked; it has ended.",
    REUSED="A token's secret was presented after its end.",
    LEGACY_USED="An account-wide token was used that day.",
    ADVICE_DUE="There is advice on the account's tokens or roles.",
)
face.words(
    WebhookEvent,
    "What is delivered to a webhook.",
    EXPIRING="Notices that a token is about to end.",
    SHORTENED="Notices that a token got an end, or an earlier one, by new lifetimes of the account.",
    LEAKED="Notices that a token's secret was reported as leaked.",
    REUSED="Notices that a token's secret was presented after its end.",
    LEGACY_USED="Notices that an account-wide token was used.",
    ADVICE_DUE="Notices that there is advice.",
    AUDIT_ENTRY="All entries of the audit log, from the webhook's own on, as CloudEvents.",
)
face.words(
    AdviceKind,
    "What advice is about, the most urgent first.",
    ACCOUNT_TOKEN_USED="An account-wide token that is used, and does not end within 180 days.",  # noqa: S106 - a description
    ACCOUNT_TOKEN_UNUSED="An account-wide token that was not used for 90 days, or never in 30.",  # noqa: S106 - a description
    SHARED="A token that 3 programs used within 30 days, or that was used from 5 networks.",
    UNUSED="A token that was not used for 90 days.",
    NEVER_USED="A token that was never used, made 30 days ago or earlier.",
    UNATTENDED="A token that no member owns, and nobody active answers for.",
    NO_EXPIRY="A token without an end.",
    OVER_GRANTED="A token of which a part of the scope is all that it used.",
    EXCEEDS_OWNER="A member's token whose scope reaches beyond what they may do now.",
    EXPIRING_SOON="A token that ends within 14 days, or within half the maximum lifetime if that is less.",
    EMPTY_ROLE="A custom role that nobody holds, and no token has.",
)
face.words(
    Severity,
    "How much it matters.",
    HIGH="Very much.",
    MEDIUM="Much.",
    LOW="Somewhat.",
)
