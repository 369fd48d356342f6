"""What every other case takes for granted."""

import checks
from case import case
from topics import matches

VERSIONS = (3, 4, 5)


@case("MQTT-3.2.0-1", "MQTT-3.8.4-1", "MQTT-3.3.4-1", "MQTT-3.12.4-1",
      over={"version": VERSIONS, "transport": ("tcp", "tls")})
def a_message_reaches_its_subscriber_at_each_qos(t, version, transport):
    t.start(tls=transport == "tls")
    subscriber = t.client("subscriber", version, transport)
    publisher = t.client("publisher", version, transport)
    subscriber.subscribe("a/+/c", qos=2)
    for qos in (0, 1, 2):
        publisher.publish("a/b/c", b"at %d" % qos, qos)
        packet = subscriber.message(topic="a/b/c", payload=b"at %d" % qos)
        checks.equal("QoS", packet.qos, qos)
        checks.equal("flags", (packet.dup, packet.retain), (False, False))
    subscriber.expect_nothing()


@case("MQTT-3.8.4-8", over={"version": VERSIONS})
def the_qos_is_the_lower_of_the_message_and_the_subscription(t, version):
    t.start()
    publisher = t.client("publisher", version)
    for granted in (0, 1, 2):
        subscriber = t.client(f"subscriber-{granted}", version)
        subscriber.subscribe("a", qos=granted)
        for published in (0, 1, 2):
            publisher.publish("a", b"x", published)
            checks.equal(f"{published} to {granted}", subscriber.message().qos,
                         min(published, granted))
        subscriber.disconnect()


@case("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4")
def topic_filters_match_as_section_4_7_says(t):
    t.start()
    matching = {
        "sport/tennis/player1/#": ("sport/tennis/player1", "sport/tennis/player1/ranking",
                                   "sport/tennis/player1/score/wimbledon"),
        "sport/#": ("sport", "sport/", "sport/a"),
        "#": ("a", "/", "/a", "sport/tennis"),
        "sport/tennis/+": ("sport/tennis/player1", "sport/tennis/"),
        "sport/+": ("sport/", "sport/x"),
        "+/+": ("/finance", "a/b", "/"),
        "/+": ("/finance", "/"),
        "+": ("finance", " "),
        "+/tennis/#": ("sport/tennis", "/tennis/a"),
        "ACCOUNTS": ("ACCOUNTS",),
        "a//b": ("a//b",),
        "a/+/b": ("a//b", "a/x/b"),
        "caf\u00e9/\ufeff": ("caf\u00e9/\ufeff",),
    }
    topics = sorted({topic for listed in matching.values() for topic in listed}
                    | {"Accounts", "accounts", "a/b/c/d", "caf\u0065\u0301/\ufeff"})
    publisher = t.client("publisher")
    for topic_filter, listed in matching.items():
        subscriber = t.client("subscriber")
        subscriber.subscribe(topic_filter, qos=1)
        for topic in topics:
            publisher.publish(topic, b"x", qos=1)
        publisher.publish(listed[0], b"last", qos=1)
        came = []
        while (packet := subscriber.message()).payload != b"last":
            came.append(packet.topic)
        wanted = [topic for topic in topics if matches(topic_filter, topic)]
        checks.that(set(listed) <= set(wanted), f"the oracle errs on {topic_filter}")
        checks.equal(f"topics of {topic_filter}", came, wanted)
        subscriber.disconnect()
