"""Uploads: creating, recording, reading, verifying, reconciling and purging them.

`services` and the modules next to it are the use cases; `api`, `admin` and `management`
call them. `models` and `storage` are the lowest layer, and import neither.
"""
