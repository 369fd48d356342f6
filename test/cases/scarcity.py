"""Promises 5 and 7, rule 13: a full disk, a full store, no descriptors left; and the way back."""

import resource
import time

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK, PUBACK
from mqtt_wire import DEADLINE_S, Closed
from small_disk import SmallDisk

MEGABYTE = 1 << 20


def limit(t, what, value):
    """Sets a soft limit of the running broker."""
    _, hard = resource.prlimit(t.broker.process.pid, what)
    resource.prlimit(t.broker.process.pid, what, (value, hard))


def fill_disk(t):
    """From here on no file of the broker grows: writes fail as on a full disk."""
    limit(t, resource.RLIMIT_FSIZE, 4096)


def free_disk(t):
    limit(t, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)


def try_publish(t, version, payload):
    """True: acknowledged; False: refused in the way of the version; None: no answer yet."""
    client = t.client("publisher", version)
    try:
        packet_id = client.send_publish("a", payload, qos=1)
        answer = client.find(PUBACK, timeout=0.5, packet_id=packet_id)
    except Closed:
        return False
    except AssertionError:
        return None
    finally:
        client.close()
    if answer.reason >= 0x80:
        checks.one_of("Reason Code", answer.reason, (0x97, 0x80, 0x83))
        return False
    return True


def await_verdict(t, version, wanted, acknowledged):
    deadline = time.monotonic() + DEADLINE_S
    number = 0
    while time.monotonic() < deadline:
        payload = b"%d of %d" % (number, len(acknowledged))
        verdict = try_publish(t, version, payload)
        if verdict:
            acknowledged.append(payload)
        if verdict is wanted:
            return
        number += 1
    raise AssertionError(f"publishes were never {'acknowledged' if wanted else 'refused'}")


@case("promise 7", "rule 13", over={"version": (4, 5)}, timeout=60)
def a_full_disk_refuses_and_heals(t, version):
    t.holdfast_only("disk_stall_limit")
    t.start(sqlite={"disk_stall_limit": 500})
    t.away("away", "a", version=version, qos=1)
    acknowledged = []
    await_verdict(t, version, True, acknowledged)
    fill_disk(t)
    await_verdict(t, version, False, acknowledged)
    other = t.client("other", version)  # QoS 0 goes on
    other.subscribe("b", qos=0)
    other.publish("b", b"x")
    other.message(payload=b"x")
    free_disk(t)
    await_verdict(t, version, True, acknowledged)
    t.broker.kill_and_restart()
    came = checks.payloads(t.back("away", version).settle())
    missing = [payload for payload in acknowledged if payload not in came]
    checks.equal("acknowledged and lost", missing, [])


@case("promise 7", "rule 13", needs=("mkfs.ext4",), timeout=60)
def a_full_file_system_refuses_and_heals(t):
    t.holdfast_only("disk_stall_limit")
    disk = SmallDisk(t)
    t.start(sqlite={"disk_stall_limit": 500, "mounted_file_path": disk.path})
    t.away("away", "a", qos=1)
    acknowledged = []
    await_verdict(t, 5, True, acknowledged)
    for kill in (False, True):
        disk.fill()
        await_verdict(t, 5, False, acknowledged)
        checks.that("no space left" in t.broker.log(), "the log does not say why")
        if kill:  # what is acknowledged is on the disk that is full
            t.broker.kill()
        disk.free()
        if kill:
            t.broker.start()
        await_verdict(t, 5, True, acknowledged)
    t.broker.kill_and_restart()
    came = checks.payloads(t.back("away").settle())
    missing = [payload for payload in acknowledged if payload not in came]
    checks.equal("acknowledged and lost", missing, [])


@case("promise 7", "rule 13")
def what_waits_when_the_disk_is_full_is_acknowledged_when_it_is_not(t):
    t.holdfast_only("disk_stall_limit")
    t.start(sqlite={"disk_stall_limit": 60000})
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    fill_disk(t)
    ids = [publisher.send_publish("a", b"%d" % number, qos=1) for number in range(10)]
    t.pass_time(0.5)
    publisher.expect_nothing()
    free_disk(t)
    for packet_id in ids:
        publisher.expect(PUBACK, packet_id=packet_id, reason=0)
    t.broker.kill_and_restart()
    checks.equal("messages", checks.payloads(t.back("away").messages(10)),
                 [b"%d" % number for number in range(10)])


@case("promise 5", "rule 22", over={"version": (4, 5)})
def a_full_store_refuses_and_says_so(t, version):
    t.holdfast_only("disk_cache_size")
    t.start(sqlite={"disk_cache_size": 20})
    for number in range(10):  # none has more than its share
        t.away(f"away-{number}", f"a/{number}", version=version, qos=1)
    publisher = t.client("publisher", version)
    told, stored = 0, []
    for number in range(40):
        packet_id = publisher.send_publish(f"a/{number % 10}", b"%d" % number, qos=1)
        try:
            answer = publisher.find(PUBACK, packet_id=packet_id)
        except Closed:
            publisher = t.client("publisher", version)
            told += 1
            continue
        if answer.reason == 0:
            stored.append(b"%d" % number)
        else:
            told += 1
    checks.that(told >= 15, f"only {told} of some 20 refusals were told")
    came = [payload for number in range(10)
            for payload in checks.payloads(t.back(f"away-{number}", version).settle())]
    checks.equal("messages", sorted(came), sorted(stored))
    checks.that(18 <= len(came) <= 25, f"{len(came)} were stored where 20 are allowed")
    said = [line for line in t.broker.log().splitlines() if "publisher" in line and "store" in line]
    checks.that(said, "the log does not say that the store refuses messages")


@case("promise 7", "issue: bad input", timeout=60)
def without_descriptors_the_broker_lives_and_recovers(t):
    t.start()
    first = t.client("first")
    first.subscribe("a", qos=1)
    limit(t, resource.RLIMIT_NOFILE, 60)
    clients = []
    for number in range(120):
        client = t.open()
        clients.append(client)
        try:
            client.send(mqtt.connect(5, f"client-{number}", True))
        except Closed:
            pass
    first.publish("a", b"x", qos=1)
    first.message(payload=b"x")
    for client in clients:
        client.close()
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            t.client("late", keep_alive=0).expect_nothing()
            return
        except (Closed, OSError):
            checks.that(time.monotonic() < deadline, "the broker never recovers")


@case("promise 7", "issue: bad input", timeout=60)
def without_the_reserve_either_whoever_connects_waits(t):
    """RLIMIT_NOFILE below every number in use: closing one makes no room for another."""
    t.start()
    neighbour = t.client("neighbour")
    neighbour.subscribe("a", qos=1)
    t.await_line("connection lost")  # of who looked whether the broker is there: nobody else waits
    soft, _ = resource.prlimit(t.broker.process.pid, resource.RLIMIT_NOFILE)
    limit(t, resource.RLIMIT_NOFILE, 3)
    waiting = t.open()
    waiting.send(mqtt.connect(5, "waiting", True))
    before = t.broker.cpu_s()
    t.await_line("whoever connects waits", count=3)  # a worker looks again once a second
    used_s = t.broker.cpu_s() - before
    checks.that(used_s < 0.5, f"{used_s} s of processor time")
    checks.that(len(t.lines_about("whoever connects waits")) <= 5, "the log is flooded")
    neighbour.publish("a", b"x", qos=1)
    neighbour.message(payload=b"x")
    limit(t, resource.RLIMIT_NOFILE, soft)
    waiting.expect(CONNACK, reason=0)
