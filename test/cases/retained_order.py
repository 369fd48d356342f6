"""Rule 10: what is retained and what is live make one sequence, whichever worker a message comes
from."""

import time
from collections import Counter as Tally
from collections import defaultdict

import checks
import mqtt_packet as mqtt
import mqtt_wire
from case import case
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK

SECONDS = 2
EACH_QOS = [{"qos": 0, "stored": False}, {"qos": 1, "stored": False}, {"qos": 1, "stored": True},
            {"qos": 2, "stored": False}, {"qos": 2, "stored": True}]


class Counter:
    """Publishes 1, 2, 3, ... to a topic of its own, retained, as many at a time as it is told."""

    def __init__(self, t, index, qos):
        self.client = t.client(f"publisher-{index}", 4)
        self.topic, self.qos, self.last = f"counter/{index}", qos, 0

    def send(self, count):
        first, self.last = self.last + 1, self.last + count
        self.client.send(b"".join(
            mqtt.publish(4, self.topic, b"%d" % number, self.qos,
                         self.client.new_id() if self.qos else None, retain=True)
            for number in range(first, self.last + 1)))

    def complete(self, count):
        """All that were sent are acknowledged; `count` since this was called last."""
        if self.qos == 0:
            self.client.expect_nothing()
        while self.qos and count:
            packet = self.client.receive()
            if packet.kind == PUBREC:
                self.client.acknowledge(PUBREL, packet.packet_id)
            count -= packet.kind in (PUBACK, PUBCOMP)


class Reader:
    """Subscribes, and keeps what comes by topic."""

    def __init__(self, t, name, stored):
        self.client = t.client(name, 4, stored=stored)
        self.seen = defaultdict(list)  # topic -> [(number, retained)]
        self.answers = 0

    def send_subscribe(self, topic_filter, qos):
        self.client.send(mqtt.subscribe(4, self.client.new_id(), [(topic_filter, qos)]))
        self.answers += 1

    def send_unsubscribe(self, topic_filter):
        self.client.send(mqtt.unsubscribe(4, self.client.new_id(), [topic_filter]))
        self.answers += 1

    def step(self):
        """Handles what has come, if anything."""
        self.client.poll()
        answers = b""
        while (packet := self.client.next_packet()) is not None:
            if packet.kind == PUBLISH:
                self.seen[packet.topic].append((int(packet.payload), packet.retain))
                if packet.qos:
                    answers += mqtt.acknowledgement(PUBACK if packet.qos == 1 else PUBREC,
                                                    packet.packet_id)
            elif packet.kind == PUBREL:
                answers += mqtt.acknowledgement(PUBCOMP, packet.packet_id)
            else:
                checks.one_of("kind of packet", packet.kind, (SUBACK, UNSUBACK))
                self.answers -= 1
        if answers:
            self.client.send(answers)

    def has(self, last):
        """Whether the last message of each of these topics has come, and all answers."""
        return not self.answers and all(self.seen[topic] and self.seen[topic][-1][0] == number
                                        for topic, number in last.items())


def await_last(t, readers, last):
    deadline = time.monotonic() + mqtt_wire.DEADLINE_S
    while not all(reader.has(wanted) for reader, wanted in zip(readers, last)):
        for reader in readers:
            reader.step()
        if time.monotonic() > deadline:
            for reader, wanted in zip(readers, last):
                for topic, number in wanted.items():
                    checks.that(reader.has({topic: number}),
                                f"{number} of {topic} never came; "
                                f"{reader.answers} answers due; {reader.seen[topic][-3:]} came")
        t.pass_time(0.001)


def topics_of(topic_filter, counters):
    return [counter for counter in counters if topic_filter in ("#", "counter/+", counter.topic)]


def bursts(t, counters, count, *between):
    """Bursts of messages, with this done in between."""
    for act in between:
        for counter in counters:
            counter.send(count)
        t.pass_time(t.random.random() * 0.002)
        act()
    for counter in counters:
        counter.send(count)
    for counter in counters:
        counter.complete(count * (len(between) + 1))


@case("rule 10", "MQTT-3.3.1-9", over=EACH_QOS, timeout=60)
def a_new_subscription_sees_each_message_once_and_in_order(t, qos, stored):
    """Either the retained one first and all live ones behind it, or the live ones alone."""
    t.start(workers=4, mqtt={"max_outgoing_buffer": 100000000})
    counters = [Counter(t, index, qos) for index in range(4)]
    readers = [Reader(t, f"reader-{index}", stored) for index in range(6)]
    filters = ["#", "counter/+", "counter/0", "counter/1", "counter/2", "counter/3"]
    filler = t.client("filler", 4)
    filler.send(b"".join(mqtt.publish(4, f"filler/{number}", b"0", 0, None, retain=True)
                         for number in range(200)))
    bursts(t, counters, 1)
    started = time.monotonic()
    while time.monotonic() - started < SECONDS:
        filters.append(filters.pop(0))
        before = {counter.topic: counter.last for counter in counters}

        def subscribe():
            for reader, topic_filter in zip(readers, filters):
                reader.send_subscribe(topic_filter, qos)
        bursts(t, counters, 40, subscribe)
        await_last(t, readers, [{counter.topic: counter.last
                                 for counter in topics_of(topic_filter, counters)}
                                for topic_filter in filters])
        for reader, topic_filter in zip(readers, filters):
            for counter in topics_of(topic_filter, counters):
                seen = reader.seen[counter.topic]
                first = seen[0][0]
                checks.that(first >= before[counter.topic],
                            f"{counter.topic} begins with {first}, {before[counter.topic]} was "
                            f"there before")
                checks.equal(f"messages of {counter.topic} through {topic_filter}",
                             [number for number, _ in seen],
                             list(range(first, counter.last + 1)))
                checks.that(not any(retained for _, retained in seen[1:]),
                            f"a retained message behind a live one of {counter.topic}: {seen[:5]}")
            reader.send_unsubscribe(topic_filter)
            reader.seen.clear()
        await_last(t, readers, [{} for reader in readers])


