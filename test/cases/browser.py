"""MQTT.js in a browser, a headless Chromium: sessions of pages that come and go, and who may have one."""

import base64
import hashlib
import os
import shutil
import subprocess

import checks
import tools
from case import case
from cases.other_clients import check_lines, wanted
from cases.passwords import passwd, path_of

COUNT = 100
PAGE_PORT, OTHER_PORT = 8080, 8081
TIMEOUT_S = 120


def start(t):
    """Whoever connects has a password, and a page of this origin."""
    t.holdfast_only("a password file of this kind")
    passwd(t, "--batch", path_of(t), stdin="page:secret\npublisher:secret\n")
    broker = t.new_broker(tls=True, web=True, authentication={"password_file": path_of(t),
                                                              "max_failures": 0})
    for name in ("ws", "wss"):
        broker.config["listener"][name].update(
            allowed_origins=f"http://{t.address}:{PAGE_PORT}", allow_anonymous=False)
    return broker.start()


def server_key(t):
    """The SHA-256 of the server's public key, as Chromium wants it."""
    certificate, _ = t.server_certificate()
    pem = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True,
                         capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, check=True,
                         capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def browse(t, step, version, transport, page_port=PAGE_PORT, **options):
    """A page of http://ADDRESS:`page_port` does this step."""
    environment = {"CHROMIUM": shutil.which("chromium"), "PAGE_HOST": t.address,
                   "PAGE_PORT": str(page_port)}
    if not os.path.isdir(os.path.join(tools.HERE, "node_modules", "playwright-core")):
        t.skip("playwright-core is not installed: run test/bootstrap")
    return tools.node(t, os.path.join("browser", "client.js"), version, transport, environment,
                      step=step, client_id="page", user="page",
                      **{"password": "secret", "server_key": server_key(t), **options}
                      ).finish(TIMEOUT_S)


@case("issue 6", "MQTT-3.1.2-23", "MQTT-6.0.0-1", long=True, timeout=400, needs=("chromium", "node"),
      over=[{"transport": "ws", "version": 4, "leave": "drop"},
            {"transport": "wss", "version": 5, "leave": "drop"},
            {"transport": "wss", "version": 4, "leave": "disconnect"}])
def a_page_that_comes_back_gets_what_waited_for_it(t, transport, version, leave):
    start(t)
    browse(t, "subscribe", version, transport, filter="a/#", qos=2, leave=leave)
    publisher = t.client("publisher", user="publisher", password="secret")
    for qos in (1, 2):
        for payload in wanted(COUNT, qos):
            publisher.publish("a/b/c", payload, qos)
    publisher.disconnect()
    t.broker.kill_and_restart()
    output = browse(t, "receive", version, transport, count=2 * COUNT)
    check_lines("the page", output, COUNT, 2)


@case("issue 6", "MQTT-6.0.0-4", long=True, timeout=400, needs=("chromium", "node"),
      over=[{"transport": "ws", "version": 5}, {"transport": "wss", "version": 4}])
def a_page_of_another_origin_gets_nothing(t, transport, version):
    """Nor does one of the right origin with a wrong password; and that one gets in with the right one."""
    start(t)
    checks.equal("another origin", browse(t, "refused", version, transport, OTHER_PORT),
                 b"no connection\n")
    t.await_line("pages of this Origin are not allowed")
    checks.equal("a wrong password", browse(t, "refused", version, transport, password="no"),
                 b"refused with %d\n" % (134 if version == 5 else 4))
    browse(t, "subscribe", version, transport, filter="a", qos=1, leave="disconnect")
