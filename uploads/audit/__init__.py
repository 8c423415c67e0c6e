"""The audit log: recording events, sealing and signing them, verifying the seals.

Imports the models and the storage. Use cases and the apps' commands import it; it
imports none of them.
"""
