"""Global ids, as Relay has them: opaque to clients, the same for as long as the object exists."""

import base64
from functools import lru_cache
from uuid import UUID

OBJECTS = {
    "acct": "Account",
    "member": "Member",
    "role": "Role",
    "gate": "Gate",
    "webhook": "Webhook",
    "token-job": "Job",
    "token": "Token",
    "service-token": "Token",
    "account-token": "Token",
}
"""What rows of Latchkey's own kinds are called as objects. A `ResourceKind` is known by its key, not by a row's id."""


@lru_cache(maxsize=4096)
def global_id(name: str, inner: str | UUID) -> str:
    """Make the global id of an object from its type's name and its inner id."""
    return base64.b64encode(f"{name}:{inner}".encode()).decode()


def target_id(resource: str, kind: str, row_id: object) -> str | None:
    """Give the global id of what a change was about, by its resource in policy words; None if that kind has none."""
    if kind == "kind":
        return global_id("ResourceKind", resource.removeprefix("kind/"))
    if kind == "member" and resource != f"member/{row_id}":
        return global_id("Session", row_id)
    return global_id(OBJECTS[kind], row_id) if kind in OBJECTS else None
