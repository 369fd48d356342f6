"""holdfast import mosquitto.db: what Debian's mosquitto owed its sessions when it stopped, they get from Holdfast,
once and in order."""

import os
import subprocess

import checks
import mqtt_packet as mqtt
from broker import Broker
from case import case
from cases.imports import MOSQUITTO, run_import, write
from dialect import Mosquitto
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

PROPERTIES = {"content_type": "text", "user_property": [("a", "b"), ("a", "c")], "correlation_data": b"\0\1"}
USERS = {"alice": b"right"}


def start_mosquitto(t, users=False):
    """mosquitto, in the place of the case's broker, with a database below `mosquitto`."""
    t.holdfast_only("import")
    if not os.path.exists(MOSQUITTO):
        t.skip("mosquitto is not installed")
    directory = os.path.join(t.directory, "mosquitto")
    os.mkdir(directory)
    text = (f"user root\nlistener 1883 {t.address}\npersistence true\npersistence_location {directory}\n"
            "max_queued_messages 0\n")
    if users:
        passwords = os.path.join(t.directory, "users")
        subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "alice", "right"], check=True)
        text += f"password_file {passwords}\n"
    else:
        text += "allow_anonymous true\n"
    config = {"listener": {"plain": {"bind": f"{t.address}:1883"}}}
    t.broker = Broker(MOSQUITTO, Mosquitto(), directory, config).launch(text).await_listeners()


def take_along(t, **config):
    """Stops mosquitto, imports, starts Holdfast; returns what the command said."""
    t.broker.stop()
    t.broker = None
    holdfast = t.new_broker(**config)
    said = import_into(t, os.path.join(t.directory, "mosquitto", "mosquitto.db"), holdfast.store)
    holdfast.start()
    return said


def import_into(t, path, store):
    status, out, err = run_import(t, "mosquitto.db", path, "--store", store)
    checks.equal(f"import says {err!r} and", status, 0)
    return out + err


@case("issue: coming from elsewhere", "promise 5", over={"version": (4, 5)})
def a_session_comes_along_with_its_queue_in_order(t, version):
    start_mosquitto(t)
    t.away("one", "a/#", "+/c", version=version, qos=2)
    t.away("two", "a/b", version=version, qos=1)
    publisher = t.client("publisher", 5)
    wanted = []
    for number in range(200):
        qos = 1 + number % 2
        publisher.publish("a/b", b"%d" % number, qos=qos, props=PROPERTIES if number == 7 else {})
        wanted.append((b"%d" % number, qos))
    publisher.publish("x/c", b"", qos=1)
    said = take_along(t)
    checks.that("2 sessions, 3 subscriptions, 401 messages owed, 0 retained" in said, f"it says {said!r}")
    one, two = t.back("one", version), t.back("two", version)
    came = one.messages(201)
    for qos in (1, 2):  # each has an order of its own [MQTT-4.6.0-6]
        checks.equal("one got", [packet.payload for packet in came if packet.qos == qos],
                     [payload for payload, other in [*wanted, (b"", 1)] if other == qos])
    checks.equal("two got", [(packet.payload, packet.qos) for packet in two.messages(200)],
                 [(payload, 1) for payload, _ in wanted])
    if version == 5:
        for name, value in PROPERTIES.items():
            checks.equal(name, next(packet.props.get(name) for packet in came if packet.payload == b"7"), value)
    t.client("publisher").publish("a/b", b"more", qos=2)
    one.message(payload=b"more", qos=2)
    two.message(payload=b"more", qos=1)
    for client in (one, two):
        client.expect_nothing()
        client.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("issue: coming from elsewhere", "rule 15", "MQTT-4.4.0-1", over={"version": (4, 5)})
def an_exchange_that_has_begun_is_brought_to_its_end(t, version):
    start_mosquitto(t)
    here = t.client("here", version, stored=True)
    here.subscribe("a", qos=2)
    publisher = t.client("publisher", version)
    for number, qos in enumerate((1, 2, 2)):
        publisher.publish("a", b"%d" % number, qos=qos)
    first, second, third = (here.expect(PUBLISH, payload=b"%d" % number) for number in range(3))
    here.acknowledge(PUBREC, third.packet_id)
    here.expect(PUBREL, packet_id=third.packet_id)
    here.close()
    publisher.publish("a", b"3", qos=2)
    take_along(t)
    here = t.back("here", version)
    here.find(PUBREL, packet_id=third.packet_id)
    here.expect(PUBLISH, payload=b"0", qos=1, dup=True, packet_id=first.packet_id)
    here.expect(PUBLISH, payload=b"1", qos=2, dup=True, packet_id=second.packet_id)
    here.acknowledge(PUBACK, first.packet_id)
    here.acknowledge(PUBREC, second.packet_id)
    here.acknowledge(PUBCOMP, third.packet_id)
    new = here.find(PUBLISH, payload=b"3", qos=2, dup=False)
    here.acknowledge(PUBREC, new.packet_id)
    for packet in (second, new):
        here.find(PUBREL, packet_id=packet.packet_id)
        here.acknowledge(PUBCOMP, packet.packet_id)
    here.expect_nothing()
    here.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("issue: coming from elsewhere", "rule 2", "MQTT-4.3.3-10", over={"version": (4, 5), "again": (False, True)})
