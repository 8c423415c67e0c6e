"""The proof of the record: append-only tables, signed seals, and their verification."""
