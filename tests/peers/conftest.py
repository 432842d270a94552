"""What the peers' tests share: the binaries under judgement, started on ports of their own, and a time limit on every
test. Must never import anything of the product: both sides are met only over sockets."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / os.environ.get("PEERS_PROFILE", "debug")
FIXTURES = ROOT / "tests" / "fixtures"
TEST_SECONDS_MAX = 90
START_SECONDS_MAX = 20

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "peers-auth-token-0123456789abcdef"
OPENAI_KEY = "sk-peers"


class Process:
    """A child that says in its first line of output where it listens, and ends with its standard input."""

    def __init__(self, *command, env=None):
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env
        )
        first = queue.Queue()
        threading.Thread(target=lambda: first.put(self.child.stdout.readline()), daemon=True).start()
        try:
            self.first_line = first.get(timeout=START_SECONDS_MAX)
        except queue.Empty:
            self.stop()
            raise AssertionError(f"{command[0]} said nothing within {START_SECONDS_MAX} s") from None
        if not self.first_line:
            raise AssertionError(f"{command[0]} ended at once with code {self.child.wait(5)}")

    def stop(self):
        self.child.stdin.close()
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


def http_json(method, url, body=None):
    """One request of ours to a control interface; its decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=TEST_SECONDS_MAX) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@pytest.fixture(autouse=True)
def time_limit():
    def over(_signal, _frame):
        raise TimeoutError(f"the test took more than {TEST_SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(TEST_SECONDS_MAX)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_unconfigure(config):
    """The last line of scripts/test."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    count = {what: len(terminal.stats.get(what, [])) for what in ("passed", "failed", "error", "skipped")}
    failed = count["failed"] + count["error"]
    print(f"peers: {count['passed']} passed, {failed} failed" + (f", {count['skipped']} skipped" * bool(count["skipped"])))
