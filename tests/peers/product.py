"""Our product as the peers meet it: `neurosphere serve` with tenants of its own, on a port of its own, beside whatever
carrier and model a test names. Must never look into the database: what happened is asked over GraphQL."""

import json
import os
import random
import re
import secrets
import socket
import subprocess
import time
import urllib.parse
import urllib.request

from conftest import ACCOUNT_SID, AUTH_TOKEN, OPENAI_KEY, ROOT, TARGET, Process
from twilio.request_validator import RequestValidator

WAIT_SECONDS = 30
CALLER = "+19495550199"


class Product:
    """One server; `url` is its root. What a test sets is set in its environment."""

    def __init__(self, openai_url, twilio_url="http://127.0.0.1:9", **settings):
        assert "DATABASE_URL" in os.environ, "run scripts/test peers: it sets up the database"
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        self.url = f"http://{address}"
        self.environment = os.environ | {
            "LISTEN_ADDR": address, "PUBLIC_URL": self.url, "BASE_DOMAIN": "localhost", "ENVIRONMENT": "development",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": AUTH_TOKEN, "TWILIO_API_URL": twilio_url,
            "OPENAI_API_KEY": OPENAI_KEY, "OPENAI_BASE_URL": openai_url, "LOG": os.environ.get("LOG", "warn"),
        } | settings
        self.run("migrate")
        self.process = Process(TARGET / "neurosphere", "serve", env=self.environment)

    def stop(self):
        self.process.stop()

    def run(self, *command):
        done = subprocess.run(
            [TARGET / "neurosphere", *command], env=self.environment, cwd=ROOT, text=True, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tenant(self):
        """A new business with a number of its own."""
        slug, number = f"peer-{secrets.token_hex(6)}", f"+1949{random.randint(2_000_000, 9_999_999)}"
        told = self.run("tenant", "create", "--name", "Peers Insurance", "--agent", "Barbara", "--number", number, slug)
        return Tenant(self, slug, number, re.search(r"API key\s+(\S+)", told).group(1))

    def operator(self):
        """Somebody of the platform's own team."""
        told = self.run("operator", "create", f"Peer {secrets.token_hex(6)}")
        return Client(self, f"platform.localhost:{self.port}", re.search(r"key\s+(\S+)", told).group(1))

    def post(self, path, form, signature):
        """A webhook with this signature; status and body."""
        body = urllib.parse.urlencode(form).encode()
        return self.post_body(path, body, "application/x-www-form-urlencoded", signature)

    def post_body(self, path, body, media_type, signature):
        headers = {"content-type": media_type} | ({"x-twilio-signature": signature} if signature else {})
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()


class Client:
    """Whoever has a key for the GraphQL API of a host."""

    def __init__(self, product, host, key):
        self.product, self.host, self.key = product, host, key

    def query(self, text, **variables):
        body = json.dumps({"query": text, "variables": variables}).encode()
        headers = {"host": self.host, "authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.product.url + "/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
            told = json.load(answer)
        assert "errors" not in told, told
        return told["data"]


class Tenant(Client):
    """One business: its number, and what its staff see."""

    def __init__(self, product, slug, number, key):
        super().__init__(product, f"{slug}.localhost:{product.port}", key)
        self.number = number

    def webhook(self, call_sid, **fields):
        """What Twilio would post for a call to this number, and the signature that its library gives."""
        form = {
            "AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01", "CallSid": call_sid, "CallStatus": "ringing",
            "Called": self.number, "Caller": CALLER, "Direction": "inbound", "From": CALLER, "To": self.number,
        } | fields
        return form, signature_of(self.product.url + "/twilio/voice", form)

    def last_call(self, concluded=False):
        """The newest call once it has ended (and has its summary)."""
        until = time.monotonic() + WAIT_SECONDS
        while True:
            calls = self.query(
                """{ calls(first: 1) { nodes { state endReason durationSeconds
                     turns(first: 100) { nodes { speaker text } } summary { text source }
                     caller { name memories(first: 100) { nodes { kind text source } } } } } }"""
            )["calls"]["nodes"]
            if calls and calls[0]["state"] == "ENDED" and (calls[0]["summary"] or not concluded):
                return calls[0]
            assert time.monotonic() < until, calls
            time.sleep(0.1)


def signature_of(url, form):
    return RequestValidator(AUTH_TOKEN).compute_signature(url, form)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
