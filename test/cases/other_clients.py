"""The main job with clients that others wrote: mosquitto's, MQTT.js, and Paho for Python and C."""

import os
import subprocess

import checks
import tools
from case import case
from certificates import Authority
from mqtt_session import Subscriber

COUNT = 1000
FILTERS = ("#", "a/+/c")


def wanted(count, qos):
    return [b"%d at QoS %d" % (number, qos) for number in range(count)]


def check_lines(what, output, count, granted):
    """`output` has lines "QOS TOPIC PAYLOAD" of messages published at QoS 1 and 2."""
    lines = [line.split(b" ", 2) for line in output.splitlines()
             if line.startswith((b"1 ", b"2 "))]
    for published in (1, 2):
        came = [(int(qos), payload) for qos, topic, payload in lines
                if topic == b"a/b/c" and payload.endswith(b"QoS %d" % published)]
        checks.equal(f"{what}: QoS of those published at {published}",
                     {qos for qos, _ in came}, {min(granted, published)})
        check = checks.once_and_in_order if min(granted, published) == 2 else (
            checks.at_least_once_in_order)
        check(f"{what}: those published at {published}", [payload for _, payload in came],
              wanted(count, published))


# mosquitto_sub -C says DISCONNECT in the middle of its last exchange, and then complains about what
# the broker had already sent. Its output is checked to the letter, so that is no matter.
ENDED = {"statuses": (0, 2)}


def expect_nothing_left(t, version, transport, client_id):
    """What a client may leave behind when it ends is the last PUBREL, and no message."""
    subscriber = Subscriber()
    subscriber.attach(t.back(client_id, version, transport=transport))
    subscriber.drain()
    fresh = [packet for packet in subscriber.received if not packet.dup]
    checks.equal("left behind", fresh, [])
    subscriber.client.disconnect()


SUBSCRIBERS = [(f"away-{index}-{qos}", topic_filter, qos)
               for index, topic_filter in enumerate(FILTERS) for qos in (1, 2)]


@case("rule 1", "MQTT-3.1.2-23", "MQTT-4.6.0-5", timeout=60,
      needs=("mosquitto_sub", "mosquitto_pub"),
      over=[{"version": 4, "transport": "tcp", "leave": "disconnect"},
            {"version": 5, "transport": "tls", "leave": "drop"}],
      long_over={"version": (4, 5), "transport": ("tcp", "tls"), "leave": ("disconnect", "drop")})
def mosquittos_clients_get_everything_over_a_kill(t, version, transport, leave):
    t.start(tls=transport == "tls")
    for client_id, topic_filter, qos in SUBSCRIBERS:
        if leave == "disconnect":
            tools.mosquitto_sub(t, version, transport, client_id, topic_filter, qos, "-E").finish()
        else:
            tool = tools.mosquitto_sub(t, version, transport, client_id, topic_filter, qos, "-d")
            tool.wait_for_line(b"Subscribed")
            tool.kill()
    publishers = [tools.mosquitto_pub(t, version, transport, "a/b/c", qos, wanted(COUNT, qos))
                  for qos in (1, 2)]
    for publisher in publishers:
        publisher.finish()
    t.broker.kill_and_restart()
    receivers = [tools.mosquitto_sub(t, version, transport, client_id, topic_filter, qos,
                                     "-C", 2 * COUNT, "-F", "%q %t %p")
                 for client_id, topic_filter, qos in SUBSCRIBERS]
    for (client_id, topic_filter, qos), receiver in zip(SUBSCRIBERS, receivers):
        check_lines(f"{topic_filter} at {qos}", receiver.finish(**ENDED), COUNT, qos)
        expect_nothing_left(t, version, transport, client_id)
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 1", "MQTT-3.1.2-23", "MQTT-4.6.0-5", long=True, timeout=120, needs=("node",),
      over={"version": (4, 5), "transport": ("tcp", "tls", "ws", "wss"),
            "leave": ("disconnect", "drop")})
def mqtt_js_gets_everything_over_a_kill(t, version, transport, leave):
    t.start(tls=transport in ("tls", "wss"), web=transport in ("ws", "wss"))
    for client_id, topic_filter, qos in SUBSCRIBERS:
        tools.mqttjs(t, "subscribe", version, transport, client_id=client_id, filter=topic_filter,
                     qos=qos, leave=leave).finish()
    tools.mqttjs(t, "publish", version, transport, client_id="publisher", topic="a/b/c",
                 qos="1,2", count=COUNT, clean="true").finish()
    t.broker.kill_and_restart()
    for client_id, topic_filter, qos in SUBSCRIBERS:
        output = tools.mqttjs(t, "receive", version, transport, client_id=client_id,
                              count=2 * COUNT).finish()
        check_lines(f"{topic_filter} at {qos}", output, COUNT, qos)
        expect_nothing_left(t, version, "tcp", client_id)
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-3.3.4-1", "MQTT-4.3.3-10", long=True, timeout=60, needs=("mosquitto_pub", "node"),
      over={"version": (4, 5)})
def clients_of_different_makes_understand_each_other(t, version):
    t.start(tls=True)
    tools.mqttjs(t, "subscribe", version, "tls", client_id="js", filter="a/#", qos=2,
                 leave="disconnect").finish()
    tools.mosquitto_sub(t, 9 - version, "tcp", "mosquitto", "a/#", 2, "-E").finish()
    for qos in (1, 2):
        tools.mosquitto_pub(t, 9 - version, "tls", "a/b/c", qos, wanted(100, qos)).finish()
    check_lines("MQTT.js", tools.mqttjs(t, "receive", version, "tcp", client_id="js",
                                        count=200).finish(), 100, 2)
    check_lines("mosquitto_sub", tools.mosquitto_sub(
        t, 9 - version, "tls", "mosquitto", "a/#", 2, "-C", 200, "-F", "%q %t %p").finish(**ENDED),
        100, 2)


