"""log { trace = FILE }: every transition is in the file, the file passes its own check, and what becomes of
the file is no concern of clients'."""

import fcntl
import json
import os
import re
import struct
import subprocess
from xml.etree import ElementTree

import checks
import mqtt_packet
from case import case
from cases import scram
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

TRACE = "trace.jsonl"


def show(t, *arguments):
    """What holdfast trace prints."""
    done = subprocess.run([t.broker.binary, "trace", *arguments], cwd=t.directory, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def steps(t, session=None, machine=None):
    """The transitions in the file, those of one session or machine if asked for."""
    lines = [json.loads(line) for line in show(t, "show", TRACE)[1].splitlines()]
    return [line for line in lines if "machine" in line
            and session in (None, line["session"]) and machine in (None, line["machine"])]


def check(t, path=TRACE):
    return show(t, "check", path)


def exchange_qos2(t):
    publisher = t.client("pub\"lisher\n")
    publisher.publish("a", b"x", qos=2)
    subscriber = t.back("subscriber")
    packet = subscriber.expect(PUBLISH)
    subscriber.acknowledge(PUBREC, packet.packet_id)
    subscriber.expect(PUBREL)
    subscriber.acknowledge(PUBCOMP, packet.packet_id)
    subscriber.expect_nothing()


@case("rule 2", "rule 4", "MQTT-4.3.3-8", over={"workers": (1, 4)})
def a_trace_has_every_step_with_its_statements_and_its_commit(t, workers):
    t.holdfast_only("a trace")
    t.start(workers=workers, log={"trace": TRACE})
    t.away("subscriber", "a", qos=2)
    exchange_qos2(t)
    t.broker.stop()
    for session, machine, expected in (
            ("pub\"lisher\n", "inbound_qos2",
             [("FREE", "PUBLISH", "STORING"), ("STORING", "STORED", "HELD"),
              ("HELD", "PUBREL", "ERASING"), ("ERASING", "ERASED", "FREE")]),
            ("subscriber", "outbound_qos2",
             [("QUEUED", "SEND", "STORING"), ("STORING", "STORED", "SENT"),
              ("SENT", "PUBREC", "RELEASING"), ("RELEASING", "STORED", "RELEASED"),
              ("RELEASED", "PUBCOMP", "DONE")])):
        found = steps(t, session, machine)
        checks.equal(f"the steps of {machine}",
                     [(one["state"], one["event"], one["next"]) for one in found], expected)
        for one in found:
            checks.that(one["statements"][0].startswith("MQTT-4."), f"{one} cites nothing")
            checks.that(one["packet_identifier"] > 0, f"{one} has no Packet Identifier")
    stored = [one for one in steps(t, "subscriber", "outbound_qos2") if one["event"] == "STORED"]
    checks.that(0 < stored[0]["lsn"] < stored[1]["lsn"], f"{stored} waited for no commits")
    checks.equal("actions", steps(t, "subscriber", "outbound_qos2")[0]["actions"],
                 ["ASSIGN", "TAKE_QUOTA"])
    checks.equal("mode", os.stat(os.path.join(t.directory, TRACE)).st_mode & 0o777, 0o600)
    status, words = check(t)
    checks.that(status == 0 and "all allowed" in words, words)
    with open(os.path.join(t.directory, "shown"), "w", encoding="utf-8") as file:
        file.write(show(t, "show", TRACE)[1])
    checks.equal("the check of what is shown", check(t, "shown"),
                 (0, words.replace(TRACE, "shown")))
    status, shown = show(t, "show", TRACE, "--client", "subscriber")
    checks.that(status == 0 and '"session":"subscriber"' in shown and "lisher" not in shown, shown)


@case("MQTT-4.3.2-1", "MQTT-2.2.1-4")
def steps_of_a_batch_are_said_to_be_like_others(t):
    """The Packet Identifiers of the trace are those that the subscriber got, in their order."""
    t.holdfast_only("a trace")
    t.start(workers=1, log={"trace": TRACE, "level": "trace"})
    subscriber, publisher = t.client("subscriber"), t.client("publisher")
    subscriber.subscribe("a", qos=1)
    publisher.send(b"".join(mqtt_packet.publish(publisher.version, "a", b"x", qos=1, packet_id=number)
                            for number in range(1, 201)))
    received = []
    for _ in range(200):
        received.append(subscriber.expect(PUBLISH).packet_id)
        subscriber.acknowledge(PUBACK, received[-1])
    for _ in range(200):
        publisher.expect(PUBACK)
    t.broker.stop()
    found = [(one["machine"], one["state"], one["event"], one["next"]) for one in steps(t)]
    in_log = re.findall(r'client "[^"]*": (\w+) (\w+) -(\w+)-> (\w+): ', t.broker.log())
    checks.equal("the steps, and those in the log", found, in_log)
    sent = [one["packet_identifier"] for one in steps(t, "subscriber", "outbound_qos1") if one["event"] == "SEND"]
    checks.equal("the Packet Identifiers", sent, received)
    status, words = check(t)
    checks.that(status == 0 and "all allowed" in words, words)
    with open(os.path.join(t.directory, TRACE), encoding="ascii") as file:
        likes = sum(re.fullmatch("-?[1-8]\n", line) is not None for line in file)
    checks.that(likes > 200, f"{likes} steps are like others")


@case("rule 16", timeout=60)
def a_trace_goes_on_over_kills_and_passes_its_check(t):
    t.holdfast_only("a trace")
    t.start(log={"trace": TRACE})
    for qos in (1, 2):
        name = f"subscriber-{qos}"
        t.away(name, name, qos=qos)
        t.client("publisher", stored=True).publish(name, b"x", qos=qos)
        t.back(name).expect(PUBLISH)
        t.pass_time(0.3)  # lines wait a tenth of a second for others, and a kill takes them away
        t.broker.kill_and_restart()
        t.back(name).message(topic=name, payload=b"x", qos=qos)
    t.broker.stop()
    status, words = check(t)
    checks.that(status == 0 and "3 runs, all allowed" in words, words)


@case("rule 2")
def a_trace_that_was_tampered_with_is_found_by_line_and_statement(t):
    t.holdfast_only("a trace")
    t.start(log={"trace": TRACE})
    t.away("subscriber", "a", qos=2)
    exchange_qos2(t)
    t.broker.stop()
    lines = show(t, "show", TRACE)[1].splitlines(keepends=True)
    number = next(at for at, line in enumerate(lines, 1)
                  if '"machine":"inbound_qos2","state":"STORING","event":"STORED"' in line)
    for name, broken, words in (
            ("left out", lines[:number - 1] + lines[number:], "it is in STORING since line"),
            ("too early", lines[:number - 1]
             + [lines[number - 1].replace('"next":"HELD"', '"next":"ERASING"')] + lines[number:],
             "STORED in STORING leads to HELD, not to ERASING [MQTT-4.3.3-8]"),
            ("another event", lines[:number - 1]
             + [lines[number - 1].replace('"STORED"', '"ERASED"')] + lines[number:],
             "ERASED in STORING cannot occur: ERASE was not asked for")):
        with open(os.path.join(t.directory, "broken"), "w", encoding="utf-8") as file:
            file.writelines(broken)
        status, said = check(t, "broken")
        checks.that(status == 1 and words in said, f"{name}: {said}")
        checks.that(name == "left out" or f"broken:{number}: " in said, f"{name}: {said}")
    checks.equal("exit status", check(t, "there is none")[0], 2)


@case("promise 5", timeout=60)
def a_trace_that_cannot_be_written_disturbs_nobody_and_says_what_is_missing(t):
    t.holdfast_only("a trace")
    path = os.path.join(t.directory, TRACE)
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, 4096)
    t.start(workers=1, log={"trace": TRACE, "level": "trace"})
    publisher = t.client("publisher")
    for _ in range(400):  # more than the FIFO holds, and nobody reads it
        publisher.publish("a", b"x", qos=2)
    t.await_line("warning", "trace: ", "left out so far: the file is too slow")
    written = os.read(fifo, 1 << 20)
    fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, 1 << 20)  # from here on all is written, and what is missing said
    publisher.publish("a", b"x", qos=2)
    t.broker.stop()
    while more := os.read(fifo, 1 << 20):
        written += more
    os.close(fifo)
    with open(os.path.join(t.directory, "read"), "wb") as file:
        file.write(written)
    status, words = check(t, "read")
    checks.that(status == 0 and "steps are missing" in words, words)
    shown = [json.loads(line) for line in show(t, "show", "read")[1].splitlines()]
    steps_in_log = re.findall(r'client "[^"]*": \w+ \w+ -\w+-> \w+: ', t.broker.log())
    checks.equal("steps in the file, and said to be missing",
                 sum("machine" in line for line in shown) + sum(line.get("lost", 0) for line in shown),
                 len(steps_in_log))


