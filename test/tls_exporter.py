"""The channel binding "tls-exporter" (RFC 9266) of a connection, from the secrets that Python's TLS
writes down: the exporter of TLS 1.3 (RFC 8446 section 7.5), with Python's own hashes."""

import hashlib
import hmac
import os

import checks

WOLFSSL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", ".wolfssl-prefix")
LABEL = b"EXPORTER-Channel-Binding"
SIZE = 32


def broker_has_one():
    """The wolfSSL that script/bootstrap builds has an exporter, and the system's has not."""
    if not os.path.exists(WOLFSSL):
        return True
    with open(WOLFSSL, encoding="utf-8") as file:
        options = os.path.join(file.read().strip(), "include", "wolfssl", "options.h")
    if not os.path.exists(options):
        return False
    with open(options, encoding="utf-8") as file:
        return "#define HAVE_KEYING_MATERIAL\n" in file.read()


def expand_label(secret, label, context, size, name):
    """HKDF-Expand-Label (RFC 8446 section 7.1), of one block at most (RFC 5869)."""
    label = b"tls13 " + label
    info = (size.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context)
    return hmac.digest(secret, info + b"\x01", name)[:size]


def channel_binding(path, cipher):
    """`path`: what the client has noted (NSS key log), of one connection; `cipher`: its suite."""
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("EXPORTER_SECRET ")]
    checks.equal("connections of TLS 1.3", len(lines), 1)
    name = {"256": "sha256", "384": "sha384"}[cipher[-3:]]
    nothing = hashlib.new(name).digest()
    secret = bytes.fromhex(lines[0][2])
    derived = expand_label(secret, LABEL, nothing, len(nothing), name)
    return expand_label(derived, b"exporter", nothing, SIZE, name)
