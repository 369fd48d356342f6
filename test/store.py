"""A look into the database of a stopped broker, through SQLite alone."""

import os
import sqlite3

FILE = "holdfast.db"


def path(directory):
    return os.path.join(directory, FILE)


def connect(directory):
    return sqlite3.connect(f"file:{path(directory)}?mode=ro", uri=True)


def tables(database):
    return [name for name, in database.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]


def left_over(directory):
    """{table: rows} of what is left of messages that are not retained."""
    return {}
