"""How many calls one core holds, and what a call costs. Run by scripts/bench call, which builds and sets up.

The gateway has core 0 for itself; the load (carrier and model with one clock, `standin load`) and Postgres have core 1.
A bare relay (`standin relay`) takes the gateway's place in the same run, so that ratios can be told. Standard library
only."""

import argparse
import json
import os
import pathlib
import random
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
ACCOUNT, TOKEN = "AC" + "0b" * 16, secrets.token_hex(16)
HELD_P99_MS_MAX = 50.0
LATENESS_P99_MS_MAX = 20.0  # the load's own timer; above, core 1 has given out and the numbers say nothing
STEPS = (1, 50, 100, 200, 300, 400, 600, 800, 1000)
TICKS = os.sysconf("SC_CLK_TCK")
WAYS = ("carrier_to_model_ms", "model_to_carrier_ms")


class Side:
    """A program under load, on core 0."""

    def __init__(self, name, command, ready, environment):
        self.name = name
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *command], env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = self.process.stdout.readline()
        if not (found := re.search(ready, line)):
            sys.exit(f"{name} did not start: {line!r}")
        self.url = found.group(0)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main():
    arguments = parsed()
    bins, openai_port, relay_port = pathlib.Path(arguments.bins).resolve(), free_port(), free_port()
    number = f"+1949{random.randint(2_000_000, 9_999_999)}"
    environment = settings(openai_port)
    run(bins / "neurosphere", "migrate", environment=environment)
    run(bins / "neurosphere", "tenant", "create", "--name", "Peterson Family Insurance", "--agent", "Barbara", "--number", number,
        f"bench-{secrets.token_hex(6)}", environment=environment)
    pin_postgres()
    load = Load(bins / "standin", openai_port, number)
    gateway = Side("gateway", [bins / "neurosphere", "serve"], r"http://[\d.:]+", environment)
    relay = Side("relay", [bins / "standin", "relay", "--listen", f"127.0.0.1:{relay_port}", "--openai",
                           f"http://127.0.0.1:{openai_port}/v1"], r"http://[\d.:]+", environment)
    try:
        report = quick(load, gateway, relay) if arguments.quick else full(load, gateway, relay)
    finally:
        gateway.stop()
        relay.stop()
    report["machine"] = machine()
    pathlib.Path(arguments.out).write_text(json.dumps(report, indent=1))
    print_ratios(report)


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bins", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the gateway, one for everything else")
    return arguments


def settings(openai_port):
    address = f"127.0.0.1:{free_port()}"
    return os.environ | {
        "LISTEN_ADDR": address, "PUBLIC_URL": f"http://{address}", "BASE_DOMAIN": "localhost", "LOG": "error",
        "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_API_URL": "http://127.0.0.1:9",
        "OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"http://127.0.0.1:{openai_port}/v1",
    }


class Load:
    """Places calls into one side and reads the report."""

    def __init__(self, standin, openai_port, number):
        self.command = [
            "taskset", "-c", "1", standin, "load", "--account", f"{ACCOUNT}:{TOKEN}", "--to", number,
            "--openai-port", str(openai_port), "--speech", FIXTURES / "speech",
            "--script", FIXTURES / "scripts" / "insurance.toml",
        ]

    def on(self, side, calls, seconds, ramp_seconds, kind="steady"):
        """One step; the line that is printed is part of the report."""
        idle_mb = side.memory_mb()
        with tempfile.NamedTemporaryFile() as out:
            process = subprocess.Popen(
                [str(part) for part in self.command] + ["--calls", str(calls), "--seconds", str(seconds), "--ramp-ms",
                 str(int(ramp_seconds * 1000)), "--webhook", f"{side.url}/twilio/voice", "--out", out.name], cwd=ROOT,
            )
            time.sleep(ramp_seconds + 1)
            began, cpu, peak_mb = time.monotonic(), side.cpu_seconds(), idle_mb
            while time.monotonic() < began + seconds - ramp_seconds - 2:
                time.sleep(0.25)
                peak_mb = max(peak_mb, side.memory_mb())
            core = (side.cpu_seconds() - cpu) / (time.monotonic() - began)
            if process.wait(seconds + ramp_seconds + 120):
                sys.exit(f"the load on {side.name} failed")
            step = json.load(open(out.name))
        step |= {"side": side.name, "kind": kind, "asked": calls, "core": core, "memory_mb": peak_mb, "idle_mb": idle_mb}
        print_step(step)
        return step


