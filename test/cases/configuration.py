"""Configuration: what is wrong is named with file, line and option, and the exit status is 2."""

import os
import socket
import sqlite3
import subprocess

import checks
import store
from case import case
from mqtt_wire import DEADLINE_S

MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../broker/holdfast.1")

GOOD = """listener "plain" { bind = "127.0.0.1:0" allow_anonymous = true }
sqlite { mounted_file_path = "%(store)s" }
"""

# Text in place of the first line of `mqtt { ... }` in line 4, and what the message must name.
WRONG_OPTIONS = (
    ("max_inflight = 5", "max_inflight"),
    ("max_inflight_messages = 0", "max_inflight_messages"),
    ("max_inflight_messages = 65536", "max_inflight_messages"),
    ("max_inflight_messages = -1", "max_inflight_messages"),
    ("max_inflight_messages = many", "max_inflight_messages"),
    ("max_inflight_messages = 100k", "max_inflight_messages"),
    ("max_inflight_messages = 010", "max_inflight_messages"),
    ("max_inflight_messages = 99999999999999999999", "max_inflight_messages"),
    ("max_packet_size = 1.5", "max_packet_size"),
    ("retain_available = perhaps", "retain_available"),
    ("max_qos = 3", "max_qos"),
    ("keepalive_multiplier = 0", "keepalive_multiplier"),
    ("max_qos = 1 max_qos = 2", "max_qos"),
    ("response_information = \"${HOME}\"", "${"),
)

WRONG_TEXTS = (
    ("an unknown section", "mqqt { }\n", ("mqqt",)),
    ("a section that is not closed", "mqtt { max_qos = 1\n", ()),
    ("a brace too many", "mqtt { max_qos = 1 } }\n", ()),
    ("a word alone", "max_qos\n", ()),
    ("bytes", "\x01\x02\n", ()),
    ("a listener without an address", 'listener "second" { allow_anonymous = true }\n', ("bind",)),
    ("a listener without a port", 'listener "second" { bind = "127.0.0.1" }\n', ("bind",)),
    ("a port out of range", 'listener "second" { bind = "127.0.0.1:70000" }\n', ("bind",)),
    ("a host that is none", 'listener "second" { bind = "no host:1883" }\n', ("bind",)),
    ("two listeners of one name",
     'listener "plain" { bind = "127.0.0.1:0" }\n', ("plain",)),
    ("an unknown transport", 'listener "second" { bind = "127.0.0.1:0" transport = quic }\n',
     ("transport",)),
    ("TLS without a certificate", 'listener "second" { bind = "127.0.0.1:0" transport = tls }\n',
     ("certificate",)),
    ("an option without its value", "mqtt { max_qos = }\n", ()),
    ("a section twice", "mqtt { }\nmqtt { }\n", ("mqtt",)),
    ("balancers without the protocol",
     'listener "second" { bind = "127.0.0.1:0" proxy_from = "10.0.0.1" }\n', ("proxy_from",)),
    ("the protocol without balancers",
     'listener "second" { bind = "127.0.0.1:0" proxy_protocol = true }\n', ("proxy_from",)),
    ("a balancer by name",
     'listener "second" { bind = "127.0.0.1:0" proxy_protocol = true proxy_from = "10.0.0.1 balancer" }\n', ("proxy_from",)),
    ("a network that is too small",
     'listener "second" { bind = "127.0.0.1:0" proxy_protocol = true proxy_from = "10.0.0.0/33" }\n', ("proxy_from",)),
    ("no balancers",
     'listener "second" { bind = "127.0.0.1:0" proxy_protocol = true proxy_from = " " }\n', ("proxy_from",)),
    ("a shortest Keep Alive above the longest", "mqtt { min_keepalive = 9 max_keepalive = 8 }\n",
     ("min_keepalive",)),
    ("an unknown level", "log { level = loud }\n", ("level",)),
)


def write(t, text, name="broker.conf"):
    path = os.path.join(t.directory, name)
    with open(path, "w", encoding="latin-1") as file:
        file.write(text % {"store": os.path.join(t.directory, "store", "")})
    return path


