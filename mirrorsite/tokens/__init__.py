"""API tokens: model, authentication, permissions, admin and commands.

Imports the audit trail, in which creating and revoking a token is recorded.
"""
