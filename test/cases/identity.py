"""Rules 5 and 9: who a session belongs to, takeover, and what a successor must not inherit."""

import threading

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK, PUBLISH, SUBACK
from mqtt_session import Publisher
from mqtt_wire import Closed

VERSIONS = {"version": (4, 5)}


@case("MQTT-3.1.4-3", over={"version": (3, 4, 5), "workers": (1, 4)})
def a_second_connection_takes_the_session_over(t, version, workers):
    t.start(workers=workers)
    first = t.client("one", version, stored=True)
    first.subscribe("a", qos=1)
    for _ in range(10):
        second = t.back("one", version)
        first.expect_disconnect(0x8E)
        first = second
    t.client("publisher", version).publish("a", b"x", qos=1)
    first.message(payload=b"x")


@case("MQTT-3.1.4-3", "MQTT-4.4.0-1", "rule 9", over={"version": (4, 5), "workers": (1, 4)})
def a_takeover_in_mid_flood_loses_nothing(t, version, workers):
    t.start(workers=workers)
    t.away("one", "a", version=version, qos=1)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for number in range(2000):
        publisher.add("a", b"%d" % number, 1)
    came, reader = [], None
    while not came or came[-1] != b"1999":
        taken_over = reader
        reader = t.back("one", version)
        if taken_over is not None:
            taken_over.close()
        for _ in range(100):
            if publisher.queue or publisher.flight:
                publisher.step()
            packet = reader.receive()
            came.append(packet.payload)
            reader.answer(packet)
            if packet.payload == b"1999":
                break
    checks.at_least_once_in_order("messages", came, [b"%d" % n for n in range(2000)])


