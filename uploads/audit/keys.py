"""The keys of the audit trail: Ed25519 (RFC 8032), through the `cryptography` library.

The private key is 32 random bytes; only the sealer needs it. A key's id is the first 16
hexadecimal digits of the SHA-256 of its public key. A key is trusted if the environment
has it, or if a seal signed by a trusted key announces it (`Seal.next_key`).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from django.conf import settings

from uploads.audit.canonical import Seal
from uploads.audit.report import FaultKind
from uploads.exceptions import AuditKeyError


def key_id_of(public_key: bytes) -> str:
    """Return the id of a public key of 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]


class SigningKey:
    """A private key; its repr shows the id only."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.id = key_id_of(self.public_key)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(secrets.token_bytes(32))

    def sign_seal(self, seal: Seal) -> Seal:
        """Return the seal with this key's signature; `seal.key_id` must be this key's id."""
        return replace(seal, signature=self._key.sign(seal.signed_bytes()).hex())

    def secret_text(self) -> str:
        """Return the value of AUDIT_SIGNING_KEY."""
        return base64.b64encode(self._seed).decode()

    def public_text(self) -> str:
        """Return the key's entry for AUDIT_PUBLIC_KEYS."""
        return public_text(self.public_key)

    def __repr__(self) -> str:
        return f"<SigningKey {self.id}>"


def public_text(public_key: bytes) -> str:
    """Return `<key id>:<base64>`, an entry of AUDIT_PUBLIC_KEYS."""
    return f"{key_id_of(public_key)}:{base64.b64encode(public_key).decode()}"


class TrustedKeys:
    """The public keys whose seals are valid; `learn` adds the announced ones."""

    def __init__(self, public_keys: dict[str, bytes]) -> None:
        self._keys = {
            key_id: Ed25519PublicKey.from_public_bytes(public_key)
            for key_id, public_key in public_keys.items()
        }
        #: By id: the first seal number that a retired key can no longer sign.
        self._retired: dict[str, int] = {}
        #: By id of a key that has not signed yet: the id of the key that announced it.
        self._announced_by: dict[str, str] = {}

    def fault_of(self, seal: Seal) -> FaultKind | None:
        """Return what is wrong with a seal's key or signature; None if it is valid."""
        key = self._keys.get(seal.key_id)
        if key is None or self.is_retired(seal.key_id, seal.number):
            return FaultKind.UNKNOWN_KEY
        try:
            signature = bytes.fromhex(seal.signature)
            key.verify(signature, seal.signed_bytes())
        except (InvalidSignature, ValueError, TypeError):  # not hexadecimal, or null
            return FaultKind.FORGED_SIGNATURE
        if signature.hex() != seal.signature:  # in capitals, or with spaces
            return FaultKind.FORGED_SIGNATURE
        return None

    def is_retired(self, key_id: str, number: int) -> bool:
        """Return True if the key can no longer sign seal `number`."""
        retired_from = self._retired.get(key_id)
        return retired_from is not None and number >= retired_from

    def learn(self, seal: Seal) -> None:
        """Add the key that a valid seal announces.

        The first seal of a new signing key retires the old key, which announced it. Other
        keys that the old key announced are retired too: they were never used, but may
        have leaked.
        """
        old = self._announced_by.pop(seal.key_id, None)
        if old is not None:
            unused = [key_id for key_id, by in self._announced_by.items() if by == old]
            for key_id in (old, *unused):
                self._retired.setdefault(key_id, seal.number)
        if seal.next_key is not None:
            public_key = bytes.fromhex(seal.next_key)
            next_id = key_id_of(public_key)
            self._keys.setdefault(
                next_id, Ed25519PublicKey.from_public_bytes(public_key)
            )
            if next_id != seal.key_id:  # a key does not replace itself
                self._announced_by[next_id] = seal.key_id


def configured_signing_key() -> SigningKey | None:
    """Return the key of AUDIT_SIGNING_KEY, or None when it is not set."""
    seed: bytes | None = settings.AUDIT_SIGNING_KEY
    return None if seed is None else SigningKey(seed)


def required_signing_key() -> SigningKey:
    """Return the key of AUDIT_SIGNING_KEY; raises `AuditKeyError` when it is not set."""
    key = configured_signing_key()
    if key is None:
        raise AuditKeyError(
            "there is no key to sign with: set AUDIT_SIGNING_KEY to the key in use or, for"
            " the first key, to the output of head -c 32 /dev/urandom | base64."
        )
    return key


def configured_trusted_keys() -> TrustedKeys:
    """Return the keys of AUDIT_PUBLIC_KEYS and that of AUDIT_SIGNING_KEY.

    Raises `AuditKeyError` when there is none.
    """
    public_keys: dict[str, bytes] = dict(settings.AUDIT_PUBLIC_KEYS)
    signing_key = configured_signing_key()
    if signing_key is not None:
        public_keys[signing_key.id] = signing_key.public_key
    if not public_keys:
        raise AuditKeyError(
            "no key is trusted: set AUDIT_PUBLIC_KEYS to <key id>:<base64>."
        )
    return TrustedKeys(public_keys)
