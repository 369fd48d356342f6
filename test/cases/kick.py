"""holdfast kick: an operator sends a client away."""

import subprocess

import checks
from case import case


def kick(t, client):
    """(exit status, what it says)"""
    t.await_line("notice: ready")
    done = subprocess.run([t.broker.binary, "kick", "-c", t.broker.config_file, "--client", client],
                          check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=t.directory)
    return done.returncode, done.stdout


@case("MQTT-3.14.0-1", over={"version": (5, 4), "workers": (1, 4)})
def who_is_kicked_is_told_keeps_its_session_and_may_come_back(t, version, workers):
    t.holdfast_only("kick")
    t.start(workers=workers)
    witness = t.client("witness")
    witness.subscribe("will", qos=1)
    client = t.client("c", version, stored=True, will={"topic": "will", "payload": b"gone", "qos": 1})
    client.subscribe("a", qos=1)
    status, said = kick(t, "c")
    checks.equal(f"status of {said!r}", status, 0)
    client.expect_disconnect(0x98)
    witness.message(topic="will", payload=b"gone", qos=1)
    witness.publish("a", b"meanwhile", qos=1)
    back = t.back("c", version)
    checks.that(back.connack.session_present, "its session is gone")
    back.message(payload=b"meanwhile", qos=1)


@case("MQTT-3.14.0-1")
def who_is_not_connected_cannot_be_kicked(t):
    t.holdfast_only("kick")
    t.start()
    t.away("c", "a", qos=1)
    for name in ("c", "nobody"):
        checks.equal(f"{name}", kick(t, name),
                     (1, "holdfast: no client of this name is connected\n"))
    t.broker.stop()
    checks.equal("without a broker", t.broker.process.returncode, 0)
