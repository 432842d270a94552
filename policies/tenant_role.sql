-- One tenant's role and schema, before its migrations run. Repeatable. {t} names both: tenant_<id without hyphens>.
-- The login role may become the tenant's role and inherits nothing from it: without SET ROLE it reads nothing.

do $$ begin
    if not exists (select from pg_roles where rolname = '{t}') then
        create role {t} nologin nobypassrls;
    end if;
end $$;

grant neurosphere_tenants to {t} with inherit true, set false;
grant {t} to neurosphere_app with inherit false, set true;
create schema if not exists {t};
revoke all on schema {t} from public;
grant usage on schema {t} to {t};
