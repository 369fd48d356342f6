"""Rules 1 to 7, 10 to 12: what waits for the disk, and what does not, on a disk that is held."""

import time

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK
from slow_disk import NEEDS, SlowDisk

VERSIONS = {"version": (4, 5)}
EACH_QOS = {"version": (4, 5), "qos": (1, 2)}
FIRST_ANSWER = {1: PUBACK, 2: PUBREC}


def waits(disk, *clients):
    """The broker asks the disk, and says nothing to any of these until it has its answer."""
    disk.wait_for_sync()
    for client in clients:
        client.expect_nothing()
    disk.release()


# ---- Rule 1 ----

@case("rule 1", "MQTT-4.3.2-4", "MQTT-4.3.3-8", over=EACH_QOS, needs=NEEDS)
def an_acknowledgement_waits_for_the_disk(t, version, qos):
    disk = SlowDisk(t)
    t.away("away", "a", version=version, qos=qos)
    publisher = t.client("publisher", version)
    disk.hold()
    packet_id = publisher.send_publish("a", b"x", qos)
    waits(disk, publisher)
    publisher.expect(FIRST_ANSWER[qos], packet_id=packet_id, reason=0)


@case("rule 1", "rule 11", over=EACH_QOS, needs=NEEDS)
def what_is_owed_to_no_stored_session_does_not_wait(t, version, qos):
    disk = SlowDisk(t)
    subscriber = t.client("here", version)
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher", version)
    disk.hold()
    for topic in ("a", "nobody"):
        publisher.publish(topic, b"x", qos)
    subscriber.message(topic="a", payload=b"x", qos=qos)
    disk.release()


@case("rule 1", "rule 11", over=VERSIONS, needs=NEEDS)
def what_is_acknowledged_within_commit_delay_never_goes_to_the_disk(t, version):
    disk = SlowDisk(t, sqlite={"commit_delay": 1000})
    subscriber = t.client("here", version, stored=True)
    subscriber.subscribe("a", qos=1)
    publisher = t.client("publisher", version)
    disk.hold()
    for number in range(5):
        packet_id = publisher.send_publish("a", b"%d" % number, qos=1)
        publisher.expect_nothing()
        subscriber.message(payload=b"%d" % number)
        publisher.expect(PUBACK, packet_id=packet_id)
    disk.release()


@case("rule 11", "rule 1", over=EACH_QOS, needs=NEEDS)
def what_somebody_away_is_owed_is_not_delayed(t, version, qos):
    """Nobody can acknowledge it meanwhile, so commit_delay would be time for nothing."""
    disk = SlowDisk(t, sqlite={"commit_delay": 1000})
    t.away("away", "a", version=version, qos=qos)
    publisher = t.client("publisher", version)
    disk.hold()
    publisher.send_publish("a", b"x", qos)
    disk.wait_for_sync()
    disk.release()
    publisher.expect(FIRST_ANSWER[qos])
    started = time.monotonic()
    for number in range(10):
        publisher.publish("a", b"%d" % number, qos)
    elapsed = time.monotonic() - started
    checks.that(elapsed < 5, f"ten acknowledgements took {elapsed:.1f} s, commit_delay is one")


# ---- Rules 2 and 3 ----

@case("rule 2", "MQTT-4.3.3-8", over=VERSIONS, needs=NEEDS)
def a_qos_2_message_is_routed_when_its_identifier_is_durable(t, version):
    disk = SlowDisk(t)
    subscriber = t.client("here", version)
    subscriber.subscribe("a", qos=2)
    publisher = t.client("publisher", version, stored=True)
    disk.hold()
    publisher.send_publish("a", b"x", qos=2, packet_id=7)
    waits(disk, publisher, subscriber)
    publisher.expect(PUBREC, packet_id=7, reason=0)
    subscriber.message(payload=b"x", qos=2)


