"""Idempotency-Key: one upload per key, whatever happens to its requests."""
