"""What a case is, and what it is given.

    @case("MQTT-3.1.2-4", over={"version": (4, 5)})
    def clean_start_wipes_a_stored_session(t, version):
        ...

The name is a sentence; the first arguments cite the statements or rules ("rule 3") that it rests
on. `over` gives one case for each combination, `long_over` more of them for --all.
"""

import itertools
import os
import random
import select
import time

import mqtt_wire
import store
from broker import Broker

ADDRESS_BITS = 22  # of a process id


class Skip(Exception):
    """The case cannot be run here; the text says why."""


class Case:
    def __init__(self, function, cites, variant, long, timeout, needs):
        self.function, self.cites, self.variant = function, cites, variant
        self.long, self.timeout, self.needs = long, timeout, needs
        words = ",".join(f"{key}={value}" for key, value in variant.items())
        module = function.__module__.rsplit(".", 1)[-1]
        self.name = f"{module}.{function.__name__}" + (f"[{words}]" if words else "")


CASES = []


def _variants(over):
    if over is None:
        return [{}]
    if isinstance(over, list):
        return over
    return [dict(zip(over, values)) for values in itertools.product(*over.values())]


def case(*cites, over=None, long_over=(), long=False, timeout=30, needs=()):
    def register(function):
        if not cites:
            raise ValueError(f"{function.__name__} cites nothing")
        variants = _variants(over)
        for variant in variants:
            CASES.append(Case(function, cites, variant, long, timeout, needs))
        for variant in _variants(long_over) if long_over else []:
            if variant not in variants:
                CASES.append(Case(function, cites, variant, True, timeout, needs))
        return function
    return register


