"""Who may connect by enhanced authentication (5.0 sections 3.15 and 4.12), with SCRAM-SHA-256."""

import checks
import mqtt_packet as mqtt
from case import case
from cases.passwords import passwd, path_of, refused
from mqtt_packet import AUTH, CONNACK
from scram_client import METHOD, Scram, again, auth, challenged, connected, send_connect

PASSWORDS = {"alice": "wonderland", "b,o=b": "pencil"}


def write_users(t):
    passwd(t, "--scram", "--iterations", "4096", "--batch", path_of(t), stdin="".join(
        f"{user}:{password}\n" for user, password in PASSWORDS.items()))
    passwd(t, path_of(t), "carol", stdin="for CONNECT alone\n")
    return path_of(t)


def start(t, workers=None, write=write_users, **config):
    t.holdfast_only("a password file of this kind")
    section = {"password_file": write(t), **config.pop("authentication", {})}
    listener = {"allow_anonymous": False, **config.pop("listener", {})}
    return t.start(workers=workers, listener=listener, authentication=section, **config)


def alice(**options):
    return Scram("alice", PASSWORDS["alice"], **options)


def expect_refusal(client, reason=0x86):
    client.expect(CONNACK, reason=reason, session_present=False)
    client.expect_close()


# ---- CONNECT ----


@case("MQTT-4.12.0-2", "MQTT-4.12.0-5", "MQTT-3.15.2-1", over={"workers": (1, 4)})
def a_client_proves_its_password_without_sending_it(t, workers):
    start(t, workers)
    for user, password in PASSWORDS.items():
        client = connected(t, Scram(user, password), f"of-{user}")
        client.subscribe("a", qos=1)
        client.publish("a", b"x", 1)
        checks.equal("payload", client.message().payload, b"x")
        client.expect_nothing()
        named = connected(t, Scram(user, password), f"named-{user}", user=user)
        named.disconnect()


@case("MQTT-4.12.0-4", "MQTT-4.13.2-1", "issue: nobody learns whether a user exists")
def who_does_not_prove_it_is_refused_and_learns_nothing(t):
    start(t, authentication={"max_failures": 0})
    for user, password in (("alice", "wonderlanD"), ("alice", ""), ("carol", "for CONNECT alone"),
                           ("mallory", "wonderland"), ("Alice", "wonderland")):
        scram = Scram(user, password)
        client, challenge = challenged(t, scram)
        fields = scram.read(challenge)
        checks.equal("iterations", fields["i"], "4096")
        checks.equal("characters of the salt", len(fields["s"]), 24)
        client.send(auth(scram, 0x18, scram.final(challenge)))
        expect_refusal(client)
    client = t.open()
    send_connect(client, alice(), "device", user="carol")
    expect_refusal(client, 0x87)


def salt_of(t, user):
    scram = Scram(user, "")
    client, challenge = challenged(t, scram)
    client.close()
    return scram.read(challenge)["s"]


@case("issue: nobody learns whether a user exists")
def a_user_that_there_is_not_has_the_same_salt_each_time(t):
    start(t, authentication={"max_failures": 0})
    users = ("mallory", "carol", "alice", "mallor")
    salts = [salt_of(t, user) for user in users]
    checks.equal("different salts", len(set(salts)), len(users))
    checks.equal("asked again", [salt_of(t, user) for user in users], salts)
    passwd(t, "--scram", path_of(t), "dave", stdin="new\n")
    t.broker.reload()
    t.await_line("reading 2 is in force")
    checks.equal("with another user", [salt_of(t, user) for user in users], salts)
    t.broker.kill_and_restart()
    checks.equal("after a restart", [salt_of(t, user) for user in users], salts)


