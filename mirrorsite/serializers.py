"""Base serializers for strictly checked input; answers of health, readiness, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from mirrorsite.problems import InvalidRequest
from mirrorsite.query import query_of


class InputSerializer(serializers.Serializer[Any]):
    """Base for the input of a request; raises `InvalidRequest` for the first error.

    Whatever is wrong with a value, the error has the slug `invalid_slug` and the text
    of the field's error message `invalid`, formatted with `name` and `field`.
    """

    unknown_slug = "unknown-field"
    invalid_slug: str

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        if unknown := sorted(set(data) - set(self.fields)):
            name = unknown[0][:100]
            kind = self.unknown_slug.removeprefix("unknown-")
            verb = "is" if len(self.fields) == 1 else "are"
            raise InvalidRequest(
                name,
                self.unknown_slug,
                f"The {kind} {name!r} is not known; allowed {verb}"
                f" {', '.join(self.fields)}.",
            )
        try:
            validated: dict[str, Any] = super().run_validation(self._members(data))
        except ValidationError as error:
            name = str(next(iter(error.detail)))
            field = self.fields[name]
            detail = field.error_messages["invalid"].format(name=name, field=field)
            raise InvalidRequest(name, self.invalid_slug, detail) from error
        return validated

    def _members(self, data: Any) -> Mapping[str, Any]:
        """Return the values to validate, by field name."""
        return data  # type: ignore[no-any-return]


class QuerySerializer(InputSerializer):
    """The parameters of a query, each at most once."""

    unknown_slug = "unknown-parameter"
    invalid_slug = "invalid-parameter"

    @classmethod
    def of(cls, request: Request) -> dict[str, Any]:
        """Return the parameters of a request; raises `InvalidRequest`."""
        query = cls(data=query_of(request))
        query.is_valid(raise_exception=True)
        return query.validated_data  # type: ignore[no-any-return]

    def _members(self, data: Any) -> Mapping[str, Any]:
        for name, values in data.lists():
            if len(values) > 1:
                raise InvalidRequest(
                    name, "repeated-parameter", f"{name} is given more than once."
                )
        # A dict, because REST framework ignores empty values of a QueryDict.
        return data.dict()  # type: ignore[no-any-return]


class WholeNumberField(serializers.IntegerField):
    """A JSON integer: no text, no fraction, no boolean."""

    default_error_messages = {
        "invalid": "{name} must be a whole number from {field.min_value}"
        " to {field.max_value}."
    }

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            raise ValidationError
        return data


class QueryNumberField(WholeNumberField):
    """A whole number of ASCII digits."""

    def to_internal_value(self, data: Any) -> int:
        if not (data.isascii() and data.isdecimal() and len(data) <= 18):
            raise ValidationError
        return int(data)


@extend_schema_field({"type": "string", "format": "uri-reference"})
class UriReferenceField(serializers.CharField):
    pass


# --- Answers -----------------------------------------------------------------------


@extend_schema_field({"$ref": "#/components/schemas/UploadStatus"})
class _UploadStatusField(serializers.CharField):
    """Typed as text here, since the app `uploads` declares the choices."""


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

    `type` is a path of this API that says what it means and what to do; further
    members depend on it.
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