@case("promise 7")
def a_trace_that_cannot_be_opened_is_said_at_the_start(t):
    t.holdfast_only("a trace")
    broker = t.new_broker(log={"trace": "nowhere/trace.jsonl"})
    broker.launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    checks.that("cannot write the trace \"nowhere/trace.jsonl\": No such file" in broker.log(),
                broker.log())
    done = subprocess.run([broker.binary, "--check-config", "-c", broker.config_file],
                          cwd=t.directory, check=False, stderr=subprocess.PIPE, text=True)
    checks.that(done.returncode == 2
                and "cannot write the trace \"nowhere/trace.jsonl\": No such file" in done.stderr,
                done.stderr)


@case("MQTT-4.3.3-1", "rule 4")
def a_drawing_shows_packets_disk_states_and_statements(t):
    t.holdfast_only("a trace")
    t.start(workers=1, log={"trace": TRACE})
    t.away("sub;script", "a", qos=2)
    t.client("publisher").publish("a", b"x", qos=2)
    subscriber = t.back("sub;script")
    packet = subscriber.expect(PUBLISH)
    subscriber.acknowledge(PUBREC, packet.packet_id)
    subscriber.expect(PUBREL)
    subscriber.acknowledge(PUBCOMP, packet.packet_id)
    subscriber.expect_nothing()
    t.broker.stop()
    status, drawn = show(t, "draw", TRACE, "--client", "sub;script")
    checks.equal("exit status", status, 0)
    lines = [line.strip() for line in drawn.splitlines()]
    checks.equal("head", lines[:2], ["sequenceDiagram", "participant C as sub#59;script"])
    number = packet.packet_id
    exchange = [line for line in lines if f"({number})" in line]
    checks.equal("the exchange", [line.partition(", log")[0] for line in exchange],
                 [f"B->>D: the identifier ({number})", f"D->>B: stored ({number})",
                  f"B->>C: PUBLISH, QoS 2 ({number})", f"C->>B: PUBREC ({number})",
                  f"B->>D: PUBREC was received ({number})", f"D->>B: stored ({number})",
                  f"B->>C: PUBREL ({number})", f"C->>B: PUBCOMP ({number})",
                  f"B->>D: no longer owed ({number})"])
    checks.that(f"Note over B: outbound_qos2 {number}, PUBREC: SENT to RELEASING<br/>MQTT-4.3.3-4, "
                "MQTT-4.3.3-6" in lines, drawn)
    checks.equal("CONNECT and CONNACK", (lines.count("C->>B: CONNECT"),
                                         lines.count("B->>C: CONNACK 0x00")), (2, 2))
    checks.equal("somebody else", show(t, "draw", TRACE, "--client", "nobody")[0], 1)


