-- The roles below the owner, for the first time or again: run by `neurosphere migrate` whenever this file has changed.
--
--   neurosphere_app       what the server logs in as: owns nothing, inherits nothing, may only become one of the others
--   neurosphere_app_<n>   the same for the tenants beyond the first thousand (policies/login_role.sql)
--   neurosphere_platform  sees the control plane whole, and no tenant's schema
--   neurosphere_tenants   the group of all tenant roles: sees its own rows of the control plane
--   tenant_<id>           one per tenant (policies/tenant_role.sql): sees its own schema

do $$ begin
    if not exists (select from pg_roles where rolname = 'neurosphere_platform') then
        create role neurosphere_platform nologin nobypassrls;
    end if;
    if not exists (select from pg_roles where rolname = 'neurosphere_tenants') then
        create role neurosphere_tenants nologin nobypassrls;
    end if;
end $$;

create schema if not exists extensions;
create schema if not exists platform;
create extension if not exists vector with schema extensions;
revoke all on schema public from public;
revoke all on schema platform from public;
-- A temporary table would be found by its bare name, ahead of everything else.
do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$;
grant usage on schema extensions to neurosphere_platform, neurosphere_tenants;
grant usage on schema platform to neurosphere_platform, neurosphere_tenants;
grant neurosphere_platform to current_user with inherit false, set true;
