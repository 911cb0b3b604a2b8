"""Browsers in which a member signed in before. Each keeps a signed note of it, and waits for nobody else's failures."""

import base64
from datetime import UTC, datetime, timedelta

from core.errors import Unauthenticated
from core.secret import SIGNATURE_BYTES
from models import Member, new_id, now
from resolvers.callers import Caller, Request

REMEMBERED = timedelta(days=90)
"""How long a browser, or a network, is known for somebody who signed in there."""
_ID_BYTES = 16


def note(caller: Caller) -> str:
    """Write what a browser keeps of a member who has just signed in. It opens nothing."""
    if caller.member is None:
        raise Unauthenticated
    device = new_id().bytes
    signature = caller.request.house.keys.sign(_signed(device, caller.member))[:SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(device + signature).decode().rstrip("=")


def knows(request: Request, member: Member) -> bool:
    """Say whether the browser that a request is from shows a note of this member that is not too old."""
    shown = request.device or ""
    try:
        told = base64.b64decode(shown + "=" * (-len(shown) % 4), b"-_", validate=True)
    except ValueError:
        return False
    device, signature = told[:_ID_BYTES], told[_ID_BYTES:]
    if not request.house.keys.signed(_signed(device, member), signature):
        return False
    made_at = datetime.fromtimestamp(int.from_bytes(device[:6], "big") / 1000, UTC)  # as a UUID of version 7 begins
    return now() - made_at < REMEMBERED


def _signed(device: bytes, member: Member) -> bytes:
    # With the password a note ends, so that nobody who knew it once may go on guessing.
    return b"device\n" + device + member.id.bytes + (member.password_hash or "").encode()
