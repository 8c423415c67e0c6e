"""The audit trail: records events, seals and signs them, and verifies the seals.

It does not import the apps whose events it records (from `uploads`, only exceptions and
storage). Those register the rows to verify and restore in `report.projections`.
"""
