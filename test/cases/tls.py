"""TLS: who gets in by a certificate, who does not, and what the operator reads about it."""

import os
import select
import signal
import socket
import ssl
import time

import checks
import mqtt_packet as mqtt
import mqtt_wire
import preload
from case import case
from certificates import Authority, Register, self_signed
from mqtt_packet import CONNACK, PINGRESP, PUBACK
from mqtt_wire import Closed

VERSIONS = {"tls": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)}
PAST = ("20200101000000Z", "20200201000000Z")
FUTURE = ("20480101000000Z", "20490101000000Z")
NOT_IN_CA = "authority is not among those in 'ca'"


def start(t, crl=True, workers=None, **listener):
    """A broker that asks for certificates, and the books of its authority."""
    t.holdfast_only("certificates of clients")
    register = Register(t.authority, os.path.join(t.directory, "register"))
    config = t.config(tls=True, client_certificate=b"required")["listener"]["tls"]
    if crl:
        config["crl"] = os.path.join(t.directory, "ca.crl")
        register.write_list(config["crl"])
    start_with(t, {**config, **listener}, workers)
    return register


def start_with(t, config, workers=None):
    broker = t.new_broker(tls=True, **({"broker": {"workers": workers}} if workers else {}))
    broker.config["listener"]["tls"] = config
    broker.start()


def refused(t, context):
    """Whatever the client's own TLS makes of it, it is not served."""
    try:
        client = t.open(5, "tls", tls=context)
        client.send(mqtt.connect(5, "intruder", True))
        client.expect_close()
    except (OSError, Closed):
        pass


def reissue(t, register, certificate):
    register.revoke(certificate)
    register.write_list(os.path.join(t.directory, "ca.crl"))


@case("issue: tls", over=VERSIONS)
def each_bad_certificate_is_refused_with_a_line_of_its_own(t, tls):
    t.holdfast_only("certificates of clients")
    register = Register(t.authority, os.path.join(t.directory, "register"))
    stranger = Authority(t.directory, "stranger-ca")
    revoked = t.authority.client(t.directory, "revoked")
    register.revoke(revoked[0])
    crl = os.path.join(t.directory, "ca.crl")
    register.write_list(crl)
    config = t.config(tls=True, client_certificate=b"required")["listener"]["tls"]
    start_with(t, {**config, "crl": crl})
    for pair, issuer, reason in (
            (revoked, "ca", "is revoked"),
            (register.client("expired", *PAST), "ca", "has expired"),
            (register.client("early", *FUTURE), "ca", "is not valid yet"),
            (stranger.client(t.directory, "stranger"), "stranger-ca", NOT_IN_CA),
            (t.authority.client(t.directory, "wrong-use", "serverAuth"), "ca",
             "not meant for TLS clients"),
            (self_signed(t.directory, "self-signed"), "self-signed", "")):
        name = os.path.basename(pair[0]).removesuffix(".pem")
        refused(t, t.authority.context(*pair, version=tls))
        line = t.await_line(f"certificate of 'CN={name}', issued by 'CN={issuer}': ", reason)
        checks.equal(f"the address in: {line}", f"{t.address}:" in line or "127.0.0.1:" in line,
                     True)
    refused(t, t.authority.context(version=tls))
    t.await_line("TLS: the client sent no certificate")
    good = t.authority.context(*t.authority.client(t.directory, "good"), version=tls)
    t.client("good", 5, "tls", tls=good).disconnect()


@case("issue: tls", over={"freshness": (b"required", b"any")})
def an_expired_list_lets_nobody_in_unless_any_freshness_will_do(t, freshness):
    t.holdfast_only("certificates of clients")
    register = Register(t.authority, os.path.join(t.directory, "register"))
    revoked = t.authority.client(t.directory, "revoked")
    good = t.authority.client(t.directory, "good")
    register.revoke(revoked[0])
    crl = os.path.join(t.directory, "ca.crl")
    register.write_list(crl, "-crl_lastupdate", PAST[0], "-crl_nextupdate", PAST[1])
    config = t.config(tls=True, client_certificate=b"required")["listener"]["tls"]
    start_with(t, {**config, "crl": crl, "crl_freshness": freshness})
    t.await_line("ca.crl: the revocation list of 'CN=ca' has expired on 2020-02-01 00:00 UTC")
    refused(t, t.authority.context(*revoked))
    t.await_line("certificate of 'CN=revoked'", "is revoked")
    if freshness == b"any":
        t.client("good", 5, "tls", tls=t.authority.context(*good)).disconnect()
    else:
        refused(t, t.authority.context(*good))
        t.await_line("certificate of 'CN=good'", "'crl' has no list")


