"""The main job: everything published while a session is away survives SIGKILL of the broker."""

import checks
from case import case
from mqtt_session import Publisher, Subscriber

COUNT = 1000
FILTERS = ("#", "a/+/c")
PUBLISHED_QOS = (1, 2)


def sessions():
    """One stored session for each filter and QoS."""
    return {f"away-{index}-{qos}": (topic_filter, qos)
            for index, topic_filter in enumerate(FILTERS) for qos in (1, 2)}


def subscribe_and_leave(t, version, transport, leave):
    for client_id, (topic_filter, qos) in sessions().items():
        client = t.client(client_id, version, transport, stored=True)
        checks.equal("Session Present", client.connack.session_present, False)
        client.subscribe(topic_filter, qos=qos)
        if leave == "disconnect":
            client.disconnect()
        elif leave == "drop":
            client.close()
        else:
            client.reset()


def publish_everything(t, version, transport, count=COUNT):
    """`count` messages at QoS 1 and as many at QoS 2, mixed. Returns when all is acknowledged."""
    publisher = Publisher()
    for number in range(count):
        for qos in PUBLISHED_QOS:
            publisher.add("a/b/c", b"%d at QoS %d" % (number, qos), qos)
    publisher.attach(t.client("publisher", version, transport))
    publisher.run()
    checks.equal("acknowledged", len(publisher.acknowledged), count * len(PUBLISHED_QOS))


def come_back(t, version, transport, count=COUNT):
    for client_id, (topic_filter, qos) in sessions().items():
        subscriber = Subscriber()
        subscriber.attach(t.back(client_id, version, transport=transport))
        subscriber.receive(count * len(PUBLISHED_QOS))
        subscriber.drain()
        for published in PUBLISHED_QOS:
            wanted = [b"%d at QoS %d" % (number, published) for number in range(count)]
            came = [packet for packet in subscriber.received if packet.payload.endswith(
                b"QoS %d" % published)]
            checks.equal("QoS", {packet.qos for packet in came}, {min(qos, published)})
            check = checks.once_and_in_order if min(qos, published) == 2 else (
                checks.at_least_once_in_order)
            check(f"{published} to {topic_filter} at {qos}", checks.payloads(came), wanted)
        # Once more: nothing is left for it.
        subscriber.client.disconnect()
        again = t.back(client_id, version, transport=transport)
        again.expect_nothing()
        again.disconnect()


@case("rule 1", "rule 2", "MQTT-3.1.2-23", "MQTT-4.5.0-1", "MQTT-4.6.0-5", timeout=60,
      over=[{"version": 4, "transport": "tcp", "leave": "drop"},
            {"version": 4, "transport": "tls", "leave": "disconnect"},
            {"version": 5, "transport": "tcp", "leave": "disconnect"},
            {"version": 5, "transport": "tls", "leave": "drop"}],
      long_over={"version": (3, 4, 5), "transport": ("tcp", "tls"),
                 "leave": ("disconnect", "drop", "reset")})
def what_was_acknowledged_while_a_session_was_away_survives_sigkill(t, version, transport, leave):
    t.start(tls=transport == "tls")
    subscribe_and_leave(t, version, transport, leave)
    publish_everything(t, version, transport)
    t.broker.kill_and_restart()
    come_back(t, version, transport)
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 1", "rule 8", "rule 21", timeout=60,
      over=[{"version": 4, "mailbox_size": 1}, {"version": 5, "mailbox_size": 1}],
      long_over=[{"version": 4, "mailbox_size": 2}, {"version": 5, "mailbox_size": 64}])
def it_survives_with_four_workers_and_small_mailboxes(t, version, mailbox_size):
    t.start(broker={"workers": 4, "mailbox_size": mailbox_size})
    subscribe_and_leave(t, version, "tcp", "drop")
    publish_everything(t, version, "tcp")
    t.broker.kill_and_restart()
    come_back(t, version, "tcp")
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 1", "MQTT-3.1.2-23", over={"version": (4, 5)})
def a_session_away_survives_a_graceful_stop(t, version):
    t.start()
    subscribe_and_leave(t, version, "tcp", "disconnect")
    publish_everything(t, version, "tcp", count=50)
    t.broker.stop_and_restart()
    come_back(t, version, "tcp", count=50)
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-4.3.1-1", "rule 1", over={"version": (4, 5)})
def qos_0_is_not_queued_by_default(t, version):
    t.start()
    away = t.client("away", version, stored=True)
    away.subscribe("a", qos=2)
    away.disconnect()
    publisher = t.client("publisher", version)
    publisher.publish("a", b"not kept", qos=0)
    publisher.publish("a", b"kept", qos=1)
    away = t.client("away", version, stored=True)
    away.message(payload=b"kept", qos=1)
    away.expect_nothing()


