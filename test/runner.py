"""Discovers cases and runs them, several at a time, each in a process of its own."""

import argparse
import fnmatch
import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
LOG_LINES = 40

TRACE = "trace.jsonl"  # in the directory of the case

PASSED, FAILED, SKIPPED = range(3)
VERDICTS = ("ok     ", "FAILED ", "skipped")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="test/run", description=__doc__)
    parser.add_argument("binary", metavar="BROKER_BINARY", nargs="?")
    parser.add_argument("--all", action="store_true", help="the long cases too")
    parser.add_argument("--only", metavar="GLOB", action="append", default=[],
                        help="only cases whose name or file matches; may be repeated")
    parser.add_argument("--jobs", metavar="N", type=int, default=4 * (os.cpu_count() or 1),
                        help="cases at a time (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the cases, run none")
    parser.add_argument("--patience", metavar="F", type=float,
                        help="multiplies all deadlines (default: 1, and 4 for a sanitizer)")
    parser.add_argument("--set", metavar="SECTION.OPTION=VALUE", action="append", default=[],
                        help="goes into the configuration of every broker")
    parser.add_argument("--seed", metavar="N", type=int, default=None,
                        help="of what is random (default: a new one, printed)")
    parser.add_argument("--keep", action="store_true", help="keep the directories of failures")
    parser.add_argument("--trace", metavar="DIRECTORY",
                        help="every broker writes a trace; each case's is left there")
    options = parser.parse_args(arguments)
    if options.trace:
        options.set.append(f"log.trace={TRACE}")
    if not options.list and not options.binary:
        parser.error("which broker?")
    return options


def is_sanitized(binary):
    with open(binary, "rb") as file:
        data = file.read()
    return any(word in data for word in (b"__asan_init", b"__tsan_init"))


def set_patience(options):
    """Decided before anything is imported that waits."""
    if options.patience is None:
        options.patience = 4.0 if options.binary and is_sanitized(options.binary) else 1.0
    os.environ["HOLDFAST_TEST_PATIENCE"] = str(options.patience)


def overrides(settings):
    out = {}
    for setting in settings:
        name, value = setting.split("=", 1)
        section, option = name.split(".", 1)
        typed = {"true": True, "false": False}.get(value, int(value) if value.isdigit() else value)
        out.setdefault(section, {})[option] = typed
    return out


def discover(options):
    from case import CASES
    for file in sorted(os.listdir(os.path.join(HERE, "cases"))):
        if file.endswith(".py"):
            importlib.import_module("cases." + file[:-3])
    def wanted(case):
        return not options.only or any(
            fnmatch.fnmatchcase(case.name, glob) or fnmatch.fnmatchcase(case.name, f"*{glob}*")
            or fnmatch.fnmatchcase(case.name.split(".")[0], glob) for glob in options.only)
    return [case for case in CASES if (options.all or not case.long) and wanted(case)]


