"""MQTT Control Packets as bytes, for 3.1 (version 3), 3.1.1 (4) and 5.

Written from the OASIS documents and from nothing else, so that it can judge a broker. Builders put
together whatever they are asked to, forbidden combinations included; the decoder reads what a
Server sends and refuses everything that a Server may not send.
"""

import struct
from types import SimpleNamespace

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)
WILL = 16  # not a packet: the place of Will Properties in the property table

NAMES = ("reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
         "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT",
         "AUTH")

# Fixed header flags where they are not free (5.0 table 2-2).
FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}

BYTE, TWO_BYTES, FOUR_BYTES, VARIABLE, BINARY, STRING, PAIR = range(7)

ACKNOWLEDGEMENTS = (PUBACK, PUBREC, PUBREL, PUBCOMP)
ALL_WITH_REASON = (CONNACK, SUBACK, UNSUBACK, DISCONNECT, AUTH) + ACKNOWLEDGEMENTS

# 5.0 table 2-4: identifier -> name, type, packets.
PROPERTIES = {
    0x01: ("payload_format_indicator", BYTE, (PUBLISH, WILL)),
    0x02: ("message_expiry_interval", FOUR_BYTES, (PUBLISH, WILL)),
    0x03: ("content_type", STRING, (PUBLISH, WILL)),
    0x08: ("response_topic", STRING, (PUBLISH, WILL)),
    0x09: ("correlation_data", BINARY, (PUBLISH, WILL)),
    0x0B: ("subscription_identifier", VARIABLE, (PUBLISH, SUBSCRIBE)),
    0x11: ("session_expiry_interval", FOUR_BYTES, (CONNECT, CONNACK, DISCONNECT)),
    0x12: ("assigned_client_identifier", STRING, (CONNACK,)),
    0x13: ("server_keep_alive", TWO_BYTES, (CONNACK,)),
    0x15: ("authentication_method", STRING, (CONNECT, CONNACK, AUTH)),
    0x16: ("authentication_data", BINARY, (CONNECT, CONNACK, AUTH)),
    0x17: ("request_problem_information", BYTE, (CONNECT,)),
    0x18: ("will_delay_interval", FOUR_BYTES, (WILL,)),
    0x19: ("request_response_information", BYTE, (CONNECT,)),
    0x1A: ("response_information", STRING, (CONNACK,)),
    0x1C: ("server_reference", STRING, (CONNACK, DISCONNECT)),
    0x1F: ("reason_string", STRING, ALL_WITH_REASON),
    0x21: ("receive_maximum", TWO_BYTES, (CONNECT, CONNACK)),
    0x22: ("topic_alias_maximum", TWO_BYTES, (CONNECT, CONNACK)),
    0x23: ("topic_alias", TWO_BYTES, (PUBLISH,)),
    0x24: ("maximum_qos", BYTE, (CONNACK,)),
    0x25: ("retain_available", BYTE, (CONNACK,)),
    0x26: ("user_property", PAIR,
           (CONNECT, PUBLISH, WILL, SUBSCRIBE, UNSUBSCRIBE) + ALL_WITH_REASON),
    0x27: ("maximum_packet_size", FOUR_BYTES, (CONNECT, CONNACK)),
    0x28: ("wildcard_subscription_available", BYTE, (CONNACK,)),
    0x29: ("subscription_identifier_available", BYTE, (CONNACK,)),
    0x2A: ("shared_subscription_available", BYTE, (CONNACK,)),
}
PROPERTY_IDS = {name: identifier for identifier, (name, _, _) in PROPERTIES.items()}
REPEATED = ("user_property", "subscription_identifier")


class BadPacket(AssertionError):
    """The broker sent something that the specification forbids."""


# ---- Encoding ----

def variable_byte_integer(value):
    out = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def binary(data):
    return struct.pack("!H", len(data)) + data


def string(text):
    return binary(text if isinstance(text, bytes) else text.encode())


def one_property(name, value):
    identifier = PROPERTY_IDS[name]
    kind = PROPERTIES[identifier][1]
    if kind == PAIR:
        body = string(value[0]) + string(value[1])
    elif kind in (STRING, BINARY):
        body = string(value)
    elif kind == VARIABLE:
        body = variable_byte_integer(value)
    else:
        body = struct.pack({BYTE: "!B", TWO_BYTES: "!H", FOUR_BYTES: "!I"}[kind], value)
    return bytes([identifier]) + body


def properties(values):
    """A property block from a dict, a list of pairs (order and repetition kept), or raw bytes."""
    if isinstance(values, bytes):
        body = values
    else:
        pairs = values.items() if isinstance(values, dict) else values
        body = b""
        for name, value in pairs:
            for single in value if isinstance(value, list) else [value]:
                body += one_property(name, single)
    return variable_byte_integer(len(body)) + body


