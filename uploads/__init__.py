"""Uploads: creating, recording, reading, verifying, reconciling and purging them.

`services` and its neighbours are the use cases; `api`, `admin` and `management` call
them; `models` and `storage` are below, and import nothing above.
"""
