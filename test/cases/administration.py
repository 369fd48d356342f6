"""What an operator can have the broker do and tell, over HTTP and over the control socket."""

import base64
import json
import os
import resource
import socket
import time
import urllib.parse

import checks
from case import case
from http_client import call, request
from mqtt_wire import DEADLINE_S

PORT = 9883
TOKEN = "0123456789abcdef-of-a-test"
API = "/api/v1"
HOSTILE = ('"</script><img src=x onerror=alert(1)>', "\u202e\u2028\u0001\\u0000", "a/b?c=d&e#%00",
           "\U0001f980\ufeff", "'; DROP TABLE--", " ")


def start(t, **config):
    t.holdfast_only("its administration")
    path = os.path.join(t.directory, "token")
    with open(path, "w", encoding="ascii") as file:
        file.write(TOKEN + "\n")
    t.start(admin={"http": f"{t.address}:{PORT}", "token_file": path}, **config)
    t.await_line("admin: HTTP on")


def ask(t, method, path, **arguments):
    return call((t.address, PORT), TOKEN, method, API + path, **arguments)


def done(t, method, path, **arguments):
    status, answer = ask(t, method, path, **arguments)
    checks.that(status in (200, 202), f"{method} {path}: {status} {answer}")
    return answer


def over_socket(t, question):
    """What the control socket answers to one line."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(DEADLINE_S)
        control.connect(os.path.join(t.broker.store, "holdfast.sock"))
        control.sendall(question + b"\n")
        return json.loads(control.makefile().readline())


def restart(t):
    t.broker.kill_and_restart()
    deadline = time.monotonic() + DEADLINE_S
    while len(t.lines_about("admin: HTTP on")) < 2 and time.monotonic() < deadline:
        t.pass_time(0.02)


def names(answer):
    return sorted(session["client"] for session in answer["sessions"])


def await_sessions(t, count, **filters):
    """A worker notices a moment after a client that it is gone."""
    deadline = time.monotonic() + DEADLINE_S
    while len(found := names(done(t, "GET", "/sessions", **filters))) != count:
        if time.monotonic() > deadline:
            raise AssertionError(f"{filters}: {found}, not {count}")
        t.pass_time(0.05)
    return found


# ---- Sessions ----

@case("issue 8", over={"workers": (1, 3)})
def sessions_come_by_pages_and_each_once(t, workers):
    start(t, workers=workers)
    wanted = [f"client-{number}" for number in range(25)]
    for name in wanted:
        t.away(name, "a", qos=1)
    found, cursor, pages = [], {}, 0
    while True:
        page = done(t, "GET", "/sessions", limit=4, **cursor)
        checks.that(len(page["sessions"]) <= 4, page)
        found += names(page)
        pages += 1
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
        t.away(f"client-{pages % 25}", "b", qos=1)  # nor does what happens meanwhile move any
    checks.equal("sessions", sorted(found), sorted(wanted))


@case("issue 8")
def sessions_are_found_by_pattern_state_and_user(t):
    start(t, workers=2)
    t.away("pump-1", "a", qos=1)
    t.client("pump-2", stored=True)
    t.client("fan-1")
    await_sessions(t, 1, state="away")
    for filters, wanted in (({}, ["fan-1", "pump-1", "pump-2"]), ({"client": "pump-*"}, ["pump-1", "pump-2"]),
                            ({"client": "*-1", "state": "connected"}, ["fan-1"]),
                            ({"client": "pump"}, []), ({"client": "pump-?", "state": "away"}, ["pump-1"]),
                            ({"user": "nobody"}, [])):
        checks.equal(str(filters), names(done(t, "GET", "/sessions", **filters)), wanted)


@case("issue 8")
def one_session_is_told_with_all_that_concerns_it(t):
    start(t, workers=2)
    client = t.client("c", stored=True, props={"receive_maximum": 1})
    client.subscribe("house/#", qos=2)
    publisher = t.client("p")
    for number in range(3):
        publisher.publish("house/set", b"%d" % number, qos=1)
    found = done(t, "GET", "/session", client="c")
    checks.equal("state", (found["state"], found["version"], found["stored"]), ("connected", "5.0", True))
    checks.equal("subscribed", [(one["filter"], one["qos"]) for one in found["subscribed"]], [("house/#", 2)])
    checks.equal("limits", (found["limits"]["receive_maximum"], found["limits"]["send_quota"]), (1, 0))
    checks.equal("exchanges", [(one["topic"], one["qos"]) for one in found["exchanges"]], [("house/set", 1)])
    checks.equal("waiting", (found["inflight"], found["queued"]), (1, 2))
    machines = {one["name"]: one["state"] for one in found["machines"]}
    checks.equal("machines", (machines["connection"], machines["session"]), ("CONNECTED", "CONNECTED"))
    checks.that(any(step.get("machine") == "session" and step["to"] == "CONNECTED" for step in found["steps"]),
                found["steps"])
    checks.equal("nobody", ask(t, "GET", "/session", client="nobody")[0], 404)


@case("MQTT-3.14.0-1", over={"version": (5, 4)})
def who_is_kicked_over_http_is_told_and_may_come_back(t, version):
    start(t)
    client = t.client("c", version, stored=True)
    checks.equal("kick", ask(t, "POST", "/kick", client="c"), (200, {"kicked": True}))
    client.expect_disconnect(0x98)
    checks.that(t.back("c", version).connack.session_present, "its session is gone")
    checks.equal("nobody", ask(t, "POST", "/kick", client="nobody")[0], 404)


@case("MQTT-4.1.0-2", over={"connected": (False, True)})
def a_session_that_is_deleted_does_not_come_back_after_a_restart_either(t, connected):
    start(t, workers=2)
    t.away("c", "a", qos=1)
    t.client("p").publish("a", b"x", qos=1)
    client = t.back("c") if connected else None
    answer = done(t, "DELETE", "/session", client="c")
    checks.equal("answer", answer, {"deleted": True, "durable": True})
    if client is not None:
        client.message(topic="a")
        client.expect_disconnect(0x98)
    checks.equal("gone", ask(t, "GET", "/session", client="c")[0], 404)
    checks.equal("again", ask(t, "DELETE", "/session", client="c")[0], 404)
    restart(t)
    checks.that(not t.client("c", stored=True).connack.session_present, "it is there again")


# ---- Messages ----

@case("MQTT-4.3.2-4", over={"qos": (0, 1, 2)})
def what_is_published_over_http_reaches_who_is_there_and_who_is_away(t, qos):
    start(t, workers=2)
    t.away("away", "a", qos=2)
    there = t.client("there")
    there.subscribe("a", qos=2)
    answer = done(t, "POST", "/publish", topic="a", payload="caf\u00e9", qos=qos)
    checks.equal("durable", answer["durable"], True)
    there.message(topic="a", payload="caf\u00e9".encode(), qos=qos)
    t.broker.kill_and_restart()
    back = t.back("away")
    if qos > 0:
        back.message(topic="a", payload="caf\u00e9".encode(), qos=qos)


@case("MQTT-3.3.1-5", "MQTT-3.3.1-6")
def retained_messages_are_listed_by_pages_and_deleted_by_filter(t):
    start(t, workers=2)
    for number in range(12):
        done(t, "POST", "/publish", topic=f"r/{number}", payload=str(number), retain=True, qos=1)
    raw = bytes(range(256))
    done(t, "POST", "/publish", topic="raw", payload_base64=base64.b64encode(raw).decode(), retain=True)
    found, cursor = [], {}
    while True:
        page = done(t, "GET", "/retained", filter="r/+", limit=5, **cursor)
        found += page["messages"]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    checks.equal("topics", sorted(one["topic"] for one in found), sorted(f"r/{n}" for n in range(12)))
    checks.that(all(one["payload"] == one["topic"][2:] for one in found), found)
    other = done(t, "GET", "/retained", filter="raw")["messages"]
    checks.equal("raw", base64.b64decode(other[0]["payload_base64"]), raw)
    answer = done(t, "DELETE", "/retained", filter="r/+", limit=10)
    checks.equal("deleted", answer, {"deleted": 10, "more": True, "durable": True})
    checks.equal("the rest", done(t, "DELETE", "/retained", filter="r/#")["deleted"], 2)
    restart(t)
    client = t.client("c")
    client.subscribe("#", qos=1)
    client.message(topic="raw", payload=raw, retain=True)
    checks.equal("left", [one["topic"] for one in done(t, "GET", "/retained")["messages"]], ["raw"])
    client.subscribe("$SYS/broker/version")
    client.message(topic="$SYS/broker/version")  # those below $SYS are there, and count for nothing
    checks.equal("counted", done(t, "GET", "/stats")["retained"], 1)


@case("MQTT-3.3.2-2")
def what_cannot_be_published_is_refused(t):
    start(t)
    for arguments in ({"topic": "a/#"}, {"topic": ""}, {"payload": "x"}, {"topic": "a", "qos": 3},
                      {"topic": "$SYS/broker/x"}, {"topic": "a", "payload": "x", "payload_base64": "eA=="},
                      {"topic": "a", "payload_base64": "x"}, {"topic": "a", "retain": 1},
                      {"topic": 7}, {"topic": "a", "qos": "two"}, {"topic": "a", "expiry": 3},
                      {"topic": "x" * 65536}):
        status, answer = ask(t, "POST", "/publish", **arguments)
        checks.equal(f"{str(arguments)[:60]}: {answer}", status, 400)


# ---- The broker ----

@case("issue 8")
def the_numbers_are_those_of_the_metrics(t):
    start(t, tls=True)
    t.away("away", "a", qos=1)
    t.client("c").publish("a", b"x", qos=1)
    found = done(t, "GET", "/stats")
    checks.equal("sessions", (found["connected"], found["away"], found["stored_sessions"]), (1, 1, 1))
    checks.equal("received", found["traffic"]["publish_received"], [0, 1, 0])
    checks.that(found["store"]["commits"] > 0 and sum(found["store"]["commit_us"]["counts"]) > 0, found)
    listeners = {one["name"]: one for one in done(t, "GET", "/listeners")["listeners"]}
    checks.equal("plain", (listeners["plain"]["transport"], listeners["plain"]["address"]),
                 ("tcp", f"{t.address}:1883"))
    checks.that(listeners["tls"]["certificate_expires_s"] > time.time(), listeners)


@case("issue 8")
def the_level_of_the_log_changes_until_the_next_reload(t):
    start(t)
    done(t, "PUT", "/log_level", level="trace")
    t.client("c")
    t.await_line("trace:")
    checks.equal("no such level", ask(t, "PUT", "/log_level", level="loud")[0], 400)
    checks.equal("reload", ask(t, "POST", "/reload"), (202, {"asked": True}))
    t.await_line("SIGHUP: reading")


@case("issue 8")
def a_backup_over_http_is_a_whole_store(t):
    start(t)
    t.away("c", "a", qos=1)
    t.client("p").publish("a", b"x", qos=1)
    target = os.path.join(t.directory, "copy")
    checks.equal("answer", ask(t, "POST", "/backup", directory=target), (200, {"directory": target}))
    checks.that(os.path.getsize(os.path.join(target, "holdfast.db")) > 0, "it is empty")
    checks.equal("again", ask(t, "POST", "/backup", directory=target)[0], 409)
    checks.equal("relative", ask(t, "POST", "/backup", directory="copy")[0], 400)


@case("MQTT-3.14.0-1", "rule 16", over={"reason": (0x8B, 0x9C)})
def a_drained_broker_sends_its_clients_away_at_a_rate_and_stops(t, reason):
    start(t, workers=2)
    clients = [t.client(f"c{number}", stored=True) for number in range(6)]
    clients[0].subscribe("a", qos=1)
    begun = time.monotonic()
    word = {0x8B: "shutting_down", 0x9C: "use_another_server"}[reason]
    answer = done(t, "POST", "/drain", rate=5, reason=word)
    checks.equal("answer", answer, {"connections": 6, "rate": 5})
    checks.equal("once", ask(t, "POST", "/drain")[0], 409)
    try:
        socket.create_connection((t.address, 1883), timeout=DEADLINE_S).close()
        raise AssertionError("a new connection is taken")
    except ConnectionRefusedError:
        pass
    for client in clients:
        client.expect_disconnect(reason)
    t.broker.wait_for_exit()
    checks.that(time.monotonic() - begun > 0.8, "they were all sent away at once")
    checks.equal("status", t.broker.process.returncode, 0)
    t.broker.start()
    checks.that(t.back("c0").connack.session_present, "a session is gone")


# ---- The control socket has the same ----

@case("issue 8")
def the_control_socket_has_the_same_verbs(t):
    start(t)
    t.client("c")
    checks.equal("sessions", names(over_socket(t, b'{"sessions": {"limit": 10}}')["result"]), ["c"])
    for wrong in (b"{}", b"[]", b'{"sessions": 3}', b'{"nothing": {}}', b'{"sessions": {}, "stats": {}}',
                  b"\xff", b'{"sessions": {"client": "\xff"}}', b"{" * 5000, b'{"session": {}}',
                  b'{"sessions": {"limit": 1, "limit": 2}}'):
        checks.that("error" in over_socket(t, wrong), wrong)


# ---- Hostile names and hostile requests ----

@case("issue 8", "MQTT-1.5.4-2")
def what_peers_choose_comes_back_as_they_chose_it(t):
    start(t)
    for name in HOSTILE:
        client = t.client(name)
        client.subscribe("t/" + name.replace("#", ""), qos=0)
        found = done(t, "GET", "/session", client=name)
        checks.equal("client", found["client"], name)
        checks.equal("filter", found["subscribed"][0]["filter"], "t/" + name.replace("#", ""))
    checks.equal("all", names(done(t, "GET", "/sessions")), sorted(HOSTILE))


@case("issue 8")
def without_the_token_nothing_is_told_or_done(t):
    start(t)
    client = t.client("c")
    for method, path in (("GET", "/sessions"), ("POST", "/kick"), ("DELETE", "/session?client=c"),
                         ("POST", "/drain"), ("GET", "/stats")):
        for token in (None, "", TOKEN[:-1], TOKEN + "x"):
            status, headers, _ = request((t.address, PORT), API + path, method, token=token,
                                         body='{"client": "c"}' if method == "POST" else None)
            checks.equal(f"{method} {path}", (status, headers["WWW-Authenticate"]), (401, "Bearer"))
    # nor as part of the query, where other pages of a browser could put it
    checks.equal("query", request((t.address, PORT), f"{API}/stats?token={TOKEN}")[0], 401)
    client.publish("a", b"still here", qos=1)


@case("issue 8")
def without_a_token_file_there_is_no_administration(t):
    t.holdfast_only("its administration")
    t.start(admin={"http": f"{t.address}:{PORT}"})
    t.await_line("admin: HTTP on")
    for method, path in (("GET", "/sessions"), ("POST", "/drain")):
        checks.equal(path, request((t.address, PORT), API + path, method, body="{}" if method == "POST" else None)[0],
                     403)


def raw(t, data):
    """The status line of what is answered; "" where the connection is closed without."""
    with socket.create_connection((t.address, PORT), timeout=DEADLINE_S) as sender:
        try:
            sender.sendall(data)
            return sender.makefile("rb").readline().decode("latin-1").strip()
        except ConnectionError:
            return ""


def head(line, *fields):
    fields = (b"Host: x", b"Authorization: Bearer " + TOKEN.encode(), *fields)
    return line + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"


@case("issue 8", timeout=120)
def hostile_requests_are_refused_and_do_no_harm(t):
    start(t)
    post = API.encode() + b"/publish"
    for name, data, wanted in (
            ("no JSON", head(b"POST " + post, b"Content-Length: 1") + b"{", "400"),
            ("no object", head(b"POST " + post, b"Content-Length: 2") + b"[]", "400"),
            ("no UTF-8", head(b"POST " + post, b"Content-Length: 13") + b'{"topic":"\xff"}', "400"),
            ("a surrogate", head(b"POST " + post, b"Content-Length: 18") + b'{"topic":"\\ud800"}', "400"),
            ("deep", head(b"POST " + post, b"Content-Length: 100000") + b"[" * 100000, "400"),
            ("too large", head(b"POST " + post, b"Content-Length: 524289"), "413"),
            ("endless", head(b"POST " + post, b"Content-Length: 99999999999999999999"), "4"),
            ("query, no UTF-8", head(b"GET " + API.encode() + b"/sessions?client=%ff"), "400"),
            ("query, zero", head(b"GET " + API.encode() + b"/session?client=a%00b"), "404"),
            ("query, twice", head(b"GET " + API.encode() + b"/sessions?limit=1&limit=2"), "400"),
            ("cursor", head(b"GET " + API.encode() + b"/sessions?cursor=9.9"), "400"),
            ("cursor far away", head(b"GET " + API.encode() + b"/sessions?cursor=0.999999999999999"), "200"),
            ("limit", head(b"GET " + API.encode() + b"/sessions?limit=1001"), "400"),
            ("pattern", head(b"GET " + API.encode() + b"/sessions?client=" + b"*" * 65), "400"),
            ("path", head(b"GET " + API.encode() + b"/../../etc/passwd"), "404"),
            ("method", head(b"PATCH " + API.encode() + b"/session"), "405"),
            ("long line", b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\n\r\n", "")):
        try:
            answer = raw(t, data)
        except TimeoutError as error:
            raise AssertionError(f"{name}: no answer") from error
        checks.that(wanted in answer if wanted else True, f"{name}: {answer!r}, not {wanted}")
    chunks = head(b"POST " + post, b"Transfer-Encoding: chunked") + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20
    checks.that("200" not in raw(t, chunks), "a body without end is read")
    checks.equal("health", request((t.address, PORT), "/health", token=TOKEN)[0], 200)
    t.client("c").publish("a", b"x", qos=1)


@case("issue 8", timeout=60)
def who_drips_in_a_request_is_cut_off(t):
    """However often a byte comes: ten seconds are for all of the request."""
    start(t)
    begun = time.monotonic()
    with socket.create_connection((t.address, PORT), timeout=1) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        while time.monotonic() - begun < 30:
            try:
                slow.sendall(b"x")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    checks.that(8 < time.monotonic() - begun < 20, f"{time.monotonic() - begun:.1f} s")


@case("issue 8", timeout=60)
def without_descriptors_the_listener_waits_for_some(t):
    start(t)
    t.await_line("connection lost")  # of who looked whether the broker is there: nobody else waits
    _, hard = resource.prlimit(t.broker.process.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{t.broker.process.pid}/fd"))
    none = 3  # no number is free below it, and what is open stays so
    resource.prlimit(t.broker.process.pid, resource.RLIMIT_NOFILE, (none, hard))
    with socket.create_connection((t.address, PORT), timeout=DEADLINE_S) as waiting:
        waiting.sendall(head(b"GET /health"))
        before = t.broker.cpu_s()
        t.pass_time(2)
        used_s = t.broker.cpu_s() - before
        checks.that(used_s < 0.5, f"{used_s} s of processor time in 2 s")
        resource.prlimit(t.broker.process.pid, resource.RLIMIT_NOFILE, (used + 50, hard))
        line = waiting.makefile("rb").readline()
        checks.that(b"200" in line, f"it is answered {line}")
