"""Who may do what: access control lists (docs/authorization.md), from the language to deliveries."""

import os
import subprocess

import acl_reference
import checks
import mqtt_packet as mqtt
import tools
from case import case
from mqtt_packet import CONNACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqtt_wire import DEADLINE_S, Late

LEVELS = ("a", "b", "alice", "bob", "dev-1", "$SYS")
USERS = (None, "alice", "bob", "+", "a/b", "$SYS")
CLIENTS = ("dev-1", "alice", "#", "x/y")
LISTENERS = ("plain", "inside")
CERTIFICATES = ("", "CN=dev-1,OU=ops", "CN=ops,O=a")
UNIVERSE = acl_reference.universe(LEVELS, 4)


def write(t, text, name="acl"):
    path = os.path.join(t.directory, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


# ---- The language against its reference ----

def any_filter(random, names=()):
    levels = [random.choice((*LEVELS, "+", *names)) for _ in range(random.randint(1, 3))]
    if random.random() < 0.35:
        levels[-1 if len(levels) > 1 or random.random() < 0.5 else 0:] = ["#"]
    return "/".join(levels)


def any_rule(random):
    access = random.choice(("", "read ", "write ", "readwrite ", "deny ", "deny "))
    if random.random() < 0.35:
        return f"pattern {access}{any_filter(random, ('%c', '%u'))}"
    return f"topic {access}{any_filter(random)}"


def any_condition(random):
    return random.choice((f"when listener {random.choice(LISTENERS)}", "when certificate OU=ops",
                          "when certificate CN=dev-1", "when always"))


def any_list(random):
    """A sound list: sections in any order, a user or a group more than once."""
    lines = []
    for section in range(random.randint(1, 6)):
        if section > 0 or random.random() < 0.5:
            kind = random.choice(("user alice", "user bob", "user nobody", "group g", "group h"))
            lines.append(kind)
            if kind.startswith("group"):
                lines += [f"member {random.choice(('alice', 'bob'))}"
                          for _ in range(random.randint(0, 2))]
        for _ in range(random.randint(0, 5)):
            lines.append(any_condition(random) if random.random() < 0.15 else any_rule(random))
        lines.append(random.choice(("", "# a comment", "  ")))
    return "\n".join(lines)


def explain(t, path, client, action, topics):
    """(allowed, line) of each topic, and the exit status, of one run of the program."""
    command = [t.binary, "acl", "explain", "--acl", path, "--client", client["id"], "--listener",
               client["listener"], "--certificate", client["certificate"]]
    if client["user"] is not None:
        command += ["--user", client["user"]]
    done = subprocess.run([*command, action, *topics], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    out = []
    for topic, line in zip(topics, done.stdout.splitlines(), strict=True):
        answer = line.removeprefix(f"{topic}: ")
        where = answer.split(f" by {path}:")
        out.append((answer.startswith("allowed"), int(where[1].split(":")[0]) if where[1:] else 0))
    checks.equal("exit status", done.returncode, 0 if all(allowed for allowed, _ in out) else 1)
    return out


def compare(t, text):
    """One list, some identities, every action: the program says what the reference says."""
    reference, path = acl_reference.Reference(text), write(t, text)
    for _ in range(6):
        client = {"id": t.random.choice(CLIENTS), "user": t.random.choice(USERS),
                  "listener": t.random.choice(LISTENERS),
                  "certificate": t.random.choice(CERTIFICATES)}
        topics = t.random.sample(UNIVERSE, 60)
        mine = [topic for topic in topics if not topic.startswith("$SYS/")]
        for action, right, asked in (("receive", "read", topics), ("publish", "write", mine)):
            for topic, found in zip(asked, explain(t, path, client, action, asked)):
                checks.equal(f"{client}: {action} {topic} under\n{text}\n", found,
                             reference.may(client, right, topic))
        filters = [any_filter(t.random) for _ in range(12)]
        for filter_, (allowed, line) in zip(filters, explain(t, path, client, "subscribe", filters)):
            wanted, lines = reference.may_subscribe(client, filter_, UNIVERSE)
            checks.equal(f"{client}: subscribe {filter_} under\n{text}\n", allowed, wanted)
            if line not in lines:
                raise AssertionError(f"{client}: subscribe {filter_}: line {line} decides nothing, "
                                     f"of {lines} one does, under\n{text}")


@case("issue: authorization", over={"files": (8,)}, long_over={"files": (60,)}, timeout=900)
def a_matrix_of_identities_rules_and_actions_is_as_the_reference_has_it(t, files):
    t.holdfast_only("acl explain")
    for _ in range(files):
        compare(t, any_list(t.random))


# ---- What docs/authorization.md shows ----

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "authorization.md")


def blocks(page, language):
    return [part.split("```")[0] for part in page.split(f"```{language}\n")[1:]]


@case("issue: authorization")
def the_examples_of_the_page_are_true(t):
    t.holdfast_only("acl explain")
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    write(t, *blocks(page, "acl"), name="fleet.acl")
    steps = [step.split("\n", 1) for block in blocks(page, "console")
             for step in block.split("$ holdfast ")[1:]]
    if len(steps) < 5:
        raise AssertionError(f"the page shows {len(steps)} commands")
    for command, wanted in steps:
        done = subprocess.run(["sh", "-c", f'holdfast() {{ "{os.path.abspath(t.binary)}" "$@"; }}; '
                               f"holdfast {command}"], cwd=t.directory, capture_output=True,
                              text=True, timeout=DEADLINE_S)
        checks.equal(command, done.stdout + done.stderr, wanted)


@case("issue: authorization")
def what_is_asked_wrongly_is_said_with_exit_status_2(t):
    t.holdfast_only("acl explain")
    sound = ["--acl", write(t, "topic a\n")]
    wrong = (
        ([], "usage:"), (["explain"], "usage:"), (["explain", "publish", "a"], "usage:"),
        (["explain", *sound, "publish"], "usage:"), (["explain", *sound, "pub", "a"], "usage:"),
        (["explain", *sound, "--nobody", "publish", "a"], "usage:"),
        (["explain", *sound, "publish", "a/#"], "not a Topic Name: a/#"),
        (["explain", *sound, "subscribe", "a/#/b"], "not a Topic Filter: a/#/b"),
        (["explain", "--acl", t.directory, "publish", "a"], "Is a directory"),
        (["explain", "--acl", write(t, "topic a\nuser", "bad"), "publish", "a"],
         "bad:2: 'user' without a name"))
    for arguments, words in wrong:
        done = subprocess.run([t.binary, "acl", *arguments], capture_output=True, text=True,
                              timeout=DEADLINE_S)
        checks.equal(f"{arguments}: exit status", done.returncode, 2)
        if words not in done.stderr or done.stdout:
            raise AssertionError(f"{arguments}: {done.stdout}{done.stderr}")


# ---- In force ----

NOT_AUTHORISED = 0x87
DROPPED = "$SYS/broker/publish/messages/dropped/"
VERSIONS = {"version": (4, 5)}

# Everybody may read and write below open/, a client what is its own, and write to drop/.
LIST = """topic readwrite open/#
topic read $SYS/#
topic deny open/locked
pattern readwrite own/%c/#
topic write drop/#
"""


def will(topic):
    return {"topic": topic, "payload": b"gone", "qos": 1}


def start(t, text=LIST, **config):
    """The case's broker with this list, which rewrite() changes."""
    t.holdfast_only("access control")
    return t.start(authorization={"acl_file": write(t, text)}, **config)


def rewrite(t, text, number=1):
    write(t, text)
    t.broker.reload()
    t.await_line("is in force", f"reading {number + 1} ")


def await_dropped(t, reader, reason, count):
    """`reader` has subscribed to the counters."""
    while True:
        try:
            packet = reader.message(topic=DROPPED + reason)
        except Late:
            raise AssertionError(f"{reason} never came to {count}") from None
        if int(packet.payload) >= count:
            return checks.equal(reason, int(packet.payload), count)


@case("issue: authorization", "MQTT-3.3.5-2", over={"version": (3, 4, 5), "qos": (0, 1, 2)})
def a_publish_without_the_right_reaches_nobody(t, version, qos):
    """5: refused. Before, no refusal can be said: acknowledged, and delivered to nobody."""
    start(t, LIST, mqtt={"sys_interval": 1})
    counters = t.client("counters")
    counters.subscribe(DROPPED + "not_authorised")
    client = t.client("one", version)
    client.subscribe("open/#", "own/one/#", qos=2)
    for topic in ("open/locked", "closed", "own/two/state", "own", "own/one", "drop/x"):
        allowed = topic in ("own/one", "drop/x")
        reason = client.publish(topic, b"x", qos, reasons=(0x00, 0x10, NOT_AUTHORISED))
        if version == 5 and qos > 0:
            checks.equal(topic, reason == NOT_AUTHORISED, not allowed)
        if topic == "own/one":
            client.message(topic=topic, payload=b"x")
    client.expect_nothing()
    client.publish("open/a", b"y", qos)
    client.message(topic="open/a", payload=b"y")
    await_dropped(t, counters, "not_authorised", 4)
    if version == 5:
        t.await_line('client "one"', "refused", "not allowed")


@case("issue: authorization", over={"version": (3, 4, 5)})
def a_filter_with_nothing_to_read_is_refused(t, version):
    start(t)
    client = t.client("one", version)
    filters = ["open/#", "open/locked", "closed/#", "drop/#", "own/#", "own/two/#", "#", "+",
               "$share/g/closed/#", "$share/g/open/#"]
    wanted = [True, False, False, False, True, False, True, True, False, True]
    if version < 5:
        filters, wanted = filters[:8], wanted[:8]
    suback = client.subscribe(*filters, qos=1, refused=True)
    code = NOT_AUTHORISED if version == 5 else 0x80
    checks.equal("SUBACK", suback.reasons, [1 if granted else code for granted in wanted])
    client.publish("open/a", b"x", qos=1)
    while client.message(topic="open/a", payload=b"x").qos != 1:
        pass


@case("issue: authorization", over={"workers": (1, 4)})
def what_a_granted_filter_matches_is_checked_topic_by_topic(t, workers):
    start(t, "topic readwrite a/#\ntopic deny a/secret\ntopic write b\ntopic read $SYS/#\n",
          workers=workers, mqtt={"sys_interval": 1})
    counters, publisher = t.client("counters"), t.client("publisher")
    counters.subscribe(DROPPED + "not_readable")
    subscribers = [t.client(f"reader-{number}") for number in range(3)]
    for qos, subscriber in enumerate(subscribers):
        subscriber.subscribe("#", qos=qos)
    for number in range(3):
        publisher.publish("b", b"%d" % number, qos=number, retain=number == 2)
        publisher.publish("a/b", b"%d" % number, qos=number)
    for subscriber in subscribers:
        for number in range(3):
            subscriber.message(topic="a/b", payload=b"%d" % number)
        subscriber.expect_nothing()
    late = t.client("late", stored=True)
    late.subscribe("#", qos=1)  # there is a retained message that it may not read
    late.expect_nothing()
    await_dropped(t, counters, "not_readable", 10)
    for client in (counters, publisher, late, *subscribers):
        client.disconnect()
    t.client("late", clean=True).disconnect()
    t.await_empty_store()


@case("issue: authorization", over={**VERSIONS, "qos": (1, 2), "restart": (False, True)})
def a_queued_message_whose_right_was_withdrawn_is_dropped(t, version, qos, restart):
    start(t, "topic readwrite #\ntopic read $SYS/#\n", mqtt={"sys_interval": 1})
    t.away("sleeper", "a/#", version=version, qos=qos)
    publisher = t.client("publisher", version)
    for topic in ("a/kept", "a/withdrawn", "a/withdrawn", "a/last"):
        publisher.publish(topic, b"x", qos)
    text = "topic readwrite #\ntopic deny a/withdrawn\ntopic read $SYS/#\n"
    if restart:
        write(t, text)
        t.broker.stop()
        t.broker.start()
    else:
        rewrite(t, text)
    counters = t.client("counters")
    counters.subscribe(DROPPED + "no_longer_authorised")
    sleeper = t.back("sleeper", version)
    sleeper.message(topic="a/kept", qos=qos)
    sleeper.message(topic="a/last", qos=qos)
    sleeper.expect_nothing()
    await_dropped(t, counters, "no_longer_authorised", 2)
    t.await_line('client "sleeper"', "dropped", "no longer authorised")
    for client in (counters, sleeper):
        client.disconnect()
    t.broker.stop()
    t.check_store_is_empty()


@case("issue: authorization", "rule 15", "MQTT-4.4.0-1", over=VERSIONS)
def an_exchange_that_was_begun_goes_on_without_the_right(t, version):
    start(t, "topic readwrite #\n")
    reader = t.client("reader", version, stored=True)
    reader.subscribe("a", qos=2)
    writer = t.client("writer", version, stored=True)
    writer.publish("a", b"first", qos=2)
    outbound = reader.expect(PUBLISH, payload=b"first", qos=2)
    inbound = writer.send_publish("c", b"second", qos=2)
    writer.expect(PUBREC, packet_id=inbound)
    rewrite(t, "topic readwrite b\n")
    reader.close()
    reader = t.back("reader", version)
    reader.expect(PUBLISH, payload=b"first", qos=2, dup=True, packet_id=outbound.packet_id)
    reader.acknowledge(PUBREC, outbound.packet_id)
    reader.expect(PUBREL, packet_id=outbound.packet_id)
    reader.acknowledge(PUBCOMP, outbound.packet_id)
    reader.expect_nothing()
    # What the broker has taken over it has taken over: the same PUBLISH again is no other one.
    writer.send_publish("c", b"second", qos=2, packet_id=inbound, dup=True)
    writer.expect(PUBREC, packet_id=inbound, reason=0)
    writer.acknowledge(PUBREL, inbound)
    writer.expect(PUBCOMP, packet_id=inbound, reason=0)


@case("issue: authorization", over={"workers": (1, 4), "version": (4, 5)})
def a_change_applies_to_those_who_are_connected(t, workers, version):
    start(t, "topic readwrite #\n", workers=workers)
    clients = [t.client(f"client-{number}", version) for number in range(8)]
    for client in clients:
        client.subscribe("a", "b", qos=1)
    rewrite(t, "topic readwrite a\npattern write b\n")
    for client in clients:
        client.publish("b", b"x", qos=1)
        checks.equal("SUBACK", client.subscribe("b", qos=1, refused=True).reasons,
                     [NOT_AUTHORISED if version == 5 else 0x80])
    clients[0].publish("a", b"y", qos=1)
    for client in clients:
        client.message(topic="a", payload=b"y")
    rewrite(t, "topic read b\npattern write b\n", 2)
    clients[0].publish("b", b"z", qos=1)  # the subscription has stayed, and the right is back
    for client in clients:
        client.message(topic="b", payload=b"z")
    if version == 5:
        clients[0].publish("a", b"x", qos=1, reasons=(NOT_AUTHORISED,))


@case("issue: authorization")
def a_list_with_a_fault_changes_nothing(t):
    start(t, "topic readwrite a\n")
    client = t.client("one")
    path = os.path.join(t.directory, "acl")
    faults = (("topic a\ntopic raed b\n", f"{path}:2: 'raed'"), ("topic a\0\n", f"{path}:1: "))
    for text, words in faults:
        write(t, text)
        t.broker.reload()
        t.await_line("SIGHUP", words, "everything stays as it was")
        client.publish("a", b"x", qos=1)
        client.publish("b", b"x", qos=1, reasons=(NOT_AUTHORISED,))
    os.unlink(path)
    t.broker.reload()
    t.await_line("SIGHUP", f"{path}: No such file", "everything stays as it was")
    os.mkdir(path)
    t.broker.reload()
    t.await_line("SIGHUP", f"{path}: Is a directory", "everything stays as it was")
    client.publish("b", b"x", qos=1, reasons=(NOT_AUTHORISED,))


@case("issue: authorization")
def a_list_can_be_set_and_taken_away_while_the_broker_runs(t):
    t.holdfast_only("access control")
    t.start()
    client = t.client("one")
    client.publish("b", b"x", qos=1)
    t.broker.config["authorization"] = {"acl_file": write(t, "topic readwrite a\n")}
    t.broker.reload()
    t.await_line("is in force", "reading 2 ")
    client.publish("b", b"x", qos=1, reasons=(NOT_AUTHORISED,))
    del t.broker.config["authorization"]
    t.broker.reload()
    t.await_line("is in force", "reading 3 ")
    client.publish("b", b"x", qos=1)


@case("issue: authorization")
def a_broker_with_a_faulty_list_does_not_start(t):
    t.holdfast_only("access control")
    broker = t.new_broker(authorization={"acl_file": write(t, "tpoic a\n")})
    broker.write_config()
    for arguments in ((), ("--check-config",)):
        done = subprocess.run([t.binary, *arguments, "-c", broker.config_file],
                              stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S)
        checks.equal("exit status", done.returncode, 2)
        if f"{t.directory}/acl:1: 'tpoic' is none of" not in done.stderr:
            raise AssertionError(done.stderr)


@case("issue: authorization", "MQTT-3.1.4-2", over=VERSIONS)
def a_will_needs_the_right_to_publish_it(t, version):
    start(t, "topic readwrite a\n")
    bold = t.open(version)
    bold.send(mqtt.connect(version, "bold", True, will=will("b")))
    bold.expect(CONNACK, reason=NOT_AUTHORISED if version == 5 else 5)
    bold.expect_close()
    reader = t.client("reader")
    reader.subscribe("a", qos=1)
    t.client("good", version, will=will("a")).close()
    reader.message(topic="a", payload=b"gone")


@case("issue: authorization", over={"delay": (0, 1)})
def a_will_whose_right_was_withdrawn_is_not_published(t, delay):
    start(t, "topic readwrite #\n")
    reader = t.client("reader")
    reader.subscribe("a", "b", qos=1)
    victim = t.client("victim", stored=True,
                      will={**will("a"), "will_delay_interval": delay})
    rewrite(t, "topic read a\ntopic readwrite b\n")
    victim.close()
    t.await_line('client "victim"', "refused", "not allowed")
    if delay:
        t.pass_time(1.1)
    t.silence(reader, t.client("sentinel"), "b")


@case("issue: authorization")
def a_name_with_wildcards_is_granted_nothing_by_patterns(t):
    start(t, "pattern readwrite own/%c/#\n")
    t.client("plain").publish("own/plain/a", b"x", qos=1)
    for name in ("+", "#", "a/b", "plain/../+", "$SYS"):
        client = t.client(name)
        for topic in ("own/plain/a", "own/a/b", f"own/{name}/x".replace("+", "p").replace("#", "h")):
            client.publish(topic, b"x", qos=1, reasons=(NOT_AUTHORISED,))
        suback = client.subscribe("own/#", "own/+/a", "#", refused=True)
        checks.equal(name, suback.reasons, [NOT_AUTHORISED] * 3)


@case("issue: authorization", needs=("openssl",))
def rights_can_depend_on_the_listener_and_the_certificate(t):
    start(t, """when listener plain
topic readwrite plain/#
when listener tls
topic readwrite tls/#
when listener tls
when certificate CN=alice
topic readwrite alice/#
when listener palin
topic readwrite #
""", tls=True, client_certificate=b"optional")
    t.await_line("acl:8: there is no listener 'palin'")
    checks.equal("warnings", len(t.lines_about("there is no listener")), 1)
    contexts = {name: t.authority.context(*t.authority.client(t.directory, name))
                for name in ("alice", "bob")}
    clients = {"plain": t.client("1"), "tls": t.client("2", transport="tls"),
               "alice": t.client("3", transport="tls", tls=contexts["alice"]),
               "bob": t.client("4", transport="tls", tls=contexts["bob"])}
    granted = {"plain": {"plain"}, "tls": {"tls"}, "alice": {"tls", "alice"}, "bob": {"tls"}}
    for who, client in clients.items():
        for topic in ("plain", "tls", "alice"):
            reason = client.publish(f"{topic}/x", b"x", qos=1, reasons=(0x10, NOT_AUTHORISED))
            checks.equal(f"{who}: {topic}", reason == 0x10, topic in granted[who])


@case("issue: authorization", over=VERSIONS)
def users_and_groups_have_what_their_sections_say(t, version):
    t.holdfast_only("access control")
    users = os.path.join(t.directory, "users")
    subprocess.run([t.binary, "passwd", "--batch", users], input="alice:a\nbob:b\ncarol:c\n",
                   text=True, check=True, timeout=DEADLINE_S)
    text = """topic readwrite nobody
user alice
topic readwrite hers
group team
member alice
member bob
topic readwrite team/#
user bob
topic deny team/secret
"""
    start(t, text, authentication={"password_file": users})
    granted = {"alice": {"hers", "team/a", "team/secret"}, "bob": {"team/a"}, "carol": set(),
               None: {"nobody"}}
    clients = {user: t.client(f"of-{user}", version, user=user, password=user and user[0])
               for user in granted}
    for user, client in clients.items():
        for topic in ("nobody", "hers", "team/a", "team/secret"):
            suback = client.subscribe(topic, qos=1, refused=True)
            refusal = NOT_AUTHORISED if version == 5 else 0x80
            checks.equal(f"{user}: {topic}", suback.reasons,
                         [1 if topic in granted[user] else refusal])
    clients["alice"].publish("team/secret", b"1", qos=1)
    clients["alice"].message(topic="team/secret", payload=b"1")
    clients["bob"].publish("team/a", b"2", qos=1)
    for user in ("alice", "bob"):
        clients[user].message(topic="team/a", payload=b"2")
    for client in clients.values():
        client.expect_nothing()
    rewrite(t, text.replace("member bob", "member carol"))
    clients["alice"].publish("team/a", b"3", qos=1)
    clients["alice"].message(topic="team/a", payload=b"3")
    clients["bob"].expect_nothing()
    clients["carol"].subscribe("team/#", qos=1)
    clients["carol"].publish("team/secret", b"4", qos=1)
    clients["carol"].message(topic="team/secret", payload=b"4")


@case("issue: authorization", over=VERSIONS, needs=("mosquitto_sub", "mosquitto_pub"))
def mosquittos_clients_meet_the_list(t, version):
    start(t, "topic write in/#\ntopic read out/#\npattern readwrite own/%c/#\n")
    host, port = t.broker.listeners()["plain"]
    common = ["-h", host, "-p", str(port), "-V", f"mqttv{'5' if version == 5 else '311'}"]
    listener = tools.mosquitto_sub(t, version, "tcp", "sub", "own/sub/#", 1, "-C", "1", "-d")
    listener.wait_for_line(b"Subscribed")
    for topic, client_id in (("own/sub/a", "pub"), ("own/sub/b", "sub-2"), ("in/x", "pub")):
        done = subprocess.run(["mosquitto_pub", *common, "-i", client_id, "-t", topic, "-m", "no",
                               "-q", "1", "-d"], capture_output=True, text=True, timeout=DEADLINE_S)
        if version == 5:
            refused = "Not authorized" in done.stdout + done.stderr
            checks.equal(f"{client_id} to {topic}", refused, topic != "in/x")
    refused = subprocess.run(["mosquitto_sub", *common, "-i", "other", "-t", "in/#", "-q", "1", "-E",
                              "-d"], capture_output=True, text=True, timeout=DEADLINE_S)
    if "All subscription requests were denied" not in refused.stdout + refused.stderr:
        raise AssertionError(refused.stdout + refused.stderr)
    listener.kill()
