"""The alert rules: each fires where its condition is met, and only there. Prometheus's promtool judges."""

import json
import os
import re
import shutil
import subprocess

import checks
from case import case
from http_client import request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
RULES = os.path.join(ROOT, "packaging", "prometheus-alerts.yml")
INSTANCE = "broker:9883"
LIMIT = "holdfast_limit_used_ratio{limit=\"max_store_bytes\"}"
DROPPED = "holdfast_messages_dropped_total{reason=\"%s\"}"
CERTIFICATE = "holdfast_certificate_expiry_timestamp_seconds{listener=\"tls\"}"
REFUSED = "holdfast_connects_refused_total{reason=\"%s\"}"
WARNING, CRITICAL = "warning", "critical"


def buckets(name, slow):
    """A histogram of which so many values of a hundred are slower than a tenth of a second."""
    return {f"{name}_bucket{{le=\"0.065536\"}}": f"0+{100 - slow}x30",
            f"{name}_bucket{{le=\"0.131072\"}}": f"0+{100 - slow}x30",
            f"{name}_bucket{{le=\"0.262144\"}}": "0+100x30",
            f"{name}_bucket{{le=\"+Inf\"}}": "0+100x30"}


# alert: (series that fire it, its severity, labels besides, its words; series that do not)
ALERTS = {
    "HoldfastDown": (
        {"up": "1x9 0x20"}, CRITICAL, {}, f"{INSTANCE} does not answer", {"up": "1x30"}),
    "HoldfastStoreStalled": (
        {"holdfast_store_stalled": "1x30"}, CRITICAL, {},
        f"The disk of {INSTANCE} fails: QoS 1 and 2 are refused", {"holdfast_store_stalled": "0x30"}),
    "HoldfastCommitsFail": (
        {"holdfast_store_commits_failed_total": "0+1x30"}, WARNING, {},
        f"Commits of {INSTANCE} fail, and are repeated",
        {"holdfast_store_commits_failed_total": "7x30"}),
    "HoldfastDiskSlow": (
        buckets("holdfast_store_sync_seconds", 2), WARNING, {},
        f"One commit of {INSTANCE} in a hundred takes 196.6ms",
        buckets("holdfast_store_sync_seconds", 0)),
    "HoldfastLimitNear": (
        {LIMIT: "0.9x30"}, WARNING, {"limit": "max_store_bytes"},
        f"max_store_bytes of {INSTANCE} is 90% used", {LIMIT: "0.8x30"}),
    "HoldfastQueuesNearFull": (
        {"holdfast_queues_near_full": "3x30"}, WARNING, {},
        f"3 sessions of {INSTANCE} have a queue that is nearly full",
        {"holdfast_queues_near_full": "0x30"}),
    "HoldfastMessagesDropped": (
        {DROPPED % "queue_full": "0+5x30"}, WARNING, {"reason": "queue_full"},
        f"{INSTANCE} drops messages: queue_full",
        {DROPPED % "queue_full": "5x30", DROPPED % "expired": "0+5x30"}),
    "HoldfastWorkersBusy": (
        buckets("holdfast_worker_turn_seconds", 2), WARNING, {},
        f"Turns of the workers of {INSTANCE} take 196.6ms",
        buckets("holdfast_worker_turn_seconds", 0)),
    "HoldfastCertificateExpires": (
        {CERTIFICATE: f"{10 * 86400 + 1200}x30"}, WARNING, {"listener": "tls"},
        f"The certificate of listener tls of {INSTANCE} expires in 10d 0h 0m 0s",
        {CERTIFICATE: f"{15 * 86400}x30"}),
    "HoldfastHandshakesFail": (
        {"holdfast_tls_handshakes_total{result=\"failed\"}": "0+180x30",
         "holdfast_tls_handshakes_total{result=\"done\"}": "0+60x30"}, WARNING,
        {"result": "failed"}, f"Most TLS handshakes with {INSTANCE} fail",
        {"holdfast_tls_handshakes_total{result=\"failed\"}": "0+180x30",
         "holdfast_tls_handshakes_total{result=\"done\"}": "0+600x30"}),
    "HoldfastPasswordsTried": (
        {REFUSED % "Bad User Name or Password": "0+120x30"}, WARNING,
        {"reason": "Bad User Name or Password"}, f"Passwords are tried at {INSTANCE}, 2 a second",
        {REFUSED % "Bad User Name or Password": "0+30x30", REFUSED % "Quota exceeded": "0+600x30"}),
    "HoldfastDescriptorsRunOut": (
        {"process_open_fds": "900x30", "process_max_fds": "1000x30"}, CRITICAL, {},
        f"{INSTANCE} has 90% of its descriptors open",
        {"process_open_fds": "700x30", "process_max_fds": "1000x30"}),
}


def need_promtool(t):
    t.holdfast_only("alert rules")
    if shutil.which("promtool") is None:
        t.skip("promtool is not installed: script/bootstrap --all")


def with_labels(series):
    name, _, labels = series.partition("{")
    labels = labels.rstrip("}") + ("," if labels else "")
    return f"{name}{{{labels}instance=\"{INSTANCE}\",job=\"holdfast\"}}"


def trial(which, expected_of):
    """All alerts over their series in place `which`. One trial for all: each costs a database."""
    series = {name: values for entry in ALERTS.values() for name, values in entry[which].items()}
    return {"interval": "1m",
            "input_series": [{"series": with_labels(name), "values": values}
                             for name, values in series.items()],
            "alert_rule_test": [{"eval_time": "20m", "alertname": alert,
                                 "exp_alerts": expected_of(alert)} for alert in ALERTS]}


def expected(alert):
    _, severity, labels, words, _ = ALERTS[alert]
    own = {"instance": INSTANCE, "job": "holdfast", "severity": severity, **labels}
    return [{"exp_labels": own, "exp_annotations": {"summary": words}}]


@case("promise 5", timeout=60)
def each_alert_fires_where_its_condition_is_met_and_only_there(t):
    need_promtool(t)
    trials = [trial(0, expected), trial(-1, lambda _: [])]
    path = os.path.join(t.directory, "trials.yml")
    with open(path, "w", encoding="ascii") as file:  # JSON is YAML
        json.dump({"rule_files": [RULES], "evaluation_interval": "1m", "tests": trials}, file)
    done = subprocess.run(["promtool", "test", "rules", path], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    checks.that(done.returncode == 0, done.stdout)


@case("promise 5")
def every_alert_is_tried_and_explained_and_asks_for_what_there_is(t):
    need_promtool(t)
    with open(RULES, encoding="ascii") as file:
        rules = file.read()
    checks.equal("alerts", set(re.findall(r"- alert: (\w+)", rules)), set(ALERTS))
    with open(os.path.join(ROOT, "docs", "operation.md"), encoding="utf-8") as file:
        explained = set(re.findall(r"^\| `(Holdfast\w+)` \|", file.read(), re.MULTILINE))
    checks.equal("explained", explained, set(ALERTS))
    t.start(admin={"http": f"{t.address}:9883"})
    t.await_line("admin: HTTP on")
    _, _, page = request((t.address, 9883), "/metrics")
    there = set(re.findall(r"^(\w+?)(?:\{.*)? \S+$", page, re.MULTILINE))
    asked = set(re.findall(r"\b((?:holdfast|process)_\w+)", rules)) - {
        "holdfast_limit_used_ratio", "holdfast_certificate_expiry_timestamp_seconds"}  # none is set
    checks.equal("what is asked for and not there", asked - there, set())
