"""A database of its own with the control plane and two tenants, made by the product's own command line, for parts that
judge what is in it. Must never write anything that stays when the database is gone."""

import os
import secrets
import subprocess
import urllib.parse

import psycopg
from conftest import ROOT, TARGET


class Database:
    """One database; `schemas` are those of its two tenants, `url` is how its owner reaches it."""

    def __init__(self):
        assert "DATABASE_URL" in os.environ, "run scripts/test peers: it sets up the database"
        self.server = os.environ["DATABASE_URL"]
        self.name = f"neurosphere_peers_{secrets.token_hex(6)}"
        self.url = urllib.parse.urlsplit(self.server)._replace(path=f"/{self.name}").geturl()
        self.schemas = []
        self.on_server(f"create database {self.name}")
        try:
            self.run("migrate")
            for slug in ("alpha", "beta"):
                self.run("tenant", "create", "--name", "Peers Insurance", "--agent", "Barbara", slug)
            with self.connect() as connection:
                found = connection.execute("select nspname from pg_namespace where nspname ~ '^tenant_' order by 1")
                self.schemas = [schema for (schema,) in found]
            assert len(self.schemas) == 2
        except BaseException:
            self.drop()
            raise

    def run(self, *command):
        environment = os.environ | {"DATABASE_URL": self.url, "TENANTS_PREPARED": "0"}
        command = [TARGET / "neurosphere", *command]
        done = subprocess.run(command, env=environment, cwd=ROOT, text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def connect(self):
        """A connection as the owner, in a transaction that ends with a commit unless it is rolled back."""
        return psycopg.connect(self.url)

    def drop(self):
        # Not `with (force)`: that refuses where a worker of the server's own is at work, which a plain drop ends.
        self.on_server(f"drop database {self.name}", *(f"drop role {role}" for role in self.schemas))

    def on_server(self, *statements):
        with psycopg.connect(self.server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
