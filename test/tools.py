"""Clients written by others: mosquitto_pub, mosquitto_sub, MQTT.js, Paho for Python and for C."""

import os
import subprocess

from mqtt_wire import DEADLINE_S

HERE = os.path.dirname(os.path.abspath(__file__))
MQTT_JS = os.path.join(HERE, "node_modules", "mqtt")


class Failed(AssertionError):
    """A client ended with an error."""


class Tool:
    """A client program that runs beside the case."""

    def __init__(self, arguments, stdin=None, environment=None):
        self.arguments = arguments
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})})
        self.stdin = stdin

    def wait_for_line(self, words):
        """Reads until a line holds `words`."""
        for line in self.process.stdout:
            if words in line:
                return line
        raise Failed(f"{self.arguments[0]} ended without saying {words!r}")

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def finish(self, timeout=3 * DEADLINE_S, statuses=(0,)):
        """Its output; Failed if it does not end well and in time."""
        try:
            output, _ = self.process.communicate(self.stdin, timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            raise Failed(f"{' '.join(self.arguments)} did not end: ...{output[-500:]!r}") from None
        if self.process.returncode not in statuses:
            raise Failed(f"{' '.join(self.arguments)} ended with {self.process.returncode}: "
                         f"{output[-1000:]!r}")
        return output


def _mosquitto(t, program, version, transport, *arguments):
    host, port = t.broker.listeners()["tls" if transport == "tls" else "plain"]
    # stdbuf: a line is to be seen when it is said.
    out = ["stdbuf", "-oL", program, "-h", host, "-p", str(port),
           "-V", {3: "mqttv31", 4: "mqttv311", 5: "mqttv5"}[version]]
    if transport == "tls" and "--psk" not in arguments:
        out += ["--cafile", t.authority.certificate]
    return out + [str(argument) for argument in arguments]


def _stored(version, client_id):
    out = ["-i", client_id, "-c"]
    return out + (["-x", "3600"] if version == 5 else [])


def mosquitto_sub(t, version, transport, client_id, topic_filter, qos, *arguments):
    """A subscriber with a stored session; extra arguments say when it ends."""
    return Tool(_mosquitto(t, "mosquitto_sub", version, transport, *_stored(version, client_id),
                           "-t", topic_filter, "-q", qos, *arguments))


def mosquitto_pub_one(t, version, transport, topic, payload, *arguments):
    """Publishes one message at QoS 1, and gives up when it is refused."""
    return Tool(_mosquitto(t, "mosquitto_pub", version, transport, "-t", topic, "-q", 1,
                           "-m", payload, *arguments))


def mosquitto_pub(t, version, transport, topic, qos, payloads):
    """Publishes each payload as a line of standard input; ends when all are acknowledged."""
    return Tool(_mosquitto(t, "mosquitto_pub", version, transport, "-t", topic, "-q", qos, "-l"),
                stdin=b"".join(payload + b"\n" for payload in payloads))


def node(t, script, version, transport, environment=None, **options):
    """Runs a script with its options in the environment, with MQTT.js at hand."""
    if not os.path.isdir(MQTT_JS):
        t.skip("MQTT.js is not installed: run test/bootstrap")
    return Tool(["node", os.path.join(HERE, script)],
                environment={**_environment(t, version, transport, options), **(environment or {})})


def mqttjs(t, script, version, transport, **options):
    """Runs mqttjs/<script>.js."""
    return node(t, os.path.join("mqttjs", script + ".js"), version, transport, **options)


def _environment(t, version, transport, options):
    host, port = t.broker.listeners()["plain" if transport == "tcp" else transport]
    scheme = {"tcp": "mqtt", "tls": "mqtts"}.get(transport, transport)
    return {"MQTT_URL": f"{scheme}://{host}:{port}",
            "MQTT_VERSION": str(version), "MQTT_CA": t.authority.certificate,
            **{"MQTT_" + key.upper(): str(value) for key, value in options.items()}}


def paho_c(t, version, transport, **options):
    """Builds and runs paho/publish.c with its options in the environment."""
    if not os.path.exists("/usr/include/MQTTClient.h"):
        t.skip("Paho for C is not installed: run script/bootstrap --all")
    program = os.path.join(t.directory, "paho-publish")
    if not os.path.exists(program):
        subprocess.run(["cc", "-Wall", "-Werror", "-o", program,
                        os.path.join(HERE, "paho", "publish.c"), "-lpaho-mqtt3cs"], check=True)
    environment = _environment(t, version, transport, options)
    scheme, address = environment["MQTT_URL"].split("://")
    scheme = {"mqtt": "tcp", "mqtts": "ssl"}.get(scheme, scheme)
    return Tool([program], environment={**environment, "MQTT_URL": f"{scheme}://{address}"})


def paho(t, version, transport, **options):
    """Runs paho/publish.py with its options in the environment, by the system's Python, whose
    package Paho is."""
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import paho.mqtt"], stderr=subprocess.DEVNULL).returncode:
        t.skip("Paho is not installed: run script/bootstrap --all")
    return Tool([python, os.path.join(HERE, "paho", "publish.py")],
                environment=_environment(t, version, transport, options))
