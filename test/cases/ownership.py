"""Rules 1, 7 and 8: what an acknowledgement to a publisher promises, and in which order they come."""

import checks
from case import case
from mqtt_packet import PUBACK, PUBREC
from mqtt_session import Publisher, Subscriber


@case("rule 1", "MQTT-4.3.2-4", "MQTT-4.3.3-8", over={"version": (4, 5), "qos": (1, 2)})
def a_message_survives_sigkill_right_behind_its_acknowledgement(t, version, qos):
    t.start()
    t.away("away", "a", version=version, qos=qos)
    for number in range(5):
        publisher = t.client("publisher", version)
        packet_id = publisher.send_publish("a", b"%d" % number, qos)
        publisher.expect(PUBACK if qos == 1 else PUBREC, packet_id=packet_id, reason=0)
        t.broker.kill_and_restart()
    came = t.back("away", version).messages(5)
    checks.equal("payloads", checks.payloads(came), [b"%d" % number for number in range(5)])


@case("rule 1", "MQTT-4.4.0-1", over={"version": (4, 5), "qos": (1, 2)})
def a_message_sent_to_a_stored_session_is_still_durable(t, version, qos):
    """The session is connected but has not acknowledged: the message is owed all the same."""
    t.start()
    subscriber = t.client("here", version, stored=True)
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher", version)
    publisher.publish("a", b"x", qos)
    t.broker.kill_and_restart()
    t.back("here", version).message(topic="a", payload=b"x", qos=qos)


@case("rule 1", "MQTT-3.4.2-1", "MQTT-3.5.2-1", over={"qos": (1, 2)})
def a_publisher_is_told_when_nobody_subscribes(t, qos):
    t.start()
    publisher = t.client("publisher")
    checks.equal("Reason Code", publisher.publish("nobody/listens", b"x", qos), 0x10)
    t.away("away", "somebody/listens", qos=0)
    checks.equal("Reason Code when the only match is away at QoS 0",
                 publisher.publish("somebody/listens", b"x", qos) in (0x00, 0x10), True)
    t.away("away", "somebody/listens", qos=1)
    checks.equal("Reason Code", publisher.publish("somebody/listens", b"x", qos), 0x00)


@case("rule 7", over={"version": (4, 5), "workers": (1, 4)})
def acknowledgements_leave_in_the_order_of_their_publishes(t, version, workers):
    """Some wait for the disk and some for nothing; `Publisher` checks the order."""
    t.start(workers=workers)
    t.away("away", "owed/#", version=version, qos=2)
    here = t.client("here", version)
    here.subscribe("here/#", qos=1)
    publisher = Publisher(window=200)
    topics = ("owed/a", "nobody", "here/a", "nobody/at/all", "owed/b")
    for number in range(1000):
        publisher.add(topics[number % 5], b"%d" % number, 1 + t.random.randrange(2))
    publisher.attach(t.client("publisher", version))
    listener = Subscriber()
    listener.attach(here)
    publisher.run()
    checks.equal("acknowledged", publisher.acknowledged, [b"%d" % n for n in range(1000)])
    listener.receive(200)


@case("rule 8", "rule 11", over={"version": (4, 5), "qos": (1, 2)}, timeout=60)
def acknowledging_at_once_leaves_nothing_behind(t, version, qos):
    """Acknowledgements race with the commits of what they acknowledge."""
    t.start()
    names = [f"here-{number}" for number in range(3)]
    listeners = []
    for name in names:
        client = t.client(name, version, stored=True)
        client.subscribe("a/#", qos=qos)
        listeners.append(Subscriber())
        listeners[-1].attach(client)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for turn in range(20):
        for number in range(50):
            publisher.add("a/b", b"%d" % (50 * turn + number), qos)
        publisher.run()
        for listener in listeners:
            listener.receive(50 * turn + 50)
    for listener in listeners:
        listener.drain()
        listener.client.disconnect()
        checks.once_and_in_order("messages", listener.payloads(),
                                 [b"%d" % number for number in range(1000)])
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 8", "rule 1", over={"version": (4, 5)}, timeout=60)
def a_kill_between_an_acknowledgement_and_its_commit_loses_and_strands_nothing(t, version):
    """The subscriber acknowledges while its messages are being committed; then SIGKILL."""
    t.start()
    subscriber = Subscriber()
    subscriber.attach(t.client("here", version, stored=True))
    subscriber.client.subscribe("a", qos=2)
    publisher = Publisher()
    for turn in range(5):
        publisher.attach(t.client("publisher", version, stored=True))
        for number in range(60):
            publisher.add("a", b"%d" % (60 * turn + number), 2)
        while len(publisher.acknowledged) < 60 * turn + 40:
            publisher.step()
            subscriber.step_if_any()
        t.broker.kill_and_restart()
        subscriber.attach(t.back("here", version))
    publisher.attach(t.client("publisher", version, stored=True))
    publisher.run()
    subscriber.receive(300)
    subscriber.drain()
    checks.once_and_in_order("messages", subscriber.payloads(), [b"%d" % n for n in range(300)])
    subscriber.client.disconnect()
    t.broker.stop()
    t.check_store_is_empty()
