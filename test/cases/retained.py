"""Retained messages."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import SUBACK

VERSIONS = {"version": (3, 4, 5)}


@case("MQTT-3.3.1-5", "MQTT-3.3.1-8", "MQTT-3.3.1-9",
      over={"version": (3, 4, 5), "qos": (0, 1, 2)})
def the_last_retained_message_goes_to_new_subscribers(t, version, qos):
    t.start()
    publisher = t.client("publisher", version)
    for content in (b"one", b"two"):
        publisher.publish("a/b", content, qos, retain=True)
    publisher.publish("a/b", b"not retained", qos)
    publisher.settle()
    for topic_filter in ("a/b", "a/+", "#"):
        reader = t.client("reader", version)
        reader.subscribe(topic_filter, qos=1)
        reader.message(topic="a/b", payload=b"two", qos=min(qos, 1), retain=True)
        reader.expect_nothing()
        reader.disconnect()


@case("MQTT-3.3.1-6", "MQTT-3.3.1-7", over={"version": (3, 4, 5), "qos": (0, 1, 2)})
def an_empty_payload_deletes_the_retained_message(t, version, qos):
    t.start()
    publisher = t.client("publisher", version)
    live = t.client("live", version)
    live.subscribe("a", qos=1)
    publisher.publish("a", b"x", qos, retain=True)
    live.message(payload=b"x", retain=False)
    publisher.publish("a", b"", qos, retain=True)
    live.message(payload=b"", retain=False)
    publisher.publish("a", b"", qos)
    live.message(payload=b"", retain=False)
    publisher.settle()
    reader = t.client("reader", version)
    reader.subscribe("a", qos=1)
    reader.expect_nothing()


@case("MQTT-3.1.2-23", "MQTT-3.3.1-5", over=VERSIONS)
def a_retained_message_outlives_its_publisher(t, version):
    t.start()
    publisher = t.client("publisher", version)
    publisher.publish("a", b"x", qos=1, retain=True)
    publisher.disconnect()
    reader = t.client("publisher", version)
    reader.subscribe("a", qos=0)
    reader.message(payload=b"x", qos=0, retain=True)


@case("MQTT-3.3.1-9", "MQTT-4.7.1-1", "MQTT-4.7.1-2")
def a_wildcard_finds_all_retained_messages_and_no_other(t):
    t.start()
    publisher = t.client("publisher")
    for number in range(500):
        publisher.publish(f"room/{number}/light", b"%d" % number, qos=1, retain=True)
        publisher.publish(f"room/{number}/door", b"x", qos=1, retain=True)
    for topic_filter, count in (("room/+/light", 500), ("room/#", 1000), ("room/7/+", 2),
                                ("room/+", 0), ("+/7/door", 1)):
        reader = t.client("reader", props={"receive_maximum": 10})
        reader.subscribe(topic_filter, qos=1)
        came = reader.messages(count)
        reader.expect_nothing()
        checks.equal(f"different topics of {topic_filter}",
                     len({packet.topic for packet in came}), count)
        checks.equal("RETAIN", all(packet.retain for packet in came), True)
        reader.disconnect()


@case("MQTT-3.3.1-9", "MQTT-3.3.4-3")
def a_retained_message_carries_the_identifier_of_the_subscription_that_asked(t):
    t.start()
    t.client("publisher").publish("a", b"x", qos=1, retain=True)
    reader = t.client("reader")
    reader.subscribe("#", qos=0, props={"subscription_identifier": 1})
    checks.equal("identifiers", reader.message().props["subscription_identifier"], [1])
    reader.subscribe("a", qos=0, props={"subscription_identifier": 2})
    packet = reader.message(retain=True)
    checks.that(2 in packet.props["subscription_identifier"], f"{packet}")
    reader.expect_nothing()


@case("rule 1", "MQTT-3.3.1-9", over={"version": (4, 5)})
def a_retained_message_sent_to_a_stored_session_is_owed_like_any_other(t, version):
    t.start()
    t.client("publisher", version).publish("a", b"x", qos=1, retain=True)
    reader = t.client("reader", version, stored=True)
    reader.subscribe("a", qos=1)
    packet = reader.receive()
    checks.equal("payload", packet.payload, b"x")
    reader.close()
    t.back("reader", version).message(payload=b"x", retain=True)


@case("MQTT-3.3.1-5", "rule 6", timeout=60)
def many_retained_messages_survive_a_kill(t):
    from mqtt_session import Publisher
    t.start()
    publisher = Publisher()
    publisher.attach(t.client("publisher"))
    for number in range(3000):
        publisher.add(f"a/{number}", b"%d" % number, 1, retain=True)
    for number in range(0, 3000, 3):
        publisher.add(f"a/{number}", b"", 1, retain=True)
    publisher.run()
    t.broker.kill_and_restart()
    reader = t.client("reader")
    reader.subscribe("a/+", qos=1)
    came = reader.messages(2000)
    reader.expect_nothing()
    checks.equal("messages", sorted(int(packet.payload) for packet in came),
                 [number for number in range(3000) if number % 3])


@case("MQTT-3.3.1-9", "promise 5", timeout=60, over={"workers": (1, 4)})
def more_than_may_wait_for_the_disk_comes_in_full(t, workers):
    """A stored session is owed them all at once, and the disk takes its time."""
    t.holdfast_only("a bound on what waits for the disk")
    t.start(workers=workers)
    count, publisher = 90, t.client("publisher")
    for number in range(count):
        publisher.publish(f"large/{number}", b"x" * 1000000, qos=1, retain=True)
    reader = t.client("reader", stored=True)
    reader.subscribe("large/#", qos=1)
    checks.equal("topics", {message.topic for message in reader.messages(count)},
                 {f"large/{number}" for number in range(count)})
    reader.expect_nothing()


@case("MQTT-3.8.3-3", over={"qos": (0, 1, 2)})
def no_local_keeps_own_retained_messages_away(t, qos):
    t.start()
    own, other = t.client("own"), t.client("other")
    own.publish("a/own", b"x", qos, retain=True)
    other.publish("a/other", b"x", qos, retain=True)
    other.settle()
    own.subscribe("a/+", qos=2, options=4)
    own.message(topic="a/other", retain=True)
    own.expect_nothing()
    own.subscribe("a/own", qos=2)
    own.message(topic="a/own", retain=True)


@case("5.0 section 3.8.4", over={"version": (3, 4, 5), "qos": (0, 1, 2), "workers": (1, 4)})
def suback_comes_before_the_retained_messages_where_nothing_is_stored(t, version, qos, workers):
    """Either order is allowed; this one helps Clients that look for their SUBACK first."""
    t.start(workers=workers)
    publisher = t.client("publisher", version)
    for name in "abc":
        publisher.publish(f"state/{name}", b"on", 1, retain=True)
    reader = t.client("reader", version)
    reader.send(mqtt.subscribe(version, 1, [("state/+", qos)]))
    checks.equal("first", reader.receive().kind, SUBACK)
    checks.equal("messages", len(reader.messages(3)), 3)
