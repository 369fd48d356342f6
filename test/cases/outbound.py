"""Rules 4 and 15: messages on their way to a subscriber, over dropped connections and SIGKILL."""

import checks
from case import case
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

VERSIONS = {"version": (4, 5)}
BOTH = {"version": (4, 5), "killed": (False, True)}


def begin(t, version, qos=2, count=1, **connect):
    """A stored subscriber that has received `count` messages and answered none of them."""
    t.start()
    subscriber = t.client("here", version, stored=True, **connect)
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher", version)
    for number in range(count):
        publisher.publish("a", b"%d" % number, qos)
    return subscriber, [subscriber.expect(PUBLISH, payload=b"%d" % number, qos=qos, dup=False)
                        for number in range(count)]


def make_durable(t, version):
    """A publish that waits for the disk, and so for all that happened before it (rule 8)."""
    t.away("witness", "witness", version=version)
    t.client("publisher", version).publish("witness", b"x", qos=1)


def interrupt(t, version, subscriber, killed, **connect):
    """Loses the connection, or the broker, and comes back."""
    if killed:
        t.broker.kill_and_restart()
    else:
        subscriber.close()
    return t.back("here", version, **connect)


def finish(subscriber, packet_id):
    """A QoS 2 exchange from PUBREC on."""
    subscriber.acknowledge(PUBREC, packet_id)
    subscriber.expect(PUBREL, packet_id=packet_id)
    subscriber.acknowledge(PUBCOMP, packet_id)


@case("rule 4", "rule 15", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.2.1-5",
      over={**BOTH, "qos": (1, 2)})
def what_was_not_answered_is_resent_with_dup_under_its_identifier(t, version, killed, qos):
    subscriber, first = begin(t, version, qos, count=5)
    make_durable(t, version)
    subscriber = interrupt(t, version, subscriber, killed)
    for packet in first:
        subscriber.expect(PUBLISH, payload=packet.payload, packet_id=packet.packet_id, dup=True,
                          qos=qos)
    for packet in first:
        if qos == 1:
            subscriber.acknowledge(PUBACK, packet.packet_id)
        else:
            finish(subscriber, packet.packet_id)
    subscriber.expect_nothing()
    subscriber.disconnect()
    t.back("here", version).expect_nothing()


