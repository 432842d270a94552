-- What `neurosphere doctor` wants to know of the database, in one row.
select current_setting('server_version_num')::int,
       coalesce((select extversion::text from pg_extension where extname = 'vector'),
                (select default_version::text from pg_available_extensions where name = 'vector')),
       to_regclass('platform.schema_history') is not null,
       (select coalesce(array_agg(fault order by fault), '{}') from (
            select 'role ' || wanted || ' is missing' as fault
              from unnest(array['neurosphere_app', 'neurosphere_platform', 'neurosphere_tenants']) as wanted
             where not exists (select from pg_roles where rolname = wanted)
            union all
            select 'role ' || rolname || ' is a superuser or bypasses row security' from pg_roles
             where (rolsuper or rolbypassrls) and (rolname like 'neurosphere\_%' or rolname ~ '^tenant_[0-9a-f]{32}$')
            union all
            select 'neurosphere_app inherits from ' || r.rolname from pg_auth_members m
              join pg_roles r on r.oid = m.roleid join pg_roles a on a.oid = m.member
             where a.rolname = 'neurosphere_app' and m.inherit_option
            union all
            select 'neurosphere_app owns ' || n.nspname || '.' || c.relname from pg_class c
              join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
             where r.rolname = 'neurosphere_app'
            union all
            select n.nspname || '.' || c.relname || ' has no forced row security' from pg_class c
              join pg_namespace n on n.oid = c.relnamespace
             where c.relkind = 'r' and c.relname <> 'schema_history'
               and (n.nspname = 'platform' or n.nspname ~ '^tenant_[0-9a-f]{32}$')
               and not (c.relrowsecurity and c.relforcerowsecurity)
        ) as found)
