"""The log: as text or JSON, in a file that is moved away, to the journal; what is left out of it, and that nothing
that happens to it stops the broker."""

import json
import os
import pwd
import re
import signal
import subprocess

import checks
from case import case

ROTATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging/debian/holdfast.logrotate")
FIELDS = ("time", "level", "kind", "client", "message", "left_out")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# As a Client Identifier, and as the log shows it: whatever is not printable ASCII, a quote and a backslash as \xNN.
HOSTILE = {'a"b\\c': r"a\x22b\x5cc", '","level":"error': r"\x22,\x22level\x22:\x22error", "\u00e9": r"\xc3\xa9",
           "plain": "plain"}
WINDOW_S = 10


def path_of(t):
    return os.path.join(t.directory, "holdfast.log")


def lines_in(path):
    with open(path, encoding="ascii") as file:
        return file.read().splitlines()


def await_in(t, path, *words):
    """As t.await_line(), of another file, which need not be there yet."""
    before, t.broker.log_file = t.broker.log_file, path
    t.await_line(*words)
    t.broker.log_file = before


def started(t):
    """Its lines since the start."""
    return t.broker.log().split(" ----\n")[-1].splitlines()


@case("issue 8")
def json_is_an_object_a_line_whatever_a_client_is_called(t):
    t.holdfast_only("its log")
    t.start(log={"format": "json"})
    for name in HOSTILE:
        t.client(name).disconnect()
    t.broker.stop()
    lines = [json.loads(line) for line in started(t)]
    for line in lines:
        checks.that(set(line) <= set(FIELDS) and {"time", "level", "kind", "message"} <= set(line), line)
        checks.that(TIME.fullmatch(line["time"]), line["time"])
        checks.that(line["level"] in ("notice", "info"), line)
    checks.equal("ready", sum(line["kind"] == line["message"] == "ready" for line in lines), 1)
    connects = [line for line in lines if ": CONNECT, " in line["message"]]
    checks.equal("clients", [line["client"] for line in connects], list(HOSTILE.values()))
    checks.equal("kinds", len({line["kind"] for line in connects}), 1)


@case("issue 8")
def format_and_limit_are_put_in_force_by_a_reload(t):
    t.holdfast_only("its log")
    t.start()
    t.await_line("ready")
    t.broker.config["log"] = {"format": "json", "max_lines": 1}
    t.broker.reload()
    t.await_line('"message":"configuration: reading 2 is in force"')
    for name in ("one", "two", "three"):
        t.client(name).disconnect()
    t.broker.stop()
    connects = [json.loads(line) for line in t.lines_about(": CONNECT, ")]
    checks.equal("lines", ["left_out" in line for line in connects], [False, True])
    checks.equal("left out", connects[1]["left_out"], 2)


@case("issue 8", over={"workers": (1, 2)})
def what_is_too_much_of_a_kind_is_left_out_and_counted(t, workers):
    t.holdfast_only("its log")
    t.start(log={"max_lines": 5}, workers=workers)
    for number in range(20):
        t.client(f"client-{number}").disconnect()
    t.broker.stop()
    checks.equal("CONNECT", len(t.lines_about('client "client-', ": CONNECT, ")), 5)
    checks.equal("said", len(t.lines_about("info: 15 more like it left out: ", ": CONNECT, ")), 1)
    checks.equal("other kinds", len(t.lines_about("notice: stopped")), 1)


@case("issue 8", long=True, timeout=90)
def what_was_left_out_is_said_while_nothing_more_happens(t):
    t.holdfast_only("its log")
    t.start(log={"max_lines": 5})
    for number in range(20):
        t.client(f"client-{number}").disconnect()
    t.await_line("info: 15 more like it left out: ", ": CONNECT, ", after=2 * WINDOW_S)


