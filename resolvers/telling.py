"""What notices say: in a sentence, to a webhook, and in a mail. Of a secret no more than its last characters."""

from datetime import UTC, datetime
from typing import Any

from core import ids
from models import Account, Delivery, Json, Notice, NoticeKind, TokenKind
from resolvers.sending import Letter

TYPES = {
    NoticeKind.EXPIRING: "token.expiring",
    NoticeKind.SHORTENED: "token.shortened",
    NoticeKind.LEAKED: "token.leaked",
    NoticeKind.REUSED: "token.reused",
    NoticeKind.LEGACY_USED: "token.legacy_used",
    NoticeKind.ADVICE_DUE: "advice.due",
}
"""What webhooks call them."""
_ADVICE = {
    NoticeKind.EXPIRING: "Give it a later end, or make another token, before what uses it stops working.",
    NoticeKind.SHORTENED: "Give it a later end as far as the account allows, or make another token, before what uses "
    "it stops working.",
    NoticeKind.LEAKED: "Whoever holds the secret could use it until then: see the audit log for what was done with it, "
    "and give whatever needs it a new one.",
    NoticeKind.REUSED: "Either something still uses the old secret, or somebody has it who should not: the audit log "
    "says from where it came. If you cannot tell, revoke the token.",
    NoticeKind.LEGACY_USED: "Account-wide tokens are to go: give what uses it a token of its own.",
    NoticeKind.ADVICE_DUE: "See `advice` for what to do about it.",
}


def sentence(notice: Notice) -> str:
    """Say in a sentence what was noticed."""
    details = notice.details
    match notice.kind:
        case NoticeKind.EXPIRING:
            days = details["days"]
            within = "a day" if days == 1 else f"{days} days"
            return f"The {_name(details)} ends within {within}, at {_time(details['expiresAt'])}."
        case NoticeKind.SHORTENED:
            end = _time(details["expiresAt"])
            return f"The {_name(details)} ends at {end} now: the account changed for how long tokens may live."
        case NoticeKind.LEAKED:
            return f"A secret of the {_name(details)} was reported as leaked, and has ended."
        case NoticeKind.REUSED:
            return f"A secret of the {_name(details)} was presented after its end."
        case NoticeKind.LEGACY_USED:
            return f"The {_name(details)} was used, at {_time(details['lastUsedAt'])}."
        case NoticeKind.ADVICE_DUE:
            count = details["count"]
            many = "is a piece" if count == 1 else f"are {count} pieces"
            return f"There {many} of advice on the account's tokens and roles."


_NOUNS = {TokenKind.SESSION: "session", TokenKind.ACCOUNT: "account-wide token"}


def _name(details: dict[str, Any]) -> str:
    token = details["token"]
    noun, ending = _NOUNS.get(TokenKind(token["kind"]), "token"), f"ending in `{token['ending']}`"
    return f"{noun} `{token['name']}` ({ending})" if token["name"] else f"{noun} {ending}"


def _time(told: str) -> str:
    return f"{datetime.fromisoformat(told).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def body(account: Account, notice: Notice) -> dict[str, Json]:
    """Say it to a webhook: `type`, `timestamp` and `data`, as Standard Webhooks has it."""
    token = notice.details.get("token")
    data: dict[str, Json] = {
        "id": ids.global_id("Notice", notice.id),
        "account": account.key,
        "message": sentence(notice),
        "auditEntry": ids.global_id("AuditEntry", notice.entry_id),
        "member": ids.global_id("Member", notice.member_id) if notice.member_id else None,
        **{name: value for name, value in notice.details.items() if name != "token"},
    }
    if token and notice.token_id:
        name = "Session" if token["kind"] == TokenKind.SESSION else "Token"
        data["token"] = {"id": ids.global_id(name, notice.token_id), **token}
    return {"type": TYPES[notice.kind], "timestamp": stamp(notice.at), "data": data}


def ping(account: Account, at: datetime) -> dict[str, Json]:
    """Say to a webhook that it is there."""
    return {"type": "ping", "timestamp": stamp(at), "data": {"account": account.key}}


def stamp(at: datetime) -> str:
    """Write a time as webhooks do."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def letter(delivery: Delivery, notice: Notice, to: str, public_url: str) -> Letter:
    """Say it in a mail, to the member whom the delivery is for."""
    said, account = sentence(notice), delivery.account
    text = f"{said}\n\n{_ADVICE[notice.kind]}\n\nAccount: {account.name}\n{public_url}/\n"
    return Letter(str(delivery.id), to, f"[{account.key}] {said}", text)
