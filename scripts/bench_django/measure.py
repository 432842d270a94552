"""Makes so many tenants with django-tenants, migrates them with nothing to do, and gives each a column.

Prints JSON: wall seconds and processor seconds (this process, its children, and Postgres as SERVER_PID names it) of each
step. DATABASE_URL names a server where this user may create databases; the one that is used is made anew."""

import json
import os
import pathlib
import resource
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django  # noqa: E402
import psycopg  # noqa: E402
from django.core.management import call_command  # noqa: E402

DATABASE = "neurosphere_bench_django"

COLUMN = '''from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("crm", "0001_initial")]
    operations = [migrations.AddField("caller", "extra", models.TextField(null=True))]
'''


def processor_seconds():
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own + postgres_seconds()


def postgres_seconds():
    first = os.environ.get("SERVER_PID")
    if not first:
        return 0.0
    children = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()
    ended = pathlib.Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[13:15]
    used = sum(map(int, ended)) * 1e7  # hundredths of a second
    for pid in [first, *children]:
        try:
            used += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return used / 1e9


def step(deed):
    began, used = time.monotonic(), processor_seconds()
    deed()
    return {"wall_s": time.monotonic() - began, "cpu_s": processor_seconds() - used}


def make_database():
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(f"drop database if exists {DATABASE}")
        owner.execute(f"create database {DATABASE}")


def create(count):
    from customers.models import Client

    for n in range(count):
        Client(schema_name=f"dj_{n:05}", name="A business").save(verbosity=0)


def main():
    count = int(sys.argv[1])
    make_database()
    django.setup()
    column = HERE / "crm" / "migrations" / "0002_extra.py"
    column.unlink(missing_ok=True)
    call_command("makemigrations", "customers", "crm", verbosity=0)
    try:
        call_command("migrate_schemas", shared=True, verbosity=0)
        report = {"tenants": count, "create": step(lambda: create(count))}
        report["nothing"] = step(lambda: call_command("migrate_schemas", tenant=True, verbosity=0))
        column.write_text(COLUMN)
        report["column"] = step(lambda: call_command("migrate_schemas", tenant=True, verbosity=0))
    finally:
        for app in ("customers", "crm"):
            for made in (HERE / app / "migrations").glob("0*.py"):
                made.unlink()
    print(json.dumps(report))


main()
