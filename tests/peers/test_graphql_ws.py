"""Our subscriptions, taken by graphql-ws and graphql-sse, the reference clients of their protocols: a call is followed while
it happens, a client that has enough is left alone, and who may not come in is told so in the protocol's own way."""

import json
import pathlib
import subprocess
import time

import pytest
from conftest import ACCOUNT_SID, AUTH_TOKEN, FIXTURES, ROOT, TARGET, TEST_SECONDS_MAX, Process, http_json
from product import CALLER, WAIT_SECONDS, Product

CLIENT = pathlib.Path(__file__).parent / "graphql" / "client.mjs"
CLIENT_OF_EVENTS = pathlib.Path(__file__).parent / "graphql" / "events.mjs"
TURNS = "subscription($call: ID!) { callTurns(callId: $call) { sequence speaker text } }"
NAME = {"query": "{ tenant { name } }"}
OVER = {"over": True}
CONNECTED = {"connected": True}
FORBIDDEN = 4403


@pytest.fixture(scope="module")
def standin():
    standin = Process(
        TARGET / "standin", "serve", "--speech", FIXTURES / "speech", "--script", FIXTURES / "scripts" / "insurance.toml",
        "--speaker", "scripts/speech.py",
    )
    yield json.loads(standin.first_line)
    standin.stop()


@pytest.fixture(scope="module")
def product(standin):
    product = Product(standin["openai"] + "/v1", standin["twilio"])
    yield product
    product.stop()


def told(tenant, *operations, **otherwise):
    """What the client tells of these operations, one after the other."""
    return client(CLIENT, tenant.product.url.replace("http", "ws") + "/graphql/ws", tenant, operations, otherwise)


def told_as_events(tenant, *operations, **otherwise):
    """The same over a stream of events for each."""
    return client(CLIENT_OF_EVENTS, tenant.product.url + "/graphql/stream", tenant, operations, otherwise)


def client(program, address, tenant, operations, otherwise):
    order = {"host": tenant.host, "key": tenant.key, "operations": operations} | otherwise
    done = subprocess.run(
        ["node", program, address, json.dumps(order)],
        cwd=ROOT, text=True, capture_output=True, timeout=TEST_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def call(standin, tenant, seconds):
    """The id of a call that has just begun, of somebody who listens for a while and hangs up."""
    order = {
        "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from": CALLER, "to": tenant.number,
        "webhook_url": tenant.product.url + "/twilio/voice",
        "status_callback_url": tenant.product.url + "/twilio/status",
        "caller": {"steps": [{"do": "silence", "ms": seconds * 1000}, {"do": "hang_up"}]},
    }
    http_json("POST", standin["control"] + "/calls", order)
    until = time.monotonic() + WAIT_SECONDS
    while not (calls := tenant.query("{ calls(first: 1) { nodes { id state } } }")["calls"]["nodes"]):
        assert time.monotonic() < until, "no call came in"
        time.sleep(0.05)
    assert calls[0]["state"] != "ENDED"
    return calls[0]["id"]


def test_a_call_is_followed_from_its_beginning_to_its_end(standin, product):
    tenant = product.tenant()
    followed = {"query": TURNS, "variables": {"call": call(standin, tenant, 8)}}
    lines = told(tenant, followed, followed, NAME)
    kept = tenant.query(
        "query($call: ID!) { call(id: $call) { state turns(first: 100) { nodes { sequence speaker text } } } }",
        **followed["variables"],
    )["call"]
    turns = [{"result": {"data": {"callTurns": turn}}} for turn in kept["turns"]["nodes"]]
    assert kept["state"] == "ENDED" and turns and "Barbara" in str(turns[0])
    name = {"result": {"data": {"tenant": {"name": "Peers Insurance"}}}}
    # The second time everything is told at once; all of it, and a query, over one socket.
    assert lines == [CONNECTED, *turns, OVER, *turns, OVER, name, OVER]


def test_a_client_that_has_enough_goes_on_over_the_same_socket(standin, product):
    tenant = product.tenant()
    followed = {"query": TURNS, "variables": {"call": call(standin, tenant, 8)}, "enough": 1}
    connected, turn, *rest = told(tenant, followed, NAME)
    assert connected == CONNECTED and turn["result"]["data"]["callTurns"]["sequence"] == 1
    assert rest == [OVER, {"result": {"data": {"tenant": {"name": "Peers Insurance"}}}}, OVER]
    assert tenant.query("{ calls(first: 1) { nodes { state } } }")["calls"]["nodes"][0]["state"] == "IN_PROGRESS"


@pytest.mark.parametrize("key", ["ns_wrong", "", "the key of another business"])
def test_who_has_no_key_of_this_business_is_sent_away(product, key):
    tenant = product.tenant()
    if key.startswith("the"):
        key = product.tenant().key
    assert told(tenant, NAME, key=key) == [{"failed": FORBIDDEN}]


def test_a_document_that_is_refused_fails_alone(product):
    tenant = product.tenant()
    connected, failed = told(tenant, {"query": "subscription { nothing }"}, NAME)
    assert connected == CONNECTED
    assert [error["extensions"]["code"] for error in failed["failed"]] == ["VALIDATION"]


@pytest.mark.parametrize("origin", ["http://smith.localhost", "https://evil.example", "null"])
def test_the_page_of_another_origin_gets_no_socket(product, origin):
    tenant = product.tenant()
    refused, failed = told(tenant, NAME, origin=origin)
    assert refused == {"status": 403} and "failed" in failed
    own = told(tenant, NAME, origin=f"http://{tenant.host}")
    assert own[0] == CONNECTED and own[-1] == OVER


def test_a_call_is_followed_as_events_from_its_beginning_to_its_end(standin, product):
    tenant = product.tenant()
    followed = {"query": TURNS, "variables": {"call": call(standin, tenant, 6)}}
    lines = told_as_events(tenant, followed, followed, NAME)
    kept = tenant.query(
        "query($call: ID!) { call(id: $call) { turns(first: 100) { nodes { sequence speaker text } } } }",
        **followed["variables"],
    )["call"]
    turns = [{"result": {"data": {"callTurns": turn}}} for turn in kept["turns"]["nodes"]]
    name = {"result": {"data": {"tenant": {"name": "Peers Insurance"}}}}
    assert turns and lines == [*turns, OVER, *turns, OVER, name, OVER]


def test_who_has_enough_of_events_or_no_key_is_answered_so(standin, product):
    tenant = product.tenant()
    followed = {"query": TURNS, "variables": {"call": call(standin, tenant, 6)}, "enough": 1}
    turn, *rest = told_as_events(tenant, followed, NAME)
    assert turn["result"]["data"]["callTurns"]["sequence"] == 1
    assert rest == [OVER, {"result": {"data": {"tenant": {"name": "Peers Insurance"}}}}, OVER]
    assert told_as_events(tenant, NAME, key="ns_wrong") == [{"failed": 401}]
    refused, over = told_as_events(tenant, {"query": "subscription { nothing }"})
    assert [error["extensions"]["code"] for error in refused["result"]["errors"]] == ["VALIDATION"]
    assert over == OVER
