"""What can happen to the disk, the store's files and the clock: rules 13, 17 and 18. See
docs/failures.md, which says the same to an operator."""

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing

import checks
import preload
import store
from case import case
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqtt_session import Publisher
from small_disk import SmallDisk

PAGE = 4096
DAY_S = 86400


# ---- The directory and its files, while the broker runs ----

def numbered(count, first=0):
    return [b"%d" % number for number in range(first, first + count)]


def publish_all(publisher, topic, payloads, qos=1):
    for payload in payloads:
        publisher.publish(topic, payload, qos)


def displace(t, what):
    """Returns what undoes it; None when nothing does."""
    store, aside = t.broker.store.rstrip("/"), os.path.join(t.directory, "aside")
    database = os.path.join(store, "holdfast.db")
    if what == "removed":
        shutil.rmtree(store)
        return None
    if what == "replaced":  # by a copy, as a backup is put back
        os.rename(database, aside)
        shutil.copy(aside, database)
        return lambda: os.rename(aside, database)
    moved = {"renamed": store, "moved": database, "its log moved": database + "-wal"}[what]
    os.rename(moved, aside)
    return lambda: os.rename(aside, moved)


@case("promise 1", "rule 18", over={"what": ("removed", "renamed", "moved", "its log moved",
                                             "replaced")})
def nothing_is_acknowledged_into_a_store_that_is_not_there(t, what):
    t.holdfast_only("a store that notices")
    t.start(sqlite={"disk_stall_limit": 60000})
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    publish_all(publisher, "a", numbered(3))
    undo = displace(t, what)
    waiting = publisher.send_publish("a", b"3", qos=1)
    t.await_line("was deleted, moved away or replaced")
    publisher.expect_nothing()
    refused = publisher.send_publish("a", b"refused", qos=2)
    publisher.expect_nothing()  # behind the one that waits (rule 7)
    t.client("other").publish("a", b"refused", qos=1, reasons=(0x97,))
    if undo is None:
        publisher.close()
        t.broker.stop()
        checks.that("none of them was acknowledged" in t.broker.log(), "the stop does not say it")
        t.broker = None
        return
    undo()
    publisher.expect(PUBACK, packet_id=waiting, reason=0)
    publisher.expect(PUBREC, packet_id=refused, reason=0x97)
    publish_all(publisher, "a", numbered(1, 4))
    t.broker.kill_and_restart()
    checks.equal("messages", checks.payloads(t.back("away").messages(5)), numbered(5))


@case("rule 18", "issue: what the operator sees")
def a_deleted_store_can_be_copied_from_the_running_broker(t):
    """What docs/failures.md tells to do."""
    t.holdfast_only("its files")
    t.start()
    t.away("away", "a", qos=1)
    publish_all(t.client("publisher"), "a", numbered(3))
    store, files = t.broker.store, {}
    for fd in os.listdir(f"/proc/{t.broker.process.pid}/fd"):
        link = f"/proc/{t.broker.process.pid}/fd/{fd}"
        name = os.path.basename(os.readlink(link))
        if name in ("holdfast.db", "holdfast.db-wal"):
            files[name] = link
    shutil.rmtree(store)
    saved = os.path.join(t.directory, "saved")
    os.makedirs(saved)
    for name, link in files.items():
        shutil.copyfile(link, os.path.join(saved, name))
    t.broker.kill()
    os.rename(saved, store.rstrip("/"))
    t.broker.start()
    checks.equal("messages", checks.payloads(t.back("away").messages(3)), numbered(3))


# ---- Read-only ----

@case("rule 18", "issue: what the operator sees", needs=("mkfs.ext4",))
def a_read_only_directory_is_refused_at_start(t):
    t.holdfast_only("exit status 2")
    disk = SmallDisk(t)
    t.start(sqlite={"mounted_file_path": disk.path})
    t.broker.stop()
    disk.remount("ro")
    t.broker.launch()
    checks.equal("exit status", t.broker.wait_for_exit(), 2)
    checks.that("Read-only file system" in t.broker.log(), "the log does not say why")
    disk.remount("rw")
    t.broker.start()
    t.check_health()


# ---- Damage to what was synced ----

def fill(t, messages=300, padding=1500):
    """Sessions of which each is owed so many messages, the broker killed behind them."""
    t.start()
    for number in range(4):
        t.away(f"away-{number}", f"a/{number}", qos=1)
    publisher = Publisher()
    for index in range(messages):
        for number in range(4):
            publisher.add(f"a/{number}", b"%d " % index + b"." * padding, 1)
    publisher.attach(t.client("publisher"))
    publisher.run()


