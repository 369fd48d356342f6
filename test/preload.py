"""Small libraries that are preloaded into a broker and change what the system tells it."""

import os
import struct
import subprocess
from contextlib import contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
NEEDS = ("cc",)  # for @case(needs=...)


def compiled(directory, source):
    library = os.path.join(directory, source.replace(".c", ".so"))
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-pthread", "-o", library,
                    os.path.join(HERE, source)], check=True)
    return library


@contextmanager
def preloaded(directory, source, **environment):
    """Processes that are started within have the library, and these variables."""
    before = dict(os.environ)
    os.environ["LD_PRELOAD"] = compiled(directory, source)
    os.environ["ASAN_OPTIONS"] = before.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class SetClock:
    """A broker whose wall clock the case sets. Simulated: the machine's own is left alone."""

    def __init__(self, t, **config):
        self.t, self.file = t, os.path.join(t.directory, "clock")
        self.set(0)
        self.config = config

    def set(self, seconds):
        mode = "r+b" if os.path.exists(self.file) else "wb"
        with open(self.file, mode) as file:
            file.write(struct.pack("=q", seconds))

    def start(self):
        with preloaded(self.t.directory, "set_clock.c", HOLDFAST_TEST_CLOCK=self.file):
            if self.t.broker is None:
                self.t.start(**self.config)
            else:
                self.t.broker.start()