# ---- Reload ----


def reload(t, number=1):
    t.broker.reload()
    t.await_line("is in force", f"reading {number + 1} ")


def served_certificate(t):
    client = t.open(5, "tls", tls=t.authority.context(*t.certificate))
    der = client.socket.getpeercert(binary_form=True)
    client.close()
    return der


def der_of(certificate):
    with open(certificate, encoding="ascii") as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


@case("issue: tls", "MQTT-3.14.4-1", "MQTT-3.1.4-2", over={"workers": (1, 4)})
def a_client_that_is_revoked_is_told_and_its_session_stays(t, workers):
    register = start(t, workers=workers)
    pairs = {name: t.authority.client(t.directory, name) for name in ("alice", "bob", "carol")}
    contexts = {name: t.authority.context(*pair) for name, pair in pairs.items()}
    late = t.open(5, "tls", tls=contexts["bob"])  # its handshake is done, its CONNECT is not
    five = t.client("five", 5, "tls", tls=contexts["bob"], stored=True)
    four = t.client("four", 4, "tls", tls=contexts["bob"], stored=True)
    others = [t.client(name, 5, "tls", tls=contexts[name]) for name in ("alice", "carol")]
    five.subscribe("a", qos=1)
    reissue(t, register, pairs["bob"][0])
    reload(t)
    five.expect_disconnect(0x87)
    four.expect_disconnect()
    late.send(mqtt.connect(5, "late", True))
    late.expect(CONNACK, reason=0x87)
    late.expect_close()
    refused(t, contexts["bob"])
    t.await_line("certificate of 'CN=bob'", "is revoked")
    others[0].publish("a", b"x", qos=1)
    for client in others:
        client.settle()
    # The same device with a new certificate.
    again = t.authority.context(*t.authority.client(t.directory, "bob"))
    five = t.client("five", 5, "tls", tls=again, stored=True)
    checks.equal("Session Present", five.connack.session_present, True)
    five.message(payload=b"x")


@case("issue: tls")
def when_an_authority_goes_its_clients_go(t):
    t.holdfast_only("SIGHUP")
    second = Authority(t.directory, "second-ca")
    start(t, crl=False)
    ca = os.path.join(t.directory, "both.pem")
    first = t.broker.config["listener"]["tls"]["ca"]
    write_pem(ca, first, second.certificate)
    t.broker.config["listener"]["tls"]["ca"] = ca
    reload(t)
    contexts = {}
    for authority, name in ((t.authority, "alice"), (second, "bob")):
        contexts[name] = t.authority.context(*authority.client(t.directory, name))
    alice, bob = (t.client(name, 5, "tls", tls=contexts[name]) for name in ("alice", "bob"))
    write_pem(ca, second.certificate)
    reload(t, 2)
    alice.expect_disconnect(0x87)
    bob.settle()
    refused(t, contexts["alice"])
    t.await_line("certificate of 'CN=alice', issued by 'CN=ca'", NOT_IN_CA)
    bob.settle()


def write_pem(path, *files):
    text = ""
    for name in files:
        with open(name, encoding="ascii") as file:
            text += file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@case("issue: tls")
