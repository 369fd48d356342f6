"""holdfast import: a configuration of mosquitto's lets in whom it let in there, and nobody else, and says
what it could not keep."""

import glob
import os
import subprocess

import checks
from broker import Broker
from case import case
from dialect import Mosquitto

MOSQUITTO = "/usr/sbin/mosquitto"
EXAMPLES = (*glob.glob("/etc/mosquitto/*.conf"), *glob.glob("/usr/share/doc/mosquitto/examples/*.conf*"))


def run_import(t, kind, *arguments):
    """(exit status, standard output, standard error)"""
    done = subprocess.run([os.path.abspath(t.binary), "import", kind, *arguments], check=False,
                          capture_output=True, cwd=t.directory)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def write(t, name, text):
    path = os.path.join(t.directory, name)
    with open(path, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)
    return path


def options_of(text):
    """What is in force, as "section.option = value", and "listener NAME.option = value"."""
    found, section = set(), None
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.endswith("{"):
            section = line[:-1].strip().replace('"', "")
        elif line == "}":
            section = None
        else:
            found.add(f"{section}.{line.strip()}")
    return found


# A line of mosquitto.conf behind "listener 1883 127.0.0.1", what comes of it, what is said of it (the status is 1
# where it is marked), as mosquitto.conf(5) has the options.
LINES = (
    ("max_inflight_messages 7", "mqtt.max_inflight_messages = 7", None),
    ("max_inflight_messages 0", "mqtt.max_inflight_messages = 65535", None),
    ("max_queued_messages 50", "mqtt.max_queued_messages = 50", None),
    ("max_queued_bytes 1000", "mqtt.max_queued_bytes = 1000", None),
    ("max_packet_size 4096", "mqtt.max_packet_size = 4096", None),
    ("max_packet_size 0", "mqtt.max_packet_size = 268435460", None),
    ("max_packet_size 20", None, "SECURITY: max_packet_size"),
    ("max_keepalive 600", "mqtt.max_keepalive = 600", None),
    ("max_qos 1", "mqtt.max_qos = 1", None),
    ("max_topic_alias 3", "mqtt.max_topic_alias = 3", None),
    ("max_connections 5", "listener tcp-1883.max_connections = 5", None),
    ("max_connections 0", "listener none.allow_anonymous = false", "SECURITY: max_connections"),
    ("queue_qos0_messages true", "mqtt.queue_qos0_messages = true", None),
    ("retain_available false", "mqtt.retain_available = false", None),
    ("sys_interval 0", "mqtt.sys_interval = 0", None),
    ("persistent_client_expiration 2w", "mqtt.persistent_client_expiration = 1209600", None),
    ("persistence true", "sqlite.durability = commit", None),
    ("persistence false", "sqlite.durability = none", None),
    ("log_type error\nlog_type notice", "log.level = notice", None),
    ("log_type all", "log.level = debug", None),
    ("log_dest file /a/b c.log", "log.file = \"/a/b c.log\"", "log_dest: Holdfast's user"),
    ("log_dest syslog\nlog_dest file /a/b.log\nlog_dest topic", "log.file = \"/a/b.log\"", "log_dest"),
    ("log_dest stdout", None, "log_dest: the log goes to standard error"),
    ("allow_anonymous true", "listener tcp-1883.allow_anonymous = true", None),
    ("allow_anonymous false", "listener tcp-1883.allow_anonymous = false", None),
    ("# a comment\n\n", "listener tcp-1883.allow_anonymous = false", None),
    ("password_file /a/b c", "authentication.password_file = \"/a/b c\"", None),
    ("acl_file /a/acl", "authorization.acl_file = \"/a/acl\"", None),
    ("protocol websockets", "listener ws-1883.transport = ws", None),
    ("use_username_as_clientid true", "listener tcp-1883.client_id_binding = user_name", "use_username_as_clientid"),
    ("certfile /c\nkeyfile /k", "listener tls-1883.transport = tls", None),
    ("certfile /c\nkeyfile /k\nprotocol websockets", "listener wss-1883.transport = wss", None),
    ("certfile /c\nkeyfile /k\ntls_version tlsv1.3", "listener tls-1883.tls_version = tlsv1.3", None),
    ("certfile /c\nkeyfile /k\ntls_version tlsv1.1", "listener tls-1883.transport = tls", "tls_version"),
    ("certfile /c\nkeyfile /k\ncafile /a\ncrlfile /r\nrequire_certificate true\nuse_identity_as_username true",
     "listener tls-1883.crl = \"/r\"", None),
    ("certfile /c\nkeyfile /k\nciphers HIGH", "listener tls-1883.transport = tls", "SECURITY: ciphers"),
    ("certfile /c", "listener none.allow_anonymous = false", "SECURITY: certfile"),
    ("certfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true\nuse_identity_as_username true",
     "listener tls-1883.client_certificate = required", None),
    ("certfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true\nuse_subject_as_username true",
     "listener tls-1883.certificate_user = subject", "use_subject_as_username"),
    ("certfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true\npassword_file /p",
     "listener none.allow_anonymous = false", "SECURITY: require_certificate"),
    ("certfile /c\nkeyfile /k\ncapath /a\nrequire_certificate true\nuse_identity_as_username true",
     "listener none.allow_anonymous = false", "SECURITY: require_certificate"),
    ("certfile /c\nkeyfile /k\ncafile /a\nuse_identity_as_username true\nallow_anonymous true",
     "listener none.allow_anonymous = false", "SECURITY: use_identity_as_username"),
    ("certfile /c\nkeyfile /k\nuse_subject_as_username true",
     "listener none.allow_anonymous = false", "SECURITY: use_subject_as_username"),
    ("use_identity_as_username true", "listener tcp-1883.allow_anonymous = false", "use_identity_as_username"),
    ("require_certificate true", "listener none.allow_anonymous = false", "SECURITY: certfile"),
    ("psk_hint h", "listener none.allow_anonymous = false", "SECURITY: psk_hint"),
    ("psk_hint h\npsk_file /p", "listener none.allow_anonymous = false", "SECURITY: psk_hint"),
    ("psk_hint h\npsk_file /p\nuse_identity_as_username true", "listener tls-1883.psk_user = identity", None),
    ("psk_hint h\npsk_file /p\nallow_anonymous true", "listener tls-1883.psk_file = \"/p\"", None),
    ("psk_hint h\npsk_file /p\nallow_anonymous true\ncertfile /c\nkeyfile /k",
     "listener none.allow_anonymous = false", "SECURITY: psk_hint"),
    ("bind_interface eth0", "listener none.allow_anonymous = false", "SECURITY: bind_interface"),
    ("mount_point a/", "listener none.allow_anonymous = false", "SECURITY: mount_point"),
    ("plugin /a.so\nplugin_opt_x secret", "listener none.allow_anonymous = false", "SECURITY: plugin"),
    ("auth_plugin /a.so", "listener none.allow_anonymous = false", "SECURITY: auth_plugin"),
    ("clientid_prefixes a", "listener tcp-1883.transport = tcp", "SECURITY: clientid_prefixes"),
    ("allow_zero_length_clientid false", None, "SECURITY: allow_zero_length_clientid"),
    ("no_such_option 1", None, "SECURITY: no_such_option"),
    ("connection b\naddress a\nremote_password secret\ntopic # both", None, "remote_password: there are no bridges"),
    ("socket_domain ipv4\nlistener 1884\nsocket_domain ipv4", "listener tcp-1884.bind = \"0.0.0.0:1884\"", None),
    ("listener 1884", "listener tcp-1884.bind = \"*:1884\"", None),
    ("listener 1884 ::1", "listener tcp-1884.bind = \"[::1]:1884\"", None),
    ("listener 0 /run/socket", "listener tcp-1883.transport = tcp", "SECURITY: listener: there are no Unix sockets"),
    ("memory_limit 5", None, "memory_limit"),
    ("message_size_limit 5", None, "message_size_limit"),
    ("persistence_location /var", None, "persistence_location"),
    ("include_dir /nonexistent\n", "error", "include_dir"),
    ("persistent_client_expiration 5x", "error", "persistent_client_expiration"),
    ("allow_anonymous perhaps", "error", "allow_anonymous"),
    ("max_qos many", "error", "max_qos"),
    ("log_dest file", "error", "log_dest"),
    ("log_dest printer", "error", "log_dest"),
    ("log_dest file /a\nlog_dest file /b", "error", "log_dest"),
    ("password_file", "error", "password_file"),
    ("listener 70000", "error", "listener"),
    ("password_file /a\nper_listener_settings true", "error", "per_listener_settings"),
)


