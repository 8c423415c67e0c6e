"""Formats of Django's admin, by language (FORMAT_MODULE_PATH)."""
