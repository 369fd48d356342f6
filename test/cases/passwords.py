"""Who may connect: passwords, the file they stand in, and what a peer learns from a refusal."""

import os
import pty
import subprocess
import time

import checks
import mqtt_packet as mqtt
import tools
from case import case
from mqtt_packet import CONNACK
from mqtt_wire import DEADLINE_S, Closed

PASSWORDS = {"alice": "wonderland", "bob": "bob:s secret"}


def passwd(t, *arguments, stdin="", status=0):
    """`holdfast passwd`: what it said."""
    done = subprocess.run([os.path.abspath(t.binary), "passwd", *arguments], input=stdin.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S)
    said = done.stdout.decode("utf-8", "replace")
    checks.equal(f"exit status of passwd {arguments}, which said {said!r}", done.returncode, status)
    return said


def path_of(t):
    return os.path.join(t.directory, "users")


def write_users(t, users=None):
    passwd(t, "--batch", path_of(t), stdin="".join(
        f"{user}:{password}\n" for user, password in (users or PASSWORDS).items()))
    return path_of(t)


def start(t, write=write_users, anonymous=False, workers=None, **config):
    t.holdfast_only("a password file of this kind")
    section = {"password_file": write(t), **config.pop("authentication", {})}
    listener = {"allow_anonymous": anonymous, **config.pop("listener", {})}
    return t.start(workers=workers, listener=listener, authentication=section, **config)


# Each password is hashed, which takes its time.
SLOW = {"remember_passwords": 0}


def refused(t, version, client_id="stranger", code=None, **fields):
    client = t.open(version)
    client.send(mqtt.connect(version, client_id, True, **fields))
    client.expect(CONNACK, reason=code or (0x86 if version == 5 else 4), session_present=False)
    client.expect_close()


# ---- The exchange ----


@case("MQTT-3.1.4-2", "MQTT-3.2.2-7", over={"version": (3, 4, 5), "workers": (1, 4)})
def a_password_lets_in_who_has_it_and_nobody_else(t, version, workers):
    start(t, workers=workers)
    for user, password in PASSWORDS.items():
        client = t.client(f"of-{user}", version, user=user, password=password)
        client.expect_nothing()
        refused(t, version, user=user, password=password + "x")
        refused(t, version, user=user, password=password[:-1])
        refused(t, version, user=user, password="")
        refused(t, version, user=user, password=password + "\0")
        refused(t, version, user=user.upper(), password=password)
        client.expect_nothing()
    refused(t, version, user="alice", password=PASSWORDS["bob"])
    refused(t, version, user="", password="")
    refused(t, version, code=0x87 if version == 5 else 5)
    if version == 5:
        refused(t, 5, user="alice")
        refused(t, 5, code=0x87, password="wonderland")


@case("MQTT-3.1.4-2", over={"anonymous": (True, False)})
def a_name_has_to_be_proven_where_nobody_has_to_have_one_too(t, anonymous):
    start(t, anonymous=anonymous)
    refused(t, 5, user="alice", password="no")
    refused(t, 5, user="nobody", password="no")
    if anonymous:
        t.client("anonymous").expect_nothing()
    t.client("alice", user="alice", password="wonderland").expect_nothing()


@case("MQTT-3.1.4-2", needs=("mosquitto_passwd", "mosquitto_pub", "mosquitto_sub"))
def mosquittos_file_and_mosquittos_clients(t):
    def write(t):
        with open(path_of(t), "wb"):
            pass
        for user, password in PASSWORDS.items():
            subprocess.run(["mosquitto_passwd", "-b", path_of(t), user, password], check=True,
                           stdout=subprocess.DEVNULL, timeout=DEADLINE_S)
        passwd(t, path_of(t), "carol", stdin="yes\n")  # one of ours beside theirs
        return path_of(t)

    start(t, write)
    with open(path_of(t), encoding="ascii") as file:
        checks.equal("kinds of hashes", sorted({line.split(":")[1][:3] for line in file}),
                     ["$7$", "$y$"])
    reader = tools.mosquitto_sub(t, 5, "tcp", "reader", "a", 1, "-u", "alice", "-P", "wonderland",
                                 "-C", "2", "-d", "-F", "%q %t %p")
    reader.wait_for_line(b"Subscribed")
    for user, password in (("bob", "bob:s secret"), ("carol", "yes")):
        run_pub(t, user, password)
    checks.equal("messages", [line for line in reader.finish().splitlines() if b" x" in line][:2],
                 [b"1 a x", b"1 a x"])
    for version, words in ((5, b"Bad"), (4, b"bad user name or password")):
        said = run_pub(t, "bob", "wonderland", version, statuses=range(1, 256))
        checks.that(words.lower() in said.lower(), f"mosquitto_pub said {said!r}")


