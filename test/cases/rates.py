"""Rule 20: who sends more than it may is not read for a while, and loses nothing by that: neither
messages nor their order nor its connection."""

import time

import checks
import mqtt_packet as mqtt
from case import case
from cases.passwords import write_users
from mqtt_packet import CONNACK, PUBLISH

MESSAGES = {"max_client_message_rate": 20, "max_user_message_rate": 20, "max_message_rate": 20}
BYTES = {"max_client_byte_rate": 20000, "max_user_byte_rate": 20000, "max_byte_rate": 20000}


def start(t, limits, workers=None, **config):
    t.holdfast_only("a listener's rates")
    return t.start(workers=workers, authentication={"password_file": write_users(t)},
                   listener={"allow_anonymous": True, **limits}, **config)


def alice(t, client_id, version=5, **connect):
    return t.client(client_id, version, user="alice", password="wonderland", **connect)


def flood(publisher, count, qos, size):
    started = time.monotonic()
    publisher.send(b"".join(
        mqtt.publish(publisher.version, "a", b"%d " % number + b"x" * size, qos,
                     publisher.new_id() if qos else None) for number in range(count)))
    return started


def expect_flood(reader, count, started, at_least):
    came = [int(reader.message(topic="a").payload.split()[0]) for _ in range(count)]
    checks.equal("messages", came, list(range(count)))
    elapsed = time.monotonic() - started
    checks.that(elapsed > at_least, f"they took {elapsed:.2f} s, not {at_least:.2f} s")


@case("rule 20", timeout=60,
      over=[{"limit": limit, "qos": qos, "workers": workers}
            for limit in (*MESSAGES, *BYTES) for qos, workers in ((0, 1), (1, 4))])
def who_sends_more_than_it_may_is_read_later(t, limit, qos, workers):
    """60 at once, 20 a second: 20 and one come at once, the others in two seconds more."""
    rates = {**MESSAGES, **BYTES}
    start(t, {limit: rates[limit]}, workers)
    reader = alice(t, "reader")
    reader.subscribe("a", qos=qos)
    publisher = alice(t, "publisher")
    started = flood(publisher, 60, qos, 0 if limit in MESSAGES else 1000)
    expect_flood(reader, 60, started, 1.7)
    publisher.subscribe("b")  # its connection is as it was


@case("rule 20")
def who_is_pushed_back_holds_up_nobody_else(t):
    start(t, {"max_client_message_rate": 10})
    reader = t.client("reader")
    reader.subscribe("a", "b")
    started = flood(t.client("publisher"), 40, 0, 0)
    other = t.client("other")
    for number in range(5):
        other.publish("b", b"%d" % number, qos=1)
    elapsed = time.monotonic() - started
    checks.that(elapsed < 1.5, f"the other's took {elapsed:.2f} s")
    came = [reader.message().topic for _ in range(45)]
    checks.that("b" in came[:30], "the other's messages came behind the flood")


@case("rule 20", "MQTT-3.1.2-22", timeout=60, over={"workers": (1, 4)})
def who_is_pushed_back_for_longer_than_its_keep_alive_lives(t, workers):
    """A packet that takes six seconds, with a Keep Alive of one: the silence is ours."""
    start(t, {"max_client_byte_rate": 10000}, workers)
    reader = t.client("reader")
    reader.subscribe("a")
    publisher = t.client("publisher", keep_alive=1)
    started = flood(publisher, 1, 0, 70000)
    reader.message(topic="a", timeout=20)
    checks.that(time.monotonic() - started > 5, "it was not pushed back")
    publisher.expect_disconnect(0x8D)  # and later its own silence counts again


@case("rule 20", over={"workers": (1, 4)})
def the_flood_of_who_hangs_up_is_delivered(t, workers):
    start(t, {"max_client_message_rate": 20}, workers)
    reader = t.client("reader")
    reader.subscribe("a")
    publisher = t.client("publisher")
    started = flood(publisher, 50, 0, 0)
    publisher.send(mqtt.disconnect(5))
    publisher.close()
    expect_flood(reader, 50, started, 1.2)


@case("5.0 section 4.13.2", "MQTT-3.1.4-3", over={"version": (4, 5), "workers": (1, 4)})
def a_user_has_so_many_connections_and_no_more(t, version, workers):
    start(t, {"max_user_connections": 2}, workers)
    first, second = alice(t, "first", version), alice(t, "second", version)
    third = t.open(version)
    third.send(mqtt.connect(version, "third", True, user="alice", password="wonderland"))
    third.expect(CONNACK, reason=0x97 if version == 5 else 3, session_present=False)
    third.expect_close()
    t.await_line("max_user_connections")
    t.client("of bob", version, user="bob", password="bob:s secret")
    t.client("of nobody", version)
    again = alice(t, "second", version)  # takes over its own
    again.expect_nothing()
    first.disconnect()
    again.expect_nothing()
    alice(t, "third", version).expect_nothing()


@case("5.0 section 4.13.2", over={"workers": (1, 4)})
def connections_that_come_too_fast_wait_and_are_not_refused(t, workers):
    t.holdfast_only("max_connect_rate")
    t.start(workers=workers, listener={"max_connect_rate": 5})
    started = time.monotonic()
    clients = [t.open() for _ in range(16)]
    for number, client in enumerate(clients):
        client.send(mqtt.connect(5, f"client-{number}", True))
    for client in clients:
        client.expect(CONNACK, reason=0)
    elapsed = time.monotonic() - started
    checks.that(elapsed > 1.7, f"they took {elapsed:.2f} s")


@case("MQTT-3.1.2-21", "MQTT-3.2.2-21", "MQTT-3.2.2-22")
def a_shortest_keep_alive_is_announced_to_who_asks_for_less(t):
    t.holdfast_only("min_keepalive")
    t.start(mqtt={"min_keepalive": 30, "max_keepalive": 60})
    for asked, given in ((1, 30), (30, None), (45, None), (90, 60), (0, 60)):
        props = t.client("a", keep_alive=asked).connack.props
        checks.equal(f"Server Keep Alive for {asked}", props.get("server_keep_alive"), given)
    t.client("older", 4, keep_alive=1).expect_disconnect(0x8D)  # there is no way to tell it
