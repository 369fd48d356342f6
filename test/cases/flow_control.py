"""Rule 19 and Receive Maximum in both directions (5.0 sections 3.1.2.11.3, 4.9)."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL


def receive_maximum(value):
    return {"props": {"receive_maximum": value}}


def begin(t, maximum, qos, count):
    """A stored subscriber, Receive Maximum `maximum`, with `count` messages published to it."""
    t.start()
    subscriber = t.client("here", stored=True, **receive_maximum(maximum))
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher")
    for number in range(count):
        publisher.publish("a", b"%d" % number, qos)
    return subscriber, publisher


def expect_numbers(subscriber, numbers, **fields):
    return [subscriber.expect(PUBLISH, payload=b"%d" % number, **fields) for number in numbers]


@case("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", over={"qos": (1, 2)})
def no_more_than_receive_maximum_are_in_flight(t, qos):
    subscriber, _ = begin(t, 3, qos, 10)
    flight = expect_numbers(subscriber, range(3))
    subscriber.expect_nothing()
    for number in range(3, 10):
        packet = flight.pop(0)
        subscriber.acknowledge(PUBACK if qos == 1 else PUBREC, packet.packet_id)
        if qos == 2:
            # The slot is free with PUBCOMP, not before.
            subscriber.expect(PUBREL, packet_id=packet.packet_id)
            subscriber.expect_nothing()
            subscriber.acknowledge(PUBCOMP, packet.packet_id)
        flight += expect_numbers(subscriber, [number])
        subscriber.expect_nothing()


@case("rule 24", "MQTT-4.6.0-6", over={"version": (4, 5)})
def large_messages_wait_while_a_hundred_are_in_flight(t, version):
    """What a Client does not acknowledge stays in memory: a large window is for small messages."""
    t.holdfast_only("INFLIGHT_LARGE_MAX, and the default window")
    t.start()
    subscriber = t.client("here", version, stored=True)
    subscriber.subscribe("a", qos=1)
    publisher = t.client("publisher")
    payloads = [b"%d " % number + b"x" * (20000 if number == 150 else 1) for number in range(300)]
    for payload in payloads:
        publisher.publish("a", payload, qos=1)
    flight = [subscriber.expect(PUBLISH, payload=payload) for payload in payloads[:150]]
    subscriber.expect_nothing()
    for packet in flight[:50]:
        subscriber.acknowledge(PUBACK, packet.packet_id)
    subscriber.expect_nothing()
    subscriber.acknowledge(PUBACK, flight[50].packet_id)
    for payload in payloads[150:]:
        subscriber.expect(PUBLISH, payload=payload)


@case("MQTT-4.9.0-3", "MQTT-3.3.4-10")
def what_is_no_qos_1_or_2_publish_passes_a_full_window(t):
    subscriber, publisher = begin(t, 1, 1, 2)
    (packet,) = expect_numbers(subscriber, [0])
    subscriber.subscribe("zero", qos=0)
    publisher.publish("zero", b"qos 0")
    subscriber.message(payload=b"qos 0", qos=0)
    subscriber.publish("elsewhere", b"x", qos=1)
    subscriber.publish("elsewhere", b"x", qos=2)
    subscriber.unsubscribe("zero")
    subscriber.expect_nothing()
    subscriber.acknowledge(PUBACK, packet.packet_id)
    expect_numbers(subscriber, [1])


@case("rule 19", "MQTT-4.4.0-1", "MQTT-3.3.4-9", over={"qos": (1, 2), "killed": (False, True)})
def a_smaller_receive_maximum_holds_for_what_is_resent(t, qos, killed):
    subscriber, publisher = begin(t, 10, qos, 12)
    first = expect_numbers(subscriber, range(10))
    t.away("witness", "witness")
    publisher.publish("witness", b"x", qos=1)  # what was sent is durable with it (rule 8)
    if killed:
        t.broker.kill_and_restart()
    else:
        subscriber.close()
    subscriber = t.back("here", **receive_maximum(2))
    flight = expect_numbers(subscriber, range(2), dup=True)
    subscriber.expect_nothing()
    for number in range(2, 12):
        packet = flight.pop(0)
        checks.equal("identifier", packet.packet_id, first[number - 2].packet_id)
        subscriber.answer(packet)
        if qos == 2:
            subscriber.answer(subscriber.expect(PUBREL, packet_id=packet.packet_id))
        flight += expect_numbers(subscriber, [number], dup=number < 10)
        subscriber.expect_nothing()


@case("rule 19", "MQTT-4.4.0-1", over={"killed": (False, True)})
def resent_pubrels_take_no_slot(t, killed):
    subscriber, _ = begin(t, 10, 2, 6)
    first = expect_numbers(subscriber, range(6))
    for packet in first[:3]:
        subscriber.acknowledge(PUBREC, packet.packet_id)
        subscriber.expect(PUBREL, packet_id=packet.packet_id)
    if killed:
        t.broker.kill_and_restart()
    else:
        subscriber.close()
    subscriber = t.back("here", **receive_maximum(2))
    resent = subscriber.settle()
    checks.equal("released", [packet.packet_id for packet in resent if packet.kind == PUBREL],
                 [packet.packet_id for packet in first[:3]])
    checks.equal("published", [(packet.packet_id, packet.dup) for packet in resent
                               if packet.kind == PUBLISH],
                 [(packet.packet_id, True) for packet in first[3:5]])


@case("rule 19", "MQTT-3.3.4-9")
def an_error_pubrec_frees_its_slot(t):
    subscriber, _ = begin(t, 2, 2, 6)
    flight = expect_numbers(subscriber, range(2))
    for number in range(2, 6):
        subscriber.acknowledge(PUBREC, flight.pop(0).packet_id, 0x83)
        flight += expect_numbers(subscriber, [number])
        subscriber.expect_nothing()


@case("rule 19", "MQTT-3.1.2-25", over={"qos": (1, 2), "stored": (False, True)})
def a_message_dropped_for_its_size_frees_its_slot(t, qos, stored):
    t.start()
    subscriber = t.client("here", stored=stored,
                          props={"receive_maximum": 1, "maximum_packet_size": 200})
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher")
    for number in range(5):
        publisher.publish("a", b"x" * 1000, qos)
        publisher.publish("a", b"%d" % number, qos)
    for number in range(5):
        subscriber.message(payload=b"%d" % number, qos=qos)
    subscriber.expect_nothing()
    subscriber.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-3.3.4-7", "MQTT-4.13.1-1")
def a_client_that_exceeds_the_brokers_receive_maximum_is_disconnected(t):
    t.start()
    publisher = t.client("publisher")
    limit = publisher.connack.props.get("receive_maximum", 65535)
    if limit > 2000:
        t.skip(f"the broker's Receive Maximum is {limit}")
    for packet_id in range(1, limit + 1):
        publisher.send(mqtt.publish(5, "a", b"x", 2, packet_id))
    for packet_id in range(1, limit + 1):
        publisher.expect(PUBREC, packet_id=packet_id)
    publisher.send(mqtt.publish(5, "a", b"x", 2, limit + 1))
    publisher.expect_disconnect(0x93)


@case("rule 20", "rule 7", "MQTT-4.3.2-2")
def a_3_1_1_publisher_without_a_window_is_answered_in_full(t):
    """3.1.1 knows no Receive Maximum: the broker may be slow to answer, but not close."""
    t.holdfast_only("a window without end")
    t.start()
    t.away("away", "a", version=4, qos=2)
    publisher = t.client("publisher", 4)
    publisher.send(b"".join(mqtt.publish(4, "a", b"%d" % number, 1, number)
                            for number in range(1, 5001)))
    for number in range(1, 5001):
        publisher.expect(PUBACK, packet_id=number)
    checks.equal("messages", checks.payloads(t.back("away", 4).messages(5000)),
                 [b"%d" % number for number in range(1, 5001)])


@case("rule 19", "MQTT-3.1.2-23")
def a_backlog_drains_as_fast_as_it_is_acknowledged(t):
    """Receive Maximum 1 and a backlog of 500: one follows the other without waiting for a timer."""
    t.start()
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    for number in range(500):
        publisher.publish("a", b"%d" % number, qos=1)
    t.broker.kill_and_restart()
    subscriber = t.back("away", **receive_maximum(1))
    for number in range(500):
        subscriber.message(payload=b"%d" % number)
    subscriber.expect_nothing()