def run_pub(t, user, password, version=5, **options):
    host, port = t.broker.listeners()["plain"]
    return tools.Tool(["mosquitto_pub", "-h", host, "-p", str(port), "-V", str(version) if version == 5
                       else "311", "-q", "1", "-t", "a", "-m", "x", "-u", user, "-P", password]
                      ).finish(**options)


@case("MQTT-3.1.4-2", "issue: nobody learns whether a user exists",
      over={"kind": ("mosquitto", "holdfast")}, needs=("mosquitto_passwd",))
def a_stranger_takes_as_long_as_a_wrong_password(t, kind):
    def write(t):
        if kind == "holdfast":
            return write_users(t)
        subprocess.run(["mosquitto_passwd", "-b", "-c", path_of(t), "alice", "wonderland"],
                       check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE_S)
        return path_of(t)

    start(t, write, authentication={"max_failures": 0})

    work = {"alice": [], "mallory": []}
    for _ in range(8):
        for user, taken in work.items():
            begun = processor_time_ns(t.broker.process.pid)
            client = t.open()
            client.send(mqtt.connect(5, "x", True, user=user, password="wrong"))
            client.expect(CONNACK, reason=0x86)
            taken.append(processor_time_ns(t.broker.process.pid) - begun)
    known, unknown = min(work["alice"]), min(work["mallory"])
    # Yescrypt takes some 20 ms: an answer without it would come in a tenth of that.
    checks.that(unknown > known / 3 and known > unknown / 3,
                f"a user takes {known / 1e6:.1f} ms of work, a stranger {unknown / 1e6:.1f} ms")


