"""TLS by `openssl s_client`, for what Python's ssl cannot do: in the place of an ssl.SSLContext."""

import socket
import subprocess

from mqtt_wire import DEADLINE_S


class OpensslContext:
    """Each connection is a process of its own; what it said, besides bytes of the peer, is in
    `said` once it has ended."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.processes = []

    def wrap_socket(self, plain, server_hostname):
        host, port = plain.getpeername()[:2]
        plain.close()
        ours, its = socket.socketpair()
        with its:
            self.processes.append(subprocess.Popen(
                ["openssl", "s_client", "-connect", f"{host}:{port}", "-quiet", "-no_ign_eof",
                 *self.arguments], stdin=its, stdout=its, stderr=subprocess.PIPE, text=True))
        ours.settimeout(DEADLINE_S)
        return ours

    def said(self):
        """Of the latest connection, when it has ended."""
        return self.processes[-1].communicate(timeout=DEADLINE_S)[1]

    def end(self):
        for process in self.processes:
            process.kill()
            process.communicate()
