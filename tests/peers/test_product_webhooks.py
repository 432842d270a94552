"""Our product's webhooks, judged by Twilio's own helper library: it accepts what the library signs and refuses the
rest, and its TwiML is what the library would have written."""

import hashlib
import json
import secrets
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import AUTH_TOKEN
from product import Product, signature_of
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, VoiceResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def product():
    product = Product("http://127.0.0.1:9/v1")
    yield product
    product.stop()


@pytest.fixture(scope="module")
def tenant(product):
    return product.tenant()


def call_sid():
    return "CA" + secrets.token_hex(16)


def stream_of(twiml):
    return ElementTree.fromstring(twiml).find("Connect/Stream").attrib


def accepted(tenant, sid):
    form, signature = tenant.webhook(sid)
    status, twiml = tenant.product.post("/twilio/voice", form, signature)
    assert status == 200, twiml
    return twiml


def test_an_accepted_call_gets_the_document_that_the_library_writes(product, tenant):
    twiml = accepted(tenant, call_sid())
    stream = stream_of(twiml)
    expected = VoiceResponse()
    connect_ = Connect(action=f"{product.url}/twilio/after", method="POST")
    connect_.stream(url=stream["url"], name=stream["name"])
    expected.append(connect_)
    assert canonical(twiml) == canonical(str(expected))
    assert stream["url"].startswith(product.url.replace("http", "ws") + "/twilio/media/") and "?" not in stream["url"]


def canonical(xml):
    return ElementTree.canonicalize(xml, strip_text=True)


@pytest.mark.parametrize("signature", [None, "", "AAAA", "x" * 10_000], ids=["none", "empty", "short", "long"])
def test_a_webhook_without_the_right_signature_is_refused(product, tenant, signature):
    form, _ = tenant.webhook(call_sid())
    assert product.post("/twilio/voice", form, signature)[0] == 403


def test_a_changed_webhook_is_refused(product, tenant):
    form, signature = tenant.webhook(call_sid())
    assert product.post("/twilio/voice", form | {"From": "+15005550006"}, signature)[0] == 403
    other = RequestValidator("another token").compute_signature(product.url + "/twilio/voice", form)
    assert product.post("/twilio/voice", form, other)[0] == 403


def test_unusual_fields_are_signed_as_the_library_signs_them(product, tenant):
    form, signature = tenant.webhook(call_sid(), CallerName="Müller & Søn +=%", Empty="", Space=" a  b ")
    assert product.post("/twilio/voice", form, signature)[0] == 200


def test_a_json_webhook_is_signed_by_its_digest(product, tenant):
    form, _ = tenant.webhook(call_sid())
    body = json.dumps(form).encode()
    path = "/twilio/voice?bodySHA256=" + hashlib.sha256(body).hexdigest()
    signature = signature_of(product.url + path, {})
    assert RequestValidator(AUTH_TOKEN).validate(product.url + path, body.decode(), signature)
    assert product.post_body(path, body + b" ", "application/json", signature)[0] == 403
    status, twiml = product.post_body(path, body, "application/json", signature)
    assert status == 200 and stream_of(twiml)["url"]


def test_the_media_stream_opens_once_and_only_with_the_right_signature(tenant):
    url = stream_of(accepted(tenant, call_sid()))["url"]
    signed = {"X-Twilio-Signature": signature_of(url, {})}
    assert refusal(url, {}) == 403
    assert refusal(url, {"X-Twilio-Signature": signature_of(url + "x", {})}) == 403
    with connect(url, additional_headers=signed):
        assert refusal(url, signed) in (403, 404, 409, 410)
    assert refusal(url[:-4] + "0000", {"X-Twilio-Signature": signature_of(url[:-4] + "0000", {})}) in (403, 404)


def refusal(url, headers):
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
        pass
    return refused.value.response.status_code
