"""Rules 10 to 12: when a flush starts, what the other durabilities promise, retained against live."""

import os
import stat
import time
from collections import Counter

import checks
import mqtt_packet as mqtt
import store
from case import case
from mqtt_packet import PUBACK, PUBLISH, PUBREC, PUBREL, SUBACK
from mqtt_session import Publisher, Subscriber

VERSIONS = {"version": (4, 5)}
MARKER = b"a payload that is easy to find "


def is_on_disk(t, words):
    """Whether any file of the store holds these bytes."""
    for name in os.listdir(t.broker.store):
        if name.endswith(".sock"):
            continue  # no file
        with open(os.path.join(t.broker.store, name), "rb") as file:
            if words in file.read():
                return True
    return False


@case("5.4.2")
def what_is_stored_is_its_owners_alone(t):
    """Whatever umask and directory allow: who may not read over MQTT may not read the files."""
    previous = os.umask(0o022)
    try:
        t.start()
    finally:
        os.umask(previous)
    t.client("someone", 5, clean=False).publish("kept", MARKER, qos=1, retain=True, packet_id=1)
    names = os.listdir(t.broker.store)
    checks.that("holdfast.db" in names and "holdfast.db-wal" in names, f"files: {names}")
    for name in names:
        checks.equal(f"mode of {name}",
                     stat.S_IMODE(os.stat(os.path.join(t.broker.store, name)).st_mode), 0o600)


@case("rule 10", "MQTT-3.3.1-9", "MQTT-3.8.4-4", over={"qos": (1, 2), "workers": (1, 4)},
      timeout=60)
def a_new_subscription_sees_the_retained_message_and_all_behind_it(t, qos, workers):
    """A counter is published as retained in one burst while readers subscribe: each sees one value
    and then all that follow, none older behind a newer one, and none left out."""
    t.start(workers=workers)
    publisher = t.client("publisher", 4)
    readers = [t.client(f"reader-{number}") for number in range(12)]
    last = 0
    publisher.publish("counter", b"0", qos=1, retain=True, packet_id=1000)
    for _ in range(20):
        first, last = last + 1, last + 150
        publisher.send(b"".join(
            mqtt.publish(4, "counter", b"%d" % number, qos, number - first + 1, retain=True)
            for number in range(first, last + 1)))
        for reader in readers:
            reader.send(mqtt.subscribe(5, 1, [("counter", 0)]))
        for packet_id in range(1, last - first + 2):
            publisher.find(PUBACK if qos == 1 else PUBREC, packet_id=packet_id)
            if qos == 2:
                publisher.acknowledge(PUBREL, packet_id)
        publisher.publish("counter", b"%d" % last, qos, packet_id=1000)
        for reader in readers:
            reader.find(SUBACK)
            numbers = [int(packet.payload) for packet in reader.settle()
                       if packet.kind == PUBLISH]
            checks.that(numbers and numbers[-1] == last, f"the last of {first} to {last} is "
                                                         f"{numbers[-1:]}")
            for before, after in zip(numbers, numbers[1:]):
                # The one that was retained may come as a live one too.
                checks.one_of(f"what follows {before}", after, (before, before + 1))
            reader.unsubscribe("counter")


@case("rule 11", "rule 1", over=VERSIONS)
def what_somebody_waits_for_is_flushed_at_once(t, version):
    """Not after flush_interval, not at flush_mem_threshold, and not after commit_delay."""
    t.holdfast_only("flush_interval")
    t.start(sqlite={"flush_interval": 60000, "flush_mem_threshold": 1000000, "commit_delay": 1000})
    t.away("away", "a", version=version, qos=2)
    publisher = t.client("publisher", version, stored=True)
    started = time.monotonic()
    for qos in (1, 2) * 5:
        publisher.publish("a", b"x", qos)
        publisher.publish("state", b"x", qos, retain=True)
    elapsed = time.monotonic() - started
    checks.that(elapsed < 4, f"20 exchanges took {elapsed:.1f} s")
    t.broker.kill_and_restart()
    checks.equal("messages", len(t.back("away", version).messages(10)), 10)


@case("rule 11", over={"version": (4, 5), "qos": (1, 2)})
def what_waits_for_connected_sessions_alone_is_flushed_soon(t, version, qos):
    """A stored, connected subscriber that does not answer holds nobody up."""
    t.start()
    subscriber = t.client("here", version, stored=True)
    subscriber.subscribe("a", qos=qos)
    publisher = t.client("publisher", version)
    started = time.monotonic()
    for number in range(20):
        publisher.publish("a", b"%d" % number, qos)
    elapsed = time.monotonic() - started
    checks.that(elapsed < 5, f"20 acknowledgements took {elapsed:.1f} s")


