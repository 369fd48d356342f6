"""A TLS 1.3 peer that asks for new keys again and again (RFC 8446, 4.6.3), which Python's own ssl
cannot. It reads nothing behind its CONNACK, and so none of the answers.

    peer = KeyUpdates(address, connect)     connected, with the CONNECT's answer read
    peer.requests(1000)                     the bytes of so many requests
"""

import ctypes
import socket

REQUESTED = 1  # SSL_KEY_UPDATE_REQUESTED
TLS_1_3 = 0x0304
SET_MIN_PROTO_VERSION = 123

P, INT = ctypes.c_void_p, ctypes.c_int


def functions():
    """OpenSSL's, as Python's ssl uses it."""
    ssl, crypto = ctypes.CDLL("libssl.so.3"), ctypes.CDLL("libcrypto.so.3")
    for library, name, result, *arguments in (
            (ssl, "TLS_client_method", P), (ssl, "SSL_CTX_new", P, P),
            (ssl, "SSL_CTX_ctrl", ctypes.c_long, P, INT, ctypes.c_long, P), (ssl, "SSL_new", P, P),
            (ssl, "SSL_set_fd", INT, P, INT), (ssl, "SSL_connect", INT, P),
            (ssl, "SSL_write", INT, P, P, INT), (ssl, "SSL_read", INT, P, P, INT),
            (ssl, "SSL_key_update", INT, P, INT), (ssl, "SSL_do_handshake", INT, P),
            (ssl, "SSL_set0_wbio", None, P, P), (crypto, "BIO_s_mem", P),
            (crypto, "BIO_new", P, P), (crypto, "BIO_read", INT, P, P, INT)):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
        yield name, function


class KeyUpdates:
    def __init__(self, address, connect):
        for name, function in functions():
            setattr(self, name, function)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Short segments: the broker's kernel keeps few of them.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(address)
        context = self.SSL_CTX_new(self.TLS_client_method())
        self.SSL_CTX_ctrl(context, SET_MIN_PROTO_VERSION, TLS_1_3, None)
        self.ssl = self.SSL_new(context)
        self.SSL_set_fd(self.ssl, self.socket.fileno())
        self._must(self.SSL_connect(self.ssl))
        if connect:
            answer = ctypes.create_string_buffer(100)
            self._must(self.SSL_write(self.ssl, connect, len(connect)))
            self._must(self.SSL_read(self.ssl, answer, len(answer)))
        self.written = self.BIO_new(self.BIO_s_mem())
        self.SSL_set0_wbio(self.ssl, self.written)

    @staticmethod
    def _must(returned):
        if returned <= 0:
            raise AssertionError("the TLS connection failed")

    def requests(self, count):
        for _ in range(count):
            self._must(self.SSL_key_update(self.ssl, REQUESTED))
            self._must(self.SSL_do_handshake(self.ssl))
        out = ctypes.create_string_buffer(100 * count)
        size = self.BIO_read(self.written, out, len(out))
        return out.raw[:size]

    def send(self, data, timeout):
        """False: the broker takes no more, or has closed the connection."""
        self.socket.settimeout(timeout)
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False