@case("issue: coming from elsewhere", over={"line": range(len(LINES))})
def each_option_of_mosquitto_has_its_counterpart_or_is_named(t, line):
    t.holdfast_only("import")
    text, option, said = LINES[line]
    path = write(t, "mosquitto.conf", f"listener 1883 127.0.0.1\n{text}\n")
    status, out, err = run_import(t, "mosquitto.conf", path)
    if option == "error":
        checks.equal("status", status, 2)
        checks.that(f"{path}:" in err and said in err, f"it says {err!r}")
        return
    checks.equal(f"status, with {err!r}", status, 1 if "SECURITY" in (said or "") else 0)
    checks.that(option is None or option in options_of(out), f"{option} is not in {out}")
    for part in (err, out):
        checks.that(said is None or any(said in one and f"{path}:" in one for one in part.splitlines()),
                    f"{said} is not in {part!r}")
        checks.that("secret" not in part, f"a secret is in {part!r}")
    result = write(t, "holdfast.conf", out)
    done = subprocess.run([t.binary, "--check-config", "-c", result], check=False, capture_output=True, text=True)
    # The files of these lines are not there: anything else is not to be found wrong.
    if done.returncode:
        checks.that("No such file" in done.stderr, f"--check-config says {done.stderr!r}")


# A line of nanomq.conf behind a listener, as NanoMQ's example configuration has them; as in LINES.
NANOMQ = (
    ("mqtt { max_packet_size = 10KB }", "mqtt.max_packet_size = 10240", None),
    ("mqtt.max_packet_size : 260MB", None, "SECURITY: max_packet_size"),
    ("mqtt { max_mqueue_len = 2048, keepalive_multiplier = 1.25 }", "mqtt.max_queued_messages = 2048", None),
    ("mqtt { max_mqueue_len = 2048, keepalive_multiplier = 1.25 }", "mqtt.keepalive_multiplier = 1.25", None),
    ("mqtt {\n retry_interval = 10s\n}", None, "mqtt.retry_interval"),
    ("sqlite { disk_cache_size = 1024\n flush_mem_threshold = 7 }", "sqlite.disk_cache_size = 1024", None),
    ("sqlite { disk_cache_size = 0 }", None, "sqlite.disk_cache_size"),
    ("sqlite.mounted_file_path=\"/a/b c/\" # where", "sqlite.mounted_file_path = \"/a/b c/\"", "user has to be able"),
    ("sqlite { resend_interval = 5s }", "sqlite.resend_interval = 5000", None),
    ("log { level = warn }", "log.level = warning", None),
    ("log { to = [console, file], dir = \"/a\", file = \"b.log\" }", "log.file = \"/a/b.log\"", "log.to"),
    ("log { to = [file] }", None, "there are no log.dir"),
    ("auth { allow_anonymous = true }", "listener tcp-1883.allow_anonymous = true", None),
    ("auth { allow_anonymous = false }", "listener tcp-1883.allow_anonymous = false", None),
    ("auth { allow_anonymous = false }\nauth.allow_anonymous = true", "listener tcp-1883.allow_anonymous = true", None),
    ("// nothing", "listener tcp-1883.allow_anonymous = false", "auth.allow_anonymous"),
    ("auth { password = {include \"/etc/nanomq_pwd.conf\"} }", "listener tcp-1883.allow_anonymous = false",
     "holdfast passwd"),
    ("auth { acl = {include \"/etc/nanomq_acl.conf\"} }", "authorization.acl_file = \"/etc/holdfast/acl\"",
     "SECURITY: auth.acl"),
    ("auth { no_match = deny }", "authorization.acl_file = \"/etc/holdfast/acl\"", "SECURITY: auth.acl"),
    ("auth { no_match = allow, cache = { ttl = 1m } }", "listener tcp-1883.transport = tcp", "auth.cache"),
    ("auth { http_auth = { auth_req { url = \"http://127.0.0.1:80/secret\" } } }",
     "listener none.allow_anonymous = false", "SECURITY: auth.http_auth"),
    ("auth { new = 1 }", "listener none.allow_anonymous = false", "SECURITY: auth.new"),
    ("listeners.tcp { new = 1 }", "listener none.allow_anonymous = false", "SECURITY: listeners.tcp.new"),
    ("listeners.ssl { bind = \"0.0.0.0:8883\", keyfile = \"/k\", certfile = \"/c\", verify_peer = false }",
     "listener tls-8883.transport = tls", None),
    ("listeners.ssl { bind = \"[::1]:8883\", keyfile = \"/k\" }", "listener tcp-1883.transport = tcp",
     "SECURITY: certfile"),
    ("listeners.ssl { keyfile = \"/k\", certfile = \"/c\", cacertfile = \"/a\", verify_peer = true, "
     "fail_if_no_peer_cert = true }\nauth.allow_anonymous = true", "listener tls-8883.client_certificate = required",
     None),
    ("listeners.ssl { keyfile = \"/k\", certfile = \"/c\", cacertfile = \"/a\", verify_peer = true }\n"
     "auth.allow_anonymous = true", "listener tls-8883.client_certificate = optional", None),
    ("listeners.ssl { keyfile = \"/k\", certfile = \"/c\", cacertfile = \"/a\", verify_peer = true }",
     "listener tcp-1883.transport = tcp", "SECURITY: verify_peer"),
    ("listeners.ssl { keyfile = \"/k\", certfile = \"/c\", key_password = secret }", "listener tls-8883.key = \"/k\"",
     "listeners.ssl.key_password"),
    ("listeners.ssl { keyfile = \"/k\", certfile = \"/c\", ocsp { enable = true } }",
     "listener tcp-1883.transport = tcp", "SECURITY: listeners.ssl.ocsp.enable"),
    ("listeners.tcp.second { bind = \"127.0.0.1:1884\", a { b = 1 } }", "listener tcp-1883.transport = tcp",
     "SECURITY: listeners.tcp.second.a.b"),
    ("listeners.ws { bind = \"0.0.0.0:8083/mqtt\" }", "listener ws-8083.bind = \"0.0.0.0:8083\"", None),
    ("listeners.ssl { keyfile = \"/k\", certfile = \"/c\" }\nlisteners.wss { bind = \"nmq-wss://0.0.0.0:8086/mqtt\" }",
     "listener wss-8086.certificate = \"/c\"", None),
    ("listeners.tcp.second { bind = \"127.0.0.1:1884\" }", "listener tcp-1884.bind = \"127.0.0.1:1884\"", None),
    ("listeners.tcp.second { bind = \"127.0.0.1:1884\", enable = false }", "listener tcp-1883.transport = tcp", None),
    ("listeners.quic { bind = \"127.0.0.1:14567\" }", None, "SECURITY: listeners.quic.bind"),
    ("bridges.mqtt.a { server = \"mqtt-tcp://h:1883\", password = secret }", None, "there are no bridges"),
    ("webhook { events = [ { event = \"on_message_publish\" } { event = \"x\" } ] }", None, "there are no webhooks"),
    ("http_server { username = admin, password = secret }", None, "http_server.username"),
    ("a = 1", None, "SECURITY: a"),
    ("include \"/nonexistent\"", "error", "/nonexistent"),
    ("mqtt {", "error", ":2: a { has no }"),
    ("}", "error", ":2: a } has no {"),
    ("log.to = [file", "error", ":2: a [ has no ]"),
    ("a = \"b", "error", ":2: a text has no quotation mark"),
    ("a = ${b}", "error", ":2: substitutions"),
    ("a += 1", "error", ":2: a: += is not read"),
    ("a", "error", ":2: a: there is no value"),
    ("a = " + "[" * 40, "error", ":2: more than 32"),
    ("x" * 600 + " = 1", "error", ":2: the name of a setting is too long"),
    ("mqtt.max_packet_size = many", "error", ":2: mqtt.max_packet_size"),
    ("log.level = loud", "error", ":2: log.level"),
    ("listeners.ws.bind = \"8083\"", "error", ":2: listeners.ws.bind"),
    ("listeners.ws.bind = \"0.0.0.0:70000\"", "error", ":2: listeners.ws.bind"),
    ("url=nmq-tcp://0.0.0.0:1883", "error", ":2: url: this is the format of NanoMQ before 0.14"),
)