@case("rule 11", over=VERSIONS)
def what_everybody_has_acknowledged_in_time_is_never_written(t, version):
    """commit_delay waits for connected sessions at QoS 1; their acknowledgements save the disk."""
    t.holdfast_only("commit_delay")
    t.start(sqlite={"commit_delay": 1000})
    client = t.client("here", version, stored=True)
    client.subscribe("a", qos=1)
    publisher = t.client("publisher", version)
    for number in range(20):
        packet_id = publisher.send_publish("a", MARKER + b"%d" % number, qos=1)
        client.message(payload=MARKER + b"%d" % number)
        publisher.find(PUBACK, packet_id=packet_id)
    checks.that(not is_on_disk(t, MARKER), "a message that nobody is owed any more was written")


@case("rule 12", over=VERSIONS)
def durability_flush_acknowledges_without_writing(t, version):
    t.holdfast_only("durability")
    t.start(sqlite={"durability": b"flush", "flush_interval": 60000,
                    "flush_mem_threshold": 1000000})
    t.away("away", "a", version=version, qos=2)
    publisher = t.client("publisher", version)
    for qos in (1, 2):
        publisher.publish("a", MARKER, qos)
    checks.that(not is_on_disk(t, MARKER), "written before it was acknowledged")
    checks.equal("messages", len(t.back("away", version).messages(2)), 2)


@case("rule 12", "rule 8", over=VERSIONS)
def durability_flush_hides_nothing_from_a_session_that_returns(t, version):
    """A backlog too large for memory is read back before it was due to be written."""
    t.holdfast_only("durability")
    t.start(sqlite={"durability": b"flush", "flush_interval": 60000,
                    "flush_mem_threshold": 1000000})
    t.away("away", "a", version=version, qos=1)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for number in range(6000):
        publisher.add("a", b"%d " % number + b"x" * 4000, 1)
    publisher.run()
    subscriber = Subscriber()
    subscriber.attach(t.back("away", version))
    subscriber.receive(6000)
    checks.equal("messages", [int(payload.split()[0]) for payload in subscriber.payloads()],
                 list(range(6000)))


@case("rule 12", over=VERSIONS)
def durability_flush_bounds_the_loss_by_the_interval(t, version):
    t.holdfast_only("durability")
    t.start(sqlite={"durability": b"flush", "flush_interval": 100})
    t.away("away", "a", version=version, qos=1)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for number in range(200):
        publisher.add("a", b"%d" % number, 1)
    publisher.run()
    t.pass_time(1)
    for number in range(200, 400):
        publisher.add("a", b"%d" % number, 1)
    publisher.run()
    t.broker.kill_and_restart()
    subscriber = Subscriber()
    subscriber.attach(t.back("away", version))
    t.client("publisher", version).publish("a", b"-1", qos=1)
    subscriber.receive_until(b"-1")
    came = [int(payload) for payload in subscriber.payloads()][:-1]
    checks.equal("messages, as a prefix", came, list(range(len(came))))
    checks.that(len(came) >= 200, f"only {len(came)} of 200 that were a second old survived")


@case("rule 12", over=VERSIONS)
def durability_flush_loses_nothing_at_a_graceful_stop(t, version):
    t.holdfast_only("durability")
    t.start(sqlite={"durability": b"flush", "flush_interval": 60000,
                    "flush_mem_threshold": 1000000})
    t.away("away", "a", version=version, qos=1)
    publisher = t.client("publisher", version)
    for number in range(50):
        publisher.publish("a", b"%d" % number, qos=1)
    t.broker.stop_and_restart()
    checks.equal("messages", len(t.back("away", version).messages(50)), 50)


@case("rule 12", over=VERSIONS)
def durability_none_keeps_sessions_in_memory_and_writes_no_file(t, version):
    t.holdfast_only("durability")
    t.start(sqlite={"durability": b"none"})
    t.away("away", "a", version=version, qos=2)
    publisher = t.client("publisher", version)
    for number in range(200):
        publisher.publish("a", b"%d" % number, qos=2)
    came = t.back("away", version).messages(200)
    checks.equal("messages", checks.payloads(came), [b"%d" % number for number in range(200)])
    checks.equal("files", os.listdir(t.broker.store), [])
    t.broker.kill_and_restart()
    again = t.client("away", version, stored=True)
    checks.equal("Session Present", again.connack.session_present, False)


@case("rule 14", "rule 1")
def the_database_is_whole_after_every_kill(t):
    """SQLite's own check, and each body has somebody it is owed to."""
    t.holdfast_only("the database")
    t.start()
    t.away("one", "a/#", qos=1)
    t.away("two", "a/b", qos=2)
    for turn in range(8):
        publisher = Publisher()
        publisher.attach(t.client("publisher", stored=True))
        for number in range(200):
            publisher.add("a/b" if number % 2 else "a/c", b"%d" % number, 1 + number % 2)
        while len(publisher.acknowledged) < 20 * turn:
            publisher.step()
        t.broker.kill()
        checks.equal("integrity", store.query(t.broker.store, "PRAGMA integrity_check"), [("ok",)])
        needed = Counter(number for _, number, body, _ in store.owed(t.broker.store)
                         if body == store.SHARED)
        counted = store.query(t.broker.store, "SELECT number, owed FROM message")
        checks.equal("who needs each body", dict(counted), dict(needed))
        t.broker.start()
