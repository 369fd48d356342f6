"""holdfast why: a running broker says what became of a message, and by which rule."""

import json
import os
import socket
import stat
import subprocess
import sys
import time

import checks
from case import case
from mqtt_packet import PUBLISH
from mqtt_wire import DEADLINE_S


def await_socket(t):
    """The broker takes connections a moment before it can be asked."""
    deadline = time.monotonic() + DEADLINE_S
    while len(t.lines_about("notice: ready")) < t.broker.starts and time.monotonic() < deadline:
        t.pass_time(0.01)


def why(t, client, topic=None, *more):
    """What it says, and its exit status."""
    await_socket(t)
    command = [t.broker.binary, "why", "-c", t.broker.config_file, "--client", client, *more]
    done = subprocess.run(command + (["--topic", topic] if topic else []), check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=t.directory)
    return done.stdout, done.returncode


def says(t, client, topic, *words):
    said, status = why(t, client, topic)
    checks.equal("exit status", status, 0)
    for word in words:
        checks.that(word in said, f"nothing of {word!r} in:\n{said}")
    return said


def cites(t, client, topic, statement, words):
    """The sentence with these words rests on this statement, or section."""
    sentences = [json.loads(line) for line in why(t, client, topic, "--json")[0].splitlines()]
    found = [one for one in sentences if words in one["text"]]
    checks.that(found, f"nothing of {words!r} in {sentences}")
    for one in found:
        checks.that(statement in one["statements"], f"{one} does not cite {statement}")


# ---- One for each question that users have ----

@case("MQTT-3.3.2-3", "promise 5")
def why_names_what_does_not_match_and_what_nearly_does(t):
    t.holdfast_only("why")
    t.start()
    client = t.client("c")
    client.subscribe("a/b", "A/c", "/x/y", qos=1)
    said = says(t, "c", "a/d", "None of its subscriptions matches \"a/d\"", "[MQTT-3.3.2-3]")
    checks.that("differs" not in said, said)
    says(t, "c", "a/c", "\"A/c\" differs from it in upper and lower case [MQTT-4.7.3-4]")
    says(t, "c", "x/y", "\"/x/y\" differs from it by a \"/\" at the beginning")
    says(t, "c", "a/b/", "\"a/b\" differs from it by a \"/\" at the end")
    t.client("d")
    cites(t, "d", "a/d", "MQTT-3.3.2-3", "It has no subscriptions")
    says(t, "nobody", "a", "There is no session of client \"nobody\"", "[MQTT-4.1.0-2]")


@case("MQTT-4.7.2-1")
def why_says_that_a_wildcard_does_not_match_dollar_topics(t):
    t.holdfast_only("why")
    t.start()
    t.client("c").subscribe("#", "+/broker/uptime", qos=0)
    says(t, "c", "$SYS/broker/uptime", "None of its subscriptions matches",
         "\"#\" begins with a wildcard", "\"+/broker/uptime\" begins with a wildcard",
         "[MQTT-4.7.2-1]")


@case("MQTT-4.5.0-1")
def why_says_that_qos_0_is_not_kept_for_who_is_away(t):
    t.holdfast_only("why")
    t.start()
    t.away("c", "a", qos=0)
    publisher = t.client("publisher")
    publisher.publish("a", b"x")
    publisher.expect_nothing()
    says(t, "c", "a", "is away for", "at QoS 0, which is not kept while the client is away",
         "queue_qos0_messages")
    t.back("c")
    says(t, "c", "a", "is connected", "The client was away from", "was not kept")
    cites(t, "c", "a", "MQTT-4.5.0-1", "The client was away from")


@case("MQTT-3.3.2-5")
def why_says_that_a_message_expired(t):
    t.holdfast_only("why")
    t.start()
    t.away("c", "a", qos=1)
    t.client("publisher").publish("a", b"x", qos=1, props={"message_expiry_interval": 1})
    says(t, "c", "a", "1 message waits in its queue", "It waits for the client to come back")
    t.pass_time(1.1)
    t.back("c").expect_nothing()
    says(t, "c", "a", "a message was dropped: Message Expiry Interval passed [MQTT-3.3.2-5]",
         "Nothing waits")
    said, _ = why(t, "c", "b")
    checks.that("Nothing is on record of it" in said, said)


@case("rule 22")
def why_says_that_the_queue_is_full(t):
    t.holdfast_only("why")
    t.start(mqtt={"max_queued_messages": 3})
    t.away("c", "a", qos=1)
    publisher = t.client("publisher")
    for _ in range(5):
        publisher.publish("a", b"x", qos=1, reasons=(0x00, 0x97))
    said = says(t, "c", "a", "a message was dropped: the queue is full",
                "3 messages wait in its queue", "max_queued_messages = 3", "Its queue is full",
                "messages of this session were dropped: the queue is full")
    checks.that("2 messages of this session" in said, said)
    for words in ("a message was dropped: the queue is full", "Its queue is full", "2 messages of this session"):
        cites(t, "c", "a", "5.0 section 3.4.2.1", words)


