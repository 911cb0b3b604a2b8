"""Signatures that anybody can check: Ed25519, with keys that are derived from the server's own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from core.secret import ServerKeys

_PURPOSE = b"audit log, ed25519"


class Malformed(ValueError):
    """A text that holds no public keys."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The newest key. `key_id` is that of the server key it is derived from."""

    key_id: str
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, keys: ServerKeys) -> "Signer":
        """Derive it."""
        return cls(keys.newest, _private(keys)[keys.newest])

    def sign(self, message: bytes) -> str:
        """Sign a message: 128 hex digits."""
        return self._key.sign(message).hex()


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys that tell whether a signature is good, by id, newest first."""

    keys: Mapping[str, Ed25519PublicKey]

    @classmethod
    def of(cls, keys: ServerKeys) -> "PublicKeys":
        """Give those of the server's keys."""
        return cls({key_id: key.public_key() for key_id, key in _private(keys).items()})

    @classmethod
    def parse(cls, text: str) -> "PublicKeys":
        """Read what `json` wrote. Raises Malformed."""
        try:
            loaded = {key["id"]: load_pem_public_key(key["publicKey"].encode()) for key in json.loads(text)["keys"]}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Malformed('public keys read {"keys": [{"id": ..., "publicKey": <PEM>}, ...]}') from None
        keys = {key_id: key for key_id, key in loaded.items() if isinstance(key, Ed25519PublicKey)}
        if len(keys) < len(loaded) or not keys:
            raise Malformed("the public keys are Ed25519 keys")
        return cls(keys)

    def json(self) -> str:
        """Write them as JSON, for whoever is to check signatures."""
        return json.dumps({"keys": [{"id": key_id, "publicKey": self.pem(key_id)} for key_id in self.keys]}, indent=2)

    def pem(self, key_id: str) -> str:
        """Write a key in PEM."""
        return self.keys[key_id].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def signed(self, key_id: str, message: bytes, signature: str) -> bool | None:
        """Say whether a key made a signature; None if there is no such key."""
        key = self.keys.get(key_id)
        if key is None:
            return None
        try:
            key.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True


def _private(keys: ServerKeys) -> dict[str, Ed25519PrivateKey]:
    seeds = {key_id: keys.derive(key_id, _PURPOSE) for key_id in keys.keys}
    return {key_id: Ed25519PrivateKey.from_private_bytes(seed) for key_id, seed in seeds.items() if seed is not None}