def a_qos_2_message_between_pubrec_and_pubrel_is_delivered_once(t, version, again):
    start_mosquitto(t)
    t.away("reader", "a/#", ("+/b", 1), version=version, qos=2)
    publisher = t.client("publisher", version, stored=True)
    publisher.subscribe("elsewhere", qos=1)
    publisher.send_publish("a/b", b"held", qos=2, packet_id=7, retain=True)
    publisher.expect(PUBREC, packet_id=7, reason=0)
    publisher.close()
    t.client("other", version).publish("a/x", b"behind", qos=2)
    take_along(t)
    publisher = t.back("publisher", version)
    if again:
        publisher.send_publish("a/b", b"held", qos=2, packet_id=7, dup=True, retain=True)
        publisher.expect(PUBREC, packet_id=7, reason=0)
    publisher.acknowledge(PUBREL, 7)
    publisher.expect(PUBCOMP, packet_id=7, reason=0)
    reader = t.back("reader", version)
    checks.equal("delivered", checks.payloads(reader.messages(2)), [b"held", b"behind"])
    reader.expect_nothing()
    late = t.client("late", version)
    late.subscribe("a/b")
    late.message(payload=b"held", retain=True)


@case("issue: coming from elsewhere")
def retained_messages_expiry_and_options_come_along(t):
    start_mosquitto(t)
    own = t.client("own", stored=True)
    own.subscribe(("both", 1 | 4 | 8), props={"subscription_identifier": 300})
    t.away("three", "both", version=4, qos=0)
    own.disconnect()
    publisher = t.client("publisher")
    publisher.publish("r/1", b"gone", qos=1, retain=True)
    publisher.publish("r/1", b"kept", qos=2, retain=True, props=PROPERTIES)
    publisher.publish("r/2", b"deleted", qos=1, retain=True)
    publisher.publish("r/2", b"", qos=1, retain=True)
    publisher.publish("both", b"soon over", qos=1, retain=True, props={"message_expiry_interval": 1})
    publisher.publish("both", b"late", qos=1, retain=True, props={"message_expiry_interval": 1000})
    t.client("short", expiry=1).disconnect()
    t.pass_time(2.5)
    said = take_along(t)
    checks.that("2 sessions, 2 subscriptions, 1 messages owed, 2 retained" in said, f"it says {said!r}")
    reader = t.client("reader")
    reader.subscribe("r/#", qos=2)
    kept = reader.message(topic="r/1", payload=b"kept", retain=True, qos=2)
    checks.equal("content type", kept.props.get("content_type"), "text")
    reader.expect_nothing()
    own = t.back("own")
    late = own.message(payload=b"late", retain=True)
    checks.that(900 < late.props.get("message_expiry_interval") <= 1000, f"expiry: {late}")
    checks.equal("identifier", late.props.get("subscription_identifier"), [300])
    own.publish("both", b"by itself", qos=1)
    own.expect_nothing()
    t.client("publisher").publish("both", b"again", qos=1, retain=True)
    again = own.message(payload=b"again", retain=True)
    checks.equal("identifier", again.props.get("subscription_identifier"), [300])
    t.back("three", 4).expect_nothing()


@case("issue: coming from elsewhere")
def a_session_belongs_to_the_user_who_made_it(t):
    start_mosquitto(t, users=True)
    t.away("hers", "a", user="alice", password=b"right")
    take_along(t, authentication={"password_file": os.path.join(t.directory, "users")})
    other = t.open()
    other.send(mqtt.connect(5, "hers", False))
    checks.equal("another's CONNECT", other.read_packet().reason, 0x87)
    t.back("hers", user="alice", password=b"right").disconnect()


