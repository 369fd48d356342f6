"""No memory: each allocation on the way of a packet fails once, and nobody else notices."""

import os
import resource
import time
from contextlib import contextmanager

import checks
import preload
from case import case
from mqtt_wire import DEADLINE_S, Closed, Late
from scarce_memory import ScarceMemory

MOST = 3000  # allocations that one of the exchanges here may take


class World:
    """The broker, somebody who is away, somebody whom no failure concerns, and who has its
    memory fail."""

    def __init__(self, t, workers):
        self.t = t
        self.memory = ScarceMemory(t, workers=workers, mqtt={"sys_interval": 0, "max_queued_messages": 0},
                                   sqlite={"disk_stall_limit": 60000})
        t.away("away-1", "a/#", qos=1)
        t.away("away-2", "a/#", qos=2)
        self.other = t.client("other", stored=True)
        self.other.subscribe("other", qos=1)
        self.round, self.acknowledged = 0, {1: [], 2: []}

    def publish(self, client, qos, topic="a/b", **fields):
        payload = b"%d" % self.round
        client.publish(topic, payload, qos, **fields)
        self.acknowledged[qos].append(payload)

    # ---- What is done while an allocation fails ----

    def connect(self):
        self.t.client(f"victim-{self.round % 3}", expiry=0, will={
            "topic": "will", "payload": b"x", "qos": 1, "retain": False}).disconnect()

    def connect_stored(self):
        self.t.client(f"stored-{self.round}", stored=True)
        client = self.t.client(f"stored-{self.round}", stored=True)
        checks.that(client.connack.session_present, "a session that was acknowledged is gone")
        client.disconnect()

    def subscribe(self):
        client = self.ready
        for number in range(4):
            suback = client.subscribe(f"s/{self.round}/{number}/+", qos=1, refused=True)
            checks.one_of("SUBACK", suback.reasons[0], (1, 0x80, 0x97))
        client.unsubscribe(f"s/{self.round}/0/+")

    def publish_1(self):
        self.publish(self.ready, 1)

    def publish_2(self):
        self.publish(self.ready, 2)

    def publish_large(self):
        self.ready.publish("nobody", b"." * 200000, 1)

    def retain(self):
        self.ready.publish(f"kept/{self.round}", b"x", 1, retain=True)

    def resume(self):
        """A backlog is read back and sent."""
        client = self.t.client("backlog", stored=True)
        came = client.messages(20)
        checks.equal("messages", checks.payloads(came), self.backlog)

    # ---- The loop ----

    def prepare(self, what):
        if what == "resume":
            self.t.away("backlog", "backlog", qos=1)
            self.backlog = [b"%d" % number for number in range(20)]
            publisher = self.t.client("filler")
            for payload in self.backlog:
                publisher.publish("backlog", payload, 1)
            publisher.disconnect()
        elif what != "connect" and what != "connect_stored":
            self.ready = self.t.client(f"victim-{self.round}", expiry=0)

    def clean_up(self, what):
        for client in self.t.opened:
            if client is not self.other:
                client.close()
        self.t.opened[:] = [self.other]
        for name in {"connect_stored": (f"stored-{self.round}",), "resume": ("backlog",)}.get(
                what, ()):
            self.t.client(name, expiry=0).disconnect()

    def attempt(self, what, number):
        """True: an allocation has failed."""
        self.round = number
        self.prepare(what)
        self.memory.fail_at(number)
        try:
            getattr(self, what)()
        except (Closed, ConnectionError):
            pass  # told by a close, or by a packet that refuses
        except AssertionError as error:
            if isinstance(error, Late) or not refuses(str(error)):
                raise type(error)(f"allocation {number}: {error}") from None
        failed = self.memory.enough()
        self.other.publish("other", b"%d" % number, 1)
        self.other.message(topic="other", payload=b"%d" % number)
        self.clean_up(what)
        return failed

    def growth(self, what, numbers):
        """Allocations that are there behind these attempts and were not before."""
        before = self.memory.live()
        for number in numbers:
            self.attempt(what, number)
        return self.memory.live() - before

    def nothing_is_lost(self):
        self.t.broker.kill_and_restart()
        for qos, name in ((1, "away-1"), (2, "away-2")):
            client = self.t.back(name)
            end = b"end of " + name.encode()
            client.publish("a/end", end, qos)  # overtakes nothing of its QoS
            came = []
            while end not in came:
                came.append(client.message().payload)
            missing = [one for level in self.acknowledged.values() for one in level
                       if one not in came]
            checks.equal(f"acknowledged and lost, of {name}", missing, [])


NO = (0x80, 0x83, 0x88, 0x89, 0x97)


def refuses(words):
    """An answer with a Reason Code that says no."""
    return any(f"reason={code}" in words for code in NO)


@case("issue: memory", "promise 5", timeout=240, needs=preload.NEEDS,
      over={"what": ("connect", "connect_stored", "subscribe", "publish_1", "publish_2",
                     "publish_large", "retain", "resume"), "workers": (1,)},
      long_over={"what": ("publish_1", "publish_2", "retain"), "workers": (3,)})
