"""The broker gives its privileges away: what is left of them, and where it refuses to go on."""

import os
import pwd

import checks
from case import case

USER = "nobody"


def prepare(t, user=USER):
    """A broker with a port of root's, and a store of the user's; not started."""
    t.holdfast_only("user")
    if os.geteuid() != 0:
        t.skip("only root can become another user")
    if t.sanitized:
        t.skip("LeakSanitizer cannot look into a process that has changed its user")
    owner = pwd.getpwnam(USER)
    os.chmod(t.directory, 0o755)
    broker = t.new_broker(broker={"user": user},
                          authorization={"acl_file": os.path.join(t.directory, "acl")})
    with open(os.path.join(t.directory, "acl"), "w", encoding="ascii") as file:
        file.write("topic readwrite #\n")
    broker.config["listener"]["plain"]["bind"] = f"{t.address}:883"
    os.chown(broker.store, owner.pw_uid, owner.pw_gid)
    return broker


def status_of(broker):
    with open(f"/proc/{broker.process.pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@case("issue: privileges", over={"workers": (1, 4)})
def it_is_another_user_for_good_and_serves(t, workers):
    broker = prepare(t)
    broker.config["broker"]["workers"] = workers
    os.setgroups([0, 4])  # more than the user has, for the broker to inherit
    broker.start()
    t.await_line("ready")
    owner, status = pwd.getpwnam(USER), status_of(broker)
    checks.equal("real, effective, saved, file system user", status["Uid"].split(),
                 [str(owner.pw_uid)] * 4)
    checks.equal("groups", status["Gid"].split() + status["Groups"].split(), [str(owner.pw_gid)] * 5)
    checks.equal("new privileges", status["NoNewPrivs"], "1")
    for kind in ("CapPrm", "CapEff", "CapAmb"):
        checks.equal(kind, int(status[kind], 16), 0)
    t.away("alice", "a")
    t.client("bob").publish("a", b"x", qos=1)
    broker.reload()
    t.await_line("reading 2 is in force")
    broker.kill_and_restart()
    t.back("alice").message(payload=b"x")


@case("issue: privileges", over={"user": ("root", "no-such-user")})
def it_does_not_go_on_as_root(t, user):
    broker = prepare(t, user)
    broker.launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    t.await_line(f'user "{user}": ' + ("is root" if user == "root" else "there is no such user"))


@case("issue: privileges")
def a_file_that_a_reload_could_not_read_stops_the_start(t):
    broker = prepare(t)
    acl = broker.config["authorization"]["acl_file"]
    os.chmod(acl, 0o600)
    broker.launch()
    checks.equal("exit status", broker.wait_for_exit(), 2)
    t.await_line(acl, "Permission denied")
