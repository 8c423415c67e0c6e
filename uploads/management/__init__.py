"""Commands for operators. Each parses, calls one use case of `uploads`, and prints."""