def a_broken_file_leaves_the_old_one_in_force(t):
    start(t)
    t.certificate = t.authority.client(t.directory, "alice")
    options = t.broker.config["listener"]["tls"]
    files = {name: os.path.join(t.directory, f"in-use-{name}") for name in ("certificate", "key", "crl")}
    for name, path in files.items():
        write_pem(path, options[name])
        options[name] = path
    reload(t)
    client = t.client("alice", 5, "tls", tls=t.authority.context(*t.certificate))
    before = served_certificate(t)
    other = t.authority.server(t.directory, t.address, "other")
    for name, text, words in (
            ("certificate", "", "the file is empty"),
            ("certificate", "junk", "not a PEM file"),
            ("key", other[1], "does not belong to the certificate"),
            ("crl", "junk", "not a certificate revocation list"),
            ("crl", None, "No such file")):
        with open(files[name], "rb") as file:
            sound = file.read()
        if text is None:
            os.unlink(files[name])
        elif text == other[1]:
            write_pem(files[name], text)
        else:
            with open(files[name], "w", encoding="ascii") as file:
                file.write(text)
        t.broker.reload()
        t.await_line('listener "tls"', files[name], words, "everything stays as it was")
        checks.equal("the certificate in force", served_certificate(t) == before, True)
        client.settle()
        with open(files[name], "wb") as file:
            file.write(sound)


@case("issue: tls", over={"version": (4, 5)}, needs=preload.NEEDS)
def a_client_whose_certificate_expires_goes_where_the_option_says_so(t, version):
    t.holdfast_only("disconnect_expired")
    clock = preload.SetClock(t)
    start(t, crl=False)
    t.broker.kill()
    t.broker.config["listener"]["tls"]["disconnect_expired"] = True
    stays = {**t.broker.config["listener"]["tls"], "disconnect_expired": False,
             "bind": f"{t.address}:8884"}
    t.broker.config["listener"]["stays"] = stays
    clock.start()
    context = t.authority.context(*t.authority.client(t.directory, "alice"))
    alice = t.client("alice", version, "tls", tls=context, stored=True)
    bob = t.client("bob", version, "tls", tls=context, listener="stays")
    alice.subscribe("a", qos=1)
    clock.set(3 * 86400)
    alice.expect_disconnect(*[0x87] if version == 5 else [], timeout=2 * mqtt_wire.DEADLINE_S)
    t.await_line('client "alice"', "has expired")
    bob.settle()
    refused(t, context)
    clock.set(0)
    again = t.client("alice", version, "tls", tls=context, stored=True)
    checks.equal("Session Present", again.connack.session_present, True)


@case("issue: tls")
def files_are_read_when_they_change(t):
    """By a link that is turned, by being moved into place, by being written; and what is broken is
    said once."""
    register = start(t)
    pairs = {name: t.authority.client(t.directory, name) for name in ("alice", "bob")}
    t.certificate = pairs["bob"]
    options = t.broker.config["listener"]["tls"]
    link = os.path.join(t.directory, "in-use")
    sets = []
    for number in range(2):
        sets.append(os.path.join(t.directory, f"set-{number}"))
        os.mkdir(sets[-1])
        for name, path in zip(("certificate", "key"),
                              t.authority.server(t.directory, t.address, f"server-{number}")):
            write_pem(os.path.join(sets[-1], name), path)
    os.symlink(sets[0], link)
    options.update(certificate=os.path.join(link, "certificate"), key=os.path.join(link, "key"))
    t.broker.config["broker"] = {"watch_interval": 1}
    t.broker.stop()
    t.broker.start()
    clients = {name: t.client(name, 5, "tls", tls=t.authority.context(*pair))
               for name, pair in pairs.items()}
    os.symlink(sets[1], link + ".new")
    os.replace(link + ".new", link)
    t.await_line("files have changed: reading")
    t.await_line("reading 2 is in force")
    checks.equal("the new certificate is served", served_certificate(t),
                 der_of(os.path.join(sets[1], "certificate")))
    with open(os.path.join(sets[1], "key"), "r+", encoding="ascii") as file:
        sound = file.read()
        file.seek(0)
        file.write("junk")
        file.truncate()
        file.flush()
        t.await_line("files have changed", "not a PEM file", "everything stays as it was")
        t.pass_time(3)  # looks at it again, and again
        checks.equal("lines", len(t.lines_about("files have changed", "everything stays")), 1)
        served_certificate(t)
        for client in clients.values():
            client.settle()
        file.seek(0)
        file.write(sound)
    t.await_line("reading 3 is in force")
    reissue(t, register, pairs["alice"][0])
    clients["alice"].expect_disconnect(0x87)
    t.await_line("reading 4 is in force")
    clients["bob"].settle()


