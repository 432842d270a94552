-- What a tenant's API keys may do, until when, and when each was last used. `asked_as` and `asked_sha256` are digests of the
-- idempotency key of a request that made a key and of what it asked for: whoever has the database alone cannot repeat it.
-- A process of the version before this one takes every key for one that may do everything and never expires.
alter table platform.api_keys
    add column scopes text[] not null default '{everything}',
    add column expires_at timestamptz,
    add column last_used_at timestamptz,
    add column successor uuid,
    add column asked_as bytea,
    add column asked_sha256 bytea,
    add constraint api_keys_name_form check (length(name) between 1 and 100) not valid,
    add constraint api_keys_scopes_form check (0 < cardinality(scopes)) not valid,
    add constraint api_keys_asked_form check ((asked_as is null) = (asked_sha256 is null)) not valid;
-- A tenant has some keys, and all of them are indexed at once.
-- squawk-ignore require-concurrent-index-creation
create unique index api_keys_asked on platform.api_keys (tenant_id, asked_as);
