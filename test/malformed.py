"""Packets that a Server must refuse, and the Reason Codes it may give (5.0 section 4.13).

Each entry: name, bytes, Reason Codes for MQTT 5, versions it is wrong in. Where the text names the
code, that one is demanded; where it only says that something must not be, 0x81 and 0x82 are.
"""

import struct

import mqtt_packet as mqtt
from mqtt_packet import (AUTH, CONNACK, CONNECT, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP,
                         PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE)

ALL = (3, 4, 5)
OLD_AND_NEW = (4, 5)
FIVE = (5,)
MALFORMED, PROTOCOL_ERROR = (0x81,), (0x82,)
EITHER = (0x81, 0x82)
TOPIC = (0x81, 0x82, 0x90)

BAD_UTF8 = {"a lone continuation byte": b"a\x80b", "an overlong slash": b"a\xc0\xafb",
            "a surrogate": b"a\xed\xa0\x80b", "a code point over U+10FFFF": b"a\xf4\x90\x80\x80",
            "a cut sequence": b"ab\xe2\x82", "U+0000": b"a\0b", "0xFF": b"a\xff"}


def publish_with(version, props, qos=0):
    return mqtt.publish(version, "a", b"x", qos, 1 if qos else None, props=props)


def subscribe_with(props, options=0):
    return mqtt.subscribe(5, 1, [("a", options)], props)


def raw_properties(kind, packet_id, block, rest=b""):
    body = (struct.pack("!H", packet_id) if packet_id else b"") + block + rest
    return mqtt.packet(kind, body)


def fixed_headers():
    yield "packet type 0", b"\x00\x00", EITHER, ALL
    yield "a Remaining Length of five bytes", b"\x30\xff\xff\xff\xff\x01", MALFORMED, ALL
    yield "a Remaining Length that never ends", b"\x30" + b"\x80" * 20, MALFORMED, ALL
    yield "a Remaining Length that is not minimal", b"\xc0\x80\x00", MALFORMED, FIVE
    for kind, flags in ((PUBREL, 0), (SUBSCRIBE, 0), (UNSUBSCRIBE, 0), (PUBACK, 1), (PUBREC, 2),
                        (PUBCOMP, 8), (PINGREQ, 1), (DISCONNECT, 1), (SUBSCRIBE, 3)):
        body = {PINGREQ: b"", DISCONNECT: b"", SUBSCRIBE: b"\0\1\0\1a\0", UNSUBSCRIBE: b"\0\1\0\1a"}
        yield (f"{mqtt.NAMES[kind]} with flags {flags:04b}",
               mqtt.packet(kind, body.get(kind, b"\0\1"), flags), MALFORMED, OLD_AND_NEW)
    yield "PUBLISH with QoS 3", mqtt.packet(PUBLISH, b"\0\1a\0\1\0x", 6), MALFORMED, ALL
    yield "PUBLISH with QoS 0 and DUP", mqtt.packet(PUBLISH, b"\0\1a\0x", 8), EITHER, FIVE


def wrong_kinds():
    for kind in (CONNACK, SUBACK, UNSUBACK, PINGRESP):
        bodies = {CONNACK: b"\0\0", SUBACK: b"\0\1\0\0", UNSUBACK: b"\0\1\0\0", PINGRESP: b""}
        yield f"{mqtt.NAMES[kind]} from a client", mqtt.packet(kind, bodies[kind]), EITHER, OLD_AND_NEW
    yield "AUTH before MQTT 5", mqtt.packet(AUTH), EITHER, (3, 4)
    yield "AUTH without a method", mqtt.auth(0x19), PROTOCOL_ERROR, FIVE
    yield "PINGREQ with a body", mqtt.packet(PINGREQ, b"x"), EITHER, OLD_AND_NEW


def topics(version):
    for wildcard in ("a/+", "#", "a#"):
        yield f"a Topic Name {wildcard}", mqtt.publish(version, wildcard, b"x"), TOPIC, ALL
    for name, data in BAD_UTF8.items():
        yield f"{name} in a Topic Name", mqtt.publish(version, data, b"x"), TOPIC, ALL
        yield (f"{name} in a Topic Filter", mqtt.subscribe(version, 1, [(data, 0)]),
               (0x81, 0x82, 0x8F), OLD_AND_NEW)
    yield "an empty Topic Name", mqtt.publish(version, "", b"x"), TOPIC, ALL
    yield "a Topic Name cut short", mqtt.packet(PUBLISH, b"\0\5ab"), MALFORMED, ALL
    yield "a PUBLISH without a body", mqtt.packet(PUBLISH), MALFORMED, ALL