@case("rule 2", "MQTT-4.3.3-10", over=VERSIONS, needs=NEEDS)
def a_duplicate_is_not_answered_before_the_first(t, version):
    disk = SlowDisk(t)
    t.away("away", "a", version=version, qos=2)
    publisher = t.client("publisher", version, stored=True)
    disk.hold()
    publisher.send_publish("a", b"x", qos=2, packet_id=7)
    disk.wait_for_sync()
    for _ in range(3):
        publisher.send_publish("a", b"x", qos=2, packet_id=7, dup=True)
        publisher.expect_nothing()
    disk.release()
    publisher.expect(PUBREC, packet_id=7, reason=0)
    publisher.acknowledge(PUBREL, 7)
    publisher.find(PUBCOMP, packet_id=7, reason=0)
    checks.equal("delivered", checks.payloads(t.back("away", version).messages(1)), [b"x"])


@case("rule 3", "MQTT-4.3.3-11", over=VERSIONS, needs=NEEDS)
def pubcomp_waits_for_the_erasure(t, version):
    disk = SlowDisk(t)
    publisher = t.client("publisher", version, stored=True)
    publisher.send_publish("a", b"x", qos=2, packet_id=7)
    publisher.expect(PUBREC, packet_id=7)
    disk.hold()
    publisher.acknowledge(PUBREL, 7)
    waits(disk, publisher)
    publisher.expect(PUBCOMP, packet_id=7, reason=0)


# ---- Rule 4 ----

def with_one_slot(t, version, second_qos):
    """A stored subscriber with one slot, taken by a QoS 1 message; another waits, durable."""
    subscriber = t.client("here", version, stored=True,
                          props={"receive_maximum": 1} if version == 5 else ())
    subscriber.subscribe("one", qos=1)
    subscriber.subscribe("two", qos=second_qos)
    publisher = t.client("publisher", version)
    publisher.publish("one", b"first", qos=1)
    publisher.publish("two", b"second", second_qos)
    return subscriber, subscriber.expect(PUBLISH, payload=b"first")


@case("rule 4", "MQTT-4.3.3-2", needs=NEEDS)
def a_qos_2_publish_waits_for_its_identifier(t):
    disk = SlowDisk(t)
    subscriber, first = with_one_slot(t, 5, second_qos=2)
    disk.hold()
    subscriber.acknowledge(PUBACK, first.packet_id)
    waits(disk, subscriber)
    subscriber.expect(PUBLISH, payload=b"second", qos=2, dup=False)


@case("rule 4", "MQTT-4.3.2-2", needs=NEEDS)
def a_qos_1_publish_does_not_wait(t):
    disk = SlowDisk(t)
    subscriber, first = with_one_slot(t, 5, second_qos=1)
    disk.hold()
    subscriber.acknowledge(PUBACK, first.packet_id)
    subscriber.message(payload=b"second", qos=1, dup=False)
    disk.release()


@case("rule 4", "MQTT-4.3.3-4", over=VERSIONS, needs=NEEDS)
def pubrel_waits_until_pubrec_is_durable(t, version):
    disk = SlowDisk(t)
    subscriber = t.client("here", version, stored=True)
    subscriber.subscribe("a", qos=2)
    t.client("publisher", version).publish("a", b"x", qos=2)
    packet = subscriber.expect(PUBLISH, payload=b"x", qos=2)
    disk.hold()
    subscriber.acknowledge(PUBREC, packet.packet_id)
    waits(disk, subscriber)
    subscriber.expect(PUBREL, packet_id=packet.packet_id)
    subscriber.expect_nothing()  # once


@case("rule 4", "rule 2", over=VERSIONS, needs=NEEDS)
def sessions_that_are_not_stored_never_wait(t, version):
    disk = SlowDisk(t)
    disk.hold()
    subscriber = t.client("here", version)
    subscriber.subscribe("a", qos=2)
    publisher = t.client("publisher", version)
    for number in range(3):
        publisher.publish("a", b"%d" % number, qos=2)
        subscriber.message(payload=b"%d" % number, qos=2)
    subscriber.unsubscribe("a")
    subscriber.disconnect()
    disk.release()


# ---- Rule 5 ----

