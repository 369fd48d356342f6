"""Shared Subscriptions (5.0 section 4.8.2, rule 23)."""

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import PUBACK, PUBLISH, PUBREC

WORKERS = {"workers": (1, 4)}


def group(t, count, topic_filter="$share/g/a", qos=1, **connect):
    members = [t.client(f"member-{index}", **connect) for index in range(count)]
    for member in members:
        member.subscribe(topic_filter, qos=qos)
    return members


def collect(members, total):
    """Payloads by member until `total` messages have come to the group and none follows."""
    came = [[] for _ in members]
    arrived = True
    while arrived or sum(map(len, came)) < total:
        arrived = False
        for payloads, member in zip(came, members):
            for packet in member.settle():
                arrived = True
                if packet.kind == PUBLISH:
                    payloads.append(packet.payload)
                member.answer(packet)
    return came


@case("MQTT-4.8.2-3", over={"workers": (1, 4), "qos": (0, 1, 2)})
def each_message_goes_to_one_member(t, workers, qos):
    t.start(workers=workers)
    members = group(t, 3, qos=2)
    publisher = t.client("publisher")
    for number in range(90):
        publisher.publish("a", b"%d" % number, qos)
    came = collect(members, 90)
    everything = sorted(int(payload) for payloads in came for payload in payloads)
    checks.equal("messages", everything, list(range(90)))
    checks.that(all(came), f"shares: {[len(payloads) for payloads in came]}")


@case("MQTT-4.8.2-3", over={"workers": (1, 4), "stored": (False, True)})
def each_group_and_each_plain_subscription_gets_its_own_copy(t, workers, stored):
    t.start(workers=workers)
    one = t.client("one", stored=stored)
    one.subscribe("$share/g/a/+", "$share/h/a/b", "a/#", qos=1)
    two = t.client("two")
    two.subscribe("$share/g/a/+", qos=0)
    publisher = t.client("publisher")
    for number in range(20):
        publisher.publish("a/b", b"%d" % number, qos=1)
    came = collect([one, two], 60)
    everything = sorted(int(payload) for payloads in came for payload in payloads)
    checks.equal("messages", everything, sorted(list(range(20)) * 3))
    checks.that(len(came[0]) >= 40, f"the first got {len(came[0])}")


@case("rule 23", "MQTT-4.8.2-3")
def a_connected_member_is_preferred_to_one_that_is_away(t):
    t.start()
    t.away("away", "$share/g/a", qos=1)
    here = t.client("here")
    here.subscribe("$share/g/a", qos=1)
    publisher = t.client("publisher")
    for number in range(20):
        publisher.publish("a", b"%d" % number, qos=1)
        here.message(payload=b"%d" % number)
    t.back("away").expect_nothing()


@case("rule 23", "MQTT-4.5.0-1", over={"killed": (False, True)})
def a_group_whose_members_are_all_away_keeps_its_messages(t, killed):
    t.start()
    for name in ("one", "two"):
        t.away(name, "$share/g/a", qos=1)
    publisher = t.client("publisher")
    for number in range(20):
        publisher.publish("a", b"%d" % number, qos=1)
    if killed:
        t.broker.kill_and_restart()
        publisher = t.client("publisher")
    members = [t.back(name) for name in ("one", "two")]
    came = collect(members, 20)
    checks.equal("messages", sorted(int(p) for payloads in came for p in payloads),
                 list(range(20)))


@case("rule 23", "MQTT-4.8.2-3", over={"how": ("clean end", "unsubscribe")})
def unsent_messages_move_when_their_member_leaves(t, how):
    t.start()
    leaver = t.client("leaver", stored=True, props={"receive_maximum": 1})
    leaver.subscribe("$share/g/a", qos=1)
    publisher = t.client("publisher")
    for number in range(10):
        publisher.publish("a", b"%d" % number, qos=1)
    begun = leaver.expect(PUBLISH, payload=b"0")
    stayer = t.client("stayer")
    stayer.subscribe("$share/g/a", qos=1)
    if how == "unsubscribe":
        leaver.unsubscribe("$share/g/a")
        wanted = [b"%d" % number for number in range(1, 10)]
    else:
        leaver.disconnect(props={"session_expiry_interval": 0})
        wanted = [b"%d" % number for number in range(10)]
    came = stayer.messages(len(wanted))
    checks.equal("messages", sorted(checks.payloads(came)), sorted(wanted))
    stayer.expect_nothing()
    if how == "unsubscribe":
        leaver.acknowledge(PUBACK, begun.packet_id)
        leaver.expect_nothing()


