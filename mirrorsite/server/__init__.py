"""The web server in front of Django: gunicorn's worker, HTTP/1.1, and the threads.

Views, `urls` and `asgi` import it; it imports no app.
"""
