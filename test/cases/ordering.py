"""Rules 8, 10 and 21 under load from all sides: what is fast enough to meet on the way."""

import threading
import time

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_session import Publisher, Subscriber

SMALL = {"workers": 4, "mailbox_size": 1}


class Counter(threading.Thread):
    """Publishes 0, 1, 2, ... as retained messages at QoS 0, as fast as the broker takes them."""

    def __init__(self, client, topic):
        super().__init__()
        self.client, self.topic = client, topic
        self.done = threading.Event()
        self.start()

    def run(self):
        first = 0
        while not self.done.is_set():
            self.client.send(b"".join(
                mqtt.publish(self.client.version, self.topic, b"%d" % number, 0, None, retain=True)
                for number in range(first, first + 50)))
            self.client.expect_nothing()
            first += 50

    def stop(self):
        self.done.set()
        self.join()


@case("rule 10", "MQTT-3.3.1-9", "MQTT-3.8.4-1", over={"version": (4, 5)})
def between_a_retained_message_and_the_live_ones_nothing_is_lost(t, version):
    t.start(workers=4)
    counters = [Counter(t.client(f"publisher-{index}", version), f"counter/{index}")
                for index in range(2)]
    try:
        started, turn = time.monotonic(), 0
        while time.monotonic() - started < 3:
            # A new session each time: nothing of the last one is still on its way to it.
            reader = t.client("reader", version)
            reader.subscribe(f"counter/{turn % 2}", qos=0)
            came = reader.settle()
            retained = [int(packet.payload) for packet in came if packet.retain]
            live = [int(packet.payload) for packet in came if not packet.retain]
            # A message may come as both: it was routed, and then found as the retained one.
            checks.equal("live messages", live, list(range(live[0], live[0] + len(live)))
                         if live else [])
            if retained and live:
                checks.that(live[0] <= retained[0] + 1,
                            f"live messages begin with {live[0]} behind a retained {retained[0]}")
            reader.disconnect()
            turn += 1
    finally:
        for counter in counters:
            counter.stop()


@case("rule 8", "rule 1", over={"version": (4, 5)}, timeout=60)
def acknowledgements_never_overtake_what_they_acknowledge(t, version):
    """Stored sessions on all workers, whose PUBACKs are recorded beside the publishes of others."""
    t.holdfast_only("workers")
    t.start(broker=SMALL)
    pairs = []
    for index in range(6):
        client = t.client(f"subscriber-{index}", version, stored=True)
        client.subscribe("all/+", qos=1)
        subscriber = Subscriber()
        subscriber.attach(client)
        publisher = Publisher(window=20)
        publisher.attach(t.client(f"publisher-{index}", version))
        pairs.append((subscriber, publisher))
    for index, (_, publisher) in enumerate(pairs):
        for number in range(150):
            publisher.add(f"all/{index}", b"%d" % number, 1)
    while any(publisher.queue or publisher.flight for _, publisher in pairs):
        for subscriber, publisher in pairs:
            publisher.step()
            subscriber.step_if_any()
    for subscriber, _ in pairs:
        subscriber.receive(6 * 150)
        subscriber.client.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 21", timeout=60)
def floods_from_all_workers_to_all_workers_come_to_an_end(t):
    """More than any mailbox takes, everywhere at once, and nothing is lost on the way."""
    t.holdfast_only("mailboxes")
    t.start(broker=SMALL, mqtt={"max_outgoing_buffer": 100000000})
    count, each = 6, 1500
    readers = [t.client(f"reader-{index}", 4) for index in range(count)]
    for reader in readers:
        reader.subscribe("flood/+", qos=0)
    floods = [t.client(f"flood-{index}", 4) for index in range(count)]
    data = [b"".join(mqtt.publish(4, f"flood/{index}", b"%-800d" % number, 0, None)
                     for number in range(each)) for index in range(count)]
    senders = [threading.Thread(target=flood.send, args=(bytes_of_one,))
               for flood, bytes_of_one in zip(floods, data)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for flood in floods:
        flood.expect_nothing()
    for reader in readers:
        came = reader.messages(count * each)
        for index in range(count):
            checks.equal(f"of {index}", [int(packet.payload) for packet in came
                                         if packet.topic == f"flood/{index}"], list(range(each)))
