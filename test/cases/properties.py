"""MQTT 5 properties: forwarded, counted down, negotiated, withheld."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK, PUBACK, PUBLISH

ALL = {"payload_format_indicator": 1, "content_type": "text/\u00e9", "response_topic": "a/\u00e9",
       "correlation_data": b"\0\xff\1", "user_property": [("b", "1"), ("a", ""), ("b", "2"),
                                                          ("", "\ufeff")]}


@case("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18",
      "MQTT-3.3.2-20", "MQTT-3.1.3-10", "MQTT-1.5.4-3",
      over=[{"qos": qos, "way": way} for qos in (0, 1, 2)
            for way in ("live", "queued", "retained") if qos or way != "queued"])
def every_property_of_a_publish_is_forwarded_unaltered(t, qos, way):
    t.start()
    publisher = t.client("publisher")
    if way == "live":
        subscriber = t.client("subscriber")
        subscriber.subscribe("a", qos=2)
    elif way == "queued":
        t.away("subscriber", "a", qos=2)
    publisher.publish("a", b"x", qos, props=ALL, retain=way == "retained")
    publisher.expect_nothing()  # so that QoS 0 has arrived, too
    if way == "queued":
        subscriber = t.back("subscriber")
    elif way == "retained":
        subscriber = t.client("subscriber")
        subscriber.subscribe("a", qos=2)
    packet = subscriber.message(topic="a", payload=b"x", qos=qos, retain=way == "retained")
    checks.equal("properties", packet.props, ALL)


@case("MQTT-3.3.2-17", "MQTT-3.3.4-1")
def properties_do_not_leak_into_3_1_1(t):
    t.start()
    old, new = t.client("old", 4), t.client("new")
    for client in (old, new):
        client.subscribe("a", qos=1)
    new.publish("a", b"from 5", qos=1, props=ALL)
    old.message(payload=b"from 5")
    new.message(payload=b"from 5")
    old.publish("a", b"from 4", qos=1)
    checks.equal("properties", new.message(payload=b"from 4").props, {})


@case("MQTT-3.3.2-6")
def a_message_expiry_interval_is_counted_down(t):
    t.start()
    t.away("away", "a", qos=1)
    live = t.client("live")
    live.subscribe("a", qos=1)
    publisher = t.client("publisher")
    expiry = {"message_expiry_interval": 10}
    publisher.publish("a", b"x", qos=1, props=expiry, retain=True)
    checks.equal("sent at once", live.message().props, expiry)
    t.pass_time(2.1)
    late = t.client("late")
    late.subscribe("a", qos=1)
    for client in (t.back("away"), late):
        left = client.message(payload=b"x").props["message_expiry_interval"]
        checks.one_of("after 2.1 s", left, (6, 7, 8))


@case("MQTT-3.3.2-6", "rule 17")
def a_message_expiry_interval_is_counted_down_over_a_kill(t):
    t.start()
    t.away("away", "a", qos=1)
    t.client("publisher").publish("a", b"x", qos=1, retain=True,
                                  props={"message_expiry_interval": 10})
    t.broker.kill()
    t.pass_time(2.1)
    t.broker.start()
    late = t.client("late")
    late.subscribe("a", qos=1)
    for client in (t.back("away"), late):
        left = client.message(payload=b"x").props["message_expiry_interval"]
        checks.one_of("after 2.1 s", left, (5, 6, 7, 8))


@case("MQTT-3.3.2-5", over={"killed": (False, True), "qos": (1, 2)})
def a_message_that_expired_in_the_queue_is_deleted(t, killed, qos):
    t.start()
    t.away("away", "a", qos=qos)
    publisher = t.client("publisher")
    for number in range(20):
        publisher.publish("a", b"gone", qos, props={"message_expiry_interval": 1})
        publisher.publish("a", b"%d" % number, qos, props={"message_expiry_interval": 100})
    if killed:
        t.broker.kill()
    t.pass_time(1.6)
    if killed:
        t.broker.start()
    away = t.back("away", props={"receive_maximum": 3})
    checks.equal("messages", checks.payloads(away.messages(20)),
                 [b"%d" % number for number in range(20)])
    away.expect_nothing()
    away.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-3.3.2-5", "MQTT-4.3.3-13")
def a_message_that_expires_behind_a_full_window_is_not_sent(t):
    t.start()
    subscriber = t.client("here", props={"receive_maximum": 1})
    subscriber.subscribe("a", qos=1)
    publisher = t.client("publisher")
    publisher.publish("a", b"first", qos=1)
    packet = subscriber.expect(PUBLISH, payload=b"first")
    publisher.publish("a", b"gone", qos=1, props={"message_expiry_interval": 1})
    publisher.publish("a", b"last", qos=1)
    t.pass_time(1.6)
    subscriber.acknowledge(PUBACK, packet.packet_id)
    subscriber.message(payload=b"last")


@case("MQTT-3.3.2-5", "MQTT-3.3.1-9")
def a_retained_message_expires(t):
    t.start()
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos=1, retain=True, props={"message_expiry_interval": 1})
    t.pass_time(1.6)
    for killed in (False, True):
        if killed:
            t.broker.kill_and_restart()
        reader = t.client("reader")
        reader.subscribe("a", qos=1)
        reader.expect_nothing()
        reader.disconnect()


# ---- Topic aliases ----

@case("MQTT-3.3.2-12", "MQTT-3.3.2-7", over={"qos": (0, 1, 2)})
def a_publisher_may_use_every_topic_alias(t, qos):
    t.start()
    subscriber = t.client("subscriber")
    subscriber.subscribe("#", qos=2)
    publisher = t.client("publisher")
    maximum = publisher.connack.props.get("topic_alias_maximum", 0)
    checks.that(maximum > 0, "the broker takes no topic aliases")
    for turn in ("first", "second"):  # each alias is mapped anew in the second turn
        for alias in (1, 2, maximum):
            topic = f"{turn}/{alias}"
            publisher.publish(topic, b"x", qos, props={"topic_alias": alias})
            publisher.publish("", b"y", qos, props={"topic_alias": alias})
            for payload in (b"x", b"y"):
                packet = subscriber.message(topic=topic, payload=payload, qos=qos)
                checks.equal("properties", packet.props, {})


@case("MQTT-3.3.2-8", "MQTT-3.3.2-9", "MQTT-3.3.2-7", "MQTT-4.13.1-1")
def wrong_topic_aliases_end_the_connection(t):
    t.start()
    maximum = t.client("asks").connack.props.get("topic_alias_maximum", 0)
    for topic, alias, reasons in (("a", 0, (0x94,)), ("a", maximum + 1, (0x94,)),
                                  ("", maximum, (0x82, 0x94)), ("", None, (0x82,))):
        client = t.client("publisher", expiry=300, clean=False)
        client.publish("b", b"x", qos=1, props={"topic_alias": 1})
        client.send_publish(topic, b"x", qos=1,
                            props={} if alias is None else {"topic_alias": alias})
        client.expect_disconnect(*reasons)
    # A mapping does not outlive its connection, even with the session.
    client = t.client("publisher", expiry=300, clean=False)
    client.send_publish("", b"x", qos=1, props={"topic_alias": 1})
    client.expect_disconnect(0x82, 0x94)
    t.check_health()


class Aliases:
    """What a receiver knows of a sender's topic aliases."""

    def __init__(self, maximum):
        self.maximum, self.topics, self.used = maximum, {}, 0

    def topic(self, packet):
        alias = packet.props.get("topic_alias")
        if alias is None:
            return packet.topic
        checks.that(1 <= alias <= self.maximum, f"alias {alias} with {self.maximum} allowed")
        if packet.topic:
            self.topics[alias] = packet.topic
        else:
            self.used += 1
            checks.that(alias in self.topics, f"alias {alias} was never explained")
        return self.topics[alias]


