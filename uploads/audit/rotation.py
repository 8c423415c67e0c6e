"""Changing the key: the old one signs a seal that names the new one."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from uploads.audit import keys
from uploads.audit.copies import Copies
from uploads.audit.keys import SigningKey
from uploads.audit.seals import seal_audit
from uploads.exceptions import AuditKeyError


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new key and what to set; `seal` is the seal that announces it."""

    old_id: str
    new_id: str
    seal: int
    #: The values of AUDIT_SIGNING_KEY and AUDIT_PUBLIC_KEYS from now on.
    signing_key: str
    public_keys: str

    def __repr__(self) -> str:
        return f"<Rotation {self.old_id} to {self.new_id} in seal {self.seal}>"


def rotate_audit_key(
    *, copies: Copies | None = None, new: SigningKey | None = None
) -> Rotation:
    """Make a key pair and announce it in a seal signed by the present key.

    The present key goes on signing until AUDIT_SIGNING_KEY is changed; with the new
    key's first seal it is retired, and no later seal of its counts. A rotation whose
    outcome was lost harms nothing: rotate again.

    Raises as `seal_audit`.
    """
    old = present_key()
    new = new or SigningKey.generate()
    made = seal_audit(copies=copies, signing_key=old, next_key=new.public_key)
    announced = next(sealed for sealed in made if not sealed.finished)
    public_keys: dict[str, bytes] = dict(settings.AUDIT_PUBLIC_KEYS)
    public_keys |= {old.id: old.public_key, new.id: new.public_key}
    return Rotation(
        old_id=old.id,
        new_id=new.id,
        seal=announced.number,
        signing_key=new.secret_text(),
        public_keys=",".join(map(keys.public_text, public_keys.values())),
    )


def present_key() -> SigningKey:
    """Return the key that signs now; raises `AuditKeyError` when there is none."""
    key = keys.configured_signing_key()
    if key is None:
        raise AuditKeyError(
            "there is no key to replace: set AUDIT_SIGNING_KEY to the one in use, or"
            " to a first one, the output of head -c 32 /dev/urandom | base64."
        )
    return key
