"""Rules 5, 6 and 16: what CONNACK, SUBACK, UNSUBACK and retained messages promise over a restart."""

import time

import checks
from case import case
from mqtt_packet import PUBACK, PUBREC
from mqtt_session import Subscriber

VERSIONS = {"version": (4, 5)}
STOPS = {"stop": ("kill", "graceful")}


def restart(t, stop="kill", pause=0):
    if stop == "kill":
        t.broker.kill()
    else:
        t.broker.stop()
    if pause:
        t.pass_time(pause)
    t.broker.start()


@case("rule 5", "MQTT-3.8.4-1", over=VERSIONS)
def a_subscription_survives_sigkill_right_behind_its_suback(t, version):
    t.start()
    for number in range(5):
        client = t.client("here", version, stored=True)
        client.subscribe(f"a/{number}", qos=1)
        t.broker.kill_and_restart()
    publisher = t.client("publisher", version)
    for number in range(5):
        publisher.publish(f"a/{number}", b"x", qos=1)
    client = t.back("here", version)
    for number in range(5):
        client.message(topic=f"a/{number}")


@case("rule 5", "MQTT-3.10.4-1", over=VERSIONS)
def an_unsubscription_survives_sigkill_right_behind_its_unsuback(t, version):
    t.start()
    filters = [f"a/{number}" for number in range(5)]
    t.away("here", *filters, "last", version=version)
    for topic_filter in filters:
        client = t.back("here", version)
        client.unsubscribe(topic_filter)
        t.broker.kill_and_restart()
    publisher = t.client("publisher", version)
    for topic in filters:
        publisher.publish(topic, b"x", qos=1)
    t.silence(t.back("here", version), publisher, "last")


@case("rule 5", "MQTT-3.8.4-3")
def all_of_a_subscription_survives_sigkill(t):
    """Options and Subscription Identifier, as last replaced."""
    t.start()
    client = t.client("here", stored=True)
    client.subscribe("a", qos=2, props={"subscription_identifier": 7})
    client.subscribe("a", qos=1, options=0x08, props={"subscription_identifier": 268435455})
    client.subscribe("b/#", qos=1, options=0x04)
    t.broker.kill_and_restart()
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos=2, retain=True)
    client = t.back("here")
    packet = client.message(topic="a", qos=1, retain=True)
    checks.equal("Subscription Identifier", packet.props.get("subscription_identifier"),
                 [268435455])
    client.publish("b/c", b"own", qos=1)  # No Local
    t.silence(client, publisher, "b/d")


@case("rule 5", "MQTT-3.1.2-23", over=VERSIONS)
def a_session_survives_sigkill_right_behind_its_connack(t, version):
    t.start()
    for number in range(5):
        t.client(f"here-{number}", version, stored=True)
        t.broker.kill_and_restart()
    for number in range(5):
        t.back(f"here-{number}", version)


@case("rule 5", "MQTT-3.1.2-4")
def the_end_of_a_session_survives_sigkill_right_behind_the_connack(t):
    t.start()
    for number in range(5):
        client_id = f"here-{number}"
        t.away(client_id, "a")
        t.client("publisher").publish("a", b"x", qos=1)
        fresh = t.client(client_id, stored=True, clean=True)
        checks.equal("Session Present", fresh.connack.session_present, False)
        t.broker.kill_and_restart()
        t.back(client_id).expect_nothing()


@case("rule 5", "rule 16", "MQTT-3.1.2-7", "MQTT-3.1.2-8",
      over={"version": (4, 5), "stored": (False, True), **STOPS})