@case("rule 5", "MQTT-3.8.4-1", "MQTT-3.10.4-4", over=VERSIONS, needs=NEEDS)
def suback_and_unsuback_wait_for_the_disk(t, version):
    disk = SlowDisk(t)
    client = t.client("here", version, stored=True)
    disk.hold()
    client.send(mqtt.subscribe(version, 1, [("a", 1)]))
    waits(disk, client)
    client.expect(SUBACK, packet_id=1)
    disk.hold()
    client.send(mqtt.unsubscribe(version, 2, ["a"]))
    waits(disk, client)
    client.expect(UNSUBACK, packet_id=2)


def expect_connack(t, disk, version, present, **connect):
    """CONNACK waits for the disk. One worker: what it has done for this client, it has done when it
    has answered somebody else twice."""
    witness = t.client("witness")
    disk.hold()
    client = t.open(version)
    client.send(mqtt.connect(version, "here", **connect))
    disk.wait_for_sync()
    for _ in range(2):
        witness.expect_nothing()
    client.poll()
    packet = client.next_packet()
    checks.that(packet is None, f"before the disk has answered came {packet}")
    disk.release()
    connack = client.expect(CONNACK, reason=0)
    checks.equal("Session Present", connack.session_present, present)
    return client


def stored(version):
    return {"props": {"session_expiry_interval": 300}} if version == 5 else {}


@case("rule 5", "MQTT-3.1.4-5", over=VERSIONS, needs=NEEDS)
def the_connack_of_a_new_session_waits_for_the_disk(t, version):
    disk = SlowDisk(t, workers=1)
    expect_connack(t, disk, version, False, clean=False, **stored(version))


@case("rule 5", "MQTT-3.1.2-5", over=VERSIONS, needs=NEEDS)
def the_connack_of_a_resumed_session_waits_for_the_disk(t, version):
    disk = SlowDisk(t, workers=1)
    t.client("here", version, stored=True).disconnect()
    expect_connack(t, disk, version, True, clean=False, **stored(version))


@case("rule 5", "MQTT-3.1.2-4", over=VERSIONS, needs=NEEDS)
def a_connack_waits_for_the_end_of_the_old_session(t, version):
    disk = SlowDisk(t, workers=1)
    t.client("here", version, stored=True).disconnect()
    expect_connack(t, disk, version, False, clean=True)


@case("rule 5", "MQTT-3.1.2-7", over=VERSIONS, needs=NEEDS)
def a_connack_waits_for_the_will_also_of_a_session_that_is_not_stored(t, version):
    disk = SlowDisk(t, workers=1)
    expect_connack(t, disk, version, False, clean=True,
                   will={"topic": "will", "payload": b"gone", "qos": 1})


# ---- Rules 6 and 7 ----

@case("rule 6", "MQTT-3.3.1-5", "MQTT-3.3.1-6", over=EACH_QOS, needs=NEEDS)
def a_retained_change_waits_for_the_disk(t, version, qos):
    """Though it is owed to no session at all."""
    disk = SlowDisk(t)
    publisher = t.client("publisher", version)
    for content in (b"x", b""):
        disk.hold()
        packet_id = publisher.send_publish("state", content, qos, retain=True)
        waits(disk, publisher)
        publisher.expect(FIRST_ANSWER[qos], packet_id=packet_id)


@case("rule 7", "MQTT-4.6.0-2", "MQTT-4.6.0-3", over=VERSIONS, needs=NEEDS)
def acknowledgements_keep_the_order_of_their_publishes(t, version):
    """What need not wait is not answered before what must."""
    disk = SlowDisk(t)
    t.away("away", "owed", version=version, qos=2)
    publisher = t.client("publisher", version)
    disk.hold()
    sent = [("owed", 1), ("nobody", 1), ("owed", 2), ("nobody", 2), ("owed", 1), ("nobody", 1)]
    for packet_id, (topic, qos) in enumerate(sent, 1):
        publisher.send_publish(topic, b"x", qos, packet_id=packet_id)
    waits(disk, publisher)
    for packet_id, (_, qos) in enumerate(sent, 1):
        publisher.expect(FIRST_ANSWER[qos], packet_id=packet_id)