@case("MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11",
      over={"maximum": (0, 1, 3), "qos": (1,)},
      long_over={"maximum": (0, 1, 3, 65535), "qos": (0, 1, 2)})
def the_broker_uses_topic_aliases_within_the_clients_maximum(t, maximum, qos):
    t.start()
    subscriber = t.client("subscriber", props={"topic_alias_maximum": maximum} if maximum else {})
    subscriber.subscribe("#", qos=2)
    publisher = t.client("publisher")
    aliases = Aliases(maximum)
    for turn in range(6):
        for number in range(5):
            publisher.publish(f"topic/number/{number}", b"%d" % turn, qos)
            checks.equal("topic", aliases.topic(subscriber.message(payload=b"%d" % turn)),
                         f"topic/number/{number}")
    if maximum and t.dialect.name == "holdfast":
        checks.that(aliases.used > 0, "no alias was ever used")


@case("MQTT-3.3.2-7", "MQTT-4.4.0-1", over={"maximum": (0, 10)})
def what_is_resent_names_its_topic(t, maximum):
    """Aliases of the connection that was lost mean nothing on the next one."""
    t.start()
    subscriber = t.client("here", stored=True, props={"topic_alias_maximum": 10})
    subscriber.subscribe("#", qos=1)
    publisher = t.client("publisher")
    for number in range(6):
        publisher.publish(f"topic/{number % 2}", b"%d" % number, qos=1)
        subscriber.expect(PUBLISH)
    subscriber.close()
    subscriber = t.back("here", props={"topic_alias_maximum": maximum} if maximum else {})
    aliases = Aliases(maximum)
    for number in range(6):
        packet = subscriber.expect(PUBLISH, payload=b"%d" % number, dup=True)
        checks.equal("topic", aliases.topic(packet), f"topic/{number % 2}")


