"""Everybody works, the broker is killed at random moments, and the books must balance."""

from case import case
from crash_rig import Rig, live_and_die


@case("rule 1", "rule 2", "rule 3", "rule 4", "rule 8", timeout=60,
      over=[{"workers": 1, "mailbox_size": 1024, "cycles": 4},
            {"workers": 4, "mailbox_size": 1, "cycles": 4}])
def nothing_acknowledged_is_lost_over_a_few_kills(t, workers, mailbox_size, cycles):
    kill_often(t, workers, mailbox_size, cycles)


@case("rule 1", "rule 2", "rule 3", "rule 4", "rule 8", timeout=300, long=True,
      over=[{"workers": 1, "mailbox_size": 1024}, {"workers": 2, "mailbox_size": 1},
            {"workers": 4, "mailbox_size": 1}, {"workers": 4, "mailbox_size": 1024}])
def nothing_acknowledged_is_lost_over_many_kills(t, workers, mailbox_size):
    kill_often(t, workers, mailbox_size, 25)


def kill_often(t, workers, mailbox_size, cycles):
    holdfast = t.dialect.name == "holdfast"
    t.start(**({"broker": {"workers": workers, "mailbox_size": mailbox_size}} if holdfast else {}))
    live_and_die(t, cycles)


@case("rule 8", "rule 11", long=True, timeout=120, over={"durability": ("commit", "flush")})
def a_graceful_stop_at_any_moment_loses_nothing(t, durability):
    t.start(**({"sqlite": {"durability": durability.encode()}}
               if t.dialect.name == "holdfast" else {}))
    rig = Rig(t)
    for _ in range(10):
        rig.live(t.random.uniform(0.05, 0.5))
        t.broker.stop()
        for member in rig.members():
            member.lose()
        rig.restart()
    rig.settle()
    rig.close()
    t.broker.stop()
    t.check_store_is_empty()
