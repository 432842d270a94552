-- Who sees which row of the control plane. The tenant is read from the current role's own name, which nothing but
-- SET ROLE can change: a forged setting or parameter moves nothing. Repeatable; run after every platform migration.

do $$
declare
    shared text;
    own constant text := '(select substring(current_user::text from ''^tenant_([0-9a-f]{32})$'')::uuid)';
begin
    foreach shared in array array['templates', 'template_versions', 'tenants', 'domains', 'phone_numbers',
                                  'credentials', 'api_keys', 'stream_tokens', 'jobs', 'audit'] loop
        execute format('alter table platform.%I enable row level security, force row level security', shared);
        execute format('drop policy if exists platform_all on platform.%I', shared);
        execute format('create policy platform_all on platform.%I for all to neurosphere_platform
                        using (true) with check (true)', shared);
    end loop;
    foreach shared in array array['domains', 'phone_numbers', 'stream_tokens', 'jobs', 'audit'] loop
        execute format('drop policy if exists own_rows on platform.%I', shared);
        execute format('create policy own_rows on platform.%I for all to neurosphere_tenants
                        using (tenant_id = %s) with check (tenant_id = %s)', shared, own, own);
    end loop;
    drop policy if exists own_rows on platform.tenants;
    execute format('create policy own_rows on platform.tenants for select to neurosphere_tenants using (id = %s)', own);
end $$;

drop policy if exists everyone on platform.templates;
create policy everyone on platform.templates for select to neurosphere_tenants using (true);
drop policy if exists everyone on platform.template_versions;
create policy everyone on platform.template_versions for select to neurosphere_tenants using (true);

grant select, insert, update on platform.templates, platform.tenants, platform.domains, platform.phone_numbers,
    platform.credentials, platform.api_keys, platform.jobs to neurosphere_platform;
grant select, insert on platform.template_versions, platform.audit to neurosphere_platform;
grant select, update, delete on platform.stream_tokens to neurosphere_platform;

grant select on platform.templates, platform.template_versions, platform.tenants, platform.domains,
    platform.phone_numbers to neurosphere_tenants;
grant insert on platform.stream_tokens to neurosphere_tenants;
grant select, insert on platform.jobs, platform.audit to neurosphere_tenants;