SVG = "{http://www.w3.org/2000/svg}"


def arrows_of(drawn):
    """[(left to right?, text)] of a picture, and of what Mermaid has for the same."""
    root = ElementTree.fromstring(drawn)
    paths = [path.get("d") for path in root.iter(SVG + "path") if path.get("fill")]
    return root, ["l-9" in path for path in paths]


def of_mermaid(drawn):
    lanes = "CBDO"
    found = re.findall(r"^    ([CBDO])->>([CBDO]): (.*)$", drawn, re.M)
    return [lanes.index(start) < lanes.index(end) for start, end, _ in found], [text for *_, text in found]


@case("MQTT-4.12.1-1", "MQTT-4.12.0-5", "issue: a sequence diagram as SVG")
def a_picture_has_every_arrow_of_the_drawing_and_needs_nothing_else(t):
    name = "<&\"" + "\u00e4" * 30
    scram.start(t, 1, log={"trace": TRACE})
    client = scram.connected(t, scram.alice(), name)
    proof = scram.alice()
    challenge = scram.again(client, proof)
    client.send(scram.auth(proof, 0x18, proof.final(challenge)))
    proof.check(client.expect(scram.AUTH, reason=0))
    client.publish("a", b"x", qos=2)
    client.disconnect()
    t.broker.stop()
    status, drawn = show(t, "draw", TRACE, "--client", name)
    checks.equal("exit status", status, 0)
    lines = [line.strip() for line in drawn.splitlines()]
    first = lines.index("C->>B: AUTH 0x19")
    checks.equal("AUTH", [line for line in lines[first:] if "AUTH" in line and "Note" not in line],
                 ["C->>B: AUTH 0x19", "B->>C: AUTH 0x18", "C->>B: AUTH 0x18", "B->>C: AUTH 0x00"])
    status, picture = show(t, "draw", TRACE, "--client", name, "--svg")
    checks.equal("exit status", status, 0)
    root, directions = arrows_of(picture)
    texts = ["".join(text.itertext()) for text in root.iter(SVG + "text")]
    wanted, words = of_mermaid(drawn)
    checks.equal("directions", directions, wanted)
    rest = iter(texts)
    checks.that(all(word in rest for word in words), f"{words} are not in {texts}, in this order")
    checks.equal("head", texts[:2], ["<&\"" + "\u00e4" * 18 + "\u2026", "Broker"])
    checks.that("authentication 2, PROOF: AGAIN to PROVEN" in texts and "MQTT-4.3.3-8" in texts, texts)
    checks.that("href" not in picture and "<script" not in picture, "it needs something else")
    below = max(float(path.get("d").split()[1].split("H")[0].split("l")[0])
                for path in root.iter(SVG + "path") if "V" not in path.get("d"))
    checks.that(below < float(root.get("height")), "it ends below its own height")
    checks.equal("somebody else", show(t, "draw", TRACE, "--client", "nobody", "--svg")[0], 1)