@case("MQTT-3.1.2-4", "rule 5", "rule 9", over={"version": (4, 5), "killed": (False, True)})
def clean_start_wipes_a_stored_session(t, version, killed):
    t.start()
    away = t.client("away", version, stored=True)
    away.subscribe("a", qos=1)
    away.disconnect()
    publisher = t.client("publisher", version)
    for number in range(100):
        publisher.publish("a", b"%d" % number, qos=1)
    away = t.client("away", version)
    checks.equal("Session Present", away.connack.session_present, False)
    if killed:
        t.broker.kill_and_restart()
        publisher = t.client("publisher", version)
    else:
        publisher.publish("a", b"without a subscription", qos=1)
        away.expect_nothing()
        away.disconnect()
    away = t.client("away", version, stored=True)
    checks.equal("Session Present", away.connack.session_present, False)
    publisher.publish("a", b"still without a subscription", qos=1)
    away.subscribe("b", qos=1)
    t.silence(away, publisher, "b")


@case("MQTT-3.1.2-23", "MQTT-4.1.0-2", "rule 16")
def an_expired_session_is_gone_after_a_restart(t):
    t.start()
    for client_id, expiry in (("short", 1), ("long", 300)):
        client = t.client(client_id, clean=True, expiry=expiry)
        client.subscribe("a", qos=1)
        client.disconnect()
    t.client("publisher").publish("a", b"x", qos=1)
    t.pass_time(1.5)
    t.broker.kill_and_restart()
    short = t.client("short", clean=False, expiry=1)
    checks.equal("Session Present of the short one", short.connack.session_present, False)
    short.expect_nothing()
    back = t.client("long", clean=False, expiry=300)
    checks.equal("Session Present of the long one", back.connack.session_present, True)
    back.message(payload=b"x")


@case("MQTT-3.1.2-23", "MQTT-3.1.2-4", over={"killed": (False, True)})
def clean_start_1_with_an_expiry_keeps_its_session(t, killed):
    t.start()
    away = t.client("away", clean=True, expiry=300)
    away.subscribe("a", qos=2)
    away.close()
    t.client("publisher").publish("a", b"x", qos=2)
    if killed:
        t.broker.kill_and_restart()
    away = t.client("away", clean=False, expiry=300)
    checks.equal("Session Present", away.connack.session_present, True)
    away.message(payload=b"x", qos=2)
    away.expect_nothing()


@case("rule 1", "MQTT-4.5.0-1", over={"version": (4, 5), "qos": (1, 2)})
def an_acknowledgement_of_one_session_takes_nothing_from_another(t, version, qos):
    """Two stored sessions on one topic with identical payloads: one comes back and acknowledges what
    the disk has for both, and the other is away."""
    t.start()
    here, away = (t.client(name, version, stored=True) for name in ("here", "away"))
    for client in (here, away):
        client.subscribe("a", qos=qos)
        client.close()
    publisher = Publisher()
    for _ in range(300):
        publisher.add("a", b"the same", qos)
    publisher.attach(t.client("publisher", version))
    publisher.run()
    listener = Subscriber()
    listener.attach(t.client("here", version, stored=True))
    listener.receive(300)
    listener.drain()
    publisher.client.publish("b", b"behind the acknowledgements on disk", 1, retain=True)
    t.broker.kill_and_restart()
    subscriber = Subscriber()
    subscriber.attach(t.client("away", version, stored=True))
    checks.equal("Session Present", subscriber.client.connack.session_present, True)
    subscriber.receive(300)
    checks.equal("messages", subscriber.drain() and len(subscriber.received), 300)