def quick(load, gateway, relay):
    print_head()
    steps = [load.on(side, calls, 9, 1.5) for calls in (1, 50) for side in (gateway, relay)]
    return {"steps": steps}


def full(load, gateway, relay):
    print_head()
    steps = []
    for side in (relay, gateway):
        for calls in STEPS:
            steps.append(load.on(side, calls, 18, 4))
            if not held(steps[-1]):
                break
    # the same number of calls at once, but somebody joins or leaves all the time
    around = max(calls_held(steps, "gateway") // 2, 2)
    for side in (relay, gateway):
        steps.append(load.on(side, around, 18, 4))
        steps.append(load.on(side, 2 * around, 18, 18, kind="churn"))
    return {"steps": steps}


def held(step):
    calls = step["calls"]
    return calls["failed"] == 0 and worst_p99(step) <= HELD_P99_MS_MAX


def worst_p99(step):
    return max(step[way]["p99"] if step[way]["p99"] is not None else float("inf") for way in WAYS)


def calls_held(steps, side):
    return max((step["asked"] for step in steps if step["side"] == side and step["kind"] == "steady" and held(step)), default=0)


def print_head():
    print(f"{'':8} {'calls':>5} {'ok':>5}  {'to model p50/p99':>17}  {'to caller p50/p99':>17}  {'clear p99':>9}  "
          f"{'TwiML p99':>9}  {'core':>6}  {'MB':>6}  {'load late p99':>13}")


def print_step(step):
    def ms(name, at):
        return "-" if step[name][at] is None else f"{step[name][at]:.1f}"

    marks = ("" if held(step) else "  not held") + (
        "  core 1 gave out" if LATENESS_P99_MS_MAX < (step["own_lateness_ms"]["p99"] or 0) else "")
    name = step["side"] if step["kind"] == "steady" else step["side"][:2] + " " + step["kind"]
    print(f"{name:8} {step['asked']:5} {step['calls']['ok']:5}  "
          f"{ms(WAYS[0], 'p50') + ' / ' + ms(WAYS[0], 'p99'):>17}  {ms(WAYS[1], 'p50') + ' / ' + ms(WAYS[1], 'p99'):>17}  "
          f"{ms('speech_started_to_clear_ms', 'p99'):>9}  {ms('webhook_to_twiml_ms', 'p99'):>9}  {step['core']:6.1%}  "
          f"{step['memory_mb']:6.1f}  {ms('own_lateness_ms', 'p99'):>13}{marks}", flush=True)


def print_ratios(report):
    """What one call costs on each side, at the largest number of calls that both held, and how many each held."""
    steps = report["steps"]
    common = min(calls_held(steps, "gateway"), calls_held(steps, "relay"))
    gateway, relay = (
        next((step for step in steps if (step["side"], step["asked"], step["kind"]) == (side, common, "steady")), None)
        for side in ("gateway", "relay")
    )
    if not gateway or not relay:
        sys.exit("no number of calls was held by both")
    report["ratios"] = {
        "calls_held": ratio(calls_held(steps, "gateway"), calls_held(steps, "relay")),
        "cpu_per_call": ratio(gateway["core"], relay["core"]),
        "p99_to_model": ratio(gateway[WAYS[0]]["p99"], relay[WAYS[0]]["p99"]),
        "p99_to_caller": ratio(gateway[WAYS[1]]["p99"], relay[WAYS[1]]["p99"]),
    }
    per_call_mb = (gateway["memory_mb"] - min(step["idle_mb"] for step in steps if step["side"] == "gateway")) / common
    print(f"\nat {common} calls: {gateway['core'] / common:.2%} of a core and {per_call_mb:.2f} MB per call; "
          f"the relay {relay['core'] / common:.2%}")
    for name, value in report["ratios"].items():
        print(f"ratio {name} gateway/relay {value:.2f}")


def ratio(one, other):
    return one / other if other else float("inf")


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": model.group(1) if model else os.uname().machine, "cores": os.cpu_count(), "kernel": os.uname().release}


def pin_postgres():
    """Our own Postgres, where scripts/bench found one; another one is where it is."""
    if pid := os.environ.get("SERVER_PID"):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *children):
            subprocess.run(["taskset", "-cp", "1", each], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(*command, environment):
    done = subprocess.run([str(part) for part in command], env=environment, cwd=ROOT, text=True, capture_output=True, timeout=120)
    if done.returncode:
        sys.exit(done.stderr)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