# ---- Who proves who it is ----


def publish(t, maker, version, transport, proof):
    """One message "x" on "a", by a client of this make with this proof: options as for MQTT.js."""
    if maker == "Paho C":
        return tools.paho_c(t, version, transport, client_id="alice", topic="a", payload="0 at QoS 1",
                            **proof)
    if maker == "Paho Python":
        return tools.paho(t, version, transport, client_id="alice", topic="a", payload="0 at QoS 1",
                          **proof)
    if maker == "MQTT.js":
        return tools.mqttjs(t, "publish", version, transport, client_id="alice", topic="a", qos=1,
                            count=1, clean="true", **proof)
    names = {"cert": "--cert", "key": "--key", "user": "-u", "password": "-P", "psk": "--psk",
             "psk_identity": "--psk-identity"}
    arguments = [part for name, value in proof.items() for part in (names[name], value)]
    return tools.mosquitto_pub_one(t, version, transport, "a", "0 at QoS 1", "-i", "alice",
                                   *arguments)


MAKERS = ("mosquitto", "MQTT.js", "Paho Python", "Paho C")
# Whom no client of this make can be, and why.
CANNOT = {("mosquitto", "wss"): "mosquitto's clients speak no WebSocket",
          ("Paho Python", "psk"): "Python's TLS has no pre-shared keys before 3.13"}
EVERY_MAKE = [{"maker": maker, "transport": transport, "version": version}
              for maker in MAKERS for transport in ("tls", "wss") for version in (4, 5)]


def skip_what_it_cannot(t, maker, *features):
    for feature in features:
        if (maker, feature) in CANNOT:
            t.skip(CANNOT[maker, feature])


def expect_failure(t, maker, version, transport, proof):
    try:
        publish(t, maker, version, transport, proof).finish()
        raise AssertionError(f"{maker} gets in with {proof}")
    except tools.Failed as failure:
        checks.that("did not end" not in str(failure), f"{maker} waits for ever with {proof}")
        checks.that("ended with -" not in str(failure), f"{maker} crashes: {failure}")


@case("MQTT-3.1.4-2", timeout=120, needs=("mosquitto_pub",),
      over=[{"maker": "mosquitto", "transport": "tls", "version": 5}],
      long_over=EVERY_MAKE + [{"maker": maker, "transport": "tcp", "version": version}
                              for maker in MAKERS for version in (4, 5)])
def clients_of_every_make_prove_who_they_are(t, maker, transport, version):
    """By a certificate, and by a password; and nobody gets in without either, or with a wrong one."""
    skip_what_it_cannot(t, maker, transport)
    t.holdfast_only("certificate_user")
    users = os.path.join(t.directory, "users")
    subprocess.run([t.binary, "passwd", "--batch", users], input="alice:wonderland\nreader:x\n",
                   text=True, check=True, capture_output=True)
    broker = t.new_broker(tls=True, web=True, client_certificate=b"optional",
                          authentication={"password_file": users, "max_failures": 0})
    for name in ("tls", "wss"):
        broker.config["listener"][name].update(certificate_user=b"common_name",
                                               client_id_binding=b"user_name")
    for listener in broker.config["listener"].values():
        listener["allow_anonymous"] = False
    broker.start()
    subscriber = t.client("subscriber", user="reader", password="x")
    subscriber.subscribe("a", qos=1)
    good = [{"user": "alice", "password": "wonderland"}]
    bad = [{}, {"user": "alice", "password": "looking-glass"}]
    if transport != "tcp":
        names = ("cert", "key")
        good.append(dict(zip(names, t.authority.client(t.directory, "alice"))))
        # bob's identifier is not alice.
        bad.append(dict(zip(names, t.authority.client(t.directory, "bob"))))
        bad.append(dict(zip(names, Authority(t.directory, "stranger-ca").client(t.directory,
                                                                                "alice-too"))))
    for proof in good:
        publish(t, maker, version, transport, proof).finish()
        subscriber.message(payload=b"0 at QoS 1")
    for proof in bad:
        expect_failure(t, maker, version, transport, proof)
    if transport != "tcp":
        t.await_line("certificate of 'CN=alice-too'", "authority is not among those in 'ca'")
    subscriber.expect_nothing()


@case("issue: psk", long=True, timeout=120, needs=("mosquitto_pub",), over=EVERY_MAKE)
def clients_of_every_make_hold_a_key(t, maker, transport, version):
    """A pre-shared key is the user; nobody gets in with another key, or as another."""
    skip_what_it_cannot(t, maker, transport, "psk")
    t.holdfast_only("psk_file")
    key, other = "0f" * 32, "ee" * 32
    path = os.path.join(t.directory, "psk")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"alice:{key}\nbob:{other}\n")
    broker = t.new_broker()
    for port, name in ((8883, "tls"), (9443, "wss")):
        broker.config["listener"][name] = {
            "bind": f"{t.address}:{port}", "transport": name.encode(), "psk_file": path,
            "client_id_binding": b"user_name"}
    broker.start()
    subscriber = t.client("subscriber")
    subscriber.subscribe("a", qos=1)
    publish(t, maker, version, transport, {"psk_identity": "alice", "psk": key}).finish()
    subscriber.message(payload=b"0 at QoS 1")
    for identity, wrong in (("alice", other), ("mallory", key), ("bob", other)):
        expect_failure(t, maker, version, transport, {"psk_identity": identity, "psk": wrong})
    subscriber.expect_nothing()
