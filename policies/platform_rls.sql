-- Who sees which row of the control plane. The tenant is read from the current role's own name, which nothing but
-- SET ROLE can change: a forged setting or parameter moves nothing. Repeatable; run after every platform migration and
-- whenever this file has changed.

do $$
declare
    shared text;
    own constant text := '(select substring(current_user::text from ''^tenant_([0-9a-f]{32})$'')::uuid)';
begin
    foreach shared in array array['templates', 'template_versions', 'plans', 'tenants', 'slugs', 'slug_claims', 'domains',
                                  'phone_numbers', 'credentials', 'api_keys', 'stream_tokens', 'jobs', 'audit',
                                  'audit_heads', 'schema_ledger', 'operators', 'operator_keys', 'applied_files', 'people',
                                  'identities', 'roles', 'members', 'invitations', 'sessions', 'sign_ins'] loop
        execute format('alter table platform.%I enable row level security, force row level security', shared);
        execute format('drop policy if exists platform_all on platform.%I', shared);
        execute format('create policy platform_all on platform.%I for all to neurosphere_platform
                        using (true) with check (true)', shared);
    end loop;
    foreach shared in array array['slugs', 'domains', 'phone_numbers', 'api_keys', 'stream_tokens', 'jobs', 'audit',
                                  'audit_heads', 'roles', 'members', 'invitations', 'sessions'] loop
        execute format('drop policy if exists own_rows on platform.%I', shared);
        execute format('create policy own_rows on platform.%I for all to neurosphere_tenants
                        using (tenant_id = %s) with check (tenant_id = %s)', shared, own, own);
    end loop;
    drop policy if exists own_rows on platform.tenants;
    execute format('create policy own_rows on platform.tenants for select to neurosphere_tenants using (id = %s)', own);
    foreach shared in array array['templates', 'template_versions', 'plans'] loop
        execute format('drop policy if exists everyone on platform.%I', shared);
        execute format('create policy everyone on platform.%I for select to neurosphere_tenants using (true)', shared);
    end loop;
end $$;

grant select, insert, update on platform.templates, platform.plans, platform.tenants, platform.slugs,
    platform.slug_claims, platform.operators, platform.operator_keys, platform.audit_heads, platform.applied_files
    to neurosphere_platform;
grant select, insert, update, delete on platform.domains, platform.phone_numbers, platform.credentials,
    platform.api_keys, platform.jobs, platform.schema_ledger to neurosphere_platform;
grant select, insert, update, delete on platform.people, platform.identities, platform.roles, platform.members,
    platform.invitations, platform.sessions, platform.sign_ins to neurosphere_platform;
grant select, insert on platform.template_versions, platform.audit to neurosphere_platform;
grant select, update, delete on platform.stream_tokens to neurosphere_platform;
grant select on platform.tenancies to neurosphere_platform;

grant select on platform.templates, platform.template_versions, platform.plans, platform.tenants, platform.tenancies,
    platform.slugs, platform.domains, platform.phone_numbers to neurosphere_tenants;
grant insert on platform.stream_tokens to neurosphere_tenants;
-- A tenant looks after its own keys. What a key may do is said when it is made, and its digest can never be read.
grant select (id, tenant_id, name, prefix, scopes, created_at, last_used_at, expires_at, revoked_at, successor, asked_as,
              asked_sha256),
    insert (id, tenant_id, name, prefix, secret_sha256, scopes, created_at, expires_at, asked_as, asked_sha256),
    update (expires_at, revoked_at, successor), delete on platform.api_keys to neurosphere_tenants;
-- A tenant looks after its own members. It adds none: people join by accepting an invitation, and who they are is nobody
-- else's. No tenant reads a digest, nor makes a session.
grant select (id, tenant_id, name, email, role, role_id, created_at, removed_at), update (role, role_id, removed_at)
    on platform.members to neurosphere_tenants;
grant select (id, tenant_id, name, scopes, created_at, removed_at, asked_as, asked_sha256),
    insert (id, tenant_id, name, scopes, created_at, asked_as, asked_sha256), update (name, scopes, removed_at)
    on platform.roles to neurosphere_tenants;
grant select (id, tenant_id, email, role, role_id, invited_by, created_at, expires_at, mails, sent_at, accepted_at,
              revoked_at, asked_as, asked_sha256),
    insert (id, tenant_id, email, role, role_id, invited_by, created_at, expires_at, asked_as, asked_sha256),
    update (expires_at, mails, sent_at, token_sha256, revoked_at) on platform.invitations to neurosphere_tenants;
grant select (id, tenant_id, member_id, factors, agent, address, created_at, seen_at, expires_at, revoked_at),
    update (revoked_at) on platform.sessions to neurosphere_tenants;
grant select, insert on platform.jobs, platform.audit to neurosphere_tenants;
grant select, insert, update on platform.audit_heads to neurosphere_tenants;
-- What triggers run needs no right to be called.
revoke all on function platform.refuse_change() from public;
