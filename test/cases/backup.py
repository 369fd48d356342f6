"""holdfast store: a copy that holds what was acknowledged, and what is found in a damaged one."""

import json
import os
import sqlite3
import subprocess
import threading
from contextlib import closing

import checks
import store
from case import case

PAGE = 4096
LOG_TOO_LONG = 256 << 20  # commits wait for a checkpoint


def store_command(t, verb, *arguments):
    """(exit status, what it says)"""
    done = subprocess.run([t.broker.binary, "store", verb, *arguments], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=t.directory)
    return done.returncode, done.stdout


def back_up(t, name="copy"):
    target = os.path.join(t.directory, name)
    checks.equal("backup", store_command(t, "backup", "-c", t.broker.config_file, target),
                 (0, f"{target}: the store as it was, whole and on disk\n"))
    checks.equal("its files", os.listdir(target), ["holdfast.db"])
    checks.equal("its mode", os.stat(os.path.join(target, "holdfast.db")).st_mode & 0o777, 0o600)
    return target


def found_in(t, directory):
    status, said = store_command(t, "verify", "--store", directory, "--json")
    checks.equal(f"verify says {said!r}", status, 0)
    return json.loads(said)


def restart_on(t, directory):
    t.broker.stop()
    t.broker.config["sqlite"]["mounted_file_path"] = directory + "/"
    t.broker.start()


@case("promise 5", "rule 14", over={"killed": (False, True)})
def a_backup_brings_back_sessions_queues_and_retained_messages(t, killed):
    t.holdfast_only("store backup")
    t.start()
    t.away("c", "a", qos=2)
    other = t.client("d", stored=True)
    other.subscribe("b", qos=1)
    publisher = t.client("publisher")
    for number in range(10):
        publisher.publish("a", b"%d" % number, qos=2)
    publisher.publish("r", b"kept", qos=1, retain=True)
    if killed:
        t.broker.kill_and_restart()
        publisher = t.client("publisher")
    copy = back_up(t)
    publisher.publish("a", b"behind it", qos=2)
    publisher.publish("r", b"another", qos=1, retain=True)
    restart_on(t, copy)
    client = t.back("c")
    for number in range(10):
        client.message(payload=b"%d" % number, qos=2)
    client.expect_nothing()
    reader = t.client("reader")
    reader.subscribe("r")
    reader.message(payload=b"kept", retain=True)
    t.back("d")
    t.client("publisher").publish("b", b"again", qos=1)
    client.disconnect()
    t.broker.stop()


@case("promise 5", "rule 14")
def a_backup_under_load_holds_all_that_was_acknowledged_before_it(t):
    t.holdfast_only("store backup")
    t.start(workers=2)
    t.away("c", "a", qos=1)
    publisher = t.client("publisher")
    acknowledged, stop = [], threading.Event()

    def publish():
        while not stop.is_set():
            publisher.publish("a", b"%d" % len(acknowledged), qos=1)
            acknowledged.append(True)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        while len(acknowledged) < 100:
            t.pass_time(0.01)
        before = len(acknowledged)
        copy = back_up(t)
        after = len(acknowledged)
    finally:
        stop.set()
        thread.join()
    restart_on(t, copy)
    client = t.back("c")
    for number in range(before):
        client.message(payload=b"%d" % number, qos=1)
    rest = [int(packet.payload) for packet in client.settle()]
    checks.equal("without a gap", rest, list(range(before, before + len(rest))))
    checks.that(len(rest) <= after - before + 1, "messages that were not published yet")


@case("rule 14", timeout=120)
def a_reader_that_takes_long_stops_nobody_and_the_log_begins_anew_behind_it(t):
    """As a backup does beside a busy writer: nothing behind its snapshot can leave the log."""
    t.holdfast_only("its store")
    t.start(mqtt={"max_queued_bytes": 0})
    t.away("c", "a", qos=1)
    publisher = t.client("publisher")
    database = store.path(t.broker.store)
    log, body, count = database + "-wal", b"x" * 1000000, 0
    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT lsn FROM meta").fetchone()
        while os.path.getsize(log) <= LOG_TOO_LONG:
            publisher.publish("a", b"%d " % count + body, qos=1)
            count += 1
        reader.execute("COMMIT")
    for _ in range(100):
        publisher.publish("a", b"%d " % count + body, qos=1)
        count += 1
        if os.path.getsize(log) < LOG_TOO_LONG / 4:
            break
    else:
        raise AssertionError(f"the log has {os.path.getsize(log)} bytes, and goes on growing")
    t.broker.kill_and_restart()
    client = t.back("c")
    for number in range(count):
        checks.equal("message", int(client.message().payload.split(b" ")[0]), number)


@case("promise 5")
def a_backup_overwrites_no_store_and_says_what_is_missing(t):
    t.holdfast_only("store backup")
    t.start()
    t.away("c", "a", qos=1)
    copy = back_up(t)
    status, said = store_command(t, "backup", "-c", t.broker.config_file, copy)
    checks.equal("status", status, 1)
    checks.that("there is a store already" in said, said)
    status, said = store_command(t, "backup", "--store", os.path.join(t.directory, "none"), copy)
    checks.equal("status", status, 1)
    checks.that("there is no store" in said, said)
    status, said = store_command(t, "backup", "--store", t.broker.store, "/proc/none")
    checks.equal("status", status, 1)


@case("rule 18")
def verify_counts_what_is_sound_and_names_what_is_not(t):
    t.holdfast_only("store verify")
    t.start()
    t.away("c", "a", "b", qos=1)
    publisher = t.client("publisher")
    for _ in range(200):
        publisher.publish("a", b"x" * 200, qos=1)
    publisher.publish("r", b"x", qos=1, retain=True)
    status, said = store_command(t, "verify", "-c", t.broker.config_file)
    checks.equal(f"of a running broker: {said!r}", status, 1)
    copy = back_up(t)
    t.broker.stop()
    for directory in (t.broker.store, copy):
        found = found_in(t, directory)
        checks.equal("found", [found[key] for key in ("sessions", "subscriptions", "messages",
                                                      "retained")], [1, 2, 200, 1])
    with open(os.path.join(copy, "holdfast.db"), "r+b") as file:
        pages = os.path.getsize(file.name) // PAGE
        for page in range(3, pages, 3):
            file.seek(page * PAGE)
            file.write(b"\xa5" * 64)
    status, said = store_command(t, "verify", "--store", copy)
    checks.equal("of a damaged one", status, 1)
    checks.that("damage in" in said, said)


@case("rule 18")
def compact_gives_back_what_is_free_and_keeps_the_rest(t):
    t.holdfast_only("store compact")
    t.start()
    t.away("c", "a", qos=1)
    t.away("gone", "big", qos=1)
    publisher = t.client("publisher")
    for _ in range(100):
        publisher.publish("big", b"x" * 50000, qos=1)
    publisher.publish("a", b"kept", qos=1)
    taker = t.back("gone")
    taker.messages(100)
    taker.disconnect()
    t.broker.stop()
    before = found_in(t, t.broker.store)["bytes"]
    checks.equal("compact", store_command(t, "compact", "-c", t.broker.config_file), (0, ""))
    after = found_in(t, t.broker.store)["bytes"]
    checks.that(after < before / 4, f"{before} bytes before, {after} after")
    t.broker.start()
    t.back("c").message(payload=b"kept", qos=1)
    status, said = store_command(t, "compact", "-c", t.broker.config_file)
    checks.equal(f"of a running broker: {said!r}", status, 1)
