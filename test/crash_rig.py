"""A broker with clients of every kind, killed at random moments; the books are in crash_members.py.

    rig = Rig(t)
    rig.live_until_killed(seconds); rig.restart()     as often as wanted
    rig.settle()                                      everything owed has come, and nothing else
"""

import os
import shutil
import time

import mqtt_packet as mqtt
from crash_members import (AwaySubscriber, Broken, Group, History, NumberingPublisher,
                           RetainingPublisher, SharingSubscriber, Starter, StoredSubscriber,
                           WillClient, Wills)
from mqtt_packet import PUBLISH
from mqtt_wire import DEADLINE_S


class Rig:
    def __init__(self, t):
        self.t, self.wills, self.history = t, Wills(), History()
        self.counts = dict.fromkeys(("kills", "acknowledged", "delivered", "repeated", "wills",
                                     "retained_looked_at", "sessions_resumed"), 0)
        holdfast = t.dialect.name == "holdfast"
        # The control routes at PUBREL, and so forgets what a lost session had not released.
        self.publishers = [
            NumberingPublisher(self, number, version, stored, *levels)
            for number, (version, stored, levels) in enumerate((
                (4, True, (1,)), (4, True, (2,)), (5, True, (1, 2)), (5, True, (2,)),
                (4, False, (1,)), (5, False, (2,)), (5, True, (2, 1)), (4, True, (2,))))
            if stored or levels == (1,) or holdfast]
        self.subscribers = [
            kind(self, number, version, topic_filter, qos)
            for number, (kind, version, topic_filter, qos) in enumerate((
                (StoredSubscriber, 4, "crash/#", 2), (StoredSubscriber, 5, "crash/+/2", 2),
                (StoredSubscriber, 4, "#", 1), (AwaySubscriber, 5, "crash/3/+", 1),
                (AwaySubscriber, 5, "crash/6/#", 2), (StoredSubscriber, 5, "will/+", 2),
                (AwaySubscriber, 4, "will/#", 2)))]
        self.retaining, self.sharing, self.starters, self.will_clients = [], [], [], []
        self.group = Group(self)
        if holdfast:  # the control is there for the everyday promises
            self.add_the_rest()
        self.streams = {stream.topic: stream for publisher in self.publishers
                        for stream in publisher.streams}
        self.streams.update((one.topic, one.stream) for one in self.retaining)
        for subscriber in self.subscribers + self.sharing + self.starters:
            subscriber.subscribe()

    def add_the_rest(self):
        self.retaining = [RetainingPublisher(self, number, version, qos)
                          for number, (version, qos) in enumerate(((5, 1), (4, 2)))]
        self.sharing = [SharingSubscriber(self, number, 5, qos, self.group)
                        for number, qos in enumerate((2, 1, 2))]
        self.starters = [Starter(self, 0, 5, "crash/+/1", 1), Starter(self, 1, 4, "crash/2/#", 2),
                         Starter(self, 2, 5, "crash/#", 2)]
        self.will_clients = [
            WillClient(self, 0, 4), WillClient(self, 1, 5), WillClient(self, 2, 5, stored=True),
            WillClient(self, 3, 5, stored=True, delay_s=3600)]

    def members(self):
        return (self.publishers + self.retaining + self.subscribers + self.sharing + self.starters
                + self.will_clients)

    def count(self, what, number):
        self.counts[what] += number

    # ---- Life and death ----

    def must_be_dead(self, why):
        """A connection was lost: that must have been the kill."""
        deadline = time.monotonic() + DEADLINE_S / 5
        while self.t.broker.is_running():
            if time.monotonic() > deadline:
                raise Broken(f"the broker lives and closed a connection: {why}")
            self.t.pass_time(0.001)

    def live_while(self, wanted):
        """Everybody works; some go and come back."""
        random = self.t.random
        members = self.members()
        while wanted():
            for member in members:
                if member.client is None:
                    if random.random() < member.there:
                        member.come()
                elif random.random() < 0.005:
                    member.lose()
                else:
                    member.act()

    def live(self, seconds):
        deadline = time.monotonic() + seconds
        self.live_while(lambda: time.monotonic() < deadline)

    def kill_in(self, seconds):
        """From a process of its own, so that the kill comes while the clients are at anything."""
        pid, sign = self.t.broker.process.pid, self.t.dialect.kill_signal
        killer = os.fork()
        if killer == 0:
            try:
                time.sleep(seconds)
                os.kill(pid, sign)  # unless it has ended by itself, which is found out
            finally:
                os._exit(0)
        return killer

    def live_until_killed(self, seconds):
        killer = self.kill_in(seconds)
        self.live_while(self.t.broker.is_running)
        self.bury(killer)

    def bury(self, killer):
        status = self.t.broker.wait_for_exit()
        os.waitpid(killer, 0)
        if status not in (-self.t.dialect.kill_signal, 0):
            raise Broken(f"the broker ended by itself, with {status}")
        for member in self.members():
            member.lose()
        self.counts["kills"] += 1
        self.history.say(f"kill {self.counts['kills']}")
        self.keep_store()

    def keep_store(self):
        """A copy as the kill has left it, until the next."""
        copy = self.t.broker.store.rstrip("/") + ".killed"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.t.broker.store, copy, ignore=shutil.ignore_patterns("*.sock"))

    def restart(self):
        self.t.broker.start()
        self.look_at_retained()

    def kill_while_starting(self, seconds):
        self.t.broker.launch()
        self.bury(self.kill_in(seconds))

    # ---- The books ----

    def look_at_retained(self):
        """Of each retained topic a new subscription finds what was acknowledged last, or newer."""
        if not self.retaining:
            return
        client = self.t.open(5, trace=self.history.recorder("looker"))
        client.connect("looker")
        client.send(mqtt.subscribe(5, 1, [("retained/#", 0)]))
        client.find(mqtt.SUBACK)
        found = {}
        for packet in client.settle():
            if packet.kind != PUBLISH or not packet.retain or packet.topic in found:
                raise Broken(f"{packet} came where retained messages were due")
            found[packet.topic] = packet.payload
        client.close()
        self.t.opened.remove(client)
        for publisher in self.retaining:
            value = found.get(publisher.topic, b"")
            if value not in publisher.may_be():
                raise Broken(f"the retained message of {publisher.topic} is {value[:60]!r}, not "
                             f"one of {sorted(publisher.may_be())}")
            self.counts["retained_looked_at"] += 1

    def settle(self):
        """Everything under way arrives; then the books are closed."""
        for member in self.members():
            if member.client is None:
                member.come()
        deadline = time.monotonic() + DEADLINE_S
        publishers = self.publishers + self.retaining
        while not all(publisher.is_done() for publisher in publishers):
            if time.monotonic() > deadline:
                raise Broken("messages are never acknowledged, of " + ", ".join(
                    one.client_id for one in publishers if not one.is_done()))
            for publisher in publishers:
                publisher.finish()
            for member in self.subscribers + self.sharing + self.starters:
                member.half.step_if_any()
        self.group.finish(self.sharing)
        for subscriber in self.subscribers + self.sharing + self.starters:
            subscriber.finish()
        self.look_at_retained()
        self.close_books()

    def close_books(self):
        self.wills.close_books()
        for subscriber in self.subscribers:
            subscriber.wills = {will: times for will, times in subscriber.wills.items()
                                if will in self.wills.verdicts}
        self.history.forget()

    def close(self):
        for member in self.members():
            member.client.disconnect()
            member.client = None


def live_and_die(t, cycles, configure=None, each=None):
    """So many kills, the books closed every few of them, and nothing left in the store.

    `configure()` gives the configuration of the next start; `each(rig)` is called behind each
    kill."""
    rig = Rig(t)
    try:
        while rig.counts["kills"] < cycles:
            rig.live_until_killed(t.random.uniform(0.005, 0.6))
            if configure is not None:
                t.broker.config = configure()
            if rig.counts["kills"] < cycles and t.random.random() < 0.1:
                rig.kill_while_starting(t.random.uniform(0, 0.1))
            rig.restart()
            if t.random.random() < 0.2:
                rig.settle()
            if each is not None:
                each(rig)
        rig.settle()
        rig.close()
        t.broker.stop()
        t.check_store_is_empty()
    except BaseException:
        rig.history.write(os.path.join(t.directory, "history.txt"))
        raise
    return rig