def a_will_survives_the_broker_and_is_published_once(t, version, stored, stop):
    t.start()
    t.away("watcher", "will", version=version, qos=2)
    t.client("mortal", version, stored=stored,
             will={"topic": "will", "payload": b"gone", "qos": 2})
    restart(t, stop)
    watcher = Subscriber()
    watcher.attach(t.back("watcher", version))
    (packet,) = watcher.receive(1)
    checks.equal("will", (packet.topic, packet.payload, packet.qos, packet.retain),
                 ("will", b"gone", 2, False))
    # Once, even if the broker dies again.
    restart(t, stop)
    watcher.attach(t.back("watcher", version))
    t.client("publisher", version).publish("will", b"sentinel", qos=2)
    watcher.receive(2)
    checks.equal("messages", watcher.payloads(), [b"gone", b"sentinel"])


@case("rule 16", "MQTT-3.1.2-15")
def a_retained_will_of_a_killed_broker_is_retained(t):
    t.start()
    t.client("mortal", will={"topic": "will", "payload": b"gone", "qos": 1, "retain": True,
                             "user_property": [("a", "b")], "content_type": "text"})
    t.broker.kill_and_restart()
    watcher = t.client("watcher")
    watcher.subscribe("will", qos=1)
    packet = watcher.message(payload=b"gone", retain=True)
    checks.equal("properties", packet.props, {"user_property": [("a", "b")],
                                              "content_type": "text"})


@case("rule 16", "MQTT-3.1.2-10", over=VERSIONS)
def a_will_that_was_deleted_by_disconnect_stays_deleted(t, version):
    t.start()
    t.away("watcher", "will", version=version)
    client = t.client("mortal", version, stored=True,
                      will={"topic": "will", "payload": b"gone", "qos": 1})
    client.disconnect()
    # A DISCONNECT is not answered, so nothing says that it is durable but what is (rule 8).
    t.client("publisher", version).publish("will", b"first", qos=1)
    t.broker.kill_and_restart()
    watcher = t.back("watcher", version)
    watcher.message(payload=b"first")
    t.silence(watcher, t.client("publisher", version), "will")


@case("rule 16", "MQTT-3.1.2-8", "MQTT-3.1.3-9", over=STOPS)
def a_will_delay_runs_from_the_start(t, stop):
    """The client counts as disconnected when the broker starts, however long it was down."""
    t.start()
    t.away("watcher", "will")
    t.client("mortal", stored=True, will={"topic": "will", "payload": b"gone", "qos": 1,
                                          "will_delay_interval": 2})
    restart(t, stop, pause=2.5)
    started = time.monotonic()
    watcher = t.back("watcher")
    watcher.message(topic="will", payload=b"gone", timeout=10)
    elapsed = time.monotonic() - started
    checks.that(elapsed > 1.5, f"a will delayed by 2 s came {elapsed:.1f} s after the start")


@case("rule 16", "MQTT-3.1.3-9")
def a_client_that_returns_after_the_restart_keeps_its_delayed_will_back(t):
    t.start()
    t.away("watcher", "will")
    will = {"topic": "will", "payload": b"gone", "qos": 1, "will_delay_interval": 2}
    t.client("mortal", stored=True, will=will)
    t.broker.kill_and_restart()
    t.back("mortal")
    watcher = t.back("watcher")
    t.pass_time(2.5)
    t.silence(watcher, t.client("publisher"), "will")


@case("rule 16", "MQTT-4.1.0-2")
def the_expiry_of_a_connected_session_runs_from_the_start(t):
    t.start()
    t.client("here", clean=False, expiry=2)
    t.client("gone", clean=False, expiry=1)
    restart(t, pause=2.5)
    t.back("here", expiry=2)
    t.pass_time(1.6)
    gone = t.client("gone", clean=False, expiry=1)
    checks.equal("Session Present", gone.connack.session_present, False)


@case("rule 16", "rule 17", "MQTT-4.1.0-2")
def a_session_away_goes_on_expiring_while_the_broker_is_down(t):
    t.start()
    for client_id, expiry in (("short", 1), ("long", 100)):
        t.client(client_id, clean=False, expiry=expiry).disconnect()
    restart(t, pause=1.6)
    checks.equal("Session Present", t.client("short", clean=False).connack.session_present, False)
    t.back("long")


