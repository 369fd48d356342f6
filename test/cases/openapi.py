"""docs/openapi.json: every path and method in it answers as it says, and it has all that there are."""

import json
import os
import re

import checks
from case import case
from cases.administration import PORT, TOKEN, start
from http_client import call, request

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


def document():
    with open(os.path.join(ROOT, "docs", "openapi.json"), encoding="ascii") as file:
        return json.load(file)


def resolved(root, schema):
    while "$ref" in schema:
        for part in schema["$ref"].split("/"):
            schema = root if part == "#" else schema[part]
    return schema


def valid(root, schema, value, where):
    """Whether a value is as its schema says, and has nothing that the schema does not know."""
    schema = resolved(root, schema)
    if "allOf" in schema:
        parts = [resolved(root, part) for part in schema["allOf"]]
        schema = {"type": "object", "required": sum((part["required"] for part in parts), []),
                  "properties": {name: one for part in parts for name, one in part["properties"].items()}}
    kind = TYPES[schema["type"]]
    checks.that(isinstance(value, kind) and isinstance(value, bool) == (kind is bool),
                f"{where}: {value!r} is no {schema['type']}")
    if "enum" in schema:
        checks.one_of(where, value, schema["enum"])
    if kind is int:
        checks.that(schema.get("minimum", 0) <= value <= schema.get("maximum", value), f"{where}: {value}")
    if kind is list:
        for one in value:
            valid(root, schema["items"], one, where + "[]")
    if kind is dict:
        checks.equal(f"{where} lacks", [name for name in schema.get("required", ()) if name not in value], [])
        for name, one in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            checks.that(known, f"{where}: {name} is not described")
            valid(root, known, one, f"{where}.{name}")


def described(root):
    """{(method, path): (operation, {names of its parameters})}"""
    found = {}
    for path, methods in root["paths"].items():
        for method, operation in methods.items():
            names = {one["name"] for one in operation.get("parameters", ())}
            body = operation.get("requestBody")
            if body:
                names |= set(body["content"]["application/json"]["schema"]["properties"])
            found[method.upper(), path] = operation, names
    return found


@case("issue 8")
def the_description_has_every_verb_of_the_table(t):
    t.holdfast_only("its administration")
    with open(os.path.join(ROOT, "verbs", "verb.def"), encoding="ascii") as file:
        rows = re.findall(r'^VERB\("(\w+)", (\w+), "([^"]+)", \w+, "([^"]*)"', file.read(), re.MULTILINE)
    table = {(method, path): (name, set(parameters.split())) for name, method, path, parameters in rows}
    found = {key: (operation["operationId"], names)
             for key, (operation, names) in described(document()).items()}
    checks.that(len(table) > 10, table)
    checks.equal("verbs", found, table)


@case("issue 8", timeout=60)
def every_path_and_method_answers_as_it_is_described(t):
    start(t, tls=True)
    root = document()
    address = (t.address, PORT)
    t.away("away", "a", qos=2)
    client = t.client("c", stored=True, props={"receive_maximum": 1})
    client.subscribe("a/#", qos=2)
    publisher = t.client("p")
    publisher.publish("a/b", b"x", qos=1, retain=True)
    publisher.publish("a/b", b"y", qos=2)
    good = {"session": {"client": "c"}, "kick": {"client": "c"}, "delete_session": {"client": "away"},
            "publish": {"topic": "a", "payload": "x", "qos": 1, "retain": True},
            "retained": {"filter": "#"}, "delete_retained": {"filter": "#"}, "log_level": {"level": "info"},
            "backup": {"directory": os.path.join(t.directory, "copy")}}
    operations = described(root)
    last = ("DELETE", "/api/v1/session"), ("DELETE", "/api/v1/retained"), ("POST", "/api/v1/kick"), ("POST", "/api/v1/drain")
    for key in sorted(operations, key=lambda one: last.index(one) if one in last else -1):
        (method, path), (operation, names) = key, operations[key]
        name = operation["operationId"]
        checks.equal(f"{name} without a token",
                     request(address, path, method, body="{}" if method in ("POST", "PUT") else None)[0], 401)
        wrong = [{"no_such_parameter": "x"}]
        needed = [one["name"] for one in operation.get("parameters", ()) if one.get("required")]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if needed or body.get("required"):
            wrong.append({})
        for arguments in wrong:
            status, answer = call(address, TOKEN, method, path, **arguments)
            checks.equal(f"{name} {arguments}", status, 400)
            valid(root, root["components"]["schemas"]["Error"], answer, name)
        status, answer = call(address, TOKEN, method, path, **good.get(name, {}))
        checks.that(str(status) in operation["responses"] and status < 300, f"{name}: {status} {answer}")
        valid(root, operation["responses"][str(status)]["content"]["application/json"]["schema"], answer, name)
    t.broker.wait_for_exit()