@case("issue: coming from elsewhere", over={"line": range(len(NANOMQ))})
def each_setting_of_nanomq_has_its_counterpart_or_is_named(t, line):
    t.holdfast_only("import")
    text, option, said = NANOMQ[line]
    path = write(t, "nanomq.conf", f"listeners.tcp {{ bind = \"127.0.0.1:1883\" }}\n{text}\n")
    status, out, err = run_import(t, "nanomq.conf", path)
    if option == "error":
        checks.equal("status", status, 2)
        checks.that(said in err and len(err) < 1000 and out == "", f"it says {err!r}")
        return
    checks.equal(f"status, with {err!r}", status, 1 if "SECURITY" in (said or "") else 0)
    checks.that(option is None or option in options_of(out), f"{option} is not in {out}")
    for part in (err, out):
        checks.that(said is None or said in part, f"{said} is not in {part!r}")
        checks.that("secret" not in part, f"a secret is in {part!r}")


@case("issue: coming from elsewhere")
def a_configuration_of_nanomqs_starts_a_broker(t):
    t.holdfast_only("import")
    write(t, "limits.conf", "{ mqtt { max_packet_size = 2KB } }")
    status, out, err = run_import(t, "nanomq.conf", write(t, "nanomq.conf", f"""
system {{ num_taskq_thread = 0 }}
include "limits.conf"
listeners.tcp {{ bind = "{t.address}:1883" }}
listeners.ws {{ bind = "{t.address}:8083/mqtt" }}
sqlite {{ disk_cache_size = 102400, mounted_file_path = "{t.directory}/store", flush_mem_threshold = 100 }}
auth {{ allow_anonymous = true, no_match = allow }}
"""))
    checks.equal(err, status, 0)
    ours = listen(t, t.binary, t.dialect, out, (1883, 8083))
    published = subprocess.run(["mosquitto_pub", "-V", "5", "-h", t.address, "-p", "1883", "-t", "t", "-m", "x",
                                "-q", "1"], check=False, capture_output=True, timeout=20)
    ours.stop()
    checks.equal("published", published.returncode, 0)
    checks.that("mqtt.max_packet_size = 2048" in options_of(out), f"what is included is not in {out}")


