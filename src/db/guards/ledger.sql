-- Every schema that the ledger of a cluster names, and every schema that looks like a tenant's, in one snapshot.
select coalesce(l.tenant_id, substr(n.nspname, 8)::uuid), n.nspname is not null, l.version, l.login, l.claimed,
       l.checksum
  from platform.schema_ledger l
  full join (select nspname::text from pg_namespace where nspname ~ '^tenant_[0-9a-f]{32}$') n
    on n.nspname = 'tenant_' || replace(l.tenant_id::text, '-', '')
 order by 1
