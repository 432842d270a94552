"""The stand-in Twilio, judged by Twilio's own helper library: what it signs, which TwiML it follows, and its REST
interface."""

import json
import urllib.parse

import pytest
from conftest import ACCOUNT_SID, AUTH_TOKEN, FIXTURES, TARGET, Process, http_json
from shop import Shop
from streamdouble_frames import check_frames
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Connect, VoiceResponse


WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def standin():
    process = Process(TARGET / "standin", "serve", "--speech", FIXTURES / "speech", "--account", f"{ACCOUNT_SID}:{AUTH_TOKEN}")
    yield json.loads(process.first_line)
    process.stop()


@pytest.fixture()
def shop():
    shop = Shop()
    yield shop
    shop.stop()


@pytest.fixture()
def client(standin):
    client = Client(ACCOUNT_SID, AUTH_TOKEN)
    client.api.base_url = standin["twilio"]
    return client


def streaming(shop):
    response = VoiceResponse()
    connect = Connect(action=f"{shop.url}/after", method="POST")
    connect.stream(url=shop.stream_url, name="call")
    response.append(connect)
    return response


def place(standin, shop, **order):
    order = {
        "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from": "+19495550199", "to": "+19495550100",
        "webhook_url": f"{shop.url}/voice?tenant=a%20b", "status_callback_url": f"{shop.url}/status",
        "caller": {"steps": [{"do": "silence", "ms": 2500}, {"do": "hang_up"}]},
    } | order
    return http_json("POST", standin["control"] + "/calls", order)["call_sid"]


def received(shop, last):
    """Everything posted up to the first request to this path, or status callback of this status."""
    requests = []
    while not requests or last not in (path_of(requests[-1]), requests[-1].form.get("CallStatus")):
        requests.append(shop.requests.get(timeout=WAIT_SECONDS))
    return requests


def path_of(request):
    return urllib.parse.urlsplit(request.url).path


def signed(request, token=AUTH_TOKEN):
    return RequestValidator(token).validate(request.url, request.form, request.headers["x-twilio-signature"])


def test_a_whole_call_is_signed_as_twilio_signs(standin, shop):
    shop.answers = {"/voice": streaming(shop), "/after": VoiceResponse()}
    sid = place(standin, shop)
    stream = shop.streams.get(timeout=WAIT_SECONDS)
    requests = received(shop, "completed")
    webhook = next(request for request in requests if path_of(request) == "/voice")
    assert webhook.form["CallSid"] == sid and webhook.form["To"] == "+19495550100"
    assert {path_of(request) for request in requests} == {"/voice", "/status"}
    for request in requests:
        assert signed(request), f"{request.url} {request.form}"
        assert not signed(request, "another token")
        request.form["From"] = "+15005550006"
        assert not signed(request)
    validator, signature = RequestValidator(AUTH_TOKEN), stream.headers["x-twilio-signature"]
    assert validator.validate(shop.stream_url, {}, signature)
    assert not validator.validate(shop.stream_url + "x", {}, signature)
    check_frames(stream.frames, sid)


def test_what_follows_the_stream_is_asked_of_the_action(standin, shop):
    shop.answers = {"/voice": streaming(shop), "/after": VoiceResponse()}
    shop.hangs_up = True
    sid = place(standin, shop, caller={"steps": [{"do": "silence", "ms": 60000}]})
    action = received(shop, "/after")[-1]
    assert action.form["CallSid"] == sid and signed(action)
    assert received(shop, "completed")[-1].form["CallSid"] == sid


def test_forged_and_unsigned_webhooks_do_not_pass(standin, shop):
    shop.answers = {"/voice": VoiceResponse()}
    place(standin, shop, options={"faults": ["forged_webhook"]})
    assert not signed(received(shop, "/voice")[-1])
    place(standin, shop, options={"faults": ["unsigned_webhook"]})
    assert "x-twilio-signature" not in received(shop, "/voice")[-1].headers


def test_the_rest_client_reads_and_ends_a_call(standin, shop, client):
    shop.answers = {"/voice": streaming(shop), "/after": VoiceResponse()}
    sid = place(standin, shop, caller={"steps": [{"do": "silence", "ms": 60000}]})
    received(shop, "/voice")
    call = client.calls(sid).fetch()
    assert (call.sid, call.to, call.account_sid) == (sid, "+19495550100", ACCOUNT_SID)
    assert call.status in ("ringing", "in-progress") and call.direction == "inbound"
    assert shop.opened.wait(WAIT_SECONDS) and client.calls(sid).fetch().status == "in-progress"
    assert client.calls(sid).update(status="completed").sid == sid
    stream = shop.streams.get(timeout=WAIT_SECONDS)
    assert stream.frames[-1]["event"] == "stop"
    assert client.calls(sid).fetch().status == "completed"


def test_new_twiml_replaces_the_stream(standin, shop, client):
    shop.answers = {"/voice": streaming(shop), "/after": VoiceResponse()}
    sid = place(standin, shop, caller={"steps": [{"do": "silence", "ms": 60000}]})
    received(shop, "/voice")
    assert shop.opened.wait(WAIT_SECONDS) and client.calls(sid).fetch().status == "in-progress"
    farewell = VoiceResponse()
    farewell.say("Goodbye.")
    farewell.hangup()
    client.calls(sid).update(twiml=farewell)
    assert shop.streams.get(timeout=WAIT_SECONDS).frames[-1]["event"] == "stop"
    received(shop, "completed")
    ended = http_json("GET", f"{standin['control']}/calls/{sid}")
    assert ended["reason"] == "hangup_verb"
    assert [line["text"] for line in ended["timeline"] if line["event"] == "say"] == ["Goodbye."]


def test_refusals_are_the_ones_the_client_knows(standin, client):
    for act, status, code in [
        (lambda: client.calls("CA" + "0" * 32).fetch(), 404, 20404),
        (lambda: wrong_token(standin).calls("CA" + "0" * 32).fetch(), 401, 20003),
    ]:
        with pytest.raises(TwilioRestException) as refused:
            act()
        assert (refused.value.status, refused.value.code) == (status, code)


def test_the_account_is_there(client):
    account = client.api.accounts(ACCOUNT_SID).fetch()
    assert (account.sid, account.status) == (ACCOUNT_SID, "active")


def wrong_token(standin):
    client = Client(ACCOUNT_SID, "not the token")
    client.api.base_url = standin["twilio"]
    return client