@case("issue 8", needs=("logrotate",))
def logrotate_moves_the_file_away_and_no_line_is_lost(t):
    """By the file of the package, but for its paths and its user; with the system calls of the broker filtered."""
    t.holdfast_only("its log")
    path, rotate = path_of(t), os.path.join(t.directory, "rotate")
    t.start(log={"file": path}, broker={"sandbox": "kill"})
    with open(ROTATE, encoding="ascii") as file:
        rules = file.read()
    rules, count = re.subn(r"\[ ! -d .*systemctl reload holdfast.service",
                           f"kill -HUP {t.broker.process.pid}", rules)
    checks.equal("reloads", count, 1)
    rules = rules.replace("/var/log/holdfast/*.log", path).replace("    su holdfast holdfast\n", "")
    with open(rotate, "w", encoding="ascii") as file:
        file.write(rules)
    await_in(t, path, "notice: ready")
    os.chmod(t.directory, 0o755)
    descriptors = len(os.listdir(f"/proc/{t.broker.process.pid}/fd"))
    for turn in range(3):
        t.client(f"client-{turn}").disconnect()
        await_in(t, path, f'client "client-{turn}"')
        subprocess.run(["logrotate", "--force", "--state", rotate + ".state", rotate], check=True)
        await_in(t, path, "is in force")
    checks.equal("descriptors", len(os.listdir(f"/proc/{t.broker.process.pid}/fd")), descriptors)
    checks.equal("mode", oct(os.stat(path).st_mode & 0o777), "0o600")
    t.broker.stop()
    subprocess.run(["gunzip", path + ".2.gz", path + ".3.gz"], check=True)
    connects = [line for name in (".3", ".2", ".1", "") for line in lines_in(path + name) if ": CONNECT, " in line]
    checks.equal("clients", [re.search('client "(.*?)"', line)[1] for line in connects],
                 ["client-0", "client-1", "client-2"])
    checks.equal("standard error", started(t), [])


@case("promise 5", "promise 7")
def a_full_disk_under_the_log_stops_nothing_and_is_told(t):
    t.holdfast_only("its log")
    path = path_of(t)
    os.symlink("/dev/full", path)
    t.start(log={"file": path})
    t.await_line("notice: ready")  # on standard error
    t.away("away", "a", qos=1)
    publisher = t.client("publisher")
    for number in range(50):
        publisher.publish("a", b"%d" % number, qos=1)
    back = t.back("away")
    for number in range(50):
        back.message(payload=b"%d" % number)
    missing = len(started(t))
    checks.that(len(t.lines_about(": CONNECT, ")) >= 3, "standard error does not have what the file lacks")
    os.unlink(path)
    t.broker.reload()
    await_in(t, path, "is in force")
    first = lines_in(path)[0]
    checks.that(f"warning: {missing} lines are missing here: No space left on device" in first, first)
    checks.equal("on standard error", len(started(t)), missing)


@case("issue 8", over={"wrong": ("no/such/directory", ".")})
def a_log_that_cannot_be_written_is_refused_at_the_start(t, wrong):
    t.holdfast_only("its log")
    broker = t.new_broker(log={"file": os.path.join(t.directory, wrong)})
    broker.launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    t.await_line("holdfast: cannot write the log", wrong)
    done = subprocess.run([t.binary, "--check-config", "-c", broker.config_file], capture_output=True, text=True)
    checks.equal("check", done.returncode, 2)
    checks.that("holdfast: cannot write the log" in done.stderr, done.stderr)


@case("issue 8")
def a_log_that_cannot_be_opened_anew_goes_on_where_it_went(t):
    t.holdfast_only("its log")
    path = path_of(t)
    t.start(log={"file": path})
    await_in(t, path, "notice: ready")
    os.rename(path, path + ".1")
    os.mkdir(path)
    t.broker.reload()
    await_in(t, path + ".1", "error: cannot write the log")
    await_in(t, path + ".1", "is in force")
    os.rmdir(path)


@case("issue 8")
def the_file_is_made_by_the_user_that_the_broker_becomes(t):
    t.holdfast_only("its log")
    if os.geteuid() != 0:
        t.skip("only root can become another user")
    if t.sanitized:
        t.skip("LeakSanitizer cannot look into a process that has changed its user")
    owner = pwd.getpwnam("nobody")
    os.chmod(t.directory, 0o755)
    path = os.path.join(t.directory, "logs", "holdfast.log")
    broker = t.new_broker(broker={"user": "nobody"}, log={"file": path})
    for directory in (os.path.dirname(path), broker.store):
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    broker.start()
    await_in(t, path, "notice: ready")
    checks.equal("owner", os.stat(path).st_uid, owner.pw_uid)
    os.rename(path, path + ".1")
    t.broker.process.send_signal(signal.SIGHUP)
    await_in(t, path, "is in force")


@case("issue 8", over={"form": ("text", "json")})
def the_journal_is_told_how_grave_a_line_is(t, form):
    t.holdfast_only("its log")
    broker = t.new_broker(log={"format": form})
    with open(broker.log_file, "ab") as file:
        found = os.fstat(file.fileno())
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
    broker.start()
    t.await_line("ready")
    t.client("client").disconnect()
    broker.stop()
    begin = {"text": r"\d{4}-", "json": '{"time"'}[form]
    for line in started(t):
        priority = {"notice": "5", "info": "6"}[re.search("(notice|info)", line)[0]]
        checks.that(re.match(f"<{priority}>{begin}", line), line)
