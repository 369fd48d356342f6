"""The dashboard for Grafana: promtool parses what its panels ask, a broker exposes it, and the file has the fields
that Grafana's dashboard schema requires. No Grafana has shown it: its schema is all that is checked of it."""

import json
import os
import re
import subprocess

import checks
from case import case
from cases.alerts import ROOT, need_promtool
from http_client import request

DASHBOARD = os.path.join(ROOT, "packaging", "grafana-dashboard.json")
PORT = 9883
# What the schema (kind Dashboard, version 39) requires, with the types of it.
OF_DASHBOARD = {"schemaVersion": int, "title": str, "uid": str, "panels": list}
OF_PANEL = {"id": int, "type": str, "title": str, "gridPos": dict}
OF_VARIABLE = {"type": str, "name": str}
COLUMNS = 24


def read():
    with open(DASHBOARD, encoding="ascii") as file:
        return json.load(file)


def targets(dashboard):
    return [target for panel in dashboard["panels"] for target in panel.get("targets", ())]


def require(where, found, fields):
    for name, kind in fields.items():
        checks.that(isinstance(found.get(name), kind), f"{where}: {name} is {found.get(name)!r}")


def cells(position):
    return {(x, y) for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])}


@case("issue 8")
def the_dashboard_has_what_grafanas_schema_requires(t):
    t.holdfast_only("dashboard for Grafana")
    dashboard, taken, numbers = read(), set(), set()
    require("dashboard", dashboard, OF_DASHBOARD)
    for variable in dashboard["templating"]["list"]:
        require("variable", variable, OF_VARIABLE)
    for panel in dashboard["panels"]:
        where = f"panel {panel.get('title')!r}"
        require(where, panel, OF_PANEL)
        require(where, panel["gridPos"], {name: int for name in "hwxy"})
        own = cells(panel["gridPos"])
        checks.that(own and all(0 <= x < COLUMNS for x, _ in own), f"{where}: it is off the grid")
        checks.that(not own & taken, f"{where}: it lies on another")
        checks.that(panel["id"] not in numbers, f"{where}: its id is another's")
        taken |= own
        numbers.add(panel["id"])
        checks.that(panel["type"] == "row" or panel.get("targets"), f"{where}: it asks for nothing")
        for target in panel.get("targets", ()):
            require(where, target, {"refId": str, "expr": str, "datasource": dict})
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"]))) - {"__rate_interval"}
    checks.equal("variables", used, variables)


@case("issue 8")
def promtool_parses_what_the_dashboard_asks(t):
    need_promtool(t)
    rules = [{"record": f"panel:{number}", "expr": target["expr"].replace("$__rate_interval", "5m")}
             for number, target in enumerate(targets(read()))]
    path = os.path.join(t.directory, "panels.yml")
    with open(path, "w", encoding="ascii") as file:  # JSON is YAML
        json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)
    done = subprocess.run(["promtool", "check", "rules", path], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    checks.that(done.returncode == 0 and f"{len(rules)} rules found" in done.stdout, done.stdout)


@case("issue 8")
def a_broker_exposes_what_the_dashboard_asks(t):
    t.holdfast_only("dashboard for Grafana")
    t.start(tls=True, admin={"http": f"{t.address}:{PORT}"}, mqtt={"max_stored_sessions": 10})
    t.await_line("admin: HTTP on")
    _, _, page = request((t.address, PORT), "/metrics")
    there = {}
    for name, labels in re.findall(r"^(\w+?)(?:\{(.*)\})? \S+$", page, re.MULTILINE):
        there.setdefault(name, {"instance"}).update(re.findall(r'(\w+)="', labels))
    for target in targets(read()):
        names = re.findall(r"\b((?:holdfast|process)_\w+)", target["expr"])
        checks.that(names, f"{target['expr']}: it asks for no metric")
        for name in names:
            checks.that(name in there, f"{name} is not exposed")
            checks.equal(f"labels of {name} that there are not",
                         set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) - there[name], set())
