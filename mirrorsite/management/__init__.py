"""The base class of all management commands, their argument types and progress line.

Any app's commands may import it; only its own `commands` import an app.
"""
