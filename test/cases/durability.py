"""Rules 10 to 12: when a flush starts, what the other durabilities promise, retained against live."""

import os
import time

import checks
import store
from case import case
from mqtt_packet import PUBACK
from mqtt_session import Publisher, Subscriber

VERSIONS = {"version": (4, 5)}
MARKER = b"a payload that is easy to find "


def is_on_disk(t, words):
    """Whether any file of the store holds these bytes."""
    for name in os.listdir(t.broker.store):
        with open(os.path.join(t.broker.store, name), "rb") as file:
            if words in file.read():
                return True
    return False


@case("rule 10", "MQTT-3.3.1-9", "MQTT-3.8.4-4", over={"version": (4, 5), "workers": (1, 4)})
def a_new_subscription_never_sees_an_older_retained_message_behind_a_live_one(t, version, workers):
    """A counter is published as retained without a pause while subscriptions come and go."""
    t.start(workers=workers)
    publisher = Publisher(window=10)
    publisher.attach(t.client("publisher", version))
    for number in range(3000):
        publisher.add("counter", b"%d" % number, 1, retain=True)
    turn = 0
    while publisher.queue:
        for _ in range(5):
            publisher.step()
        reader = t.client(f"reader-{turn}", version)
        reader.subscribe("counter", qos=1)
        for _ in range(5):
            publisher.step()
        numbers = [int(packet.payload) for packet in reader.settle()]
        for before, after in zip(numbers, numbers[1:]):
            # The retained message may also come as a live one; nothing older follows, nothing
            # is left out.
            checks.one_of(f"what follows {before}", after, (before, before + 1))
        reader.close()
        turn += 1
    checks.that(turn > 5, "the publisher was done too soon")


@case("rule 11", "rule 1", over=VERSIONS)
def what_somebody_waits_for_is_flushed_at_once(t, version):
    """Not after flush_interval, not at flush_mem_threshold."""
    t.holdfast_only("flush_interval")
    t.start(sqlite={"flush_interval": 60000, "flush_mem_threshold": 1000000})
    t.away("away", "a", version=version, qos=2)
    publisher = t.client("publisher", version, stored=True)
    started = time.monotonic()
    for qos in (1, 2):
        publisher.publish("a", b"x", qos)
    publisher.publish("state", b"x", qos=1, retain=True)
    elapsed = time.monotonic() - started
    checks.that(elapsed < 5, f"three acknowledgements took {elapsed:.1f} s")
    t.broker.kill_and_restart()
    checks.equal("messages", len(t.back("away", version).messages(2)), 2)


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
        orphans = store.query(t.broker.store, "SELECT count(*) FROM message WHERE number NOT IN "
                                              "(SELECT number FROM owed)")
        checks.equal("bodies owed to nobody", orphans, [(0,)])
        missing = store.query(t.broker.store, "SELECT count(*) FROM owed WHERE state <> 2 AND "
                                              "number NOT IN (SELECT number FROM message)")
        checks.equal("rows without a body", missing, [(0,)])
        t.broker.start()