# ---- Captures ----


def captured(exchanges):
    """A pcap of one connection: (from the server?, bytes), each a segment of bare IPv4."""
    out = struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    ends = (bytes([10, 0, 0, 1]), 50000), (bytes([10, 0, 0, 2]), 1883)
    at = [1000, 2000]
    for server, flags, data in [(0, 2, b""), (1, 18, b""), *((who, 16, data) for who, data in exchanges)]:
        (source, port), (target, to) = ends[server], ends[1 - server]
        tcp = struct.pack(">HHIIBBHHH", port, to, at[server], 0, 5 << 4, flags, 0, 0, 0) + data
        packet = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(tcp), 0, 64, 6, 0) + source + target + tcp
        out += struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet
        at[server] += len(data) + (flags & 2 != 0)
    return out


def opened(count):
    """A pcap of so many connections of which nothing but the first packet was captured."""
    out = struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    for port in range(10000, 10000 + count):
        packet = (struct.pack(">BBHIBBH", 0x45, 0, 40, 0, 64, 6, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
                  + struct.pack(">HHIIBBHHH", port, 1883, 0, 0, 5 << 4, 2, 0, 0, 0))
        out += struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet
    return out


@case("MQTT-4.3.3-4", "issue: a capture of any broker's traffic")
def a_capture_is_held_against_what_a_server_may_send(t):
    t.holdfast_only("it reads captures")
    t.start()
    opening = [(0, mqtt_packet.connect(5, "device")), (1, bytes.fromhex("2003000000"))]
    publish, pubrec, pubrel = (bytes.fromhex(each) for each in ("3406000161000100", "50020001", "62020001"))
    right = [*opening, (1, publish), (0, pubrec), (1, pubrel)]
    wrong = [*opening, (1, publish), (1, pubrel)]
    for name, data, expected, words in (
            ("right", captured(right), 0, ": 3 packets of servers in 1 connections; 0 not allowed\n"),
            ("wrong", captured(wrong), 1, 'wrong:6: 10.0.0.2:1883 to 10.0.0.1:50000, client "device": '
             "outbound_qos2 1: PUBREL; no PUBREC has come for it [MQTT-4.3.3-4]\n"),
            ("cut", captured(right)[:-1], 2, "cut: behind packet 6: it ends in the middle of a packet\n"),
            ("most", opened(4096), 0, ": 0 packets of servers in 4096 connections; 0 not allowed\n"),
            ("more", opened(4097), 2, "more: 1 connections were left off: more than 4096 at a time, or 1024 MiB "
             "for all of them\n"),
            ("none", b"a text", 2, "none: behind packet 0: it is neither pcap nor pcapng\n")):
        with open(os.path.join(t.directory, name), "wb") as file:
            file.write(data)
        status, said = show(t, "check", "--pcap", name)
        checks.that(status == expected and words in said, f"{name}: {status} {said}")
    checks.equal("no such file", show(t, "check", "--pcap", "there is none")[0], 2)