def own_address():
    """A loopback address that no other process of this machine derives, so that ports are free."""
    number = os.getpid() & ((1 << ADDRESS_BITS) - 1)
    return f"127.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Context:
    """What a case works with: `t`."""

    def __init__(self, binary, directory, shared, seed):
        self.binary, self.directory = binary, directory
        self.dialect, self.authority = shared.dialect, shared.authority
        self.overrides, self.sanitized = shared.overrides, shared.sanitized
        self.address = own_address()
        self.random = random.Random(seed)
        self.broker = None
        self.opened = []
        self._server_certificate = None

    # ---- The broker ----

    def server_certificate(self):
        if self._server_certificate is None:
            self._server_certificate = self.authority.server(self.directory, self.address)
        return self._server_certificate

    def config(self, tls=False, web=False, client_certificate=None, listener=(), ws=(), secure=(),
               **sections):
        """A configuration: a plain listener, TLS and WebSocket ones if asked for, and these
        sections."""
        config = {"listener": {"plain": {"bind": f"{self.address}:1883", "allow_anonymous": True,
                                         **dict(listener)}}}
        if tls:
            certificate, key = self.server_certificate()
            config["listener"]["tls"] = {
                "bind": f"{self.address}:8883", "allow_anonymous": True, "transport": b"tls",
                "certificate": certificate, "key": key, "ca": self.authority.certificate,
                **dict(secure)}
            if client_certificate:
                config["listener"]["tls"]["client_certificate"] = client_certificate
            else:
                del config["listener"]["tls"]["ca"]
        if web:
            config["listener"]["ws"] = {"bind": f"{self.address}:9001", "allow_anonymous": True,
                                        "transport": b"ws", **dict(ws)}
            if tls:
                config["listener"]["wss"] = {**config["listener"]["tls"], "transport": b"wss",
                                             "bind": f"{self.address}:9443"}
        config["sqlite"] = {"mounted_file_path": os.path.join(self.directory, "store", "")}
        if self.dialect.name == "holdfast":
            config["broker"] = {"sandbox": b"kill"}  # a call that is not in its list is noticed
        for section, options in [*self.overrides.items(), *sections.items()]:
            config.setdefault(section, {}).update(options)
        return config

    def new_broker(self, **config):
        broker = Broker(self.binary, self.dialect, self.directory, self.config(**config))
        os.makedirs(broker.store, exist_ok=True)
        if self.broker is None:
            self.broker = broker
        return broker

    def start(self, workers=None, **config):
        """The case's broker, running."""
        if workers is not None and self.dialect.name == "holdfast":
            config["broker"] = {"workers": workers, **config.get("broker", {})}
        return self.new_broker(**config).start()

    # ---- Clients ----

    def open(self, version=5, transport="tcp", tls=None, listener=None, **options):
        """A client that has not sent CONNECT yet."""
        name = listener or {"tcp": "plain", "tls": "tls"}[transport]
        if name == "tls" and tls is None:
            tls = self.authority.context()
        client = mqtt_wire.Client(self.broker.listeners()[name], version, tls, **options)
        self.opened.append(client)
        return client

    def client(self, client_id="", version=5, transport="tcp", tls=None, listener=None,
               receive_buffer=None, **connect):
        """A connected client."""
        client = self.open(version, transport, tls, listener, receive_buffer=receive_buffer)
        client.connect(client_id, **connect)
        return client

    def away(self, client_id, *filters, version=5, qos=1, **connect):
        """Makes a stored session with these subscriptions and leaves."""
        client = self.client(client_id, version, stored=True, **connect)
        client.subscribe(*filters, qos=qos)
        client.disconnect()

    def back(self, client_id, version=5, **connect):
        """Resumes a stored session that must be there. MQTT 3.1 does not say whether it is."""
        client = self.client(client_id, version, stored=True, **connect)
        if version > 3 and not client.connack.session_present:
            raise AssertionError(f"the session of {client_id} is gone: Session Present is 0")
        return client

    def check_health(self, message=b"still here"):
        """The broker serves somebody who does nothing wrong."""
        client = self.client("healthy")
        client.subscribe("health/check", qos=1)
        client.publish("health/check", message, qos=1)
        client.message(topic="health/check", payload=message)
        client.disconnect()

    def silence(self, subscriber, publisher, topic, qos=1):
        """Nothing is on its way to `subscriber`: a message published now is the next to come."""
        publisher.publish(topic, b"sentinel", qos)
        subscriber.message(topic=topic, payload=b"sentinel")

    # ---- The store ----

    def check_store_is_empty(self):
        """No message is left in the store of a stopped broker, and none is owed to anybody."""
        if self.dialect.name != "holdfast":
            return
        left = store.left_over(self.broker.store)
        if left:
            raise AssertionError(f"left in the store: {left}")

    # ---- Memory ----

    def check_growth(self, before, megabytes, now=None):
        """The broker's resident memory has not grown by more than this since `before`."""
        if self.sanitized:
            return  # a sanitizer keeps freed memory on purpose
        growth = ((now or self.broker.resident_bytes()) - before) / (1 << 20)
        if growth > megabytes:
            raise AssertionError(f"the broker grew by {growth:.1f} MB, not {megabytes} at most")

    def await_empty_store(self):
        """What has ended is deleted in slices, behind everything else: looks until it is gone."""
        deadline = time.monotonic() + mqtt_wire.DEADLINE_S
        while self.dialect.name == "holdfast" and store.left_over(self.broker.store) and \
                time.monotonic() < deadline:
            self.pass_time(0.02)

    # ---- The rest ----

    def lines_about(self, *words):
        """The lines of the broker's log with all of these words."""
        return [line for line in self.broker.log().splitlines()
                if all(word in line for word in words)]

    def await_line(self, *words, after=0, count=1):
        """The first of them, once there are so many. `after`: it is not due before so many
        seconds."""
        deadline = time.monotonic() + after + mqtt_wire.DEADLINE_S
        while len(lines := self.lines_about(*words)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"no line of the log has {words}")
            self.pass_time(0.02)
        return lines[0]

    def pass_time(self, seconds):
        """Lets time go by. Only for what time alone brings about, such as an expiry."""
        select.select([], [], [], seconds)

    def say(self, text):
        """Stands behind the case's name in the report of the run."""
        print(text)

    def skip(self, reason):
        raise Skip(reason)

    def holdfast_only(self, what):
        if self.dialect.name != "holdfast":
            raise Skip(f"{what} is Holdfast's own")

    def finish(self):
        for client in self.opened:
            client.close()
        if self.broker is not None:
            self.broker.finish()

    def abandon(self):
        for client in self.opened:
            client.close()
        if self.broker is not None and self.broker.is_running():
            self.broker.kill()