def processor_time_ns(pid):
    """Of all its threads: what does not depend on who else uses the machine."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


@case("issue: secrets never logged")
def no_password_is_in_the_log(t):
    start(t, log={"level": b"trace"})
    t.client("one", user="alice", password="wonderland").disconnect()
    refused(t, 5, user="bob", password="a-wrong-one")
    refused(t, 5, user="a\nb\x1b", password="a-wrong-one")
    t.await_line('user "a\\x0ab\\x1b"')
    for secret in ("wonderland", "a-wrong-one", "$y$"):
        checks.equal(f"lines with {secret}", t.lines_about(secret), [])


@case("issue: repeated failures are slowed down", over={"version": (4, 5)})
def who_fails_again_and_again_has_to_wait(t, version):
    start(t, authentication={"max_failures": 3}, tls=True, client_certificate=b"required")
    slowed = 0x9F if version == 5 else 3
    for _ in range(3):
        refused(t, version, user="alice", password="no")
    refused(t, version, code=slowed, user="alice", password="no")
    refused(t, version, code=slowed, user="alice", password="wonderland")
    for _ in range(3):  # somebody that there is not is told the same
        refused(t, version, user="nobody", password="no")
    refused(t, version, code=slowed, user="nobody", password="no")
    t.client("bob", version, user="bob", password=PASSWORDS["bob"]).expect_nothing()
    context = t.authority.context(*t.authority.client(t.directory, "alice"))
    t.client("fleet", version, "tls", tls=context, user="alice",
             password="wonderland").expect_nothing()
    t.pass_time(1.1)
    t.client("alice", version, user="alice", password="wonderland").expect_nothing()


@case("issue: repeated failures are slowed down", over={"version": (4, 5)})
def guesses_made_at_once_are_no_more_than_those_made_one_by_one(t, version):
    start(t, workers=1, authentication={"max_failures": 3, "hash_threads": 1})
    crowd = [t.open(version) for _ in range(9)]
    begun = time.monotonic()
    for number, member in enumerate(crowd):
        guess = "wonderland" if member is crowd[-1] else "no"
        member.send(mqtt.connect(version, f"member-{number}", True, user="alice", password=guess))
    reasons = [member.expect(CONNACK, session_present=False).reason for member in crowd]
    waits = int(time.monotonic() - begun)  # each lets one more be tried
    failed, slowed = (0x86, 0x9F) if version == 5 else (4, 3)
    checks.that(reasons.count(failed) <= 3 + waits, f"after {waits} s: {reasons}")
    checks.that(waits > 0 or reasons[-1] == slowed, f"the right one, too: {reasons}")


# ---- What was right before ----


def connect_work(t, user, password, reason=0, version=5, client_id="again"):
    """Processor time of one CONNECT, in ns."""
    begun = processor_time_ns(t.broker.process.pid)
    client = t.open(version)
    client.send(mqtt.connect(version, client_id, True, user=user, password=password))
    client.expect(CONNACK, reason=reason)
    client.close()
    return processor_time_ns(t.broker.process.pid) - begun


@case("issue: a whole fleet comes back", over={"version": (4, 5), "workers": (1, 4)})
def a_password_that_was_right_before_costs_next_to_nothing(t, version, workers):
    start(t, workers=workers, authentication={"max_failures": 0})
    first = connect_work(t, "alice", "wonderland", version=version)
    again = min(connect_work(t, "alice", "wonderland", version=version) for _ in range(5))
    checks.that(again < first / 4, f"first {first / 1e6:.1f} ms of work, then {again / 1e6:.1f} ms")
    # A wrong one takes as long as ever, and so does hers with another name: somebody's, or
    # nobody's, for whom her hash may be the one that is tried.
    wrong = 0x86 if version == 5 else 4
    strangers = [(f"mallory{number}", "wonderland") for number in range(8)]
    for user, password in [("alice", "no"), ("bob", "wonderland"), *strangers]:
        taken = min(connect_work(t, user, password, wrong, version) for _ in range(2))
        checks.that(taken > first / 4, f"{user} with {password}: {taken / 1e6:.1f} ms of work")


@case("issue: a whole fleet comes back", "issue: reload")
def what_was_right_is_void_when_the_file_says_something_else(t):
    start(t)
    t.client("one", user="alice", password="wonderland").disconnect()
    passwd(t, path_of(t), "alice", stdin="changed\n")
    t.broker.reload()
    t.await_line("reading 2 is in force")
    refused(t, 5, user="alice", password="wonderland")
    passwd(t, "--delete", path_of(t), "alice")
    t.broker.reload()
    t.await_line("reading 3 is in force")
    refused(t, 5, user="alice", password="wonderland")
    refused(t, 5, user="alice", password="changed")


# ---- While a password is tried ----


@case("MQTT-3.1.4-5", "MQTT-4.6.0-5", over={"version": (4, 5), "workers": (1, 4)})
def what_follows_connect_waits_and_comes_in_order(t, version, workers):
    start(t, workers=workers)
    reader = t.client("reader", version, user="alice", password="wonderland")
    reader.subscribe("a", qos=1)
    eager = t.open(version)
    eager.send(mqtt.connect(version, "eager", True, user="bob", password=PASSWORDS["bob"])
               + b"".join(mqtt.publish(version, "a", b"%d" % n, 1, n + 1) for n in range(50))
               + mqtt.disconnect(version))
    eager.expect(CONNACK, reason=0)
    checks.equal("payloads", [reader.message().payload for _ in range(50)],
                 [b"%d" % n for n in range(50)])
    false = t.open(version)
    false.send(mqtt.connect(version, "false", True, user="bob", password="no")
               + mqtt.publish(version, "a", b"forged", 0))
    false.expect(CONNACK, reason=0x86 if version == 5 else 4)
    false.expect_close()
    t.silence(reader, t.client("other", version, user="alice", password="wonderland"), "a")


@case("issue: off the workers", timeout=60)
def others_are_served_while_many_passwords_are_tried(t):
    start(t, workers=1, authentication=SLOW, mqtt={"connect_timeout": 60})
    client = t.client("served", user="alice", password="wonderland")
    crowd = [t.open() for _ in range(30)]
    for number, member in enumerate(crowd):
        member.send(mqtt.connect(5, f"member-{number}", True, user="bob", password="bob:s secret"))
    waiting, rounds = list(crowd), 0
    while waiting:
        client.expect_nothing()  # a PINGREQ, and its answer
        rounds += 1
        waiting[0].poll()
        if (answer := waiting[0].next_packet()) is not None:
            checks.equal("reason", answer.reason, 0)
            del waiting[0]
    checks.that(rounds > 100, f"{rounds} answers while 30 passwords were tried")


@case("MQTT-3.1.4-3", over={"workers": (1, 4), "threads": (1, 4)}, timeout=60)
def the_last_connect_for_an_identifier_stays(t, workers, threads):
    """Many CONNECTs for one Client Identifier while passwords are tried, on several threads."""
    start(t, workers=workers, authentication={"hash_threads": threads, **SLOW}, log={"level": b"trace"},
          mqtt={"connect_timeout": 60})
    rivals = [t.open() for _ in range(8)]
    for number, rival in enumerate(rivals, 1):
        rival.send(mqtt.connect(5, "one", True, user="alice", password="wonderland"))
        await_attempts(t, number)
    last = t.client("one", user="alice", password="wonderland")
    for rival in rivals:
        try:
            rival.expect(CONNACK, reason=0)
            rival.expect_disconnect(0x8E)
        except Closed:
            pass  # taken over before its password was tried
    last.expect_nothing()


def await_attempts(t, count):
    """Until so many passwords have been given to be tried."""
    while len(t.lines_about("-CREDENTIALS->")) < count:
        t.pass_time(0.01)


@case("MQTT-3.1.4-3")
def a_peer_that_vanishes_meanwhile_leaves_nothing(t):
    start(t, workers=1, authentication=SLOW)
    for turn in range(5):
        clients = [t.open() for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(mqtt.connect(5, f"{turn}-{number}", True, user="alice",
                                     password="wonderland"))
            client.reset() if number % 2 else client.close()
    t.client("after", user="alice", password="wonderland").expect_nothing()
    t.await_line("while its password was tried")


@case("issue: overload")
def more_than_can_wait_are_told_that_the_server_is_busy(t):
    start(t, workers=1, authentication=SLOW, mqtt={"connect_timeout": 60})
    crowd = [t.open(version) for _ in range(200) for version in (4, 5)]
    for number, member in enumerate(crowd):
        member.send(mqtt.connect(member.version, f"member-{number}", True, user="bob",
                                 password="bob:s secret"))
    # The last are refused at once, while the first wait; which is which is the broker's.
    busy = {4: 0, 5: 0}
    while min(busy.values()) < 20:
        for member in list(crowd):
            member.poll()
            answer = member.next_packet()
            if answer is not None and answer.reason != 0:
                checks.equal("reason", answer.reason, 3 if member.version == 4 else 0x89)
                busy[member.version] += 1
            if answer is not None:
                crowd.remove(member)
        t.pass_time(0.01)


@case("5.0 section 3.1.4")
def a_connect_that_waits_too_long_is_closed(t):
    start(t, workers=1, authentication={"hash_threads": 1, **SLOW}, mqtt={"connect_timeout": 1})
    crowd = [t.open() for _ in range(200)]
    for number, member in enumerate(crowd):
        member.send(mqtt.connect(5, f"member-{number}", True, user="bob", password="bob:s secret"))
    closed = 0
    for member in crowd:
        try:
            member.expect(CONNACK, reason=0)
        except Closed:
            closed += 1
    checks.that(0 < closed < 200, f"{closed} of 200 were closed")
    t.await_line("its password has not been tried in time")


@case("rule 20", "5.0 section 3.1.4")
def a_connect_that_waited_for_the_broker_has_time_for_its_password(t):
    """Frozen for longer than `connect_timeout`, with the CONNECT in the socket."""
    start(t, workers=1, authentication=SLOW, mqtt={"connect_timeout": 1})
    member = t.open()
    packet = mqtt.connect(5, "member", True, user="bob", password="bob:s secret")
    member.send(packet[:1])
    t.client("other", user="alice", password="wonderland")  # behind it: it has been accepted
    t.broker.pause()
    member.send(packet[1:])
    t.pass_time(2)
    t.broker.resume()
    member.expect(CONNACK, reason=0)


@case("issue: stop")
def a_stop_does_not_wait_for_passwords(t):
    start(t, workers=1, authentication={"hash_threads": 1, **SLOW})
    crowd = [t.open() for _ in range(200)]
    for number, member in enumerate(crowd):
        member.send(mqtt.connect(5, f"member-{number}", True, user="bob", password="bob:s secret"))
    crowd[0].expect(CONNACK, reason=0)
    begun = time.monotonic()
    t.broker.stop()
    checks.that(time.monotonic() - begun < 3, "the stop waited for the queue")


# ---- Sessions, and reading the file again ----


@case("MQTT-3.1.4-2", over={"killed": (False, True)})
def a_session_stays_its_users(t, killed):
    start(t)
    owner = t.client("device", user="alice", password="wonderland", stored=True)
    owner.subscribe("a", qos=1)
    owner.disconnect()
    if killed:
        t.broker.kill_and_restart()
    refused(t, 5, "device", 0x87, user="bob", password="bob:s secret")
    back = t.client("device", user="alice", password="wonderland", stored=True)
    checks.equal("Session Present", back.connack.session_present, True)


@case("issue: reload", "MQTT-3.14.4-1", over={"workers": (1, 4)})
def users_that_are_gone_or_changed_are_sent_away(t, workers):
    start(t, workers=workers)
    alice = t.client("of-alice", user="alice", password="wonderland")
    bob = t.client("of-bob", user="bob", password=PASSWORDS["bob"], stored=True)
    passwd(t, path_of(t), "carol", stdin="third\n")
    t.broker.reload()
    t.await_line("reading 2 is in force")
    carol = t.client("of-carol", user="carol", password="third")
    passwd(t, "--delete", path_of(t), "bob")
    passwd(t, path_of(t), "carol", stdin="changed\n")
    t.broker.reload()
    t.await_line("reading 3 is in force")
    bob.expect_disconnect(0x87)
    carol.expect_disconnect(0x87)
    alice.expect_nothing()
    refused(t, 5, user="bob", password=PASSWORDS["bob"])
    refused(t, 5, user="carol", password="third")
    t.client("of-carol", user="carol", password="changed").disconnect()
    passwd(t, "--batch", path_of(t), stdin=f"bob:{PASSWORDS['bob']}\n")
    t.broker.reload()
    t.await_line("reading 4 is in force")
    back = t.client("of-bob", user="bob", password=PASSWORDS["bob"], stored=True)
    checks.equal("Session Present", back.connack.session_present, True)


@case("issue: reload")
def a_broken_password_file_changes_nothing(t):
    start(t)
    client = t.client("one", user="alice", password="wonderland")
    with open(path_of(t), "a", encoding="ascii") as file:
        file.write("eve:plain\n")
    t.broker.reload()
    t.await_line("SIGHUP", "users:3", "everything stays as it was")
    client.expect_nothing()
    t.client("two", user="bob", password=PASSWORDS["bob"]).disconnect()
    t.broker.stop()
    t.broker.launch()
    checks.equal("exit status", t.broker.wait_for_exit(), 2)
    t.broker.process = None


@case("issue: reload")
def a_password_file_can_come_and_go_with_a_reload(t):
    t.holdfast_only("a password file")
    t.start()
    before = t.client("before", user="alice", password="whatever")
    t.broker.config["authentication"] = {"password_file": write_users(t)}
    t.broker.config["listener"]["plain"]["allow_anonymous"] = False
    t.broker.reload()
    before.expect_disconnect(0x87)
    t.await_line("reading 2 is in force")
    refused(t, 5, user="alice", password="whatever")
    alice = t.client("one", user="alice", password="wonderland")
    del t.broker.config["authentication"]
    t.broker.config["listener"]["plain"]["allow_anonymous"] = True
    t.broker.reload()
    alice.expect_disconnect(0x87)


# ---- holdfast passwd ----


@case("issue: holdfast passwd")
def passwd_leaves_nothing_behind_when_it_fails(t):
    """An empty file in the place of one that was not there would let nobody in."""
    t.holdfast_only("holdfast passwd")
    path = path_of(t)
    for arguments, stdin in (((path, ""), "x\n"), (("--delete", path, "nobody"), ""),
                             (("--batch", path), "no colon\n")):
        passwd(t, *arguments, stdin=stdin, status=1)
        checks.that(not os.path.exists(path), f"a file is left by passwd {arguments}")


@case("issue: holdfast passwd")
def passwd_writes_into_no_file_that_somebody_has_open(t):
    t.holdfast_only("holdfast passwd")
    path = path_of(t)
    with open(path + ".new", "w+", encoding="ascii") as before:
        os.chmod(path + ".new", 0o666)
        passwd(t, path, "alice", stdin="one\n")
        checks.equal("what was put in its way", before.read(), "")
    checks.equal("mode", os.stat(path).st_mode & 0o777, 0o600)


@case("issue: holdfast passwd")
def passwd_makes_a_file_for_the_group_where_the_directory_hands_it_on(t):
    """As /etc/holdfast of the package does, whose group the broker is in."""
    t.holdfast_only("holdfast passwd")
    for mode, wanted in ((0o750, 0o600), (0o2750, 0o640)):
        directory = os.path.join(t.directory, oct(mode))
        os.mkdir(directory)
        os.chown(directory, -1, os.getgid())
        os.chmod(directory, mode)
        path = os.path.join(directory, "users")
        for umask in (0o022, 0o077):
            before = os.umask(umask)
            passwd(t, path, "alice", stdin="one\n")
            os.umask(before)
            checks.equal("mode", oct(os.stat(path).st_mode & 0o777), oct(wanted))
            checks.equal("group", os.stat(path).st_gid, os.getgid())
            os.unlink(path)


@case("issue: holdfast passwd")
def passwd_changes_one_line_and_leaves_the_others(t):
    t.holdfast_only("holdfast passwd")
    path = path_of(t)
    passwd(t, path, "alice", stdin="one\n")
    checks.equal("mode", os.stat(path).st_mode & 0o777, 0o600)
    with open(path, "a", encoding="ascii") as file:
        file.write("# a comment\n\n")
    passwd(t, path, "bob", stdin="two\n")
    os.chmod(path, 0o640)

    def lines():
        with open(path, encoding="ascii") as file:
            return file.read().splitlines()

    first = lines()
    checks.equal("shape", [line.split(":")[0] for line in first],
                 ["alice", "# a comment", "", "bob"])
    passwd(t, path, "alice", stdin="three\n")
    second = lines()
    checks.that(second[0] != first[0] and second[1:] == first[1:], "another line has changed")
    checks.equal("mode", os.stat(path).st_mode & 0o777, 0o640)
    passwd(t, "--delete", path, "alice")
    checks.equal("after the deletion", lines(), first[1:])
    for arguments, stdin in ((("--delete", path, "alice"), ""), ((path, "a:b"), "x\n"),
                             ((path, ""), "x\n"), ((path, "#a"), "x\n"), ((path, "carol"), ""),
                             ((path, "carol"), "\n"), ((path, "carol"), "x" * 512 + "\n"),
                             (("--batch", path), "dora:x\nno colon\n")):
        passwd(t, *arguments, stdin=stdin, status=1)
    checks.equal("after refusals", lines(), first[1:])
    for arguments in ((), (path,), (path, "a", "b"), ("--batch",), ("--wrong",)):
        passwd(t, *arguments, status=2)
    checks.equal("files", sorted(name for name in os.listdir(t.directory) if "users" in name),
                 ["users"])


@case("issue: holdfast passwd")
def passwd_asks_a_terminal_twice_and_shows_nothing(t):
    t.holdfast_only("holdfast passwd")
    for answers, status in (((b"secret", b"secret"), 0), ((b"secret", b"Secret"), 1)):
        master, slave = pty.openpty()
        process = subprocess.Popen([os.path.abspath(t.binary), "passwd", path_of(t), "alice"],
                                   stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        shown = b""
        for question, answer in zip((b"Password: ", b"Once more: "), answers):
            while question not in shown:
                shown += os.read(master, 100)
            os.write(master, answer + b"\n")
        try:
            while chunk := os.read(master, 100):
                shown += chunk
        except OSError:
            pass  # the other end is closed
        os.close(master)
        checks.equal("exit status", process.wait(DEADLINE_S), status)
        checks.that(b"ecret" not in shown, f"the terminal shows {shown!r}")
    t.start(listener={"allow_anonymous": False}, authentication={"password_file": path_of(t)})
    t.client("one", user="alice", password="secret").expect_nothing()


# ---- Identifiers and certificates ----


@case("MQTT-3.1.3-8", over={"version": (4, 5), "workers": (1, 4)})
def a_client_has_the_identifier_of_its_user(t, version, workers):
    start(t, workers=workers, listener={"client_id_binding": b"user_name"})
    code = 0x85 if version == 5 else 2
    t.client("alice", version, user="alice", password="wonderland").expect_nothing()
    for client_id in ("bob", "alice2", "alic", "Alice"):
        refused(t, version, client_id, code, user="alice", password="wonderland")
    refused(t, version, "", code, user="alice", password="wonderland")
    refused(t, version, "bob", user="alice", password="no")  # who it is comes first


@case("MQTT-3.1.4-2", over={"version": (4, 5), "rule": ("common_name", "subject", "dns", "uri", "email")})
def a_certificate_says_the_user_name(t, version, rule):
    t.holdfast_only("certificate_user")
    broker = t.new_broker(tls=True, client_certificate=b"required",
                          authentication={"password_file": write_users(t)})
    broker.config["listener"]["tls"].update(
        certificate_user=rule.encode(), client_id_binding=b"user_name", allow_anonymous=False)
    broker.start()
    # A user name in CONNECT, and its password, are not looked at.
    for cn, fields in (("sensor-7", {}), ("sensor-8", {"user": "alice", "password": "no"})):
        names = {"dns": f"{cn}.example", "uri": f"spiffe://acme/{cn}", "email": f"{cn}@example"}
        alternative = ",".join(f"{kind if kind == 'email' else kind.upper()}:{name}"
                               for kind, name in names.items())
        context = t.authority.context(*t.authority.client(t.directory, cn, names=alternative))
        probe = t.open(version, "tls", tls=context)
        probe.send(mqtt.connect(version, "alice", True, **fields))
        probe.expect(CONNACK, reason=0x85 if version == 5 else 2)
        probe.expect_close()
        name = {"common_name": cn, "subject": f"CN={cn}", **names}[rule]
        t.client(name, version, "tls", tls=context, **fields).expect_nothing()
        t.await_line(f'user "{name}"')
    if rule in names:  # it is not in every certificate
        context = t.authority.context(*t.authority.client(t.directory, "sensor-9"))
        probe = t.open(version, "tls", tls=context)
        probe.send(mqtt.connect(version, "sensor-9", True))
        probe.expect(CONNACK, reason=0x87 if version == 5 else 5)
        probe.expect_close()
