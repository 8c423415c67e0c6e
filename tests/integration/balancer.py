"""A small TCP balancer on 127.0.0.1, as a cluster's load balancer in front of pods."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Balancer:
    """Gives each new connection to the next of its backends, in turns.

    A backend that is taken out keeps the connections it has. Nothing is tried again
    elsewhere: a backend that refuses costs its client the connection, as it would there.
    """

    served: Counter[int] = field(default_factory=Counter)
    open: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._backends: list[int] = []
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def add(self, port: int) -> None:
        with self._lock:
            self._backends.append(port)

    def take_out(self, port: int) -> None:
        with self._lock:
            self._backends.remove(port)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._backends:
                    client.close()
                    continue
                port = self._backends[next(self._turns) % len(self._backends)]
                self.served[port] += 1
                self.open[port] += 1
            threading.Thread(
                target=self._carry, args=(client, port), daemon=True
            ).start()

    def _carry(self, client: socket.socket, port: int) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", port)) as backend:
                there = threading.Thread(target=_copy, args=(client, backend))
                there.start()
                _copy(backend, client)
                # The answer is complete; whatever the client still says has no reader.
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RD)
                there.join()
        except OSError:
            pass  # the client sees its connection closed, and counts it
        finally:
            with self._lock:
                self.open[port] -= 1


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
