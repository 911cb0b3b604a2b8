"""Entries of the audit log as they leave it whole: as GraphQL names what is in them, flat for a table, as CloudEvents.

See https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md and docs/audit.md.
"""

import json
from collections.abc import Mapping
from typing import Any

from core import ids
from models import Account, ActorKind, AuditEntry, Json, Outcome
from models.row import plain
from resolvers import entries

COLUMNS = (
    *("sequence", "at", "title", "outcome", "actions", "resources", "actorKind", "memberId", "memberName"),
    *("tokenId", "tokenName", "tokenEnding", "behalfMember", "behalfToken", "behalfEnding", "behalfVerified"),
    *("targetKind", "targetId", "targetResource", "targetName", "roles", "comment", "requestId", "address"),
    *("userAgent", "reportedAt", "before", "after", "id", "previous", "seal"),
)

SEQUENCE_DIGITS = 19
"""To how many an event's sequence is filled up, so that texts of it are in the order of the numbers."""


def shown(entry: AuditEntry) -> dict[str, Json]:
    """Show an entry as `auditEntries` does to whoever may see everything."""
    return {
        "id": ids.global_id("AuditEntry", entry.id),
        "sequence": entry.sequence,
        "at": plain(entry.at),
        "title": entries.told(entry).sentence,
        "outcome": entry.outcome.value,
        "accesses": list(entry.accesses),
        "actor": _actor(entry),
        "onBehalfOf": _behalf(entry),
        "target": {
            "kind": entry.target_kind,
            "nodeId": ids.target_id(entry.target_resource, entry.target_kind, entry.target_id),
            "resource": entry.target_resource,
            "name": entry.target_name,
        },
        "because": [
            {"action": allowed["action"], "side": decided["side"], "role": decided["role"]}
            for allowed in entry.because
            for decided in allowed["statements"]
        ],
        "comment": entry.comment,
        "requestId": entry.request_id,
        "address": entry.address,
        "userAgent": entry.user_agent,
        "reportedAt": plain(entry.reported_at),
        "before": entry.before,
        "after": entry.after,
        "previous": entry.previous,
        "seal": entry.seal,
    }


EVENT, EVENTS = "application/cloudevents+json", "application/cloudevents-batch+json"
"""The media types of an event, and of a list of them."""
_LARGE = ("accesses", "because", "before", "after")
"""What of an entry may be long."""


def event(account: Account, entry: AuditEntry) -> dict[str, Json]:
    """Make the CloudEvent of an entry. Together with the source, which is the account, the id is the entry's alone."""
    return {
        "specversion": "1.0",
        "id": ids.global_id("AuditEntry", entry.id),
        "source": f"urn:uuid:{account.id}",
        "type": _type(entry),
        "subject": entry.target_resource,
        "time": plain(entry.at),
        "datacontenttype": "application/json",
        "account": account.key,
        "sequence": f"{entry.sequence:0{SEQUENCE_DIGITS}}",
        "data": shown(entry),
    }


def _type(entry: AuditEntry) -> str:
    """Name the deed, so that who looks for it finds it only where it was done, and as Latchkey's own word."""
    if entry.outcome is Outcome.REFUSED:
        return "latchkey.audit.refused"
    action = entry.accesses[0]["action"] if entry.accesses else "unknown"
    return f"latchkey.{'audit' if entry.reported_at is None else 'reported'}.{action}"


def written(event: Mapping[str, Json]) -> bytes:
    """Write an event down in ASCII, without a line break."""
    return json.dumps(event, separators=(",", ":")).encode()


def shortened(event: Mapping[str, Any]) -> dict[str, Json]:
    """Leave out of an event what may be long, and say so: the log has it."""
    kept = {name: value for name, value in event["data"].items() if name not in _LARGE}
    return {**event, "data": {**kept, "shortened": True}}


def _actor(entry: AuditEntry) -> dict[str, Json]:
    credential = "Session" if entry.actor_kind is ActorKind.SESSION else "Token"
    return {
        "kind": entry.actor_kind.value,
        "memberId": ids.global_id("Member", entry.member_id) if entry.member_id else None,
        "memberName": entry.member_name,
        "tokenId": ids.global_id(credential, entry.token_id) if entry.token_id else None,
        "tokenName": entry.token_name,
        "tokenEnding": entry.token_ending,
    }


def _behalf(entry: AuditEntry) -> dict[str, Json] | None:
    if entry.behalf_token_id is None:
        return None
    return {
        "memberName": entry.behalf_member_name,
        "tokenName": entry.behalf_token_name,
        "tokenEnding": entry.behalf_token_ending,
        "verified": "VERIFIED" if entry.behalf_verified else "CLAIMED",
    }


def flat(said: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out what `shown` gives as a row of `COLUMNS`. A line break is a space, so that each line is a row."""
    actor, behalf, target = said["actor"], said["onBehalfOf"] or {}, said["target"]
    row = {
        **said,
        "actions": [access["action"] for access in said["accesses"]],
        "resources": [access["resource"] for access in said["accesses"]],
        "actorKind": actor["kind"],
        **{name: actor[name] for name in ("memberId", "memberName", "tokenId", "tokenName", "tokenEnding")},
        "behalfMember": behalf.get("memberName"),
        "behalfToken": behalf.get("tokenName"),
        "behalfEnding": behalf.get("tokenEnding"),
        "behalfVerified": behalf.get("verified"),
        "targetKind": target["kind"],
        "targetId": target["nodeId"],
        "targetResource": target["resource"],
        "targetName": target["name"],
        "roles": list(dict.fromkeys(decided["role"] for decided in said["because"] if decided["role"])),
        "before": _json(said["before"]),
        "after": _json(said["after"]),
    }
    return {column: _in_a_line(row[column]) for column in COLUMNS}


def _json(snapshot: Json) -> str | None:
    return None if snapshot is None else json.dumps(snapshot, ensure_ascii=False, separators=(",", ":"))


def _in_a_line(value: Any) -> Any:  # noqa: ANN401 - any cell
    return " ".join(value.splitlines()) if isinstance(value, str) else value
