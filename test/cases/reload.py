"""SIGHUP: the configuration is read again, and nobody who may stay is disturbed."""

import os
import signal

import checks
import mqtt_packet as mqtt
from case import case
from mqtt_packet import CONNACK

IN_FORCE = "is in force"


def reload(t, number=1):
    t.broker.reload()
    t.await_line(IN_FORCE, f"reading {number + 1} ")


@case("issue: reload", "MQTT-3.14.4-1", over={"workers": (1, 4)})
def who_may_not_stay_is_told_and_the_others_stay(t, workers):
    t.holdfast_only("SIGHUP")
    t.start(workers=workers, tls=True, client_certificate=b"required")
    context = t.authority.context(*t.authority.client(t.directory, "alice"))
    proven = t.client("proven", 5, "tls", tls=context)
    proven.subscribe("a", qos=1)
    nobodies = [t.client(f"nobody-{number}", version) for number in range(4) for version in (4, 5)]
    t.away("sleeper", "a")
    t.broker.config["listener"]["plain"]["allow_anonymous"] = False
    reload(t)
    for client in nobodies:
        client.expect_disconnect(*[0x87] if client.version == 5 else [])
    for version in (4, 5):
        late = t.open(version)
        late.send(mqtt.connect(version, "late", True))
        late.expect(CONNACK, reason=0x87 if version == 5 else 5)
        late.expect_close()
    proven.publish("a", b"x", qos=1)
    proven.message(payload=b"x")
    t.broker.config["listener"]["plain"]["allow_anonymous"] = True
    reload(t, 2)
    t.back("sleeper").message(payload=b"x")  # its stored session has stayed


@case("issue: reload")
def a_file_with_a_fault_changes_nothing(t):
    t.holdfast_only("SIGHUP")
    t.start()
    client = t.client("one")
    sound = t.broker.config
    for text, words in (("mqtt { max_qos = 9 }\n", ("max_qos",)), ("listener", ()), ("\x01", ())):
        t.broker.write_config(t.dialect.render(sound).replace("allow_anonymous = true",
                                                              "allow_anonymous = false") + text)
        t.broker.process.send_signal(signal.SIGHUP)
        t.await_line("SIGHUP", "everything stays as it was", *words)
        client.expect_nothing()
        t.client("").disconnect()
    os.unlink(t.broker.config_file)
    t.broker.process.send_signal(signal.SIGHUP)
    t.await_line("SIGHUP", "everything stays as it was", "No such file")
    client.expect_nothing()


@case("issue: reload", over={"what": ("configuration", "password_file", "acl_file", "key")})
def a_pipe_into_which_nobody_writes_is_not_waited_for(t, what):
    t.holdfast_only("SIGHUP")
    t.start(tls=True)
    client = t.client("one")
    path = os.path.join(t.directory, "pipe")
    os.mkfifo(path)
    if what == "configuration":
        path = t.broker.config_file
        os.unlink(path)
        os.mkfifo(path)
    elif what == "key":
        t.broker.config["listener"]["tls"]["key"] = path
    else:
        section = "authentication" if what == "password_file" else "authorization"
        t.broker.config.setdefault(section, {})[what] = path
    if what == "configuration":
        t.broker.process.send_signal(signal.SIGHUP)
    else:
        t.broker.reload()
    t.await_line("SIGHUP", path, "a pipe into which nobody writes", "everything stays as it was")
    client.expect_nothing()
    t.client("two").expect_nothing()
    t.broker.stop()


@case("issue: reload")
def what_takes_a_restart_is_named(t):
    t.holdfast_only("SIGHUP")
    t.start(log={"level": b"info"})
    client = t.client("one")
    t.broker.config.setdefault("mqtt", {})["max_qos"] = 1
    t.broker.config["listener"]["plain"]["max_connections"] = 1
    t.broker.config["listener"]["new"] = {"bind": f"{t.address}:1999"}
    t.broker.config["log"]["level"] = b"debug"
    reload(t)
    lines = [line.split("SIGHUP: ")[1] for line in t.lines_about("takes a restart")]
    checks.equal("needs a restart", sorted(lines), [
        'listener "new", which is new: takes a restart to change',
        'listener "plain": max_connections: takes a restart to change',
        "mqtt: max_qos: takes a restart to change"])
    client.publish("a", b"x", qos=2)
    t.client("two").publish("a", b"x", qos=2)


@case("issue: reload", over={"workers": (1, 4)})
def traffic_goes_on_through_many_reloads(t, workers):
    t.holdfast_only("SIGHUP")
    t.start(workers=workers)
    clients = [t.client(f"client-{number}") for number in range(20)]
    for client in clients:
        client.subscribe("a", qos=1)
    for turn in range(20):
        t.broker.reload()
        clients[turn].publish("a", b"%d" % turn, qos=1)
        for client in clients:
            client.message(payload=b"%d" % turn)
    t.await_line(IN_FORCE)
