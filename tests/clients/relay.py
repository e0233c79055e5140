# SPDX-License-Identifier: Apache-2.0
"""A relay for clients that know only TCP: each connection to a port of this host becomes one to a Unix socket."""

import contextlib
import socket
import threading

CHUNK_SIZE = 65536


class Relay:
    """Listens until close(); port is the port. One thread accepts, two carry a connection's bytes."""

    def __init__(self, unix_path):
        self.unix_path = unix_path
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            monitor = socket.socket(socket.AF_UNIX)
            try:
                monitor.connect(self.unix_path)
            except OSError:  # the client sees the end of its connection
                client.close()
                monitor.close()
                continue
            for source, sink in ((client, monitor), (monitor, client)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source, sink):
        """Carries one direction. The end of either ends both: the API drops what a half-closed client asked."""
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_SIZE):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
