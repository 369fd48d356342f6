"""The traceability matrix: each statement, what carries it, what tests it."""

import json

from machine_page import cell, row_anchor
from statements import VERSIONS, anchor

SHOWN = 3  # conformance cases of a statement on the page; the JSON has all
MARK = "<!-- Made by spec/generate: see spec/README.md. -->\n"
ROWS_OF = {"MQTT-3.3.4-9": ("MQTT-4.9.0-2",)}  # another statement asks for the same, of a machine
KINDS = {"CLIENT_ONLY": "client only", "UNOBSERVABLE": "not observable"}


def entry(statement, carried, tested, twins, absence):
    """What the matrix says of a statement, as JSON has it."""
    key = statement.version, statement.id
    through = twins.get(statement.id, []) if statement.version == "3.1.1" else []
    out = {"version": statement.version, "id": "MQTT-" + statement.id, "section": statement.section,
           "words": statement.words, "kind": statement.kind.lower()}
    if statement.reason:
        out["reason"] = statement.reason
    if key in absence:
        out["kept_by_absence"] = absence[key]
    out["carried_by"] = carried.get(key, [])
    out["as_in_5"] = ["MQTT-" + number for number in through]
    out["cases"] = tested.get(key, [])
    return out


def all_of(entry, by_key):
    return [entry] + [by_key["5.0", number] for number in entry["as_in_5"]]


def is_carried(entry, by_key):
    return any(one["carried_by"] for one in all_of(entry, by_key))


def is_absent(entry, by_key):
    return not is_carried(entry, by_key) and any("kept_by_absence" in one
                                                 for one in all_of(entry, by_key))


def entries(statements, carried, tested, twins, absence):
    return [entry(statement, carried, tested, twins, absence)
            for statement in statements.all.values()]


def carrier(of):
    if of["kind"] in ("row", "cell"):
        where = f"{of['machine']}.md#{row_anchor(of['state'], of['event'])}"
        if of["kind"] == "cell":
            where = f"{of['machine']}.md#in-{of['state'].lower()}"
        return of["machine"], f"[{of['state']} / {of['event']}]({where})"
    if of["kind"] == "rule":
        return "[protocol/rule.def](../../protocol/rule.def)", f"`{of['name']}`"
    return f"[{of['file']}](../../{of['file']})", f"`{of['name']}`" if of["name"] else ""


def by_place(all_carriers):
    """One line for each table and file."""
    places = {}
    for where, what in map(carrier, all_carriers):
        places.setdefault(where, []).append(what)
    return [f"{where}: {', '.join(filter(None, what))}" if any(what) else where
            for where, what in places.items()]


def carriers(entry):
    lines = by_place(entry["carried_by"])
    if entry["version"] == "5.0" and entry["id"] in ROWS_OF:
        lines.append("rows: see " + ", ".join(
            f"[{number[5:]}](#{anchor('5.0', number[5:])})" for number in ROWS_OF[entry["id"]]))
    if "kept_by_absence" in entry:
        lines.append(f"*nothing:* {entry['kept_by_absence']}")
    if entry["as_in_5"]:
        lines.append("as 5.0 " + ", ".join(
            f"[{number[5:]}](#{anchor('5.0', number[5:])})" for number in entry["as_in_5"]))
    return lines


def cases(entry):
    lines = [f"`{case}`" for case in entry["cases"][:SHOWN]]
    more = len(entry["cases"]) - SHOWN
    return lines + ([f"and {more} more"] if more > 0 else [])


def line(entry, by_key):
    who = carriers(entry)
    if not is_carried(entry, by_key) and not is_absent(entry, by_key):
        who.append(KINDS.get(entry["kind"].upper(), "**nobody cites it**"))
    tests = cases(entry)
    if "reason" in entry:
        tests.append(f"{KINDS[entry['kind'].upper()]}: {entry['reason']}")
    number = entry["id"][5:]
    return (f'| <a id="{anchor(entry["version"], number)}"></a>**MQTT-{number}** | {cell(entry["words"])} '
            f'| {"<br>".join(who)} | {"<br>".join(map(cell, tests))} |')


def figures(those, by_key):
    carried = [one for one in those if is_carried(one, by_key)]
    tested = [one for one in those if one["cases"]]
    both = [one for one in carried if one["cases"]]
    return [len(those), len(carried), sum(is_absent(one, by_key) for one in those), len(tested),
            len(both),
            sum(one["kind"] == "client_only" for one in those),
            sum(one["kind"] == "unobservable" for one in those)]


def section_part(sections):
    out = ["", "## Rules without an id", "",
           "Not every rule of the standards has an id: what is a Protocol Error is often said in the section of a "
           "property and nowhere else. What carries such a rule cites the section. A Malformed Packet or a Protocol "
           "Error that is found there comes to [connection](connection.md) as `MALFORMED`.", "",
           "| section | carried by |", "|---|---|"]
    for version in VERSIONS:
        name = "v5" if version == "5.0" else "v311"
        out += [f'| <a id="{name}-section-{section}"></a>{version} section {section} | {"<br>".join(by_place(those))} |'
                for (of, section), those in sections.items() if of == version]
    return out


def page(all_entries, sections):
    by_key = {(one["version"], one["id"]): one for one in all_entries}
    out = [MARK, "# Statements, what carries them, and what tests them", "",
           "Every normative statement of MQTT 5.0 and 3.1.1, in our words; the words that count are those "
           "of the OASIS standards. *Carried by* are rows of the [machines](README.md), rules of packets and "
           "functions that cite the statement; of 3.1.1, where it asks for the same, also those of the "
           "statement of 5.0; *nothing* where there is nothing that could break it. *Tested by* are cases of "
           "`mqtt-conformance`. What they are worth, `test/table_mutants` finds out for rows, "
           "`test/citation_mutants` for functions. The same, complete, for programs: "
           "[matrix.json](matrix.json). What carries rules that have no id stands at the "
           "[end](#rules-without-an-id), by section.", "",
           "| | statements | carried | kept by absence | tested | carried and tested | client only "
           "| not observable |", "|---|---|---|---|---|---|---|---|"]
    for version in VERSIONS:
        those = [one for one in all_entries if one["version"] == version]
        out.append(f"| MQTT {version} | " + " | ".join(map(str, figures(those, by_key))) + " |")
    silent = [one for one in all_entries if one["kind"] == "observable"
              and not is_carried(one, by_key) and not is_absent(one, by_key)]
    if silent:
        out += ["", "Nobody cites " + ", ".join(
            f"[{'3.1.1 ' if one['version'] == '3.1.1' else ''}{one['id'][5:]}]"
            f"(#{anchor(one['version'], one['id'][5:])})" for one in silent) + "."]
    for version in VERSIONS:
        chapter = None
        for one in all_entries:
            if one["version"] != version:
                continue
            parts = one["section"].split(".")
            here = ".".join(parts[:2]) if parts[0] in "34" else parts[0]
            if here != chapter:
                chapter = here
                out += ["", f"## MQTT {version}, section {chapter}", "",
                        "| statement | what it asks for | carried by | tested by |", "|---|---|---|---|"]
            out.append(line(one, by_key))
    return "\n".join(out + section_part(sections)) + "\n"


def as_json(all_entries):
    return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in all_entries) + "\n]\n"
