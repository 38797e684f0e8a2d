-- Run once, as a superuser or as the administrator of a managed Postgres:
-- psql --set ON_ERROR_STOP=1 --file roles.sql
do $$ begin
  if not exists (select from pg_roles where rolname = 'mayfly_owner') then
    create role mayfly_owner login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
  end if;
end $$;
do $$ begin
  if not exists (select from pg_roles where rolname = 'mayfly_app') then
    create role mayfly_app login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
  end if;
end $$;
grant mayfly_app to mayfly_owner;
alter role mayfly_owner set lock_timeout = '10s';
alter role mayfly_owner set idle_in_transaction_session_timeout = '60s';
alter role mayfly_owner set search_path = 'public';
alter role mayfly_owner set timezone = 'UTC';
alter role mayfly_owner set default_transaction_isolation = 'read committed';
alter role mayfly_app set statement_timeout = '10s';
alter role mayfly_app set lock_timeout = '3s';
alter role mayfly_app set idle_in_transaction_session_timeout = '10s';
alter role mayfly_app set search_path = 'public';
alter role mayfly_app set timezone = 'UTC';
alter role mayfly_app set default_transaction_isolation = 'read committed';
grant mayfly_owner to current_user;
select 'create database mayfly owner mayfly_owner template template0 encoding UTF8 locale_provider builtin builtin_locale ''C.UTF-8'' locale ''C'''
  where not exists (select from pg_database where datname = 'mayfly') \gexec
\connect mayfly
revoke all on database mayfly from public;
grant connect on database mayfly to mayfly_owner, mayfly_app;
revoke create on schema public from public;
grant usage on schema public to mayfly_app;
alter default privileges for role mayfly_owner revoke execute on functions from public;
revoke mayfly_owner from current_user;
-- Then set passwords: \password mayfly_owner and \password mayfly_app
