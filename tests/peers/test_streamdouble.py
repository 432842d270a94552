"""A whole call held with streamdouble, a Twilio that is not ours: it speaks, is answered, interrupts and hangs up, and
holds every frame of the gateway against the protocol."""

import asyncio
import functools
import json
import pathlib
import secrets

import pytest
from conftest import ACCOUNT_SID, FIXTURES, TARGET, Process, http_json
from product import Product, signature_of
from test_openai_sdk import CLIENT_EVENT, LONG_ANSWER, STRANGER, spoken
from test_product_webhooks import accepted, stream_of

streamdouble = pytest.importorskip("streamdouble.session", reason="streamdouble wants Python >= 3.11")
from streamdouble.protocol import StreamIdentity  # noqa: E402
from streamdouble.scenario import Expect, Say, Scenario, Wait, WaitFor  # noqa: E402

FRAME_BYTES = 160
INTERRUPTION = "Sorry, let me stop you there. What time is it?"
GREETING_WITHIN_SECONDS = 3
ANSWERED_SECONDS = 3
LISTENS_SECONDS = 6  # streamdouble is quiet when nothing more arrives; what has arrived is still being played


@pytest.fixture(scope="module")
def product():
    standin = Process(
        TARGET / "standin", "serve", "--speech", FIXTURES / "speech", "--script", FIXTURES / "scripts" / "insurance.toml",
        "--speaker", "scripts/speech.py",
    )
    urls = json.loads(standin.first_line)
    product = Product(urls["openai"] + "/v1")
    product.journal = functools.partial(http_json, "GET", urls["control"] + "/openai/journal")
    yield product
    product.stop()
    standin.stop()


def say(text):
    audio = spoken(text)
    return Say(pathlib.Path(text), [audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES)])


def call(tenant, monkeypatch, *steps):
    """What streamdouble saw of a call whose stream is opened as Twilio opens it: signed."""
    sid = "CA" + secrets.token_hex(16)
    url = stream_of(accepted(tenant, sid))["url"]
    signed = functools.partial(
        streamdouble.websockets.connect, additional_headers={"X-Twilio-Signature": signature_of(url, {})}
    )
    monkeypatch.setattr(streamdouble.websockets, "connect", signed)
    identity = StreamIdentity(account_sid=ACCOUNT_SID, call_sid=sid)
    session = streamdouble.Session(url, scenario=Scenario("call", list(steps), None), identity=identity)
    return asyncio.run(session.run())


def test_a_conversation_with_an_interruption(product, monkeypatch):
    tenant = product.tenant()
    seen = call(
        tenant, monkeypatch,
        WaitFor("quiet", 15), Wait(LISTENS_SECONDS), Expect("clear", negated=True),
        say(STRANGER), Wait(ANSWERED_SECONDS), WaitFor("quiet", 15), Wait(LISTENS_SECONDS), Expect("clear", negated=True),
        say(LONG_ANSWER), Wait(ANSWERED_SECONDS), say(INTERRUPTION), Wait(ANSWERED_SECONDS), Expect("clear"),
    )
    assert not seen.violations and not seen.unknown_events and not seen.failed_expectations
    assert seen.closed_by is None and not seen.audio_truncated
    assert seen.time_to_first_audio_s < GREETING_WITHIN_SECONDS
    assert seen.marks_echoed and seen.clears_received == 1
    ended = tenant.last_call(concluded=True)
    turns = [(turn["speaker"], turn["text"]) for turn in ended["turns"]["nodes"]]
    assert [text for speaker, text in turns if speaker == "CALLER"] == [STRANGER, LONG_ANSWER, INTERRUPTION]
    assert turns[0][0] == "AGENT" and "Barbara" in turns[0][1]
    texts = [memory["text"] for memory in ended["caller"]["memories"]["nodes"]]
    assert any("John Smith" in text for text in texts) and any("Toyota Camry" in text for text in texts)
    # What the gateway told the model is what OpenAI's own library would have let it say.
    sent = [line["event"] for line in product.journal()["sessions"][0]["events"] if line["from"] == "client"]
    for event in sent:
        CLIENT_EVENT.validate_python(event)
    kinds = [event["type"] for event in sent]
    assert kinds.count("session.update") == 2, "settings, then the initiative"
    assert {"response.create", "conversation.item.create", "conversation.item.truncate"} <= set(kinds)


def test_a_caller_who_says_nothing_and_goes(product, monkeypatch):
    tenant = product.tenant()
    seen = call(tenant, monkeypatch, WaitFor("audio", 10), Wait(0.5))
    assert not seen.violations and not seen.failed_expectations
    assert tenant.last_call()["endReason"]
