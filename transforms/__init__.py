"""Mirroring a word. `mirror` is pure logic; `views` is the endpoint.

Imports what all apps share, and is imported by the URLs only.
"""
