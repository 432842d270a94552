"""clairvoyance, which rebuilds a schema from what a server says to those who misspell it, finds none at ours in
production, though it is given every name that there is; with the same names it finds ours at a server that helps."""

import json
import re
import subprocess

import pytest
from conftest import ROOT, TEST_SECONDS_MAX, Process
from product import Product

SCHEMA = ROOT / "graphql" / "schema.graphql"
SUGGESTING = ROOT / "tests" / "peers" / "graphql" / "suggesting.mjs"
# Of a misspelt name, others suggest the right one; clairvoyance asks one type after the other, which takes its time.
TYPES = ["Query", "Tenant", "Template"]


@pytest.fixture
def names(tmp_path):
    fields = [re.search(rf"^type {name} {{\n(.*?)^}}", SCHEMA.read_text(), re.M | re.S).group(1) for name in TYPES]
    found = sorted(set(re.findall(r"^  (\w+)[:(]", "".join(fields), re.M)))
    assert {"tenant", "callers", "slug", "sha256"} <= set(found)
    (tmp_path / "names").write_text("\n".join(found))
    return tmp_path / "names"


@pytest.fixture
def suggesting():
    server = Process("node", SUGGESTING, SCHEMA)
    yield server.first_line.strip()
    server.stop()


@pytest.fixture
def product():
    product = Product("http://127.0.0.1:9/v1", ENVIRONMENT="production")
    yield product
    product.stop()


def clairvoyance(url, names, *headers):
    """How it ends, what it says, and the types with fields that it has found."""
    out = names.with_name("found.json")
    command = ["clairvoyance", url, "-w", names, "-o", out, "-p", "slow"]
    for header in headers:
        command += ["-H", header]
    done = subprocess.run(command, text=True, capture_output=True, timeout=TEST_SECONDS_MAX)
    types = json.loads(out.read_text())["data"]["__schema"]["types"] if out.exists() else []
    return done, {one["name"]: {field["name"] for field in one["fields"]} for one in types if one.get("fields")}


def test_a_server_that_helps_gives_our_schema_away(names, suggesting):
    done, found = clairvoyance(suggesting, names)
    assert done.returncode == 0, done.stderr
    assert {"tenant", "agent", "callers", "calls"} <= found["Query"] and "slug" in found["Tenant"]


def test_ours_gives_nothing_away_in_production(names, product):
    for client in (product.tenant(), product.operator()):
        headers = f"Host: {client.host}", f"Authorization: Bearer {client.key}"
        done, found = clairvoyance(product.url + "/graphql", names, *headers)
        assert done.returncode != 0 and found == {}, done.stdout
        assert "very likely that Field Suggestion is not fully enabled" in done.stderr