def each_allocation_may_fail(t, what, workers):
    world = World(t, workers)
    for number in range(1, MOST):
        if not world.attempt(what, number):
            break
    else:
        raise AssertionError(f"{what} takes more than {MOST} allocations")
    checks.that(number > 1, f"{what} takes no memory at all")
    print(f"{number - 1} allocations")
    # Caches grow and shrink as they like; a leak is there each time.
    failures = list(range(1, number)) * (1 + 40 // number)
    leaked = min(world.growth(what, failures) - world.growth(what, [MOST] * len(failures))
                 for _ in range(3))
    checks.that(leaked < len(failures) / 2,
                f"{len(failures)} failures leave {leaked} allocations behind")
    world.nothing_is_lost()


@case("issue: memory", "MQTT-3.1.2-8", timeout=120, needs=preload.NEEDS)
def nobody_is_sent_away_where_a_list_is_read_anew_without_memory(t):
    """The rights of one client after the other are without memory at first: all of them stay, and
    no Will Message is published."""
    path = os.path.join(t.directory, "acl")
    with open(path, "w", encoding="utf-8") as file:
        file.write("topic readwrite #\n")
    memory = ScarceMemory(t, workers=1, mqtt={"sys_interval": 0}, authorization={"acl_file": path})
    heir = t.client("heir")
    heir.subscribe("will")
    clients = [t.client(f"client-{number}", will={"topic": "will", "payload": b"x"})
               for number in range(3)]
    reload(t, memory, MOST)
    whole = memory.calls()
    for number in range(whole - 7, whole + 1):  # the rights of four clients are at the end
        checks.that(reload(t, memory, number), f"allocation {number} of {whole} did not fail")
        for client in (heir, *clients):
            client.expect_nothing()


def reload(t, memory, number):
    """True: this allocation has failed."""
    said = len(verdicts(t))
    memory.fail_at(number)
    t.broker.reload()
    deadline = time.monotonic() + DEADLINE_S
    while len(verdicts(t)) == said:
        checks.that(time.monotonic() < deadline, "nothing has come of SIGHUP")
        t.pass_time(0.01)
    return memory.enough()


def verdicts(t):
    return t.lines_about("is in force") + t.lines_about("everything stays as it was")


# ---- For as long as there is none ----

MEGABYTE = 1 << 20
ROOM = 24 * MEGABYTE  # more than the reserve, which is of that memory too, once it is given back


def data_bytes(t):
    with open(f"/proc/{t.broker.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))


def start_one_worker(t):
    t.holdfast_only("how it goes on without memory")
    if t.sanitized:
        t.skip("a sanitizer has an allocator of its own")
    t.start(workers=1, mqtt={"sys_interval": 0})


@contextmanager
def memory_left(t, room):
    """The system gives the running broker so many bytes more, and no others."""
    pid = t.broker.process.pid
    hard = resource.prlimit(pid, resource.RLIMIT_DATA)[1]
    resource.prlimit(pid, resource.RLIMIT_DATA, (data_bytes(t) + room, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_DATA, (hard, hard))


def retry(t, client_id):
    try:
        return t.client(client_id)
    except (Closed, ConnectionError):
        return None
    except AssertionError as error:
        if not refuses(str(error)):
            raise
        return None


def publish_until_refused(t):
    """How many of 100 KB were kept before it refused twenty."""
    kept = refused = 0
    while refused < 20:
        client = t.client(f"publisher-{kept}") if refused == 0 else retry(t, "publisher")
        while client is not None and refused < 20:
            try:
                reason = client.publish(f"kept/{kept}", b"." * 100000, 1, retain=True,
                                        reasons=(0, 0x10, 0x97))
            except Closed:
                reason = 0x97
                client = None
            kept, refused = kept + (reason < 0x80), refused + (reason >= 0x80)
        refused += client is None
    checks.that(kept > 50, f"only {kept} were taken")
    return kept


@case("issue: memory", "promise 5", timeout=120)
def a_broker_without_memory_refuses_and_heals(t):
    start_one_worker(t)
    other = t.client("other")
    other.subscribe("other", qos=0)
    with memory_left(t, ROOM):
        kept = publish_until_refused(t)
        other.publish("other", b"QoS 0 goes on")
        other.message(topic="other")
        checks.that("out of memory" in t.broker.log(), "the log does not say why")
    t.client("later").publish("kept/last", b"value", 1, retain=True)
    t.broker.kill_and_restart()
    reader = t.client("reader")
    reader.subscribe("kept/+", qos=1)
    wanted = {f"kept/{number}" for number in range(kept)} | {"kept/last"}
    while wanted:  # what was refused with a close may have been taken
        wanted.discard(reader.message().topic)


@case("issue: memory", "promise 5", timeout=120)
def a_thread_that_wakes_first_without_memory_goes_on(t):
    """The threads that copy the log and that answer commands have done nothing yet when it is gone."""
    start_one_worker(t)
    client = t.client("c")
    client.publish("kept", b"." * 4000, 1, retain=True)
    with memory_left(t, MEGABYTE):
        for number in range(1500):  # the log grows by several pages with each, and memory by nothing
            client.publish("kept", b"%04000d" % number, 1, retain=True)
    t.broker.kill_and_restart()
    reader = t.client("reader")
    reader.subscribe("kept", qos=1)
    reader.message(payload=b"%04000d" % 1499)
