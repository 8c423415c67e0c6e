"""gunicorn's threaded worker, made to answer everyone it was handed before it ends."""

from __future__ import annotations

from gunicorn.workers.gthread import ThreadWorker


class DrainingWorker(ThreadWorker):
    """Takes the connections that wait in the listening socket's queue, then closes it.

    The kernel completes connections on the server's behalf. gunicorn's own worker
    stops accepting when it is told to end, so those that wait in that queue would be
    reset although their requests were sent already.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                self._take_waiting(listener)
                # From here on a client is refused and can turn to another server.
                listener.close()

    def _take_waiting(self, listener: object) -> None:
        taken = -1
        while taken != self.nr_conns:
            taken = self.nr_conns
            self.accept(listener)  # takes one, or leaves the count as it is
