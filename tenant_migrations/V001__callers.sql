-- Who calls this business, and what is known of them. {t} is the tenant's schema and role, {tenant} its id: each table
-- carries the id with a default and a check, so that a row restored or moved into the wrong schema is refused.

create table {t}.callers (
    id uuid not null,
    tenant_id uuid not null default '{tenant}',
    phone text not null,
    name text,
    calls_count integer not null default 0,
    first_call_at timestamptz,
    last_call_at timestamptz,
    created_at timestamptz not null default now(),
    constraint callers_pk primary key (id),
    constraint callers_tenant check (tenant_id = '{tenant}'),
    constraint callers_phone_unique unique (phone),
    constraint callers_phone_form check (phone ~ '^\+[1-9][0-9]{6,14}$'),
    constraint callers_name_form check (length(name) between 1 and 200)
);
grant select, insert, update, delete on {t}.callers to {t};

-- One document per caller, valid under the pinned template version.
create table {t}.caller_profiles (
    caller_id uuid not null,
    tenant_id uuid not null default '{tenant}',
    template_version_id uuid not null,
    data jsonb not null default '{}',
    quick_bio text not null default '',
    revision integer not null default 1,
    updated_at timestamptz not null default now(),
    constraint caller_profiles_pk primary key (caller_id),
    constraint caller_profiles_tenant check (tenant_id = '{tenant}'),
    constraint caller_profiles_caller_fk foreign key (caller_id) references {t}.callers (id) on delete cascade,
    constraint caller_profiles_data_form check (jsonb_typeof(data) = 'object')
);
grant select, insert, update, delete on {t}.caller_profiles to {t};

-- How the business's agent speaks: one row.
create table {t}.agent_settings (
    singleton boolean not null default true,
    tenant_id uuid not null default '{tenant}',
    agent_name text not null,
    voice text not null,
    language text not null,
    new_caller_greeting text not null,
    returning_caller_greeting text not null,
    sliders jsonb not null default '{}',
    time_zone text not null,
    vad jsonb not null default '{}',
    transfer_rules jsonb not null default '[]',
    revision integer not null default 1,
    updated_at timestamptz not null default now(),
    constraint agent_settings_pk primary key (singleton),
    constraint agent_settings_one_row check (singleton),
    constraint agent_settings_tenant check (tenant_id = '{tenant}'),
    constraint agent_settings_name_form check (length(agent_name) between 1 and 80)
);
grant select, insert, update on {t}.agent_settings to {t};
