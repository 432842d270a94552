-- The control plane: which tenants there are, how they are reached, which templates they follow, and the queues and
-- logs they share. Row policies are in policies/platform_rls.sql, roles in policies/roles.sql.

create table platform.templates (
    id uuid not null,
    key text not null,
    name text not null,
    created_at timestamptz not null default now(),
    constraint templates_pk primary key (id),
    constraint templates_key_unique unique (key),
    constraint templates_key_form check (key ~ '^[a-z][a-z0-9_]{1,39}$')
);

create table platform.template_versions (
    id uuid not null,
    template_id uuid not null,
    version integer not null,
    schema jsonb not null,
    ui jsonb not null,
    bio jsonb not null,
    sha256 text not null,
    published_at timestamptz not null default now(),
    constraint template_versions_pk primary key (id),
    constraint template_versions_template_fk foreign key (template_id) references platform.templates (id),
    constraint template_versions_number_unique unique (template_id, version),
    constraint template_versions_number_form check (0 < version),
    constraint template_versions_sha256_form check (sha256 ~ '^[0-9a-f]{64}$')
);

create function platform.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are immutable; publish a new version instead', tg_table_name using errcode = '55000';
end $$;

create trigger template_versions_immutable before update or delete on platform.template_versions
    for each row execute function platform.refuse_change();

create table platform.tenants (
    id uuid not null,
    slug text not null,
    name text not null,
    state text not null default 'provisioning',
    template_version_id uuid not null,
    cluster text not null default 'main',
    schema_version integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tenants_pk primary key (id),
    constraint tenants_slug_unique unique (slug),
    constraint tenants_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{1,38}[a-z0-9])$' and slug !~ '--'),
    constraint tenants_name_form check (length(name) between 1 and 200),
    constraint tenants_state_known check (state in
        ('provisioning', 'active', 'suspended', 'moving', 'restoring', 'deleting', 'deleted')),
    constraint tenants_template_fk foreign key (template_version_id) references platform.template_versions (id)
);

-- Custom hosts; `{slug}.BASE_DOMAIN` needs no row.
create table platform.domains (
    host text not null,
    tenant_id uuid not null,
    verified_at timestamptz,
    created_at timestamptz not null default now(),
    constraint domains_pk primary key (host),
    constraint domains_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint domains_host_form check (host = lower(host) and length(host) <= 253)
);
create index domains_tenant on platform.domains (tenant_id);

-- A number belongs to one tenant at a time: the primary key says so.
create table platform.phone_numbers (
    number text not null,
    tenant_id uuid not null,
    account_sid text,
    assigned_at timestamptz not null default now(),
    constraint phone_numbers_pk primary key (number),
    constraint phone_numbers_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint phone_numbers_form check (number ~ '^\+[1-9][0-9]{6,14}$'),
    constraint phone_numbers_account_form check (account_sid ~ '^AC[0-9a-f]{32}$')
);
create index phone_numbers_tenant on platform.phone_numbers (tenant_id);

-- Secrets of tenants' own provider accounts, sealed with the master key and bound to tenant, provider and account.
create table platform.credentials (
    id uuid not null,
    tenant_id uuid not null,
    provider text not null,
    account text not null,
    sealed bytea not null,
    created_at timestamptz not null default now(),
    constraint credentials_pk primary key (id),
    constraint credentials_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint credentials_account_unique unique (provider, account),
    constraint credentials_provider_known check (provider in ('twilio', 'openai'))
);
create index credentials_tenant on platform.credentials (tenant_id);

-- Bearer keys of the API; only the SHA-256 of the secret is kept.
create table platform.api_keys (
    id uuid not null,
    tenant_id uuid not null,
    name text not null,
    prefix text not null,
    secret_sha256 bytea not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    constraint api_keys_pk primary key (id),
    constraint api_keys_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint api_keys_secret_unique unique (secret_sha256)
);
create index api_keys_tenant on platform.api_keys (tenant_id);

-- The right to open one media stream once: minted with the TwiML, redeemed by the WebSocket upgrade.
create table platform.stream_tokens (
    token_sha256 bytea not null,
    tenant_id uuid not null,
    call_id uuid not null,
    account_sid text not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint stream_tokens_pk primary key (token_sha256),
    constraint stream_tokens_tenant_fk foreign key (tenant_id) references platform.tenants (id)
);
create index stream_tokens_expiry on platform.stream_tokens (expires_at);
create index stream_tokens_tenant on platform.stream_tokens (tenant_id);

create table platform.jobs (
    id uuid not null,
    tenant_id uuid not null,
    kind text not null,
    key text not null,
    payload jsonb not null default '{}',
    state text not null default 'queued',
    attempts integer not null default 0,
    run_at timestamptz not null default now(),
    leased_until timestamptz,
    last_error text,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint jobs_pk primary key (id),
    constraint jobs_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint jobs_once unique (tenant_id, kind, key),
    constraint jobs_state_known check (state in ('queued', 'running', 'done', 'dead'))
);
create index jobs_due on platform.jobs (run_at) where state in ('queued', 'running');

-- Who did what to a tenant, or to the platform where tenant_id is null.
create table platform.audit (
    id uuid not null,
    tenant_id uuid,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    subject text not null,
    reason text,
    before jsonb,
    after jsonb,
    constraint audit_pk primary key (id),
    constraint audit_tenant_fk foreign key (tenant_id) references platform.tenants (id)
);
create index audit_tenant on platform.audit (tenant_id, id);
