"""Strict query parameters, and the answers of health, readiness and problems."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from mirrorsite.problems import InvalidRequest
from mirrorsite.query import query_of


class QuerySerializer(serializers.Serializer[Any]):
    """The parameters of a query, each at most once.

    An invalid value is reported with the field's error message `invalid`, formatted with
    `name` and `field`, whatever the reason.
    """

    @classmethod
    def of(cls, request: Request) -> dict[str, Any]:
        """Return the parameters of a request; raises `InvalidRequest` for the first error."""
        parameters = query_of(request)
        # A dict, because REST framework ignores empty values of a QueryDict.
        query = cls(data=parameters.dict())
        if unknown := sorted(parameters.keys() - query.fields.keys()):
            name = unknown[0][:100]
            raise InvalidRequest(
                name,
                "unknown-parameter",
                f"The parameter {name!r} is unknown; use only {', '.join(query.fields)}.",
            )
        for name, values in parameters.lists():
            if len(values) > 1:
                raise InvalidRequest(
                    name, "repeated-parameter", f"{name} is given more than once."
                )
        if not query.is_valid():
            name = str(next(iter(query.errors)))
            field = query.fields[name]
            detail = field.error_messages["invalid"].format(name=name, field=field)
            raise InvalidRequest(name, "invalid-parameter", detail)
        return query.validated_data  # type: ignore[no-any-return]


class QueryNumberField(serializers.IntegerField):
    """A whole number of ASCII digits."""

    default_error_messages = {
        "invalid": "{name} must be a whole number from {field.min_value}"
        " to {field.max_value}."
    }

    def to_internal_value(self, data: Any) -> int:
        # No `max_value` has more than 18 digits.
        if not (data.isascii() and data.isdecimal() and len(data) <= 18):
            raise ValidationError
        return int(data)


@extend_schema_field({"type": "string", "format": "uri-reference"})
class UriReferenceField(serializers.CharField):
    pass


@extend_schema_field({"$ref": "#/components/schemas/UploadStatus"})
class _UploadStatusField(serializers.CharField):
    """A string in Python; its schema is the enum that the app `uploads` declares."""


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok"])


class ChecksSerializer(serializers.Serializer[Any]):
    """One line per dependency: ok, or what is wrong."""

    database = serializers.CharField()
    migrations = serializers.CharField()
    bucket = serializers.CharField()


class ReadySerializer(HealthSerializer):
    checks = ChecksSerializer()


class ProblemTypeSerializer(serializers.Serializer[Any]):
    """What one `type` of problem means."""

    type = UriReferenceField(source="uri")
    title = serializers.CharField()
    status = serializers.IntegerField(min_value=400, max_value=599)
    meaning = serializers.CharField()
    remedy = serializers.CharField()


class ProblemTypesSerializer(serializers.Serializer[Any]):
    problems = ProblemTypeSerializer(many=True)


class FieldErrorSerializer(serializers.Serializer[Any]):
    """One parameter or member that is wrong."""

    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457).

    `type` is a path of this API with its meaning and a remedy; further members depend on
    it.
    """

    type = UriReferenceField()
    title = serializers.CharField()
    status = serializers.IntegerField(min_value=400, max_value=599)
    detail = serializers.CharField()
    instance = UriReferenceField()
    request_id = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]
    checks = ChecksSerializer(required=False)
    upload_id = serializers.UUIDField(required=False)
    upload_status = _UploadStatusField(required=False)
