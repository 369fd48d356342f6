"""Each alert rule, fired by what it is about, through a real Prometheus: it scrapes the broker as docs/operation.md
says, evaluates packaging/prometheus-alerts.yml, and tells the test, which stands in the place of its Alertmanager.

The rules are the shipped ones with their times cut short, so that a case takes seconds: what is [5m] is [10s], and
"for" is a second. Thresholds are as they are. alerts.py shows with promtool what the times do."""

import contextlib
import http.server
import json
import os
import queue
import re
import resource
import shutil
import socket
import subprocess
import threading
import time

import checks
import mqtt_packet as mqtt
import preload
from case import case
from cases.administration import PORT, TOKEN, start
from cases.alerts import ALERTS, RULES
from cases.passwords import refused, write_users
from cases.scarcity import fill_disk, free_disk, limit
from mqtt_packet import PUBACK
from mqtt_wire import DEADLINE_S
from slow_disk import SlowDisk

SCRAPED = "ScrapedByTheTest"
SLOW_S = 0.15
BETWEEN_S = 0.1  # causes of one thing


# ---- Prometheus, and who it tells ----

class Manager(http.server.ThreadingHTTPServer):
    """In the place of an Alertmanager. Alerts that fire come out of `fired`, with labels and annotations."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__(address, Listener)
        self.fired = queue.SimpleQueue()
        self.seen = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def told_of(self, alert, seconds):
        """The alert, if it has come or comes within so many seconds; else None."""
        deadline = time.monotonic() + seconds
        while alert not in self.seen:
            try:
                one = self.fired.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                return None
            self.seen[one["labels"]["alertname"]] = one
        return self.seen[alert]


class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for alert in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            self.server.fired.put(alert)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def write_rules(path):
    with open(RULES, encoding="ascii") as file:
        rules = file.read()
    rules = re.sub(r"\bfor: \w+", "for: 1s", rules.replace("[5m]", "[10s]"))
    with open(path, "w", encoding="ascii") as file:
        file.write(rules + f"      - alert: {SCRAPED}\n        expr: up{{job=\"holdfast\"}} == 1\n")


def configuration(t, rules, manager):
    token = os.path.join(t.directory, "token")
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
            "scrape_configs": [{"job_name": "holdfast", "authorization": {"credentials_file": token},
                                "static_configs": [{"targets": [f"{t.address}:{PORT}"]}]}]}


@contextlib.contextmanager
def prometheus(t):
    """The Manager of one that has scraped the broker and has said so."""
    manager = Manager((t.address, 9093))
    rules, config = (os.path.join(t.directory, name) for name in ("rules.yml", "prometheus.yml"))
    write_rules(rules)
    with open(config, "w", encoding="ascii") as file:  # JSON is YAML
        json.dump(configuration(t, rules, f"{t.address}:9093"), file)
    with open(os.path.join(t.directory, "prometheus.log"), "w+b") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--web.listen-address={t.address}:9090",
             f"--storage.tsdb.path={t.directory}/tsdb", "--log.level=warn"], stdout=log, stderr=log)
        try:
            if manager.told_of(SCRAPED, 4 * DEADLINE_S) is None:
                log.seek(0)
                raise AssertionError(f"the broker is not scraped: {log.read()[-2000:]}")
            yield manager
        finally:
            process.kill()
            process.wait()


# ---- What each alert is about ----
#
# Each starts the broker, and yields when all is well; then it brings its condition about, once more whenever it is
# asked to. What it leaves behind that would keep the broker from stopping is put right at its end.

def down(t):
    start(t)
    yield
    t.broker.kill()
    while True:
        yield


def disk_that_is_full(t):
    start(t, sqlite={"disk_stall_limit": 500})
    t.away("away", "a", qos=1)
    publisher = t.client("publisher", keep_alive=0)
    yield
    fill_disk(t)
    waiting = publisher.send_publish("a", b"x", qos=1)
    try:
        while True:
            yield
    finally:
        free_disk(t)
        publisher.expect(PUBACK, packet_id=waiting)


def slow_disk(t):
    disk = SlowDisk(t, starting=start)
    t.away("away", "a", qos=1)
    publisher = t.client("publisher", keep_alive=0)
    while True:
        yield
        disk.hold()
        waiting = publisher.send_publish("a", b"x", qos=1)
        disk.wait_for_sync()
        t.pass_time(SLOW_S)
        disk.release()
        publisher.expect(PUBACK, packet_id=waiting, reason=0)


def sessions_up_to_their_limit(t):
    start(t, mqtt={"max_stored_sessions": 5})
    yield
    for number in range(5):
        t.away(f"away-{number}", "a", qos=1)
    while True:
        yield


def queue_that_fills(t):
    """Then it is full, and drops."""
    start(t, mqtt={"max_queued_messages": 10})
    t.away("away", "a", qos=1)
    publisher = t.client("publisher", keep_alive=0)
    while True:
        yield
        publisher.publish("a", b"x", qos=1, reasons=(0x00, 0x97))


def no_processor(t):
    """The broker is stopped in the middle of turns, as by a machine that has other work."""
    start(t)
    client = t.client("client", keep_alive=0)
    client.subscribe("a", qos=0)
    burst = (mqtt.publish(5, "a", b"x") + 2000 * mqtt.publish(5, "b", b"x")) * 100
    while True:
        yield
        client.send(burst)
        client.message(topic="a")  # it is at work
        t.broker.pause()
        t.pass_time(SLOW_S)
        t.broker.resume()
        client.messages(99)


def certificate_that_ends_soon(t):
    """One for sixty days is replaced by one for two."""
    certificate, key = t.authority.server(t.directory, t.address, "long", days="60")
    start(t, tls=True, secure={"certificate": certificate, "key": key})
    yield
    for new, old in zip(t.server_certificate(), (certificate, key)):
        shutil.copy(new, old)
    t.broker.reload()
    while True:
        yield


def strangers_at_the_tls_listener(t):
    start(t, tls=True)
    while True:
        yield
        with socket.create_connection(t.broker.listeners()["tls"], timeout=DEADLINE_S) as stranger:
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n" * 4)
            while stranger.recv(4096):
                pass


def wrong_passwords(t):
    start(t, listener={"allow_anonymous": False},
          authentication={"password_file": write_users(t), "max_failures": 0})
    while True:
        yield
        refused(t, 5, user="alice", password="wrong")


def connections_up_to_the_descriptors(t):
    start(t)
    yield
    limit(t, resource.RLIMIT_NOFILE, 100)
    while len(os.listdir(f"/proc/{t.broker.process.pid}/fd")) < 90:
        t.client(keep_alive=0)
    while True:
        yield


CAUSES = {
    "HoldfastDown": down,
    "HoldfastStoreStalled": disk_that_is_full,
    "HoldfastCommitsFail": disk_that_is_full,
    "HoldfastDiskSlow": slow_disk,
    "HoldfastLimitNear": sessions_up_to_their_limit,
    "HoldfastQueuesNearFull": queue_that_fills,
    "HoldfastMessagesDropped": queue_that_fills,
    "HoldfastWorkersBusy": no_processor,
    "HoldfastCertificateExpires": certificate_that_ends_soon,
    "HoldfastHandshakesFail": strangers_at_the_tls_listener,
    "HoldfastPasswordsTried": wrong_passwords,
    "HoldfastDescriptorsRunOut": connections_up_to_the_descriptors,
}

# What a busy machine may bring about before the case does.
BY_THE_MACHINE = ("HoldfastDown", "HoldfastDiskSlow", "HoldfastWorkersBusy")


def fire(alert, cause, manager):
    """What Prometheus says when the alert fires."""
    deadline = time.monotonic() + 6 * DEADLINE_S
    while (fired := manager.told_of(alert, BETWEEN_S)) is None:
        checks.that(time.monotonic() < deadline, f"{alert} does not fire")
        next(cause)
    return fired


@case("issue 8", over={"alert": tuple(ALERTS)}, long=True, timeout=150, needs=("prometheus", *preload.NEEDS))
def an_alert_is_fired_by_what_it_is_about(t, alert):
    t.holdfast_only("alert rules")
    _, severity, labels, _, _ = ALERTS[alert]
    cause = CAUSES[alert](t)
    next(cause)
    with contextlib.closing(cause), prometheus(t) as manager:
        if alert not in BY_THE_MACHINE:
            checks.that(manager.told_of(alert, 0) is None, "it fires before anything is wrong")
        fired = fire(alert, cause, manager)
    wanted = {"severity": severity, "instance": f"{t.address}:{PORT}", "job": "holdfast"}
    checks.equal("labels", {name: fired["labels"].get(name) for name in wanted}, wanted)
    checks.that(set(labels) <= set(fired["labels"]), fired["labels"])
    checks.that(t.address in fired["annotations"]["summary"], fired["annotations"])