@case("issue: tls", over={"count": (200,)}, long_over={"count": (1000,)}, timeout=300)
def certificates_are_rotated_under_traffic_and_nobody_is_dropped(t, count):
    """Each connection has a message on its way at every rotation."""
    start(t, workers=2)
    t.certificate = t.authority.client(t.directory, "device")
    context = t.authority.context(*t.certificate)
    options = t.broker.config["listener"]["tls"]
    pairs = [t.authority.server(t.directory, t.address, f"server-{number}") for number in range(10)]
    clients = [t.client(f"device-{number}", 5, "tls", tls=context) for number in range(count)]
    for number, client in enumerate(clients):
        client.subscribe(f"to/{number}", qos=1)
    for turn, pair in enumerate(pairs, 1):
        options["certificate"], options["key"] = pair
        for number, client in enumerate(clients):
            client.send(mqtt.publish(5, f"to/{(number + 1) % count}", b"%d" % turn, 1, turn))
        reload(t, turn)
        for client in clients:
            client.find(PUBACK, reason=0, packet_id=turn)
        for client in clients:
            client.message(payload=b"%d" % turn)
        checks.equal("the new certificate is served", served_certificate(t) == der_of(pair[0]), True)
    for client in clients:
        client.settle()
    checks.equal("lines about lost connections", t.lines_about("device-", "closed"), [])


# ---- Tickets ----


class Resuming:
    """A context whose connections resume `session`, if the broker lets them."""

    def __init__(self, context):
        self.context = context
        self.session = None

    def wrap_socket(self, plain, server_hostname):
        return self.context.wrap_socket(plain, server_hostname=server_hostname,
                                        session=self.session)


def come_and_go(t, tls, version=5):
    """Whether the session was resumed. It has a ticket afterwards."""
    client = t.client("alice", version, "tls", tls=tls)
    client.settle()
    reused = client.socket.session_reused
    tls.session = client.socket.session
    client.disconnect()
    return reused


@case("issue: tls", over={**VERSIONS, "workers": (1, 4)})
def a_session_is_resumed_with_its_identity_on_whichever_worker(t, tls, workers):
    t.holdfast_only("certificate_user")
    start(t, workers=workers, certificate_user=b"common_name", client_id_binding=b"user_name")
    context = Resuming(t.authority.context(*t.authority.client(t.directory, "alice"), version=tls))
    checks.equal("resumed at first", come_and_go(t, context), False)
    for _ in range(4 * workers):
        checks.equal("resumed", come_and_go(t, context), True)
    reload(t)
    checks.equal("resumed after a reload", come_and_go(t, context), True)
    client = t.open(5, "tls", tls=context)  # whose session says who it is, and who it is not
    checks.equal("resumed", client.socket.session_reused, True)
    client.send(mqtt.connect(5, "bob", True))
    client.expect(CONNACK, reason=0x85)
    client.expect_close()
    t.broker.stop()
    t.broker.start()
    checks.equal("resumed after a restart", come_and_go(t, context), False)


@case("issue: tls", over=VERSIONS)
def a_resumed_session_is_judged_again(t, tls):
    register = start(t)
    pair = t.authority.client(t.directory, "alice")
    context = Resuming(t.authority.context(*pair, version=tls))
    come_and_go(t, context)
    checks.equal("resumed", come_and_go(t, context), True)
    resumed = t.client("alice", 5, "tls", tls=context)
    checks.equal("resumed", resumed.socket.session_reused, True)
    reissue(t, register, pair[0])
    reload(t)
    resumed.expect_disconnect(0x87)
    refused(t, context)
    t.await_line("certificate of 'CN=alice'", "is revoked")