def database_of(t):
    """What mosquitto wrote of a bit of everything."""
    start_mosquitto(t)
    t.away("one", "a", qos=2)
    publisher = t.client("publisher", stored=True)
    publisher.publish("a", b"1", qos=2, retain=True, props=PROPERTIES)
    publisher.send_publish("a", b"2", qos=2, packet_id=7)
    publisher.expect(PUBREC, packet_id=7, reason=0)
    t.broker.stop()
    t.broker = None
    with open(os.path.join(t.directory, "mosquitto", "mosquitto.db"), "rb") as file:
        return file.read()


def imports_to_nothing(t, data):
    """A message of one line, status 2, and no store."""
    store = os.path.join(t.directory, "store")
    status, out, err = run_import(t, "mosquitto.db", write(t, "broken.db", data), "--store", store)
    checks.equal(f"status, saying {out!r} {err!r}", status, 2)
    checks.that(err.startswith("holdfast: ") and "broken.db: byte " in err and err.count("\n") == 1, f"it says {err!r}")
    checks.that(not os.path.exists(store) or os.listdir(store) == [], "it left something")


@case("issue: coming from elsewhere", timeout=120)
def of_a_database_that_is_cut_nothing_is_imported(t):
    data = database_of(t)
    ends, at = {len(data)}, 23
    while at < len(data):  # where its chunks end: that one is cut there cannot be seen
        ends.add(at)
        at += 8 + int.from_bytes(data[at + 4:at + 8], "big")
    checks.equal("chunks", at, len(data))
    for size in t.random.sample(range(len(data)), 60):
        if size not in ends or size <= 23:
            imports_to_nothing(t, data[:size])
    for other in (b"", b"not one", b"SQLite format 3\0" * 100, data[:19] + b"\0\0\0\4" + data[23:]):
        imports_to_nothing(t, other)


@case("issue: coming from elsewhere", timeout=120)
def a_database_with_changed_bytes_is_refused_or_gives_a_sound_store(t):
    data = database_of(t)
    for number in range(60):
        changed = bytearray(data)
        for _ in range(3):
            changed[t.random.randrange(23, len(data))] = t.random.randrange(256)
        store = os.path.join(t.directory, f"store{number}")
        status, out, err = run_import(t, "mosquitto.db", write(t, "changed.db", bytes(changed)), "--store", store)
        checks.that(status in (0, 2), f"status {status}: {out} {err}")
        if status == 0:
            subprocess.run([t.binary, "store", "verify", "--store", store], check=True, stdout=subprocess.DEVNULL)


def as_version_5(data):
    """The same database as mosquitto 1.6 writes it: sessions have neither user name nor port."""
    out, at = data[:19] + b"\0\0\0\5", 23
    while at < len(data):
        kind, size = int.from_bytes(data[at:at + 4], "big"), int.from_bytes(data[at + 4:at + 8], "big")
        body = data[at + 8:at + 8 + size]
        if kind == 6:
            checks.equal("user name's length", body[18:20], b"\0\0")
            body = body[:16] + body[24:]
        out += kind.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body
        at += 8 + size
    return out


@case("issue: coming from elsewhere")
def the_database_of_mosquitto_1_6_says_the_same(t):
    data = database_of(t)
    for name, text in (("6", data), ("5", as_version_5(data))):
        said = import_into(t, write(t, f"{name}.db", text), os.path.join(t.directory, name))
        checks.that("2 sessions, 1 subscriptions, 2 messages owed, 1 retained" in said, f"it says {said!r} of {name}")


@case("issue: coming from elsewhere")
def the_store_belongs_to_the_directorys_owner(t):
    if os.geteuid():
        t.skip("only root can give files away")
    if t.sanitized:
        t.skip("a leak sanitizer cannot look into a process that has given its rights away")
    path = write(t, "mosquitto.db", database_of(t))
    os.chmod(t.directory, 0o711)
    store = os.path.join(t.directory, "new")
    os.mkdir(store)
    os.chown(store, 65534, 65534)
    import_into(t, path, store)
    found = os.stat(os.path.join(store, "holdfast.db"))
    checks.equal("owner", (found.st_uid, found.st_gid), (65534, 65534))


@case("issue: coming from elsewhere")
def a_store_that_is_there_stays_as_it_is(t):
    data = database_of(t)
    path = write(t, "mosquitto.db", data)
    store = os.path.join(t.directory, "new", "")
    os.mkdir(store)
    import_into(t, path, store)
    checks.equal("the store", os.listdir(store), ["holdfast.db"])
    checks.equal("its mode", os.stat(store + "holdfast.db").st_mode & 0o777, 0o600)
    status, _, err = run_import(t, "mosquitto.db", path, "--store", store)
    checks.equal("status", status, 2)
    checks.that("already" in err, f"it says {err!r}")
