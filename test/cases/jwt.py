"""Tokens (JWT) in the place of passwords: whose they are, and for how long."""

import os
import subprocess
import time

import checks
import mqtt_packet as mqtt
import preload
import tools
from case import case
from mqtt_packet import CONNACK
from mqtt_wire import DEADLINE_S
from tokens import Issuer, Secret, token

ALGORITHMS = {"algorithm": ("HS256", "RS256", "ES256")}
REFUSED = {4: 0x04, 5: 0x86}


def claims(user="alice", lasts_s=3600, **more):
    return {"sub": user, "exp": int(time.time()) + lasts_s, **more}


def start(t, algorithm="ES256", listener=(), workers=None, **options):
    """A broker that takes tokens of this issuer, who is returned."""
    t.holdfast_only("tokens")
    if algorithm == "HS256":
        issuer = Secret(t.directory, "secret")
        options["jwt_secret_file"] = issuer.path
    else:
        issuer = Issuer(t.directory, "issuer", algorithm)
        options["jwt_key_file"] = issuer.public
    t.start(workers=workers, listener={"allow_anonymous": False, **dict(listener)},
            authentication=options)
    return issuer


def refused(t, user, password, words, version=5):
    client = t.open(version)
    client.send(mqtt.connect(version, "intruder", True, user=user, password=password))
    client.expect(CONNACK, reason=REFUSED[version])
    client.expect_close()
    t.await_line(f'user "{user}"', words)


@case("issue: jwt", "MQTT-3.1.4-2", over={**ALGORITHMS, "version": (4, 5)})
def a_token_is_the_password_of_its_subject(t, algorithm, version):
    issuer = start(t, algorithm)
    good = token(issuer, claims())
    t.client("alice", version, user="alice", password=good).expect_nothing()
    refused(t, "bob", good, "another user's (sub)", version)
    refused(t, "alice", good[:-4], "no key that is known here", version)
    refused(t, "alice", token(issuer, claims(lasts_s=-1)), "has expired", version)
    refused(t, "alice", token(issuer, claims(nbf=int(time.time()) + 3600)), "not good yet", version)
    refused(t, "alice", token(issuer, claims(aud="elsewhere")), "another audience", version)
    refused(t, "alice", token(issuer, {"sub": "alice"}), "no end (exp)", version)
    log = "".join(t.lines_about(""))
    checks.equal("tokens in the log", [part for part in good.split(".") if part in log], [])
    t.client("alice", version, user="alice", password=good).expect_nothing()


@case("issue: jwt", needs=("mosquitto_pub", "mosquitto_sub"), over=ALGORITHMS)
def mosquittos_clients_show_tokens(t, algorithm):
    issuer = start(t, algorithm)
    reader = tools.mosquitto_sub(t, 5, "tcp", "reader", "a", 1, "-u", "alice", "-P",
                                 token(issuer, claims()), "-C", "1", "-d", "-F", "%q %t %p")
    reader.wait_for_line(b"Subscribed")
    tools.mosquitto_pub_one(t, 4, "tcp", "a", "x", "-u", "bob", "-P",
                            token(issuer, claims("bob"))).finish()
    checks.that(b"1 a x" in reader.finish(), "the message did not come")
    tools.mosquitto_pub_one(t, 4, "tcp", "a", "x", "-u", "bob", "-P", token(issuer, claims())
                            ).finish(statuses=range(1, 256))


@case("issue: jwt")
def who_has_no_key_makes_no_token(t):
    """Without a signature, with the public key as a secret, by another issuer, with what we cannot
    know."""
    issuer = start(t, "RS256", max_failures=0)
    other = Issuer(t.directory, "other", "RS256")
    forger = Secret(t.directory, "forger")
    with open(issuer.public, "rb") as file:
        forger.secret = file.read()
    unknown = "no key that is known here"
    for forged, words in (
            (token(issuer, claims(), {"alg": "none"}, sign=False), "malformed"),
            (token(issuer, claims(), {"alg": "none"}), unknown),
            (token(forger, claims()), unknown),
            (token(issuer, claims(), {"alg": "HS256"}), unknown),
            (token(other, claims()), unknown),
            (token(other, claims(), {"alg": "RS256", "jwk": {"kty": "RSA"}, "kid": "../../x"}), unknown),
            (token(issuer, claims(), {"alg": "RS256", "crit": ["b64"], "b64": False}), "crit"),
            (token(issuer, claims(x="0" * 9000)), "malformed"),
            ("eyJ" + "." * 2, "malformed")):
        refused(t, "alice", forged, words)
    nested = "[" * 2000 + "]" * 2000
    refused(t, "alice", f"eyJ{nested}.{nested}.x", "malformed")
    t.client("alice", user="alice", password=token(issuer, claims())).expect_nothing()


