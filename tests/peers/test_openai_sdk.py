"""The stand-in OpenAI, judged by OpenAI's own Python library: its pydantic models check every event of a real session
and every answer, its clients hold the conversation."""

import base64
import collections
import json
import re
import time

import pytest
from conftest import FIXTURES, OPENAI_KEY, TARGET, Process
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI
from openai.types import CreateEmbeddingResponse
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter, ValidationError
from websockets.exceptions import ConnectionClosed

MODEL = "gpt-realtime"
SERVER_EVENT = TypeAdapter(RealtimeServerEvent)
CLIENT_EVENT = TypeAdapter(RealtimeClientEvent)
STRANGER = "Hello, my name is John Smith. I would like to insure my car, a 2019 Toyota Camry."
LONG_ANSWER = "Can you explain how your car policies work?"
WAIT_SECONDS = 30
SILENCE = b"\xff"
BYTES_PER_SECOND = 8000
SESSION = {
    "type": "realtime",
    "instructions": 'Say exactly: "Hello, how can I help you?"',
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
    "tools": [
        {
            "type": "function", "name": "remember", "description": "Keeps a fact.",
            "parameters": {"type": "object", "properties": {"fact": {"type": "string"}, "kind": {"type": "string"}}},
        }
    ],
}


@pytest.fixture(scope="module")
def standin():
    process = Process(
        TARGET / "standin", "serve", "--speech", FIXTURES / "speech", "--script", FIXTURES / "scripts" / "insurance.toml"
    )
    yield json.loads(process.first_line)
    process.stop()


@pytest.fixture()
def client(standin):
    url = standin["openai"] + "/v1"
    return OpenAI(api_key=OPENAI_KEY, base_url=url, websocket_base_url=re.sub("^http", "ws", url), max_retries=0)


@pytest.fixture()
def session(client):
    with client.realtime.connect(model=MODEL) as connection:
        yield Session(connection)


class Session:
    """A conversation through the library's own connection; every event both ways is checked against its models."""

    def __init__(self, connection):
        self.connection = connection
        self.events = []
        self.kinds = collections.Counter()

    def send(self, event):
        CLIENT_EVENT.validate_python(event)
        self.connection.send(event)

    def next(self):
        raw = self.connection.recv_bytes()
        event = SERVER_EVENT.validate_json(raw)
        self.kinds[event.type] += 1
        self.events.append(json.loads(raw))
        return self.events[-1]

    def until(self, kind):
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            event = self.next()
            assert event["type"] != "error" or kind == "error", event
            if event["type"] == kind:
                return event
        raise AssertionError(f"no {kind} within {WAIT_SECONDS} s, only {dict(self.kinds)}")

    def begin(self):
        self.until("session.created")
        self.send({"type": "session.update", "session": SESSION})
        return self.until("session.updated")

    def say(self, text):
        """The caller's words, with a second of silence after them, faster than they would be spoken."""
        audio = spoken(text) + SILENCE * BYTES_PER_SECOND
        for start in range(0, len(audio), 800):
            self.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio[start : start + 800]).decode()})
            time.sleep(0.02)

    def said(self, response):
        """What the model said in a response that is done."""
        parts = [part for item in response["response"]["output"] for part in item.get("content", [])]
        return " ".join(part["transcript"] for part in parts)


def spoken(text):
    folder = FIXTURES / "speech"
    line = next(line for line in json.loads((folder / "index.json").read_text()) if (line["text"], line["voice"]) == (text, "caller"))
    return (folder / line["file"]).read_bytes()