@case("MQTT-4.12.0-4", "RFC 5802 section 5.1")
def nonce_and_channel_are_looked_at_and_not_the_proof_alone(t):
    start(t, authentication={"max_failures": 0})
    for scram, changes in ((alice(), {"nonce": "other"}), (alice(), {"channel": b"x"}),
                           (alice(), {"channel": b"\0"})):
        client, challenge = challenged(t, scram)
        client.send(auth(scram, 0x18, scram.final(challenge, **changes)))
        expect_refusal(client)
    scram = alice()
    client, challenge = challenged(t, scram)
    scram.header = "y,,"  # not what it said at first
    client.send(auth(scram, 0x18, scram.final(challenge)))
    expect_refusal(client)
    # An answer that was right once is of no use for another challenge.
    scram = alice()
    client, challenge = challenged(t, scram)
    answer = scram.final(challenge)
    client.send(auth(scram, 0x18, answer))
    client.expect(CONNACK, reason=0)
    client, _ = challenged(t, alice(nonce=scram.nonce))
    client.send(auth(scram, 0x18, answer))
    expect_refusal(client)


@case("MQTT-4.12.0-1", "MQTT-4.12.0-4")
def a_method_that_there_is_not_is_refused(t):
    start(t)
    for method in ("SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "PLAIN", ""):
        client = t.open()
        send_connect(client, alice(method=method), "device")
        expect_refusal(client, 0x8C)
    for first in (b"", b"n", b"n,,n=alice", b"n,,n=alice,r=", b"p=tls-exporter,,n=alice,r=x",
                  b"n,a=bob,n=alice,r=x", b"n,,m=x,n=alice,r=x", b"n,,n=al=ce,r=x",
                  b"n,,n=" + 300 * b"a" + b",r=x", b"n,,n=alice,r=" + 300 * b"x"):
        scram = alice()
        scram.first = first
        client = t.open()
        send_connect(client, scram, "device")
        expect_refusal(client, 0x87)
    client = t.open()
    client.send(mqtt.connect(5, "device", True, props={"authentication_method": METHOD}))
    expect_refusal(client, 0x87)


@case("MQTT-4.12.0-1")
def without_a_user_for_it_there_is_no_such_method(t):
    def write(t):
        passwd(t, path_of(t), "carol", stdin="for CONNECT alone\n")
        return path_of(t)

    start(t, write=write)
    client = t.open()
    send_connect(client, Scram("carol", "for CONNECT alone"), "device")
    expect_refusal(client, 0x8C)


@case("MQTT-3.1.2-30", "MQTT-4.12.0-3", "MQTT-3.1.4-6")
def nothing_but_auth_is_taken_before_connack(t):
    start(t, authentication={"max_failures": 0})
    reader = connected(t, alice(), "reader")
    reader.subscribe("#")
    for packet in (mqtt.pingreq(), mqtt.publish(5, "a", b"forged"), mqtt.subscribe(5, 1, [("a", 0)]),
                   mqtt.publish(5, "a", b"forged", 1, 1),
                   mqtt.connect(5, "second", True), mqtt.auth(0x18, {
                       "authentication_method": "other"}),
                   auth(alice(), 0x19, alice().first)):
        client, _ = challenged(t, alice())
        client.send(packet)
        expect_refusal(client, 0x82)
    client, _ = challenged(t, alice())
    client.send(auth(alice(), 0x18, 5000 * b"x"))
    expect_refusal(client, 0x95)
    client, _ = challenged(t, alice())
    client.send(auth(alice(), 0x18, 3000 * b"x"))
    expect_refusal(client)
    client, _ = challenged(t, alice())
    client.send(mqtt.disconnect(5))
    client.expect_close()
    scram = alice()
    client, challenge = challenged(t, scram)
    client.send(auth(scram, 0x18, scram.final(challenge)) + mqtt.publish(5, "a", b"behind", 1, 1))
    client.expect(CONNACK, reason=0)
    checks.equal("payload", reader.message().payload, b"behind")
    reader.expect_nothing()


@case("5.0 section 3.1.4")
def an_exchange_that_takes_too_long_is_closed(t):
    start(t, mqtt={"connect_timeout": 1})
    client, _ = challenged(t, alice())
    client.expect_close(timeout=10)
    t.await_line("its proof has not come in time")


@case("rule 20", "5.0 section 3.1.4")
def a_proof_that_waited_for_the_broker_is_taken(t):
    """Frozen for longer than `connect_timeout`, with the proof in the socket."""
    start(t, mqtt={"connect_timeout": 1})
    scram = alice()
    client, challenge = challenged(t, scram)
    t.broker.pause()
    client.send(auth(scram, 0x18, scram.final(challenge)))
    t.pass_time(2)
    t.broker.resume()
    client.expect(CONNACK, reason=0)


@case("MQTT-3.1.2-24")
def a_challenge_that_the_client_cannot_take_is_not_sent(t):
    start(t)
    client = t.open()
    send_connect(client, alice(), "device", props={"maximum_packet_size": 80})
    expect_refusal(client, 0x95)


# ---- Re-authentication ----


@case("MQTT-4.12.1-1", "MQTT-4.12.0-5", over={"workers": (1, 4)})
def a_client_proves_it_again_while_messages_go_on(t, workers):
    start(t, workers)
    client = connected(t, alice())
    client.subscribe("a", qos=1)
    for turn in range(3):
        scram = alice()
        challenge = again(client, scram)
        client.publish("a", b"%d" % turn, 1)
        checks.equal("payload", client.message().payload, b"%d" % turn)
        client.send(auth(scram, 0x18, scram.final(challenge)))
        scram.check(client.expect(AUTH, reason=0))
        client.expect_nothing()


@case("MQTT-4.12.1-2", "MQTT-4.12.1-1", "MQTT-4.12.0-7", "MQTT-4.13.1-1")
def who_fails_to_is_sent_away(t):
    start(t, authentication={"max_failures": 0})
    for scram, changes in ((Scram("alice", "no"), {}), (alice(), {"nonce": "other"})):
        client = connected(t, alice())
        client.send(auth(scram, 0x18, scram.final(again(client, scram), **changes)))
        client.expect_disconnect(0x87)
    first = auth(alice(), 0x19, alice().first)
    for packets, reason in ((auth(Scram("b,o=b", "pencil"), 0x19, Scram("b,o=b", "").first), 0x87),
                            (auth(alice(), 0x19, b"n,,"), 0x87),
                            (auth(alice(), 0x19, alice().first, "other"), 0x82),
                            (auth(alice(), 0x18, b"c=biws,r=x,p="), 0x82)):
        client = connected(t, alice())
        client.send(packets)
        client.expect_disconnect(reason)
    client = connected(t, alice())
    client.send(first + first)
    client.expect(AUTH, reason=0x18)
    client.expect_disconnect(0x82)
    plain = t.client("plain", user="alice", password="wonderland")
    plain.send(first)
    plain.expect_disconnect(0x82)


@case("MQTT-4.12.1-2")
def a_second_proof_comes_in_time_or_not_at_all(t):
    start(t, mqtt={"connect_timeout": 1})
    scram = alice()
    client = connected(t, alice())
    challenge = again(client, scram)
    t.pass_time(1.3)
    client.expect_nothing()
    client.send(auth(scram, 0x18, scram.final(challenge)))
    client.expect_disconnect(0x87)


# ---- Whose it is ----


@case("MQTT-3.1.4-2", over={"version": (3, 4, 5)})
def the_same_password_does_in_connect(t, version):
    start(t)
    client = t.client("device", version, user="alice", password="wonderland")
    client.expect_nothing()
    refused(t, version, user="alice", password="Wonderland")
    refused(t, version, user="alice", password="")


@case("MQTT-3.1.4-2", "issue: a session belongs to who made it", over={"killed": (False, True)})
def a_session_is_its_users_however_the_password_is_proven(t, killed):
    start(t)
    first = connected(t, alice(), clean=False, props={"session_expiry_interval": 600})
    first.subscribe("a", qos=1)
    first.disconnect()
    if killed:
        t.broker.kill_and_restart()
    scram = Scram("b,o=b", "pencil")
    other, challenge = challenged(t, scram, clean=False)
    other.send(auth(scram, 0x18, scram.final(challenge)))
    expect_refusal(other, 0x87)
    back = t.client("device", user="alice", password="wonderland", stored=True)
    checks.equal("Session Present", back.connack.session_present, True)
    here = connected(t, alice(), clean=False, props={"session_expiry_interval": 600})
    checks.equal("Session Present", here.connack.session_present, True)
    back.expect_disconnect(0x8E)


@case("issue: reload", "MQTT-3.14.4-1")
def who_has_another_password_now_is_sent_away(t):
    start(t)
    there = connected(t, alice(), "there")
    scram = alice()
    between, challenge = challenged(t, scram, "between")
    passwd(t, "--scram", path_of(t), "alice", stdin="changed\n")
    t.broker.reload()
    t.await_line("reading 2 is in force")
    there.expect_disconnect(0x87)
    between.send(auth(scram, 0x18, scram.final(challenge)))
    expect_refusal(between)
    connected(t, Scram("alice", "changed")).expect_nothing()


@case("issue: repeated failures are slowed down")
def who_fails_again_and_again_has_to_wait(t):
    start(t, authentication={"max_failures": 3})
    for _ in range(3):
        scram = Scram("alice", "no")
        client, challenge = challenged(t, scram)
        client.send(auth(scram, 0x18, scram.final(challenge)))
        expect_refusal(client)
    client = t.open()
    send_connect(client, alice(), "device")
    expect_refusal(client, 0x9F)
    refused(t, 5, code=0x9F, user="alice", password="wonderland")
    connected(t, Scram("b,o=b", "pencil")).expect_nothing()


@case("issue: repeated failures are slowed down")
def guesses_made_at_once_are_no_more_than_those_made_one_by_one(t):
    start(t, authentication={"max_failures": 3})
    guesses = [Scram("alice", "no") for _ in range(8)] + [alice()]
    crowd = [challenged(t, scram, f"member-{n}") for n, scram in enumerate(guesses)]
    answers = [auth(scram, 0x18, scram.final(challenge))
               for scram, (_, challenge) in zip(guesses, crowd)]
    for (client, _), answer in zip(crowd, answers):
        client.send(answer)
        client.answer_reason = client.expect(CONNACK).reason
    reasons = [client.answer_reason for client, _ in crowd]
    checks.equal("reasons", reasons, 3 * [0x86] + 6 * [0x9F])


@case("issue: a certificate and a password", "MQTT-3.1.4-2")
def a_certificate_that_names_a_user_names_this_one(t):
    t.holdfast_only("certificate_user")
    broker = t.new_broker(tls=True, client_certificate=b"required",
                          authentication={"password_file": write_users(t)})
    broker.config["listener"]["tls"].update(certificate_user=b"common_name", allow_anonymous=False)
    broker.start()
    contexts = {name: t.authority.context(*t.authority.client(t.directory, name))
                for name in ("alice", "carol")}
    connected(t, alice(), listener="tls", tls=contexts["alice"]).expect_nothing()
    scram = alice()
    client, challenge = challenged(t, scram, listener="tls", tls=contexts["carol"])
    client.send(auth(scram, 0x18, scram.final(challenge)))
    expect_refusal(client, 0x87)


@case("issue: secrets never logged")
def nothing_of_it_is_in_the_log(t):
    start(t, log={"level": b"trace"})
    scram = alice()
    client, challenge = challenged(t, scram)
    final = scram.final(challenge)
    client.send(auth(scram, 0x18, final))
    client.expect(CONNACK, reason=0)
    client.disconnect()
    with open(path_of(t), encoding="ascii") as file:
        hashed = [line for line in file if line.startswith("alice:")][0].strip()
    for secret in ("wonderland", final.decode().rsplit("=", 2)[1][:20], hashed.split("$")[2][:20]):
        checks.equal(f"lines with {secret}", t.lines_about(secret), [])


# ---- holdfast passwd ----


@case("issue: holdfast passwd")
def passwd_refuses_what_clients_do_not_agree_about(t):
    t.holdfast_only("holdfast passwd")
    path = path_of(t)
    for arguments, password, status in (
            (("--scram",), "pässword", 1), (("--scram",), "", 1),
            (("--iterations", "5000"), "x", 2), (("--scram", "--iterations", "4095"), "x", 2),
            (("--scram", "--iterations", "4096x"), "x", 2), (("--scram", "--delete"), "x", 2)):
        passwd(t, *arguments, path, "alice", stdin=password + "\n", status=status)
    passwd(t, "--scram", path, "alice", stdin="one\n")
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    checks.equal("beginnings", [line[:26] for line in lines if not line.startswith("#decoys:")],
                 ["alice:SCRAM-SHA-256$15000:"])
    passwd(t, "--scram", path, "bob", stdin="two\n")
    with open(path, encoding="ascii") as file:
        checks.equal("the lines before", file.read().splitlines()[:2], lines)
