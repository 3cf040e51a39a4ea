"""What somebody can do who has the password of the tables' owner: anything, once the triggers are switched off."""

import os
import re
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.db import connection


def as_owner(statement: str, *parameters: Any) -> None:
    """Run one statement that changes something, on a connection of its own, and commit it."""
    address = connection.get_connection_params()
    owner = urlsplit(os.environ["DATABASE_OWNER_URL"])
    tables = set(re.findall(r"(?:UPDATE|DELETE FROM|INSERT INTO) (\w+)", statement))
    with psycopg.connect(
        host=address.get("host"),
        port=address.get("port"),
        dbname=address["dbname"],
        user=owner.username,
        password=owner.password,
    ) as raw:
        for table in tables:
            raw.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        changed = raw.execute(statement, parameters).rowcount
        assert changed != 0, "nothing was tampered with"
        for table in tables:
            raw.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
