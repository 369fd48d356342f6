"""JSON Web Tokens, signed by the openssl program (RFC 7515, RFC 7518) or by Python's hmac."""

import base64
import hashlib
import hmac
import json
import os
import subprocess


def url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


class Issuer:
    """A key pair; `public` is the path of its PEM."""

    def __init__(self, directory, name, algorithm="ES256"):
        self.algorithm = algorithm
        self.private = os.path.join(directory, name + ".key")
        self.public = os.path.join(directory, name + ".pub")
        if algorithm == "RS256":
            _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out",
                     self.private)
        else:
            _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                     self.private)
        _openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)

    def sign(self, data):
        signature = _openssl("dgst", "-sha256", "-sign", self.private, data=data)
        return _raw(signature) if self.algorithm == "ES256" else signature


class Secret:
    algorithm = "HS256"

    def __init__(self, directory, name):
        self.secret = os.urandom(32).hex().encode()
        self.path = os.path.join(directory, name)
        with open(self.path, "wb") as file:
            file.write(self.secret + b"\n")

    def sign(self, data):
        return hmac.new(self.secret, data, hashlib.sha256).digest()


def _raw(der):
    """The two numbers of an ECDSA signature, 32 bytes each: SEQUENCE of two INTEGERs."""
    at, out = 2, b""
    for _ in range(2):
        size = der[at + 1]
        out += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return out


def token(issuer, claims, header=None, sign=True):
    text = ".".join(url(json.dumps(part).encode())
                    for part in (header or {"alg": issuer.algorithm, "typ": "JWT"}, claims))
    return f"{text}.{url(issuer.sign(text.encode())) if sign else ''}"