@case("rule 23", "MQTT-4.8.2-4", over={"qos": (1, 2)})
def what_has_begun_waits_for_a_member_that_is_away(t, qos):
    t.start()
    member = t.client("member", stored=True)
    member.subscribe("$share/g/a", qos=qos)
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos)
    packet_id = member.expect(PUBLISH).packet_id
    other = t.client("other")
    other.subscribe("$share/g/a", qos=qos)
    member.disconnect()
    t.silence(other, publisher, "a", qos)
    member = t.back("member")
    again = member.expect(PUBLISH, payload=b"x", packet_id=packet_id, dup=True)
    member.answer(again)


@case("MQTT-4.8.2-5")
def a_begun_qos_2_message_dies_with_its_session(t):
    t.start()
    member = t.client("member", stored=True)
    member.subscribe("$share/g/a", qos=2)
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos=2)
    member.expect(PUBLISH)
    other = t.client("other")
    other.subscribe("$share/g/a", qos=2)
    member.disconnect(props={"session_expiry_interval": 0})
    t.silence(other, publisher, "a", 2)


@case("MQTT-4.8.2-6", over={"qos": (1, 2)})
def a_negative_acknowledgement_goes_to_nobody_else(t, qos):
    t.start()
    members = group(t, 2, qos=qos)
    publisher = t.client("publisher")
    publisher.publish("a", b"refused", qos)
    while True:
        arrived = [(member, packet) for member in members for packet in member.settle()]
        if arrived:
            break
    member, packet = arrived[0]
    member.acknowledge(PUBACK if qos == 1 else PUBREC, packet.packet_id, 0x83)
    for member in members:
        member.expect_nothing()
    publisher.publish("a", b"next", qos)
    came = []
    while not came:
        came = [packet.payload for member in members for packet in member.settle()]
    checks.equal("messages", came, [b"next"])


@case("MQTT-3.3.1-9", "MQTT-4.8.2-3")
def a_shared_subscription_gets_no_retained_messages_when_it_is_made(t):
    """5.0 section 4.8.2: retained messages are not sent to the session when it first subscribes."""
    t.start()
    publisher = t.client("publisher")
    publisher.publish("a", b"retained", qos=1, retain=True)
    member = t.client("member")
    member.subscribe("$share/g/a", qos=1)
    t.silence(member, publisher, "a")


@case("MQTT-3.8.3-4", "MQTT-4.13.1-1")
def no_local_on_a_shared_subscription_is_a_protocol_error(t):
    t.start()
    client = t.client("one")
    client.send(mqtt.subscribe(5, 1, [("$share/g/a", 1 | 0x04)]))
    client.expect_disconnect(0x82)


@case("rule 23", "MQTT-4.8.2-3")
def a_member_without_free_quota_is_passed_over(t):
    t.start()
    slow = t.client("slow", props={"receive_maximum": 1})
    slow.subscribe("$share/g/a", qos=1)
    publisher = t.client("publisher")
    publisher.publish("a", b"first", qos=1)
    slow.expect(PUBLISH, payload=b"first")
    quick = t.client("quick")
    quick.subscribe("$share/g/a", qos=1)
    for number in range(20):
        publisher.publish("a", b"%d" % number, qos=1)
        quick.message(payload=b"%d" % number)


@case("MQTT-4.8.2-3", "MQTT-3.8.4-8")
def each_member_is_served_at_its_own_qos(t):
    t.start()
    members = []
    for qos in (0, 1, 2):
        member = t.client(f"member-{qos}")
        member.subscribe(f"$share/g{qos}/a", qos=qos)
        members.append(member)
    t.client("publisher").publish("a", b"x", qos=2)
    for qos, member in enumerate(members):
        member.message(payload=b"x", qos=qos)
