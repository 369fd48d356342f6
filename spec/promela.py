"""A machine as Promela: names for its states and events, and one step.

The step takes the row of the table and does its actions, which the including model defines as
MACHINE_do_ACTION(). A cell that cannot occur is an assertion that fails."""


def row(name, row):
    where = f"state == {name}_{row['state']} && event == {name}_on_{row['event']}"
    if "never" in row:
        return f"    :: {where} -> assert(false)"
    does = "".join(f"; {name}_do_{action}()" for action in row["actions"])
    return f"    :: {where} -> state = {name}_{row['next']}{does}"


def machine(machine):
    name = machine["name"]
    out = [f"/* fsm/{name}.def */"]
    out += [f"#define {name}_{state['name']} {number}" for number, state in enumerate(machine["states"])]
    out += [f"#define {name}_on_{event['name']} {number}"
            for number, event in enumerate(machine["events"])]
    out += ["", f"inline {name}_step(state, event)", "{", "    if"]
    out += [row(name, one) for one in machine["rows"]]
    return "\n".join(out + ["    fi", "}"]) + "\n"
