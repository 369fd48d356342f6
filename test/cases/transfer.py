"""holdfast store export and import: the same store again, and everybody gets what they are owed from it."""

import json
import os
import re
import subprocess

import checks
from case import case
from mqtt_packet import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

BINARY = bytes(range(256))


def command(t, verb, store, text=None):
    """(exit status, standard output, standard error)"""
    done = subprocess.run([os.path.abspath(t.binary), "store", verb, "--store", store], check=False,
                          capture_output=True, input=text, cwd=t.directory)
    return done.returncode, done.stdout, done.stderr.decode()


def export(t, store):
    status, text, said = command(t, "export", store)
    checks.equal(f"export says {said!r} and", status, 0)
    return text


def bring_back(t, text, name="other"):
    store = os.path.join(t.directory, name)
    status, _, said = command(t, "import", store, text)
    checks.equal(f"import says {said!r} and", status, 0)
    return store


def fill(t):
    """A bit of everything: queues, exchanges in each state, wills, retained messages, an open connection."""
    t.holdfast_only("store export")
    t.start()
    t.away("away", ("a/#", 2 | 8), props={"session_expiry_interval": 600})
    four = t.client("four", 4, stored=True, will={"topic": "w", "payload": BINARY, "qos": 1, "retain": True})
    four.subscribe("a/b", "$share/g/x", qos=1)
    here = t.client("here", stored=True)
    here.subscribe("a/b", qos=2, props={"subscription_identifier": 5})
    publisher = t.client("publisher", stored=True)
    for number in range(3):
        publisher.publish("a/b", b"%d" % number, qos=2, props={"user_property": [("a", "\u00fc")]})
    publisher.publish("a/c", BINARY * 40, qos=1, retain=True, props={"message_expiry_interval": 1000})
    publisher.publish("a/\u00fc", b"", qos=1)
    publisher.send_publish("a/b", b"held", qos=2, packet_id=77)
    publisher.expect(PUBREC, packet_id=77)
    packets = [here.expect(PUBLISH, payload=b"%d" % number) for number in range(3)]
    here.acknowledge(PUBREC, packets[0].packet_id)
    here.expect(PUBLISH, payload=b"held")
    here.expect(PUBREL)
    four.message(payload=b"0")
    t.away("witness", "witness")
    t.client("sync").publish("witness", b"x", qos=1)  # what came before it is on disk, too
    t.broker.kill()
    return packets


@case("issue: downgrade", "promise 5", "rule 15")
def an_export_gives_an_equal_store(t):
    packets = fill(t)
    text = export(t, t.broker.store)
    checks.equal("a second export", export(t, t.broker.store), text)
    other = bring_back(t, text)
    checks.equal("its files", os.listdir(other), ["holdfast.db"])
    checks.equal("the export of the import", export(t, other), text)
    t.broker.config["sqlite"]["mounted_file_path"] = other + "/"
    t.broker.start()
    here = t.back("here")
    here.find(PUBREL, packet_id=packets[0].packet_id)
    for packet in packets[1:]:
        here.find(PUBLISH, packet_id=packet.packet_id, payload=packet.payload, dup=True)
    away = t.back("away")
    came = away.messages(6)
    checks.equal("payloads", sorted(checks.payloads(came)), sorted([b"0", b"1", b"2", BINARY * 40, b"", b"held"]))
    away.expect_nothing()
    publisher = t.back("publisher")
    publisher.send_publish("a/b", b"held", qos=2, packet_id=77, dup=True)
    publisher.expect(PUBREC, packet_id=77)
    publisher.acknowledge(PUBREL, 77)
    publisher.expect(PUBCOMP, packet_id=77, reason=0)
    away.expect_nothing()
    reader = t.client("reader")
    reader.subscribe("a/c", "w", qos=1)
    reader.message(topic="a/c", payload=BINARY * 40, retain=True)
    checks.equal("the will of a connection that the broker's end has closed",
                 reader.message(topic="w").payload, BINARY)