# ---- Limits and announcements ----

@case("MQTT-3.2.2-15", "MQTT-4.13.1-1", over={"version": (4, 5)})
def a_packet_over_the_brokers_maximum_ends_the_connection(t, version):
    t.start(mqtt={"max_packet_size": 2000})
    subscriber = t.client("subscriber", version)
    subscriber.subscribe("a", qos=1)
    client = t.client("publisher", version)
    if version == 5:
        checks.equal("Maximum Packet Size", client.connack.props.get("maximum_packet_size"), 2000)
    overhead = len(mqtt.publish(version, "a", b"x" * 500, 1, 1)) - 500
    client.publish("a", b"x" * (2000 - overhead), qos=1)
    subscriber.message(payload=b"x" * (2000 - overhead))
    client.send(mqtt.publish(version, "a", b"x" * (2001 - overhead), 1, 2))
    client.expect_disconnect(0x95)
    t.silence(subscriber, t.client("other", version), "a")


@case("MQTT-3.2.2-7", "MQTT-3.1.4-1")
def a_connect_over_the_brokers_maximum_is_refused(t):
    t.start(mqtt={"max_packet_size": 200})
    client = t.open()
    client.send(mqtt.connect(5, "a", True, user="u" * 300))
    try:
        client.expect(CONNACK, reason=0x95)
    except AssertionError as error:
        if "closed" not in str(error):
            raise
    client.expect_close()
    t.check_health()


@case("MQTT-3.1.2-24", "MQTT-3.2.2-19", "MQTT-3.9.2-1", "MQTT-3.4.2-2", "MQTT-3.14.2-3")
def no_packet_exceeds_the_clients_maximum(t):
    """Not for the sake of a Reason String either."""
    t.start()
    limit = 20
    client = t.client("small", props={"maximum_packet_size": limit, "request_problem_information": 1})
    checks.that(client.connack.size <= limit or "maximum_packet_size" not in client.connack.props
                or client.connack.size <= 64, f"CONNACK of {client.connack.size} bytes")
    sizes = []
    packet = client.subscribe("a/#/b", qos=1, refused=True) if t.dialect.name == "holdfast" else (
        client.subscribe("a", qos=1))
    sizes.append(packet.size)
    sizes.append(client.unsubscribe("never/subscribed").size)
    packet_id = client.send_publish("nobody", b"x", qos=1)
    sizes.append(client.find(PUBACK, packet_id=packet_id).size)
    if t.dialect.name == "holdfast":  # refused, with a Reason String where there is room for one
        packet_id = client.send_publish("$SYS/mine", b"x", qos=1)
        sizes.append(client.find(PUBACK, packet_id=packet_id).size)
    client.send(mqtt.publish(5, "a/+/b", b"x"))
    sizes.append(client.expect(mqtt.DISCONNECT).size)
    checks.that(max(sizes) <= limit, f"packets of {sizes} bytes where {limit} are allowed")


@case("MQTT-3.1.2-29")
def without_problem_information_no_reason_string_is_sent(t):
    t.start()
    client = t.client("quiet", props={"request_problem_information": 0})
    answers = [client.unsubscribe("never/subscribed")]
    packet_id = client.send_publish("nobody", b"x", qos=1)
    answers.append(client.find(PUBACK, packet_id=packet_id))
    client.acknowledge(mqtt.PUBREL, 77)
    answers.append(client.find(mqtt.PUBCOMP, packet_id=77))
    for answer in answers:
        checks.that(not {"reason_string", "user_property"} & set(answer.props), f"{answer}")


@case("MQTT-3.1.2-28", over={"asked": (0, 1)})
def response_information_is_given_on_request(t, asked):
    t.holdfast_only("response_information")
    t.start(mqtt={"response_information": "answers/"})
    props = t.client("a", props={"request_response_information": asked}).connack.props
    checks.equal("Response Information", props.get("response_information"),
                 "answers/" if asked else None)


