"""Migrations judged by Squawk before they land: what would lock a table for long, or break the program that still serves
the version before, is refused. A statement that is safe all the same says so where it stands, with
`-- squawk-ignore RULE` and the reason; a file that has been applied cannot say so any more, and has its line in APPLIED.
Must never be asked about a database: only files are read."""

import collections
import json
import subprocess
import sysconfig

import pytest
from conftest import ROOT

SQUAWK = f"{sysconfig.get_path('scripts')}/squawk"

# Rules that are no rules of ours, whatever the file.
EXCLUDED = {
    "require-lock-timeout": "the runners set it for every migration (src/db/fleet.rs, src/db/owner.rs)",
    "require-statement-timeout": "as above",
    "prefer-bigint-over-int": "ids are UUIDs, so that no integer counts rows; what is counted has a limit far below",
    "prefer-bigint-over-smallint": "as above: a grade from one to five",
    "prefer-robust-stmts": "every migration runs in one transaction, of which nothing stays when it fails",
}

# What was applied before this test was there, by file and rule: how often, and why it was harmless.
SMALL = "the control plane's registry: one small row per tenant, and plans by the handful"
FIRST = "the release that brings tenants by the thousand: none was served by the version before"
APPLIED = {
    ("migrations/V002__fleet.sql", "constraint-missing-not-valid"): (8, SMALL),
    ("migrations/V002__fleet.sql", "adding-foreign-key-constraint"): (1, SMALL),
    ("migrations/V002__fleet.sql", "disallowed-unique-constraint"): (2, SMALL),
    ("migrations/V002__fleet.sql", "adding-serial-primary-key-field"): (1, SMALL),
    ("migrations/V002__fleet.sql", "require-concurrent-index-creation"): (3, FIRST),
    ("migrations/V002__fleet.sql", "ban-drop-constraint"): (2, "both are made again, wider, in the same transaction"),
    ("migrations/V002__fleet.sql", "ban-drop-not-null"): (1, FIRST),
    ("tenant_migrations/V004__busy.sql", "constraint-missing-not-valid"): (1, "agent_settings has one row"),
}

# A step that must not land, and the rule that refuses it.
DANGEROUS = [
    ("alter table {t}.callers drop column name", "ban-drop-column"),
    ("drop table {t}.callers", "ban-drop-table"),
    ("alter table {t}.callers rename column name to full_name", "renaming-column"),
    ("alter table {t}.callers rename to people", "renaming-table"),
    ("alter table {t}.callers add column mood text not null", "adding-required-field"),
    ("alter table {t}.callers alter column name set not null", "adding-not-nullable-field"),
    ("alter table {t}.calls alter column duration_s type bigint", "changing-column-type"),
    ("alter table {t}.callers add column other uuid default gen_random_uuid()", "adding-field-with-default"),
    ("create index calls_state on {t}.calls (state)", "require-concurrent-index-creation"),
    (
        "alter table {t}.calls add column mood text; create index concurrently calls_mood on {t}.calls (mood)",
        "ban-concurrent-index-creation-in-transaction",
    ),
    ("alter table {t}.calls add constraint calls_once unique (account_sid)", "disallowed-unique-constraint"),
    ("alter table {t}.calls add constraint calls_from_form check (from_number <> '')", "constraint-missing-not-valid"),
    (
        "alter table {t}.calls add constraint calls_other_fk foreign key (caller_id) references {t}.callers (id)",
        "adding-foreign-key-constraint",
    ),
    ("alter table {t}.callers drop constraint callers_tenant", "ban-drop-constraint"),
    ("commit", "transaction-nesting"),
]


def findings(text):
    """The rules that a migration breaks, one by one. Placeholders are filled as the runner fills them."""
    filled = text.replace("{tenant}", "01890000-0000-7000-8000-000000000000").replace("{t}", "tenant_x")
    command = [
        SQUAWK, "--reporter", "json", "--pg-version", "16", "--assume-in-transaction", "--exclude", ",".join(EXCLUDED),
        "--stdin-filepath", "migration.sql",
    ]
    done = subprocess.run(command, input=filled, text=True, capture_output=True, timeout=60)
    found = [one["rule_name"] for one in json.loads(done.stdout)]
    assert (done.returncode == 0) == (not found), done.stderr
    return found


def migrations():
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*migrations/V*.sql"))


@pytest.mark.parametrize("file", migrations())
def test_a_migration_does_nothing_dangerous(file):
    found = collections.Counter(findings((ROOT / file).read_text()))
    assert found == {rule: count for (of, rule), (count, _) in APPLIED.items() if of == file}


def test_what_is_said_of_applied_files_is_said_of_files_that_are_there():
    assert {file for file, _ in APPLIED} < set(migrations())


@pytest.mark.parametrize(("step", "rule"), DANGEROUS)
def test_a_dangerous_step_is_refused(step, rule):
    assert rule in findings(step + ";")


def test_a_dangerous_step_lands_only_where_it_says_why():
    step = "create index calls_state on {t}.calls (state);"
    why = "-- A tenant's calls are few enough to be indexed within the runner's lock.\n"
    assert findings(f"{why}-- squawk-ignore require-concurrent-index-creation\n{step}") == []
    assert findings(f"{why}{step}") == ["require-concurrent-index-creation"]


def test_expanding_is_safe():
    steps = """
        create table {t}.notes (id uuid not null, constraint notes_pk primary key (id));
        create index notes_late on {t}.notes (id);
        alter table {t}.callers add column mood text, add column calls_missed integer not null default 0;
        alter table {t}.callers add constraint callers_mood_form check (length(mood) < 20) not valid;
    """
    assert findings(steps) == []
