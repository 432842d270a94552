-- Tenants by the thousand: what each may take, which names it has and had, how far each schema is migrated, who runs the
-- platform, and a log that shows when somebody has changed it. `main` holds all of this; another cluster holds the same
-- tables and of them uses the queue, the ledger, the tokens, the log and copies of its own tenants' rows.

-- What tenants may take of what they share. Changed by an operator with SQL or a later migration; read at every request.
create table platform.plans (
    key text not null,
    name text not null,
    transactions_max integer not null,
    requests_per_s integer not null,
    statement_ms_max integer not null,
    calls_max integer not null,
    jobs_max integer not null,
    constraint plans_pk primary key (key),
    constraint plans_key_form check (key ~ '^[a-z][a-z0-9_]{1,39}$'),
    constraint plans_transactions_form check (transactions_max between 1 and 1000),
    constraint plans_requests_form check (requests_per_s between 1 and 10000),
    constraint plans_statement_form check (statement_ms_max between 100 and 60000),
    constraint plans_calls_form check (calls_max between 0 and 10000),
    constraint plans_jobs_form check (jobs_max between 1 and 1000)
);
insert into platform.plans (key, name, transactions_max, requests_per_s, statement_ms_max, calls_max, jobs_max) values
    ('trial', 'Trial', 4, 10, 5000, 2, 1),
    ('standard', 'Standard', 8, 50, 5000, 10, 2),
    ('large', 'Large', 16, 200, 5000, 50, 4);

alter table platform.tenants
    add column login integer not null default 0,
    add column plan text not null default 'standard',
    add column limits jsonb not null default '{}',
    add column canary boolean not null default false,
    add column birth jsonb,
    add column birth_key text,
    add column birth_sha256 bytea,
    add column closes_at timestamptz,
    add constraint tenants_plan_fk foreign key (plan) references platform.plans (key),
    add constraint tenants_birth_key_unique unique (birth_key),
    add constraint tenants_birth_key_form check (length(birth_key) between 8 and 100),
    add constraint tenants_login_form check (login between 0 and 63),
    add constraint tenants_limits_form check (jsonb_typeof(limits) = 'object'),
    add constraint tenants_closes_form check ((closes_at is not null) = (state = 'deleting'));

-- A tenant's place and limits as everything that acts for it reads them.
create view platform.tenancies with (security_invoker = true) as
    select t.id, t.slug, t.state, t.cluster, t.login, t.schema_version,
           coalesce((t.limits ->> 'transactions_max')::integer, p.transactions_max) as transactions_max,
           coalesce((t.limits ->> 'requests_per_s')::integer, p.requests_per_s) as requests_per_s,
           coalesce((t.limits ->> 'statement_ms_max')::integer, p.statement_ms_max) as statement_ms_max,
           coalesce((t.limits ->> 'calls_max')::integer, p.calls_max) as calls_max,
           coalesce((t.limits ->> 'jobs_max')::integer, p.jobs_max) as jobs_max
      from platform.tenants t join platform.plans p on p.key = t.plan;

-- Every name that a tenant has or had: nobody else gets it, nor one that looks like it (the skeleton's first claimant).
create table platform.slug_claims (
    skeleton text not null,
    tenant_id uuid not null,
    constraint slug_claims_pk primary key (skeleton)
);
create index slug_claims_tenant on platform.slug_claims (tenant_id);
create table platform.slugs (
    slug text not null,
    tenant_id uuid not null,
    retired_at timestamptz,
    constraint slugs_pk primary key (slug),
    constraint slugs_tenant_fk foreign key (tenant_id) references platform.tenants (id)
);
create index slugs_tenant on platform.slugs (tenant_id);
insert into platform.slugs (slug, tenant_id) select slug, id from platform.tenants;
insert into platform.slug_claims (skeleton, tenant_id)
    select replace(replace(replace(translate(slug, '01', 'ol'), '-', ''), 'rn', 'm'), 'vv', 'w'), id
      from platform.tenants on conflict (skeleton) do nothing;

-- A host may be asked for by several tenants, and belongs to the one that proves it.
alter table platform.domains
    drop constraint domains_pk,
    add column proof text not null default '',
    add column checked_at timestamptz,
    add column failure text,
    add constraint domains_pk primary key (host, tenant_id);
create unique index domains_verified on platform.domains (host) where verified_at is not null;

-- How far each schema is migrated, in the cluster where it is. A schema that nobody has claimed yet is the warm pool.
create table platform.schema_ledger (
    tenant_id uuid not null,
    version integer not null,
    checksum text,
    state text not null default 'current',
    claimed boolean not null default true,
    login integer not null default 0,
    started_at timestamptz not null default now(),
    ms integer,
    error text,
    constraint schema_ledger_pk primary key (tenant_id),
    constraint schema_ledger_state_known check (state in ('current', 'failed')),
    constraint schema_ledger_checksum_form check (checksum ~ '^[0-9a-f]{64}$'),
    constraint schema_ledger_error_form check ((state = 'failed') = (error is not null))
);
create index schema_ledger_version on platform.schema_ledger (version);
create index schema_ledger_prepared on platform.schema_ledger (started_at) where not claimed;
create index schema_ledger_failed on platform.schema_ledger (tenant_id) where state = 'failed';
insert into platform.schema_ledger (tenant_id, version)
    select id, schema_version from platform.tenants where state not in ('provisioning', 'deleted');

-- Work of the platform itself belongs to no tenant.
alter table platform.jobs
    alter column tenant_id drop not null,
    drop constraint jobs_once,
    add constraint jobs_once unique nulls not distinct (tenant_id, kind, key);
create index jobs_running on platform.jobs (tenant_id) where state = 'running';

-- The log is a chain per tenant, and one of the platform itself: each row's hash covers the row and the hash before it,
-- under a key that is not in the database. The head says how long a chain is.
alter table platform.audit
    add column sequence bigint,
    add column hash bytea;
create unique index audit_sequence on platform.audit (tenant_id, sequence) nulls not distinct where sequence is not null;
create table platform.audit_heads (
    chain uuid not null,
    tenant_id uuid,
    sequence bigint not null,
    hash bytea not null,
    constraint audit_heads_pk primary key (chain)
);

-- The platform's own team.
create table platform.operators (
    id uuid not null,
    name text not null,
    created_at timestamptz not null default now(),
    disabled_at timestamptz,
    constraint operators_pk primary key (id),
    constraint operators_name_unique unique (name),
    constraint operators_name_form check (length(name) between 1 and 100)
);
create table platform.operator_keys (
    id uuid not null,
    operator_id uuid not null,
    prefix text not null,
    secret_sha256 bytea not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    constraint operator_keys_pk primary key (id),
    constraint operator_keys_operator_fk foreign key (operator_id) references platform.operators (id),
    constraint operator_keys_secret_unique unique (secret_sha256)
);
create index operator_keys_operator on platform.operator_keys (operator_id);

-- What is run again only when it has changed: roles, row policies.
create table platform.applied_files (
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now(),
    constraint applied_files_pk primary key (name)
);