@case("issue: jwt", "MQTT-3.1.4-2")
def guesses_are_slowed_down_as_those_of_passwords_are(t):
    issuer = start(t, max_failures=2)
    for _ in range(2):
        refused(t, "alice", "eyJ.x.x", "malformed")
    client = t.open(5)
    client.send(mqtt.connect(5, "x", True, user="alice", password=token(issuer, claims())))
    client.expect(CONNACK, reason=0x9F)


@case("issue: jwt", over={"version": (4, 5)}, needs=preload.NEEDS)
def a_client_whose_token_expires_goes_and_its_session_stays(t, version):
    issuer = start(t)
    t.broker.kill()
    clock = preload.SetClock(t)
    clock.start()
    alice = t.client("alice", version, stored=True, user="alice", password=token(issuer, claims()))
    bob = t.client("bob", 5, user="bob", password=token(issuer, claims("bob", lasts_s=7 * 86400)))
    alice.subscribe("a", qos=1)
    clock.set(86400)
    alice.expect_disconnect(*[0x87] if version == 5 else [], timeout=2 * DEADLINE_S)
    t.await_line('client "alice"', "its token has expired")
    bob.publish("a", b"x", qos=1)
    bob.settle()
    refused(t, "alice", token(issuer, claims()), "has expired", version)
    again = t.client("alice", version, stored=True, user="alice",
                     password=token(issuer, claims(lasts_s=7 * 86400)))
    checks.equal("Session Present", again.connack.session_present, True)
    again.message(payload=b"x")


@case("issue: jwt", needs=preload.NEEDS)
def a_client_stays_where_the_option_says_so(t):
    issuer = start(t, jwt_disconnect_expired=False)
    t.broker.kill()
    clock = preload.SetClock(t)
    clock.start()
    alice = t.client("alice", 5, user="alice", password=token(issuer, claims()))
    clock.set(86400)
    t.pass_time(12)  # more than the interval in which expiry is looked for
    alice.settle()
    # It is looked for from a reload on that wants it.
    t.broker.config["authentication"]["jwt_disconnect_expired"] = True
    t.broker.reload()
    alice.expect_disconnect(0x87)


@case("issue: jwt", "MQTT-3.14.4-1", over={"workers": (1, 4)})
def when_a_key_goes_its_clients_go(t, workers):
    issuer = start(t, workers=workers)
    other = Issuer(t.directory, "other")
    both = os.path.join(t.directory, "both")
    write(both, issuer.public, other.public)
    options = t.broker.config["authentication"]
    options["jwt_key_file"] = both
    t.broker.reload()
    t.await_line("reading 2 is in force")
    clients = {name: t.client(name, 5, user=name, password=token(maker, claims(name)))
               for name, maker in (("alice", issuer), ("bob", other))}
    write(both, other.public)
    t.broker.reload()
    clients["alice"].expect_disconnect(0x87)
    t.await_line("reading 3 is in force")
    clients["bob"].settle()
    refused(t, "alice", token(issuer, claims()), "no key that is known here")
    with open(both, "w", encoding="ascii") as file:
        file.write("junk")
    t.broker.reload()
    t.await_line("both: has no '-----BEGIN PUBLIC KEY-----' line", "everything stays as it was")
    clients["bob"].settle()


def write(path, *files):
    with open(path, "wb") as out:
        for name in files:
            with open(name, "rb") as file:
                out.write(file.read())


@case("issue: jwt", "MQTT-3.1.4-2", over={"file": (True, False)})
def passwords_stand_beside_tokens(t, file):
    options = {"jwt_audience": "mqtt", "jwt_issuer": "us"}
    if file:
        options["password_file"] = os.path.join(t.directory, "users")
        subprocess.run([os.path.abspath(t.binary), "passwd", "--batch", options["password_file"]],
                       input=b"carol:secret\n", check=True, stdout=subprocess.DEVNULL,
                       timeout=DEADLINE_S)
    issuer = start(t, **options)
    t.client("alice", user="alice", password=token(issuer, claims(aud=["web", "mqtt"], iss="us")))
    refused(t, "alice", token(issuer, claims(aud="mqtt", iss="them")), "another issuer")
    client = t.open(5)
    client.send(mqtt.connect(5, "carol", True, user="carol", password="secret"))
    client.expect(CONNACK, reason=0 if file else 0x86)


@case("issue: jwt")
def a_session_belongs_to_the_subject(t):
    issuer = start(t, listener={"client_id_binding": b"none"})
    alice = t.client("device", user="alice", password=token(issuer, claims()), stored=True)
    thief = t.open(5)
    thief.send(mqtt.connect(5, "device", False, user="bob", password=token(issuer, claims("bob"))))
    thief.expect(CONNACK, reason=0x87)
    alice.settle()