class Running:
    """A case in its own process group, writing its verdict and story to a file."""

    def __init__(self, case, options, shared, seed):
        self.case, self.started = case, time.monotonic()
        self.directory = tempfile.mkdtemp(prefix="holdfast-case-")
        self.limit = case.timeout * options.patience
        self.exit_fd, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            os.close(self.exit_fd)
            os._exit(run_in_child(case, self.directory, options, shared, seed))
        os.setpgid(self.pid, self.pid)
        os.close(theirs)

    def expired(self):
        return time.monotonic() - self.started > self.limit

    def end(self):
        """Kills whatever is left of it and returns (verdict, story)."""
        late = self.expired()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.exit_fd)
        story = read(os.path.join(self.directory, "story"))
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status), story
        return FAILED, story + (f"not done after {self.limit:.0f} s\n" if late
                                else f"the case's process died: {status}\n")

    def save_trace(self, directory):
        path = os.path.join(self.directory, TRACE)
        if directory and os.path.isfile(path):
            os.makedirs(directory, exist_ok=True)
            name = "%s.%d.jsonl" % (self.case.name.replace("/", "_")[:150], self.pid)
            shutil.copyfile(path, os.path.join(directory, name))

    def clean(self, keep):
        if keep:
            return f"    kept: {self.directory}\n"
        shutil.rmtree(self.directory, ignore_errors=True)
        return ""


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def run_in_child(case, directory, options, shared, seed):
    """One case, start to end. Returns its verdict; the exit status of this process."""
    story = open(os.path.join(directory, "story"), "w", buffering=1, encoding="utf-8")
    os.dup2(story.fileno(), 1)
    os.dup2(story.fileno(), 2)
    sys.stdout = sys.stderr = story
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from case import Context, Skip
    from dialect import NotSupported
    context = Context(options.binary, directory, shared, seed)
    try:
        for program in case.needs:
            if shutil.which(program) is None:
                raise Skip(f"{program} is not installed")
        case.function(context, **case.variant)
        context.finish()
        verdict = PASSED
    except (Skip, NotSupported) as reason:
        print(reason)
        verdict = SKIPPED
    except BaseException as error:  # pylint: disable=broad-except
        frames = traceback.extract_tb(error.__traceback__)
        for frame in frames[1:]:
            print(f"{os.path.relpath(frame.filename, HERE)}:{frame.lineno}: {frame.line}")
        print(f"{type(error).__name__}: {error}")
        verdict = FAILED
    context.abandon()
    story.flush()
    return verdict


class Shared:
    """What all cases of a run have in common."""

    def __init__(self, options, directory):
        import certificates
        import dialect
        self.dialect = dialect.of(options.binary)
        self.authority = certificates.Authority(directory)
        self.overrides = overrides(options.set)
        self.sanitized = is_sanitized(options.binary)


def report(running, verdict, story, options):
    seconds = time.monotonic() - running.started
    reason = ": " + story.strip() if verdict != FAILED and story.strip() else ""
    print(f"{VERDICTS[verdict]} {running.case.name} ({seconds:.1f} s){reason}")
    if verdict == FAILED:
        print(f"    cites: {', '.join(running.case.cites)}")
        log = read(os.path.join(running.directory, "broker.log")).splitlines()
        lines = story.splitlines() + [f"broker's log, last {LOG_LINES} of {len(log)} lines:"]
        lines += ["| " + line for line in log[-LOG_LINES:]]
        print("".join(f"    {line}\n" for line in lines), end="")
    running.save_trace(options.trace)
    print(running.clean(options.keep and verdict == FAILED), end="")
    sys.stdout.flush()


def run_all(cases, options, shared, seed):
    """Yields (running, verdict, story) as cases end."""
    waiting, running = list(reversed(cases)), []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                running.append(Running(waiting.pop(), options, shared, seed))
            left = min(one.limit - (time.monotonic() - one.started) for one in running)
            ended, _, _ = select.select([one.exit_fd for one in running], [], [], max(left, 0))
            for one in [one for one in running if one.exit_fd in ended or one.expired()]:
                running.remove(one)
                yield (one, *one.end())
    finally:
        for one in running:
            one.end()
            one.clean(False)


def main(arguments=None):
    options = parse(arguments)
    if not options.list and not os.access(options.binary, os.X_OK):
        print(f"{options.binary} is no program")
        return 2
    set_patience(options)
    cases = discover(options)
    if options.list:
        for case in cases:
            print(f"{case.name}  ({', '.join(case.cites)})")
        return 0
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"{len(cases)} cases against {options.binary}, seed {seed}", flush=True)
    counts = [0, 0, 0]
    # The longest first, so that none is left running alone at the end.
    cases.sort(key=lambda case: -case.timeout)
    with tempfile.TemporaryDirectory(prefix="holdfast-run-") as directory:
        shared = Shared(options, directory)
        for running, verdict, story in run_all(cases, options, shared, seed):
            verdict = verdict if verdict in (PASSED, SKIPPED) else FAILED
            counts[verdict] += 1
            report(running, verdict, story, options)
    print(f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[SKIPPED]} skipped")
    return 1 if counts[FAILED] else 0