def test_a_conversation_in_every_event(session):
    told = session.begin()
    assert told["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    session.send({"type": "response.create"})
    assert session.said(session.until("response.done")) == "Hello, how can I help you?"

    session.say(STRANGER)
    heard = session.until("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == STRANGER
    done = next((event for event in session.events[-40:] if event["type"] == "response.done" and calls(event)), None)
    done = done or session.until("response.done")
    assert [call["name"] for call in calls(done)] == ["remember", "remember"]
    for call in calls(done):
        assert "John Smith" in json.loads(call["arguments"])["fact"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{\"remembered\":true}"}
        session.send({"type": "conversation.item.create", "item": output})
    session.send({"type": "response.create"})
    assert session.said(session.until("response.done")).startswith("Thank you, John Smith.")
    assert session.kinds.keys() >= {
        "session.created", "session.updated", "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
        "conversation.item.input_audio_transcription.completed", "response.created", "response.output_item.added",
        "response.content_part.added", "response.output_audio.delta", "response.output_audio.done",
        "response.output_audio_transcript.delta", "response.output_audio_transcript.done",
        "response.content_part.done", "response.output_item.done", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.done", "rate_limits.updated",
    }


def calls(done):
    return [item for item in done["response"]["output"] if item["type"] == "function_call"]


def test_speaking_over_the_model(session):
    session.begin()
    session.send({"type": "response.create"})
    session.until("response.done")
    session.say(LONG_ANSWER)
    item = session.until("response.output_audio.delta")["item_id"]
    session.say("Sorry, let me stop you there. What time is it?")
    interrupted = session.until("response.done")["response"]
    assert (interrupted["status"], interrupted["status_details"]["reason"]) == ("cancelled", "turn_detected")
    truncate = {"type": "conversation.item.truncate", "item_id": item, "content_index": 0}
    session.send(truncate | {"audio_end_ms": 60_000})
    assert session.until("error")["error"]["type"] == "invalid_request_error"
    session.send(truncate | {"audio_end_ms": 100})
    assert session.until("conversation.item.truncated")["audio_end_ms"] == 100


def test_one_response_at_a_time(session):
    session.begin()
    session.send({"type": "response.create"})
    session.send({"type": "response.create", "event_id": "second"})
    error = session.until("error")["error"]
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
    session.send({"type": "response.cancel"})
    assert session.until("response.done")["response"]["status"] == "cancelled"


@pytest.mark.parametrize(
    "change",
    [{"type": None}, {"temperature": 0.8}, {"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 8000}}}},
     {"modalities": ["audio"]}, {"voice": "marin"}, {"audio": {"output": {"voice": "nobody"}}}],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_the_real_server_refuses(session, change):
    session.until("session.created")
    settings = {name: value for name, value in (SESSION | change).items() if value is not None}
    session.connection.send({"type": "session.update", "session": settings})
    assert session.until("error")["error"]["type"] == "invalid_request_error"


def test_the_judge_refuses_what_is_wrong(session):
    created = session.until("session.created")
    SERVER_EVENT.validate_python(created)
    for wrong in [{"type": "conversation.created"}, {"event_id": 7}, {"session": 7}]:
        with pytest.raises(ValidationError):
            SERVER_EVENT.validate_python(created | wrong)


def test_the_beta_is_gone(client):
    with client.realtime.connect(model=MODEL, extra_headers={"OpenAI-Beta": "realtime=v1"}) as connection:
        error = SERVER_EVENT.validate_json(connection.recv_bytes())
        assert (error.type, error.error.code) == ("error", "beta_api_shape_disabled")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv_bytes()
        assert closed.value.rcvd.code == 4000


class Summary(BaseModel):
    summary: str
    topics: list[str]


def test_responses_in_the_shape_that_was_asked_for(client):
    asked = {"model": "gpt-4.1-mini", "input": f"caller: {STRANGER}"}
    raw = client.responses.with_raw_response.create(**asked)
    TypeAdapter(Response).validate_json(raw.http_response.content)
    assert "John Smith" in client.responses.create(**asked).output_text
    parsed = client.responses.parse(text_format=Summary, **asked).output_parsed
    assert "John Smith" in parsed.summary and "auto insurance" in parsed.topics
    assert client.responses.create(**asked).usage.total_tokens > 0


def test_embeddings_are_alike_for_alike_texts(client):
    texts = ["John drives a Toyota Camry", "John drives a Toyota", "Bananas are yellow"]
    asked = {"model": "text-embedding-3-small", "input": texts, "dimensions": 384}
    raw = client.embeddings.with_raw_response.create(encoding_format="float", **asked)
    TypeAdapter(CreateEmbeddingResponse).validate_json(raw.http_response.content)
    car, same, fruit = (line.embedding for line in client.embeddings.create(**asked).data)  # base64 by default
    assert len(car) == 384 and abs(product(car, car) - 1) < 0.001
    assert product(car, same) > product(car, fruit)


def product(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_refusals_are_the_ones_the_client_knows(client):
    with pytest.raises(NotFoundError):
        client.responses.create(model="gpt-2", input="Hello")
    with pytest.raises(BadRequestError):
        client.embeddings.create(model="text-embedding-3-small", input="Hello", dimensions=0)
    with pytest.raises(AuthenticationError):
        client.models.list(extra_headers={"Authorization": "Basic c2stcGVlcnM6"})
    assert MODEL in [model.id for model in client.models.list()]
