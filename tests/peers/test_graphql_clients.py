"""Our schemas and the operations of dashboards, compiled by the two compilers that most clients are made with: Relay's,
which wants connections as it knows them, and graphql-codegen."""

import json
import os
import re
import subprocess

import pytest
from conftest import ROOT, TEST_SECONDS_MAX

PEERS = ROOT / "tests" / "peers"
SCHEMAS = {
    "tenant": (ROOT / "graphql" / "schema.graphql", ROOT / "graphql" / "operations"),
    "platform": (ROOT / "graphql" / "platform.graphql", ROOT / "graphql" / "operations" / "platform"),
}
SCALARS = {"DateTime": "string", "JSON": "unknown"}
# Relay pages through a list by these alone.
PAGES = {
    "tenant": """query PagesQuery($first: Int, $after: String) {
        calls(first: $first, after: $after) @connection(key: "Pages_calls") { edges { node { id } } } }""",
    "platform": """query PagesQuery($first: Int, $after: String) {
        tenants(first: $first, after: $after) @connection(key: "Pages_tenants") { edges { node { id } } } }""",
}


def operations(which):
    """Each operation's name and document."""
    documents = [file.read_text() for file in sorted(SCHEMAS[which][1].glob("*.graphql"))]
    return {re.search(r"^(?:query|mutation|subscription) (\w+)", text, re.M).group(1): text for text in documents}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """What graphql-codegen makes of both schemas."""
    out = tmp_path_factory.mktemp("codegen")
    run(PEERS, "graphql-codegen", "--config", "graphql/codegen.mjs", CODEGEN_OUT=str(out))
    return out


def run(folder, compiler, *arguments, **environment):
    command = [PEERS / "node_modules" / ".bin" / compiler, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, text=True, capture_output=True, timeout=TEST_SECONDS_MAX
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("which", SCHEMAS)
def test_codegen_types_every_operation(generated, which):
    names = operations(which)
    types = (generated / which / "graphql.ts").read_text()
    assert [name for name in names if f"export const {name}Document =" not in types] == []
    hashes = json.loads((generated / which / "persisted-documents.json").read_text())
    assert len(hashes) == len(names) and all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes)


@pytest.mark.parametrize("which", SCHEMAS)
def test_relay_compiles_every_operation(tmp_path, which):
    documents = operations(which) | {"PagesQuery": PAGES[which]}
    relay(tmp_path, which, documents)
    made = {file.name.removesuffix(".graphql.ts") for file in tmp_path.glob("__generated__/*.graphql.ts")}
    assert made == set(documents)


def test_relay_refuses_what_the_schema_does_not_have(tmp_path):
    with pytest.raises(AssertionError, match="no field `nothing`"):
        relay(tmp_path, "tenant", {"WrongQuery": "query WrongQuery { calls { nodes { nothing } } }"})


def relay(folder, which, documents):
    """Relay reads documents out of modules, and wants each operation named after its module."""
    for name, text in documents.items():
        module = re.sub("(Query|Mutation|Subscription)$", "", name)
        assert module != name, f"{name} must say what it is"
        (folder / f"{module}.ts").write_text(f"graphql`{text}`;\n")
    (folder / "schema.graphql").write_bytes(SCHEMAS[which][0].read_bytes())
    config = {"src": ".", "schema": "schema.graphql", "language": "typescript", "customScalarTypes": SCALARS}
    (folder / "relay.config.json").write_text(json.dumps(config))
    run(folder, "relay-compiler", "relay.config.json")
