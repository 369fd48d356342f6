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
    counts = {table: rows(directory, table) for table in ("message", "owed")}
    return {table: count for table, count in counts.items() if count}
