"""The project: settings, the HTTP server, and what all apps share.

`urls`, `asgi` and `settings` put the apps together and may import anything; the other
modules import no app (the layers are in pyproject.toml, under import-linter).
"""
