"""Django's own format of a time names no time zone."""

from __future__ import annotations

DATETIME_FORMAT = r"Y-m-d H:i:s \U\T\C"
