"""What the admin listener answers."""

import http.client
import json
import urllib.parse


def request(address, path, method="GET", token=None, timeout=30, body=None):
    """(status, headers, text)"""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def call(address, token, method, path, **arguments):
    """(status, what the JSON says): arguments as a query, or as a body where the method has one."""
    body = None
    if method in ("POST", "PUT"):
        body = json.dumps(arguments)
    elif arguments:
        path += "?" + urllib.parse.urlencode(arguments)
    status, headers, text = request(address, path, method, token=token, body=body)
    if headers["Content-Type"] != "application/json":
        raise AssertionError(f"{method} {path}: {status} {text!r}")
    return status, json.loads(text)
