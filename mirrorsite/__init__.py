"""The project: settings, the HTTP server, and what all apps share.

`urls`, `asgi`, `home` and the commands put the apps together. Which modules may import
which others is in pyproject.toml, under import-linter.
"""
