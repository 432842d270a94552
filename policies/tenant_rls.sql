-- The row policy of one table of one tenant, run for every table of the schema after every tenant migration. Only the
-- tenant's own role passes; there is no filter, so that no index is lost to it. Everybody else, a role that was
-- granted the table by mistake included, sees nothing.

alter table {t}.{table} enable row level security, force row level security;
drop policy if exists own_role on {t}.{table};
create policy own_role on {t}.{table} for all to {t} using (true) with check (true);
