"""Entries of the log as sentences: who did what to what, with what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.vocabulary import Action

A = Action

PARTS: Mapping[str, str] = {
    A.UPDATE_ACCOUNT_OWNER: "owner",
    A.UPDATE_ACCOUNT_NAME: "name",
    A.UPDATE_VERDICT_LIFETIME: "lifetime of verdicts",
    A.UPDATE_TOKEN_LIFETIMES: "lifetimes of tokens",
    A.UPDATE_TOKEN_LIMITS: "limits of tokens",
    A.UPDATE_RATE_LIMITS: "rate limits",
    A.UPDATE_REUSE_RESPONSE: "response to old secrets that come back",
    A.UPDATE_MEMBER_NAME: "name",
    A.UPDATE_MEMBER_STATE: "state",
    A.UPDATE_ROLE: "base role",
    A.UPDATE_CUSTOM_ROLE: "custom roles",
    A.UPDATE_MEMBER_ROLE_ATTRIBUTES: "role attributes",
    A.UPDATE_PASSWORD: "password",
    A.UPDATE_ACCESS_TOKEN_NAME: "name",
    A.UPDATE_ACCESS_TOKEN_DESCRIPTION: "description",
    A.UPDATE_ACCESS_TOKEN_POLICY: "scope",
    A.UPDATE_ACCESS_TOKEN_EXPIRY: "end",
    A.UPDATE_ACCESS_TOKEN_RESTRICTIONS: "restrictions",
    A.UPDATE_ACCESS_TOKEN_RESPONSIBLE: "responsible member",
    A.UPDATE_NAME: "name",
    A.UPDATE_DESCRIPTION: "description",
    A.UPDATE_POLICY: "policy",
    A.UPDATE_BASE_PERMISSIONS: "base permissions",
}
"""What an action changes of its target."""

DEEDS: Mapping[str, str] = {
    A.CREATE_ACCOUNT: "made {}",
    A.RETIRE_ACCOUNT_TOKENS: "set when the account-wide tokens of {} end",
    A.VERIFY_ACCESS_TOKEN: "asked what a token of {} may do",
    A.RECORD_AUDIT_ENTRY: "reported a deed to the log of {}",
    A.PRUNE_AUDIT_LOG: "deleted the oldest entries of the log of {}",
    A.CREATE_MEMBER: "invited {}",
    A.DELETE_MEMBER: "removed {}",
    A.CREATE_SESSION: "signed in",
    A.ACCEPT_INVITE: "set a first password for {}",
    A.BIND_IDENTITY: "bound {} to an identity",
    A.UNBIND_IDENTITY: "unbound {} from an identity",
    A.REVOKE_SESSION: "ended a session",
    A.CREATE_ACCESS_TOKEN: "created {}",
    A.IMPORT_ACCESS_TOKEN: "imported {}",
    A.DELETE_ACCESS_TOKEN: "revoked {}",
    A.RESET_ACCESS_TOKEN: "gave {} a new secret",
    A.REUSE_ACCESS_TOKEN: "noticed that an old secret of {} came back",
    A.ANNOUNCE_EXPIRY: "announced that {} is about to end",
    A.NOTICE_LEGACY_USE: "noticed a use of {}",
    A.NOTICE_ADVICE: "noticed that there is advice for {}",
    A.CREATE_ROLE: "created {}",
    A.DELETE_ROLE: "deleted {}",
    A.CREATE_KIND: "defined {}",
    A.UPDATE_KIND: "changed {}",
    A.DELETE_KIND: "removed {}",
    A.CREATE_GATE: "defined {}",
    A.UPDATE_GATE: "changed {}",
    A.DELETE_GATE: "removed {}",
    A.CREATE_JOB: "started {}",
    A.CANCEL_JOB: "stopped {}",
    A.CREATE_WEBHOOK: "made {}",
    A.UPDATE_WEBHOOK: "changed {}",
    A.DELETE_WEBHOOK: "removed {}",
}
"""What an action does to its target."""

BY_PROVIDER: Mapping[str, str] = {
    A.CREATE_MEMBER: "joined as {}",
    A.ACCEPT_INVITE: "accepted the invitation of {}",
}
"""What it does where a provider vouched for whoever did it."""

NOUNS = {
    "acct": "account",
    "member": "member",
    "token": "token",
    "service-token": "service token",
    "account-token": "account-wide token",
    "role": "role",
    "kind": "resource kind",
    "gate": "gate",
    "token-job": "job",
    "webhook": "webhook",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, with what: the kind in the words of entries, and names as they were; None where there is none."""

    kind: str
    member: str | None = None
    token: str | None = None
    ending: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case "SYSTEM":
                return "Latchkey"
            case "SERVICE":
                return f"The service token {self._token}"
            case "ACCOUNT":
                return f"The account-wide token {self._token}"
            case "COMMAND_LINE":
                return "Somebody on the command line"
            case "POSSESSION":
                return "Somebody who held a secret of it"
            case _:
                return self.member or "Somebody"

    @property
    def means(self) -> str:
        """With what, where the actor does not say so already."""
        match self.kind:
            case "SESSION":
                return f" in the session …{self.ending}" if self.ending else ""
            case "PERSONAL":
                return f" with the token {self._token}"
            case "PASSWORD":
                return " with a password"
            case "OIDC":
                return " through the OpenID provider"
            case "LINK":
                return " with a one-time link"
            case _:
                return ""

    @property
    def _token(self) -> str:
        return f"{quoted(self.token or '')} (…{self.ending})" if self.ending else quoted(self.token or "")