@case("issue: tls", over=VERSIONS)
def a_ticket_lets_in_for_as_long_as_the_option_says(t, tls):
    """However often the session is resumed: what counts is the whole handshake."""
    lifetime_s = 2
    start(t, ticket_lifetime=lifetime_s)
    context = t.authority.context(*t.authority.client(t.directory, "alice"), version=tls)
    first = Resuming(context)
    began = time.monotonic()
    come_and_go(t, first)
    proven = time.monotonic()
    times = 0
    while come_and_go(t, first):
        times += 1
        checks.that(time.monotonic() - began < 30, "a ticket is good for ever")
    checks.that(times > 0, "resumed never")
    checks.that(time.monotonic() - began >= lifetime_s - 1, "a ticket was refused too early")
    checks.that(time.monotonic() - proven <= lifetime_s + 10, "a ticket was good for too long")
    t.broker.config["listener"]["tls"]["ticket_lifetime"] = 0
    reload(t)
    none = Resuming(context)
    for _ in range(2):
        checks.equal("resumed without tickets", come_and_go(t, none), False)


# ---- What is offered ----


@case("issue: tls", over={"web": (False, True)})
def the_certificate_is_chosen_by_name_and_protocols_by_alpn(t, web):
    t.holdfast_only("sni_directory")
    names = t.authority.by_name(t.directory, t.address, "one.example", "two.example")
    config = t.config(tls=True, web=True)
    broker = t.new_broker(tls=True, web=True)
    for listener in ("tls", "wss"):
        broker.config["listener"][listener] = {**config["listener"][listener],
                                               "sni_directory": names, "groups": "X25519:P-256"}
    broker.start()
    address = broker.listeners()["wss" if web else "tls"]
    for wanted in ("one.example", "two.example"):
        checks.equal(wanted, der_at(t, address, wanted, ["http/1.1" if web else "mqtt"]),
                     der_of(os.path.join(names, f"{wanted}.pem")))
    checks.equal("another", der_at(t, address, "three.example", []),
                 der_of(t.server_certificate()[0]))
    try:
        der_at(t, address, "one.example", ["mqtt" if web else "http/1.1", "h2"])
        raise AssertionError("a client that offers none of our protocols is served")
    except ssl.SSLError:
        t.await_line("TLS: ", "no protocol in common (ALPN)")


def der_at(t, address, name, alpn):
    context = t.authority.context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    with socket.create_connection(address) as plain:
        with context.wrap_socket(plain, server_hostname=name) as wrapped:
            checks.equal("ALPN", wrapped.selected_alpn_protocol(), alpn[0] if alpn else None)
            return wrapped.getpeercert(binary_form=True)


def client_hello():
    """The first bytes of a handshake, for as many connections as one likes."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


@case("issue: tls", "rule 20", timeout=120)
def a_storm_of_handshakes_does_not_hold_up_who_is_connected(t):
    """They all wait when the broker is let go on. A PINGRESP comes when a few of them are done, and
    not after the last; this program may be late to look, hence the attempts."""
    t.start(workers=1, tls=True)
    connected = t.client("connected")
    hello, count, ahead = client_hello(), 400, []
    for _ in range(5):
        storm = [socket.create_connection(t.broker.listeners()["tls"]) for _ in range(count)]
        for _ in range(count // 32):
            connected.settle()  # they are accepted meanwhile
        t.broker.process.send_signal(signal.SIGSTOP)
        for peer in storm:
            peer.sendall(hello)
        connected.send(mqtt.pingreq())
        t.broker.process.send_signal(signal.SIGCONT)
        connected.expect(PINGRESP)
        poll = select.poll()
        for peer in storm:
            poll.register(peer, select.POLLIN)
        ahead.append(len(poll.poll(0)))
        for peer in storm:
            peer.settimeout(mqtt_wire.DEADLINE_S)
            checks.equal("every one of them is answered", peer.recv(1), b"\x16")
            peer.close()
        if ahead[-1] < count // 2:
            return
    raise AssertionError(f"of {count} handshakes these were done before a PINGRESP came: {ahead}")
