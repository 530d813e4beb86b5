#!/usr/bin/env python3
"""A destination of vinfer-sync in Python: it keeps calls in an SQLite file of its own.

Configure it as

    crm:
      - name: mine
        exec:
          command: [/usr/bin/python3, /usr/local/lib/vinfer-sync/example.py]
          env: {CALLS_DB: /var/lib/vinfer-sync/mine.db}

It reads one line of JSON for each delivery and answers with one line. It works as a process for each line, and with
keep_running: true as one that takes line after line: the loop ends when its input ends.
"""

import json
import os
import sqlite3
import sys


class Rejected(Exception):
    """This delivery can never be stored: it becomes a dead letter."""


def store(db, line):
    """Stores a delivery and returns its refs. The key makes a repeated delivery harmless."""
    if not line["contact"]["phone"]:
        raise Rejected("a call without a number is of no use here")
    with db:
        row = db.execute("SELECT id FROM deliveries WHERE key = ?", (line["key"],)).fetchone()
        if row is None:
            row = db.execute(
                "INSERT INTO deliveries (key, call_id, event, phone, disposition, body) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                (line["key"], line["call_id"], line["event"], line["contact"]["phone"], line["disposition"], json.dumps(line)),
            ).fetchone()
        # An older call must not set back the status that a newer one set, so only one that says set_status does.
        if line["set_status"]:
            db.execute(
                "INSERT INTO people (phone, status) VALUES (?, ?) ON CONFLICT (phone) DO UPDATE SET status = excluded.status",
                (line["contact"]["phone"], line["status"]),
            )
    return {"delivery": str(row[0])}


def answer(db, text):
    """Answers one line. What is not answered for is a traceback on stderr, exit code 1, and is tried again."""
    line = json.loads(text)
    try:
        return {"key": line["key"], "ok": True, "refs": store(db, line)}
    except Rejected as why:
        return {"key": line["key"], "ok": False, "verdict": "reject", "error": str(why)}
    except sqlite3.OperationalError as why:  # locked, or the disk is full
        return {"key": line["key"], "ok": False, "verdict": "throttle", "error": str(why), "wait": "30s"}


def main():
    if "CALLS_DB" not in os.environ:
        print("set CALLS_DB in exec.env", file=sys.stderr)
        sys.exit(78)  # halts the destination until an operator acts
    db = sqlite3.connect(os.environ["CALLS_DB"], timeout=20, isolation_level="IMMEDIATE")  # other processes write to it as well
    db.execute("PRAGMA journal_mode = wal")
    db.executescript(
        """CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY, key TEXT UNIQUE, call_id TEXT, event TEXT, phone TEXT,
             disposition TEXT, body TEXT);
           CREATE TABLE IF NOT EXISTS people (phone TEXT PRIMARY KEY, status TEXT);"""
    )
    for text in sys.stdin:
        print(json.dumps(answer(db, text)), flush=True)  # flush: the answer is waited for


if __name__ == "__main__":
    main()
