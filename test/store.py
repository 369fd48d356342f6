"""A look into the database of a broker, through SQLite alone."""

import os
import sqlite3
from contextlib import closing

FILE = "holdfast.db"


def path(directory):
    return os.path.join(directory, FILE)


def query(directory, sql):
    with closing(sqlite3.connect(f"file:{path(directory)}?mode=ro", uri=True)) as database:
        return database.execute(sql).fetchall()


def rows(directory, table):
    return query(directory, f"SELECT count(*) FROM {table}")[0][0]


def left_over(directory):
    """{table: rows} of bodies that are kept for somebody and of what is owed; {} when none is."""
    counts = {table: rows(directory, table) for table in ("message", "segment", "progress")}
    return {table: count for table, count in counts.items() if count}


# ---- Segments, by the description in storage/segment.h ----

SHARED = 1


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def entries(first, count, directory, data, progress):
    """(number, body, its bytes) of each entry of a segment that is not settled."""
    number, at, offset = first, 0, 0
    for index in range(count):
        step, at = varint(directory, at)
        what, at = varint(directory, at)
        number, size = number + step, what >> 3
        if not progress or not progress[2 + index // 8] >> index % 8 & 1:
            yield number, what & 3, data[offset:offset + size]
        offset += size
    if at != len(directory) or offset != len(data):
        raise AssertionError(f"the segment that begins with {first} has bytes left")


def owed(directory):
    """(incarnation, number, body, bytes) of all that is owed; body SHARED: a row of `message`."""
    segments = query(directory, "SELECT s.incarnation, s.first, s.count, s.directory, s.data, "
                                "p.data FROM segment AS s LEFT JOIN progress AS p "
                                "USING(incarnation, first)")
    return [(incarnation, *entry) for incarnation, *segment in segments
            for entry in entries(*segment)]
