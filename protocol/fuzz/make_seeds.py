#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets from protocol/fixtures/ into the directory given:
packet/, frame/ and topic/ below it, a file a fixture. Merge what is new into the committed corpus:

    protocol/fuzz/make_seeds.py /tmp/seeds
    build/fuzz/protocol/protocol_packet_fuzz -merge=1 protocol/fuzz/packet /tmp/seeds/packet
"""

import pathlib
import re
import sys

VERSIONS = {"3.1": 0, "3.1.1": 1, "5.0": 2}
TOKEN = re.compile(r'"([^"]*)"|x(\d+)|([0-9A-Fa-f]{2})|(//.*)|\s+')


def packet_bytes(lines):
    out, last = b"", b""
    for line in lines:
        for text, times, pair, comment in TOKEN.findall(line):
            if comment:
                break
            if times:
                out += last * (int(times) - 1)
            elif text or pair:
                last = text.encode() if text else bytes.fromhex(pair)
                out += last
    return out


def fixtures(path):
    name, block, lines = None, None, []
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            name = re.sub(r"[^a-z0-9]+", "-", line[3:].lower()).strip("-")
        elif line.startswith("```") and block is None:
            block, lines = line[3:].split(), []
        elif line.startswith("```"):
            if block[0] in ("to-server", "to-client"):
                yield f"{path.stem}-{name}", block[0] == "to-server", block[1:], packet_bytes(lines)
            block = None
        elif block is not None:
            lines.append(line)


def topics(path):
    """The tables of topic_test.c: filters and names are its string literals."""
    for number, line in enumerate(path.read_text().splitlines()):
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        if texts and line.lstrip().startswith("{"):
            yield f"{number}", "\n".join(texts).encode().decode("unicode_escape").encode("latin-1")


def main():
    out = pathlib.Path(sys.argv[1])
    protocol = pathlib.Path(__file__).resolve().parent.parent
    for target in ("packet", "frame", "topic"):
        (out / target).mkdir(parents=True, exist_ok=True)
    for path in sorted((protocol / "fixtures").glob("*.md")):
        for name, to_server, versions, data in fixtures(path):
            for version in versions:
                first = bytes([to_server + 2 * VERSIONS[version]])
                (out / "packet" / f"{name}-{version}").write_bytes(first + data)
            (out / "frame" / name).write_bytes(bytes([to_server]) + data[:6])
    for name, data in topics(protocol / "topic_test.c"):
        (out / "topic" / name).write_bytes(data)


main()
