"""The audit trail: recording events, sealing and signing them, verifying the seals.

It imports no app whose events it records (of `uploads`, only errors and storage). Apps
register what it needs of them in `report.projections`.
"""