@case("rule 10", "MQTT-3.3.1-9", "MQTT-3.8.4-3", "MQTT-3.8.4-4", over=EACH_QOS, timeout=60)
def who_subscribes_again_and_again_never_steps_back(t, qos, stored):
    """A retained message that is asked for again comes behind the live ones up to itself."""
    t.start(workers=4, mqtt={"max_outgoing_buffer": 100000000})
    counters = [Counter(t, index, qos) for index in range(4)]
    readers = [Reader(t, f"reader-{index}", stored) for index in range(4)]
    filters = ["#", "counter/+", "counter/2", "counter/3"]
    for reader, topic_filter in zip(readers, filters):
        reader.send_subscribe(topic_filter, qos)

    def subscribe():
        for reader, topic_filter in zip(readers, filters):
            reader.send_subscribe(topic_filter, qos)
    started, subscribed = time.monotonic(), 1
    retained_of = Tally()  # so far: one may come behind the last live one of its round
    while time.monotonic() - started < SECONDS:
        bursts(t, counters, 40, subscribe, subscribe, subscribe)
        subscribed += 3
        await_last(t, readers, [{counter.topic: counter.last
                                 for counter in topics_of(topic_filter, counters)}
                                for topic_filter in filters])
        for reader in readers:
            for topic, seen in reader.seen.items():
                retained_of[reader, topic] += sum(retained for _, retained in seen)
                checks.that(retained_of[reader, topic] <= subscribed,
                            f"more retained messages than {subscribed} SUBSCRIBEs: {seen}")
                for (before, _), (number, retained) in zip(seen, seen[1:]):
                    checks.one_of(f"{'retained' if retained else 'live'} number behind {before} "
                                  f"of {topic}", number,
                                  (before,) if retained else (before + 1,))
            reader.seen.clear()


@case("rule 10", over={"workers": (1, 4)}, timeout=60)
def what_waits_for_a_slow_reader_is_not_sent_behind_what_replaced_it(t, workers):
    """At QoS 0 retained messages wait for the socket, and live ones do not."""
    t.start(workers=workers, mqtt={"max_outgoing_buffer": 100000000})
    count, publisher = 400, t.client("publisher", 4)  # more than a socket takes

    def publish(value):
        publisher.send(b"".join(mqtt.publish(4, f"a/{number}", b"%d%60000s" % (value, b""), 0, None,
                                             retain=True) for number in range(count)))
        publisher.expect_nothing()
    publish(1)
    reader = t.client("reader", 4)
    reader.send(mqtt.subscribe(4, 1, [("#", 0)]))
    reader.expect(SUBACK)
    reader.inbox.append(reader.expect(PUBLISH, retain=True))  # and all others have been looked for
    reader.reading = False
    publish(2)
    reader.reading = True
    seen = defaultdict(list)
    while len(seen) < count or any(values[-1] != 2 for values in seen.values()):
        packet = reader.receive()
        if packet.kind == PUBLISH:
            seen[packet.topic].append(int(packet.payload))
    reader.expect_nothing()
    checks.that(any(values == [1, 2] for values in seen.values()), "nothing came as retained")
    checks.that(any(values == [2] for values in seen.values()), "nothing had to wait")
    for topic, values in seen.items():
        checks.one_of(f"values of {topic}", values, ([1, 2], [2]))


@case("rule 5", "rule 10", "MQTT-3.3.1-9", over={"workers": (1, 4)})
def a_suback_promises_the_retained_messages_too(t, workers):
    t.start(workers=workers)
    t.client("publisher").publish("a", b"x", qos=1, retain=True)
    for number in range(5):
        reader = t.client(f"reader-{number}", stored=True)
        reader.send(mqtt.subscribe(5, 1, [("a", 1)]))
        reader.find(SUBACK)
        t.broker.kill_and_restart()
        t.back(f"reader-{number}").message(topic="a", payload=b"x", retain=True)


