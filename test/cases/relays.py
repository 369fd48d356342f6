"""QoS 0 PUBLISHes that are passed on as they came: byte for byte, and several at a time."""

import checks
import mqtt_packet as mqtt
from case import case

ALIASES = {"topic_alias_maximum": 4}
SMALL = 120  # a Maximum Packet Size


def mixed_run(version, first):
    """PUBLISHes in one piece: short and long ones, topics in runs and in turns, now and then a
    property, which goes along [MQTT-3.3.2-17], or an expiry, which does not go along unchanged."""
    packets = []
    for number in range(first, first + 60):
        props = {}
        if version == 5 and number % 7 == 3:
            props = {"user_property": [("number", str(number))]}
        if version == 5 and number % 7 == 5:
            props = {"message_expiry_interval": 100}
        topic = f"run/{number % 3 if number % 20 < 6 else 0}"
        payload = b"%d " % number + b"x" * (200 if number % 11 == 0 else number % 17)
        packets.append((topic, payload, props))
    return packets


def came_as(packets, aliases):
    known, out = {}, []
    for packet in packets:
        topic, alias = packet.topic, packet.props.get("topic_alias") if packet.props else None
        if alias is not None and topic:
            known[alias] = topic
        topic = topic or known[alias]
        checks.that(aliases or alias is None, f"{packet} has an alias that nobody asked for")
        checks.equal("QoS, RETAIN, DUP", (packet.qos, packet.retain, packet.dup), (0, False, False))
        users = dict(packet.props.get("user_property", ())) if packet.props else {}
        out.append((topic, packet.payload, users.get("number")))
    return out


@case("MQTT-3.3.2-17", "MQTT-3.3.4-3", "MQTT-3.1.2-24", "MQTT-3.1.2-26", "MQTT-4.6.0-6",
      over={"version": (4, 5), "workers": (1, 4)})
def a_run_of_qos_0_reaches_every_kind_of_client(t, version, workers):
    t.start(workers=workers)
    kinds = {"plain": {}, "aliases": ALIASES, "small": {"maximum_packet_size": SMALL}}
    readers = []
    for kind, props in kinds.items():
        readers += [(kind, t.client(f"{kind}-{index}", 5, props=props)) for index in range(4)]
    readers += [("old", t.client(f"old-{index}", 4)) for index in range(4)]
    readers += [("named", t.client(f"named-{index}", 5)) for index in range(4)]
    for kind, reader in readers:
        props = {"subscription_identifier": 300} if kind == "named" else {}
        reader.subscribe("run/#", qos=1, props=props)
    publisher = t.client("publisher", version)
    sent = mixed_run(version, 0)
    publisher.send(b"".join(mqtt.publish(version, topic, payload, 0, None, props=props)
                            for topic, payload, props in sent))
    publisher.publish("run/end", b"end", qos=1)
    for kind, reader in readers:
        came = []
        while not came or came[-1].payload != b"end":
            came.append(reader.message())
        want = [(topic, payload, dict(props.get("user_property", ())).get("number"))
                for topic, payload, props in sent if kind != "small" or len(payload) < SMALL]
        if kind == "old":
            want = [(topic, payload, None) for topic, payload, _ in want]
        checks.equal(f"at a {kind} client", came_as(came[:-1], kind == "aliases"), want)
        if kind == "named":
            for packet in came:
                checks.equal("identifiers", packet.props["subscription_identifier"], [300])
        reader.expect_nothing()


@case("MQTT-4.6.0-6", over={"version": (4, 5), "workers": (1, 2)})
def nothing_overtakes_a_run_of_qos_0(t, version, workers):
    """To a subscription with QoS 0, whatever QoS they were published with."""
    t.start(workers=workers)
    readers = [t.client(f"reader-{index}", version) for index in range(3)]
    for reader in readers:
        reader.subscribe("a", qos=0)
    publisher = t.client("publisher", version)
    sent, packets = [], []
    for number in range(60):
        qos = 1 if number % 5 == 4 else 0
        packets.append(mqtt.publish(version, "a", b"%d" % number, qos,
                                    number if qos else None))
        sent.append(b"%d" % number)
    publisher.send(b"".join(packets))
    for reader in readers:
        checks.equal("messages", checks.payloads(reader.messages(len(sent))), sent)


@case("MQTT-3.14.4-3", "MQTT-4.6.0-6", over={"how": ("disconnect", "malformed", "unsubscribe")})
def what_was_published_before_something_else_comes_before_it(t, how):
    """In one piece: a run, and what ends the connection, or the publisher's own subscription."""
    t.start(workers=1)
    reader = t.client("reader")
    reader.subscribe("a", "will")
    publisher = t.client("publisher", will={"topic": "will", "payload": b"gone"})
    publisher.subscribe("a")
    run = b"".join(mqtt.publish(5, "a", b"%d" % number, 0, None) for number in range(20))
    behind = {"disconnect": mqtt.disconnect(5, 0x04), "malformed": b"\x36\x00",
              "unsubscribe": mqtt.unsubscribe(5, 9, ["a"])}[how]
    publisher.send(run + behind)
    checks.equal("at the publisher", checks.payloads(publisher.messages(20)),
                 [b"%d" % number for number in range(20)])
    if how == "unsubscribe":
        publisher.expect(mqtt.UNSUBACK)
    want = [b"%d" % number for number in range(20)] + [b"gone"] * (how != "unsubscribe")
    checks.equal("at the reader", checks.payloads(reader.messages(len(want))), want)
