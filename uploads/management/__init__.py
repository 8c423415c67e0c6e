"""Commands of operators. Each parses, calls one use case of `uploads`, and prints.

Nothing imports it but the audit trail's commands (writing files).
"""