def packet_identifiers(version):
    empty = b"\0" if version == 5 else b""
    yield ("PUBLISH with Packet Identifier 0", mqtt.publish(version, "a", b"x", 1, 0), EITHER, ALL)
    yield ("SUBSCRIBE with Packet Identifier 0", mqtt.subscribe(version, 0, [("a", 0)]), EITHER,
           ALL)
    yield "UNSUBSCRIBE with Packet Identifier 0", mqtt.unsubscribe(version, 0, ["a"]), EITHER, ALL
    yield "PUBLISH without its Packet Identifier", mqtt.packet(PUBLISH, b"\0\1a", 2), MALFORMED, ALL
    yield "PUBACK without its Packet Identifier", mqtt.packet(PUBACK, b"\1"), MALFORMED, ALL
    yield "PUBREL of one byte", mqtt.packet(PUBREL, b"\1"), MALFORMED, ALL
    yield ("SUBSCRIBE without a filter", mqtt.packet(SUBSCRIBE, b"\0\1" + empty), PROTOCOL_ERROR,
           OLD_AND_NEW)
    yield ("UNSUBSCRIBE without a filter", mqtt.packet(UNSUBSCRIBE, b"\0\1" + empty),
           PROTOCOL_ERROR, OLD_AND_NEW)
    yield ("SUBSCRIBE without its options", mqtt.packet(SUBSCRIBE, b"\0\1" + empty + b"\0\1a"),
           EITHER, ALL)
    yield ("a Topic Filter cut short", mqtt.packet(SUBSCRIBE, b"\0\1" + empty + b"\0\5a"),
           EITHER, ALL)


def subscription_options():
    yield "a requested QoS of 3", mqtt.subscribe(4, 1, [("a", 3)]), EITHER, (3, 4)
    yield "a reserved bit of 3.1.1's options", mqtt.subscribe(4, 1, [("a", 4)]), EITHER, (4,)
    yield "a Maximum QoS of 3", subscribe_with((), 3), EITHER, FIVE
    yield "a Retain Handling of 3", subscribe_with((), 0x30), EITHER, FIVE
    for bit in (0x40, 0x80):
        yield f"reserved option bit 0x{bit:02X}", subscribe_with((), bit), MALFORMED, FIVE


def property_blocks():
    yield "properties that do not end", mqtt.packet(PUBLISH, b"\0\1a\x7f"), MALFORMED, FIVE
    yield ("a Property Length of five bytes", mqtt.packet(PUBLISH, b"\0\1a\xff\xff\xff\xff\1"),
           MALFORMED, FIVE)
    yield "an unknown property", publish_with(5, b"\x04\x00"), MALFORMED, FIVE
    yield "property 0", publish_with(5, b"\x00\x00"), MALFORMED, FIVE
    yield "a property cut short", publish_with(5, b"\x02\0\0"), MALFORMED, FIVE
    yield "a string property cut short", publish_with(5, b"\x03\0\x09ab"), MALFORMED, FIVE
    yield "a User Property cut short", publish_with(5, b"\x26\0\1a\0\5b"), MALFORMED, FIVE
    for name, value in (("receive_maximum", 5), ("will_delay_interval", 1),
                        ("session_expiry_interval", 1), ("reason_string", "x"),
                        ("assigned_client_identifier", "x")):
        yield f"{name} in PUBLISH", publish_with(5, {name: value}), EITHER, FIVE
    yield "content_type in SUBSCRIBE", subscribe_with({"content_type": "x"}), EITHER, FIVE
    for name, value in (("content_type", "x"), ("response_topic", "x"), ("topic_alias", 1),
                        ("message_expiry_interval", 1), ("payload_format_indicator", 1),
                        ("correlation_data", b"x")):
        yield f"{name} twice", publish_with(5, [(name, value)] * 2), PROTOCOL_ERROR, FIVE
    yield ("two Subscription Identifiers in SUBSCRIBE",
           subscribe_with([("subscription_identifier", 1)] * 2), PROTOCOL_ERROR, FIVE)
    yield ("Subscription Identifier 0", subscribe_with({"subscription_identifier": 0}),
           PROTOCOL_ERROR, FIVE)
    yield ("a Subscription Identifier in a client's PUBLISH",
           publish_with(5, {"subscription_identifier": 1}), EITHER, FIVE)
    yield ("a Response Topic with a wildcard", publish_with(5, {"response_topic": "a/+"}), TOPIC,
           FIVE)
    yield ("a Payload Format Indicator of 2", publish_with(5, {"payload_format_indicator": 2}),
           (0x81, 0x82, 0x99), FIVE)
    for name, data in BAD_UTF8.items():
        yield (f"{name} in a User Property", publish_with(5, {"user_property": [("k", data)]}),
               MALFORMED, FIVE)


def reason_codes():
    for kind, code in ((PUBACK, 0x01), (PUBREC, 0x92), (PUBREL, 0x80), (PUBCOMP, 0x10)):
        yield (f"{mqtt.NAMES[kind]} with Reason Code 0x{code:02X}",
               mqtt.acknowledgement(kind, 1, code), EITHER, FIVE)
    yield "DISCONNECT with Reason Code 0x8E", mqtt.disconnect(5, 0x8E, {}), EITHER, FIVE
    yield "DISCONNECT with Reason Code 0x01", mqtt.disconnect(5, 0x01, {}), EITHER, FIVE
    yield "DISCONNECT with a body before MQTT 5", mqtt.packet(DISCONNECT, b"\0"), EITHER, (4,)


