"""Malformed and forbidden packets: refused with the right Reason Code, and nobody else notices."""

import checks
import malformed
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK, DISCONNECT
from mqtt_wire import PATIENCE, Closed

SOON_S = 2 * PATIENCE
VERSIONS = {"version": (3, 4, 5)}


class Verdicts:
    """Collects what was wrong, so that one case can try everything."""

    def __init__(self):
        self.wrong = []

    def add(self, name, what):
        self.wrong.append(f"{name}: {what}")

    def check(self, tried):
        if self.wrong:
            raise AssertionError(f"{len(self.wrong)} of {tried} were not refused as they must be:\n"
                                 + "\n".join("  " + line for line in self.wrong))


def ending(client):
    """How the broker ends a connection: (packet or None, whether it closed). A PINGREQ behind
    what was wrong tells soon when it does not."""
    packet = None
    try:
        client.send(mqtt.pingreq())
    except Closed:
        pass
    try:
        packet = client.receive(SOON_S)
        client.expect_close(SOON_S)
    except Closed:
        return packet, True
    except AssertionError:
        return packet, False
    return packet, True


@case("MQTT-4.13.1-1", "MQTT-4.8.0-1", "MQTT-2.1.3-1", "MQTT-3.1.0-2", over=VERSIONS, timeout=60)
def every_malformed_packet_ends_its_connection(t, version):
    t.start()
    bystander = t.client("bystander", version, stored=True)
    bystander.subscribe("a/bystander", qos=1)
    verdicts = Verdicts()
    everything = malformed.after_connect(version)
    for name, data, codes in everything:
        client = t.client("hostile", version)
        try:
            client.send(data)
        except Closed:
            pass
        packet, closed = ending(client)
        if not closed:
            verdicts.add(name, f"not closed; {packet} came")
        elif version == 5 and (packet is None or packet.kind != DISCONNECT):
            verdicts.add(name, f"no DISCONNECT; {packet} came")
        elif version == 5 and packet.reason not in codes:
            verdicts.add(name, f"0x{packet.reason:02X}, not one of {[hex(c) for c in codes]}")
        elif version < 5 and packet is not None:
            verdicts.add(name, f"{packet} came before the close")
        client.close()
    bystander.expect_nothing()
    bystander.publish("a/bystander", b"x", qos=1)
    bystander.message(payload=b"x")
    verdicts.check(len(everything))


@case("MQTT-3.1.4-1", "MQTT-3.1.2-3", "MQTT-3.14.0-1", over=VERSIONS)
def every_malformed_connect_is_refused(t, version):
    """MQTT 5 may say why in a CONNACK; 3.1.1 closes, except for its own return codes."""
    t.start()
    verdicts = Verdicts()
    everything = malformed.connects(version)
    for name, data, codes in everything:
        client = t.open(version)
        client.send(data)
        packet, closed = ending(client)
        if not closed:
            verdicts.add(name, f"not closed; {packet} came")
        elif packet is not None and packet.kind != CONNACK:
            verdicts.add(name, f"{packet} came before a CONNACK [MQTT-3.14.0-1]")
        elif packet is not None and packet.reason not in codes:
            verdicts.add(name, f"CONNACK 0x{packet.reason:02X}, not one of "
                               f"{[hex(c) for c in codes]}")
        elif packet is not None and version < 5 and packet.reason not in (1, 2):
            verdicts.add(name, f"{packet}, where 3.1.1 closes without one [MQTT-3.1.4-1]")
        client.close()
    t.check_health()
    verdicts.check(len(everything))


@case("MQTT-3.1.2-2", over={"level": (0, 6)},
      long_over={"level": (0, 2, 6, 7, 127, 255)})
def an_unknown_protocol_level_is_refused(t, level):
    """With a CONNACK of 3.1.1 or of 5, or without: who is to say what the client understands?"""
    t.start()
    client = t.open()
    client.send(mqtt.connect(4, "a", True, level=level))
    while not client.eof:
        client.wait(SOON_S)
        client.poll()
    checks.one_of("answer", bytes(client.input), (b"", b"\x20\2\0\1", b"\x20\3\0\x84\0"))


@case("MQTT-3.1.0-1", "MQTT-3.14.0-1", over=VERSIONS)
def a_first_packet_that_is_no_connect_is_answered_with_the_close_alone(t, version):
    t.start()
    verdicts = Verdicts()
    everything = malformed.not_connect(version)
    for name, data in everything:
        client = t.open(version)
        client.send(data)
        packet, closed = ending(client)
        if packet is not None or not closed:
            verdicts.add(name, f"{packet}, closed: {closed}")
        client.close()
    t.check_health()
    verdicts.check(len(everything))