def run(t, *arguments, **environment):
    """Runs the broker to its end: (exit status, what it said)."""
    done = subprocess.run([os.path.abspath(t.binary), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=t.directory,
                          env={**os.environ, **environment}, timeout=DEADLINE_S)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Refusals:
    """Tries many wrong configurations and reports all that were taken or badly explained."""

    def __init__(self, t):
        t.holdfast_only("this configuration")
        self.t, self.wrong = t, []

    def expect(self, name, text, *words, line=None):
        path = write(self.t, text)
        for arguments in (("--check-config", "-c", path), ("-c", path)):
            try:
                status, said = run(self.t, *arguments)
            except subprocess.TimeoutExpired:
                self.wrong.append(f"{name}: {' '.join(arguments[:-1])} does not end")
                continue
            place = f"{os.path.basename(path)}:{line}" if line else os.path.basename(path)
            missing = [word for word in (place, *words) if word not in said]
            if status != 2 or missing:
                self.wrong.append(f"{name}: {arguments[0]} ended with {status}, said {said!r}"
                                  + (f", without {missing}" if missing else ""))

    def check(self):
        if self.wrong:
            raise AssertionError("\n  ".join(["not refused as they must be:", *self.wrong]))


@case("issue: bad input")
def a_wrong_option_is_refused_with_its_place(t):
    refusals = Refusals(t)
    for text, option in WRONG_OPTIONS:
        refusals.expect(text, GOOD + "mqtt {\n  " + text + "\n}\n", option, line=4)
    refusals.check()


@case("issue: bad input")
def a_wrong_text_is_refused_with_its_place(t):
    refusals = Refusals(t)
    for name, text, words in WRONG_TEXTS:
        refusals.expect(name, GOOD + text, *words)
    refusals.check()


@case("issue: bad input")
def a_file_that_cannot_be_read_is_named(t):
    t.holdfast_only("this configuration")
    for name in ("missing.conf", "store"):
        os.makedirs(os.path.join(t.directory, "store"), exist_ok=True)
        path = os.path.join(t.directory, name)
        status, said = run(t, "-c", path)
        checks.equal("exit status", status, 2)
        checks.that(path in said, f"{path} is not in {said!r}")


@case("issue: bad input")
def wrong_arguments_are_refused(t):
    t.holdfast_only("its arguments")
    for arguments in (("--no-such-option",), ("-c",), ("-x",), ("stray",)):
        status, said = run(t, *arguments, STATE_DIRECTORY=t.directory)
        checks.equal(f"exit status of {arguments}", status, 2)
        checks.that(said.strip(), f"{arguments}: not a word")


@case("issue: configuration")
def every_command_explains_itself(t):
    t.holdfast_only("its commands")
    commands = (("passwd",), ("acl", "explain"), ("why",), ("trace", "check"),
                ("trace", "show"), ("trace", "draw"))
    for command in ((), *commands, ("acl",), ("trace",)):
        words = " ".join(("holdfast", *command))
        done = subprocess.run([t.binary, *command, "--help"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE_S)
        checks.equal(f"exit status of {words} --help", done.returncode, 0)
        checks.equal(f"what {words} --help complains of", done.stderr, "")
        checks.that(words in done.stdout, f"{words} --help does not name it")
    status, said = run(t, "--help")
    for command in commands:
        checks.that(" ".join(command) in said, f"--help has no {command}")
    with open(MANUAL, encoding="utf-8") as file:
        manual = file.read()
    for command in commands:
        checks.that(f".Cm {' '.join(command)}\n" in manual, f"the manual page has no {command}")


@case("issue: configuration")
def check_config_and_help_config_know_every_option(t):
    t.holdfast_only("--help-config")
    path = write(t, GOOD)
    status, said = run(t, "--check-config", "-c", path)
    checks.equal("exit status", status, 0)
    checks.equal("files", os.listdir(t.directory).count("store"), 0)
    status, said = run(t, "--help-config")
    checks.equal("exit status", status, 0)
    for option in ("bind", "allow_anonymous", "client_certificate", "max_inflight_messages",
                   "keepalive_multiplier", "disk_cache_size", "mounted_file_path",
                   "flush_mem_threshold", "resend_interval", "durability", "mailbox_size",
                   "level"):
        checks.that(option in said, f"--help-config does not speak of {option}")


@case("issue: configuration")
def nanomqs_sqlite_block_is_read_as_it_stands(t):
    t.holdfast_only("this configuration")
    path = write(t, 'listener "plain" { bind = "127.0.0.1:0" }\n'
                    'sqlite {\n  disk_cache_size = 102400  # Default 102400\n'
                    '  mounted_file_path="%(store)s"\n  flush_mem_threshold = 100\n'
                    '  resend_interval = 5000\n}\n')
    status, said = run(t, "--check-config", "-c", path)
    checks.equal("exit status", (status, said if status else ""), (0, ""))


@case("issue: configuration", "MQTT-3.1.2-22")
def another_keepalive_multiplier_warns(t):
    t.holdfast_only("keepalive_multiplier")
    t.start(mqtt={"keepalive_multiplier": 2.0})
    checks.that("keepalive_multiplier" in t.broker.log(), "no warning")
    t.client("silent", keep_alive=1).expect_disconnect(0x8D)


@case("issue: configuration", "issue: 3.1.1")
def trace_shows_each_transition_with_its_statement(t):
    t.holdfast_only("log level trace")
    t.start(log={"level": b"trace"})
    t.check_health()
    t.broker.stop()
    checks.that("MQTT-" in t.broker.log(), "no statement is cited")


@case("issue: bad input", over={"what": ("missing", "garbage", "mismatch", "directory", "ca")})
def a_bad_certificate_or_key_is_refused(t, what):
    t.holdfast_only("this configuration")
    config = t.config(tls=True)
    tls = config["listener"]["tls"]
    option = "key" if what in ("mismatch", "missing") else "certificate"
    if what == "missing":
        tls["key"] = os.path.join(t.directory, "no-such.key")
    elif what == "garbage":
        tls["certificate"] = write(t, "this is no certificate\n", "garbage.pem")
    elif what == "mismatch":
        tls["key"] = t.authority.client(t.directory, "other")[1]
    elif what == "directory":
        tls["certificate"] = t.directory
    else:
        option = "ca"
        tls.update({"client_certificate": b"required", "ca": write(t, "no\n", "ca.pem")})
    broker = t.new_broker()
    broker.config = config
    broker.launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    for words in (tls[option], "tls"):
        checks.that(words in broker.log(), f"{words} is not in the message")


@case("issue: bad input")
def a_required_client_certificate_needs_an_authority(t):
    t.holdfast_only("this configuration")
    config = t.config(tls=True)
    config["listener"]["tls"]["client_certificate"] = b"required"
    broker = t.new_broker()
    broker.config = config
    broker.launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    checks.that("'ca'" in broker.log(), "the option ca is not named")


@case("issue: bad input")
def a_port_in_use_is_refused(t):
    t.holdfast_only("exit status 2")
    with socket.socket() as taken:
        taken.bind((t.address, 1883))
        taken.listen()
        broker = t.new_broker().launch()
        checks.equal("exit status", broker.wait_for_exit(), 2)
        checks.that(f"{t.address}:1883" in broker.log(), "the address is not in the message")


@case("issue: bad input", over={"what": ("under a file", "in /proc")})
def a_directory_that_cannot_be_written_is_refused(t, what):
    t.holdfast_only("exit status 2")
    path = "/proc/holdfast" if what == "in /proc" else os.path.join(write(t, "x", "file"), "store")
    broker = t.new_broker(sqlite={"mounted_file_path": path}).launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    checks.that(path in broker.log(), "the path is not in the message")


@case("issue: bad input", "rule 14")
def a_database_held_by_another_broker_is_refused(t):
    t.holdfast_only("exit status 2")
    first = t.start()
    second = t.new_broker(listener={"bind": f"{t.address}:1884"})
    second.log_file = os.path.join(t.directory, "second.log")
    second.config_file = os.path.join(t.directory, "second.conf")
    second.launch()
    checks.equal("exit status", second.wait_for_exit(), 2)
    checks.that(t.broker.store.rstrip("/") in second.log(), f"no directory in {second.log()!r}")
    t.check_health()
    first.kill()
    second.start()  # the lock goes with its process
    second.stop()


@case("issue: storage", "rule 18")
def a_newer_schema_is_refused_untouched(t):
    t.holdfast_only("the database")
    t.start()
    t.away("away", "a")
    t.broker.stop()
    with sqlite3.connect(store.path(t.broker.store)) as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()
    with open(store.path(t.broker.store), "rb") as file:
        before = file.read()
    t.broker.launch()
    checks.equal("exit status", t.broker.wait_for_exit(), 2)
    with open(store.path(t.broker.store), "rb") as file:
        checks.equal("the file is as it was", file.read() == before, True)
    said = t.broker.log().rpartition("---- start")[2]
    checks.that(t.broker.store in said and "9999" in said, f"store and schema are not in {said!r}")


@case("promise 7", "rule 18", over={"how": ("overwritten", "truncated", "empty", "header")})
def a_damaged_database_is_set_aside_and_the_broker_starts(t, how):
    t.holdfast_only("the database")
    t.start()
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    for number in range(100):
        publisher.publish("a", b"%d" % number, qos=1)
    t.broker.stop()
    path = store.path(t.broker.store)
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if how == "overwritten":
            file.write(t.random.randbytes(size))
        elif how == "truncated":
            file.truncate(size // 2)
        elif how == "empty":
            file.truncate(0)
        else:
            file.write(b"\0" * 100)
    t.broker.start()
    t.check_health()
    if how != "empty":
        aside = [name for name in os.listdir(t.broker.store) if "damaged" in name]
        checks.that(aside, f"nothing was set aside: {os.listdir(t.broker.store)}")
        checks.that("damaged" in t.broker.log(), "the log is silent about it")
    t.broker.kill_and_restart()
    t.check_health()


def listening(pid):
    """Addresses on which this process listens, from /proc."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue  # closed since it was listed: no listener, those stay open
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    out = []
    for family in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{family}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    host, port = fields[1].split(":")
                    out.append((host, int(port, 16)))
    return out


@case("issue: configuration")
def the_default_is_the_loopback_address_alone(t):
    """Without a listener; in a state directory of its own."""
    t.holdfast_only("a default listener")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 1883))
        except OSError:
            t.skip("port 1883 is in use")
    broker = t.new_broker()
    broker.config = {"listener": {"plain": {"bind": "127.0.0.1:1883"}}}
    broker.launch(f'sqlite {{ mounted_file_path = "{broker.store}" }}\n')
    broker.await_listeners()
    loopback = "0100007F"
    checks.equal("listening", listening(broker.process.pid), [(loopback, 1883)])
    t.check_health()
    broker.stop()


@case("issue: listeners", over={"bind": ("[::1]", "localhost")})
def a_listener_may_be_ipv6_or_a_name(t, bind):
    with socket.socket(socket.AF_INET6 if bind == "[::1]" else socket.AF_INET) as probe:
        try:
            probe.bind(("::1" if bind == "[::1]" else "127.0.0.1", 0))
        except OSError:
            t.skip("no IPv6 here")
        port = probe.getsockname()[1]
    t.start(listener={"bind": f"{bind}:{port}"})
    t.check_health()


@case("issue: listeners", "rule 16")
def several_listeners_serve_the_same_sessions(t):
    config = t.config(tls=True)
    config["listener"]["second"] = {"bind": f"{t.address}:1884", "allow_anonymous": True}
    broker = t.new_broker()
    broker.config = config
    broker.start()
    clients = [t.client(name, listener=name) for name in ("plain", "second", "tls")]
    for client in clients:
        client.subscribe("a", qos=1)
    for number, publisher in enumerate(clients):
        publisher.publish("a", b"%d" % number, qos=1)
        for client in clients:
            client.message(payload=b"%d" % number)


@case("MQTT-3.1.4-2", over={"version": (4, 5)})
def without_allow_anonymous_nobody_unknown_is_let_in(t, version):
    import mqtt_packet as mqtt
    t.start(listener={"allow_anonymous": False})
    client = t.open(version)
    client.send(mqtt.connect(version, "a", True))
    packet = client.expect(mqtt.CONNACK)
    checks.one_of("Reason Code", packet.reason, (0x86, 0x87) if version == 5 else (4, 5))
    client.expect_close()


@case("rule 16", over={"signal": ("SIGTERM", "SIGINT")})
def a_stop_ends_with_status_0_and_all_connections_closed(t, signal):
    import signal as signals
    t.start(tls=True)
    clients = [t.client(f"client-{number}", 5, "tls" if number % 2 else "tcp")
               for number in range(20)]
    t.open(5)  # has said nothing yet
    t.open(5, "tls")
    t.broker.process.send_signal(getattr(signals, signal))
    checks.equal("exit status", t.broker.wait_for_exit(), 0)
    for client in clients:
        client.expect_disconnect(0x8B)


@case("rule 16")
def a_stop_does_not_wait_for_a_client_that_does_not_read(t):
    t.holdfast_only("shutdown_grace")
    t.start(broker={"shutdown_grace": 1})
    deaf = t.client("deaf", receive_buffer=4096)
    deaf.subscribe("flood")
    deaf.reading = False
    publisher = t.client("publisher")
    for _ in range(300):
        publisher.publish("flood", b"x" * 10000)
    publisher.settle()
    t.broker.stop()
