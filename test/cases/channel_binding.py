"""SCRAM-SHA-256-PLUS: a proof that holds for one TLS channel (RFC 5802, RFC 9266)."""

import os
import ssl

import checks
import tls_exporter
from case import case
from cases.passwords import path_of
from cases.scram import PASSWORDS, expect_refusal, write_users
from mqtt_packet import AUTH, CONNACK
from scram_client import Scram, again, auth, connected, send_connect

PLUS = "SCRAM-SHA-256-PLUS"
HEADER = "p=tls-exporter,,"
CIPHERS = ("TLS13-AES128-GCM-SHA256", "TLS13-AES256-GCM-SHA384", "TLS13-CHACHA20-POLY1305-SHA256")


def start(t, cipher=CIPHERS[0], **options):
    t.holdfast_only("a password file of this kind")
    if not tls_exporter.broker_has_one():
        t.skip("the wolfSSL that this was built with exports no keying material: run script/bootstrap")
    write_users(t)
    t.start(tls=True, secure={"allow_anonymous": False, "ciphers": cipher + ":ECDHE-ECDSA-AES128-GCM-SHA256"},
            authentication={"password_file": path_of(t), "max_failures": 0}, **options)


class Channel:
    """A connection of TLS, and what its ends know of it."""

    serial = 0

    def __init__(self, t, version=ssl.TLSVersion.TLSv1_3):
        Channel.serial += 1
        self.t, self.context = t, t.authority.context(version=version)
        self.log = os.path.join(t.directory, f"secrets-{Channel.serial}")
        self.context.keylog_filename = self.log
        self.client = t.open(5, tls=self.context, listener="tls")

    def data(self):
        return tls_exporter.channel_binding(self.log, self.client.socket.cipher()[0])

    def scram(self, user="alice", **options):
        return Scram(user, PASSWORDS[user], **{"method": PLUS, "header": HEADER,
                                               "channel": self.data(), **options})

    def challenged(self, scram, **fields):
        send_connect(self.client, scram, "device", **fields)
        packet = self.client.expect(AUTH, reason=0x18)
        checks.equal("Authentication Method", packet.props["authentication_method"], scram.method)
        return packet.props["authentication_data"]

    def connected(self, scram, **fields):
        challenge = self.challenged(scram, **fields)
        self.client.send(auth(scram, 0x18, scram.final(challenge)))
        scram.check(self.client.expect(CONNACK, reason=0))
        return self.client


@case("RFC 9266 section 4.2", "MQTT-4.12.0-2", "MQTT-4.12.0-5", over={"cipher": CIPHERS})
def both_ends_take_the_same_bytes_from_the_channel(t, cipher):
    start(t, cipher)
    for user in PASSWORDS:
        channel = Channel(t)
        client = channel.connected(channel.scram(user))
        checks.equal("hash", channel.client.socket.cipher()[0][-3:], cipher[-3:])
        client.subscribe("a", qos=1)
        client.publish("a", b"x", 1)
        checks.equal("payload", client.message().payload, b"x")
        scram = channel.scram(user)  # and again, on the same channel
        challenge = again(client, scram)
        client.send(auth(scram, 0x18, scram.final(challenge)))
        scram.check(client.expect(AUTH, reason=0))
        client.disconnect()


@case("RFC 5802 section 5.1", "MQTT-4.12.0-4")
def a_proof_for_another_channel_is_refused(t):
    start(t)
    other = Channel(t).data()
    mine = Channel(t)
    for wrong in (other, b"", mine.data()[:-1], mine.data() + b"\0",
                  mine.data()[:31] + bytes([mine.data()[31] ^ 1])):
        channel = Channel(t)
        scram = channel.scram(channel=wrong)
        challenge = channel.challenged(scram)
        channel.client.send(auth(scram, 0x18, scram.final(challenge)))
        expect_refusal(channel.client)
    # One that stands between and passes on what both sides say: its channel to the broker is
    # another than the client's to it.
    inside, relayed = Channel(t), Channel(t)
    scram = relayed.scram(channel=inside.data())
    challenge = inside.challenged(scram)
    inside.client.send(auth(scram, 0x18, scram.final(challenge, channel=relayed.data())))
    expect_refusal(inside.client)


@case("RFC 5802 section 6", "MQTT-4.12.0-4")
def who_has_been_kept_from_binding_is_not_let_in(t):
    """The flag and the method have to say the same; "y" is for servers that cannot."""
    start(t)
    for method, header, reason in (
            ("SCRAM-SHA-256", "y,,", 0x87), ("SCRAM-SHA-256", HEADER, 0x87), (PLUS, "n,,", 0x87),
            (PLUS, "y,,", 0x87), (PLUS, "p=tls-unique,,", 0x87),
            (PLUS, "p=tls-server-end-point,,", 0x87), (PLUS, "p=,,", 0x87)):
        channel = Channel(t)
        send_connect(channel.client, channel.scram(method=method, header=header), "device")
        expect_refusal(channel.client, reason)
    plain = Channel(t)
    plain.connected(plain.scram(method="SCRAM-SHA-256", header="n,,", channel=b"")).expect_nothing()


@case("MQTT-4.12.0-1", "RFC 9266 section 4.2")
def without_such_a_channel_there_is_no_such_method(t):
    """Neither on TCP nor with TLS 1.2; and there a client may say that it would have liked it."""
    start(t, listener={"allow_anonymous": False})
    for old in (None, ssl.TLSVersion.TLSv1_2):
        context = t.authority.context(version=old) if old else None
        listener = "tls" if old else "plain"
        client = t.open(5, tls=context, listener=listener)
        send_connect(client, Scram("alice", PASSWORDS["alice"], PLUS, HEADER, b"x" * 32), "device")
        expect_refusal(client, 0x8C)
        connected(t, Scram("alice", PASSWORDS["alice"], header="y,,"), listener=listener,
                  tls=context).expect_nothing()


@case("MQTT-4.12.1-1", "MQTT-4.12.1-2")
def a_client_that_is_bound_stays_so(t):
    start(t)
    for method, header, data, reason in (("SCRAM-SHA-256", "n,,", b"", 0x82),
                                         (PLUS, "n,,", b"", 0x87)):
        channel = Channel(t)
        client = channel.connected(channel.scram())
        scram = channel.scram(method=method, header=header, channel=data)
        client.send(auth(scram, 0x19, scram.first))
        client.expect_disconnect(reason)
    other, channel = Channel(t), Channel(t)
    client = channel.connected(channel.scram())
    scram = channel.scram(channel=other.data())
    client.send(auth(scram, 0x18, scram.final(again(client, scram))))
    client.expect_disconnect(0x87)
    plain = Channel(t)
    client = plain.connected(plain.scram(method="SCRAM-SHA-256", header="n,,", channel=b""))
    client.send(auth(plain.scram(), 0x19, plain.scram().first))
    client.expect_disconnect(0x82)
