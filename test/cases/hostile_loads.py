"""Peers that flood, stall or hold on: memory stays bounded and nobody else is disturbed."""

import socket
import ssl
import time
from functools import partial
from types import SimpleNamespace

import checks
import mqtt_packet as mqtt
from case import case
from key_updates import KeyUpdates
from mqtt_packet import CONNACK, DISCONNECT, PINGRESP, PUBACK
from mqtt_session import Publisher, Subscriber
from mqtt_wire import DEADLINE_S, Closed, Late

MEGABYTE = 1 << 20


def wait_until_quiet(t, publisher):
    """What has been published has been handled."""
    publisher.settle()
    t.check_health()


@case("rule 24", "rule 20", "promise 4", over={"qos": (0, 1), "transport": ("tcp", "tls")},
      timeout=60)
def a_reader_that_never_reads_costs_bounded_memory_and_disturbs_nobody(t, qos, transport):
    limits = {"max_queued_messages": 500}
    if t.dialect.name == "holdfast":
        limits["max_queued_bytes"] = 8 * MEGABYTE
    t.start(tls=transport == "tls", mqtt=limits)
    deaf = t.client("deaf", 5, transport, receive_buffer=4096)
    deaf.subscribe("flood", qos=qos)
    deaf.reading = False
    listener = t.client("listener")
    listener.subscribe("flood", qos=0)
    publisher = t.client("publisher")
    payload = b"x" * 20000
    publisher.publish("flood", payload, qos)
    listener.message()
    before = t.broker.resident_bytes()
    for _ in range(2000):  # 40 MB
        publisher.publish("flood", payload, qos, reasons=(0x00, 0x10, 0x97))
        listener.message(topic="flood")
    wait_until_quiet(t, publisher)
    t.check_growth(before, 25)


@case("rule 24", "promise 5", timeout=60)
def a_reader_that_wakes_up_gets_a_prefix_and_then_what_is_new(t):
    """What was dropped was dropped in whole; the stream stays intact."""
    t.start()
    slow = t.client("slow", receive_buffer=4096)
    slow.subscribe("flood", qos=0)
    slow.reading = False
    publisher = t.client("publisher")
    for number in range(3000):
        publisher.publish("flood", b"%d " % number + b"x" * 5000)
    publisher.settle()
    slow.reading = True
    slow.subscribe("last", qos=1)
    publisher.publish("last", b"x", qos=1)
    numbers = []
    while (packet := slow.receive()).topic != "last":
        numbers.append(int(packet.payload.split()[0]))
    checks.in_order("numbers", numbers)
    checks.that(len(numbers) == len(set(numbers)), "one came twice")


