"""The commands that the documentation shows, as they stand there, with what they print; and whether the
manual pages have what --help has."""

import os
import re
import subprocess

import checks
from case import case

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
DOCS = os.path.join(ROOT, "docs")
PAGES = ("broker/holdfast.1", "authorization/holdfast-acl.1")
MANUALS = ("getting-started", "concepts", "tls")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = "--- what block {} printed"


def steps(manual):
    """[commands, what they print or None]: a block of text says what the commands before it print."""
    found = []
    with open(os.path.join(DOCS, manual + ".md"), encoding="utf-8") as file:
        for kind, text in BLOCK.findall(file.read()):
            if kind == "sh":
                found.append([text, None])
            else:
                found[-1][1] = text
    return found


def script_of(t, blocks):
    """On the case's own address, which takes the place of 127.0.0.1 and of the clients' default."""
    binary = os.path.abspath(t.binary)
    lines = [f"set -eu; cd {t.directory}; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT",
             f"holdfast() {{ {binary} \"$@\"; }}"]
    lines += [f"{client}() {{ command timeout 20 {client} -h {t.address} \"$@\"; }}"
              for client in ("mosquitto_sub", "mosquitto_pub")]
    for index, (commands, _) in enumerate(blocks):
        lines += [f"echo '{MARK.format(index)}'", commands]
    text = "\n".join(lines).replace("127.0.0.1", t.address)
    return re.sub(r"^holdfast -c", f"{binary} -c", text, flags=re.MULTILINE)


@case("issue: documentation", over={"manual": MANUALS}, timeout=120)
def the_commands_of_the_manual_work(t, manual):
    t.holdfast_only("docs/")
    blocks = steps(manual)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script_of(t, blocks)],
                          capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{done.stdout[-1000:]}{done.stderr[-2000:]}")
    for index, (commands, expected) in enumerate(blocks):
        printed = done.stdout.split(MARK.format(index) + "\n")[1].split("--- what block ")[0]
        if expected is not None:
            checks.equal(commands, printed, expected)


def help_of(t, *words):
    return subprocess.run([t.binary, *words, "--help"], capture_output=True, text=True, check=True).stdout


@case("issue: documentation")
def the_manual_page_has_every_command_and_option(t):
    t.holdfast_only("its manual pages")
    manual = ""
    for page in PAGES:
        with open(os.path.join(ROOT, page), encoding="ascii") as file:
            manual += file.read()
    overview = help_of(t)
    commands = re.findall(r"^ +holdfast ([a-z][a-z ]*) \.\.\. ", overview, re.MULTILINE)
    checks.that(len(commands) >= 8, f"commands: {commands}")
    missing = [command for command in commands
               if not re.search(rf"^\.(It|Nm) (Cm )?{command}\b", manual, re.MULTILINE)]
    for text in [overview, *(help_of(t, *command.split()) for command in commands)]:
        missing += [option for option in re.findall(r"--[a-z][a-z-]*", text)
                    if not re.search(rf"\bFl {option[1:]}(?![a-z-])|[|] {option[1:]}(?![a-z-])", manual)]
    checks.equal("in --help, and in no manual page", sorted(set(missing)), [])
