"""Browsers in which somebody signed in before. Each keeps a signed note of it, and waits for its own failures alone."""

import base64
from datetime import UTC, datetime, timedelta

from core.secret import SIGNATURE_BYTES
from models import new_id, now
from resolvers import input as typed
from resolvers.callers import Request

REMEMBERED = timedelta(days=90)
"""How long a browser, or a network, is known for somebody who signed in there."""
_ID_BYTES = 16


def note(request: Request, email: str) -> str:
    """Write what a browser keeps of a sign-in with an e-mail address. It opens nothing."""
    device = new_id().bytes
    signature = request.house.keys.sign(_signed(device, typed.email("email", email)[1]))[:SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(device + signature).decode().rstrip("=")


def known(request: Request, email_key: str) -> str | None:
    """Name the browser that a request is from, if it shows a note for this e-mail address that is not too old."""
    shown = request.device or ""
    try:
        told = base64.b64decode(shown + "=" * (-len(shown) % 4), b"-_", validate=True)
    except ValueError:
        return None
    device, signature = told[:_ID_BYTES], told[_ID_BYTES:]
    if not request.house.keys.signed(_signed(device, email_key), signature):
        return None
    made_at = datetime.fromtimestamp(int.from_bytes(device[:6], "big") / 1000, UTC)  # as a UUID of version 7 begins
    return device.hex() if now() - made_at < REMEMBERED else None


def _signed(device: bytes, email_key: str) -> bytes:
    return b"device\n" + device + email_key.encode()