@case("promise 4", "rule 1", timeout=90, over={"version": (4,)}, long_over={"version": (4, 5)})
def a_backlog_costs_disk_and_not_memory(t, version):
    t.start()
    for number in range(20):
        t.away(f"away-{number}", f"to/{number}", version=version, qos=1)
    publisher = Publisher()
    publisher.attach(t.client("publisher", version))
    for size in (40, 40):  # megabytes: until the caches are full, and then as much again
        before = t.broker.resident_bytes()
        for number in range(size * MEGABYTE // 4096):
            publisher.add(f"to/{number % 20}", b"x" * 4096, 1)
        publisher.run()
    t.check_growth(before, 16)
    subscriber = Subscriber()
    subscriber.attach(t.back("away-7", version))
    subscriber.receive(1024)


QUESTIONS = {"PUBLISH": mqtt.publish(4, "nobody", b"", 1, 1), "PINGREQ": mqtt.pingreq(),
             "PUBREL": mqtt.acknowledgement(mqtt.PUBREL, 1),
             "SUBSCRIBE": mqtt.subscribe(4, 1, [("a", 0)]),
             "UNSUBSCRIBE": mqtt.unsubscribe(4, 1, ["a"])}


@case("rule 21", "promise 4", over={"relayed": (True, False)}, timeout=60)
def what_a_few_bytes_become_between_workers_is_bounded(t, relayed):
    """Each of some thousand tiny messages is meant for hundreds of sessions of other workers."""
    # With a sanitizer, which is slow and by which memory is not looked at, the bound is met sooner.
    count, mailbox = (200, 32) if t.sanitized else (10000, 1024)
    t.start(broker={"workers": 4, "mailbox_size": mailbox}, mqtt={"max_outgoing_buffer": 4096})
    for number in range(500):
        reader = t.client(f"reader-{number}", 4)
        reader.send(mqtt.subscribe(4, 1, [("#", 0)]))
        reader.reading = False
    publisher = t.client("publisher", 4)
    publisher.settle()
    before = t.broker.resident_bytes()
    retain = not relayed  # what is to be retained goes the way of all others
    publisher.send(b"".join(mqtt.publish(4, topic, b"", retain=retain)
                            for _ in range(count) for topic in ("a", "b")))
    publisher.settle()
    t.check_health()
    t.check_growth(before, 100, t.broker.peak_resident_bytes())


@case("rule 24", "promise 4", timeout=60, over={"question": tuple(QUESTIONS)})
def answers_that_nobody_reads_are_not_buffered_for_ever(t, question):
    """The broker stops reading such a client, or closes it."""
    t.start()
    client = t.client("deaf", 4, receive_buffer=4096)
    client.reading = False
    before = t.broker.resident_bytes()
    questions = QUESTIONS[question] * 1000
    try:
        for _ in range(8000):  # answers of 16 to 40 MB
            client.send(questions, timeout=2)
    except (Late, Closed):
        pass
    t.check_health()
    t.check_growth(before, 8)


@case("rule 24", "promise 4", timeout=60, over={"connected": (True, False)})
def answers_of_tls_that_nobody_reads_are_not_buffered_for_ever(t, connected):
    """Each request for new keys has to be answered by one (RFC 8446, 4.6.3)."""
    t.holdfast_only("max_outgoing_buffer")
    t.start(tls=True, workers=1, mqtt={"max_outgoing_buffer": 65536, "connect_timeout": 60})
    peer = KeyUpdates(t.broker.listeners()["tls"],
                      mqtt.connect(5, "deaf", True) if connected else b"")
    t.check_health()
    before = t.broker.resident_bytes()
    for _ in range(80):  # 2.2 MB, and as much of answers
        if not peer.send(peer.requests(1000), 1):
            break
    t.check_health()
    t.check_growth(before, 1)


@case("MQTT-4.13.1-1", over={"version": (4, 5)})
def a_huge_remaining_length_is_refused_at_once(t, version):
    t.start()
    before = t.broker.resident_bytes()
    for _ in range(50):
        client = t.client("huge", version)
        client.send(b"\x30\xff\xff\xff\x7f\0\1a")
        client.expect_disconnect(0x95)
        client = t.open(version)
        client.send(b"\x10\xff\xff\xff\x7f\0\4MQTT")
        try:
            packet = client.receive()
        except Closed:
            continue
        checks.equal("CONNACK", (packet.kind, packet.reason), (CONNACK, 0x95))
        client.expect_close()
    t.check_growth(before, 10)


@case("promise 4", timeout=60)
def large_packets_that_never_end_share_a_bounded_memory(t):
    t.start()
    before = t.broker.resident_bytes()
    for number in range(100):
        client = t.client(f"half-{number}", keep_alive=0)
        client.send(mqtt.publish(5, "a", b"x" * 1000000)[:1000])
    t.check_health()
    t.check_growth(before, 32)


@case("promise 4", "issue: bad input", timeout=60, over={"transport": ("tcp", "tls")})
def connects_that_are_never_complete_share_a_bounded_memory(t, transport):
    """And one that is slow but honest gets in: it holds little."""
    t.holdfast_only("what is kept before CONNECT")
    t.start(tls=transport == "tls", workers=1, mqtt={"connect_timeout": 60})
    connect = mqtt.connect(5, "slow", True)
    slow = t.open(5, transport)
    slow.send(connect[:-1])
    large = mqtt.connect(5, "x" * 60000, True, user="u" * 60000, password=b"p" * 60000,
                         will={"topic": "w" * 60000, "payload": b"x" * 50000})
    before = t.broker.resident_bytes()
    for _ in range(200):  # 58 MB
        held = t.open(5, transport)
        try:
            held.send(large[:-1])
        except Closed:
            pass
    t.await_line("too many CONNECTs are not complete")
    t.check_health()
    t.check_growth(before, 40, t.broker.peak_resident_bytes())
    slow.send(connect[-1:])
    slow.expect(CONNACK)
    slow.settle()
    held.send(large[-1:])  # the newest is still there
    checks.equal("CONNACK", held.receive().reason, 0)


@case("promise 4", "MQTT-3.2.0-1", timeout=60, over={"workers": (1, 4)})
def a_thousand_connections_are_served(t, workers):
    t.start(workers=workers)
    publisher = t.client("publisher")
    before = t.broker.resident_bytes()
    clients = [t.client(f"client-{number}") for number in range(1000)]
    t.check_growth(before, 32)
    for client in clients:
        client.send(mqtt.subscribe(5, 1, [("all", 0), (client.client_id, 0)]))
    for client in clients:
        client.expect(mqtt.SUBACK)
    publisher.publish("all", b"x")
    for client in clients:
        client.message(topic="all")
    for number in range(0, 1000, 50):
        publisher.publish(f"client-{number}", b"y")
        clients[number].message(topic=f"client-{number}")


@case("rule 20", "MQTT-3.1.4-1")
def connections_that_say_nothing_keep_nobody_out(t):
    t.start()
    idle = [t.open() for _ in range(800)]
    t.check_health()
    for client in idle:
        client.reset()
    t.check_health()


@case("MQTT-3.1.4-3", "rule 5", timeout=60)
def connections_reset_at_every_point_leave_a_healthy_broker(t):
    t.start(tls=True)
    for number in range(400):
        transport = "tls" if number % 4 == 0 else "tcp"
        client = t.open(5, transport)
        data = mqtt.connect(5, f"short-{number % 7}", False,
                            props={"session_expiry_interval": number % 3 * 100},
                            will={"topic": "will", "payload": b"x", "qos": 1})
        data += mqtt.subscribe(5, 1, [("will", 1)]) + mqtt.publish(5, "will", b"y", 1, 2)
        client.send(data[:t.random.randrange(len(data))] if number % 2 else data)
        client.reset() if number % 3 else client.close()
    t.check_health()
    t.broker.kill_and_restart()
    t.check_health()


@case("MQTT-3.1.2-22", "MQTT-3.1.4-1", over={"what": ("garbage", "a CONNECT", "half a handshake",
                                                      "nothing")})
def a_tls_port_survives_what_is_no_tls(t, what):
    t.start(tls=True, **({"mqtt": {"connect_timeout": 2}} if t.dialect.name == "holdfast" else {}))
    address = t.broker.listeners()["tls"]
    data = {"garbage": t.random.randbytes(300), "a CONNECT": mqtt.connect(5, "plain", True),
            "half a handshake": bytes.fromhex("1603010200010001fc0303") + b"\x11" * 40,
            "nothing": b""}[what]
    sockets = []
    for _ in range(20):
        plain = socket.create_connection(address)
        plain.settimeout(10)
        plain.sendall(data)
        sockets.append(plain)
    t.client("good", 5, "tls").disconnect()
    if t.dialect.name == "holdfast" or what in ("garbage", "a CONNECT"):
        for plain in sockets:  # an alert may come, then the end
            try:
                while plain.recv(1000):
                    pass
            except ConnectionError:
                pass
    for plain in sockets:
        plain.close()
    t.client("good", 5, "tls").disconnect()


@case("MQTT-3.1.4-2", over={"version": ("TLSv1_2", "TLSv1_3")})
def client_certificates_are_asked_for_and_checked(t, version):
    """None, one of another authority, and a good one."""
    import certificates
    t.start(tls=True, client_certificate=b"required")
    other = certificates.Authority(t.directory, "other")
    wanted = getattr(ssl.TLSVersion, version)
    for context in (t.authority.context(version=wanted),
                    t.authority.context(*other.client(t.directory, "stranger"), wanted)):
        try:
            client = t.open(5, "tls", tls=context)
            client.send(mqtt.connect(5, "stranger", True))
            client.receive()
        except (ssl.SSLError, Closed, ConnectionError):
            continue
        raise AssertionError("let in without a good certificate")
    context = t.authority.context(*t.authority.client(t.directory, "friend"), wanted)
    t.client("friend", 5, "tls", tls=context).disconnect()
    if t.dialect.name == "holdfast":
        for why in ("sent no certificate", "certificate's authority"):
            checks.that(why in t.broker.log(), f"{why!r} is not in the log")


@case("MQTT-3.1.4-2", over={"version": ("TLSv1_2", "TLSv1_3")})
def a_resumed_session_does_not_lose_its_client_certificate(t, version):
    """Either the broker gives no ticket, or the resumed connection is as good as the first."""
    t.holdfast_only("the owner of a session")
    t.start(tls=True, client_certificate=b"required")
    context = t.authority.context(*t.authority.client(t.directory, "alice"),
                                  getattr(ssl.TLSVersion, version))
    first = t.client("device", 5, "tls", tls=context, stored=True)
    first.settle()
    session = first.socket.session
    first.disconnect()
    resuming = SimpleNamespace(wrap_socket=partial(context.wrap_socket, session=session))
    t.back("device", transport="tls", tls=resuming).disconnect()
    t.back("device", transport="tls", tls=context)


@case("MQTT-3.1.4-2")
def old_tls_versions_are_refused(t):
    t.start(tls=True)
    context = t.authority.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        t.open(5, "tls", tls=context)
    except (ssl.SSLError, ConnectionError):
        t.client("good", 5, "tls").disconnect()
        return
    raise AssertionError("TLS 1.1 was accepted")


@case("rule 20", "MQTT-3.12.4-1", timeout=60, over={"workers": (1, 4)})
def a_flood_of_qos_0_does_not_starve_others(t, workers):
    t.start(workers=workers)
    flooders = [t.client(f"flooder-{number}", keep_alive=0) for number in range(4)]
    burst = b"".join(mqtt.publish(5, f"flood/{number}", b"x" * 100) for number in range(500))
    quiet = t.client("quiet")
    quiet.subscribe("quiet", qos=1)
    slowest = 0
    for _ in range(60):
        for flooder in flooders:
            flooder.send(burst)
        started = time.monotonic()
        quiet.publish("quiet", b"x", qos=1)
        quiet.message(payload=b"x")
        slowest = max(slowest, time.monotonic() - started)
    checks.that(slowest < 5, f"a message took {slowest:.1f} s")


@case("rule 20", "MQTT-3.12.4-1", over={"qos": (0, 1), "stored": (False, True)}, timeout=90)
def many_filters_over_many_retained_messages_keep_nobody_waiting(t, qos, stored):
    """Each of them matches all: a packet of some kilobytes asks for millions of messages."""
    t.start(workers=1)
    publisher, quiet = t.client("publisher"), t.client("quiet")
    publisher.send(b"".join(mqtt.publish(5, f"a/b/c/d/e/f/g/h/i/{number}", b"x" * 100, retain=True)
                            for number in range(20000)))
    publisher.settle()
    filters = ["/".join("+" if number >> place & 1 else name
                        for place, name in enumerate("abcdefghi")) + "/#" for number in range(512)]
    greedy = t.client("greedy", stored=stored)
    greedy.reading = False
    greedy.send(mqtt.subscribe(5, 1, [(topic_filter, qos) for topic_filter in filters]))
    slowest = 0
    for _ in range(10):
        started = time.monotonic()
        quiet.expect_nothing()
        slowest = max(slowest, time.monotonic() - started)
    # In one go they take twice as long and more, on an idle machine.
    checks.that(slowest < 3, f"a PINGRESP took {slowest:.1f} s")


@case("promise 4", "MQTT-3.3.1-6", timeout=60)
def removing_what_was_never_retained_leaves_nothing(t):
    """Topics of many levels, which nobody keeps."""
    t.start()
    client = t.client("remover")
    client.settle()
    before = t.broker.resident_bytes()
    for start in range(0, 12000, 500):
        client.send(b"".join(mqtt.publish(5, f"{number}" + "/l" * 190, b"", 0, None, retain=True)
                             for number in range(start, start + 500)))
        client.settle()
    t.check_growth(before, 160)  # of 350: what is being given back, on a busy machine later


@case("rule 22", "promise 5", over={"version": (4, 5)})
def a_full_queue_drops_the_newest_of_that_session_alone_and_says_so(t, version):
    t.holdfast_only("the policy of a full queue")
    # Of a session on another worker a publisher's worker may know a moment late that it is full.
    t.start(workers=1, mqtt={"max_queued_messages": 10})
    t.away("stuffed", "a", version=version, qos=1)
    t.away("other", "b", version=version, qos=1)
    publisher = t.client("publisher", version)
    for number in range(15):
        packet_id = publisher.send_publish("a", b"%d" % number, qos=1)
        packet = publisher.find(PUBACK, packet_id=packet_id)
        if version == 5 and number >= 10:
            checks.that(packet.reason >= 0x10 or "reason_string" in packet.props,
                        f"message {number} was dropped without a word: {packet}")
    publisher.publish("b", b"x", qos=1)
    came = t.back("stuffed", version).messages(10)
    checks.equal("messages", checks.payloads(came), [b"%d" % number for number in range(10)])
    t.back("other", version).message(payload=b"x")
    said = [line for line in t.broker.log().splitlines()
            if "stuffed" in line and "dropped" in line]
    checks.that(said, "the log does not say whose messages were dropped")


@case("rule 20", "MQTT-3.14.2-1")
def a_listener_bounds_its_connections(t):
    t.holdfast_only("max_connections")
    t.start(listener={"max_connections": 5})
    clients = [t.client(f"client-{number}") for number in range(5)]
    try:
        late = t.open()
        late.send(mqtt.connect(5, "late", True))
        packet = late.receive()
        checks.that(packet.kind in (CONNACK, DISCONNECT) and packet.reason >= 0x80, f"{packet}")
    except (Closed, ConnectionError):
        pass
    for client in clients:
        client.expect_nothing()
    clients[0].disconnect()
    # The place is free when the broker has seen the end of the connection.
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            t.client("next").expect_nothing()
            return
        except (Closed, ConnectionError):
            checks.that(time.monotonic() < deadline, "the place never becomes free")


@case("rule 21", timeout=60)
def a_publisher_who_was_stopped_for_mail_is_read_again(t):
    """However the other workers' reading falls into the middle of it."""
    t.start(broker={"workers": 4, "mailbox_size": 1})
    for number in range(100):
        reader = t.client(f"reader-{number}", 4)
        reader.send(mqtt.subscribe(4, 1, [("#", 0)]))
        reader.reading = False
    publisher = t.client("publisher", 4)
    burst = b"".join(mqtt.publish(4, topic, b"") for _ in range(50) for topic in ("a", "b"))
    for _ in range(200):
        publisher.send(burst)
        publisher.settle()


@case("rule 20", "rule 21", timeout=60)
def a_flood_for_other_workers_lets_others_have_their_turn(t):
    """Whoever was passed over for it is read before whoever has sent it."""
    t.start(broker={"workers": 2, "mailbox_size": 1}, mqtt={"max_outgoing_buffer": 4096})
    for number in range(20):
        reader = t.client(f"reader-{number}", 4)
        reader.send(mqtt.subscribe(4, 1, [("#", 0)]))
        reader.reading = False
    others = [t.client(f"other-{number}", 4) for number in range(8)]  # some of its own worker
    publisher = t.client("publisher", 4)
    count = 20000 if t.sanitized else 100000
    publisher.send(b"".join(mqtt.publish(4, topic, b"") for _ in range(count)
                            for topic in ("a", "b")) + mqtt.pingreq())
    for other in others:
        other.settle()
    publisher.poll()
    checks.that(publisher.next_packet() is None, "the flood came to its end before they did")
    publisher.expect(PINGRESP, timeout=4 * DEADLINE_S)
