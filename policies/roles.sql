-- The roles below the owner. Run by `neurosphere migrate` before every migration, so it is written to be repeated.
-- {app_password} is filled by the runner.
--
--   neurosphere_app       what the server logs in as: owns nothing, inherits nothing, may only become one of the others
--   neurosphere_platform  sees the control plane whole, and no tenant's schema
--   neurosphere_tenants   the group of all tenant roles: sees its own rows of the control plane
--   tenant_<id>           one per tenant (policies/tenant_role.sql): sees its own schema

do $$ begin
    if not exists (select from pg_roles where rolname = 'neurosphere_app') then
        create role neurosphere_app login noinherit nobypassrls;
    end if;
    if not exists (select from pg_roles where rolname = 'neurosphere_platform') then
        create role neurosphere_platform nologin nobypassrls;
    end if;
    if not exists (select from pg_roles where rolname = 'neurosphere_tenants') then
        create role neurosphere_tenants nologin nobypassrls;
    end if;
end $$;

alter role neurosphere_app password '{app_password}';
alter role neurosphere_app set search_path = extensions;
alter role neurosphere_app set idle_in_transaction_session_timeout = '30s';

grant neurosphere_platform to neurosphere_app with inherit false, set true;
grant neurosphere_platform to current_user with inherit false, set true;

create schema if not exists extensions;
create schema if not exists platform;
create extension if not exists vector with schema extensions;
revoke all on schema public from public;
revoke all on schema platform from public;
grant usage on schema extensions to neurosphere_app, neurosphere_platform, neurosphere_tenants;
grant usage on schema platform to neurosphere_platform, neurosphere_tenants;
