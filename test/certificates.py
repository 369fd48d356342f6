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

    def _sign(self, directory, name, subject, extensions, days=DAYS):
        key, request, certificate = _new_key_and_request(directory, name, subject)
        extension_file = os.path.join(directory, name + ".ext")
        with open(extension_file, "w", encoding="ascii") as file:
            file.write("\n".join(("basicConstraints=CA:FALSE", *extensions, "")))
        # Written by several processes at once, hence no serial file.
        _openssl("x509", "-req", "-in", request, "-days", days, "-CA", self.certificate,
                 "-CAkey", self.key, "-set_serial", "0x" + os.urandom(16).hex(),
                 "-extfile", extension_file, "-out", certificate)
        return certificate, key

    def server(self, directory, address, name="server", days=DAYS):
        return self._sign(directory, name, "localhost",
                          (f"subjectAltName=IP:{address},DNS:localhost",
                           "extendedKeyUsage=serverAuth"), days)

    def by_name(self, directory, address, *names):
        """A directory for sni_directory: NAME.pem and NAME.key of each."""
        path = os.path.join(directory, "names")
        os.mkdir(path)
        for name in names:
            certificate, key = self.server(directory, address, name)
            os.rename(certificate, os.path.join(path, f"{name}.pem"))
            os.rename(key, os.path.join(path, f"{name}.key"))
        return path

    def client(self, directory, name, usage="clientAuth", names=""):
        """`names` are alternative ones, as openssl writes them: "URI:urn:a,DNS:a.example"."""
        return self._sign(directory, name, name, (f"extendedKeyUsage={usage}",
                                                  *([f"subjectAltName={names}"] if names else [])))

    def ocsp_response(self, certificate, path, days, state="V"):
        """What the authority says of it: V, it is good, or R, it is revoked. Appears at once and
        whole; good from now on for so many days."""
        serial = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-serial"],
                                capture_output=True, text=True, check=True).stdout.split("=")[1]
        with open(path + ".index", "w", encoding="ascii") as file:
            revoked = "260101000000Z" if state == "R" else ""
            file.write(f"{state}\t491231235959Z\t{revoked}\t{serial.strip()}\tunknown\t/CN=any\n")
        _openssl("ocsp", "-index", path + ".index", "-CA", self.certificate, "-rsigner",
                 self.certificate, "-rkey", self.key, "-issuer", self.certificate, "-cert",
                 certificate, "-noverify", "-ndays", str(days), "-respout", path + ".new")
        os.replace(path + ".new", path)

    def context(self, certificate=None, key=None, version=None):
        """What a client needs to trust this authority's servers and to show a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate)
        if certificate:
            context.load_cert_chain(certificate, key)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


class Register:
    """An authority's books, in a directory of its own: dates of one's choice, and revocations."""

    def __init__(self, authority, directory):
        self.directory = directory
        os.mkdir(directory)
        self.options = ["-config", self._file("ca.conf"), "-cert", authority.certificate,
                        "-keyfile", authority.key]
        with open(self._file("ca.conf"), "w", encoding="ascii") as file:
            file.write(f"""[ca]
default_ca = here
[here]
database = {self._file("index")}
serial = {self._file("serial")}
new_certs_dir = {directory}
default_md = sha256
policy = any
x509_extensions = client
[any]
commonName = supplied
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
""")
        for name, text in (("index", ""), ("serial", os.urandom(8).hex() + "\n")):
            with open(self._file(name), "w", encoding="ascii") as file:
                file.write(text)

    def _file(self, name):
        return os.path.join(self.directory, name)

    def client(self, name, begin, end):
        """A client's certificate with these dates, as in 20260101000000Z."""
        key, request, certificate = _new_key_and_request(self.directory, name, name)
        _openssl("ca", "-batch", "-notext", *self.options, "-in", request, "-startdate", begin,
                 "-enddate", end, "-out", certificate)
        return certificate, key

    def revoke(self, certificate):
        _openssl("ca", *self.options, "-revoke", certificate)

    def write_list(self, path, *dates):
        """What is revoked so far. The file appears at once and whole."""
        _openssl("ca", *self.options, "-gencrl", "-out", path + ".new",
                 *(dates or ("-crldays", DAYS)))
        os.replace(path + ".new", path)


def self_signed(directory, name):
    key, _, certificate = _new_key_and_request(directory, name, name)
    _openssl("req", "-x509", "-new", "-key", key, "-days", DAYS, "-subj", f"/CN={name}",
             "-out", certificate)
    return certificate, key
