"""Pre-shared keys: who holds one is its identity, and nobody else gets in."""

import os
import re
import subprocess

import checks
import mqtt_packet as mqtt
import tools
from case import case
from mqtt_packet import CONNACK
from mqtt_wire import DEADLINE_S, Closed
from openssl_client import OpensslContext

KEYS = {"alice": "00112233445566778899aabbccddeeff", "bob": "0f" * 32}
OK, REFUSED = (0x00, 0x10), (0x87,)
OTHER_KEY = "ee" * 16
VERSIONS = {"tls": ("-tls1_2", "-tls1_3")}
# OpenSSL's own choice for TLS 1.2 would be one that is refused.
SUITE = ("-cipher", "ECDHE-PSK-CHACHA20-POLY1305")


def path_of(t):
    return os.path.join(t.directory, "psk")


def write_keys(t, keys=None):
    with open(path_of(t) + ".new", "w", encoding="ascii") as file:
        file.writelines(f"{identity}:{key}\n" for identity, key in (keys or KEYS).items())
    os.replace(path_of(t) + ".new", path_of(t))


def start(t, acl=None, workers=None, broker=(), authentication=None, **listener):
    t.holdfast_only("psk_file")
    write_keys(t)
    sections = {"broker": dict(broker), "authentication": authentication or {}}
    if acl:
        sections["authorization"] = {"acl_file": os.path.join(t.directory, "acl")}
        with open(sections["authorization"]["acl_file"], "w", encoding="ascii") as file:
            file.write(acl)
    made = t.new_broker(**{name: options for name, options in sections.items() if options})
    if workers:
        made.config.setdefault("broker", {})["workers"] = workers
    made.config["listener"]["tls"] = {"bind": f"{t.address}:8883", "transport": b"tls",
                                      "psk_file": path_of(t), **listener}
    return made.start()


def holder(identity, key=None, *arguments):
    return OpensslContext("-psk_identity", identity, "-psk", key or KEYS[identity], *SUITE,
                          *arguments)


@case("issue: psk", over={"tls": ("tlsv1.2", "tlsv1.3"), "version": (4, 5)},
      needs=("mosquitto_pub", "mosquitto_sub"))
def mosquittos_clients_are_the_users_of_their_keys(t, tls, version):
    start(t, acl="topic read #\npattern write of/%u/#\n")
    reader = t.client("reader")
    reader.subscribe("of/#", qos=1)
    for identity, key, statuses in (("alice", KEYS["alice"], (0,)), ("bob", KEYS["bob"], (0,)),
                                    ("alice", OTHER_KEY, range(1, 256)),
                                    ("mallory", KEYS["alice"], range(1, 256))):
        host, port = t.broker.listeners()["tls"]
        for owner in ("alice", "bob"):
            tools.Tool(["mosquitto_pub", "-h", host, "-p", str(port), "--psk", key,
                        "--psk-identity", identity, "--tls-version", tls, "-V",
                        "5" if version == 5 else "311", "-i", f"{identity}-1", "-q", "1",
                        "-t", f"of/{owner}/x", "-m", identity]).finish(statuses=statuses)
    for identity in ("alice", "bob"):
        reader.message(topic=f"of/{identity}/x", payload=identity.encode())
    reader.expect_nothing()


@case("issue: psk", over=VERSIONS)
def a_stranger_learns_nothing_that_a_wrong_key_does_not(t, tls):
    start(t)
    said = {}
    for identity, key in (("alice", OTHER_KEY), ("mallory", OTHER_KEY)):
        context = holder(identity, key, tls)
        client = t.open(5, "tls", tls=context)
        try:
            client.send(mqtt.connect(5, "intruder", True))
        except Closed:
            pass
        client.expect_close()
        # Addresses of threads, and places in OpenSSL's own source.
        said[identity] = re.sub(r"^[0-9A-F]+:", "", context.said(), flags=re.MULTILINE)
        t.await_line(f"pre-shared key of '{identity}': no such identity, or not its key")
        context.end()
    checks.equal("what openssl says to a stranger", said["mallory"], said["alice"])
    context = holder("alice", None, tls)
    t.client("alice", 5, "tls", tls=context).disconnect()
    context.end()


@case("issue: psk", over=VERSIONS)
def who_shows_no_key_is_refused(t, tls):
    """With a cipher suite of certificates, of keys that are not ephemeral, or an old version."""
    start(t)
    for arguments in ((tls,), (tls, "-cipher", "PSK-AES128-GCM-SHA256", "-psk_identity", "alice",
                               "-psk", KEYS["alice"], "-ciphersuites", "TLS_AES_256_GCM_SHA384")):
        context = OpensslContext(*arguments)
        client = t.open(5, "tls", tls=context)
        try:
            client.send(mqtt.connect(5, "intruder", True))
        except Closed:
            pass
        client.expect_close()
        context.end()
    t.await_line("the listener takes clients with a pre-shared key")
    t.check_health()


