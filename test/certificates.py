"""A certificate authority and what it signs, made by the openssl program for one run."""

import os
import ssl
import subprocess

DAYS = "2"


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")


def _new_key_and_request(directory, name, subject):
    paths = [os.path.join(directory, name + end) for end in (".key", ".csr", ".pem")]
    _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", f"/CN={subject}", "-keyout", paths[0], "-out", paths[1])
    return paths


class Authority:
    def __init__(self, directory, name="ca"):
        self.directory = directory
        self.key = os.path.join(directory, name + ".key")
        self.certificate = os.path.join(directory, name + ".pem")
        _openssl("req", "-x509", "-new", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS, "-subj", f"/CN={name}",
                 "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", self.key, "-out", self.certificate)

    def _sign(self, directory, name, subject, extensions):
        key, request, certificate = _new_key_and_request(directory, name, subject)
        extension_file = os.path.join(directory, name + ".ext")
        with open(extension_file, "w", encoding="ascii") as file:
            file.write("\n".join(("basicConstraints=CA:FALSE", *extensions, "")))
        # Written by several processes at once, hence no serial file.
        _openssl("x509", "-req", "-in", request, "-days", DAYS, "-CA", self.certificate,
                 "-CAkey", self.key, "-set_serial", "0x" + os.urandom(16).hex(),
                 "-extfile", extension_file, "-out", certificate)
        return certificate, key

    def server(self, directory, address, name="server"):
        return self._sign(directory, name, "localhost",
                          (f"subjectAltName=IP:{address},DNS:localhost",
                           "extendedKeyUsage=serverAuth"))

    def client(self, directory, name):
        return self._sign(directory, name, name, ("extendedKeyUsage=clientAuth",))

    def context(self, certificate=None, key=None, version=None):
        """What a client needs to trust this authority's servers and to show a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate)
        if certificate:
            context.load_cert_chain(certificate, key)
        if version:
            context.minimum_version = context.maximum_version = version
        return context
