-- A role that the server logs in as: it owns nothing, inherits nothing, and may only become one of the roles that it was
-- granted for that. Repeatable. {login} and {password} are filled by the runner.

do $$ begin
    if not exists (select from pg_roles where rolname = '{login}') then
        create role {login} login noinherit nobypassrls;
    end if;
end $$;

alter role {login} password '{password}';
alter role {login} set search_path = extensions;
alter role {login} set idle_in_transaction_session_timeout = '30s';
-- What is given up is rolled back twice, since nobody waits for the first answer: Postgres would warn of the second.
alter role {login} set client_min_messages = error;
grant usage on schema extensions to {login};
grant neurosphere_platform to {login} with inherit false, set true;