# ---- Rules 9 and 10 ----

@case("rule 9", over=VERSIONS, needs=NEEDS)
def what_waits_for_the_disk_does_not_reach_a_successor(t, version):
    """It was routed to a session that has ended since, and whose memory others have taken over."""
    disk = SlowDisk(t, workers=1)
    ended = t.client("here", version)
    ended.subscribe("a", qos=1)
    publisher = t.client("publisher", version, stored=True)
    disk.hold()
    publisher.send_publish("a", b"x", qos=2)
    disk.wait_for_sync()
    ended.disconnect()
    successors = [t.client("here", version)] + [t.client(f"other-{number}", version)
                                                for number in range(300)]
    disk.release()
    publisher.expect(PUBREC)
    for successor in successors:
        successor.expect_nothing()


@case("rule 10", "MQTT-3.3.1-9", "MQTT-3.3.1-5",
      over=[{"version": version, "qos": qos, "workers": workers} for version in (4, 5)
            for qos in (0, 1) for workers in (1, 4)], needs=NEEDS)
def who_subscribes_while_a_retained_message_waits_gets_it(t, version, qos, workers):
    """It was routed before the subscription and retained behind it; it must not fall in between."""
    disk = SlowDisk(t, workers=workers)
    publisher = t.client("publisher", version, stored=True)
    disk.hold()
    publisher.send_publish("state", b"x", qos=2, retain=True)
    disk.wait_for_sync()
    subscribers = [t.client(f"here-{number}", version) for number in range(6)]
    for subscriber in subscribers:
        subscriber.send(mqtt.subscribe(version, 1, [("state", qos)]))
        subscriber.expect_nothing()
    disk.release()
    publisher.expect(PUBREC)
    for subscriber in subscribers:
        packets = [subscriber.receive(), subscriber.receive()]
        packets.sort(key=lambda packet: packet.kind)
        checks.equal("kinds of packet", [packet.kind for packet in packets], [PUBLISH, SUBACK])
        checks.equal("message", (packets[0].topic, packets[0].payload, packets[0].qos,
                                 packets[0].retain), ("state", b"x", qos, True))
        subscriber.answer(packets[0])
        subscriber.expect_nothing()


@case("rule 5", "rule 10", "MQTT-3.3.1-9", over={"workers": (1, 4)}, needs=NEEDS)
def a_retained_message_that_waited_is_owed_when_suback_says_so(t, workers):
    disk = SlowDisk(t, workers=workers)
    publisher = t.client("publisher", stored=True)
    subscribers = [t.client(f"away-{number}", stored=True) for number in range(6)]
    disk.hold()
    publisher.send_publish("state", b"x", qos=2, retain=True)
    disk.wait_for_sync()
    for subscriber in subscribers:
        subscriber.send(mqtt.subscribe(5, 1, [("state", 1)]))
    disk.release()
    for subscriber in subscribers:
        subscriber.find(SUBACK)
    t.broker.kill_and_restart()
    for number in range(6):
        back = t.back(f"away-{number}")
        back.message(topic="state", payload=b"x", retain=True)
        back.expect_nothing()


@case("MQTT-3.1.2-8", "MQTT-3.1.2-10", "MQTT-4.3.1-1", over={"qos": (0, 1), "workers": (1, 4)},
      needs=NEEDS)
def a_will_reaches_nobody_before_it_is_forgotten(t, qos, workers):
    """A kill before that has it published by the next start: nobody may have had it already."""
    disk = SlowDisk(t, workers=workers)
    watcher = t.client("watcher")
    watcher.subscribe("will", qos=1)
    mortal = t.client("mortal", stored=True, will={"topic": "will", "payload": b"x", "qos": qos})
    disk.hold()
    mortal.close()
    disk.wait_for_sync()
    watcher.expect_nothing()
    disk.release()
    watcher.message(topic="will", payload=b"x", qos=qos)
    watcher.expect_nothing()


# ---- Rule 12 ----

