"""What can go wrong with an upload, in the terms of this app."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from mirrorsite.errors import ServiceError
from mirrorsite.exit_status import ExitStatus

if TYPE_CHECKING:
    from uploads.models import Status, Upload


class UploadsError(ServiceError):
    """Base of the errors of this app."""


class StoreError(UploadsError):
    """The object store did not do what it was asked."""


class StoreRefusedError(StoreError):
    """The store refused: this request changed nothing there.

    `code` is S3's error code, if the message alone does not say why.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class StoreRedirectError(StoreRefusedError):
    """The store redirects to another address or region; redirects are not followed."""


class StoreUnavailableError(StoreError):
    """The store could not be reached, or failed.

    `outcome_unknown` is True if the request may have been carried out nevertheless (a
    lost answer, a failure inside the store).
    """

    def __init__(self, message: str, *, outcome_unknown: bool) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class StoreFailedError(StoreUnavailableError):
    """The store reported a temporary failure (429, 5xx), or the answer is not S3's."""


class StoreCredentialsError(StoreUnavailableError):
    """There are no credentials to sign a request with; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, outcome_unknown=False)


class StoreBusyError(UploadsError):
    """Too many requests use the store; nothing was begun."""


class ObjectExistsError(StoreRefusedError):
    """The bucket already has an object with this key (412 Precondition Failed)."""


class ObjectMissingError(StoreRefusedError):
    """There is no object with this key (404)."""


class BucketMissingError(StoreRefusedError):
    """The configured bucket does not exist; whether an object exists is unknown."""


class OtherBucketError(StoreRefusedError):
    """The recorded object is in a bucket other than the configured one."""


class ObjectChangedError(StoreRefusedError):
    """The object has been replaced or deleted (412 or 404)."""


class TrailUnavailableError(UploadsError):
    """The database could not write the record, so the request cannot go on.

    `upload_id` is set when the intent was recorded before the database failed:
    that upload stays pending until reconciliation looks at the bucket.
    """

    def __init__(self, message: str, *, upload_id: UUID | None = None) -> None:
        super().__init__(message)
        self.upload_id = upload_id


class UnreadableError(UploadsError):
    """A row has a value that the service never writes and that Python cannot read."""


class TransitionError(UploadsError):
    """The upload's status does not allow the action.

    Also raised when another writer has changed the status since it was read.
    """


class AlreadyRecordedError(TransitionError):
    """A record with this id, object key or idempotency key exists already."""


class KeyReusedError(UploadsError):
    """An idempotency key was reused with another body; `upload` is the first one's."""

    def __init__(self, message: str, *, upload: Upload) -> None:
        super().__init__(message)
        self.upload = upload


class StillRunningError(UploadsError):
    """Another request with the same idempotency key is in progress.

    It can take up to `seconds` more.
    """

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class SealError(UploadsError):
    """No seal was made, because an earlier seal or event contradicts it."""

    exit_status = ExitStatus.DIFFERENCES


class AuditKeyError(UploadsError):
    """A required audit key is not set, or was rotated out."""

    exit_status = ExitStatus.MISCONFIGURED


class UploadFailedError(UploadsError):
    """The upload is recorded and did not succeed; `upload` has its status."""

    def __init__(self, message: str, *, upload: Upload) -> None:
        super().__init__(message)
        self.upload = upload


class ContentUnavailableError(UploadsError):
    """The object is not available as recorded; `status` is the upload's."""

    def __init__(self, message: str, *, status: Status) -> None:
        super().__init__(message)
        self.status = status
