"""A credential's text and the digests it is stored and found by.

The shape is GitHub's, so that existing scanners' rules fit: a prefix, 30 random base62 characters, their CRC32 in six.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import zlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS = 30
CHECKSUM_CHARACTERS = 6
ENDING_CHARACTERS = 4
SHOWN_FROM_CHARACTERS = 16
"""How long a secret of another shape is at least if its last characters are shown."""
LONG = 8
"""How many characters a secret has at least that is looked for within what people read. A shorter one is a word."""
KEY_BYTES = 32
LONGEST = 4096
"""How many characters a credential has at most, whatever its shape."""
SIGNATURE_BYTES = 16
"""What must be kept of a signature at least."""
_SIGNED = b"latchkey signature 1\n"
_DERIVED = b"latchkey derivation 1\n"


class SecretKind(StrEnum):
    """What a secret opens, by its prefix."""

    PERSONAL = "lkp_"
    SERVICE = "lks_"
    SESSION = "lkt_"
    LINK = "lkl_"
    """A one-time link: lets its holder set a password."""


_SHAPE = re.compile(
    rf"(?:{'|'.join(SecretKind)})([{ALPHABET}]{{{RANDOM_CHARACTERS}}})([{ALPHABET}]{{{CHECKSUM_CHARACTERS}}})"
)


_OWN_PREFIX = re.compile(r"lk[0-9A-Za-z]_")


_SHORTENED = re.compile(
    rf"\b(lk[a-z]_)[{ALPHABET}]+"  # also a part of one, where it begins a word
    rf"|(lk[0-9A-Za-z]_)[{ALPHABET}]{{{RANDOM_CHARACTERS},}}"
    r"|(whsec_)[0-9A-Za-z+/=_-]+"
    r"|(\bBearer +)[^\s\"',]+"
    r"|(\bBasic +)[0-9A-Za-z+/]{16,}=*"
    r"|(://[^\s/:@\"']*:)[^\s/@\"']+(?=@)",
)


_MARKS = ("_", "://", "Bearer", "Basic")
"""One of these is in whatever is shortened."""

_heard: ContextVar[set[str] | None] = ContextVar("heard", default=None)
"""The secrets that came with the request that is being answered, as texts and as Python shows them."""


def listen() -> None:
    """Have `redacted` know from here on, in this task and those that it starts, the secrets that are `heard`."""
    _heard.set(set())


def heard(text: str) -> str:
    """Note a secret that has no shape to be known by: a password, or what was made elsewhere."""
    among = _heard.get()
    if among is not None and LONG <= len(text) <= LONGEST and not _SHAPE.fullmatch(text):
        among |= {text, repr(text)[1:-1], repr(text.encode("utf-8", "surrogatepass"))[2:-1]}
    return text


def redacted(text: str) -> str:
    """Shorten every secret in a text to its kind: ours, those of webhooks, and what stands in headers and URLs.

    What was `heard` in the request that is being answered is left out.
    """
    if among := _heard.get():
        for secret in sorted(among, key=len, reverse=True):
            text = text.replace(secret, "…")
    if not any(mark in text for mark in _MARKS):  # as in most: this takes a tenth of the time
        return text
    return _SHORTENED.sub(lambda found: f"{next(filter(None, found.groups()))}…", text)


def holds_secret(text: str) -> bool:
    """Say whether there is anything in a text that has the shape of a secret, whether or not it ever was one."""
    return _SHAPE.search(text) is not None


class Malformed(ValueError):
    """A text that no secret or key ring has. The message never repeats any of it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A well-formed credential. There is no other: making one of any other text raises Malformed."""

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        shape = _SHAPE.fullmatch(self.text)
        if shape is None or checksum(shape[1]) != shape[2]:
            raise Malformed("not a credential")

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """Take a presented text, checking shape and checksum. Raises Malformed, with one message for all reasons."""
        return cls(text)

    @classmethod
    def mint(cls, kind: SecretKind) -> "Secret":
        """Make a new secret of 178 bits of chance."""
        body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
        return cls(kind + body + checksum(body))

    @property
    def kind(self) -> SecretKind:
        """What this secret opens."""
        return SecretKind(self.text[: len(SecretKind.PERSONAL)])

    @property
    def ending(self) -> str:
        """The last characters, which may be shown: they tell tokens apart and are part of the checksum alone."""
        return self.text[-ENDING_CHARACTERS:]


@dataclass(frozen=True, slots=True)
class ForeignSecret:
    """A credential that keeps a shape of its own: any printable text that no `Authorization` header takes apart.

    Making one of another text raises Malformed, whose message says what is wrong with it.
    """

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        for is_wrong, problem in (
            (not self.text, "must not be empty"),
            (len(self.text) > LONGEST, f"must have at most {LONGEST} characters"),
            (self.text != self.text.strip(), "must not begin or end with a blank"),
            (not self.text.isprintable(), "must be printable"),
            (_OWN_PREFIX.match(self.text), "must not have the shape of Latchkey's own: `lk?_`"),
            (f"{self.text} ".lower().startswith("bearer "), "must be the secret alone, without `Bearer`"),
        ):
            if is_wrong:
                raise Malformed(problem)

    @classmethod
    def parse(cls, text: str) -> "ForeignSecret":
        """Take a text. Raises Malformed."""
        return cls(heard(text))

    @property
    def ending(self) -> str:
        """The last characters, if so many are left that these give nothing away; else nothing."""
        return self.text[-ENDING_CHARACTERS:] if len(self.text) >= SHOWN_FROM_CHARACTERS else ""


def checksum(body: str) -> str:
    """Give the CRC32 of an ASCII text as six base62 digits, padded with zeros on the left."""
    rest, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(CHECKSUM_CHARACTERS):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


@dataclass(frozen=True, slots=True)
class Digest:
    """What is stored of a secret: under which server key, and 64 hex digits."""

    key_id: str
    hex: str


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The server's live keys, newest first, by id. To retire a key is to leave it out."""

    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.keys:
            raise Malformed("a key ring needs at least one key")
        if not all(self.keys) or any(len(key) != KEY_BYTES for key in self.keys.values()):
            raise Malformed(f"a server key needs an id and {KEY_BYTES} bytes")

    @classmethod
    def mint(cls, key_id: str) -> "ServerKeys":
        """Make a ring of one new key."""
        return cls({key_id: secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def parse(cls, text: str) -> "ServerKeys":
        """Read `{"keys": [{"id": "2026-01", "key": "<32 bytes in base64>"}, ...]}`, newest first. Raises Malformed."""
        pairs = _pairs(text)
        if pairs is None:
            raise Malformed('a key ring reads {"keys": [{"id": ..., "key": <base64>}, ...]}')
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise Malformed("a key ring names each key once")
        return cls(keys)

    def beside(self, key_id: str) -> "ServerKeys":
        """Add a new key behind the others: known from then on, and nothing new is made under it yet."""
        return ServerKeys({**self.keys, **ServerKeys.mint(key_id).keys})

    def led_by(self, key_id: str) -> "ServerKeys":
        """Make one of the keys the newest. Raises KeyError if it is none of them."""
        return ServerKeys({key_id: self.keys[key_id], **self.keys})

    def without(self, key_id: str) -> "ServerKeys":
        """Retire a key. Raises Malformed if it is the last."""
        return ServerKeys({each: key for each, key in self.keys.items() if each != key_id})

    def json(self) -> str:
        """Write what `parse` reads. This text is as secret as the keys."""
        pairs = [{"id": key_id, "key": base64.b64encode(key).decode()} for key_id, key in self.keys.items()]
        return json.dumps({"keys": pairs}, indent=2) + "\n"

    @property
    def newest(self) -> str:
        """The id of the key that new digests are made under."""
        return next(iter(self.keys))

    def digest(self, secret: Secret | ForeignSecret) -> Digest:
        """Digest a secret under the newest key: what is to be stored."""
        return self.candidates(secret)[0]

    def candidates(self, secret: Secret | ForeignSecret) -> tuple[Digest, ...]:
        """Digest a secret under every live key, newest first: what may be stored."""
        return self.candidates_hashed(hashlib.sha256(secret.text.encode()).digest())

    def candidates_hashed(self, inner: bytes) -> tuple[Digest, ...]:
        """Digest the SHA-256 of a secret, which is all that is needed of it, likewise."""
        return tuple(Digest(key_id, hmac.digest(key, inner, "sha256").hex()) for key_id, key in self.keys.items())

    def sign(self, message: bytes) -> bytes:
        """Sign a message with the newest key, so that it is known again when it comes back: 32 bytes."""
        return self._signatures(message)[0]

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Say whether a signature, or its first 16 bytes or more, was made by one of the live keys."""
        enough = len(signature) >= SIGNATURE_BYTES
        matches = [hmac.compare_digest(each[: len(signature)], signature) for each in self._signatures(message)]
        return enough and any(matches)

    def derive(self, key_id: str, purpose: bytes) -> bytes | None:
        """Derive 32 bytes for a purpose from one of the live keys; None if that key is retired."""
        key = self.keys.get(key_id)
        return None if key is None else hmac.digest(key, _DERIVED + purpose, "sha256")

    def _signatures(self, message: bytes) -> list[bytes]:
        # Digests of secrets are made of 32 bytes: with the label in front, no signature is ever one of them.
        return [hmac.digest(key, _SIGNED + message, "sha256") for key in self.keys.values()]


def _pairs(text: str) -> list[tuple[str, bytes]] | None:
    # None rather than an exception from here: json's and base64's own would carry the keys along as their context.
    try:
        pairs = [(entry["id"], base64.b64decode(entry["key"], validate=True)) for entry in json.loads(text)["keys"]]
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None
    return pairs if all(isinstance(key_id, str) for key_id, _ in pairs) else None
