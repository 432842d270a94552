"""How many calls one core holds, and what a call costs. Run by scripts/bench call, which builds and sets up.

The gateway has core 0 for itself; the load (carrier and model with one clock, `standin load`) and Postgres have core 1.
A bare relay (`standin relay`) takes the gateway's place in the same run, so that ratios can be told. What else ran
meanwhile is told with each step, as it tells how much the step is worth. Standard library only."""

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
import threading
import time

import bench_machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
ACCOUNT, TOKEN = "AC" + "0b" * 16, secrets.token_hex(16)
HELD_P99_MS_MAX = 50.0
AIM_CALLS, AIM_P99_MS = 300, 10.0
LATENESS_P99_MS_MAX = 20.0  # the load's own timer; above, core 1 has given out and the numbers say nothing
STEPS = (1, 100, 300, 500, 700, 900, 1100)
JOINS_PER_S = 50  # faster, and setting calls up is what is measured: Postgres takes core 1 from the load
CALLS_MAX = 5_000  # of one tenant, by its terms
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

    def memory_mb(self):
        return bench_machine.resident_mb(self.process.pid)

    def rest(self):
        """Waits until what was left to do after the calls is done: summaries, facts, profiles."""
        deadline, before = time.monotonic() + 60, bench_machine.cpu_seconds(self.process.pid)
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = bench_machine.cpu_seconds(self.process.pid)
            if now - before < 0.03:
                return
            before = now

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Load:
    """Places calls into one side and reads the report."""

    def __init__(self, standin, openai_port, number, postgres):
        self.postgres = postgres
        self.command = [
            "taskset", "-c", "1", standin, "load", "--stay", "--account", f"{ACCOUNT}:{TOKEN}", "--to", number,
            "--openai-port", str(openai_port), "--speech", FIXTURES / "speech",
            "--script", FIXTURES / "scripts" / "insurance.toml",
        ]

    def on(self, side, calls, seconds, ramp_seconds, kind="steady"):
        """One step; the line that is printed is part of the report. Shares and memory are of the time in which the number of
        calls at once stays the same: all have joined and none has left, or as many leave as join."""
        from_second, to_second = min(seconds, ramp_seconds) + 1, max(seconds, ramp_seconds) - 1
        idle_mb = side.memory_mb()
        process = subprocess.Popen(
            [str(part) for part in self.command] + ["--calls", str(calls), "--seconds", str(seconds), "--ramp-ms",
             str(int(ramp_seconds * 1000)), "--webhook", f"{side.url}/twilio/voice"],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        time.sleep(from_second)
        watch = bench_machine.Watch(side.process.pid, process.pid, self.postgres.processes())
        peak_mb = idle_mb
        while time.monotonic() < watch.began + to_second - from_second:
            time.sleep(0.25)
            peak_mb = max(peak_mb, side.memory_mb())
        step = watch.shares()
        line = process.stdout.readline()
        if not line:
            sys.exit(f"the load on {side.name} failed")
        side.rest()
        process.stdin.close()
        process.wait(30)
        step |= json.loads(line) | {"side": side.name, "kind": kind, "asked": calls, "memory_mb": peak_mb, "idle_mb": idle_mb}
        print_step(step)
        return step


def main():
    arguments = parsed()
    bins, openai_port, relay_port = pathlib.Path(arguments.bins).resolve(), free_port(), free_port()
    number = f"+1949{random.randint(2_000_000, 9_999_999)}"
    environment = settings(openai_port)
    run(bins / "neurosphere", "migrate", environment=environment)
    slug = f"bench-{secrets.token_hex(6)}"
    run(bins / "neurosphere", "tenant", "create", "--name", "Peterson Family Insurance", "--agent", "Barbara", "--number", number,
        "--plan", "large", slug, environment=environment)
    # the core shall be the limit, not what a plan allows
    run(bins / "neurosphere", "tenant", "terms", "--reason", "a benchmark", "--calls", str(CALLS_MAX), slug, environment=environment)
    report = {"machine": bench_machine.described()}
    print_machine(report["machine"])
    gateway = Side("gateway", [bins / "neurosphere", "serve"], r"http://[\d.:]+", environment)
    relay = Side("relay", [bins / "standin", "relay", "--listen", f"127.0.0.1:{relay_port}", "--openai",
                           f"http://127.0.0.1:{openai_port}/v1"], r"http://[\d.:]+", environment)
    try:
        with bench_machine.Aside(os.environ.get("SERVER_PID"), core=1) as postgres:
            load = Load(bins / "standin", openai_port, number, postgres)
            report["steps"] = (quick if arguments.quick else full)(load, gateway, relay)
    finally:
        gateway.stop()
        relay.stop()
    print_figures(report)
    print_ratios(report)
    pathlib.Path(arguments.out).write_text(json.dumps(report, indent=1))


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
        "TENANTS_PREPARED": "0",  # no schemas are made while calls are measured
    }


