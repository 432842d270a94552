"""Sets the figures of `cargo bench --bench tenants` beside those of django-tenants: a table, then the ratios.

    bench_tenants.py OURS.json DJANGO.json"""

import json
import pathlib
import sys


def at(step, path):
    for name in path.split("."):
        step = step[name]
    return step


def table(steps):
    rows = [
        ("made, wall ms", "create.wall_ms"),
        ("made, CPU ms of Postgres", "create.cpu_ms"),
        ("claimed from the pool p50 ms", "claim.p50_ms"),
        ("claimed from the pool p99 ms", "claim.p99_ms"),
        ("call's context, warm p50 ms", "ask.context_warm.p50_ms"),
        ("call's context, warm p99 ms", "ask.context_warm.p99_ms"),
        ("call's context, cold p50 ms", "ask.context_cold.p50_ms"),
        ("call's context, cold p99 ms", "ask.context_cold.p99_ms"),
        ("point query p50 ms", "ask.point.p50_ms"),
        ("point query p99 ms", "ask.point.p99_ms"),
        ("point query, unguarded p50 ms", "ask.point_unguarded.p50_ms"),
        ("point query, unguarded, no transaction p50 ms", "ask.point_unguarded_autocommit.p50_ms"),
        ("GraphQL page p50 ms", "ask.page.p50_ms"),
        ("GraphQL page p99 ms", "ask.page.p99_ms"),
        ("GraphQL page, unguarded p50 ms", "ask.page_unguarded.p50_ms"),
        ("nothing to migrate, wall ms", "fleet.nothing.wall_ms"),
        ("a column for everybody, wall s", "fleet.column.wall_ms", 1e-3),
        ("a column for everybody, CPU s", "fleet.column.cpu_ms", 1e-3),
        ("audit, wall s", "fleet.audit.wall_ms", 1e-3),
        ("audit, CPU s", "fleet.audit.cpu_ms", 1e-3),
        ("memory of the server, MB", "server_mb"),
        ("memory of Postgres, MB", "postgres_mb"),
    ]
    print("| tenants | " + " | ".join(f"{step['tenants']:,}" for step in steps) + " |")
    print("|---|" + "---|" * len(steps))
    for title, path, *factor in rows:
        values = (at(step, path) * (factor[0] if factor else 1) for step in steps)
        print(f"| {title} | " + " | ".join(f"{value:,.2f}" for value in values) + " |")


def ratio(name, ours, theirs):
    print(f"ratio {name} {ours / theirs:.2f}")


def main():
    ours, django = (json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:3])
    steps, count = ours["steps"], django["tenants"]
    table(steps)
    visited = ours["visited"]
    print(
        f"every tenant visited twice: p50 {visited['visit']['p50_ms']:.2f} ms; the server {visited['server_mb_before']:.0f}"
        f" -> {visited['server_mb_after']:.0f} MB, Postgres {visited['postgres_mb_before']:.0f} ->"
        f" {visited['postgres_mb_after']:.0f} MB"
    )
    for step in ("create", "nothing", "column"):
        cost = django[step]
        print(f"django-tenants, {count} tenants: {step} {cost['wall_s']:.2f} s, {cost['cpu_s']:.2f} s CPU")
    first, last = steps[0], steps[-1]
    same = next(step for step in steps if step["tenants"] == 100)
    print()
    ratio("point guarded/unguarded p50", at(last, "ask.point.p50_ms"), at(last, "ask.point_unguarded.p50_ms"))
    ratio("page guarded/unguarded p50", at(last, "ask.page.p50_ms"), at(last, "ask.page_unguarded.p50_ms"))
    for what in ("context_warm", "point", "page"):
        name = f"{what} p99 at {last['tenants']}/{first['tenants']} tenants"
        ratio(name, at(last, f"ask.{what}.p99_ms"), at(first, f"ask.{what}.p99_ms"))
    each = django["create"]["wall_s"] * 1e3 / count
    ratio("create, django-tenants/claimed", each, at(same, "claim.p50_ms"))
    ratio("create, django-tenants/made anew", each, at(same, "create.wall_ms") + at(same, "claim.p50_ms"))
    for name in ("nothing", "column"):
        theirs = django[name]["wall_s"] * 1e3 / count
        ratio(f"{name}, django-tenants/ours", theirs, at(same, f"fleet.{name}.wall_ms") / same["fleet"]["schemas"])


main()