@case("rule 10", "MQTT-4.6.0-5", "MQTT-4.6.0-6", over={"workers": (1, 4), "last": (b"2", b"")})
def a_restart_does_not_turn_the_retained_and_the_live_message_round(t, workers, last):
    """Both are for a Client that takes nothing yet, so both are read back from the store."""
    t.start(workers=workers)
    publisher = t.client("publisher")
    for number in range(8):
        client = t.client(f"both-{number}", stored=True, props={"receive_maximum": 1})
        client.subscribe("busy", qos=1)
        publisher.publish("busy", b"x", qos=1)
        busy = client.expect(PUBLISH, topic="busy")  # and keeps its only slot
        client.publish("state", b"1", qos=2, retain=True)
        client.send(mqtt.subscribe(5, 1, [("state", 2)]) +
                    mqtt.publish(5, "state", last, 2, 2, retain=True))
        client.find(SUBACK)
        client.find(PUBREC, packet_id=2)
        t.broker.kill_and_restart()
        client = t.back(f"both-{number}")
        client.message(topic="busy", payload=b"x", dup=True, packet_id=busy.packet_id)
        client.acknowledge(PUBREL, 2)
        client.find(PUBCOMP, packet_id=2)
        values = [packet.payload for packet in client.settle() if packet.kind == PUBLISH]
        checks.one_of("values", values, ([b"1", last], [last]))
        client.unsubscribe("busy", "state")
        client.disconnect()
        publisher = t.client("publisher")


@case("rule 10", "MQTT-3.10.4-2", "MQTT-3.10.4-4", over={"stored": (False, True)})
def who_unsubscribes_behind_a_subscribe_is_answered_in_order(t, stored):
    """In one write, so that the first of them still waits when the last is looked at."""
    t.start(workers=4)
    publisher = t.client("publisher")
    for topic in ("a", "b"):
        publisher.publish(topic, b"x", qos=1, retain=True)
    for _ in range(20):
        reader = t.client("reader", stored=stored)
        reader.send(mqtt.subscribe(5, 1, [("a", 1)]) + mqtt.unsubscribe(5, 2, ["a"]) +
                    mqtt.subscribe(5, 3, [("a", 0), ("b", 1), ("b", 1)]) +
                    mqtt.unsubscribe(5, 4, ["a", "none"]) +
                    mqtt.subscribe(5, 5, [("$share/g/a", 1)]))
        answers, retained = [], []
        while len(answers) < 5 or len(retained) < 1:
            packet = reader.receive()
            reader.answer(packet)
            (retained if packet.kind == PUBLISH else answers).append(packet)
        checks.equal("answers", [packet.packet_id for packet in answers], [1, 2, 3, 4, 5])
        checks.equal("reasons of the last UNSUBACK", answers[3].reasons, [0, 0x11])
        # With one worker all that is retained comes at once; here what was left comes no more.
        checks.equal("retained", [packet.topic for packet in retained], ["b"])
        reader.settle()
        reader.disconnect()
        if stored:
            t.broker.stop_and_restart()
            reader = t.back("reader")
        else:
            reader = t.client("reader")
            reader.subscribe("b", "$share/g/a", qos=1, options=0x20)  # no retained ones
        t.client("publisher").publish("a", b"y", qos=1)
        reader.message(topic="a", payload=b"y")
        reader.expect_nothing()
        reader.unsubscribe("b", "$share/g/a")
        reader.disconnect()
        if stored:
            break


@case("rule 9", "rule 10", timeout=60)
def a_subscribe_that_waits_survives_whatever_its_client_does(t):
    """The Client goes, ends its session, or is taken over, while its SUBSCRIBE waits."""
    t.start(workers=4)
    publisher = t.client("publisher")
    for number in range(50):
        publisher.publish(f"a/{number}", b"x", qos=1, retain=True)
    for turn in range(150):
        stored = t.random.random() < 0.5
        reader = t.client(f"reader-{turn % 7}", stored=stored)
        packets = mqtt.subscribe(5, 1, [("a/#", 1), ("a/+", 1), (f"a/{turn % 50}", 0)])
        how = t.random.randrange(5)
        if how == 0:
            packets += mqtt.disconnect(5, 0, {"session_expiry_interval": 0} if stored else {})
        elif how == 1:
            packets += mqtt.disconnect(5, 4)
        elif how == 2:
            packets += mqtt.unsubscribe(5, 2, ["a/+"]) + b"\xff"
        reader.send(packets)
        if how == 3:
            reader.reset()
        elif how == 4:
            t.client(f"reader-{turn % 7}", stored=not stored)
        else:
            reader.close()
    # What was asked for and is owed comes: Retain Handling 1 gets what is new only.
    reader = t.client("last", stored=True)
    reader.send(mqtt.subscribe(5, 1, [("a/#", 1 | 0x10)]) + mqtt.disconnect(5))
    reader.close()
    seen = set()
    while len(seen) < 50:
        reader = t.client("last", stored=True)
        reader.send(mqtt.subscribe(5, 1, [("a/#", 1 | 0x10)]))
        while len(seen) < 50:
            packet = reader.receive()
            reader.answer(packet)
            if packet.kind == PUBLISH:
                seen.add(packet.topic)
    t.check_health()