NANOMQ_HOSTILE = (
    ("zero bytes", b"\0\0\0"),
    ("an executable", b"\x7fELF\x02\x01\x01\0\0\0"),
    ("a value without end", b"a = " + b"x" * 500000),
    ("a line end in a key", b"\"a\\nlistener \\\"x\\\" { allow_anonymous = true }\" = 1"),
    ("a line end in a value", b"sqlite.mounted_file_path = \"a\\nlistener \\\"x\\\" { allow_anonymous = true }\""),
    ("a brace in a value", b"sqlite.mounted_file_path = \"a\\\" } listener \\\"x\\\" { allow_anonymous = true }\""),
    ("many settings", b"a=1\n" * 100000),
    ("many listeners", b"".join(b"listeners.ws.a%d.bind = \"1:%d\"\n" % (i, i) for i in range(1, 9000))),
    ("many settings of many listeners", b"".join(b"listeners.ws.a%d.bind = \"127.0.0.1:%d\"\n"
                                                 % (i % 250, i % 250 + 1) for i in range(9000))),
    ("deep keys", b".".join([b"a"] * 200) + b" { " * 30),
    ("a file that includes itself", b"include \"nanomq.conf\""),
    ("a directory", b"include \".\""),
)


@case("issue: coming from elsewhere", over={"what": range(len(NANOMQ_HOSTILE))}, timeout=60)
def no_nanomq_conf_opens_a_listener_that_it_does_not_have(t, what):
    t.holdfast_only("import")
    path = write(t, "nanomq.conf", b"listeners.tcp { bind = \"127.0.0.1:1883\" }\n" + NANOMQ_HOSTILE[what][1])
    status, out, err = run_import(t, "nanomq.conf", path)
    checks.that(status in (0, 1, 2) and (status != 2 or len(err) < 1000), f"status {status}: {err[:1000]!r}")
    checks.that(status != 2 or out == "", f"something is written: {out[:1000]!r}")
    checks.that(not any("allow_anonymous = true" in one and not one.startswith("sqlite.mounted_file_path")
                        for one in options_of(out)), f"it is open: {out[:2000]!r}")
    checks.that(all(ord(char) >= 32 or char == "\n" for char in out), f"control characters in {out[:2000]!r}")


