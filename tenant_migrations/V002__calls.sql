-- Calls, what was said in them, everything that happened on both legs, and what came of it.

create table {t}.calls (
    id uuid not null,
    tenant_id uuid not null default '{tenant}',
    call_sid text not null,
    account_sid text not null,
    caller_id uuid,
    from_number text,
    to_number text not null,
    state text not null default 'ringing',
    end_reason text,
    started_at timestamptz not null,
    connected_at timestamptz,
    ended_at timestamptz,
    duration_s integer,
    constraint calls_pk primary key (id),
    constraint calls_tenant check (tenant_id = '{tenant}'),
    constraint calls_sid_unique unique (call_sid),
    constraint calls_caller_fk foreign key (caller_id) references {t}.callers (id) on delete set null,
    constraint calls_state_known check (state in ('ringing', 'in_progress', 'ended')),
    constraint calls_ended_form check ((state = 'ended') = (ended_at is not null))
);
create index calls_caller on {t}.calls (caller_id, id desc);
grant select, insert, update, delete on {t}.calls to {t};

create table {t}.call_turns (
    call_id uuid not null,
    tenant_id uuid not null default '{tenant}',
    sequence integer not null,
    speaker text not null,
    text text not null,
    started_ms integer not null,
    ended_ms integer not null,
    heard_ms integer,
    interrupted boolean not null default false,
    constraint call_turns_pk primary key (call_id, sequence),
    constraint call_turns_tenant check (tenant_id = '{tenant}'),
    constraint call_turns_call_fk foreign key (call_id) references {t}.calls (id) on delete cascade,
    constraint call_turns_speaker_known check (speaker in ('caller', 'agent', 'tool', 'keypad'))
);
grant select, insert, delete on {t}.call_turns to {t};

-- Append-only: every message of both legs with its monotonic time; media frames are counted, not listed.
create table {t}.call_events (
    call_id uuid not null,
    tenant_id uuid not null default '{tenant}',
    sequence integer not null,
    at_ms integer not null,
    leg text not null,
    kind text not null,
    data jsonb not null default '{}',
    constraint call_events_pk primary key (call_id, sequence),
    constraint call_events_tenant check (tenant_id = '{tenant}'),
    constraint call_events_call_fk foreign key (call_id) references {t}.calls (id) on delete cascade,
    constraint call_events_leg_known check (leg in ('carrier', 'model', 'gateway'))
);
grant select, insert on {t}.call_events to {t};

create table {t}.call_summaries (
    call_id uuid not null,
    tenant_id uuid not null default '{tenant}',
    summary text not null,
    topics text[] not null default '{}',
    sentiment text not null,
    resolution text not null,
    source text not null,
    model text,
    created_at timestamptz not null default now(),
    constraint call_summaries_pk primary key (call_id),
    constraint call_summaries_tenant check (tenant_id = '{tenant}'),
    constraint call_summaries_call_fk foreign key (call_id) references {t}.calls (id) on delete cascade,
    constraint call_summaries_sentiment_known check (sentiment in
        ('positive', 'neutral', 'negative', 'frustrated', 'satisfied')),
    constraint call_summaries_resolution_known check (resolution in ('resolved', 'pending', 'escalated', 'unknown')),
    constraint call_summaries_source_known check (source in ('model', 'fallback'))
);
grant select, insert, update, delete on {t}.call_summaries to {t};