@case("MQTT-3.1.2-25")
def why_says_that_a_message_is_too_large_for_the_client(t):
    t.holdfast_only("why")
    t.start()
    client = t.client("c", props={"maximum_packet_size": 100})
    client.subscribe("a", qos=1)
    t.client("publisher").publish("a", b"x" * 200, qos=1)
    client.expect_nothing()
    says(t, "c", "a", "a message was dropped: larger than the Client's Maximum Packet Size",
         "[MQTT-3.1.2-25]")


@case("MQTT-4.8.2-3", over={"workers": (1, 4)})
def why_says_which_member_of_a_shared_subscription_got_it(t, workers):
    t.holdfast_only("why")
    t.start(workers=workers)
    members = {name: t.client(name) for name in ("one", "two", "three")}
    for member in members.values():
        member.subscribe("$share/g/a", qos=1)
    t.client("publisher").publish("a", b"x", qos=1)
    deadline, winners = time.monotonic() + DEADLINE_S, []
    while not winners and time.monotonic() < deadline:
        winners = [name for name, member in members.items() if member.settle()]
    checks.equal("winners", len(winners), 1)
    for name in members:
        if name not in winners:
            says(t, name, "a", "\"$share/g/a\" is shared by 3 sessions",
                 f"client \"{winners[0]}\" got one, under Packet Identifier 1")
            cites(t, name, "a", "5.0 section 4.8.2", "got one, under Packet Identifier 1")


@case("MQTT-3.8.3-3")
def why_says_that_no_local_keeps_it(t):
    t.holdfast_only("why")
    t.start()
    client = t.client("c")
    client.subscribe("a", qos=1, options=4)
    client.publish("a", b"x", qos=1, reasons=(0x00, 0x10))
    client.expect_nothing()
    says(t, "c", "a", "\"a\" has No Local",
         "the client itself published it, and No Local keeps it from it [MQTT-3.8.3-3]")


@case("issue: authorization")
def why_says_that_the_client_may_not_read_it(t):
    t.holdfast_only("why")
    path = os.path.join(t.directory, "acl")
    with open(path, "w", encoding="ascii") as file:
        file.write("topic readwrite a\ntopic write b\n")
    t.start(authorization={"acl_file": path})
    client = t.client("c")
    client.subscribe("#", qos=1)
    t.client("publisher").publish("b", b"x", qos=1)
    client.expect_nothing()
    says(t, "c", "b", "a message was withheld: the Client may not read this topic")
    cites(t, "c", "b", "5.0 section 5.4.2", "a message was withheld")


@case("MQTT-4.9.0-2")
def why_says_what_a_receive_maximum_of_1_waits_for(t):
    t.holdfast_only("why")
    t.start()
    client = t.client("c", props={"receive_maximum": 1})
    client.subscribe("a", qos=1)
    publisher = t.client("publisher")
    for _ in range(3):
        publisher.publish("a", b"x", qos=1)
    packet = client.expect(PUBLISH)
    says(t, "c", "a", "2 messages wait in its queue",
         "They wait because the client takes 1 message at QoS 1 and 2 at a time", "[MQTT-4.9.0-2]",
         f"On its way: Packet Identifier {packet.packet_id}, QoS 1, topic \"a\": PUBLISH sent on "
         "this Network Connection; waiting for PUBACK")
    client.acknowledge(4, packet.packet_id)
    client.expect(PUBLISH)
    says(t, "c", "a", "1 message waits in its queue",
         f"Packet Identifier {packet.packet_id}: PUBACK, whatever its Reason Code; then: nothing is "
         "owed any more [MQTT-4.3.2-3")


@case("issue: authorization", "promise 5")
def why_says_that_it_is_not_authorised(t):
    t.holdfast_only("access control")
    path = os.path.join(t.directory, "acl")
    with open(path, "w", encoding="ascii") as file:
        file.write("topic readwrite a\ntopic write b\n")
    t.start(authorization={"acl_file": path})
    client = t.client("c")
    client.subscribe("a", "#", qos=1, refused=True)
    client.publish("b", b"x", qos=1)
    client.publish("d", b"x", qos=1, reasons=(0x87,))
    client.expect_nothing()
    says(t, "c", "b", "\"#\" matches \"b\"", "does not let it read \"b\"")
    says(t, "c", "d", "does not let it publish to \"d\"",
         "was refused: publishing to this topic is not allowed")
    cites(t, "c", "b", "5.0 section 5.4.2", "does not let it read")
    cites(t, "c", "d", "5.0 section 3.4.2.1", "does not let it publish")
    cites(t, "c", "d", "5.0 section 3.4.2.1", "publishing to this topic is not allowed")
    said, _ = why(t, "c", "a")
    checks.that("does not let" not in said, said)