@case("MQTT-3.1.4-3", "rule 9", over={"workers": (1, 4)}, timeout=60)
def a_storm_of_takeovers_leaves_one_connection_and_one_session(t, workers):
    t.start(workers=workers)
    t.away("one", "a", qos=1)
    survivors = []

    def connect_often():
        for _ in range(40):
            client = t.open()
            try:
                client.connect("one", stored=True)
                survivors.append(client)
            except Closed:
                pass  # somebody was faster
            except AssertionError as error:
                if "DISCONNECT" not in str(error):
                    failures.append(error)

    failures = []
    threads = [threading.Thread(target=connect_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checks.equal("failures", failures, [])
    alive = []
    for client in survivors:
        try:
            client.settle()
            alive.append(client)
        except AssertionError:
            pass
    checks.equal("connections left", len(alive), 1)
    checks.equal("Session Present", alive[0].connack.session_present, True)
    t.client("publisher").publish("a", b"x", qos=1)
    alive[0].message(payload=b"x")


@case("rule 9", "MQTT-3.1.2-4", over={"version": (4, 5), "workers": (1, 4)}, timeout=60)
def nothing_published_to_an_ended_session_reaches_its_successor(t, version, workers):
    """While a flood goes on for its predecessor, a new session subscribes to something else."""
    t.start(workers=workers)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for turn in range(30):
        t.away("one", "flood", version=version, qos=1)
        for number in range(100):
            publisher.add("flood", b"%d" % number, 1)
        while publisher.queue:
            publisher.step()
        successor = t.client("one", version, stored=True, clean=True)
        checks.equal("Session Present", successor.connack.session_present, False)
        publisher.run()
        successor.subscribe("own", qos=1)
        publisher.client.publish("own", b"%d" % turn, qos=1, packet_id=65535)
        successor.message(topic="own", payload=b"%d" % turn)
        successor.disconnect()
    t.client("one", version, clean=True).disconnect()
    t.await_empty_store()
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 9", "MQTT-3.1.2-4", over={"qos": (0, 1)}, timeout=60)
def what_is_on_its_way_between_workers_does_not_reach_a_successor(t, qos):
    """Floods wait in small mailboxes while all the sessions they are meant for end at once, and as
    many others take their places, in the broker's memory too."""
    t.start(**({"broker": {"workers": 2, "mailbox_size": 1}}
               if t.dialect.name == "holdfast" else {}))
    flooders = [t.client(f"flooder-{number}", 4) for number in range(4)]
    burst = b"".join(mqtt.publish(4, "flood", b"x", qos, number if qos else None)
                     for number in range(1, 201))
    names = [f"one-{number}" for number in range(400)]
    for _ in range(3):
        victims = [t.client(name) for name in names]
        for victim in victims:
            victim.send(mqtt.subscribe(5, 1, [("flood", qos)]))
        for victim in victims:
            victim.expect(SUBACK)
        successors = [t.open() for _ in names]
        for flooder in flooders:
            flooder.send(burst)
        for name, successor in zip(names, successors):
            successor.send(mqtt.connect(5, name, True))
        for successor in successors:
            successor.expect(CONNACK, reason=0, session_present=False)
        for flooder in flooders:
            flooder.settle()
        for successor in successors:
            successor.expect_nothing()
        for client in victims + successors:
            client.close()


@case("rule 9", "rule 8", timeout=60)
def what_is_owed_to_a_session_that_ends_meanwhile_is_not_left_behind(t):
    """Stored sessions end while other workers are recording what is owed to them."""
    t.start(**({"broker": {"workers": 4, "mailbox_size": 1}}
               if t.dialect.name == "holdfast" else {}))
    flooders = [t.client(f"flooder-{number}", 4) for number in range(6)]
    burst = b"".join(mqtt.publish(4, "flood", b"x", 1, number) for number in range(1, 51))
    names = [f"one-{number}" for number in range(30)]
    for _ in range(20):
        victims = [t.client(name, stored=True, clean=True) for name in names]
        for victim in victims:
            victim.send(mqtt.subscribe(5, 1, [("flood", 1)]))
        for victim in victims:
            victim.expect(SUBACK)
        successors = [t.open() for _ in names]
        for flooder in flooders:
            flooder.send(burst)
        for name, successor in zip(names, successors):
            successor.send(mqtt.connect(5, name, True))
        for flooder in flooders:
            flooder.settle()
        for successor in successors:
            successor.expect(CONNACK, reason=0, session_present=False)
        for client in victims + successors:
            client.close()
    t.await_empty_store()
    t.broker.stop()
    t.check_store_is_empty()


@case("rule 9", "MQTT-3.1.2-4")
def nothing_of_an_ended_session_comes_back_with_a_kill(t):
    t.start()
    t.away("one", "flood", qos=2)
    publisher = t.client("publisher")
    for number in range(50):
        publisher.publish("flood", b"%d" % number, qos=2)
    t.client("one", stored=True, clean=True).subscribe("own", qos=1)
    t.broker.kill_and_restart()
    successor = t.back("one")
    publisher = t.client("publisher")
    publisher.publish("flood", b"x", qos=2)
    t.silence(successor, publisher, "own")
    successor.unsubscribe("own")
    successor.disconnect()
    t.await_empty_store()
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-3.1.2-6", over=VERSIONS)
def what_a_session_that_ended_left_is_deleted(t, version):
    t.start()
    for name in ("one", "two"):
        t.away(name, "a", version=version, qos=1)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for number in range(3000):
        publisher.add("a", b"%d" % number, 1)
    publisher.run()
    for name in ("one", "two"):
        t.client(name, version, clean=True).disconnect()
    t.broker.stop_and_restart()  # an interrupted deletion goes on
    t.check_health()
    t.await_empty_store()
    t.broker.stop()
    t.check_store_is_empty()


@case("MQTT-3.1.4-2", "MQTT-3.2.2-7",
      over=[{"version": 4, "killed": False, "clean": True},
            {"version": 5, "killed": True, "clean": True},
            {"version": 5, "killed": False, "clean": False}],
      long_over={"version": (4, 5), "killed": (False, True), "clean": (False, True)})
def another_identity_can_neither_resume_nor_end_a_session(t, version, killed, clean):
    t.holdfast_only("the owner of a session")
    t.start(tls=True, client_certificate=b"required", listener={"allow_anonymous": True})
    contexts = {name: t.authority.context(*t.authority.client(t.directory, name))
                for name in ("alice", "bob")}
    owner = t.client("device", version, "tls", tls=contexts["alice"], stored=True)
    owner.subscribe("a", qos=1)
    owner.disconnect()
    if killed:
        t.broker.kill_and_restart()
    t.client("publisher", version).publish("a", b"x", qos=1)
    strangers = (t.open(version, "tls", tls=contexts["bob"]), t.open(version, "tcp"))
    props = {"session_expiry_interval": 3600} if version == 5 else ()
    for stranger in strangers:
        stranger.send(mqtt.connect(version, "device", clean, props=props))
        stranger.expect(CONNACK, reason=0x87 if version == 5 else 5, session_present=False)
        stranger.expect_close()
    owner = t.client("device", version, "tls", tls=contexts["alice"], stored=True)
    checks.equal("Session Present", owner.connack.session_present, True)
    owner.message(payload=b"x")


@case("MQTT-3.1.4-2")
def another_identity_does_not_take_a_connection_over(t):
    t.holdfast_only("the owner of a session")
    t.start(tls=True, client_certificate=b"required")
    context = t.authority.context(*t.authority.client(t.directory, "alice"))
    owner = t.client("device", 5, "tls", tls=context, stored=True)
    stranger = t.open(5, "tcp")
    stranger.send(mqtt.connect(5, "device", True))
    stranger.expect(CONNACK, reason=0x87)
    stranger.expect_close()
    owner.expect_nothing()


@case("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16", over={"workers": (1, 4)})
def an_empty_client_identifier_is_assigned_one_that_can_be_used(t, workers):
    t.start(workers=workers)
    assigned = set()
    for _ in range(20):
        client = t.client("", clean=False, expiry=300)
        checks.equal("Session Present", client.connack.session_present, False)
        assigned.add(client.connack.props["assigned_client_identifier"])
        client.subscribe("a", qos=1)
        client.close()
    checks.equal("different identifiers", len(assigned), 20)
    t.client("publisher").publish("a", b"x", qos=1)
    for client_id in assigned:
        t.back(client_id).message(payload=b"x")


@case("MQTT-3.1.3-6", "MQTT-3.1.3-8")
def an_empty_client_identifier_in_3_1_1_needs_a_clean_session(t):
    t.start()
    t.client("", 4, clean=True).expect_nothing()
    client = t.open(4)
    client.send(mqtt.connect(4, "", clean=False))
    client.expect(CONNACK, reason=2, session_present=False)
    client.expect_close()
    t.check_health()


@case("MQTT-3.1.3-5", "MQTT-3.1.3-2", over={"version": (3, 4, 5)})
def client_identifiers_are_told_apart_byte_by_byte(t, version):
    t.start()
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = [letters[:23], letters[23:46], letters[39:], "a", "A", "\u00e9", "e\u0301", "a/b#+"]
    for number, name in enumerate(names):
        t.away(name, f"to/{number}", version=version)
    publisher = t.client("publisher", version)
    for number in range(len(names)):
        publisher.publish(f"to/{number}", b"x", qos=1)
    for number, name in enumerate(names):
        client = t.back(name, version)
        checks.equal(f"topics of {name}",
                     [packet.topic for packet in client.settle() if packet.kind == PUBLISH],
                     [f"to/{number}"])
