-- What is remembered about callers. No vector index on purpose: search is exact within one caller, and an approximate
-- index that merely exists would be chosen by the planner and return too few rows.

create table {t}.memories (
    id uuid not null,
    tenant_id uuid not null default '{tenant}',
    caller_id uuid not null,
    call_id uuid,
    kind text not null,
    text text not null,
    text_sha256 bytea not null,
    importance smallint not null default 3,
    source text not null,
    embed_model text,
    embedding extensions.halfvec(384),
    search tsvector not null generated always as (to_tsvector('pg_catalog.english', text)) stored,
    created_at timestamptz not null default now(),
    superseded_by uuid,
    constraint memories_pk primary key (id),
    constraint memories_tenant check (tenant_id = '{tenant}'),
    constraint memories_caller_fk foreign key (caller_id) references {t}.callers (id) on delete cascade,
    constraint memories_call_fk foreign key (call_id) references {t}.calls (id) on delete set null,
    constraint memories_once unique (caller_id, text_sha256),
    constraint memories_kind_known check (kind in
        ('fact', 'preference', 'person', 'vehicle', 'policy', 'property', 'task')),
    constraint memories_text_form check (length(text) between 1 and 1000),
    constraint memories_importance_form check (importance between 1 and 5),
    constraint memories_source_known check (source in ('agent', 'extraction', 'staff')),
    constraint memories_embedding_form check ((embedding is null) = (embed_model is null))
);
create index memories_caller on {t}.memories (caller_id, id desc);
grant select, insert, update, delete on {t}.memories to {t};
