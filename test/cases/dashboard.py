"""The dashboard, in a headless Chromium: what it shows and does, and what it does not let itself be
made to do. HOLDFAST_SCREENSHOTS names a directory for what it looks like."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time

import checks
from case import case
from cases.administration import PORT, TOKEN, start
from cases.live_alerts import disk_that_is_full
from fleet import Fleet
from http_client import request

CHECK = os.path.join(os.path.dirname(__file__), "..", "dashboard", "check.js")
MODULES = os.path.join(os.path.dirname(__file__), "..", "node_modules")

# As a client identifier, and as the page shows it.
HOSTILE = {'<img src=x onerror=alert(1)>': '<img src=x onerror=alert(1)>',
           '"><script>alert(2)</script>': '"><script>alert(2)</script>',
           "a\u202eb\u0007": "a\\u{202e}b\\u{7}",
           "javascript:alert(3)//%00": "javascript:alert(3)//%00"}


LONGEST_S = 150


def open_page(t, *state, **environment):
    """The browser's process; what it has to say goes into a file."""
    if not os.path.isdir(os.path.join(MODULES, "playwright-core")):
        t.skip("playwright-core is not installed: test/bootstrap")
    pictures = os.environ.get("HOLDFAST_SCREENSHOTS", t.directory)
    with open(os.path.join(t.directory, "said"), "wb") as said:
        return subprocess.Popen(["node", CHECK, f"http://{t.address}:{PORT}/", TOKEN, pictures, *state],
                                stdout=said, stderr=said,
                                env={**os.environ, "CHROMIUM": shutil.which("chromium"), **environment})


def check_page(t, page):
    status = page.wait(LONGEST_S)
    with open(os.path.join(t.directory, "said"), encoding="utf-8") as said:
        text = said.read()
    checks.that(text == "", text[-3000:])
    checks.equal("status", status, 0)


@case("issue 8", long=True, timeout=330, needs=("chromium", "node"))
def the_dashboard_shows_what_there_is_and_runs_nothing_of_it(t):
    start(t, tls=True, mqtt={"max_queued_messages": 3})
    for name in HOSTILE:
        t.client(name, keep_alive=0).subscribe("x/" + name.replace("#", "").replace("+", ""), qos=0)
    t.client("pump-1", stored=True, keep_alive=0).subscribe("house/#", qos=1)
    t.away("away", "a", qos=1)
    publisher = t.client("publisher", keep_alive=0)
    for _ in range(6):
        publisher.publish("a", b"x", qos=1, reasons=(0x00, 0x97))
    hostile = json.dumps([{"visible": visible} for visible in HOSTILE.values()])
    check_page(t, open_page(t, HOSTILE=hostile))


@case("issue 8", long=True, timeout=330, needs=("chromium", "node"))
def the_dashboard_of_an_empty_broker_is_sound(t):
    start(t)
    check_page(t, open_page(t, "empty"))


@case("issue 8", long=True, timeout=330, needs=("chromium", "node"))
def the_dashboard_under_load_is_sound(t):
    start(t, tls=True, mqtt={"max_retained_messages": 1000000})
    fleet = Fleet((t.address, 1883), 5, 200, t.random)
    fleet.run_until(lambda: fleet.there() == 205, "all are there", LONGEST_S)
    fleet.is_publishing = True
    retainer, number = t.client("retainer", keep_alive=0), itertools.count()
    page, deadline = open_page(t, "load"), time.monotonic() + LONGEST_S
    while page.poll() is None and time.monotonic() < deadline:
        fleet.turn()
        retainer.publish(f"retained/{next(number)}", b"x", qos=1, retain=True)
        t.pass_time(0.02)  # the browser wants the processor, too
    check_page(t, page)


@case("issue 8", "promise 7", long=True, timeout=330, needs=("chromium", "node"))
def the_dashboard_of_a_broken_store_says_so(t):
    with contextlib.closing(disk_that_is_full(t)) as disk:
        next(disk)
        next(disk)
        check_page(t, open_page(t, "broken"))


@case("issue 8")
def the_page_needs_no_token_and_lets_nothing_in(t):
    start(t)
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        status, headers, text = request((t.address, PORT), path)
        checks.equal(path, (status, headers["Content-Type"].split(";")[0]), (200, kind))
        policy = headers["Content-Security-Policy"]
        checks.that("default-src 'none'" in policy and "unsafe" not in policy, policy)
        checks.that("frame-ancestors 'none'" in policy, policy)
        checks.equal("sniffing", headers["X-Content-Type-Options"], "nosniff")
        for outside in ("http://", "https://", "innerHTML", "eval("):
            found = text.replace("http://www.w3.org/2000/svg", "")
            checks.that(outside not in found, f"{path} has {outside}")
        checks.equal("method", request((t.address, PORT), path, "POST", body="{}")[0], 405)
