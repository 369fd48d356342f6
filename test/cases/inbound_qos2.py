"""Rules 2 and 3: a QoS 2 message from a stored publisher is routed once, whenever the broker dies."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import PUBCOMP, PUBREC, PUBREL

VERSIONS = {"version": (4, 5)}


def publisher_of(t, version):
    return t.client("publisher", version, stored=True)


def finish(publisher, packet_id):
    """From PUBREL to PUBCOMP."""
    publisher.acknowledge(PUBREL, packet_id)
    publisher.expect(PUBCOMP, packet_id=packet_id, reason=0)


def expect_backlog(t, version, payloads):
    subscriber = t.back("away", version)
    came = subscriber.messages(len(payloads))
    checks.equal("delivered", checks.payloads(came), payloads)
    subscriber.expect_nothing()
    subscriber.disconnect()


@case("MQTT-4.3.3-10", "MQTT-4.3.3-12", over={"version": (3, 4, 5)})
def a_duplicate_is_acknowledged_and_not_routed(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    publisher = publisher_of(t, version)
    for content in (b"one", b"two"):
        publisher.send_publish("a", content, qos=2, packet_id=7)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        for _ in range(3):
            publisher.send_publish("a", content, qos=2, packet_id=7, dup=True)
            publisher.expect(PUBREC, packet_id=7, reason=0)
        finish(publisher, 7)
    expect_backlog(t, version, [b"one", b"two"])


@case("rule 2", "MQTT-4.3.3-10", over=VERSIONS)
def a_duplicate_behind_a_kill_is_acknowledged_and_not_routed(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    publisher = publisher_of(t, version)
    for number in range(4):
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        t.broker.kill_and_restart()
        publisher = t.back("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7, dup=True)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        finish(publisher, 7)
    expect_backlog(t, version, [b"0", b"1", b"2", b"3"])


@case("rule 2", "MQTT-4.3.3-10", over=VERSIONS)
def a_duplicate_in_the_same_segment_is_routed_once(t, version):
    """It arrives while the first is being stored: answered once or twice, but only then."""
    t.start()
    t.away("away", "a", version=version, qos=2)
    publisher = publisher_of(t, version)
    for number in range(20):
        packet = mqtt.publish(version, "a", b"%d" % number, 2, 7)
        publisher.send(packet + mqtt.publish(version, "a", b"%d" % number, 2, 7, dup=True))
        publisher.expect(PUBREC, packet_id=7, reason=0)
        late = publisher.settle()
        checks.that(all(item.kind == PUBREC and item.packet_id == 7 for item in late)
                    and len(late) < 2, f"after the first PUBREC came {late}")
        finish(publisher, 7)
    expect_backlog(t, version, [b"%d" % number for number in range(20)])


@case("rule 2", over=VERSIONS)
def a_publish_whose_pubrec_was_never_seen_is_routed_once(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    for number in range(10):
        publisher = publisher_of(t, version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7)
        t.broker.kill_and_restart()
        publisher = t.back("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7, dup=True)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        finish(publisher, 7)
        publisher.close()
    expect_backlog(t, version, [b"%d" % number for number in range(10)])


@case("rule 2", "MQTT-4.3.3-10", over=VERSIONS)
def a_repeated_pubrec_promises_as_much_as_the_first(t, version):
    """Whichever PUBREC comes first: a client that has seen one does not publish again."""
    t.start()
    t.away("away", "a", version=version, qos=2)
    for number in range(8):
        publisher = publisher_of(t, version)
        packet = mqtt.publish(version, "a", b"%d" % number, 2, 7)
        publisher.send(packet + mqtt.publish(version, "a", b"%d" % number, 2, 7, dup=True))
        publisher.expect(PUBREC, packet_id=7, reason=0)
        t.broker.kill_and_restart()
        publisher = t.back("publisher", version)
        finish(publisher, 7)
        publisher.close()
    expect_backlog(t, version, [b"%d" % number for number in range(8)])


@case("rule 2", "MQTT-4.3.3-10", over=VERSIONS)
def a_message_is_durable_before_anybody_gets_it(t, version):
    """A subscriber has seen it, the broker dies, the publisher sends it again: not routed twice."""
    t.start()
    for number in range(8):
        subscriber = t.client("here", version)
        subscriber.subscribe("a", qos=0)
        publisher = publisher_of(t, version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7)
        subscriber.message(payload=b"%d" % number)
        t.broker.kill_and_restart()
        subscriber = t.client("here", version)
        subscriber.subscribe("a", qos=0)
        publisher = t.back("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7, dup=True)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        finish(publisher, 7)
        publisher.publish("a", b"sentinel", qos=2)
        subscriber.message(payload=b"sentinel")
        subscriber.close()
        publisher.disconnect()


@case("rule 3", "MQTT-4.3.3-12", over=VERSIONS)
def an_identifier_that_was_completed_is_free_behind_a_kill(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    for number in range(5):
        publisher = publisher_of(t, version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        finish(publisher, 7)
        t.broker.kill_and_restart()
    expect_backlog(t, version, [b"%d" % number for number in range(5)])


@case("rule 3", "MQTT-4.3.3-11", "MQTT-4.4.0-1", over=VERSIONS)
def a_pubrel_that_was_not_answered_is_sent_again_behind_a_kill(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    for number in range(5):
        publisher = publisher_of(t, version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=7)
        publisher.expect(PUBREC, packet_id=7, reason=0)
        publisher.acknowledge(PUBREL, 7)
        t.broker.kill_and_restart()
        publisher = t.back("publisher", version)
        publisher.acknowledge(PUBREL, 7)
        checks.one_of("Reason Code of PUBCOMP", publisher.expect(PUBCOMP, packet_id=7).reason,
                      (0x00, 0x92))
        publisher.close()
    expect_backlog(t, version, [b"%d" % number for number in range(5)])


@case("MQTT-3.7.2-1", "MQTT-4.3.3-11", over={"version": (3, 4, 5)})
def a_pubrel_for_an_unknown_identifier_is_answered(t, version):
    t.start()
    publisher = publisher_of(t, version)
    publisher.acknowledge(PUBREL, 7)
    answer = publisher.expect(PUBCOMP, packet_id=7)
    checks.equal("Reason Code", answer.reason, 0x92 if version == 5 else 0)


@case("MQTT-3.1.2-4", "rule 9", over=VERSIONS)
def a_new_session_starts_with_all_identifiers_free(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    publisher = publisher_of(t, version)
    publisher.send_publish("a", b"one", qos=2, packet_id=7)
    publisher.expect(PUBREC, packet_id=7, reason=0)
    publisher.close()
    publisher = t.client("publisher", version, stored=True, clean=True)
    publisher.send_publish("a", b"two", qos=2, packet_id=7)
    publisher.expect(PUBREC, packet_id=7, reason=0)
    finish(publisher, 7)
    expect_backlog(t, version, [b"one", b"two"])


@case("rule 2", "MQTT-3.1.4-3", over=VERSIONS)
def a_takeover_keeps_the_identifiers_in_use(t, version):
    t.start()
    t.away("away", "a", version=version, qos=2)
    first = publisher_of(t, version)
    first.send_publish("a", b"one", qos=2, packet_id=7)
    first.expect(PUBREC, packet_id=7, reason=0)
    second = t.back("publisher", version)
    second.send_publish("a", b"one", qos=2, packet_id=7, dup=True)
    second.expect(PUBREC, packet_id=7, reason=0)
    finish(second, 7)
    expect_backlog(t, version, [b"one"])


@case("MQTT-4.3.3-9", "rule 2")
def the_release_may_come_in_any_order(t):
    """Several exchanges are open at once; each identifier goes its own way."""
    t.start()
    t.away("away", "a", qos=2)
    publisher = publisher_of(t, 5)
    for packet_id in (3, 1, 65535, 2):
        publisher.send_publish("a", b"%d" % packet_id, qos=2, packet_id=packet_id)
    for packet_id in (3, 1, 65535, 2):
        publisher.expect(PUBREC, packet_id=packet_id, reason=0)
    for packet_id in (2, 65535):
        finish(publisher, packet_id)
    t.broker.kill_and_restart()
    publisher = t.back("publisher")
    for packet_id in (3, 1):
        publisher.send_publish("a", b"%d" % packet_id, qos=2, packet_id=packet_id, dup=True)
        publisher.expect(PUBREC, packet_id=packet_id, reason=0)
        finish(publisher, packet_id)
    publisher.send_publish("a", b"new", qos=2, packet_id=65535)
    publisher.expect(PUBREC, packet_id=65535, reason=0)
    finish(publisher, 65535)
    expect_backlog(t, 5, [b"3", b"1", b"65535", b"2", b"new"])


@case("rule 2", "MQTT-3.3.4-1", over=VERSIONS)
def a_connected_subscriber_gets_it_once_over_a_drop_of_the_publisher(t, version):
    t.start()
    subscriber = t.client("here", version)
    subscriber.subscribe("a", qos=2)
    publisher = publisher_of(t, version)
    for number in range(5):
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=9)
        publisher.reset()
        publisher = t.back("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=9, dup=True)
        publisher.expect(PUBREC, packet_id=9, reason=0)
        finish(publisher, 9)
        packet = subscriber.message(payload=b"%d" % number, qos=2)
        checks.equal("DUP", packet.dup, False)
    subscriber.expect_nothing()


@case("MQTT-4.3.3-10", "rule 2", over=VERSIONS)
def an_identifier_used_for_another_message_before_pubrel_is_still_a_duplicate(t, version):
    """The broker goes by the identifier alone: whatever comes under it is not routed."""
    t.start()
    t.away("away", "a", version=version, qos=2)
    publisher = publisher_of(t, version)
    publisher.send_publish("a", b"one", qos=2, packet_id=7)
    publisher.expect(PUBREC, packet_id=7)
    publisher.send_publish("a", b"other", qos=2, packet_id=7)
    answer = publisher.expect(PUBREC, packet_id=7)
    checks.one_of("Reason Code", answer.reason, (0x00, 0x91))
    if answer.reason == 0:
        finish(publisher, 7)
    expect_backlog(t, version, [b"one"])
