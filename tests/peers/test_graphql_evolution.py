"""Our schemas only grow: held by graphql-js against graphql/published/, which is what clients were last promised. What
breaks them is refused unless graphql/published/breaks.json declares it; docs/api/README.md says how both are moved."""

import json
import pathlib
import re
import subprocess

import pytest
from conftest import ROOT, TEST_SECONDS_MAX

GRAPHQL = ROOT / "graphql"
EVOLUTION = pathlib.Path(__file__).parent / "graphql" / "evolution.mjs"
SCHEMAS = ["schema.graphql", "platform.graphql"]
DATED = re.compile(r"\buntil \d{4}-\d{2}-\d{2}\b")


def become(published, served):
    done = subprocess.run(
        ["node", EVOLUTION, GRAPHQL / "published" / published],
        input=served, cwd=ROOT, text=True, capture_output=True, timeout=TEST_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_break_is_declared_and_nothing_else_is(name):
    declared = json.loads((GRAPHQL / "published" / "breaks.json").read_text())
    assert all(set(entry) == {"schema", "change", "why"} and entry["why"] for entry in declared)
    found = become(name, (GRAPHQL / name).read_text())
    assert sorted(found["breaks"]) == sorted(entry["change"] for entry in declared if entry["schema"] == name)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_deprecated_says_until_when_it_stays(name):
    found = become(name, (GRAPHQL / name).read_text())
    assert [entry for entry in found["deprecations"] if not DATED.search(entry["reason"])] == []


# Each is a change of the published text, what is said of it, and whether clients can live with it.
CHANGES = {
    "a field goes": ("  busyMessage: String\n  \"Counts", "  busyText: String\n  \"Counts", "Agent.busyMessage was removed"),
    "a type changes": ("  revision: Int!", "  revision: String!", "Agent.revision changed type"),
    "a field may be absent": ("  callsCount: Int!", "  callsCount: Int", "Caller.callsCount changed type"),
    "a value goes": ("  KEYPAD\n", "  KEYS\n", "KEYPAD was removed from enum type Speaker"),
    "an argument goes": (",\n    \"Only those whose name or number contains this.\"\n    search: String", "", "search was removed"),
    "an input is needed": ("input ForgetInput {", "input ForgetInput {\n  why: String!", "why on input type ForgetInput was added"),
    "a default changes": ("afterSequence: Int! = 0", "afterSequence: Int! = 1", "has changed defaultValue"),
    "a field comes": ("type Agent {", "type Agent {\n  mood: String!", None),
    "a value comes": ("enum Speaker {", "enum Speaker {\n  VOICEMAIL", None),
    "an input may be given": ("input ForgetInput {", "input ForgetInput {\n  why: String", None),
    "nothing": ("", "", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_break_is_told_from_an_addition(change):
    before, after, said = CHANGES[change]
    published = (GRAPHQL / "published" / "schema.graphql").read_text()
    assert before in published
    breaks = become("schema.graphql", published.replace(before, after, 1))["breaks"]
    assert (said is None and breaks == []) or (len(breaks) == 1 and said in breaks[0]), breaks


def test_a_deprecation_without_a_date_is_seen():
    published = (GRAPHQL / "published" / "schema.graphql").read_text()
    served = published.replace("  revision: Int!", '  revision: Int! @deprecated(reason: "Use version.")')
    assert become("schema.graphql", served)["deprecations"] == [{"place": "Agent.revision", "reason": "Use version."}]
    assert not DATED.search("Use version.") and DATED.search("Use version; stays until 2027-06-30.")
