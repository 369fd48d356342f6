"""OCSP stapling: who asks for the state of the broker's certificate gets it from a file, by the
openssl program, which checks its signature."""

import os
import subprocess

import checks
import preload
from case import case
from mqtt_wire import DEADLINE_S

VERSIONS = {"tls": ("-tls1_2", "-tls1_3")}
DAY_S = 86400
STAPLED = "OCSP Response Status: successful (0x0)"
NONE = "OCSP response: no response sent"


def start(t, run=None, **listener):
    """A broker with a response that is good for four days, and its path."""
    t.holdfast_only("ocsp_response")
    path = os.path.join(t.directory, "server.ocsp")
    broker = t.new_broker(tls=True)
    options = broker.config["listener"]["tls"]
    t.authority.ocsp_response(options["certificate"], path, 4)
    options.update(ocsp_response=path, **listener)
    try:
        (run or broker.start)()
    except Exception:
        if t.lines_about("this wolfSSL cannot do it"):
            t.skip("the wolfSSL of this broker cannot staple")
        raise
    return path


def asked(t, *arguments, ask=True):
    """What openssl prints of a handshake, at which it asks for a response or not."""
    host, port = t.broker.listeners()["tls"]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", t.authority.certificate,
         "-verify_return_error", *(["-status"] if ask else []), *arguments],
        input="", capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    checks.that("Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr)
    return done.stdout


def reload(t, number):
    t.broker.reload()
    t.await_line(f"reading {number} is in force")


@case("issue: tls", over=VERSIONS)
def who_asks_gets_the_response_of_the_file(t, tls):
    path = start(t)
    for _ in range(3):
        said = asked(t, tls)
        checks.that(STAPLED in said and "Cert Status: good" in said, said)
    checks.that("OCSP" not in asked(t, tls, ask=False), "given to one that has not asked")
    said = asked(t, tls, "-msg")  # in hexadecimal
    sent = "".join(line.strip() for line in said.splitlines() if line.startswith("    "))
    with open(path, "rb") as file:
        checks.that(file.read().hex() in sent.replace(" ", ""), "not the bytes of the file")
    t.await_line("server.ocsp: OCSP response, good until")


@case("issue: tls")
def who_asks_may_resume_his_session(t):
    """In which there is no certificate that a response could be about."""
    start(t)
    session = os.path.join(t.directory, "session")
    asked(t, "-tls1_2", "-sess_out", session)
    checks.that("Reused, TLSv1.2" in asked(t, "-tls1_2", "-sess_in", session), "not resumed")


@case("issue: tls", over=VERSIONS, timeout=60)
def a_response_with_a_chain_and_by_name_is_that_certificates(t, tls):
    """Each certificate of the listener has a response of its own, or none."""
    names = t.authority.by_name(t.directory, t.address, "with.example", "without.example")
    own = os.path.join(names, "with.example.pem")
    t.authority.ocsp_response(own, os.path.join(names, "with.example.ocsp"), 4)
    with open(own, "a", encoding="ascii") as file, \
            open(t.authority.certificate, encoding="ascii") as authority:
        file.write(authority.read())
    start(t, sni_directory=names)
    serials = []
    for name in ("with.example", "localhost"):
        said = asked(t, tls, "-servername", name)
        checks.that("Cert Status: good" in said, said)
        serials += [line.split(":")[1].strip() for line in said.splitlines()
                    if "Serial Number:" in line][:1]
    checks.that(serials[0] != serials[1], serials)
    checks.that(NONE in asked(t, tls, "-servername", "without.example"), "another's is given")


@case("issue: tls", timeout=60)
def a_response_that_is_no_good_leaves_the_old_one_in_force(t):
    path = start(t)
    certificate = t.broker.config["listener"]["tls"]["certificate"]
    other = t.authority.client(t.directory, "other")[0]
    for broken, words in (
            (lambda: t.authority.ocsp_response(other, path, 4), "it is about another certificate"),
            (lambda: t.authority.ocsp_response(certificate, path, 4, "R"),
             "it says that the certificate is revoked"),
            (lambda: open(path, "wb").close(), "the file is empty"),
            (lambda: cut(path), "not an OCSP response (DER)"),
            (lambda: os.unlink(path), "No such file")):
        t.authority.ocsp_response(certificate, path, 4)
        broken()
        t.broker.reload()
        t.await_line('listener "tls"', path, words, "everything stays as it was")
        checks.that(STAPLED in asked(t), "the old response has gone")


def cut(path):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


@case("issue: tls", over=VERSIONS, needs=preload.NEEDS, timeout=120)
def a_response_that_runs_out_is_said_and_not_given_any_more(t, tls):
    t.holdfast_only("ocsp_response")
    clock = preload.SetClock(t)
    path = start(t, run=clock.start)
    checks.that(STAPLED in asked(t, tls), "not stapled")
    checks.equal("lines", t.lines_about("the OCSP response"), [])
    clock.set(7 * DAY_S // 2)
    t.await_line("server.ocsp: the OCSP response expires on", "replace it", after=10)
    checks.that(STAPLED in asked(t, tls), "not stapled, though it has not expired")
    clock.set(5 * DAY_S)
    checks.that(NONE in asked(t, tls), "stapled, though it has expired")
    t.await_line("server.ocsp: the OCSP response has expired on", after=10)
    reload(t, 2)  # which is no reason not to take what has changed besides
    checks.that(NONE in asked(t, tls), "stapled, though it has expired")
    t.authority.ocsp_response(t.broker.config["listener"]["tls"]["certificate"], path, 7)
    reload(t, 3)
    checks.that(STAPLED in asked(t, tls), "the new one is not stapled")
    clock.set(-DAY_S)
    checks.that(NONE in asked(t, tls), "stapled before its time")


def element(tag, value):
    size = len(value).to_bytes(2, "big") if len(value) > 255 else bytes([len(value)])
    return bytes([tag]) + (bytes([0x80 | len(size)]) if len(value) > 127 else b"") + size + value


def enlarged(der, size):
    """The response with bytes behind its signature, where certificates would be."""
    basic_oid = element(6, bytes.fromhex("2b0601050507300101"))
    basic = der[der.index(basic_oid) + len(basic_oid) + 8:]  # behind two headers of four bytes
    for padding in range(size - len(der) - 64, size):
        larger = element(0x30, element(10, b"\0") + element(0xa0, element(
            0x30, basic_oid + element(4, element(0x30, basic + bytes(padding))))))
        if len(larger) == size:
            return larger
    raise AssertionError("there is no such size")


@case("issue: tls", "RFC 5246 section 6.2.1", over=VERSIONS)
def as_large_a_response_as_is_taken_can_be_given(t, tls):
    path = start(t)
    with open(path, "rb") as file:
        der = file.read()
    for size, taken in ((16376, True), (16377, False)):
        with open(path, "wb") as file:
            file.write(enlarged(der, size))
        t.broker.reload()
        if taken:
            t.await_line("reading 2 is in force")
        else:
            t.await_line("larger than 16376 bytes; everything stays as it was")
        checks.that(STAPLED in asked(t, tls), "not stapled")


@case("issue: tls", "RFC 6066 section 4", over={**VERSIONS, "length": (512, 4096)})
def who_asks_for_small_records_gets_the_response_in_several(t, tls, length):
    """The openssl program refuses a record that is larger than what was agreed."""
    path = start(t)
    with open(path, "rb") as file:
        der = file.read()
    with open(path, "wb") as file:
        file.write(enlarged(der, 9000))
    reload(t, 2)
    said = asked(t, tls, "-maxfraglen", str(length))
    checks.that(STAPLED in said, said)


@case("issue: tls")
def a_response_is_read_when_its_file_changes(t):
    path = start(t)
    t.broker.stop()
    t.broker.config["broker"] = {"watch_interval": 1}
    t.broker.start()
    before = updated(asked(t))
    t.authority.ocsp_response(t.broker.config["listener"]["tls"]["certificate"], path, 9)
    t.await_line("reading 2 is in force")
    checks.that(updated(asked(t)) != before, "the old one is given")


def updated(said):
    return [line for line in said.splitlines() if "Next Update" in line][0].strip()
