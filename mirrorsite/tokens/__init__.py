"""API tokens: model, authentication, permissions, admin and commands.

Imports the audit log, in which creating and revoking a token is recorded.
"""
