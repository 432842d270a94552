-- One tenant's role, in the control plane's cluster and where its schema is. Repeatable. {t} is its name, as of the schema:
-- tenant_<id without hyphens>; {login} is the login role that may become it, and inherits nothing from it: without SET
-- ROLE it reads nothing.

do $$ begin
    if not exists (select from pg_roles where rolname = '{t}') then
        create role {t} nologin nobypassrls;
    end if;
end $$;

grant neurosphere_tenants to {t} with inherit true, set false;
grant {t} to {login} with inherit false, set true;
