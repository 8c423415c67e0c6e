"""Key rotation: the old key signs a seal that announces the new one."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from uploads.audit import keys
from uploads.audit.keys import SigningKey
from uploads.audit.seals import seal_audit
from uploads.exceptions import AuditKeyError


@dataclass(frozen=True, slots=True)
class Rotation:
    """The key in use and the one that is to replace it."""

    old: SigningKey
    new: SigningKey

    @property
    def signing_key(self) -> str:
        """The value of AUDIT_SIGNING_KEY from now on."""
        return self.new.secret_text()

    @property
    def public_keys(self) -> str:
        """The value of AUDIT_PUBLIC_KEYS from now on."""
        public_keys: dict[str, bytes] = dict(settings.AUDIT_PUBLIC_KEYS)
        for key in (self.old, self.new):
            public_keys[key.id] = key.public_key
        return ",".join(map(keys.public_text, public_keys.values()))


def prepare_rotation() -> Rotation:
    """Generate a key pair; it is valid once it is announced.

    Raises `AuditKeyError` when there is no key to replace.
    """
    return Rotation(present_key(), SigningKey.generate())


def announce(rotation: Rotation) -> int:
    """Announce the new key in a seal signed by the old one; return the seal's number.

    The old key continues to sign until AUDIT_SIGNING_KEY is changed; with the new
    key's first seal it is retired, and its later seals are not valid. If a new key was
    announced and lost, rotate again.

    Raises as `seal_audit`.
    """
    made = seal_audit(signing_key=rotation.old, next_key=rotation.new.public_key)
    return next(sealed.number for sealed in made if not sealed.finished)


def present_key() -> SigningKey:
    """Return the key that signs now; raises `AuditKeyError` when there is none."""
    key = keys.configured_signing_key()
    if key is None:
        raise AuditKeyError(
            "there is no key to replace: set AUDIT_SIGNING_KEY to the one in use, or"
            " to a first one, the output of head -c 32 /dev/urandom | base64."
        )
    return key
