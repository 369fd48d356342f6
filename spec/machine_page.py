"""The page of one machine, in Markdown: its picture, and its table in words."""

from statements import anchor

MARK = "<!-- Made by spec/generate from fsm/{name}.def: change that. -->\n"


def cell(text):
    return text.replace("|", "\\|")


def row_anchor(state, event):
    return f"{state}-{event}".lower()


def in_words(row, actions, statements):
    event, after = row["event"], row["next"]
    does = "<br>".join(f"`{action}` {cell(actions[action])}" for action in row["actions"])
    then = "stays" if after == row["state"] else f"[{after}](#in-{after.lower()})"
    return (f'| <a id="{row_anchor(row["state"], event)}"></a>`{event}` | {does or "nothing"} '
            f'| {then} | {cell(statements.linked(row["why"]))} |')


def never(rows, statements):
    reasons = {}
    for row in rows:
        reasons.setdefault(row["never"], []).append(row["event"])
    return [f"- {', '.join(f'`{event}`' for event in events)}: {statements.linked(reason)}"
            for reason, events in reasons.items()]


def state_part(machine, state, statements):
    actions = {action["name"]: action["text"] for action in machine["actions"]}
    rows = [row for row in machine["rows"] if row["state"] == state["name"]]
    can = [row for row in rows if "next" in row]
    cannot = [row for row in rows if "never" in row]
    out = [f"### In {state['name']}", "", f"{state['text'][0].upper()}{state['text'][1:]}.", ""]
    if can:
        out += ["| on | does, in this order | then | because |", "|---|---|---|---|"]
        out += [in_words(row, actions, statements) for row in can] + [""]
    if cannot:
        out += ["Cannot happen; the broker would stop and say where:", ""]
        out += never(cannot, statements) + [""]
    return out


def statement_part(machine, statements):
    """The statements in full, and where they are cited: a search in the page finds no titles of links."""
    cited = {}
    for row in machine["rows"]:
        state, event = row["state"], row["event"]
        for one in statements.ids.cited_in(row["why"] if "next" in row else row["never"]):
            where = row_anchor(state, event) if "next" in row else f"in-{state.lower()}"
            place = f"[{state} / {event}](#{where})"
            if place not in cited.setdefault(one, []):
                cited[one].append(place)
    out = ["## The statements", "",
           "What the rows above cite; for cells that cannot happen, the link leads to the state.", "",
           "| statement | what it asks for | cited by |", "|---|---|---|"]
    for key, statement in statements.all.items():
        if key in cited:
            version, number = key
            old = "3.1.1 " if version == "3.1.1" else ""
            out.append(f"| {old}[MQTT-{number}](matrix.md#{anchor(version, number)}) | {cell(statement.words)} "
                       f"| {', '.join(cited[key])} |")
    return out


def page(machine, statements):
    name = machine["name"]
    rows = [row for row in machine["rows"] if "next" in row]
    counts = (f"{len(machine['states'])} states, {len(machine['events'])} events, {len(rows)} rows; "
              f"{len(machine['rows']) - len(rows)} cells that cannot happen")
    out = [MARK.format(name=name), f"# {machine['title']}", "",
           machine["about"], "",
           f"The table is [`fsm/{name}.def`](../../fsm/{name}.def) ({counts}); "
           f"[`fsm/{name}_test.c`](../../fsm/{name}_test.c) tests it. "
           "[All machines](README.md) · [all statements](matrix.md)", "",
           f"![The states of {name} and what leads from one to another]({name}.svg)", "",
           "An arrow is labelled with events, and below them, in blue, with what is done, in that order. "
           "What leaves a state as it is stands inside it. The words of each statement are [below](#the-statements).",
           "", "## The events", "",
           "| event | what it is |", "|---|---|"]
    out += [f"| `{event['name']}` | {cell(event['text'])} |" for event in machine["events"]]
    out += ["", "## The table in words", ""]
    for state in machine["states"]:
        out += state_part(machine, state, statements)
    out += statement_part(machine, statements)
    return "\n".join(out).rstrip() + "\n"
