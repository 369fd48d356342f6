"""One broker process under test: started, killed, restarted on the same database, looked into."""

import os
import signal
import socket
import subprocess
import time

from mqtt_wire import DEADLINE_S

# What a sanitizer or a failed CHECK leaves in the log, whatever became of the exit status.
CONFESSIONS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
               "runtime error:", "CHECK failed", "Assertion `", "a fault of this program")

POLL_S = 0.01


class Broker:
    """`config` is a dict as in dialect.py, changed between starts at will."""

    def __init__(self, binary, dialect, directory, config):
        self.binary, self.dialect, self.config = os.path.abspath(binary), dialect, config
        self.directory = directory
        self.store = os.path.join(directory, "store")
        self.config_file = os.path.join(directory, "broker.conf")
        self.log_file = os.path.join(directory, "broker.log")
        self.process = None
        self.pass_fds = ()  # descriptors that the process inherits
        self.starts = 0

    # ---- Life ----

    def listeners(self):
        """(address, port) of each listener by name."""
        out = {}
        for name, options in self.config.get("listener", {}).items():
            host, port = options["bind"].rsplit(":", 1)
            out[name] = (host.strip("[]"), int(port))
        return out

    def write_config(self, text=None):
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(self.dialect.render(self.config) if text is None else text)

    def launch(self, text=None):
        """Starts the process and waits for nothing."""
        self.write_config(text)
        self.starts += 1
        with open(self.log_file, "ab") as log:
            log.write(b"---- start %d ----\n" % self.starts)
            log.flush()
            self.process = subprocess.Popen(
                self.dialect.command(self.binary, self.config_file), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.directory, pass_fds=self.pass_fds)
        return self

    def start(self):
        """Starts it and waits until every listener takes connections."""
        self.launch()
        return self.await_listeners()

    def await_listeners(self):
        deadline = time.monotonic() + DEADLINE_S
        for address in self.listeners().values():
            while not self._answers(address):
                if self._exited_within(POLL_S):
                    raise AssertionError(f"the broker ended with {self.process.returncode} "
                                         "instead of listening")
                if time.monotonic() > deadline:
                    raise AssertionError(f"nothing listens on {address}")
        return self

    @staticmethod
    def _answers(address):
        try:
            socket.create_connection(address, timeout=DEADLINE_S).close()
        except ConnectionError:
            return False
        return True

    def _exited_within(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL: whatever it has not written is lost."""
        self._must_run()
        self.process.send_signal(self.dialect.kill_signal)
        self.process.wait()

    def _must_run(self):
        if not self.is_running():
            raise AssertionError("the broker has ended by itself"
                                 + (f" with {self.process.returncode}" if self.process else ""))

    def pause(self):
        """It does nothing until resume(): what happens meanwhile happens to it at once."""
        self._must_run()
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def reload(self):
        """Writes the configuration again and sends SIGHUP. What comes of it is in the log."""
        self._must_run()
        self.write_config()
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """SIGTERM and a clean end."""
        self._must_run()
        self.process.send_signal(signal.SIGTERM)
        status = self.wait_for_exit()
        if status:
            raise AssertionError(f"SIGTERM, and the broker ended with {status}")

    def wait_for_exit(self, timeout=DEADLINE_S):
        if not self._exited_within(timeout):
            raise AssertionError(f"the broker has not ended after {timeout:.0f} s")
        return self.process.returncode

    def kill_and_restart(self):
        self.kill()
        return self.start()

    def stop_and_restart(self):
        self.stop()
        return self.start()

    def finish(self):
        """At the end of a case: it still runs, ends well, and no sanitizer has spoken."""
        if self.process is None:
            return
        if self.is_running():
            self.stop()
        log = self.log()
        for words in CONFESSIONS:
            if words in log:
                raise AssertionError(f"the broker's log says {words!r}")

    # ---- What can be seen from outside ----

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak_resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))

    def cpu_s(self):
        """Seconds of processor time that it has used."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))