@dataclass(frozen=True, slots=True)
class Behalf:
    """With whose token an integration says that it was done."""

    member: str | None
    token: str | None
    verified: bool

    def __str__(self) -> str:
        told = "proved" if self.verified else "said"
        whose = f"{self.member} with the token" if self.member else "the token"
        return f", on behalf, as it {told}, of {whose} {quoted(self.token or '')}"


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry says, as far as a sentence tells it."""

    actor: Actor
    actions: Sequence[str]
    target_kind: str
    target_name: str
    resource: str
    refused: bool = False
    reported: bool = False
    behalf: Behalf | None = None

    @property
    def sentence(self) -> str:
        """The sentence, without a full stop."""
        if self.refused and self.actor.kind == "SYSTEM":
            return f"More was refused in {self._target} than there was room for"
        if self.refused and self.actor.kind in {"PASSWORD", "OIDC"} and self._actions == A.CREATE_SESSION:
            return f"Somebody failed to sign in as {'no member' if self.resource == 'acct' else self.resource}"
        if self.refused:
            return f"{self.actor} was refused {self._actions} on {self.resource}{self.actor.means}"
        if self.reported:
            return f"{self.actor} reported {self._actions} on {self.resource}{self.behalf or ''}"
        return f"{self.actor} {self._deeds}{self.actor.means}"

    @property
    def _deeds(self) -> str:
        words = list(dict.fromkeys(self.actions))
        parts = [PARTS[word] for word in words if word in PARTS]
        told = [f"changed the {listed(parts)} of {{}}"] if parts else []
        deeds = {**DEEDS, **BY_PROVIDER} if self.actor.kind == "OIDC" else DEEDS
        told += [deeds[word] for word in words if word in deeds]
        told += [f"did {word} to {{}}" for word in words if word not in PARTS and word not in DEEDS]
        first, *rest = told or ["did something to {}"]
        return listed([first.format(self._target), *(each.format("it") for each in rest)])

    @property
    def _target(self) -> str:
        noun = NOUNS.get(self.target_kind)
        return f"the {noun} {quoted(self.target_name)}" if noun else self.resource

    @property
    def _actions(self) -> str:
        return listed(list(dict.fromkeys(self.actions)))


def quoted(name: str) -> str:
    """Set a name apart from the sentence."""
    return f"“{name}”"


def listed(words: Sequence[str]) -> str:
    """Write words as a sentence lists them."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
