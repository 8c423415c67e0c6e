"""Admin lists for tables with millions of rows: cursors, filters, row estimates.

Any app's admin may import it; it imports no app.
"""
