"""An invitation's mail, taken in by aiosmtpd: it is a letter that Python's own parser reads, and its link brings the one
who was invited in, as a browser would go."""

import email.policy
import queue
import re
import urllib.parse

import pytest
import requests
from aiosmtpd.controller import Controller
from product import WAIT_SECONDS, Product, free_port

EVERYTHING = "{ viewer { member { id role email } } calls { nodes { id } } }"


class Sink:
    """Keeps what it is given."""

    def __init__(self):
        self.letters = queue.Queue()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 (aiosmtpd's name)
        self.letters.put((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 taken"


@pytest.fixture(scope="module")
def sink():
    sink = Sink()
    controller = Controller(sink, hostname="127.0.0.1", port=free_port())
    controller.start()
    sink.url = f"smtp://127.0.0.1:{controller.port}"
    yield sink
    controller.stop()


@pytest.fixture(scope="module")
def product(sink):
    product = Product("http://127.0.0.1:9/v1", SMTP_URL=sink.url, MAIL_FROM="Peers Insurance <hello@example.com>")
    yield product
    product.stop()


class Browser:
    """Goes from page to page, with each host's cookies. All hosts are this machine, whatever the resolver thinks."""

    def __init__(self, product):
        self.product, self.cookies = product, {}

    def send(self, method, url, form=None, page=None):
        parts = urllib.parse.urlsplit(url)
        kept = self.cookies.setdefault(parts.netloc, {})
        headers = {"host": parts.netloc, "cookie": "; ".join(f"{name}={value}" for name, value in kept.items())}
        if page:
            headers["origin"] = "http://" + urllib.parse.urlsplit(page).netloc
        here = urllib.parse.urlunsplit(("http", f"127.0.0.1:{self.product.port}", parts.path, parts.query, ""))
        answer = requests.request(
            method, here, data=form, headers=headers, allow_redirects=False, timeout=WAIT_SECONDS
        )
        for line in answer.raw.headers.getlist("set-cookie"):
            assert re.search(r"; Path=/; Secure; HttpOnly; SameSite=(Lax|None);", line), line
            name, value = line.split(";")[0].split("=", 1)
            kept[name] = value
        if answer.is_redirect:
            return self.send("GET", urllib.parse.urljoin(url, answer.headers["location"]))
        return url, answer

    def open(self, url):
        return self.send("GET", url)

    def submit(self, url, answer, fields=None):
        """The only form of a page, with what it carries and what somebody types."""
        action = re.search(r'<form method="post" action="([^"]+)"', answer.text).group(1)
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', answer.text))
        return self.send("POST", urllib.parse.urljoin(url, action), hidden | (fields or {}), page=url)

    def query(self, host, text):
        headers = {"host": host, "origin": f"http://{host}", "content-type": "application/json"}
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies[host].items())
        answer = requests.post(
            self.product.url + "/graphql", json={"query": text}, headers=headers, timeout=WAIT_SECONDS
        )
        return answer.json()


def letter(sink, to):
    recipients, message = sink.letters.get(timeout=WAIT_SECONDS)
    assert recipients == [to] and message["to"] == to
    assert message["from"] == "Peers Insurance <hello@example.com>"
    assert message.get_content_type() == "text/plain" and message["date"] and not message.defects
    return message["subject"], message.get_content()


def link_in(text):
    return re.search(r"https?://\S+", text).group(0)


def test_an_invitation_is_received_its_link_opened_and_the_member_is_in(product, sink):
    tenant = product.tenant()
    asked = """mutation { inviteMember(input: {idempotencyKey: "a colleague", email: "ann@example.com", role: ADMIN})
                 { invitation { id } errors { code message } } }"""
    assert tenant.query(asked)["inviteMember"]["errors"] == []
    subject, text = letter(sink, "ann@example.com")
    assert subject == "You are invited to join Peers Insurance" and "as admin" in text
    browser = Browser(product)
    page = browser.open(link_in(text))
    assert "Go on as ann@example.com" in page[1].text
    page = browser.submit(*browser.send("POST", page[0] + "/invitation", {}, page=page[0]))
    assert page[1].headers["content-security-policy"].startswith("default-src 'none'")
    url, home = browser.submit(*page)
    assert url == f"http://{tenant.host}/" and "You are signed in (admin)" in home.text
    seen = browser.query(tenant.host, EVERYTHING)
    assert seen["data"]["viewer"]["member"]["email"] == "ann@example.com", seen
    browser.submit(url, home)
    assert browser.query(tenant.host, EVERYTHING)["errors"][0]["extensions"]["code"] == "UNAUTHORIZED"

    page = browser.open(f"http://{tenant.host}/signin?return=/graphql")
    browser.submit(*page, {"email": "ann@example.com"})
    subject, text = letter(sink, "ann@example.com")
    assert subject == "Sign in to Peers Insurance"
    elsewhere = Browser(product).open(link_in(text))[1]
    assert elsewhere.status_code == 403 and "another browser" in elsewhere.text
    url, _ = browser.submit(*browser.open(link_in(text)))
    assert url == f"http://{tenant.host}/graphql"
    assert browser.query(tenant.host, EVERYTHING)["data"]["viewer"]["member"]["role"] == "ADMIN"
