"""The broker as a service of systemd: what it says, sockets that were there before it, its unit."""

import os
import re
import select
import shutil
import socket
import subprocess
import time

import checks
from case import case
from mqtt_wire import DEADLINE_S

PACKAGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging")


class Manager:
    """Who is told, in place of systemd."""

    def __init__(self, t):
        path = os.path.join(t.directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.environ["NOTIFY_SOCKET"] = path

    def told(self, timeout=DEADLINE_S):
        """The next that is no WATCHDOG=1, as a dict; None: nothing comes."""
        deadline = time.monotonic() + timeout
        while (said := self.any(deadline - time.monotonic())) is not None:
            if "WATCHDOG" not in said:
                return said
        return None

    def any(self, timeout):
        if not select.select([self.socket], [], [], max(timeout, 0))[0]:
            return None
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())


@case("promise 5")
def systemd_is_told_of_start_reload_and_stop(t):
    t.holdfast_only("sd_notify")
    manager = Manager(t)
    t.start()
    checks.equal("started", manager.told().get("READY"), "1")
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    t.broker.reload()
    reloading = manager.told()
    checks.equal("reloading", reloading.get("RELOADING"), "1")
    checks.that(int(reloading["MONOTONIC_USEC"]) >= before_us, "reloaded before it was asked to")
    checks.equal("reloaded", manager.told().get("READY"), "1")
    t.broker.stop()
    checks.equal("stopping", manager.told().get("STOPPING"), "1")


@case("promise 5", over={"workers": (1, 2)})
def the_watchdog_is_fed_while_nothing_happens(t, workers):
    t.holdfast_only("sd_notify")
    manager = Manager(t)
    os.environ["WATCHDOG_USEC"] = "600000"
    t.start(workers=workers, mqtt={"sys_interval": 0})
    manager.told()
    for _ in range(5):
        checks.equal("fed", manager.any(DEADLINE_S), {"WATCHDOG": "1"})


@case("promise 5")
def a_reload_that_fails_is_over_too(t):
    t.holdfast_only("sd_notify")
    manager = Manager(t)
    t.start()
    manager.told()
    t.broker.config["mqtt"] = {"max_qos": 3}
    t.broker.reload()
    checks.equal("reloading", manager.told().get("RELOADING"), "1")
    checks.equal("over", manager.told().get("READY"), "1")
    t.client("c").publish("a", b"x", qos=1)


@case("promise 5")
def a_socket_that_was_there_is_taken_over_with_who_waits_in_it(t):
    t.holdfast_only("socket activation")
    if shutil.which("systemd-socket-activate") is None:
        t.skip("systemd-socket-activate is not installed: script/bootstrap --all")
    wrapper = os.path.join(t.directory, "activated")
    with open(wrapper, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nexec systemd-socket-activate --listen={t.address}:1883 "
                   f"{os.path.abspath(t.binary)} \"$@\"\n")
    os.chmod(wrapper, 0o700)
    t.binary = wrapper
    t.start()
    t.await_line(f"MQTT on {t.address}:1883, a socket that was there")
    t.client("c").publish("a", b"x", qos=1)


@case("promise 5")
def the_unit_is_sound_and_sealed(t):
    t.holdfast_only("the unit")
    if shutil.which("systemd-analyze") is None:
        t.skip("systemd-analyze is not installed: script/bootstrap --all")
    with open(os.path.join(PACKAGING, "holdfast.service"), encoding="utf-8") as file:
        unit = file.read()
    here = os.path.join(t.directory, "holdfast.service")
    with open(here, "w", encoding="utf-8") as file:  # with a program that is there
        file.write(unit.replace("/usr/bin/holdfast", os.path.abspath(t.binary))
                   .replace("Documentation=man:holdfast(1)\n", ""))
    shutil.copy(os.path.join(PACKAGING, "holdfast.socket"), t.directory)
    for name in ("holdfast.service", "holdfast.socket"):
        done = subprocess.run(["systemd-analyze", "verify", os.path.join(t.directory, name)],
                              check=False, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        ours = [line for line in done.stdout.splitlines() if "holdfast" in line]
        checks.equal("verify", (done.returncode, ours), (0, []))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", here],
                          check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    checks.equal(f"exposure {exposure and exposure.group(1)}", done.returncode, 0)