# ---- The socket ----

def socket_of(t):
    return os.path.join(t.broker.store, "holdfast.sock")


@case("promise 5")
def the_control_socket_is_its_owners_alone_and_goes_with_the_broker(t):
    t.holdfast_only("the control socket")
    t.start()
    await_socket(t)
    checks.equal("mode", stat.S_IMODE(os.stat(socket_of(t)).st_mode), 0o600)
    for client in ("c", "MQTT-9"):  # a name cites nothing
        said, status = why(t, client, "a", "--json")
        checks.equal("exit status", status, 0)
        checks.equal("statements", json.loads(said.splitlines()[0])["statements"],
                     ["MQTT-4.1.0-2"])
    t.broker.kill_and_restart()  # what it left is no obstacle
    says(t, "c", "a", "There is no session")
    t.broker.stop()
    checks.that(not os.path.exists(socket_of(t)), "the socket is left")
    said, status = why(t, "c", "a")
    checks.that(status == 1 and "no broker answers" in said, said)


@case("promise 5")
def a_socket_that_another_listens_at_is_not_taken_away(t):
    t.holdfast_only("the control socket")
    path = os.path.join(t.directory, "taken.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen(1)
        t.start(broker={"control": path})
        t.await_line(f'control: cannot listen at "{path}": Address already in use')
        t.broker.stop()
        checks.that(os.path.exists(path), "it is gone")


@case("promise 5")
def another_user_gets_no_answer(t):
    t.holdfast_only("the control socket")
    if os.geteuid() != 0:
        t.skip("only root can ask as somebody else")
    t.start()
    await_socket(t)
    os.chmod(socket_of(t), 0o777)  # so that it is the peer's credentials that keep it out
    for directory in (t.directory, t.broker.store):
        os.chmod(directory, 0o755)
    script = ("import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
              "s.settimeout(10)\ns.connect(sys.argv[1])\n"
              "try:\n    s.sendall(b'{\"why\":{\"client\":\"c\"}}\\n')\n    print(s.recv(1000))\n"
              "except ConnectionError:\n    print(b'')\n")
    done = subprocess.run(["/usr/bin/python3", "-c", script, socket_of(t)], check=True, text=True,
                          stdout=subprocess.PIPE)
    checks.equal("answer", done.stdout.strip(), "b''")
    t.await_line("control: refused to answer another user")
    says(t, "c", "a", "There is no session")


@case("promise 5")
def what_is_no_question_is_refused_and_silence_keeps_nobody_waiting(t):
    t.holdfast_only("the control socket")
    t.start()
    await_socket(t)
    for question in (b"why?\n", b"{}\n", b'{"why": 7}\n', b'{"why": {"client": 7}}\n',
                     b'{"why": {"client": "c", "topic": 7}}\n', b"[" * 100000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(socket_of(t))
            asker.sendall(question)
            checks.that(b'"error"' in asker.recv(1000), f"{question[:40]} is answered")
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(socket_of(t))
    says(t, "c", "a", "There is no session")
    silent.close()


@case("promise 5")
def an_asker_that_comes_byte_by_byte_holds_nobody_up(t):
    t.holdfast_only("the control socket")
    t.start()
    await_socket(t)
    slow = subprocess.Popen([sys.executable, "-c", SLOW_ASKER, socket_of(t)], text=True,
                            stdout=subprocess.PIPE)
    try:
        checks.equal("the slow asker says", slow.stdout.readline(), "connected\n")
        says(t, "c", "a", "There is no session")
        checks.equal("the slow asker says", slow.stdout.readline(), "sent away\n")
    finally:
        slow.kill()
        slow.communicate()


SLOW_ASKER = """
import socket, sys
asker = socket.socket(socket.AF_UNIX)
asker.connect(sys.argv[1])
asker.settimeout(0.5)
print("connected", flush=True)
while True:
    try:
        asker.sendall(b"[")
        if asker.recv(1) == b"":
            break
    except TimeoutError:
        continue
    except ConnectionError:
        break
print("sent away", flush=True)
"""


@case("promise 5")
def an_empty_path_is_no_control_socket(t):
    t.holdfast_only("the control socket")
    t.start(broker={"control": ""})
    await_socket(t)
    checks.that(not os.path.exists(socket_of(t)), "there is one")
    t.check_health()
