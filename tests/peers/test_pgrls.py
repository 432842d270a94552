"""The control plane's row policies judged by pgrls: its rules find nothing but what is explained here, and its prover
finds no row that leaks. Who may become which role is the matter of pgTAP and of `neurosphere tenant audit`."""

import json
import re
import subprocess
import sysconfig

import pytest
from database import Database

pytest.importorskip("pgrls", reason="pgrls wants Python >= 3.11")
PGRLS = f"{sysconfig.get_path('scripts')}/pgrls"

# Findings that do not apply: the rule, where, and why. Whatever is found beside them fails, and so does a line of this
# table that nothing is found for any more.
WHOLE = r"platform\.\w+\.platform_all"
PUBLISHED = r"platform\.(templates|template_versions|plans)\.everyone"
BY_ROLE = (
    "platform_all is for one role, which is given the control plane whole, and everyone is for what every tenant may "
    "read. pgrls judges the predicate alone: here the gate is the role that a policy is for, and no other session has it"
)
EXPLAINED = [
    ("SEC005", f"{WHOLE}|{PUBLISHED}", BY_ROLE),
    ("SEC008", f"{WHOLE}|{PUBLISHED}", BY_ROLE),
    ("SEC028", WHOLE, BY_ROLE),
    ("SEC038", f"{WHOLE}|{PUBLISHED}", BY_ROLE),
    ("SEC007", r"platform\.\w+", "no role has two policies of one table that would be or-ed"),
    ("SEC001", r"platform\.schema_history", "the list of migrations is granted to nobody"),
    ("SEC013", r"platform\.template_versions\.template_versions_immutable", "its trigger does nothing but refuse"),
    ("VIEW002", r"platform\.tenancies", "the view filters nothing: rows are held back by the tables' own policies"),
    ("PERF003", r"platform\.audit_heads\.own_rows", "a head is found by its primary key, the chain's id"),
]

# What its prover cannot decide, as it knows no role names: a tenant's rows are those of the tenant whose id is in the
# name of the role that it is.
UNDECIDED = {f"platform.{table}" for table in
             ("api_keys", "audit", "audit_heads", "domains", "invitations", "jobs", "members", "phone_numbers", "roles",
              "sessions", "slugs", "stream_tokens", "tenants")}

# A fault of the control plane, and what is found of it.
FAULTS = [
    ("alter table platform.operators disable row level security", "platform.operators"),
    ("alter table platform.api_keys no force row level security", "platform.api_keys"),
    ("alter policy own_rows on platform.jobs using (true)", "platform.jobs.own_rows"),
    ("create policy more on platform.credentials for select to public using (true)", "platform.credentials.more"),
    ("alter view platform.tenancies reset (security_invoker)", "platform.tenancies"),
    ("create table platform.notes (id uuid not null, tenant_id uuid not null)", "platform.notes"),
]


@pytest.fixture
def database():
    database = Database()
    yield database
    database.drop()


def pgrls(database, command, *arguments):
    """What one of its commands says in JSON; its exit code says only whether it found something."""
    command = [PGRLS, command, "--database-url", database.url, "--schemas", "platform", "--format", "json", *arguments]
    done = subprocess.run(command, text=True, capture_output=True, timeout=80)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def unexplained(database):
    """Its findings without those that are explained, and the explanations without a finding."""
    unused, found = list(EXPLAINED), []
    for one in pgrls(database, "lint", "--fail-on", "info")["violations"]:
        fits = [line for line in EXPLAINED if line[0] == one["rule_id"] and re.fullmatch(line[1], one["location"])]
        unused = [line for line in unused if line not in fits]
        if not fits:
            found.append((one["location"], one["rule_id"]))
    return found, unused


def test_the_control_plane_has_no_finding_that_is_not_explained(database):
    assert unexplained(database) == ([], [])


def test_no_row_leaks_that_its_prover_knows_of(database):
    verdicts = {one["table"]: one["verdict"] for one in pgrls(database, "verify", "--mode", "anon")["tables"]}
    assert len(verdicts) >= 18
    assert {table for table, verdict in verdicts.items() if verdict != "isolated"} == UNDECIDED
    for mode in ("anon", "cross-tenant", "write", "escalation", "reachability"):
        assert pgrls(database, "verify", "--mode", mode)["summary"]["leak"] == 0, mode


def test_every_fault_that_is_planted_is_found(database):
    with database.connect() as connection:
        for plant, _ in FAULTS:
            connection.execute(plant)
    found = {location for location, _ in unexplained(database)[0]}
    assert found >= {where for _, where in FAULTS}