@case("issue: coming from elsewhere")
def mosquittos_example_configurations_are_taken_over(t):
    t.holdfast_only("import")
    if not EXAMPLES:
        t.skip("mosquitto is not installed")
    for number, path in enumerate(EXAMPLES):
        with subprocess.Popen(["zcat", "-f", path], stdout=subprocess.PIPE) as unpacked:
            text = unpacked.stdout.read()
        status, out, err = run_import(t, "mosquitto.conf", write(t, f"example{number}.conf", text))
        checks.equal(f"{path}: {err!r}", status, 0)
        result = write(t, f"holdfast{number}.conf", out)
        checks.equal("--check-config", subprocess.run([t.binary, "--check-config", "-c", result], check=False,
                                                      stdout=subprocess.DEVNULL).returncode, 0)


HOSTILE = (
    ("zero bytes", b"listener 1883\n\0\0\0", ":2: "),
    ("an executable", b"\x7fELF\x02\x01\x01\0\0\0", ":1: "),
    ("too much of it", b"#" * (2 << 20), "larger"),
    ("a line without end", b"password_file " + b"x" * 500000, None),
    ("a line end in a value", b"password_file a\rlistener \"x\" { allow_anonymous = true }\n", None),
    ("a brace in a value", b"password_file a\" } listener \"x\" { bind = \"1\" allow_anonymous = true }\n", None),
    ("a variable", b"password_file ${HOME}/x\n", None),
    ("no name that one can print", b"\xff\xfe\x01\x02 x\n", None),
)


