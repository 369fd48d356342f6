"""One session, several versions of the protocol: 3.1.1 and 5 are told apart at the edge alone."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK

PAIRS = {"first": (4, 5), "killed": (False, True)}


def other(version):
    return 9 - version


def leave(t, client, killed):
    if killed:
        t.broker.kill_and_restart()
    else:
        client.close()


@case("MQTT-3.1.2-5", "MQTT-3.1.2-23", "rule 1", over=PAIRS)
def a_session_of_one_version_is_resumed_by_the_other(t, first, killed):
    t.start()
    client = t.client("one", first, stored=True)
    client.subscribe("a/+", qos=2)
    leave(t, client, killed)
    publisher = t.client("publisher", first)
    for qos in (1, 2):
        publisher.publish("a/b", b"at %d" % qos, qos)
    client = t.back("one", other(first))
    for qos in (1, 2):
        client.message(topic="a/b", payload=b"at %d" % qos, qos=qos)
    client.disconnect()
    t.back("one", first).expect_nothing()


@case("MQTT-4.4.0-1", "rule 4", over=PAIRS)
def an_outbound_exchange_goes_on_in_the_other_version(t, first, killed):
    t.start()
    client = t.client("one", first, stored=True)
    client.subscribe("a", qos=2)
    publisher = t.client("publisher")
    for content in (b"one", b"two"):
        publisher.publish("a", content, qos=2)
    ids = [client.expect(PUBLISH).packet_id for _ in range(2)]
    client.acknowledge(PUBREC, ids[0])
    client.expect(PUBREL, packet_id=ids[0])
    leave(t, client, killed)
    client = t.back("one", other(first))
    resent = {packet.kind: packet for packet in client.settle()}
    checks.equal("PUBREL", resent[PUBREL].packet_id, ids[0])
    checks.equal("PUBLISH", (resent[PUBLISH].packet_id, resent[PUBLISH].dup,
                             resent[PUBLISH].payload), (ids[1], True, b"two"))
    client.acknowledge(PUBCOMP, ids[0])
    client.acknowledge(PUBREC, ids[1])
    client.expect(PUBREL, packet_id=ids[1])
    client.acknowledge(PUBCOMP, ids[1])
    client.expect_nothing()


@case("MQTT-4.3.3-10", "rule 2", over=PAIRS)
def an_inbound_exchange_goes_on_in_the_other_version(t, first, killed):
    t.start()
    t.away("away", "a", qos=2)
    client = t.client("one", first, stored=True)
    client.send_publish("a", b"x", qos=2, packet_id=7)
    client.expect(PUBREC, packet_id=7)
    leave(t, client, killed)
    client = t.back("one", other(first))
    client.send_publish("a", b"x", qos=2, packet_id=7, dup=True)
    client.expect(PUBREC, packet_id=7)
    client.acknowledge(PUBREL, 7)
    client.expect(PUBCOMP, packet_id=7)
    away = t.back("away")
    away.message(payload=b"x")
    away.expect_nothing()


@case("MQTT-3.1.4-3",
      over=[{"first": 3, "second": 5}, {"first": 4, "second": 3}, {"first": 5, "second": 4}],
      long_over={"first": (3, 4, 5), "second": (3, 4, 5)})
def a_takeover_may_change_the_version(t, first, second):
    t.start()
    old = t.client("one", first, stored=True)
    old.subscribe("a", qos=1)
    new = t.back("one", second)
    old.expect_disconnect(0x8E)
    t.client("publisher").publish("a", b"x", qos=1)
    new.message(payload=b"x")


@case("MQTT-3.8.3-3", "MQTT-3.3.4-3")
def options_of_5_hold_while_3_1_1_uses_the_session(t):
    """No Local and Retain As Published are the subscription's; identifiers come back with 5."""
    t.start()
    client = t.client("one", stored=True)
    client.subscribe("a", qos=1, options=0x04 | 0x08, props={"subscription_identifier": 9})
    client.close()
    client = t.back("one", 4)
    client.publish("a", b"own", qos=1)
    client.expect_nothing()
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos=1, retain=True)
    client.message(payload=b"x", retain=True)
    client.disconnect()
    client = t.back("one")
    publisher.publish("a", b"y", qos=1)
    packet = client.message(payload=b"y")
    checks.equal("Subscription Identifiers", packet.props["subscription_identifier"], [9])


@case("MQTT-3.1.2-23", "MQTT-4.1.0-2")
def a_session_of_3_1_1_taken_by_5_gets_its_expiry(t):
    t.start()
    t.away("one", "a", version=4)
    client = t.client("one", clean=False, expiry=0)
    checks.equal("Session Present", client.connack.session_present, True)
    client.disconnect()
    client = t.client("one", 4, clean=False)
    checks.equal("Session Present", client.connack.session_present, False)


@case("MQTT-3.3.4-1", over={"qos": (1, 2)})
def every_byte_and_every_size_arrives_as_it_was_sent(t, qos):
    """Through the store, a kill, and all versions; up to the largest packet."""
    t.start(tls=True)
    names = {version: f"away-{version}" for version in (3, 4, 5)}
    for version, name in names.items():
        t.away(name, "a", version=version, qos=qos)
    payloads = [b"", bytes(range(256)), b"\0" * 127, b"x" * 128, b"y" * 16384,
                t.random.randbytes(200000), b"z" * 1000000]
    publisher = t.client("publisher", 5, "tls")
    for payload in payloads:
        publisher.publish("a", payload, qos)
    t.broker.kill_and_restart()
    for version, name in names.items():
        client = t.back(name, version, transport="tls" if version == 4 else "tcp")
        came = checks.payloads(client.messages(len(payloads)))
        checks.equal("sizes", [len(payload) for payload in came],
                     [len(payload) for payload in payloads])
        checks.that(came == payloads, "a payload was changed")


def dup(packet):
    return bytes([packet[0] | 8]) + packet[1:]


@case("MQTT 3.1 section 2.1", over={"version": (3, 4)})
def mqtt_3_1_alone_sends_more_than_publish_with_dup(t, version):
    t.start()
    client = t.client("one", version, stored=True)
    for packet, answer in ((mqtt.acknowledgement(PUBREL, 7), PUBCOMP),
                           (mqtt.subscribe(version, 8, [("a", 1)]), SUBACK),
                           (mqtt.unsubscribe(version, 9, ["a"]), UNSUBACK)):
        client.send(packet)
        client.expect(answer)
        client.send(dup(packet))
        if version == 3:
            client.expect(answer)
        else:
            client.expect_close()  # [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
            client = t.back("one", version)


@case("MQTT-3.1.2-2", over={"name": (b"MQTT", b"MQIsdp"), "level": (0, 2, 99)})
def a_level_that_is_not_known_gets_an_answer(t, name, level):
    t.start()
    body = len(name).to_bytes(2, "big") + name + bytes([level, 2, 0, 60]) + b"\x00\x01x"
    wire = t.open(5 if (name, level) == (b"MQTT", 99) else 4)
    wire.send(bytes([0x10, len(body)]) + body)
    connack = wire.read_packet()
    checks.equal("answer", (connack.kind, connack.reason), (CONNACK, 0x84 if wire.version == 5 else 1))
    wire.expect_close()
