"""The admin listener: /metrics says what happened, in Prometheus's words, to those who may know."""

import calendar
import os
import re
import shutil
import socket
import subprocess
import time

import checks
import mqtt_packet as mqtt
from case import case
from http_client import request
from mqtt_packet import CONNACK
from mqtt_wire import DEADLINE_S

PORT = 9883
TOKEN = "0123456789abcdef-of-a-test"


def start(t, admin=(), **config):
    t.holdfast_only("metrics")
    t.start(admin={"http": f"{t.address}:{PORT}", **dict(admin)}, **config)
    t.await_line("admin: HTTP on")


def scrape(t, token=None):
    """{"name{labels}": value}"""
    status, headers, text = request((t.address, PORT), "/metrics", token=token)
    checks.equal("status", status, 200)
    checks.that(headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers)
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines() if not line.startswith("#")}


def await_value(t, series, value):
    """A worker counts a moment after a client has seen what it counts."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := scrape(t).get(series)) != value:
        if time.monotonic() > deadline:
            raise AssertionError(f"{series} stays at {found}, not {value}")
        t.pass_time(0.05)


@case("promise 5", over={"workers": (1, 2)})
def metrics_count_what_came_and_went_by_qos(t, workers):
    start(t, workers=workers, mqtt={"sys_interval": 0})
    subscriber = t.client("subscriber", stored=True)
    subscriber.subscribe("a", qos=2)
    publisher = t.client("publisher")
    for qos in (0, 1, 2):
        for _ in range(qos + 1):
            publisher.publish("a", b"x", qos=qos)
            subscriber.message(payload=b"x", qos=qos)
    for qos in (0, 1, 2):
        await_value(t, f'holdfast_publish_received_total{{qos="{qos}"}}', qos + 1)
        await_value(t, f'holdfast_publish_sent_total{{qos="{qos}"}}', qos + 1)
    found = scrape(t)
    checks.equal("connected", found['holdfast_sessions{state="connected"}'], 2)
    checks.equal("stored", found["holdfast_stored_sessions"], 1)
    checks.equal("subscriptions", found["holdfast_subscriptions"], 1)
    checks.equal("open", found['holdfast_connections{listener="plain"}'], 2)
    checks.that(found["holdfast_store_commits_total"] > 0, "no commit is counted")
    for histogram in ("store_commit_seconds", "store_sync_seconds", "store_commit_rows",
                      "worker_turn_seconds"):
        count = found[f"holdfast_{histogram}_count"]
        checks.that(count > 0, f"{histogram} counts nothing")
        checks.equal(histogram, found[f'holdfast_{histogram}_bucket{{le="+Inf"}}'], count)
    checks.that(found["holdfast_store_commit_seconds_sum"] >= found["holdfast_store_sync_seconds_sum"],
                "the end of a commit takes longer than all of it")
    subscriber.disconnect()
    await_value(t, 'holdfast_sessions{state="away"}', 1)
    await_value(t, 'holdfast_connections{listener="plain"}', 1)


@case("promise 5")
def the_age_of_what_was_queued_is_counted_when_it_is_sent(t):
    start(t)
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    sent = time.monotonic()
    publisher.publish("a", b"x", qos=1)
    owed = time.monotonic()
    t.pass_time(0.3)
    returned = time.monotonic()
    back = t.back("away")
    back.message(topic="a", payload=b"x", qos=1)
    received = time.monotonic()
    await_value(t, "holdfast_queue_age_seconds_count", 1)
    found = scrape(t)
    age, resolution = found["holdfast_queue_age_seconds_sum"], 0.016
    checks.that(returned - owed - 2 * resolution <= age <= received - sent + resolution,
                f"{age} s, of at least {returned - owed} s and at most {received - sent} s")
    checks.equal("younger than the time that it was away", found['holdfast_queue_age_seconds_bucket{le="0.128"}'], 0)
    for topic in ("b/1", "b/2"):
        publisher.publish(topic, b"kept", qos=1, retain=True)
    late = t.client("late", props={"receive_maximum": 1})
    late.subscribe("b/+", qos=1)
    for _ in range(2):  # the second waits for the PUBACK of the first
        late.message(payload=b"kept", qos=1, retain=True)
    publisher.publish("a", b"at once", qos=1)
    back.message(topic="a", payload=b"at once", qos=1)
    checks.equal("with retained messages that waited, and one that did not",
                 scrape(t)["holdfast_queue_age_seconds_count"], 1)


@case("promise 5", "rule 22")
def metrics_count_drops_refusals_and_limits(t):
    start(t, mqtt={"max_queued_messages": 3, "max_stored_sessions": 2})
    t.away("c", "a", qos=1)
    publisher = t.client("publisher")
    for _ in range(5):
        publisher.publish("a", b"x", qos=1, reasons=(0x00, 0x97))
    await_value(t, 'holdfast_messages_dropped_total{reason="queue_full"}', 2)
    await_value(t, "holdfast_queues_near_full", 1)
    await_value(t, 'holdfast_limit_used_ratio{limit="max_stored_sessions"}', 0.5)
    t.away("d", "a", qos=1)
    refused = t.open()
    refused.send(mqtt.connect(5, "e", True, props={"session_expiry_interval": 3600}))
    refused.expect(CONNACK, reason=0x97)
    await_value(t, 'holdfast_connects_refused_total{reason="Quota exceeded"}', 1)
    checks.equal("others", scrape(t)['holdfast_connects_refused_total{reason="Not authorized"}'], 0)


@case("MQTT-3.8.4-3", "MQTT-3.3.5-2")
def metrics_count_what_the_access_control_list_denies(t):
    path = os.path.join(t.directory, "acl")
    with open(path, "w", encoding="ascii") as file:
        file.write("topic readwrite a/#\n")
    start(t, authorization={"acl_file": path})
    client = t.client("c")
    client.subscribe("b", qos=1, refused=True)
    client.publish("b", b"x", qos=1, reasons=(0x87,))
    client.publish("b", b"x", qos=1, reasons=(0x87,))
    await_value(t, 'holdfast_acl_denials_total{action="subscribe"}', 1)
    await_value(t, 'holdfast_acl_denials_total{action="publish"}', 2)


@case("promise 5")
def metrics_count_handshakes_and_tell_when_a_certificate_expires(t):
    start(t, tls=True)
    t.client("c", transport="tls")
    with socket.create_connection(t.broker.listeners()["tls"], timeout=DEADLINE_S) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n" * 4)
        while stranger.recv(4096):
            pass
    await_value(t, 'holdfast_tls_handshakes_total{result="done"}', 1)
    await_value(t, 'holdfast_tls_handshakes_total{result="failed"}', 1)
    certificate, _ = t.server_certificate()
    said = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", certificate], check=True,
                          capture_output=True, text=True).stdout
    expires = calendar.timegm(time.strptime(said.strip(), "notAfter=%b %d %H:%M:%S %Y GMT"))
    checks.equal("expiry", scrape(t)['holdfast_certificate_expiry_timestamp_seconds{listener="tls"}'],
                 expires)


@case("promise 5")
def metrics_are_bounded_by_the_configuration(t):
    """Clients, sessions and topics make no series."""
    start(t)
    t.client("first").subscribe("a", qos=1)
    before = set(scrape(t))
    for number in range(20):
        t.away(f"client-{number}", f"topic/{number}", qos=1)
        t.client("publisher").publish(f"topic/{number}", b"x", qos=1, retain=True)
    checks.equal("series", set(scrape(t)), before)


@case("promise 5")
def promtool_has_nothing_to_say_about_the_metrics(t):
    if shutil.which("promtool") is None:
        t.skip("promtool is not installed: script/bootstrap --all")
    start(t)
    t.client("c").publish("a", b"x", qos=1)
    _, _, text = request((t.address, PORT), "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    checks.equal("promtool", (done.returncode, done.stdout), (0, ""))
    helped = set(re.findall(r"^# HELP (\S+) ", text, re.MULTILINE))
    with open(os.path.join(os.path.dirname(__file__), "../../docs/metrics.md"),
              encoding="ascii") as file:
        documented = set(re.findall(r"^\| `(\w+)` \|", file.read(), re.MULTILINE))
    checks.equal("documented", helped, documented)


@case("promise 5")
def the_admin_listener_answers_those_who_have_the_token(t):
    path = os.path.join(t.directory, "token")
    with open(path, "w", encoding="ascii") as file:
        file.write(TOKEN + "\n")
    start(t, {"token_file": path})
    address = (t.address, PORT)
    for given in (None, "", TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        status, headers, _ = request(address, "/metrics", token=given)
        checks.equal(f"status for {given!r}", status, 401)
        checks.equal("challenge", headers["WWW-Authenticate"], "Bearer")
    checks.that(scrape(t, TOKEN), "nothing is said")
    with open(path, "w", encoding="ascii") as file:
        file.write(TOKEN[::-1] + "\n")
    checks.equal("old token", request(address, "/metrics", token=TOKEN)[0], 401)
    checks.that(scrape(t, TOKEN[::-1]), "a token that was replaced is not taken")
    os.remove(path)
    checks.equal("no token", request(address, "/metrics", token=TOKEN[::-1])[0], 401)


@case("promise 5")
def the_admin_listener_knows_two_pages_and_no_verbs(t):
    start(t)
    address = (t.address, PORT)
    checks.equal("health", request(address, "/health")[::2], (200, "ok\n"))
    checks.equal("nothing else", request(address, "/nothing")[0], 404)
    checks.equal("no verbs", request(address, "/metrics", "POST")[0], 405)
    checks.equal("no body", request(address, "/metrics", "HEAD")[::2], (200, ""))


@case("promise 5")
def who_is_slow_to_ask_keeps_nobody_from_asking(t):
    start(t)
    slow = [socket.create_connection((t.address, PORT), timeout=DEADLINE_S) for _ in range(20)]
    for connection in slow:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
    checks.that(scrape(t), "nothing is said")
    t.broker.stop()  # nor does it keep the broker from stopping
    for connection in slow:
        connection.close()


@case("promise 5")
def an_address_that_is_taken_does_not_keep_the_broker_from_serving(t):
    t.holdfast_only("metrics")
    with socket.create_server((t.address, PORT)):
        t.start(admin={"http": f"{t.address}:{PORT}"})
        t.await_line("admin: cannot listen on")
        t.client("c").publish("a", b"x", qos=1)


def may_go_on_sending(t, head):
    """Whether a body without end is taken; with what was answered to it."""
    with socket.create_connection((t.address, PORT), timeout=DEADLINE_S) as sender:
        sender.sendall(b"%b HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n" % head)
        try:
            for _ in range(1000):  # 64 MB: more than sockets hold
                sender.sendall(bytes(1 << 16))
        except ConnectionError:
            return False
    return True


@case("promise 5", over={"token": (False, True)})
def a_body_without_end_is_not_read(t, token):
    path = os.path.join(t.directory, "token")
    with open(path, "w", encoding="ascii") as file:
        file.write(TOKEN + "\n")
    start(t, admin={"token_file": path} if token else ())
    for head in (b"POST /metrics", b"PUT /metrics", b"GET /metrics", b"PATCH /"):
        checks.equal(head.decode(), may_go_on_sending(t, head), False)
    checks.equal("status", request((t.address, PORT), "/health", token=TOKEN)[0], 200)


@case("promise 5")
def one_address_does_not_take_all_connections(t):
    start(t)
    held = [socket.create_connection((t.address, PORT), DEADLINE_S, ("127.0.0.2", 0))
            for _ in range(40)]
    for connection in held[:20]:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    for connection in held[32:]:  # closed at once: so it is known that the others have been taken
        checks.equal("bytes", connection.recv(1), b"")
    checks.equal("status", request((t.address, PORT), "/health")[0], 200)
    for connection in held:
        connection.close()


@case("issue 8")
def without_a_token_a_name_of_others_is_not_answered(t):
    """A page in a browser on this machine may have its own name resolve to here; its requests carry it."""
    start(t)
    address = f"{t.address}:{PORT}"
    for path in ("/metrics", "/health", "/"):
        for host, wanted in ((address, 200), (f"localhost:{PORT}", 200), ("[::1]", 200),
                             (f"evil.example:{PORT}", 421), (f"{t.address}.evil.example", 421)):
            with socket.create_connection((t.address, PORT), timeout=DEADLINE_S) as asker:
                asker.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                line = asker.makefile("rb").readline()
            checks.equal(f"{path} of {host}", line.split()[1], b"%d" % wanted)
