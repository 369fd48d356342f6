"""SUBSCRIBE and UNSUBSCRIBE: options, identifiers, overlaps, replacement, refusals, $-topics."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import DISCONNECT, PUBACK, PUBLISH, SUBACK

NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08
RETAIN_IF_NEW, RETAIN_NEVER = 0x10, 0x20


@case("MQTT-3.8.3-3", over={"qos": (0, 1, 2), "stored": (False, True)})
def no_local_keeps_own_messages_away(t, qos, stored):
    t.start()
    client = t.client("one", stored=stored)
    client.subscribe("a", qos=2, options=NO_LOCAL)
    other = t.client("two")
    other.subscribe("a", qos=2)
    client.publish("a", b"own", qos)
    other.message(payload=b"own")
    other.publish("a", b"other's", qos)
    client.message(payload=b"other's")


@case("MQTT-3.8.3-3", "MQTT-3.3.4-2")
def no_local_of_one_subscription_leaves_an_overlapping_one_alone(t):
    t.start()
    client = t.client("one")
    client.subscribe("a", qos=2, options=NO_LOCAL, props={"subscription_identifier": 1})
    client.subscribe("#", qos=1, props={"subscription_identifier": 2})
    client.publish("a", b"own", qos=2)
    packet = client.message(payload=b"own", qos=1)
    checks.equal("Subscription Identifiers", packet.props["subscription_identifier"], [2])
    client.expect_nothing()


@case("MQTT-3.3.1-12", "MQTT-3.3.1-13", over={"version": (4, 5)})
def retain_as_published_decides_on_the_retain_flag(t, version):
    t.start()
    plain, faithful = t.client("plain", version), t.client("faithful")
    plain.subscribe("a", qos=1)
    faithful.subscribe("a", qos=1, options=RETAIN_AS_PUBLISHED)
    publisher = t.client("publisher")
    for retain in (True, False):
        publisher.publish("a", b"%d" % retain, qos=1, retain=retain)
        plain.message(payload=b"%d" % retain, retain=False)
        faithful.message(payload=b"%d" % retain, retain=retain)


@case("MQTT-3.3.1-12", "MQTT-3.3.1-13")
def retain_as_published_holds_in_the_queue(t):
    t.start()
    for name, options in (("plain", 0), ("faithful", RETAIN_AS_PUBLISHED)):
        client = t.client(name, stored=True)
        client.subscribe("a", qos=1, options=options)
        client.disconnect()
    t.client("publisher").publish("a", b"x", qos=1, retain=True)
    t.broker.kill_and_restart()
    t.back("plain").message(payload=b"x", retain=False)
    t.back("faithful").message(payload=b"x", retain=True)


@case("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT-3.8.4-4")
def retain_handling_decides_on_retained_messages(t):
    t.start()
    t.client("publisher").publish("a", b"x", qos=1, retain=True)
    for options, at_first, again in ((0, True, True), (RETAIN_IF_NEW, True, False),
                                     (RETAIN_NEVER, False, False)):
        client = t.client("reader", stored=True, clean=True)
        for expected in (at_first, again):
            client.subscribe("a", qos=1, options=options)
            if expected:
                client.message(payload=b"x", retain=True)
            client.expect_nothing()
        client.disconnect()
        client = t.back("reader")
        client.subscribe("a", qos=1, options=options)
        if again:
            client.message(payload=b"x", retain=True)
        client.expect_nothing()
        client.unsubscribe("a")
        client.subscribe("a", qos=1, options=options)
        if at_first:
            client.message(payload=b"x", retain=True)
        client.expect_nothing()


@case("MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5",
      over=[{"qos": qos, "away": away} for qos in (0, 1, 2) for away in (False, True)
            if qos or not away])
def overlapping_subscriptions_give_all_their_identifiers(t, qos, away):
    t.start()
    client = t.client("one", stored=True)
    for number, (topic_filter, granted) in enumerate((("a/b", 0), ("a/+", 2), ("#", 1), ("c", 2),
                                                      ("a/b/#", 1)), 1):
        client.subscribe(topic_filter, qos=granted,
                         props={"subscription_identifier": number * 1000} if number != 5 else {})
    publisher = t.client("publisher")
    if away:
        client.disconnect()
    publisher.publish("a/b", b"x", qos)
    publisher.publish("c", b"last", qos)
    if away:
        t.broker.kill_and_restart()
        client = t.back("one")
    copies = []
    while (packet := client.message()).payload != b"last":
        copies.append(packet)
    identifiers = sorted(number for packet in copies
                         for number in packet.props.get("subscription_identifier", []))
    checks.equal("identifiers", identifiers, [1000, 2000, 3000])
    checks.equal("highest QoS", max(packet.qos for packet in copies), qos)
    if t.dialect.name == "holdfast":
        checks.equal("copies", len(copies), 1)


@case("MQTT-3.3.4-2", over={"version": (3, 4, 5)})
def overlapping_subscriptions_give_the_maximum_qos(t, version):
    t.start()
    client = t.client("one", version)
    client.subscribe(("a/#", 0), ("a/b", 2), ("+/b", 1))
    publisher = t.client("publisher", version)
    publisher.publish("a/b", b"x", qos=2)
    publisher.publish("a/b", b"last", qos=2)
    came = []
    while (packet := client.message()).payload != b"last":
        came.append(packet.qos)
    checks.equal("highest QoS", max(came), 2)


@case("MQTT-3.8.4-3", "MQTT-3.8.4-4", over={"version": (4, 5)})
def subscribing_again_replaces_the_subscription(t, version):
    t.start()
    client = t.client("one", version)
    publisher = t.client("publisher", version)
    for qos in (2, 0, 1):
        client.subscribe("a", qos=qos)
        publisher.publish("a", b"%d" % qos, qos=2)
        client.message(payload=b"%d" % qos, qos=qos)
        client.expect_nothing()


@case("MQTT-3.8.4-4", over={"version": (4, 5), "workers": (1, 4)})
def replacing_a_subscription_loses_and_doubles_nothing(t, version, workers):
    from mqtt_session import Publisher, Subscriber
    t.start(workers=workers)
    client = t.client("one", version)
    client.subscribe("a", qos=1)
    subscriber = Subscriber()
    subscriber.attach(client)
    publisher = Publisher(window=10)
    publisher.attach(t.client("publisher", version))
    for number in range(1000):
        publisher.add("a", b"%d" % number, 1)
    packet_id = 1
    while publisher.queue or publisher.flight:
        client.send(mqtt.subscribe(version, packet_id, [("a", 1)]))
        publisher.step()
        while (packet := client.receive()).kind != SUBACK:
            client.send(subscriber.handle(packet))
        packet_id += 1
    subscriber.receive(1000)
    checks.once_and_in_order("messages", subscriber.payloads(), [b"%d" % n for n in range(1000)])


@case("MQTT-3.9.3-1", "MQTT-3.8.4-5", "MQTT-3.8.4-6", over={"version": (3, 4, 5)})
def one_suback_answers_many_filters_in_their_order(t, version):
    t.start()
    client = t.client("one", version)
    granted = [t.random.randrange(3) for _ in range(500)]
    suback = client.subscribe(*[(f"a/{index}", qos) for index, qos in enumerate(granted)])
    checks.equal("Reason Codes", suback.reasons, granted)
    unsuback = client.unsubscribe("a/1", "never", "a/2")
    checks.equal("Reason Codes", unsuback.reasons, [0, 0x11, 0] if version == 5 else [])


@case("MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.11.3-2",
      over={"version": (3, 4, 5)})
def unsubscribing_compares_filters_letter_by_letter(t, version):
    t.start()
    client = t.client("one", version)
    client.subscribe("a/+", "b", qos=1)
    client.unsubscribe("a/b", "#", "a/#", "A/+", "a/+/")
    publisher = t.client("publisher", version)
    publisher.publish("a/b", b"still", qos=1)
    client.message(payload=b"still")
    client.unsubscribe("a/+")
    publisher.publish("a/b", b"no more", qos=1)
    t.silence(client, publisher, "b")


@case("MQTT-3.10.4-3", over={"version": (4, 5), "qos": (1, 2)})
def what_has_begun_is_completed_after_unsubscribe(t, version, qos):
    t.start()
    client = t.client("one", version, stored=True)
    client.subscribe("a", qos=qos)
    publisher = t.client("publisher", version)
    publisher.publish("a", b"x", qos)
    packet = client.expect(PUBLISH, payload=b"x")
    client.unsubscribe("a")
    client.close()
    client = t.back("one", version)
    again = client.expect(PUBLISH, payload=b"x", dup=True, packet_id=packet.packet_id)
    client.answer(again)
    if qos == 2:
        client.answer(client.expect(mqtt.PUBREL, packet_id=packet.packet_id))
    client.expect_nothing()


INVALID_FILTERS = ("", "a/#/b", "#/a", "a#", "a/b#", "a+", "+a/b", "a/b+/c", "##", "++",
                   "$share/g", "$share/", "$share//a", "$share/g/", "$share/g+/a", "$share/g#/a",
                   "$share/g/a/#/b")


@case("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1", "MQTT-4.8.2-1", "MQTT-4.8.2-2",
      over={"version": (3, 4, 5)})
def invalid_topic_filters_are_refused(t, version):
    t.start()
    for topic_filter in INVALID_FILTERS:
        if version < 5 and topic_filter.startswith("$share"):
            continue
        client = t.client("one", version)
        client.send(mqtt.subscribe(version, 1, [(topic_filter, 0)]))
        try:
            packet = client.receive()
        except AssertionError as error:
            checks.that("closed" in str(error) and version < 5, f"{topic_filter!r}: {error}")
            continue
        if packet.kind == DISCONNECT:
            checks.one_of(f"{topic_filter!r}", packet.reason, (0x81, 0x82, 0x8F))
            client.expect_close()
        else:
            checks.equal(f"{topic_filter!r}", (packet.kind, packet.reasons),
                         (SUBACK, [0x8F if version == 5 else 0x80]))
            client.close()
    t.check_health()


@case("MQTT-4.7.2-1", "MQTT-3.3.2-3", over={"version": (4, 5)})
def wildcards_at_the_start_do_not_match_dollar_topics(t, version):
    t.start(**({"mqtt": {"sys_interval": 1}} if t.dialect.name == "holdfast" else {}))
    reader, outsider = t.client("reader", version), t.client("outsider", version)
    reader.subscribe("$SYS/#")
    outsider.subscribe("#", "+/#", "+/+/+", "+/+/+/+", qos=1)
    for _ in range(3):
        packet = reader.message()
        checks.that(packet.topic.startswith("$SYS/"), packet.topic)
    publisher = t.client("publisher", version)
    t.silence(outsider, publisher, "plain")
    latecomer = t.client("latecomer", version)  # what is retained is matched elsewhere
    latecomer.subscribe("#", "+/#", "+/+/+", "+/+/+/+", qos=1)
    t.silence(latecomer, publisher, "plain")


@case("promise 5", "MQTT-4.7.2-1")
def sys_topics_tell_of_clients_messages_and_the_store(t):
    t.holdfast_only("$SYS")
    t.start(mqtt={"sys_interval": 1})
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    for number in range(10):
        publisher.publish("a", b"%d" % number, qos=1)
    publisher.publish("state", b"x", qos=1, retain=True)
    reader = t.client("reader")
    reader.subscribe("$SYS/#")
    seen = {}
    words = ("clients", "messages", "bytes", "subscriptions", "retained", "store")
    while not all(any(word in topic for topic in seen) for word in words):
        packet = reader.message()
        seen[packet.topic] = packet.payload
    checks.that(all(payload for payload in seen.values()), f"an empty one among {seen}")


@case("MQTT-4.7.2-1")
def a_client_cannot_write_the_brokers_own_topics(t):
    t.start()
    reader = t.client("reader")
    reader.subscribe("$SYS/broker/forged", "last", qos=1)
    writer = t.client("writer")
    writer.send_publish("$SYS/broker/forged", b"x", qos=1, packet_id=1)
    answer = writer.receive()
    checks.that(answer.kind in (PUBACK, DISCONNECT), f"{answer}")
    t.silence(reader, t.client("publisher"), "last")


@case("MQTT-4.7.3-4", "MQTT-4.7.3-3")
def long_and_deep_topics_are_topics(t):
    t.start()
    subscriber, publisher = t.client("subscriber"), t.client("publisher")
    topics = ["x" * 65535, "/" * 200, "/".join("abc" for _ in range(150)), " ", "\u00e9" * 30000]
    accepted = 0
    for topic in topics:
        suback = subscriber.subscribe(topic, qos=1, refused=True)
        checks.one_of("Reason Code", suback.reasons[0], (1, 0x8F, 0x97))
        if suback.reasons[0] != 1:
            continue
        accepted += 1
        publisher.publish(topic, b"x", qos=1)
        subscriber.message(topic=topic, payload=b"x")
    checks.that(accepted >= 2, "no long topic is accepted")


@case("MQTT-3.8.4-1", over={"version": (4, 5)}, timeout=60)
def thousands_of_subscriptions_each_get_their_own(t, version):
    t.start()
    client = t.client("many", version, stored=True)
    for start in range(0, 5000, 500):
        client.subscribe(*[f"a/{number}/+" for number in range(start, start + 500)], qos=1)
    t.broker.kill_and_restart()
    client = t.back("many", version)
    publisher = t.client("publisher", version)
    for number in range(0, 5000, 97):
        publisher.publish(f"a/{number}/x", b"x", qos=1)
        client.message(topic=f"a/{number}/x")
    client.unsubscribe(*[f"a/{number}/+" for number in range(0, 5000, 2)])
    publisher.publish("a/2/x", b"x", qos=1)
    t.silence(client, publisher, "a/3/x")