@case("issue: downgrade")
def each_line_is_what_the_manual_says(t):
    fill(t)
    lines = [json.loads(line) for line in export(t, t.broker.store).splitlines()]
    checks.equal("the first", lines[0], {"holdfast_store": 1})
    checks.equal("the last", lines[-1], {"end": len(lines) - 1})
    checks.equal("sessions", [line["session"]["client"] for line in lines if "session" in line],
                 ["away", "four", "here", "publisher", "witness"])
    checks.equal("retained", [line["retained"]["topic"] for line in lines if "retained" in line], ["a/c"])
    checks.that({"inbound": [77]} in lines, f"no inbound identifier in {lines}")


@case("issue: downgrade", timeout=120)
def an_export_that_is_not_whole_or_too_new_leaves_nothing(t):
    fill(t)
    lines = export(t, t.broker.store).splitlines(keepends=True)
    wrong = [(b"", "line 0"), (b"not one\n", "line 1"), (b'{"holdfast_store":2}\n' + b"".join(lines[1:]), "newer"),
             (b"".join(lines[:-1]), "end is missing"), (b"".join(lines)[:-30], "no line of"),
             (b"".join(lines[:3] + lines[4:]), "lines are missing"), (b"".join(lines + lines[-1:]), "no line"),
             (lines[0] + b'{"owed":{}}\n', "no session"), (lines[0] + b'{"other":1}\n', "no kind"),
             (lines[0] + b'{"session":{"client":7}}\n', '"client"'), (lines[0] + b"\0" * 5000 + b"\n", "line 2"),
             (b"".join(lines).replace(b'"qos":2', b'"qos":3', 1), '"qos"'),
             (b"".join(lines).replace(b'"payload":"', b'"payload":"*', 1), "base64"),
             (b"".join(lines).replace(b'"filter":"a/#"', b'"filter":"a#"', 1), '"filter"'),
             (b"".join(lines).replace(b'"client":"away"', b'"client":""', 1), '"client"'),
             (b"".join(lines).replace(b'"options":10', b'"options":11', 1), '"options"'),
             (b"".join(lines).replace(b'"identifiers":[5]', b'"identifiers":[0]', 1), "Subscription Identifier"),
             (b"".join(lines).replace(b'{"inbound":[77]}', b'{"inbound":[77,77]}', 1), "in use"),
             (re.sub(rb'"disconnected_at_ms":\d+', b'"disconnected_at_ms":9223372036854775807', b"".join(lines)),
              "disconnected_at_ms"),
             (b"".join(lines).replace(b'"properties":"Jg', b'"properties":"Iw', 1), '"properties"')]
    session, subscription = ([line for line in lines if line.startswith(b'{"%s"' % kind)][0]
                             for kind in (b"session", b"subscription"))
    wrong += [(lines[0] + session * 2, 'this "client" already'),
              (lines[0] + session + subscription * 2, 'this "filter" already')]
    store = os.path.join(t.directory, "other")
    whole = b"".join(lines)
    for text, said in wrong:
        checks.that(text != whole, f"nothing is wrong with what {said!r} is expected of")
        status, _, err = command(t, "import", store, text)
        checks.equal(f"status of {text[:60]!r}, saying {err!r}", status, 1)
        checks.that(said in err and err.count("\n") == 1, f"of {text[:60]!r} it says {err!r}")
        checks.that(not os.listdir(store), "it left something")


@case("issue: downgrade")
def neither_a_store_in_use_nor_one_that_is_there_is_touched(t):
    t.holdfast_only("store export")
    t.start()
    checks.equal("export of a store in use", command(t, "export", t.broker.store)[0], 1)
    checks.equal("import over it", command(t, "import", t.broker.store, b'{"holdfast_store":1}\n{"end":1}\n')[0], 1)
    missing = os.path.join(t.directory, "missing")
    checks.equal("export of none", command(t, "export", missing)[0], 1)
    checks.that(not os.path.exists(missing), "it made one")
    t.check_health()