def what_is_left(t):
    """Of each session, the numbers that come before one that is published now."""
    left, publisher = [], t.client("publisher")
    for number in range(4):
        client = t.client(f"away-{number}", stored=True)
        numbers = []
        if client.connack.session_present:
            publisher.publish(f"a/{number}", b"last", qos=1)
            while (packet := client.message(topic=f"a/{number}")).payload != b"last":
                numbers.append(int(packet.payload.split(b" ")[0]))
        left.append(numbers)
    return left


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@case("rule 18", over={"what": ("header", "first page", "pages", "log")}, timeout=60)
def a_store_that_was_damaged_gives_up_what_reads(t, what):
    t.holdfast_only("salvage")
    fill(t)
    database = os.path.join(t.broker.store, "holdfast.db")
    if what == "log":
        t.broker.kill()
        size = os.path.getsize(database + "-wal")
        os.truncate(database + "-wal", size // 2)
    else:
        t.broker.stop()
        noise = random.Random(t.random.random()).randbytes(PAGE)
        pages = os.path.getsize(database) // PAGE
        for at in {"header": (0,), "first page": (0,),
                   "pages": range(pages // 3, pages // 3 + 4)}[what]:
            overwrite(database, at * PAGE, noise[:100] if what == "header" else noise)
    t.broker.start()
    left = what_is_left(t)
    log = t.broker.log()
    if what == "log":
        checks.that("batches are gone" in log, "the log does not say that something is gone")
    else:
        checks.that("is damaged" in log, "the log does not say that the database is damaged")
        checks.that("the damaged database is now" in log, "nor where it is now")
        aside = [name for name in os.listdir(t.broker.store) if ".damaged-" in name]
        checks.that(aside, "the damaged file is not kept")
    for number, numbers in enumerate(left):
        checks.that(numbers == sorted(set(numbers)), f"away-{number} got {numbers}")
    total = sum(len(numbers) for numbers in left)
    checks.that(total >= {"header": 1200, "first page": 1200, "pages": 600, "log": 1}[what],
                f"only {total} of 1200 messages are left")
    if total < 1200 and what == "pages":
        checks.that("lost" in log or "not salvaged" in log, "the log does not name what is gone")
    t.check_health()
    t.broker.kill_and_restart()
    t.check_health()


def change_exchanges(t, change):
    """Gives the Packet Identifiers of what is in flight, in the order of numbers, to `change`."""
    with closing(sqlite3.connect(store.path(t.broker.store))) as database:
        rows = {first: bytearray(data) for first, data in
                database.execute("SELECT first, data FROM progress ORDER BY first")}
        places = []
        for data in rows.values():
            at = 2 + (int.from_bytes(data[:2], "big") + 7) // 8
            while at < len(data):
                _, at = store.varint(data, at)
                places.append((data, at + 1))
                _, at = store.varint(data, at + 3)
        after = change([bytes(data[at:at + 2]) for data, at in places])
        for (data, at), identifier in zip(places, after):
            data[at:at + 2] = identifier
        database.executemany("UPDATE progress SET data = ? WHERE first = ?",
                             [(data, first) for first, data in rows.items()])
        database.commit()


@case("rule 18", over={"qos": (1, 2), "identifier": ("none", "another's")})
def an_exchange_whose_identifier_was_damaged_stops_nobody(t, qos, identifier):
    t.holdfast_only("its store")
    t.start()
    client = t.client("c", stored=True)
    client.subscribe("a", qos=qos)
    publisher = t.client("publisher")
    publish_all(publisher, "a", numbered(3), qos)
    for payload in numbered(3):
        client.expect(PUBLISH, payload=payload)
    t.broker.stop()
    change_exchanges(t, lambda all_: [all_[0], bytes(2) if identifier == "none" else all_[0],
                                      all_[2]])
    t.broker.start()
    client = t.back("c")
    for payload in (b"0", b"2"):
        client.message(payload=payload, qos=qos, dup=True)
    if qos == 1:
        client.message(payload=b"1", dup=False, qos=1)
    client.expect_nothing()
    t.await_line('"c"', "damaged Packet Identifier")
    t.broker.stop_and_restart()
    client = t.back("c")
    t.silence(client, t.client("publisher"), "a", qos)


@case("rule 18", over={"damaged": (0, 65536 + 3)})
def a_damaged_inbound_identifier_stops_nobody(t, damaged):
    t.holdfast_only("its store")
    t.start()
    publisher = t.client("publisher", stored=True)
    for packet_id in (3, 4):
        publisher.send_publish("a", b"x", 2, packet_id=packet_id)
        publisher.find(PUBREC, packet_id=packet_id)
    t.broker.stop()
    with closing(sqlite3.connect(store.path(t.broker.store))) as database:
        database.execute("UPDATE inbound SET packet_identifier = ? WHERE packet_identifier = 3",
                         (damaged,))
        database.commit()
    t.broker.start()
    publisher = t.back("publisher")
    for packet_id, reason in ((3, 0x92), (4, 0)):
        publisher.acknowledge(PUBREL, packet_id)
        publisher.expect(PUBCOMP, packet_id=packet_id, reason=reason)


# ---- The clock ----

@case("rule 17", needs=preload.NEEDS,
      over={"step_s": (-20000 * DAY_S, -DAY_S, DAY_S, 3650 * DAY_S), "restart": (False, True)})
def a_clock_that_is_set_ends_no_session_and_expires_no_message(t, step_s, restart):
    t.holdfast_only("time in the store")
    clock = preload.SetClock(t)
    clock.start()
    t.away("away", "a", qos=1, expiry=3600)
    publisher = t.client("publisher")
    publisher.publish("a", b"x", qos=1, props={"message_expiry_interval": 600})
    clock.set(step_s)
    year = time.gmtime(time.time() + step_s).tm_year
    t.client("marker")
    t.await_line(f"{year}-")  # the broker sees the new time
    if restart:
        t.broker.kill()
        clock.start()
    t.check_health()  # whatever is due now has been looked at
    client = t.client("away", stored=True)
    checks.that(client.connack.session_present, "the session is gone")
    packet = client.message(payload=b"x")
    left = packet.props.get("message_expiry_interval")
    checks.that(left is not None and 500 <= left <= 600, f"{left} s are left of 600")
    client.publish("b", b"y", qos=1)  # the connection lives
