"""A client of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), with Python's own hashes."""

import base64
import hashlib
import hmac
import os

import checks
import mqtt_packet as mqtt
from mqtt_packet import AUTH, CONNACK

METHOD = "SCRAM-SHA-256"


class Scram:
    """One exchange. `channel`: the bytes that both ends know of the TLS connection."""

    def __init__(self, user, password, method=METHOD, header="n,,", channel=b"", nonce=None):
        self.user, self.password, self.method = user, password, method
        self.header, self.channel = header, channel
        self.nonce = nonce or base64.b64encode(os.urandom(15)).decode()
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        self.first = (header + self.bare).encode()
        self.signature = None

    def read(self, challenge):
        """The challenge's attributes."""
        fields = dict(part.split("=", 1) for part in challenge.decode("ascii").split(","))
        checks.that(fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce) + 16,
                    f"the nonce {fields['r']} has ours and enough of the server's")
        return fields

    def final(self, challenge, nonce=None, channel=None):
        """Our last word, whose proof fits whatever it says."""
        fields = self.read(challenge)
        bound = base64.b64encode(self.header.encode()
                                 + (self.channel if channel is None else channel)).decode()
        without = f"c={bound},r={nonce or fields['r']}"
        message = f"{self.bare},{challenge.decode('ascii')},{without}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(),
                                     base64.b64decode(fields["s"], validate=True),
                                     int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        sign = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, sign))
        server = hmac.digest(salted, b"Server Key", "sha256")
        self.signature = b"v=" + base64.b64encode(hmac.digest(server, message, "sha256"))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def check(self, packet):
        """CONNACK or AUTH 0x00: the server has proven itself, too."""
        checks.equal("Authentication Method", packet.props.get("authentication_method"), self.method)
        checks.equal("the server's signature", packet.props.get("authentication_data"),
                     self.signature)


def auth(scram, reason, data, method=None):
    return mqtt.auth(reason, {"authentication_method": method or scram.method,
                              "authentication_data": data})


def send_connect(client, scram, client_id, clean=True, props=(), **fields):
    client.send(mqtt.connect(5, client_id, clean, props={
        "authentication_method": scram.method, "authentication_data": scram.first, **dict(props)},
        **fields))


def expect_challenge(client, scram):
    packet = client.expect(AUTH, reason=0x18)
    checks.equal("Authentication Method", packet.props.get("authentication_method"), scram.method)
    return packet.props["authentication_data"]


def challenged(t, scram, client_id="device", listener="plain", tls=None, **fields):
    """A client that has been asked to answer: (client, challenge)."""
    client = t.open(5, listener=listener, tls=tls)
    send_connect(client, scram, client_id, **fields)
    return client, expect_challenge(client, scram)


def connected(t, scram, client_id="device", listener="plain", tls=None, **fields):
    client, challenge = challenged(t, scram, client_id, listener, tls, **fields)
    client.send(auth(scram, 0x18, scram.final(challenge)))
    client.connack = client.expect(CONNACK, reason=0)
    scram.check(client.connack)
    return client


def again(client, scram):
    """Re-authentication, as far as its challenge."""
    client.send(auth(scram, 0x19, scram.first))
    return expect_challenge(client, scram)
