"""The statements of both versions with what cites and what tests them."""

import collections
import re
import subprocess

import sources

VERSIONS = ("5.0", "3.1.1")
Statement = collections.namedtuple("Statement", "version id section kind words reason")


def anchor(version, number):
    return f"{'v5' if version == '5.0' else 'v311'}-{number}"


class Statements:
    """All of them, in the order of their sections, and the words for links to them."""

    def __init__(self, tables, ids):
        self.ids = ids
        self.all = {}
        for version, name in (("5.0", "statements_v5"), ("3.1.1", "statements_v311")):
            for identifier, section, kind, words, reason in tables[name]:
                number = identifier.removeprefix("MQTT-")
                self.all[version, number] = Statement(version, number, section, kind, words, reason)

    def linked(self, text):
        """`text` with a link for each id, into the matrix."""
        def link(match):
            number = match[2]
            version = self.ids.cited_in(match[0])[0][0]
            words = self.all[version, number].words.replace('"', "'")
            return (("3.1.1 " if match[1] else "")
                    + f'[MQTT-{number}](matrix.md#{anchor(version, number)} "{words}")')
        return re.sub(r"(3\.1\.1 \[?)?MQTT-(\d+(?:\.\d+)+-\d+)", link, text)


def twins(path):
    """{3.1.1 id: [5.0 ids]}"""
    with open(path, encoding="ascii") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return {old: [] if new == "-" else new.split() for old, new in lines}


def kept_by_absence(path):
    """{(version, id): why there is nothing to cite}"""
    with open(path, encoding="ascii") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return {(version, number): why for version, number, why in lines}


def cases(program, without_outage=False):
    """{(version, id): [case]} of the conformance suite."""
    listed = subprocess.run([program, "--list-tab"], check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    out = {}
    for line in listed.splitlines():
        name, _, outage, v5, v311, _ = line.split("\t")
        if without_outage and outage != "none":
            continue
        for version, statements in (("5.0", v5), ("3.1.1", v311)):
            for statement in statements.split():
                out.setdefault((version, statement.removeprefix("MQTT-")), []).append(name)
    return out


def carriers(tables, cited, ids):
    """{(version, id): [{"kind": row | cell | rule | code, ...}]}"""
    out = {}

    def carry(statement, carrier):
        if carrier not in out.setdefault(statement, []):
            out[statement].append(carrier)

    for machine in tables["machines"]:
        for row in machine["rows"]:
            for statement in ids.cited_in(row.get("why", "")):
                carry(statement, {"kind": "row", "machine": machine["name"], "state": row["state"],
                                  "event": row["event"]})
            for statement in ids.cited_in(row.get("never", "")):
                carry(statement, {"kind": "cell", "machine": machine["name"], "state": row["state"],
                                  "event": row["event"]})
    for name, _, v5, v311, _ in tables["rules"]:
        for statement in ids.cited_in(v5):
            carry(statement, {"kind": "rule", "name": name})
        for _, number in ids.cited_in(v311):
            if number in ids.of["3.1.1"]:
                carry(("3.1.1", number), {"kind": "rule", "name": name})
    for statement, places in cited.items():
        for path, name in places:
            carry(statement, {"kind": "code", "file": path, "name": name})
    return out


def section_carriers(tables, cited):
    """{(version, section): carriers as above}, by section."""
    out = {}

    def carry(text, carrier):
        for section in sources.sections_cited_in(text):
            if carrier not in out.setdefault(section, []):
                out[section].append(carrier)

    for machine in tables["machines"]:
        for row in machine["rows"]:
            kind, why = ("row", row["why"]) if "next" in row else ("cell", row["never"])
            carry(why, {"kind": kind, "machine": machine["name"], "state": row["state"], "event": row["event"]})
    for name, _, v5, v311, _ in tables["rules"]:
        carry(v5, {"kind": "rule", "name": name})
        carry(v311, {"kind": "rule", "name": name})
    for section, places in cited.items():
        for path, name in places:
            out.setdefault(section, []).append({"kind": "code", "file": path, "name": name})
    return dict(sorted(out.items(), key=lambda one: [int(part) for part in one[0][1].split(".")]))
