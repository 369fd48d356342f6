"""A WebSocket client of our own (RFC 6455): frames as a case wants them, good or bad."""

import base64
import os
import socket
import struct

import mqtt_packet as mqtt
from mqtt_wire import DEADLINE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def request(**changes):
    """An opening handshake; `changes` replaces headers (None: without it)."""
    headers = {"Host": "holdfast", "Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
               "Sec-WebSocket-Protocol": "mqtt", "Sec-WebSocket-Version": "13"}
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return ("GET /mqtt HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def frame(payload, opcode=BINARY, fin=True):
    """Masked, as a client's has to be."""
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([fin << 7 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + struct.pack(">H", size)
    else:
        head += b"\xff" + struct.pack(">Q", size)
    key = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return head + mask + masked


class WebSocket:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""
        self.carried = b""  # of MQTT, not yet a packet

    def send(self, data):
        self.socket.sendall(data)

    def _read(self):
        data = self.socket.recv(65536)
        self.input += data
        return bool(data)

    def response(self):
        """(status, head) of the answer to the opening handshake."""
        while b"\r\n\r\n" not in self.input:
            if not self._read():
                raise AssertionError(f"the broker closed; it said {self.input!r}")
        head, self.input = self.input.split(b"\r\n\r\n", 1)
        return int(head.split(b" ", 2)[1]), head.decode()

    def _take(self, size):
        while len(self.input) < size:
            if not self._read():
                raise EOFError
        data, self.input = self.input[:size], self.input[size:]
        return data

    def frame(self):
        """(opcode, payload); EOFError at the end."""
        first, second = self._take(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        assert first & 0xF0 == 0x80 and second & 0x80 == 0, f"{first:02x} {second:02x}"
        return first & 0xF, self._take(size)

    def packet(self, version=5):
        """The next MQTT packet."""
        while True:
            for header in range(2, min(len(self.carried), 5) + 1):
                if self.carried[header - 1] < 0x80:
                    size = sum((byte & 0x7F) << 7 * i
                               for i, byte in enumerate(self.carried[1:header]))
                    if len(self.carried) >= header + size:
                        whole = self.carried[header:header + size]
                        first, self.carried = self.carried[0], self.carried[header + size:]
                        return mqtt.decode(version, first, whole)
                    break
            opcode, payload = self.frame()
            if opcode != BINARY:
                raise AssertionError(f"a frame with opcode {opcode}, not 2 [MQTT-6.0.0-1]")
            self.carried += payload

    def upgrade(self, **changes):
        self.send(request(**changes))
        status, head = self.response()
        if status != 101:
            raise AssertionError(head)
        return self

    def connect(self, client_id, **options):
        self.upgrade()
        self.send(frame(mqtt.connect(5, client_id, **options)))
        connack = self.packet()
        if connack.kind != mqtt.CONNACK or connack.reason != 0:
            raise AssertionError(str(connack))
        return self

    def close(self):
        self.socket.close()