@case("MQTT-3.1.2-10", "rule 16", needs=NEEDS, timeout=60)
def a_will_is_published_and_forgotten_in_one_transaction(t):
    """Of more at once than one batch holds; a kill finds a part of them on the disk."""
    disk = SlowDisk(t)
    t.away("watcher", "will/#", qos=1)
    count = 300
    mortals = [t.client(f"mortal-{number}", stored=True,
                        will={"topic": f"will/{number}", "payload": bytes(65000), "qos": 1})
               for number in range(count)]
    disk.hold()
    t.broker.pause()
    for mortal in mortals:
        mortal.close()
    t.broker.resume()
    disk.wait_for_sync()
    t.broker.kill()
    disk.release()
    t.broker.start()
    watcher = t.back("watcher")
    published = [watcher.message().topic for _ in range(count)]
    checks.equal("wills", sorted(published), sorted(f"will/{number}" for number in range(count)))
    watcher.expect_nothing()


@case("rule 12", over=EACH_QOS, needs=NEEDS)
def durability_flush_acknowledges_at_once(t, version, qos):
    disk = SlowDisk(t, sqlite={"durability": b"flush", "flush_mem_threshold": 1})
    t.away("away", "a", version=version, qos=qos)
    publisher = t.client("publisher", version, stored=True)
    disk.hold()
    for number in range(3):
        publisher.publish("a", b"%d" % number, qos)
        disk.wait_for_sync()
    publisher.publish("state", b"x", qos, retain=True)
    publisher.subscribe("a", qos=1)
    t.client("new", version, stored=True)
    disk.release()


@case("rule 12", "rule 20", over=EACH_QOS, needs=NEEDS)
def durability_flush_pushes_back_when_the_disk_lags(t, version, qos):
    """Four times flush_mem_threshold are acknowledged before they are written, and no more."""
    threshold, count = 5, 60
    disk = SlowDisk(t, sqlite={"durability": b"flush", "flush_mem_threshold": threshold})
    t.away("away", "a", version=version, qos=qos)
    here = t.client("here", version)
    here.subscribe("b", qos=1)
    publisher = t.client("publisher", version)
    disk.hold()
    for number in range(count):
        publisher.send_publish("a", b"%d" % number, qos, packet_id=number + 1)
    disk.wait_for_sync()
    came = len(publisher.settle())
    checks.that(came <= 4 * threshold, f"{came} acknowledged, {threshold} start a flush")
    other = t.client("other", version)  # nobody else is disturbed
    other.publish("b", b"y", qos=1)
    here.message(payload=b"y")
    disk.release()
    for number in range(came, count):
        publisher.find(FIRST_ANSWER[qos], packet_id=number + 1, reason=0)
    back = t.back("away", version)
    checks.equal("messages", checks.payloads(back.messages(count)),
                 [b"%d" % number for number in range(count)])


@case("rule 20", "rule 21", timeout=60, needs=NEEDS)
def what_was_left_for_mail_and_then_for_the_disk_is_looked_at(t):
    """Its publisher says nothing more, and is answered once the disk has caught up."""
    disk = SlowDisk(t, broker={"workers": 2, "mailbox_size": 1})
    for number in range(4):
        t.away(f"away-{number}", "a", version=4, qos=1)
    filler = t.client("filler", 4)
    publishers = [t.client(f"publisher-{number}", 4) for number in range(60)]
    disk.hold()
    for number in range(66):  # of 64 MiB, above which publishers are not read
        filler.send(mqtt.publish(4, "a", b"x" * 1000000, 1, number + 1))
    filler.settle()
    for publisher in publishers:  # nothing is looked at behind the first, which fills the mail
        publisher.send(b"".join(mqtt.publish(4, "a", b"x" * 20000, 1, packet_id)
                                for packet_id in (1, 2)))
    disk.wait_for_sync()
    t.pass_time(1)
    disk.release()
    for publisher in publishers:
        publisher.expect(PUBACK, packet_id=1)
        publisher.expect(PUBACK, packet_id=2)
