"""What 3.1.1 and 3.1 do differently, in Markdown."""

from machine_page import cell

MARK = "<!-- Made by spec/generate from spec/version_difference.def: change that. -->\n"


def as_311(why):
    return why.replace("MQTT-", "3.1.1 MQTT-")


def page(differences, statements):
    out = [MARK, "# MQTT 3.1.1 and 3.1", "",
           "The machines know no versions. A packet of 3.1.1 becomes an event of theirs, and an action a "
           "packet of 3.1.1, at the places below and nowhere else in `broker/`. Bytes are the business of "
           "`protocol/`, whose grammars have an entry for each version. "
           "[All machines](README.md) · [all statements](matrix.md)", "",
           "| about | MQTT 5.0 | MQTT 3.1.1 and 3.1 | because | where |", "|---|---|---|---|---|"]
    for place, about, v5, v311, why in differences:
        path, function = place.split(":")
        out.append(f"| {cell(about)} | {cell(v5)} | {cell(v311)} | {statements.linked(as_311(why))} "
                   f"| [`{function}`](../../{path}) |")
    return "\n".join(out) + "\n"
