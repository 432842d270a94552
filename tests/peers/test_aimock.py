"""A whole call against aimock, an OpenAI that is not ours: it accepts the gateway's session, answers with text and a tool
call, and is given the tool's output exactly once."""

import json
import pathlib
import socket
import subprocess
import time
import urllib.request

import pytest
from conftest import ACCOUNT_SID, AUTH_TOKEN, FIXTURES, TARGET, Process, http_json
from product import CALLER, Product, free_port

AIMOCK = pathlib.Path(__file__).parent / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
START_SECONDS_MAX = 20
RESPONSES_MAX = 5
FACT = "The caller keeps bees."
# aimock sends no audio, so the gateway asks for a greeting that nobody heard again, and is given the tool again.
SCRIPT = {
    "fixtures": [
        {
            "match": {"endpoint": "realtime", "hasToolResult": False},
            "response": {
                "content": "Hello from another OpenAI.",
                "toolCalls": [{"name": "remember", "arguments": {"fact": FACT, "kind": "fact"}}],
            },
        },
        {"match": {"endpoint": "realtime"}, "response": {"content": "I have noted it."}},
    ]
}


@pytest.fixture(scope="module")
def aimock(tmp_path_factory):
    script = tmp_path_factory.mktemp("aimock") / "script.json"
    script.write_text(json.dumps(SCRIPT))
    port = free_port()
    child = subprocess.Popen(["node", AIMOCK, "--port", str(port), "--fixtures", script, "--log-level", "warn"])
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert child.poll() is None and time.monotonic() < until, "aimock does not start"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    child.terminate()
    child.wait(10)


@pytest.fixture(scope="module")
def twilio():
    process = Process(TARGET / "standin", "serve", "--speech", FIXTURES / "speech")
    yield json.loads(process.first_line)
    process.stop()


@pytest.fixture(scope="module")
def product(aimock, twilio):
    product = Product(aimock + "/v1", twilio["twilio"])
    yield product
    product.stop()


def asked_of(aimock):
    """The responses that were asked of aimock over its WebSocket."""
    with urllib.request.urlopen(aimock + "/v1/_requests", timeout=10) as answer:
        return [line["body"] for line in json.load(answer) if line["path"] == "/v1/realtime"]


def test_a_call_with_a_tool(aimock, twilio, product):
    tenant = product.tenant()
    order = {
        "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from": CALLER, "to": tenant.number,
        "webhook_url": product.url + "/twilio/voice", "status_callback_url": product.url + "/twilio/status",
        "caller": {"steps": [{"do": "silence", "ms": 4000}, {"do": "hang_up"}]},
    }
    http_json("POST", twilio["control"] + "/calls", order)
    ended = tenant.last_call(concluded=True)
    assert ended["endReason"] == "caller_hung_up"
    assert FACT in [memory["text"] for memory in ended["caller"]["memories"]["nodes"]]
    asked = asked_of(aimock)
    assert "Barbara" in json.dumps(asked[0]["messages"]) and len(asked) <= RESPONSES_MAX
    asked_for = [call["id"] for message in asked[-1]["messages"] for call in message.get("tool_calls", [])]
    answered = [message["tool_call_id"] for message in asked[-1]["messages"] if message["role"] == "tool"]
    assert asked_for and sorted(asked_for) == sorted(answered)