@case("rule 4", "MQTT-4.4.0-1", "MQTT-3.3.1-1", over=VERSIONS)
def a_qos_2_identifier_is_durable_before_its_publish_leaves(t, version):
    """SIGKILL at once: no time for anything that should have been done before."""
    t.start()
    t.client("here", version, stored=True).subscribe("a", qos=2)
    for number in range(8):
        subscriber = t.back("here", version)
        publisher = t.client("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=1)
        first = subscriber.expect(PUBLISH, payload=b"%d" % number, qos=2)
        t.broker.kill_and_restart()
        subscriber = t.back("here", version)
        again = subscriber.expect(PUBLISH, payload=b"%d" % number, qos=2)
        checks.equal("identifier and DUP", (again.packet_id, again.dup), (first.packet_id, True))
        finish(subscriber, again.packet_id)
        subscriber.expect_nothing()
        subscriber.disconnect()


@case("rule 4", "MQTT-4.3.3-6", "MQTT-4.4.0-1", over=BOTH)
def a_released_exchange_goes_on_with_pubrel(t, version, killed):
    """The client has forgotten the message when it has seen PUBREL; a PUBLISH would double it."""
    subscriber, (packet,) = begin(t, version)
    for _ in range(3):
        subscriber.acknowledge(PUBREC, packet.packet_id)
        subscriber.expect(PUBREL, packet_id=packet.packet_id)
        subscriber = interrupt(t, version, subscriber, killed)
        subscriber.expect(PUBREL, packet_id=packet.packet_id)
        subscriber.expect_nothing()
    subscriber.acknowledge(PUBCOMP, packet.packet_id)
    subscriber.disconnect()
    t.back("here", version).expect_nothing()


@case("rule 4", "MQTT-4.4.0-1", over=VERSIONS)
def a_pubrec_right_before_sigkill_leads_to_either_resend_but_one_message(t, version):
    t.start()
    t.away("here", "a", version=version, qos=2)
    for number in range(8):
        subscriber = t.back("here", version)
        publisher = t.client("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=1)
        packet_id = subscriber.expect(PUBLISH, payload=b"%d" % number).packet_id
        subscriber.acknowledge(PUBREC, packet_id)
        t.broker.kill_and_restart()
        subscriber = t.back("here", version)
        packet = subscriber.receive()
        checks.equal("identifier", packet.packet_id, packet_id)
        if packet.kind == PUBLISH:
            checks.equal("DUP and payload", (packet.dup, packet.payload), (True, b"%d" % number))
            finish(subscriber, packet_id)
        else:
            checks.equal("packet", packet.kind, PUBREL)
            subscriber.acknowledge(PUBCOMP, packet_id)
        subscriber.expect_nothing()
        subscriber.disconnect()


@case("rule 4", "MQTT-4.3.3-5", over=VERSIONS)
def a_pubcomp_right_before_sigkill_never_brings_the_publish_back(t, version):
    t.start()
    t.away("here", "a", version=version, qos=2)
    for number in range(8):
        subscriber = t.back("here", version)
        publisher = t.client("publisher", version)
        publisher.send_publish("a", b"%d" % number, qos=2, packet_id=1)
        packet_id = subscriber.expect(PUBLISH, payload=b"%d" % number).packet_id
        finish(subscriber, packet_id)
        t.broker.kill_and_restart()
        subscriber = t.back("here", version)
        for packet in subscriber.settle():
            checks.equal("packet", (packet.kind, packet.packet_id), (PUBREL, packet_id))
            subscriber.acknowledge(PUBCOMP, packet_id)
        subscriber.disconnect()


@case("rule 4", "MQTT-4.4.0-1", "MQTT-4.6.0-5", over=BOTH)
def exchanges_in_every_state_are_resumed_together(t, version, killed):
    subscriber, first = begin(t, version, count=6)
    ids = [packet.packet_id for packet in first]
    finish(subscriber, ids[0])
    for packet_id in ids[1:3]:
        subscriber.acknowledge(PUBREC, packet_id)
        subscriber.expect(PUBREL, packet_id=packet_id)
    make_durable(t, version)
    subscriber = interrupt(t, version, subscriber, killed)
    resent = subscriber.settle()
    if resent[0].packet_id == ids[0]:  # its PUBCOMP was not kept: allowed, and answered again
        checks.equal("packet", resent.pop(0).kind, PUBREL)
        subscriber.acknowledge(PUBCOMP, ids[0])
    checks.equal("released", [packet.packet_id for packet in resent if packet.kind == PUBREL],
                 ids[1:3])
    published = [packet for packet in resent if packet.kind == PUBLISH]
    checks.equal("published", [(packet.packet_id, packet.payload, packet.dup)
                               for packet in published],
                 [(packet.packet_id, packet.payload, True) for packet in first[3:]])
    for packet_id in ids[1:3]:
        subscriber.acknowledge(PUBCOMP, packet_id)
    for packet_id in ids[3:]:
        finish(subscriber, packet_id)
    subscriber.disconnect()
    t.client("witness", version, clean=True).disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 15", "MQTT-4.3.3-7", over={"killed": (False, True), "qos": (1, 2)})
def what_has_been_sent_does_not_expire(t, killed, qos):
    t.start()
    subscriber = t.client("here", stored=True)
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos, props={"message_expiry_interval": 1})
    packet_id = subscriber.expect(PUBLISH, payload=b"x").packet_id
    make_durable(t, 5)
    if not killed:
        subscriber.close()
    t.pass_time(1.6)
    subscriber = interrupt(t, 5, subscriber, killed)
    again = subscriber.expect(PUBLISH, payload=b"x", qos=qos, dup=True, packet_id=packet_id)
    subscriber.answer(again)
    if qos == 2:
        subscriber.expect(PUBREL, packet_id=packet_id)


@case("rule 15", "MQTT-3.1.2-24", "MQTT-3.1.2-25", over={"killed": (False, True)})
def what_is_now_too_large_to_resend_is_closed_with_pubrel(t, killed):
    """The exchange is closed before its identifier is used again."""
    t.start()
    subscriber = t.client("here", stored=True)
    subscriber.subscribe("a", qos=2)
    publisher = t.client("publisher")
    publisher.publish("a", b"x" * 500, qos=2)
    packet_id = subscriber.expect(PUBLISH).packet_id
    subscriber = interrupt(t, 5, subscriber, killed, props={"maximum_packet_size": 100})
    subscriber.expect(PUBREL, packet_id=packet_id)
    subscriber.acknowledge(PUBCOMP, packet_id, 0x92)
    t.client("publisher").publish("a", b"small", qos=2)
    subscriber.message(payload=b"small", dup=False)


@case("rule 15", "MQTT-3.1.2-24", "MQTT-3.1.2-25")
def what_is_now_too_large_to_resend_at_qos_1_is_dropped(t):
    t.start()
    subscriber = t.client("here", stored=True)
    subscriber.subscribe("a", qos=1)
    publisher = t.client("publisher")
    publisher.publish("a", b"x" * 500, qos=1)
    subscriber.expect(PUBLISH)
    subscriber = interrupt(t, 5, subscriber, False,
                           props={"maximum_packet_size": 100, "receive_maximum": 1})
    publisher.publish("a", b"small", qos=1)
    subscriber.message(payload=b"small", dup=False)
    subscriber.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-4.4.0-1", over=VERSIONS)
def nothing_is_resent_on_a_live_connection_by_default(t, version):
    subscriber, (packet,) = begin(t, version, qos=1)
    t.pass_time(1.5)
    subscriber.expect_nothing()
    subscriber.acknowledge(PUBACK, packet.packet_id)
    subscriber.expect_nothing()


@case("MQTT-4.4.0-1", "MQTT-3.3.1-1", over=VERSIONS)
def resend_interval_is_for_3_1_1_alone(t, version):
    t.holdfast_only("resend_interval")
    t.start(sqlite={"resend_interval": 300})
    subscriber = t.client("here", version, stored=True)
    subscriber.subscribe("a", qos=1)
    publisher = t.client("publisher", version)
    publisher.publish("a", b"x", qos=1)
    packet_id = subscriber.expect(PUBLISH, dup=False).packet_id
    if version == 4:
        for _ in range(2):
            subscriber.expect(PUBLISH, payload=b"x", dup=True, packet_id=packet_id)
        subscriber.acknowledge(PUBACK, packet_id)
        subscriber.settle()
    t.pass_time(1)
    subscriber.expect_nothing()


@case("MQTT-4.4.0-2", "rule 19", over={"qos": (1, 2)})
def a_negative_acknowledgement_ends_the_delivery(t, qos):
    t.start()
    subscriber = t.client("here", stored=True, props={"receive_maximum": 1})
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher")
    publisher.publish("a", b"refused", qos)
    publisher.publish("a", b"taken", qos)
    packet = subscriber.expect(PUBLISH, payload=b"refused")
    subscriber.expect_nothing()
    subscriber.acknowledge(PUBACK if qos == 1 else PUBREC, packet.packet_id, 0x97)
    subscriber.message(payload=b"taken")
    subscriber.disconnect()
    t.back("here").expect_nothing()
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-3.1.2-6", "MQTT-4.1.0-1", over=VERSIONS)
def a_session_that_is_not_stored_ends_with_its_connection(t, version):
    t.start()
    subscriber = t.client("here", version)
    subscriber.subscribe("a", qos=1)
    publisher = t.client("publisher", version)
    publisher.publish("a", b"one", qos=1)
    subscriber.expect(PUBLISH, payload=b"one")
    subscriber.close()
    publisher.publish("a", b"two", qos=1)
    subscriber = t.client("here", version, clean=False)
    checks.equal("Session Present", subscriber.connack.session_present, False)
    publisher.publish("a", b"three", qos=1)
    subscriber.expect_nothing()


@case("MQTT-2.2.1-4", "MQTT-3.3.4-9", long=True, timeout=240, over=VERSIONS)
def identifiers_in_use_are_passed_over_for_all_65535(t, version):
    """One QoS 1 and one QoS 2 exchange stay open while 70,000 others go by."""
    from mqtt_session import Publisher, Subscriber
    t.start()
    client = t.client("here", version)
    client.subscribe("held/#", "a", qos=2)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    held = set()
    for qos in (1, 2):
        publisher.client.publish(f"held/{qos}", b"x", qos)
        held.add(client.expect(PUBLISH, qos=qos).packet_id)
    subscriber = Subscriber()
    subscriber.attach(client)
    total = 70000
    for number in range(total):
        publisher.add("a", b"%d" % number, 1)
    while len(publisher.acknowledged) < total:
        publisher.step()
        subscriber.step_if_any()
    subscriber.receive(total)
    used = {packet.packet_id for packet in subscriber.received}
    checks.equal("identifiers used twice at once", used & held, set())
    checks.once_and_in_order("messages", subscriber.payloads(),
                             [b"%d" % number for number in range(total)])


@case("MQTT-2.2.1-3", "rule 3", long=True, timeout=240, over=VERSIONS)
def a_publisher_may_use_all_identifiers_again_and_again(t, version):
    from mqtt_session import Publisher
    t.start()
    t.away("away", "none", version=version)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version, stored=True))
    for number in range(70000):
        publisher.add("a", b"%d" % number, 2)
    publisher.run()
    checks.equal("acknowledged", len(publisher.acknowledged), 70000)
