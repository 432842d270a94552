-- The guards between tenants in pgTAP's words, run by test_pgtap.py as the owner, in a transaction of which nothing stays.
-- {a} and {b} are schemas and roles of two tenants, {a_id} and {b_id} their ids. Must never name a table of a tenant where
-- the catalog can: a new one is judged by being there.

select no_plan();

-- Roles: nobody who serves requests may more than become others, and no tenant may become anybody.
select isnt_superuser(role) from unnest(array['neurosphere_app', 'neurosphere_platform', 'neurosphere_tenants', '{a}', '{b}']) role;
select ok(not rolbypassrls and not rolcreaterole and not rolcreatedb and not rolreplication, 'Role ' || rolname || ' has no power of its own')
  from pg_roles where rolname in ('neurosphere_app', 'neurosphere_platform', 'neurosphere_tenants', '{a}', '{b}');
select is_member_of('{a}', 'neurosphere_app');
select isnt_member_of('{a}', '{b}');
select isnt_member_of('neurosphere_app', '{a}');
select isnt_member_of('neurosphere_platform', '{a}');
select is_empty(
    $$ select from pg_auth_members m where m.member = 'neurosphere_app'::regrole
          and (m.inherit_option or m.admin_option or not m.set_option)
          and m.roleid in ('{a}'::regrole, '{b}'::regrole, 'neurosphere_platform'::regrole) $$,
    'The login role inherits nothing and gives nothing away');
select database_privs_are(current_database(), role, array['CONNECT'], role || ' may connect and no more')
  from unnest(array['neurosphere_app', '{a}']) role;
select schema_privs_are('public', role, array[]::text[]) from unnest(array['neurosphere_app', '{a}']) role;
select schema_privs_are('extensions', role, array['USAGE']) from unnest(array['neurosphere_app', '{a}']) role;

-- A tenant's schema: tables only, and nobody's but its own.
select schema_owner_is('{a}', current_user);
select schema_privs_are('{a}', '{a}', array['USAGE']);
select schema_privs_are('{a}', role, array[]::text[]) from unnest(array['{b}', 'neurosphere_app', 'neurosphere_platform']) role;
select views_are('{a}', array[]::text[]);
select materialized_views_are('{a}', array[]::text[]);
select sequences_are('{a}', array[]::text[]);
select foreign_tables_are('{a}', array[]::text[]);
select functions_are('{a}', array[]::text[]);
select enums_are('{a}', array[]::text[]);
select domains_are('{a}', array[]::text[]);
create temporary view own as select tablename::name as name from pg_tables where schemaname = '{a}';
grant select on own to public;
select cmp_ok(count(*), '>=', 8::bigint, 'The tables are there') from own;
select table_owner_is('{a}', name, current_user) from own;
select policies_are('{a}', name, array['own_role']) from own;
select policy_roles_are('{a}', name, 'own_role', array['{a}']) from own;
select policy_cmd_is('{a}', name, 'own_role'::name, 'ALL', 'The policy of ' || name || ' is for every command') from own;
select ok(relrowsecurity and relforcerowsecurity, 'Row security of ' || name || ' is enabled and forced')
  from own join pg_class on oid = format('{a}.%I', name)::regclass;
select table_privs_are('{a}', name, role, array[]::text[])
  from own cross join unnest(array['{b}', 'neurosphere_app', 'neurosphere_platform', 'neurosphere_tenants']) role;
select col_type_is('{a}', name, 'tenant_id'::name, 'uuid', name || '.tenant_id is a uuid') from own;
select col_not_null('{a}', name, 'tenant_id', name || '.tenant_id is not null') from own;
select col_default_is('{a}', name, 'tenant_id', '{a_id}', name || '.tenant_id is the tenant''s by default') from own;
select col_has_check('{a}', name, 'tenant_id', name || '.tenant_id is checked') from own;
select rules_are('{a}', name, array[]::text[]) from own;
select triggers_are('{a}', name, array[]::text[]) from own;

-- The control plane: a tenant sees of it what is its own.
create temporary view shared as
    select tablename::name as name from pg_tables where schemaname = 'platform' and tablename <> 'schema_history';
