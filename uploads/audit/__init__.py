"""The audit trail: recording events, sealing and signing them, verifying the seals.

Of the apps whose events it records it imports nothing. What it needs of them is
registered in `report.projections`.
"""