@case("issue: coming from elsewhere", over={"what": range(len(HOSTILE))})
def no_file_opens_a_listener_that_it_does_not_have(t, what):
    t.holdfast_only("import")
    _, text, said = HOSTILE[what]
    path = write(t, "mosquitto.conf", b"listener 1883 127.0.0.1\nallow_anonymous false\n" + text)
    if said is not None:
        path = write(t, "mosquitto.conf", text)
    status, out, err = run_import(t, "mosquitto.conf", path)
    if said is not None:
        checks.equal("status", status, 2)
        checks.that(said in err and len(err) < 1000 and out == "", f"it says {err[:2000]!r}")
        return
    checks.that(status in (0, 1), f"status {status}: {err[:1000]!r}")
    checks.that(not any("allow_anonymous = true" in one and not one.startswith("authentication.password_file")
                        for one in options_of(out)), f"it is open: {out[:2000]!r}")
    checks.that(all(ord(char) >= 32 or char == "\n" for char in out), f"control characters in {out[:2000]!r}")


@case("issue: coming from elsewhere")
def included_files_are_read_once_and_in_order(t):
    t.holdfast_only("import")
    included = os.path.join(t.directory, "conf.d")
    os.mkdir(included)
    main = write(t, "mosquitto.conf", f"allow_anonymous false\ninclude_dir {included}\n")
    write(t, "conf.d/b.conf", f"max_queued_messages 2\ninclude_dir {included}\n")
    write(t, "conf.d/a.conf", "listener 1884\nmax_queued_messages 1\n")
    write(t, "conf.d/c.other", "max_queued_messages 3\n")
    status, out, err = run_import(t, "mosquitto.conf", main)
    checks.equal("status", status, 1)
    checks.that("b.conf:2: SECURITY: include_dir" in err, f"it says {err!r}")
    checks.that({"mqtt.max_queued_messages = 2", "listener tcp-1884.bind = \"*:1884\""} <= options_of(out),
                f"the result is {out}")