select policies_are('platform', name, case
    when name in ('templates', 'template_versions', 'plans') then array['platform_all', 'everyone']
    when name in ('tenants', 'slugs', 'domains', 'phone_numbers', 'api_keys', 'stream_tokens', 'jobs', 'audit', 'audit_heads',
                  'roles', 'members', 'invitations', 'sessions')
        then array['platform_all', 'own_rows']
    else array['platform_all'] end) from shared;
select policy_roles_are('platform', name, 'platform_all', array['neurosphere_platform']) from shared;
select table_privs_are('platform', name, '{a}', array[]::text[])
  from unnest(array['credentials', 'operators', 'operator_keys', 'slug_claims', 'schema_ledger', 'applied_files', 'people', 'identities',
                    'sign_ins', 'roles', 'members', 'invitations', 'sessions']) name;
select table_privs_are('platform', 'api_keys', '{a}', array['DELETE']);
select column_privs_are('platform', 'api_keys', 'secret_sha256', '{a}', array['INSERT'], 'No tenant reads the digest of a key');
select column_privs_are('platform', 'api_keys', 'scopes', '{a}', array['SELECT', 'INSERT'], 'What a key may do stays so');
select column_privs_are('platform', 'sessions', 'secret_sha256', '{a}', array[]::text[], 'No tenant reads what opens a session');
select column_privs_are('platform', 'invitations', 'token_sha256', '{a}', array['UPDATE'], 'No tenant reads what accepts an invitation');
select column_privs_are('platform', 'members', 'person_id', '{a}', array[]::text[], 'No tenant finds out who else a person is');
select table_privs_are('platform', 'audit', role, array['SELECT', 'INSERT'])
  from unnest(array['{a}', 'neurosphere_platform']) role;
select isnt_definer('platform', 'refuse_change', array[]::text[]);

-- What comes of it. In the transaction only, the owner may become them.
grant neurosphere_app, {a}, {b} to current_user with inherit false, set true;
select lives_ok('insert into platform.jobs (id, tenant_id, kind, key) values (gen_random_uuid(), ''{a_id}'', ''x'', ''x'')', 'a job of a')
  from (select set_config('role', '{a}', true)) role;
set local role {b};
select throws_ok(format('select from {a}.%I', name), '42501') from own;
select throws_ok(format('delete from {a}.%I', name), '42501') from own;
select lives_ok('select from {b}.callers', 'Its own tables are open to a tenant');
select throws_ok('insert into {b}.callers (id, phone, tenant_id) values (gen_random_uuid(), ''+19495550100'', ''{a_id}'')', '23514');
select results_eq('select id from platform.tenants', array['{b_id}'::uuid], 'The registry shows a tenant itself alone');
select is_empty('select from platform.jobs', 'The queue shows a tenant no other''s job');
select throws_ok(
    format('insert into platform.%s', row), '42501', null, 'Another''s row is refused: ' || row)
  from unnest(array[
    'jobs (id, tenant_id, kind, key) values (gen_random_uuid(), ''{a_id}'', ''x'', ''y'')',
    'api_keys (id, tenant_id, name, prefix, secret_sha256) values (gen_random_uuid(), ''{a_id}'', ''x'', ''x'', ''x'')',
    'stream_tokens (token_sha256, tenant_id, call_id, account_sid, expires_at) values ('''', ''{a_id}'', gen_random_uuid(), ''AC'', now())',
    'audit (id, tenant_id, actor, action, subject) values (gen_random_uuid(), ''{a_id}'', ''x'', ''x'', ''x'')',
    'audit_heads (chain, tenant_id, sequence, hash) values (gen_random_uuid(), ''{a_id}'', 1, '''')']) row;
select set_config('app.tenant', '{a_id}', true);
select is_empty('select from platform.jobs', 'No setting makes a tenant another');
set local role neurosphere_platform;
select throws_ok(format('select from {a}.%I', name), '42501') from own;
set local role neurosphere_app;
select throws_ok(format('select from {a}.%I', name), '42501') from own;
select throws_ok(format('select from platform.%I', name), '42501') from unnest(array['credentials', 'api_keys', 'operator_keys', 'people', 'sessions']) name;
select throws_ok('create temporary table callers (x integer)', '42501');
reset role;

select finish();
