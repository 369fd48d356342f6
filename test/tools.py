"""Clients written by others: mosquitto_pub, mosquitto_sub and MQTT.js."""

import os
import subprocess

from mqtt_wire import DEADLINE_S

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, "mqttjs")
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
    if transport == "tls":
        out += ["--cafile", t.authority.certificate]
    return out + [str(argument) for argument in arguments]


def _stored(version, client_id):
    out = ["-i", client_id, "-c"]
    return out + (["-x", "3600"] if version == 5 else [])


def mosquitto_sub(t, version, transport, client_id, topic_filter, qos, *arguments):
    """A subscriber with a stored session; extra arguments say when it ends."""
    return Tool(_mosquitto(t, "mosquitto_sub", version, transport, *_stored(version, client_id),
                           "-t", topic_filter, "-q", qos, *arguments))


def mosquitto_pub(t, version, transport, topic, qos, payloads):
    """Publishes each payload as a line of standard input; ends when all are acknowledged."""
    return Tool(_mosquitto(t, "mosquitto_pub", version, transport, "-t", topic, "-q", qos, "-l"),
                stdin=b"".join(payload + b"\n" for payload in payloads))


def mqttjs(t, script, version, transport, **options):
    """Runs mqttjs/<script>.js with its options in the environment."""
    if not os.path.isdir(MQTT_JS):
        t.skip("MQTT.js is not installed: run test/bootstrap")
    host, port = t.broker.listeners()["tls" if transport == "tls" else "plain"]
    environment = {"MQTT_URL": f"{'mqtts' if transport == 'tls' else 'mqtt'}://{host}:{port}",
                   "MQTT_VERSION": str(version), "MQTT_CA": t.authority.certificate,
                   **{"MQTT_" + key.upper(): str(value) for key, value in options.items()}}
    return Tool(["node", os.path.join(SCRIPTS, script + ".js")], environment=environment)