@case("issue: psk")
def suites_that_no_key_works_with_are_an_error(t):
    start(t)
    suites = ("TLS13-AES128-GCM-SHA256", "ECDHE-PSK-AES128-CBC-SHA256")
    t.broker.config["listener"]["tls"]["ciphers"] = ":".join(suites)
    t.broker.reload()
    t.await_line("reading 2 is in force")
    for suite in ("TLS13-AES256-GCM-SHA384", "PSK-AES128-GCM-SHA256", "TLS13-AES128-GCM-SHA",
                  "ECDHE-ECDSA-AES128-GCM-SHA256"):
        t.broker.config["listener"]["tls"]["ciphers"] = ":".join((*suites, suite))
        t.broker.reload()
        t.await_line('listener "tls": ciphers', f"no pre-shared key works with '{suite}', but with",
                     "everything stays as it was")
    context = holder("alice", None, "-tls1_3")
    t.client("alice", 5, "tls", tls=context).disconnect()
    context.end()


@case("issue: psk", "MQTT-3.14.4-1", over={"tls": VERSIONS["tls"], "workers": (1, 4)})
def whose_key_has_gone_is_told_and_its_session_stays(t, tls, workers):
    start(t, workers=workers)
    contexts = {identity: holder(identity, None, tls) for identity in KEYS}
    late = t.open(5, "tls", tls=contexts["alice"])
    late.send(b"\x10")  # its handshake is done, its CONNECT is not
    clients = {f"{identity}-{version}": t.client(f"{identity}-{version}", version, "tls",
                                                 tls=contexts[identity], stored=True)
               for identity in KEYS for version in (4, 5)}
    clients["alice-5"].subscribe("a", qos=1)
    write_keys(t, {"alice": OTHER_KEY, "bob": KEYS["bob"]})
    t.broker.reload()
    clients["alice-5"].expect_disconnect(0x87)
    clients["alice-4"].expect_disconnect()
    t.await_line("reading 2 is in force")
    late.send(mqtt.connect(5, "late", True)[1:])
    late.expect(CONNACK, reason=0x87)
    late.expect_close()
    clients["bob-5"].publish("a", b"x", qos=1)
    clients["bob-4"].settle()
    # The same device with its new key finds its session.
    contexts["again"] = holder("alice", OTHER_KEY, tls)
    again = t.client("alice-5", 5, "tls", tls=contexts["again"], stored=True)
    checks.equal("Session Present", again.connack.session_present, True)
    again.message(payload=b"x")
    for context in contexts.values():
        context.end()


@case("issue: psk")
def keys_are_read_when_the_file_changes_and_a_broken_one_changes_nothing(t):
    start(t, broker={"watch_interval": 1})
    contexts = {identity: holder(identity) for identity in KEYS}
    alice, bob = (t.client(identity, 5, "tls", tls=contexts[identity]) for identity in KEYS)
    write_keys(t, {**KEYS, "carol": "12345"})
    line = t.await_line("files have changed", "psk:3: the key has not 32 to 128 hexadecimal digits",
                        "everything stays as it was")
    checks.equal("the key in the log", "12345" in line, False)
    alice.settle()
    bob.settle()
    write_keys(t, {"bob": KEYS["bob"]})
    alice.expect_disconnect(0x87)
    t.await_line("reading 2 is in force")
    bob.settle()
    for context in contexts.values():
        context.end()


@case("issue: psk", over={"named": (True, False)})
def an_identity_is_the_user_name_where_the_option_says_so(t, named):
    users = os.path.join(t.directory, "users")
    subprocess.run([os.path.abspath(t.binary), "passwd", "--batch", users], input=b"carol:secret\n",
                   check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE_S)
    start(t, acl="topic read #\nuser alice\ntopic write a\nuser carol\ntopic write c\n",
          authentication={"password_file": users}, psk_user=b"identity" if named else b"none",
          client_id_binding=b"user_name" if named else b"none")
    context = holder("alice")
    client = t.client("alice", 5, "tls", tls=context, user="carol", password="secret")
    client.publish("a", b"x", qos=1, reasons=OK if named else REFUSED)
    client.publish("c", b"x", qos=1, reasons=REFUSED if named else OK)
    other = t.open(5, "tls", tls=context)
    other.send(mqtt.connect(5, "other", True, user="carol", password="wrong"))
    other.expect(CONNACK, reason=0x85 if named else 0x86)
    context.end()


@case("issue: psk")
def another_holder_cannot_take_the_session(t):
    start(t)
    contexts = {identity: holder(identity) for identity in KEYS}
    alice = t.client("device", 5, "tls", tls=contexts["alice"], stored=True)
    thief = t.open(5, "tls", tls=contexts["bob"])
    thief.send(mqtt.connect(5, "device", False))
    thief.expect(CONNACK, reason=0x87)
    alice.settle()
    for context in contexts.values():
        context.end()
