"""The main job with clients that others wrote: mosquitto's and MQTT.js."""

import checks
import tools
from case import case
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
      over={"version": (4, 5), "transport": ("tcp", "tls"), "leave": ("disconnect", "drop")})
def mqtt_js_gets_everything_over_a_kill(t, version, transport, leave):
    t.start(tls=transport == "tls")
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
        expect_nothing_left(t, version, transport, client_id)
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
