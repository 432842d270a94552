"""The guards between tenants held against tenancy.sql by pgTAP, whose functions are SQL alone and so run in any
database without anybody's leave; and each fault that is planted makes it fail."""

import os
import pathlib
import uuid

import pytest
from conftest import ROOT
from database import Database

DEV = pathlib.Path(os.environ.get("NEUROSPHERE_DEV_DIR", ROOT / ".dev"))
TESTS_MIN = 200

# A fault, and words of the test that fails for it.
FAULTS = [
    ("drop policy own_role on {a}.callers", "Table {a}.callers should have the correct policies"),
    ("alter policy own_role on {a}.calls to {b}", "Policy own_role for table {a}.calls should have the correct roles"),
    ("alter table {a}.memories no force row level security", "Row security of memories"),
    ("alter table {a}.calls drop constraint calls_tenant", "calls.tenant_id is checked"),
    ("alter table {a}.calls alter column tenant_id set default '{b_id}'", "calls.tenant_id is the tenant's by default"),
    ("grant select on {a}.callers to {b}", "Role {b} should be granted no privileges on table {a}.callers"),
    ("grant usage on schema {a} to {b}", "Role {b} should be granted no privileges on schema {a}"),
    ("grant {a} to neurosphere_app with inherit true", "The login role inherits nothing"),
    ("grant {a} to {b}", "Should not have members of role {a}"),
    ("alter role {a} createrole", "Role {a} has no power of its own"),
    ("create view {a}.peek as select from {a}.callers", "Schema {a} should have the correct views"),
    ("alter policy own_rows on platform.jobs using (true)", "The queue shows a tenant no other's job"),
    ("alter policy own_rows on platform.audit with check (true)", "Another's row is refused: audit"),
    ("grant select on platform.credentials to neurosphere_tenants", "no privileges on table platform.credentials"),
    ("grant select on platform.api_keys to neurosphere_tenants", "No tenant reads the digest of a key"),
    ("grant update (scopes) on platform.api_keys to neurosphere_tenants", "What a key may do stays so"),
    ("grant temporary on database {database} to public", "may connect and no more"),
]


@pytest.fixture(scope="module")
def database():
    database = Database()
    yield database
    database.drop()


def judged(database, plant=""):
    """What pgTAP says, test by test, of a database where something was planted; nothing of it stays."""
    names = dict(zip("ab", database.schemas)) | {"database": database.name}
    names |= {f"{of}_id": str(uuid.UUID(names[of].removeprefix("tenant_"))) for of in "ab"}

    def filled(text):
        for name, value in names.items():
            text = text.replace("{" + name + "}", value)
        return text

    (functions,) = DEV.glob("pgtap/usr/share/postgresql/*/extension/pgtap--?.?.?.sql")
    tests = filled((ROOT / "tests" / "peers" / "tenancy.sql").read_text())
    said = []
    with database.connect() as connection:
        connection.execute("create schema tap; grant usage on schema tap to public")
        connection.execute("set local search_path = tap, pg_catalog")
        connection.execute(functions.read_text())
        connection.execute(filled(plant))
        result = connection.execute(tests)
        while True:
            rows = result.fetchall() if result.description else []
            said += [line for (value,) in rows if value for line in str(value).splitlines()]
            if not result.nextset():
                break
        connection.rollback()
    return said, filled


def test_every_guard_holds(database):
    said, _ = judged(database)
    assert [line for line in said if line.startswith(("not ok", "#"))] == []
    assert sum(line.startswith("ok ") for line in said) >= TESTS_MIN
    assert f"1..{sum(line.startswith('ok ') for line in said)}" in said


@pytest.mark.parametrize(("plant", "words"), FAULTS)
def test_every_fault_that_is_planted_is_found(database, plant, words):
    said, filled = judged(database, plant)
    failed = [line for line in said if line.startswith("not ok")]
    assert [line for line in failed if filled(words) in line], failed
