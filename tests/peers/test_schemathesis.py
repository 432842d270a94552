"""Both our schemas, fuzzed by schemathesis: whatever document they allow is answered or refused with a code of ours, and
nothing is a fault."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import TEST_SECONDS_MAX
from product import Product

pytest.importorskip("schemathesis", reason="schemathesis wants Python >= 3.11")

PEERS = pathlib.Path(__file__).parent
DOCUMENTS_PER_FIELD = 20
# Below what a tenant's plan and an operator may send: what is sent too early is not executed.
RATE = "40/s"


@pytest.fixture(scope="module")
def product():
    product = Product("http://127.0.0.1:9/v1")
    yield product
    product.stop()


@pytest.mark.parametrize("who", ["tenant", "operator"])
def test_every_field_answers_or_refuses_whatever_is_asked_of_it(product, who, tmp_path):
    client = getattr(product, who)()
    options = {
        "--header": f"Host: {client.host}", "--checks": "answered_or_refused", "--phases": "fuzzing", "--seed": "4",
        "--max-examples": str(DOCUMENTS_PER_FIELD), "--rate-limit": RATE,
        # It is asked with ids that came back before, and whoever disables themselves is let in no more.
        "--exclude-name": "Mutation.disableOperator",
    }
    arguments = [word for option in options.items() for word in option]
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(PEERS)}
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", client.product.url + "/graphql", *arguments,
         "--header", f"Authorization: Bearer {client.key}"],
        cwd=tmp_path, env=os.environ | hooks, text=True, capture_output=True, timeout=TEST_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    generated, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", done.stdout).groups())
    assert DOCUMENTS_PER_FIELD <= generated == passed, done.stdout
