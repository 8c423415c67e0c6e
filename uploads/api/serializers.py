"""The bodies of requests and answers of the uploads API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from mirrorsite.problems import InvalidRequest
from uploads.models import WITHOUT_UPLOAD, Action, Status, Upload, UploadEvent


class StatusField(serializers.ChoiceField):
    schema_name = "UploadStatus"
    default_error_messages = {
        "invalid": f"{{name}} must be one of {', '.join(Status.values)}."
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(Status.values, **options)


class WholeNumberField(serializers.IntegerField):
    """A JSON number without a fraction; REST framework also accepts texts and true."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class UploadRandomSerializer(serializers.Serializer[Any]):
    """The body of an upload, which may be left out."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "size": WholeNumberField(
                min_value=1,
                max_value=settings.UPLOAD_MAX_BYTES,
                required=False,
                help_text="The object's exact size in bytes. Its content is random"
                " numbers, one per line. Without a size, it is one number from 0 to"
                " 9999. The maximum is configurable (UPLOAD_MAX_BYTES).",
            )
        }

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        """Return the members of a body; raises `InvalidRequest` for the first error."""
        if not isinstance(data, dict):
            raise InvalidRequest(
                "body",
                "body-not-object",
                'The body is not a JSON object such as {"size": 10}.',
            )
        if unknown := sorted(data.keys() - self.fields.keys()):
            name = unknown[0][:100]
            raise InvalidRequest(
                name,
                "unknown-field",
                f"The field {name!r} is unknown; the only field is size.",
            )
        try:
            validated: dict[str, Any] = super().run_validation(data)
        except serializers.ValidationError as error:
            most = settings.UPLOAD_MAX_BYTES
            raise InvalidRequest(
                "size", "invalid-size", f"size must be a whole number from 1 to {most}."
            ) from error
        return validated


@extend_schema_field({"type": "number", "minimum": 0})
class SecondsField(serializers.FloatField):
    def to_representation(self, value: timedelta) -> float:  # type: ignore[override]
        return value.total_seconds()


class TextOrNullField(serializers.CharField):
    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return value or None


class UploadFieldsSerializer(serializers.Serializer[Upload]):
    """An upload as its uploader sees it.

    One instance serves all requests and threads: creating one takes ten times as long
    as `describe`.
    """

    id = serializers.UUIDField(help_text="UUIDv7; with an Idempotency-Key UUIDv8.")
    key = serializers.CharField(help_text="The object's key in the bucket.")
    bucket = serializers.CharField()
    number = serializers.IntegerField(
        allow_null=True,
        min_value=0,
        max_value=9999,
        help_text="The first random number in the object.",
    )
    size = serializers.IntegerField(min_value=0, help_text="Bytes.")
    sha256 = serializers.RegexField("^[0-9a-f]{64}$")
    etag = serializers.CharField()
    version_id = TextOrNullField(allow_null=True)
    status = StatusField()
    created_at = serializers.DateTimeField()
    url = serializers.URLField(source="id")  # `describe` replaces the id with the URL

    def describe(self, upload: Upload, request: Request) -> dict[str, Any]:
        """Return the upload as it is in answers, with its URL in this API."""
        http = request._request
        url = f"{http.scheme}://{http.get_host()}/api/uploads/{upload.pk}"
        return {**self.to_representation(upload), "url": url}


class _OkSerializer(serializers.Serializer[Any]):
    uploaded = serializers.ChoiceField(["ok"])


class UploadedSerializer(_OkSerializer, UploadFieldsSerializer):
    """A stored upload."""


class UploadSerializer(UploadFieldsSerializer):
    """The record of an upload: who requested it, and its outcome."""

    requester = serializers.CharField(
        source="requester_name",
        help_text="anonymous, user:…, token:… or command:….",
    )
    client_address = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField()
    request_id = serializers.CharField()
    error = TextOrNullField(allow_null=True)
    stored_at = serializers.DateTimeField(allow_null=True)
    duration_seconds = SecondsField(source="duration", allow_null=True)


class UploadEventSerializer(serializers.Serializer[UploadEvent]):
    """One thing that happened to an upload; never changed."""

    id = serializers.IntegerField()
    action = serializers.ChoiceField([a for a in Action if a not in WITHOUT_UPLOAD])
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    request_id = serializers.CharField()
    detail = serializers.DictField()
    seal = serializers.IntegerField(
        source="seal_id", allow_null=True, help_text="The seal's number."
    )


class _PageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True, help_text="The URL of the next page.")


class UploadPageSerializer(_PageSerializer):
    results = UploadSerializer(many=True)


class UploadEventPageSerializer(_PageSerializer):
    results = UploadEventSerializer(many=True)


class VerificationSerializer(serializers.Serializer[Any]):
    result = serializers.ChoiceField(
        [Action.VERIFIED, Action.MISSING, Action.CORRUPTED]
    )
    differences = serializers.ListField(child=serializers.CharField())
    upload = UploadSerializer()
