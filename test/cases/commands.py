"""holdfast sessions, session, retained, stats, top and drain: the running broker, from a shell."""

import json
import os
import pty
import select
import signal
import subprocess
import time

import checks
from case import case
from mqtt_wire import DEADLINE_S

TOP = ("PUBLISH", "commits/s", "limits", "dropped")


def start(t, **config):
    t.holdfast_only("its commands")
    t.start(**config)
    t.await_line("notice: ready")


def run(t, *words, status=0):
    done = subprocess.run([t.broker.binary, words[0], "-c", t.broker.config_file, *words[1:]], check=False,
                          capture_output=True, cwd=t.directory, timeout=DEADLINE_S)
    checks.equal(f"status of {words}: {done.stderr!r}", done.returncode, status)
    return (done.stdout if status == 0 else done.stderr).decode()


@case("issue 8", over={"workers": (1, 2)})
def sessions_are_listed_however_many_pages_they_take(t, workers):
    start(t, workers=workers)
    wanted = [f"c{number:03}" for number in range(30)]
    for name in wanted:
        t.away(name, "a", qos=1)
    lines = run(t, "sessions").splitlines()
    checks.that(lines[0].startswith("CLIENT"), lines[0])
    checks.equal("table", sorted(line.split()[0] for line in lines[1:]), wanted)
    found = [json.loads(line) for line in run(t, "sessions", "--json", "--client", "c00?").splitlines()]
    checks.equal("json", sorted(one["client"] for one in found), wanted[:10])
    checks.equal("none", run(t, "sessions", "--state", "connected", "--json"), "")


@case("issue 8")
def what_a_client_calls_itself_does_not_reach_the_terminal_as_it_is(t):
    start(t)
    name = "\x1b[2J\x07\u202ex"
    client = t.client(name)
    client.subscribe("\x1b]0;owned\x07", qos=0)
    for words in (("sessions",), ("session", "--client", name)):
        checks.that("\x1b" not in run(t, *words) and "\x07" not in run(t, *words), words)
    checks.equal("json", json.loads(run(t, "session", "--json", "--client", name))["client"], name)


@case("issue 8")
def retained_messages_and_numbers_are_printed(t):
    start(t)
    t.client("c").publish("house/state", b"on", qos=1, retain=True)
    line = run(t, "retained", "--filter", "house/#").splitlines()[1]
    checks.equal("line", line.split(), ["house/state", "1", "2", "on"])
    checks.that("retained: " in run(t, "stats"), "no numbers")
    checks.that(json.loads(run(t, "stats", "--json"))["connected"] >= 0, "no numbers")


@case("issue 8")
def what_is_asked_wrongly_is_told_on_standard_error(t):
    start(t)
    checks.that("there is no session" in run(t, "session", "--client", "nobody", status=1), "not told")
    checks.that("usage:" in run(t, "session", status=2), "not told")
    checks.that("usage:" in run(t, "stats", "--client", "c", status=2), "not told")
    checks.that("rate" in run(t, "drain", "--rate", "0", status=1), "not told")
    t.broker.stop()
    checks.that("no broker answers" in run(t, "sessions", status=1), "not told")


@case("rule 16")
def a_broker_is_drained_from_the_shell(t):
    start(t)
    client = t.client("c")
    checks.that("connections: 1" in run(t, "drain", "--reason", "use_another_server"), "not told")
    client.expect_disconnect(0x9C)
    t.broker.wait_for_exit()


def read_until(fd, words):
    """What a terminal shows, until it has all of these."""
    text, deadline = "", time.monotonic() + DEADLINE_S
    while not all(word in text for word in words):
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        checks.that(ready, f"{words} do not come: {text!r}")
        text += os.read(fd, 65536).decode()
    return text


@case("issue 8")
def top_shows_what_happens_and_leaves_the_terminal_as_it_was(t):
    start(t)
    master, slave = pty.openpty()
    top = subprocess.Popen([t.broker.binary, "top", "-c", t.broker.config_file, "--interval", "1"],
                           stdout=slave, stderr=slave, cwd=t.directory)
    try:
        text = read_until(master, ("\x1b[?1049h", *TOP))
        checks.that("holdfast" in text, text)
        top.send_signal(signal.SIGINT)
        read_until(master, ("\x1b[?25h\x1b[?1049l",))
        checks.equal("status", top.wait(DEADLINE_S), 0)
    finally:
        top.kill()
        os.close(slave)
        os.close(master)
