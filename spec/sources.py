"""Where the sources cite a statement, by file and function, so that a line more or less changes nothing.

5.0 and 3.1.1 number their statements alike and mean different things. An id is one of 5.0, if 5.0 has it
and it does not stand behind "3.1.1"; else one of 3.1.1.
"""

import os
import re

FOLDERS = ("base", "protocol", "fsm", "storage", "tls", "websocket", "authentication", "authorization",
           "config", "routing", "broker")
CITED = re.compile(r"(3\.1\.1 \[?)?MQTT-(\d+(?:\.\d+)+-\d+)")
DEFINITION = re.compile(r"^(?!typedef|#|/|\*)[A-Za-z_][\w \*]*?\b(\w+)\(")
TYPE = re.compile(r"^(?:static |extern )?(?:const )?(struct|enum|union) (\w+)\b[^()]*$")
RULE = re.compile(r"^\s*(?:action )?(\w+)\s*(?::?=(?!=)|\{$)")
ENTRY = re.compile(r"^([A-Z]+)\(\s*(\w+)(?:,\s*(\w+))?")
MACRO = re.compile(r"^#define (\w+)\(")
SECTION = re.compile(r"(5\.0|3\.1\.1) sections? (\d+(?:\.\d+)*)")
VERSION = re.compile(r"MQTT_VERSION_\w+")
FOR_TESTS = re.compile(r"_(test|testing|fuzz)\.[ch]$")


class Ids:
    """The ids of both versions, without "MQTT-"."""

    def __init__(self, v5, v311):
        self.of = {"5.0": v5, "3.1.1": v311}

    def cited_in(self, text):
        """[(version, id)]"""
        out = []
        for prefix, number in CITED.findall(text):
            version = "3.1.1" if prefix or number not in self.of["5.0"] else "5.0"
            out.append((version, number))
        return out


def paths():
    """What can carry a statement. A header says what others do."""
    found = [os.path.join(folder, name) for top in FOLDERS for folder, _, names in os.walk(top)
             for name in names]
    return [path for path in sorted(found)
            if path.endswith((".c", ".rl", ".rlh", ".def")) and not FOR_TESTS.search(path)]


def is_comment(line):
    return line.lstrip().startswith(("/*", "*", "#", "//")) and not line.startswith("#define")


def named(line, grammar):
    """What a line begins to define."""
    for pattern, pick in ((TYPE, lambda m: f"{m[1]} {m[2]}"), (DEFINITION, lambda m: m[1]),
                          (MACRO, lambda m: m[1])):
        match = pattern.match(line)
        if match:
            return pick(match)
    match = RULE.match(line) if grammar else None
    return match[1] if match else None


def places(path):
    """(name of what the line belongs to, or "", line) of each line of a file.

    What stands before a function belongs to it, and so does what stands within."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    if path.endswith(".def"):
        name = ""
        for line in lines:
            match = ENTRY.match(line)
            if match:
                name = f"{match[1]} {match[3] if match[1] == 'OPTION' else match[2]}"
            yield (name if match or line.startswith(" ") else "", line)
        return
    within, opened, waiting = None, False, []
    in_grammar = path.endswith(".rlh")
    for line in lines:
        if line.startswith("%%{"):
            in_grammar, within = True, None
        elif line.startswith("}%%"):
            in_grammar, within = False, None
        if is_comment(line) and not opened and not (within and line.startswith(" ") and not in_grammar):
            waiting.append(line)
            continue
        name = named(line, in_grammar)
        if not line.strip() and not opened:
            yield from (("", text) for text in waiting)
            waiting, within = [], None
        elif name is not None and not opened:
            within = name
        yield from ((within or "", text) for text in waiting)
        waiting = []
        yield (within or "", line)
        if opened and line.startswith(("}", "    }") if in_grammar else "}"):
            within, opened = None, False
        elif within and not opened:
            opened = line.startswith("{") or line.endswith(" {")
            if not opened and line.endswith(";"):
                within = None
    yield from (("", text) for text in waiting)


def citations(ids):
    """{(version, id): [(path, name)]}, in the order of the sources, machines and rules left out."""
    out = {}
    for path in paths():
        if path.startswith("fsm/") and path.endswith(".def") or path.endswith("/rule.def"):
            continue
        for name, line in places(path):
            for statement in ids.cited_in(line):
                found = out.setdefault(statement, [])
                if (path, name) not in found:
                    found.append((path, name))
    return out


def sections_cited_in(text):
    """[(version, section)], for what has no id."""
    return SECTION.findall(text)


def section_citations():
    """{(version, section): [(path, name)]}: like citations(). What a file cites at its top says what it is about."""
    out = {}
    for path in paths():
        if path.startswith("fsm/") and path.endswith(".def") or path.endswith("/rule.def"):
            continue
        for name, line in places(path):
            for section in sections_cited_in(line):
                found = out.setdefault(section, [])
                if name and (path, name) not in found:
                    found.append((path, name))
    return {section: found for section, found in out.items() if found}


def askers_for_the_version():
    """path:function of broker/ that compares the protocol version."""
    return {f"{path}:{name}" for path in paths() if path.startswith("broker/")
            for name, line in places(path) if VERSION.search(line) and re.search("[=!<]=? MQTT_V", line)}