def packet(kind, body=b"", flags=None):
    first = kind << 4 | (FLAGS.get(kind, 0) if flags is None else flags)
    return bytes([first]) + variable_byte_integer(len(body)) + body


def connect(version, client_id="", clean=True, keep_alive=60, will=None, user=None, password=None,
            props=(), protocol=None, level=None, flags=None):
    """`will` is a dict of topic, payload, qos, retain and, for version 5, its properties."""
    protocol = protocol if protocol is not None else ("MQIsdp" if version == 3 else "MQTT")
    bits = 0x02 if clean else 0
    payload = string(client_id)
    if will is not None:
        will = dict(will)
        topic, message = will.pop("topic"), will.pop("payload", b"")
        bits |= 0x04 | will.pop("qos", 0) << 3 | (0x20 if will.pop("retain", False) else 0)
        payload += (properties(will) if version == 5 else b"") + string(topic) + string(message)
    if user is not None:
        bits |= 0x80
        payload += string(user)
    if password is not None:
        bits |= 0x40
        payload += string(password)
    body = string(protocol) + bytes([version if level is None else level,
                                     bits if flags is None else flags])
    body += struct.pack("!H", keep_alive) + (properties(props) if version == 5 else b"")
    return packet(CONNECT, body + payload)


def publish(version, topic, payload=b"", qos=0, packet_id=None, dup=False, retain=False, props=()):
    body = string(topic)
    if packet_id is not None:
        body += struct.pack("!H", packet_id)
    if version == 5:
        body += properties(props)
    payload = payload.encode() if isinstance(payload, str) else payload
    return packet(PUBLISH, body + payload, flags=(8 if dup else 0) | qos << 1 | bool(retain))


def acknowledgement(kind, packet_id, reason=None, props=None):
    """PUBACK, PUBREC, PUBREL, PUBCOMP; the short form unless a reason is given."""
    body = struct.pack("!H", packet_id)
    if reason is not None:
        body += bytes([reason])
        if props is not None:
            body += properties(props)
    return packet(kind, body)


def subscribe(version, packet_id, filters, props=()):
    """`filters` is a list of (filter, options byte)."""
    body = struct.pack("!H", packet_id) + (properties(props) if version == 5 else b"")
    for topic_filter, options in filters:
        body += string(topic_filter) + bytes([options])
    return packet(SUBSCRIBE, body)


def unsubscribe(version, packet_id, filters, props=()):
    body = struct.pack("!H", packet_id) + (properties(props) if version == 5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(string(item) for item in filters))


def pingreq():
    return packet(PINGREQ)


def disconnect(version, reason=0, props=None):
    if version < 5 or (reason == 0 and props is None):
        return packet(DISCONNECT)
    return packet(DISCONNECT, bytes([reason]) + (b"" if props is None else properties(props)))


def auth(reason, props=()):
    return packet(AUTH, bytes([reason]) + properties(props))


# ---- Decoding what a Server sends ----

class Packet(SimpleNamespace):
    """One packet from the broker. Fields depend on its kind; see the decoders below."""

    @property
    def name(self):
        return NAMES[self.kind]

    def __repr__(self):
        fields = ", ".join(f"{key}={value!r:.80}" for key, value in vars(self).items()
                           if key not in ("kind", "size"))
        return f"{self.name}({fields})"


