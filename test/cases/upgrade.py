"""A fleet, and a broker that is replaced under it: drained, its program exchanged, started again on the sockets that
were held meanwhile, as systemd holds those of packaging/holdfast.socket."""

import os
import resource
import shutil
import socket
import time

import checks
from case import case
from cases.administration import over_socket
from fleet import Fleet
from mqtt_wire import DEADLINE_S

PUBLISHERS, SUBSCRIBERS = 100, 4900
BOTH = PUBLISHERS + SUBSCRIBERS
RATE = 1000  # a second, away and back
LOAD = 3000  # messages before the drain begins
PATIENTLY_S = 6 * DEADLINE_S


def hold_socket(t):
    """What systemd would hold, given to each broker of the case as descriptor 3; its program is at t.binary."""
    listener = socket.create_server((t.address, 1883), backlog=4096)
    program, wrapper = os.path.join(t.directory, "program"), os.path.join(t.directory, "activated")
    shutil.copy(t.binary, program)
    with open(wrapper, "w", encoding="ascii") as file:
        file.write(f"#!/bin/bash\nexec 3<&{listener.fileno()}\nexport LISTEN_FDS=1 LISTEN_PID=$$\n"
                   f"exec {program} \"$@\"\n")
    os.chmod(wrapper, 0o700)
    t.binary = wrapper
    return listener, program


def allow_descriptors(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
    return hard >= count


def replace(t, program):
    """The old one has ended: another file takes the place of its program, and is started."""
    checks.equal("the old broker's exit status", t.broker.wait_for_exit(), 0)
    shutil.copy(program, program + ".new")
    os.replace(program + ".new", program)
    t.broker.start()


def check_books(fleet):
    received, acknowledged = fleet.received(), fleet.acknowledged()
    checks.equal("acknowledged and lost", set(acknowledged) - set(received), set())
    exactly_once = [payload for payload in received if int(payload) % 2]
    checks.equal("QoS 2 messages that came twice", len(exactly_once) - len(set(exactly_once)), 0)
    checks.equal("messages that were refused", [member.half.refused for member in fleet.publishers
                                                if member.half.refused], [])


@case("rule 16", "promise 5", "issue 8", long=True, timeout=240)
def a_fleet_is_drained_and_comes_back_to_another_program_with_nothing_lost(t):
    t.holdfast_only("a drain")
    if not allow_descriptors(BOTH + 200):
        t.skip(f"it takes {BOTH + 200} descriptors")
    listener, program = hold_socket(t)
    broker = t.new_broker(listener={"max_connect_rate": RATE})
    broker.pass_fds = (listener.fileno(),)
    broker.start()
    t.await_line(f"MQTT on {t.address}:1883, a socket that was there")
    fleet = Fleet((t.address, 1883), PUBLISHERS, SUBSCRIBERS, t.random)
    fleet.run_until(lambda: fleet.there() == BOTH, "all are there", PATIENTLY_S)
    fleet.is_publishing = True
    fleet.run_until(lambda: len(fleet.acknowledged()) >= LOAD, "load", PATIENTLY_S)

    begun = time.monotonic()
    answer = over_socket(t, b'{"drain": {"rate": %d}}' % RATE)
    checks.equal("drain", answer, {"result": {"connections": BOTH, "rate": RATE}})
    fleet.run_until(lambda: all(member.farewells for member in fleet.members), "all were sent away", PATIENTLY_S)
    drained = time.monotonic() - begun
    for member in fleet.members:
        checks.that(f"reason={0x8B}" in member.farewells[0], f"{member.name}: {member.farewells}")

    begun = time.monotonic()
    replace(t, program)
    fleet.run_until(lambda: fleet.there(visit=2) == BOTH, "all are back", PATIENTLY_S)
    returned = time.monotonic() - begun
    fleet.is_publishing = False
    fleet.run_until(lambda: fleet.is_idle() and set(fleet.acknowledged()) <= set(fleet.received()),
                    "all that is acknowledged has arrived", PATIENTLY_S)
    check_books(fleet)
    # A second's worth may come at once.
    checks.that(drained >= BOTH / RATE - 1, f"{BOTH} were sent away within {drained:.1f} s")
    checks.that(returned >= BOTH / RATE - 1, f"{BOTH} were back within {returned:.1f} s")
    print(f"{BOTH} clients sent away within {drained:.1f} s and back within {returned:.1f} s; "
          f"{len(fleet.acknowledged())} messages acknowledged, {len(fleet.received())} received")
