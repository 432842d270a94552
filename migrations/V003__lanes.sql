-- Tenants take turns at the queue: each has a lane of its own, and so has the platform's own work, which belongs to no tenant.
-- `due` is set once a job's time has come, so that a claim goes from one lane that has work to the next, and past nothing
-- else, however much waits in each. A process of the version before this one enqueues into the same lanes.
--
-- The queue holds what waits and a month of what is done: it is written anew and indexed at once, while jobs wait.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, adding-field-with-default
drop index platform.jobs_due;
alter table platform.jobs
    add column lane uuid not null
        generated always as (coalesce(tenant_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) stored,
    add column due boolean not null default false;
drop index platform.jobs_running;
create index jobs_due on platform.jobs (lane, run_at) include (kind) where state = 'queued' and due;
create index jobs_later on platform.jobs (run_at) where state = 'queued' and not due;
create index jobs_running on platform.jobs (lane) where state = 'running';
create index jobs_leased on platform.jobs (leased_until) where state = 'running';
