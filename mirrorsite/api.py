"""What all API views share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.views import APIView


class OpenView(APIView):
    """An endpoint that asks for no credentials."""

    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = ()
