"""Rules 5, 8 and 21: several workers, with mailboxes of one letter."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_session import Publisher, Subscriber

SMALL = {"workers": 4, "mailbox_size": 1}
VERSIONS = {"version": (4, 5)}


def mesh(t, version, count, qos, stored):
    """`count` clients, each subscribed to what all of them publish."""
    members = []
    for index in range(count):
        client = t.client(f"member-{index}", version, stored=stored)
        client.subscribe("mesh/+", qos=qos)
        subscriber = Subscriber()
        subscriber.attach(client)
        publisher = Publisher(window=20)
        publisher.attach(t.client(f"publisher-{index}", version))
        members.append((subscriber, publisher))
    return members


@case("rule 21", over=[{"version": 4, "qos": 0}, {"version": 5, "qos": 1}, {"version": 4, "qos": 2}],
      long_over={"version": (4, 5), "qos": (0, 1, 2)}, timeout=60)
def all_workers_flood_each_other_through_mailboxes_of_one(t, version, qos):
    t.start(broker=SMALL)
    count, each = 8, 150
    members = mesh(t, version, count, qos, stored=qos == 2)
    for index, (_, publisher) in enumerate(members):
        for number in range(each):
            publisher.add(f"mesh/{index}", b"%d" % number, qos)
    while any(publisher.queue or publisher.flight for _, publisher in members):
        for subscriber, publisher in members:
            publisher.step()
            subscriber.step_if_any()
    for subscriber, _ in members:
        subscriber.receive(count * each)
        for index in range(count):
            checks.once_and_in_order(f"messages of {index}",
                                     subscriber.payloads(topic=f"mesh/{index}"),
                                     [b"%d" % number for number in range(each)])


@case("rule 21", over={"workers": (2, 4)}, timeout=60)
def connections_move_to_their_homes_through_mailboxes_of_one(t, workers):
    """Every worker has many for every other in the same turn; CONNECT and what follows it."""
    t.start(broker={"workers": workers, "mailbox_size": 1})
    for turn in range(4):
        clients = [t.open() for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(mqtt.connect(5, f"client-{turn}-{number}", True)
                        + mqtt.subscribe(5, 1, [("all", 0)]))
        for client in clients:
            client.expect(mqtt.CONNACK, reason=0)
            client.expect(mqtt.SUBACK)
        publisher = t.client("publisher")
        publisher.publish("all", b"%d" % turn)
        for client in clients:
            client.message(topic="all", payload=b"%d" % turn)
            client.close()


@case("rule 21", over=[{"qos": 1, "workers": 4}],
      long_over={"qos": (0, 1), "workers": (2, 4)}, timeout=60)
def bursts_in_every_direction_block_nobody(t, qos, workers):
    """Each worker has more for the others in one turn than their mailboxes take."""
    t.start(broker={"workers": workers, "mailbox_size": 1})
    count, each = 12, 400
    subscribers = []
    for index in range(count):
        client = t.client(f"member-{index}", 4)
        client.subscribe("mesh/+", qos=qos)
        subscribers.append(Subscriber())
        subscribers[-1].attach(client)
    publishers = [t.client(f"publisher-{index}", 4) for index in range(count)]
    for index, publisher in enumerate(publishers):
        publisher.send(b"".join(mqtt.publish(4, f"mesh/{index}", b"%d" % number, qos,
                                             number if qos else None)
                                for number in range(1, each + 1)))
    for publisher in publishers:
        publisher.settle()
    for subscriber in subscribers:
        subscriber.receive(count * each)
        for index in range(count):
            checks.once_and_in_order(f"messages of {index}",
                                     subscriber.payloads(topic=f"mesh/{index}"),
                                     [b"%d" % number for number in range(1, each + 1)])


@case("rule 5", "MQTT-3.8.4-1", over=VERSIONS)
def a_subscription_is_visible_to_every_publisher_when_its_suback_arrives(t, version):
    t.start(broker={"workers": 4})
    publishers = [t.client(f"publisher-{index}", version) for index in range(8)]
    for turn in range(50):
        subscriber = t.client(f"subscriber-{turn}", version)
        subscriber.subscribe(f"turn/{turn}", qos=0)
        publisher = publishers[turn % len(publishers)]
        publisher.publish(f"turn/{turn}", b"x", qos=0)
        subscriber.message(topic=f"turn/{turn}", payload=b"x")
        subscriber.close()


@case("rule 5", "MQTT-3.10.4-2", over=VERSIONS)
def nothing_published_behind_an_unsuback_is_delivered(t, version):
    t.start(broker={"workers": 4})
    publishers = [t.client(f"publisher-{index}", version) for index in range(8)]
    subscriber = t.client("subscriber", version)
    for turn in range(50):
        subscriber.subscribe("a", "last", qos=1)
        subscriber.unsubscribe("a")
        publisher = publishers[turn % len(publishers)]
        publisher.publish("a", b"x", qos=1)
        publisher.publish("last", b"%d" % turn, qos=1)
        subscriber.message(topic="last", payload=b"%d" % turn)


@case("rule 21", "MQTT-4.6.0-5", over={"version": (4, 5), "qos": (1, 2)}, timeout=60)
def one_publisher_keeps_its_order_to_subscribers_on_every_worker(t, version, qos):
    t.start(broker=SMALL)
    subscribers = []
    for index in range(8):
        client = t.client(f"subscriber-{index}", version)
        client.subscribe("a", qos=qos)
        subscribers.append(Subscriber())
        subscribers[-1].attach(client)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for number in range(1000):
        publisher.add("a", b"%d" % number, qos)
    while publisher.queue or publisher.flight:
        publisher.step()
        for subscriber in subscribers:
            subscriber.step_if_any()
    for subscriber in subscribers:
        subscriber.receive(1000)
        checks.once_and_in_order("messages", subscriber.payloads(),
                                 [b"%d" % number for number in range(1000)])


@case("MQTT-3.1.0-1", over={"version": (4, 5), "transport": ("tcp", "tls")})
def packets_sent_behind_connect_without_waiting_are_not_lost(t, version, transport):
    """The connection moves to its session's home with its unread bytes."""
    t.start(tls=transport == "tls", broker={"workers": 4})
    watcher = t.client("watcher", version, transport)
    watcher.subscribe("a/#", qos=1)
    for turn in range(20):
        client = t.open(version, transport)
        data = mqtt.connect(version, f"hasty-{turn}", True)
        data += b"".join(mqtt.publish(version, f"a/{turn}", b"%d" % number, 1, number)
                         for number in range(1, 11))
        cut = t.random.randrange(len(data))
        client.send(data[:cut])
        client.send(data[cut:] + mqtt.subscribe(version, 99, [("b", 0)]))
        client.expect(mqtt.CONNACK, reason=0)
        for number in range(1, 11):
            client.find(mqtt.PUBACK, packet_id=number)
        client.find(mqtt.SUBACK, packet_id=99)
        for number in range(1, 11):
            watcher.message(topic=f"a/{turn}", payload=b"%d" % number)
        client.close()


@case("rule 21", "rule 16")
def the_number_of_workers_may_change_over_a_restart(t):
    t.start(broker={"workers": 1})
    names = [f"away-{index}" for index in range(12)]
    for name in names:
        t.away(name, "a", qos=1)
    for workers in (4, 2, 1):
        t.client("publisher").publish("a", b"%d" % workers, qos=1)
        t.broker.kill()
        t.broker.config["broker"]["workers"] = workers
        t.broker.start()
    for name in names:
        checks.equal("messages", checks.payloads(t.back(name).messages(3)), [b"4", b"2", b"1"])
