"""Form fields of the pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class WholeNumberField(forms.IntegerField):
    """A whole number of ASCII digits.

    Django's field also accepts `1.0`, `1_000` and the digits of other scripts.
    """

    def __init__(self, *, min_value: int, max_value: int, **options: Any) -> None:
        wanted = f"Enter a whole number from {min_value:,} to {max_value:,}."
        super().__init__(
            min_value=min_value,
            max_value=max_value,
            error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), wanted),
            **options,
        )
        self._max_digits = len(str(max_value))

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        digits = str(value).strip()
        if not (digits.isascii() and digits.isdecimal()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        if len(digits) > self._max_digits:
            raise ValidationError(self.error_messages["max_value"], code="max_value")
        return int(digits)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Redisplay what was entered, unless it is much longer than any valid number."""
        return "" if len(str(data)) > 2 * self._max_digits else data