def after_connect(version):
    """(name, bytes, Reason Codes) of everything that ends a connection of this version."""
    groups = (fixed_headers(), wrong_kinds(), topics(version), packet_identifiers(version),
              subscription_options(), property_blocks(), reason_codes(),
              [("a second CONNECT", mqtt.connect(version, "again"), PROTOCOL_ERROR, ALL)])
    return [(name, data, codes) for group in groups for name, data, codes, versions in group
            if version in versions]


def with_will(version, bits, **fields):
    """A CONNECT with these bits of the Connect Flags in place of its own."""
    data = bytearray(mqtt.connect(version, "a", True, **fields))
    data[2 + 2 + (6 if version == 3 else 4) + 1] = bits
    return bytes(data)


def connects_of_every_version(version):
    plain = mqtt.connect(version, "a", True)
    will = {"will": {"topic": "w", "payload": b"x"}}
    yield "Will QoS 3", with_will(version, 0x1E, **will), EITHER
    yield "a Will Flag without a will", with_will(version, 0x06), EITHER
    yield "no Client Identifier", mqtt.packet(CONNECT, plain[2:-3]), EITHER
    yield "a byte too many", mqtt.packet(CONNECT, plain[2:] + b"x"), EITHER
    yield "an empty body", mqtt.packet(CONNECT), EITHER
    yield "another protocol", mqtt.connect(version, "a", True, protocol="MQTS"), (0x81, 0x82, 0x84)
    for name, data in BAD_UTF8.items():
        yield f"{name} in the Client Identifier", mqtt.connect(version, data), (0x81, 0x82, 0x85, 2)
        yield (f"{name} in the Will Topic",
               mqtt.connect(version, "a", will={"topic": data}), TOPIC)
    yield ("a Will Topic with a wildcard", mqtt.connect(version, "a", will={"topic": "a/#"}), TOPIC)


def connects_since_3_1_1(version):
    """What MQTT 3.1 leaves open."""
    plain = mqtt.connect(version, "a", True)
    yield "the reserved flag", with_will(version, 0x03), EITHER
    yield "Will QoS without a Will", with_will(version, 0x0A), EITHER
    yield "Will Retain without a Will", with_will(version, 0x22), EITHER
    yield "a User Name flag without a user name", with_will(version, 0x82), EITHER
    yield "flags in the fixed header", bytes([0x11]) + plain[1:], EITHER
    for name, data in BAD_UTF8.items():
        yield f"{name} in the User Name", mqtt.connect(version, "a", user=data), EITHER
    if version == 4:
        yield "a password without a user name", mqtt.connect(4, "a", password="p"), EITHER


def connects_of_5():
    for name, value in (("session_expiry_interval", 1), ("receive_maximum", 1),
                        ("maximum_packet_size", 100), ("topic_alias_maximum", 1),
                        ("request_problem_information", 1), ("request_response_information", 1)):
        yield f"{name} twice", mqtt.connect(5, "a", props=[(name, value)] * 2), PROTOCOL_ERROR
    for name, value in (("receive_maximum", 0), ("maximum_packet_size", 0),
                        ("request_problem_information", 2), ("request_response_information", 2)):
        yield f"{name} {value}", mqtt.connect(5, "a", props={name: value}), EITHER
    yield ("Authentication Data without a method",
           mqtt.connect(5, "a", props={"authentication_data": b"x"}), PROTOCOL_ERROR)
    yield "an unknown property", mqtt.connect(5, "a", props=b"\x7a\0"), MALFORMED
    yield "a property of PUBLISH", mqtt.connect(5, "a", props={"topic_alias": 1}), EITHER
    yield ("a property of CONNECT in the will",
           mqtt.connect(5, "a", will={"topic": "w", "receive_maximum": 1}), EITHER)
    yield ("an unknown authentication method",
           mqtt.connect(5, "a", props={"authentication_method": "no-such"}), (0x8C, 0x87))


def connects(version):
    """(name, bytes, Reason Codes) of CONNECTs that must not be accepted."""
    out = list(connects_of_every_version(version))
    if version > 3:
        out += connects_since_3_1_1(version)
    if version == 5:
        out += connects_of_5()
    return out


def not_connect(version):
    """(name, bytes) of first packets that are no CONNECT."""
    return (("PINGREQ", mqtt.pingreq()), ("PUBLISH", mqtt.publish(version, "a", b"x")),
            ("SUBSCRIBE", mqtt.subscribe(version, 1, [("a", 0)])),
            ("DISCONNECT", mqtt.disconnect(version)), ("AUTH", mqtt.auth(0x18)),
            ("PUBREL", mqtt.acknowledgement(PUBREL, 1)),
            ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            ("TLS", bytes.fromhex("16030100a5010000a10303") + b"\x5a" * 200),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"), ("zeros", b"\0" * 64), ("0xFF", b"\xff" * 64))