@case("MQTT-3.1.2-21", "MQTT-3.2.2-21", "MQTT-3.2.2-22")
def a_server_keep_alive_is_announced_and_kept(t):
    t.start(mqtt={"max_keepalive": 10})
    for asked, given in ((60, 10), (5, None), (10, None)):
        props = t.client("a", keep_alive=asked).connack.props
        checks.one_of(f"Server Keep Alive for {asked}", props.get("server_keep_alive"),
                      (given, given or asked))


@case("MQTT-3.1.2-21", "MQTT-3.1.2-22")
def a_server_keep_alive_closes_a_client_that_asked_for_none(t):
    t.holdfast_only("a cap for Keep Alive 0")
    t.start(mqtt={"max_keepalive": 1})
    client = t.client("a", keep_alive=0)
    checks.equal("Server Keep Alive", client.connack.props.get("server_keep_alive"), 1)
    client.expect_disconnect(0x8D)


@case("MQTT-3.2.2-9", "MQTT-3.2.2-11", "MQTT-3.2.2-12", "MQTT-3.2.2-10", over={"maximum": (0, 1)})
def a_maximum_qos_is_announced_and_enforced(t, maximum):
    t.holdfast_only("max_qos")
    t.start(mqtt={"max_qos": maximum})
    client = t.client("a")
    checks.equal("Maximum QoS", client.connack.props.get("maximum_qos"), maximum)
    client.subscribe("a", qos=2, refused=True)
    client.publish("a", b"x", qos=maximum)
    client.message(payload=b"x", qos=maximum)
    client.send_publish("a", b"x", qos=maximum + 1)
    client.expect_disconnect(0x9B)
    client = t.open()
    client.send(mqtt.connect(5, "b", True, will={"topic": "w", "qos": maximum + 1}))
    client.expect(CONNACK, reason=0x9B)
    client.expect_close()


@case("MQTT-3.2.2-13", "MQTT-3.2.2-14")
def retain_not_available_is_announced_and_enforced(t):
    t.start(mqtt={"retain_available": False})
    client = t.client("a")
    checks.equal("Retain Available", client.connack.props.get("retain_available"), 0)
    client.send_publish("a", b"x", qos=1, retain=True)
    client.expect_disconnect(0x9A)
    client = t.open()
    client.send(mqtt.connect(5, "b", True, will={"topic": "w", "retain": True}))
    client.expect(CONNACK, reason=0x9A)
    client.expect_close()


@case("MQTT-3.1.2-23", "MQTT-4.1.0-2")
def a_cap_on_session_expiry_is_announced(t):
    t.holdfast_only("max_session_expiry")
    t.start(mqtt={"max_session_expiry": 1})
    client = t.client("a", clean=False, expiry=0xFFFFFFFF)
    checks.equal("Session Expiry Interval", client.connack.props.get("session_expiry_interval"), 1)
    client.disconnect()
    t.pass_time(1.6)
    client = t.client("a", clean=False, expiry=300)
    checks.equal("Session Present", client.connack.session_present, False)


@case("MQTT-3.1.2-23", "MQTT-4.1.0-2")
def persistent_client_expiration_bounds_3_1_1_sessions(t):
    t.holdfast_only("persistent_client_expiration")
    t.start(mqtt={"persistent_client_expiration": 1})
    for killed in (False, True):
        t.away("a", "a", version=4)
        t.pass_time(1.6)
        if killed:
            t.broker.kill_and_restart()
        client = t.client("a", 4, clean=False)
        checks.equal("Session Present", client.connack.session_present, False)
        client.disconnect()


@case("MQTT-3.1.2-23")
def a_session_expiry_of_0xffffffff_never_ends(t):
    t.start()
    t.client("a", clean=False, expiry=0xFFFFFFFF).close()
    t.pass_time(0.5)
    t.broker.kill_and_restart()
    t.back("a", expiry=0xFFFFFFFF)


@case("MQTT-3.14.2-2", "MQTT-4.13.1-1")
def a_session_expiry_cannot_be_raised_from_zero_at_disconnect(t):
    """5.0 section 3.14.2.2.2: a Protocol Error."""
    t.start()
    client = t.client("a", clean=True, expiry=0)
    client.send(mqtt.disconnect(5, 0, {"session_expiry_interval": 10}))
    client.expect_disconnect(0x82)
    client = t.client("a", clean=False)
    checks.equal("Session Present", client.connack.session_present, False)
