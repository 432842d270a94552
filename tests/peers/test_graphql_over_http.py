"""Our GraphQL over HTTP, judged by graphql-http's audits: on a tenant's host and on the platform's, none of the 61 finds
anything, not even where the specification only recommends. In production four cannot be asked: they try variables by
asking for the schema, which is not told there."""

import json
import pathlib
import subprocess

import pytest
from conftest import ROOT, TEST_SECONDS_MAX
from product import Product

AUDITS = pathlib.Path(__file__).parent / "graphql" / "audits.mjs"
AUDITS_COUNT = 61
ASK_FOR_THE_SCHEMA = {"28B9", "2EA1", "6A70", "D6D5"}


@pytest.fixture(scope="module", params=["development", "production"])
def product(request):
    product = Product("http://127.0.0.1:9/v1", ENVIRONMENT=request.param)
    product.finds = ASK_FOR_THE_SCHEMA if request.param == "production" else set()
    yield product
    product.stop()


def test_no_audit_finds_anything_at_a_tenants_host(product):
    assert findings(product.tenant()) == product.finds


def test_no_audit_finds_anything_at_the_platforms_host(product):
    assert findings(product.operator()) == product.finds


def findings(client):
    """The audits that are not content."""
    done = subprocess.run(
        ["node", AUDITS, client.product.url + "/graphql", client.host, client.key],
        cwd=ROOT, text=True, capture_output=True, timeout=TEST_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    verdicts = {verdict["id"]: verdict for verdict in json.loads(done.stdout)}
    assert len(verdicts) == AUDITS_COUNT
    bad = {id: verdict for id, verdict in verdicts.items() if verdict["status"] != "ok"}
    print(*bad.values(), sep="\n")
    return set(bad)