class Reader:
    """Takes fields off a packet's body and refuses to run over its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise BadPacket(f"a field of {count} bytes where {self.left()} are left")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def two_bytes(self):
        return struct.unpack("!H", self.take(2))[0]

    def four_bytes(self):
        return struct.unpack("!I", self.take(4))[0]

    def variable(self):
        value = 0
        for shift in (0, 7, 14, 21):
            digit = self.byte()
            value |= (digit & 0x7F) << shift
            if digit < 0x80:
                if shift and not digit:
                    raise BadPacket("a Variable Byte Integer that is not minimal [MQTT-1.5.5-1]")
                return value
        raise BadPacket("a Variable Byte Integer of more than four bytes")

    def binary(self):
        return self.take(self.two_bytes())

    def string(self):
        try:
            text = self.binary().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadPacket(f"ill-formed UTF-8 [MQTT-1.5.4-1]: {error}") from None
        if "\0" in text:
            raise BadPacket("U+0000 in a string [MQTT-1.5.4-2]")
        return text

    def properties(self, place):
        block = Reader(self.take(self.variable()))
        read = {BYTE: block.byte, TWO_BYTES: block.two_bytes, FOUR_BYTES: block.four_bytes,
                VARIABLE: block.variable, BINARY: block.binary, STRING: block.string,
                PAIR: lambda: (block.string(), block.string())}
        out = {}
        while block.left():
            identifier = block.variable()
            if identifier not in PROPERTIES:
                raise BadPacket(f"unknown property 0x{identifier:02X}")
            name, kind, packets = PROPERTIES[identifier]
            if place not in packets:
                raise BadPacket(f"{name} in {NAMES[place]}")
            value = read[kind]()
            if name in REPEATED:
                out.setdefault(name, []).append(value)
            elif name in out:
                raise BadPacket(f"{name} twice in {NAMES[place]}")
            else:
                out[name] = value
        return out


def _connack(version, flags, body):
    acknowledge = body.byte()
    if acknowledge & 0xFE:
        raise BadPacket(f"Connect Acknowledge Flags 0x{acknowledge:02X} [MQTT-3.2.2-1]")
    reason = body.byte()
    props = body.properties(CONNACK) if version == 5 else {}
    if reason and acknowledge:
        raise BadPacket("Session Present with a refusal [MQTT-3.2.2-6]")
    return Packet(kind=CONNACK, reason=reason, session_present=bool(acknowledge), props=props)


def _publish(version, flags, body):
    qos = flags >> 1 & 3
    if qos == 3:
        raise BadPacket("PUBLISH with QoS 3 [MQTT-3.3.1-4]")
    if qos == 0 and flags & 8:
        raise BadPacket("PUBLISH with QoS 0 and DUP 1 [MQTT-3.3.1-2]")
    topic = body.string()
    if "+" in topic or "#" in topic:
        raise BadPacket(f"PUBLISH to {topic!r} [MQTT-3.3.2-2]")
    packet_id = body.two_bytes() if qos else None
    if packet_id == 0:
        raise BadPacket("PUBLISH with Packet Identifier 0 [MQTT-2.2.1-4]")
    props = body.properties(PUBLISH) if version == 5 else {}
    if props.get("topic_alias") == 0:
        raise BadPacket("Topic Alias 0 [MQTT-3.3.2-8]")
    if not topic and "topic_alias" not in props:
        raise BadPacket("PUBLISH without Topic Name and Topic Alias")
    return Packet(kind=PUBLISH, topic=topic, payload=bytes(body.take(body.left())), qos=qos,
                  dup=bool(flags & 8), retain=bool(flags & 1), packet_id=packet_id, props=props)


def _acknowledgement(kind):
    def decode_it(version, flags, body):
        packet_id, reason, props = body.two_bytes(), 0, {}
        if version == 5 and body.left():
            reason = body.byte()
            if body.left():
                props = body.properties(kind)
        return Packet(kind=kind, packet_id=packet_id, reason=reason, props=props)
    return decode_it


def _suback(version, flags, body):
    packet_id = body.two_bytes()
    props = body.properties(SUBACK) if version == 5 else {}
    return Packet(kind=SUBACK, packet_id=packet_id, props=props,
                  reasons=list(body.take(body.left())))


def _unsuback(version, flags, body):
    packet_id = body.two_bytes()
    props = body.properties(UNSUBACK) if version == 5 else {}
    reasons = list(body.take(body.left())) if version == 5 else []
    return Packet(kind=UNSUBACK, packet_id=packet_id, props=props, reasons=reasons)


def _pingresp(version, flags, body):
    return Packet(kind=PINGRESP)


def _disconnect(version, flags, body):
    if version < 5:
        raise BadPacket("a DISCONNECT from the Server before MQTT 5")
    reason = body.byte() if body.left() else 0
    props = body.properties(DISCONNECT) if body.left() else {}
    if "session_expiry_interval" in props:
        raise BadPacket("Session Expiry Interval in a Server's DISCONNECT [MQTT-3.14.2-2]")
    return Packet(kind=DISCONNECT, reason=reason, props=props)


def _auth(version, flags, body):
    if version < 5:
        raise BadPacket("AUTH before MQTT 5")
    reason = body.byte() if body.left() else 0
    return Packet(kind=AUTH, reason=reason, props=body.properties(AUTH) if body.left() else {})


DECODERS = {CONNACK: _connack, PUBLISH: _publish, SUBACK: _suback, UNSUBACK: _unsuback,
            PINGRESP: _pingresp, DISCONNECT: _disconnect, AUTH: _auth,
            **{kind: _acknowledgement(kind) for kind in ACKNOWLEDGEMENTS}}


def decode(version, first, data):
    """The packet with this first byte and this body; BadPacket if a Server must not send it."""
    kind, flags = first >> 4, first & 15
    if kind not in DECODERS:
        raise BadPacket(f"the broker sent {NAMES[kind]} (0x{first:02X})")
    if kind != PUBLISH and flags != FLAGS.get(kind, 0):
        raise BadPacket(f"{NAMES[kind]} with flags {flags:04b} [MQTT-2.1.3-1]")
    body = Reader(bytes(data))
    try:
        out = DECODERS[kind](version, flags, body)
    except BadPacket as error:
        raise BadPacket(f"{NAMES[kind]}: {error}: {bytes(data[:200])!r}") from None
    if body.left():
        raise BadPacket(f"{NAMES[kind]} with {body.left()} bytes too many: {bytes(data)!r}")
    out.size = 1 + len(variable_byte_integer(len(data))) + len(data)
    return out