@case("rule 16", "MQTT-3.1.2-23", over=VERSIONS)
def a_session_that_was_not_stored_is_gone_after_a_kill(t, version):
    t.start()
    client = t.client("here", version)
    client.subscribe("a", qos=1)
    t.broker.kill_and_restart()
    again = t.client("here", version, stored=True)
    checks.equal("Session Present", again.connack.session_present, False)
    t.client("publisher", version).publish("a", b"x", qos=1)
    again.expect_nothing()


@case("rule 6", "MQTT-3.3.1-5", "MQTT-3.3.1-6", over={"version": (4, 5), "qos": (1, 2)})
def a_retained_message_survives_sigkill_right_behind_its_acknowledgement(t, version, qos):
    t.start()
    kind = PUBACK if qos == 1 else PUBREC
    for content in (b"one", b"two", b"", b"three", b""):
        publisher = t.client("publisher", version)
        packet_id = publisher.send_publish("state", content, qos, retain=True)
        publisher.expect(kind, packet_id=packet_id)
        t.broker.kill_and_restart()
        reader = t.client("reader", version)
        reader.subscribe("state", qos=2)
        if content:
            packet = reader.message(topic="state", payload=content, qos=qos, retain=True)
            checks.equal("DUP", packet.dup, False)
        reader.expect_nothing()
        reader.disconnect()


@case("rule 6", "MQTT-3.3.2-4", "MQTT-3.3.2-17")
def a_retained_message_keeps_its_properties_over_a_kill(t):
    t.start()
    props = {"payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "r",
             "correlation_data": b"\0\1\2", "user_property": [("b", "1"), ("a", "2"), ("b", "3")]}
    t.client("publisher").publish("state", b"x", qos=1, retain=True, props=props)
    t.broker.kill_and_restart()
    reader = t.client("reader")
    reader.subscribe("state", qos=1)
    checks.equal("properties", reader.message().props, props)


@case("rule 16", "MQTT-3.14.2-1")
def a_graceful_stop_says_0x8b_to_mqtt_5_and_closes_3_1_1(t):
    t.start()
    five, four = t.client("five", stored=True), t.client("four", 4, stored=True)
    t.broker.stop()
    five.expect_disconnect(0x8B)
    four.expect_close()
    t.broker.start()
    t.back("five")
    t.back("four", 4)


@case("MQTT-3.1.2-23", "MQTT-3.14.4-3")
def a_session_expiry_changed_at_disconnect_is_what_counts(t):
    t.start()
    for client_id, before, after, present in (("shorter", 300, 0, False), ("same", 300, None, True),
                                              ("longer", 1, 300, True)):
        client = t.client(client_id, clean=False, expiry=before)
        client.disconnect(props={} if after is None else {"session_expiry_interval": after})
        # A DISCONNECT is not answered, so nothing says that it is durable but what is (rule 8).
        t.client("publisher").publish("a", b"x", qos=1, retain=True)
        t.broker.kill_and_restart()
        if before == 1:
            t.pass_time(1.5)
        again = t.client(client_id, clean=False, expiry=300)
        checks.equal(f"Session Present, {client_id}", again.connack.session_present, present)


@case("MQTT-3.3.1-6", "rule 6", over=VERSIONS)
def a_message_waiting_for_a_session_keeps_its_properties_over_a_kill(t, version):
    """Whoever publishes, MQTT 5 properties reach MQTT 5 subscribers and nobody else."""
    t.start()
    t.away("away", "a", version=version, qos=2)
    props = {"payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "r",
             "correlation_data": b"\0\1\2", "user_property": [("b", "1"), ("a", "2"), ("b", "3")]}
    t.client("publisher").publish("a", b"x", qos=2, props=props)
    t.broker.kill_and_restart()
    packet = t.back("away", version).message(topic="a", payload=b"x", qos=2)
    checks.equal("properties", packet.props, props if version == 5 else {})