@case("MQTT-3.1.4-6", "MQTT-3.1.4-5", over={"version": (4, 5)})
def nothing_behind_a_refused_connect_is_processed(t, version):
    t.start()
    watcher = t.client("watcher", version)
    watcher.subscribe("a", qos=1)
    client = t.open(version)
    bad = mqtt.connect(version, "", False) if version == 4 else (
        mqtt.connect(5, "x", props={"receive_maximum": 0}))
    client.send(bad + mqtt.publish(version, "a", b"x", 1, 1))
    packet, closed = ending(client)
    checks.equal("closed", closed, True)
    t.silence(watcher, t.client("publisher", version), "a")


@case("MQTT-3.14.4-3", "MQTT-3.14.4-1", over=VERSIONS)
def nothing_behind_a_disconnect_is_processed(t, version):
    t.start()
    watcher = t.client("watcher", version)
    watcher.subscribe("a", qos=1)
    client = t.client("leaver", version)
    client.send(mqtt.disconnect(version) + mqtt.publish(version, "a", b"x", 1, 1))
    client.expect_close()
    t.silence(watcher, t.client("publisher", version), "a")


@case("MQTT-2.1.3-1", over={"version": (4, 5), "transport": ("tcp", "tls")})
def packets_may_be_cut_anywhere(t, version, transport):
    """A whole conversation, in pieces of 1 to 7 bytes."""
    t.start(tls=transport == "tls")
    client = t.open(version, transport)
    data = mqtt.connect(version, "slow", True) + mqtt.subscribe(version, 1, [("a", 1)])
    data += b"".join(mqtt.publish(version, "a", b"%d" % number, number % 3 and 1,
                                  number if number % 3 else None) for number in range(1, 30))
    while data:
        size = t.random.randrange(1, 8)
        client.send(data[:size])
        data = data[size:]
    client.expect(CONNACK, reason=0)
    client.find(mqtt.SUBACK, packet_id=1)
    came = []
    while len(came) < 29:
        packet = client.receive()
        if packet.kind == mqtt.PUBLISH:
            came.append(int(packet.payload))
            client.answer(packet)
    checks.equal("messages", sorted(came), list(range(1, 30)))


@case("MQTT-3.3.4-1", "MQTT-4.5.0-2", over={"version": (4, 5)})
def acknowledgements_for_nothing_harm_nobody(t, version):
    """PUBACK, PUBREC and PUBCOMP under identifiers that are not in use, or in the wrong order."""
    t.start()
    publisher = t.client("publisher", version)
    for turn, kinds in enumerate(((mqtt.PUBACK,), (mqtt.PUBREC,), (mqtt.PUBCOMP,),
                                  (mqtt.PUBCOMP, mqtt.PUBREC), (mqtt.PUBACK, mqtt.PUBREC))):
        client = t.client("strange", version, stored=True, clean=True)
        client.subscribe("a", qos=2)
        for offset in (0, 1000):  # under an identifier in use, and under one that is not
            publisher.publish("a", b"%d" % turn, qos=2)
            try:
                used = client.find(mqtt.PUBLISH).packet_id
                for kind in kinds:
                    client.acknowledge(kind, used + offset)
                client.settle()
            except AssertionError:
                break  # closing is an answer too
        client.close()
    t.check_health()
    publisher.expect_nothing()


@case("MQTT-4.13.1-1", over={"round": tuple(range(2))}, long_over={"round": tuple(range(12))},
      timeout=60)
def mutated_packets_never_stop_the_broker(t, round):
    t.start(tls=True)
    for number in range(250):
        version = t.random.choice((3, 4, 5))
        seeds = [mqtt.connect(version, "fuzz", False, will={"topic": "w", "payload": b"x"},
                              user="u", password="p"),
                 mqtt.subscribe(version, 1, [("a/+", 1), ("$share/g/b", 0)]),
                 mqtt.publish(version, "a/b", b"payload", 2, 7),
                 mqtt.acknowledgement(mqtt.PUBREL, 7), mqtt.unsubscribe(version, 2, ["a/+"]),
                 mqtt.publish(version, "c", b"retained", 1, 8, retain=True), mqtt.pingreq()]
        seeds += [data for _, data, _ in malformed.after_connect(version)]
        data = bytearray(seeds[0] + b"".join(t.random.sample(seeds[1:], 6)))
        for _ in range(t.random.randrange(4)):
            at = t.random.randrange(len(seeds[0]) if t.random.random() < 0.1 else 0, len(data))
            if t.random.random() < 0.5:
                data[at] = t.random.randrange(256)
            elif t.random.random() < 0.5:
                del data[at:at + t.random.randrange(5)]
            else:
                data[at:at] = t.random.randbytes(t.random.randrange(5))
        client = t.open(version)
        try:
            client.send(bytes(data))
            client.poll()
        except AssertionError:
            pass
        client.close()
    t.check_health()
    t.broker.kill_and_restart()
    t.check_health()
