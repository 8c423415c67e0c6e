"""Mirroring a word. `mirror` is pure logic; `views` is the endpoint.

Imports only what all apps share; `mirrorsite.urls` and `mirrorsite.home` import it.
"""
