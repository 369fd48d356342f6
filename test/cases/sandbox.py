"""What the broker's process may ask of the system, and what a crash leaves behind."""

import ctypes
import errno
import os
import pwd
import resource
import signal

import checks
from case import case
from fifo import Fifo
from preload import NEEDS, preloaded

FILTERED = "2"  # in /proc/PID/status
USER = "nobody"
SECRET = b"what nobody finds in a core"


def only_here(t):
    t.holdfast_only("the sandbox")
    if t.sanitized:
        t.skip("a sanitizer makes calls of its own; the broker has no sandbox there")
    if os.uname().machine not in ("x86_64", "aarch64"):
        t.skip("there is no list of calls for this machine")


def threads(broker):
    return sorted(int(name) for name in os.listdir(f"/proc/{broker.process.pid}/task"))


def state_of(broker, thread, field):
    with open(f"/proc/{broker.process.pid}/task/{thread}/status", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith(field + ":"))


def signal_thread(broker, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 234, "aarch64": 131}[os.uname().machine]  # tgkill
    checks.equal("tgkill", libc.syscall(number, broker.process.pid, thread, signal.SIGUSR1), 0)


def start(t, sandbox, **environment):
    """A broker that makes forbidden calls when a thread gets SIGUSR1, and where it tells of them."""
    only_here(t)
    calls = Fifo(os.path.join(t.directory, "calls"))
    with preloaded(t.directory, "forbidden_calls.c", HOLDFAST_TEST_CALLS=calls.path, **environment):
        t.start(broker={"sandbox": sandbox, "workers": 2})
    t.await_line("ready")
    return calls


def answers(calls):
    """Name and errno of each call of one thread, once all are made."""
    lines = calls.read_to(b"end 0\n", "the calls were not made").decode("ascii").splitlines()
    return {name: int(number) for name, number in map(str.split, lines[:-1])}


@case("issue: safety of the process", needs=NEEDS)
def calls_that_it_has_no_use_for_fail_on_every_thread(t):
    calls = start(t, b"refuse")
    for thread in threads(t.broker):
        if int(state_of(t.broker, thread, "SigBlk"), 16) & 1 << signal.SIGUSR1 - 1:
            continue  # a library's thread that takes no signals
        signal_thread(t.broker, thread)
        came = answers(calls)
        expected = dict.fromkeys(came, errno.EPERM)
        expected.update({"clone3": errno.ENOSYS, "tgkill-self": 0})
        checks.equal(f"answers to thread {thread}", came, expected)
    t.check_health()


@case("issue: safety of the process", needs=NEEDS)
def without_it_they_are_the_systems_to_allow(t):
    calls = start(t, b"off")
    signal_thread(t.broker, t.broker.process.pid)
    came = answers(calls)
    for name in ("execve", "clone", "clone3", "socket-inet", "mmap-exec", "prctl-dumpable"):
        checks.that(came[name] not in (errno.EPERM, errno.ENOSYS), f"{name} failed: {came[name]}")
    checks.equal("filtered", state_of(t.broker, t.broker.process.pid, "Seccomp"), "0")


@case("issue: safety of the process", "promise 1", needs=NEEDS)
def with_kill_it_ends_at_once_and_loses_nothing(t):
    start(t, b"kill")
    t.away("alice", "a")
    t.client("bob").publish("a", b"x", qos=1)
    signal_thread(t.broker, t.broker.process.pid)
    checks.equal("ended by", t.broker.wait_for_exit(), -signal.SIGSYS)
    t.broker.start()
    t.back("alice").message(payload=b"x")


@case("issue: safety of the process")
def threads_that_come_later_are_filtered_too(t):
    only_here(t)
    t.start(broker={"sandbox": b"kill", "workers": 2})
    before = t.await_line("ready") and threads(t.broker)
    passwords = os.path.join(t.directory, "passwords")
    with open(passwords, "w", encoding="ascii") as file:
        file.write("")
    t.broker.config["authentication"] = {"password_file": passwords}
    t.broker.reload()
    t.await_line("reading 2 is in force")
    after = threads(t.broker)
    checks.that(len(after) > len(before), "the reload has started no thread")
    checks.equal("filtered", {state_of(t.broker, thread, "Seccomp") for thread in after}, {FILTERED})
    t.check_health()


@case("issue: safety of the process", needs=NEEDS)
def where_the_system_has_no_filters_it_says_so_and_serves(t):
    start(t, b"kill", HOLDFAST_TEST_OLD_KERNEL="1")
    t.await_line("sandbox: ", "system calls are not filtered")
    t.check_health()


# ---- Cores ----

@case("issue: safety of the process", over={"allowed": (False, True)})
def a_crash_leaves_a_core_only_where_it_may(t, allowed):
    only_here(t)
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        pattern = file.read().strip()
    if pattern.startswith(("|", "/")):
        t.skip(f"cores do not go to the working directory here: {pattern}")
    t.start(broker={"core_dumps": allowed})
    t.client("alice").publish("a", SECRET, qos=1, retain=True)
    before = set(os.listdir(t.directory))
    pid = t.broker.process.pid
    resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    t.broker.process.send_signal(signal.SIGSEGV)
    checks.equal("ended by", t.broker.wait_for_exit(), -signal.SIGSEGV)
    cores = sorted(set(os.listdir(t.directory)) - before)
    checks.equal("cores", len(cores), 1 if allowed else 0)
    for name in cores:
        path = os.path.join(t.directory, name)
        with open(path, "rb") as file:
            checks.that(SECRET in file.read(), "what it held in memory is not in the core")
        os.unlink(path)


def may_look_into(pid, user):
    """Whether a process of this user may read the memory map of another."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            with open(f"/proc/{pid}/maps", "rb") as file:
                os._exit(0 if file.read() else 1)
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    return {0: True, 1: False}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


@case("issue: safety of the process", over={"allowed": (False, True)})
def other_processes_of_its_user_look_into_it_only_where_they_may(t, allowed):
    only_here(t)
    if os.geteuid() != 0:
        t.skip("only root can become another user")
    owner = pwd.getpwnam(USER)
    os.chmod(t.directory, 0o755)
    broker = t.new_broker(broker={"user": USER, "core_dumps": allowed})
    os.chown(broker.store, owner.pw_uid, owner.pw_gid)
    broker.start()
    t.await_line("ready")
    checks.equal("looked into", may_look_into(broker.process.pid, owner), allowed)