def quick(load, gateway, relay):
    print_head()
    return [load.on(side, 100, 14, 2) for side in (relay, gateway)]


def full(load, gateway, relay):
    print_head()
    steps = []
    for side in (relay, gateway):
        climb(load, side, steps)
    # as many calls at once as in a step before, but somebody joins and somebody leaves all the time
    around = max(calls for calls in STEPS if calls <= max(calls_held(steps, "gateway") // 2, 1))
    for side in (relay, gateway):
        steps.append(load.on(side, 2 * around, 14, 28, kind="churn"))
    return steps


def climb(load, side, steps):
    """Steps up until calls are no longer held."""
    for calls in STEPS:
        ramp_seconds = max(2, calls / JOINS_PER_S)
        steps.append(load.on(side, calls, int(10 + ramp_seconds), ramp_seconds))
        if not held(steps[-1]):
            return


def held(step):
    calls = step["calls"]
    return calls["failed"] == 0 and worst_p99(step) <= HELD_P99_MS_MAX


def gave_out(step):
    return LATENESS_P99_MS_MAX < (step["own_lateness_ms"]["p99"] or 0)


def worst_p99(step):
    return max(step[way]["p99"] if step[way]["p99"] is not None else float("inf") for way in WAYS)


def steady(steps, side):
    return [step for step in steps if (step["side"], step["kind"]) == (side, "steady")]


def calls_held(steps, side, p99_ms_max=HELD_P99_MS_MAX):
    within = (step["asked"] for step in steady(steps, side) if held(step) and worst_p99(step) <= p99_ms_max)
    return max(within, default=0)


def print_machine(machine):
    together = " and ".join(f"{share:.0%}" for share in machine["core_speed_together"])
    lost = " and ".join(f"{share:.1%}" for share in machine["core_time_lost"])
    print(f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; at work at the same time, cores 0 and 1 have "
          f"{together} of the speed that each has alone; {lost} of their time goes elsewhere, "
          f"{max(machine['core_gap_ms_max']):.1f} ms at most at once")


def print_head():
    print(f"{'':8} {'calls':>5} {'ok':>5}  {'to model p50/p99':>17}  {'to caller p50/p99':>17}  {'clear p99':>9}  "
          f"{'TwiML p99':>9}  {'core':>6}  {'MB':>6}  {'load late p99':>13}  {'load':>5}  {'pg':>5}  {'others':>6}")


def print_step(step):
    def ms(name, at):
        return "-" if step[name][at] is None else f"{step[name][at]:.1f}"

    marks = ("" if held(step) else "  not held") + ("  core 1 gave out" if gave_out(step) else "")
    name = step["side"] if step["kind"] == "steady" else step["side"][:2] + " " + step["kind"]
    print(f"{name:8} {step['asked']:5} {step['calls']['ok']:5}  "
          f"{ms(WAYS[0], 'p50') + ' / ' + ms(WAYS[0], 'p99'):>17}  {ms(WAYS[1], 'p50') + ' / ' + ms(WAYS[1], 'p99'):>17}  "
          f"{ms('speech_started_to_clear_ms', 'p99'):>9}  {ms('webhook_to_twiml_ms', 'p99'):>9}  {step['core']:6.1%}  "
          f"{step['memory_mb']:6.1f}  {ms('own_lateness_ms', 'p99'):>13}  {step['load']:5.0%}  {step['postgres']:5.0%}  "
          f"{step['others']:6.0%}{marks}", flush=True)


def print_figures(report):
    """What one core holds, and where the measurement itself ends."""
    steps = report["steps"]
    print()
    for side in ("relay", "gateway"):
        mine, largest = steady(steps, side), calls_held(steps, side)
        beyond = [step for step in mine if not held(step)]
        limit = "nothing gave way up to there"
        if beyond:
            first = min(beyond, key=lambda step: step["asked"])
            what = "core 1, the load's own, gave out" if gave_out(first) else "calls failed" if first["calls"]["failed"] else "p99 rose"
            limit = f"{what} at {first['asked']}, with core 0 at {first['core']:.0%}"
        print(f"{side}: {largest} calls held, {calls_held(steps, side, AIM_P99_MS)} of them with p99 <= {AIM_P99_MS:.0f} ms each way; {limit}")


def print_ratios(report):
    """What one call costs on each side, at the largest number of calls that both held, and how many each held."""
    steps = report["steps"]
    common = min(calls_held(steps, "gateway"), calls_held(steps, "relay"))
    gateway, relay = (
        next((step for step in steady(steps, side) if step["asked"] == common), None) for side in ("gateway", "relay")
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
    print(f"at {common} calls: {gateway['core'] / common:.3%} of a core and {per_call_mb:.2f} MB per call; "
          f"the relay {relay['core'] / common:.3%}")
    for name, value in report["ratios"].items():
        print(f"ratio {name} gateway/relay {value:.2f}")


def ratio(one, other):
    return one / other if other else float("inf")


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
