"""A machine as a picture: dot source, and the SVG that graphviz makes of it.

An arrow is drawn where the state changes, once for each pair of states. What leaves the state as it is
stands inside it. Graphviz draws differently from version to version, so a picture is as new as the hash
of its source says, which is noted in it.
"""

import hashlib
import html
import re
import subprocess
import textwrap

INK, ACTION, QUIET = "#1b1f24", "#0b57d0", "#6a737d"
FILLS = ("#e8f0fe", "#ffffff")  # the first state, the others
NOTE = re.compile(r"<!-- drawn of ([0-9a-f]{16}) -->")


def coloured(text, colour):
    return f'<FONT COLOR="{colour}">{html.escape(text)}</FONT>'


def wrapped(names, width):
    return textwrap.wrap(", ".join(names), width) or [""]


def by_actions(rows):
    """[(events, actions)]: rows that do the same, together."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row["actions"]), []).append(row["event"])
    return [(events, list(actions)) for actions, events in groups.items()]


def node(state, rows, is_first):
    lines = [f"<B>{state['name']}</B>"]
    lines += [f'<FONT POINT-SIZE="10" COLOR="{QUIET}">{html.escape(line)}</FONT>'
              for line in textwrap.wrap(state["text"], 34)]
    cells = [f'<TR><TD>{"<BR/>".join(lines)}</TD></TR>']
    for events, actions in by_actions(rows):
        text = [html.escape(line) for line in wrapped(events, 32)]
        text += ([coloured(line, ACTION) for line in wrapped(actions, 32)] if actions
                 else [coloured("nothing", QUIET)])
        left = "".join(f'{line}<BR ALIGN="LEFT"/>' for line in text)
        cells.append(f'<HR/><TR><TD ALIGN="LEFT" BALIGN="LEFT"><FONT POINT-SIZE="10">{left}</FONT></TD></TR>')
    return (f'  {state["name"]} [fillcolor="{FILLS[0] if is_first else FILLS[1]}", label=<<TABLE BORDER="0" '
            f'CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">{"".join(cells)}</TABLE>>];')


def edge(state, next_state, rows):
    cells = []
    for events, actions in by_actions(rows):
        lines = [html.escape(line) for line in wrapped(events, 26)]
        lines += ([coloured(line, ACTION) for line in wrapped(actions, 26)] if actions
                  else [coloured("nothing", QUIET)])
        left = "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines)
        cells.append(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{left}</TD></TR>')
    return (f'  {state} -> {next_state} [label=<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" '
            f'CELLPADDING="2">{"".join(cells)}</TABLE>>];')


def dot(machine):
    rows = [row for row in machine["rows"] if "next" in row]
    out = [f"digraph {machine['name']} {{",
           '  graph [rankdir=TB, nodesep=0.7, ranksep=0.55, bgcolor="white", fontname="Helvetica"];',
           f'  node [shape=box, style="rounded,filled", color="{QUIET}", fontname="Helvetica", '
           f'fontsize=12, fontcolor="{INK}", margin="0.12,0.04"];',
           f'  edge [color="{QUIET}", fontname="Helvetica", fontsize=10, fontcolor="{INK}", '
           'arrowsize=0.7];']
    for number, state in enumerate(machine["states"]):
        stays = [row for row in rows if row["state"] == state["name"] == row["next"]]
        out.append(node(state, stays, number == 0))
    pairs = {}
    for row in rows:
        if row["next"] != row["state"]:
            pairs.setdefault((row["state"], row["next"]), []).append(row)
    out += [edge(state, next_state, those) for (state, next_state), those in pairs.items()]
    return "\n".join(out + ["}"]) + "\n"


def digest(source):
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def labels_last(drawn):
    """What arrows say, in front of all arrows and with a white rim: an arrow that crosses it does not strike it out."""
    labels = []

    def take(edge_group):
        labels.extend(re.findall(r"<text .*?</text>\n", edge_group[0]))
        return re.sub(r"<text .*?</text>\n", "", edge_group[0])

    drawn = re.sub(r'<g id="edge\d+".*?\n</g>\n(?=<g id=|</g>)', take, drawn, flags=re.S)
    front = '<g stroke="white" stroke-width="3" paint-order="stroke">\n' + "".join(labels) + "</g>\n"
    return drawn.replace("</g>\n</svg>", front + "</g>\n</svg>")


def svg(source):
    drawn = subprocess.run(["dot", "-Tsvg"], input=source, check=True, stdout=subprocess.PIPE,
                           text=True).stdout
    drawn = re.sub(r"<!--.*?-->\n", "", drawn, flags=re.S)
    return labels_last(drawn).replace("<svg ", f"<!-- drawn of {digest(source)} -->\n<svg ", 1)


def is_drawn_of(picture, source):
    note = NOTE.search(picture)
    return note is not None and note.group(1) == digest(source)