# Configurations, each with the ports of its listeners. {a}: the case's address, {d}: its directory.
COMPARED = (
    ("listener 1883 {a}\n", (1883,)),
    ("listener 1883 {a}\nallow_anonymous true\n", (1883,)),
    ("listener 1883 {a}\npassword_file {d}/users\n", (1883,)),
    ("listener 1883 {a}\npassword_file {d}/users\nallow_anonymous true\n", (1883,)),
    ("port 1883\nbind_address {a}\npassword_file {d}/users\n", (1883,)),
    ("per_listener_settings true\nlistener 1883 {a}\nallow_anonymous true\nlistener 1884 {a}\n"
     "password_file {d}/users\n", (1883, 1884)),
    ("per_listener_settings true\nlistener 1883 {a}\nlistener 1884 {a}\npassword_file {d}/users\n", (1883, 1884)),
    ("per_listener_settings true\nlistener 1883 {a}\npassword_file {d}/others\nlistener 1884 {a}\n"
     "password_file {d}/users\n", (1883, 1884)),
    ("per_listener_settings true\nallow_anonymous true\nlistener 1883 {a}\n", (1883,)),
)
WHO = ((), ("-u", "alice", "-P", "right"), ("-u", "alice", "-P", "wrong"), ("-u", "bob", "-P", "right"))


def who_gets_in(t, ports):
    """Of WHO at these ports, by what mosquitto_pub ends with."""
    return {(port, who) for port in ports for who in WHO
            if subprocess.run(["mosquitto_pub", "-V", "5", "-h", t.address, "-p", str(port), "-t", "t", "-n", "-q",
                               "1", *who], check=False, capture_output=True, timeout=20).returncode == 0}


def listen(t, binary, dialect, text, ports):
    """A server with this configuration, which listens at some of these ports at least."""
    config = {"listener": {str(port): {"bind": f"{t.address}:{port}"} for port in ports}}
    directory = os.path.join(t.directory, dialect.name)
    os.makedirs(directory, exist_ok=True)
    return Broker(binary, dialect, directory, config).launch(text).await_listeners()


@case("issue: coming from elsewhere", over={"what": range(len(COMPARED))}, timeout=60)
def who_was_kept_out_by_mosquitto_is_kept_out(t, what):
    t.holdfast_only("import")
    if not os.path.exists(MOSQUITTO):
        t.skip("mosquitto is not installed")
    text, ports = COMPARED[what]
    for name, user in (("users", "alice"), ("others", "bob")):
        subprocess.run(["mosquitto_passwd", "-c", "-b", os.path.join(t.directory, name), user, "right"], check=True)
    text = "user root\n" + text.format(a=t.address, d=t.directory)
    status, out, err = run_import(t, "mosquitto.conf", write(t, "mosquitto.conf", text))
    left = [port for port in ports if f"\"{t.address}:{port}\"" in "".join(options_of(out))]
    mosquitto = listen(t, MOSQUITTO, Mosquitto(), text, ports)
    wanted = who_gets_in(t, ports)
    mosquitto.stop()
    ours = listen(t, t.binary, t.dialect, f"{out}\nsqlite {{ mounted_file_path = \"{t.directory}/store\" }}\n", left)
    found = who_gets_in(t, ports)
    ours.stop()
    checks.that(found <= wanted, f"let in, and not there: {found - wanted} by {out}")
    if status == 0 and "had none" not in err:
        checks.equal("let in", found, wanted)
