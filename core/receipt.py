"""Receipts: what an integration is given for a yes, and gives back to prove that it asked. Nothing of it is stored."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from core.secret import SIGNATURE_BYTES, ServerKeys

_ID_BYTES = 16
_TIME_BYTES = 6
_TEXT_LENGTH = (_ID_BYTES + _TIME_BYTES + SIGNATURE_BYTES) * 4 // 3 + 1


class Malformed(ValueError):
    """A text that is no receipt for what it is presented with."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """That `asker`, a token, was told at `at_ms` that the token `subject` may do `action` on `resource`.

    Ids are 16 bytes, times milliseconds since 1970. The text holds the subject, the time and a signature over it all.
    """

    asker: bytes
    subject: bytes
    action: str
    resource: str
    at_ms: int

    def text(self, keys: ServerKeys) -> str:
        """Write it: 51 characters of base64url."""
        told = self.subject + self.at_ms.to_bytes(_TIME_BYTES, "big")
        return base64.urlsafe_b64encode(told + keys.sign(self._signed())[:SIGNATURE_BYTES]).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, asker: bytes, action: str, resource: str, keys: ServerKeys) -> Self:
        """Read what `text` wrote, for the asker, action and resource it was given for. Raises `Malformed`."""
        try:
            if len(text) != _TEXT_LENGTH:
                raise Malformed("not a receipt")
            told = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise Malformed("not a receipt") from None
        subject, rest = told[:_ID_BYTES], told[_ID_BYTES:]
        receipt = cls(asker, subject, action, resource, int.from_bytes(rest[:_TIME_BYTES], "big"))
        if not keys.signed(receipt._signed(), rest[_TIME_BYTES:]):
            raise Malformed("not a receipt")
        return receipt

    def _signed(self) -> bytes:
        words = f"{self.action}\n{self.resource}".encode()  # neither holds a line break
        return b"receipt\n" + self.asker + self.subject + self.at_ms.to_bytes(_TIME_BYTES, "big") + words
