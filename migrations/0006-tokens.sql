-- Tokens that were minted, and the proofs and assertions that were spent on them. Both grow with every request
-- and are dropped by the hour, never deleted row by row. The partition key is a function of signed or minted
-- bytes, so that one proof can only ever land in one partition: a token's hour is in its id, a proof's is that
-- of its nonce (or of its iat), an assertion's that of its exp. Hours are counted from 1970-01-01T00:00Z.

create table tokens (
  hour        integer     not null,
  jti         text        not null,                       -- tok_…
  session_id  text        not null,
  resource    text        not null,
  scope       text        not null,
  kid         text        not null,
  epoch       bigint      not null,
  issued_at   timestamptz not null,
  expires_at  timestamptz not null,
  call        jsonb,                                      -- of a request token: the one call that it is for
  consumed_at timestamptz,
  primary key (hour, jti)
) partition by range (hour);

create table spent_jti (
  hour     integer not null,
  key      uuid    not null,                              -- first 128 bits of a SHA-256 over owner and jti
  token_id text    not null,                              -- what it was spent on
  primary key (hour, key)
) partition by range (hour);

grant select, insert on tokens, spent_jti to mayfly_app;
grant update (consumed_at) on tokens to mayfly_app;

-- Creates what is missing up to `ahead` hours from now. A partition is made on its own and then attached:
-- CREATE TABLE … PARTITION OF would wait behind one reader and make every mint wait behind itself.
-- Returns how many were made; 0 also when another broker is at it.
create function make_partitions(ahead integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
  parent text;
  this_hour integer := floor(extract(epoch from now()) / 3600);
  made integer := 0;
  name text;
begin
  if ahead not between 1 and 168 then raise exception 'ahead has to be 1 to 168 hours'; end if;
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return 0; end if;
  foreach parent in array array['tokens', 'spent_jti'] loop
    for hour in this_hour - 2 .. this_hour + ahead loop
      name := parent || '_' || hour;
      continue when to_regclass(name) is not null;
      execute format('create table %I (like %I including defaults including constraints)', name, parent);
      execute format('alter table %I add constraint %I check (hour = %s)', name, name || '_hour', hour);
      execute format('alter table %I attach partition %I for values from (%s) to (%s)',
                     parent, name, hour, hour + 1);
      execute format('alter table %I drop constraint %I', name, name || '_hour');
      made := made + 1;
    end loop;
  end loop;
  return made;
end $$;

-- Drops what lies more than `tokens_kept` / `spent_kept` hours back. One partition a call keeps the exclusive lock on
-- the parent short; lock_timeout makes it give way to mints. Returns the name of what was dropped, or null.
create function drop_partition(tokens_kept integer, spent_kept integer) returns text
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms' as $$
declare
  this_hour integer := floor(extract(epoch from now()) / 3600);
  oldest text;
begin
  if tokens_kept < 2 or spent_kept < 2 then raise exception 'at least two hours have to be kept'; end if;
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return null; end if;
  select c.relname into oldest
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
   where p.relname in ('tokens', 'spent_jti') and p.relnamespace = 'public'::regnamespace
     and substring(c.relname from '[0-9]+$')::integer
         < this_hour - case p.relname when 'tokens' then tokens_kept else spent_kept end
   order by substring(c.relname from '[0-9]+$')::integer limit 1;
  if oldest is not null then execute format('drop table %I', oldest); end if;
  return oldest;
end $$;

-- How far ahead both tables are covered, in hours from now; what readiness asks.
create function partitions_ahead() returns integer language sql stable set search_path = public, pg_temp as $$
  select coalesce(min(newest), -1) - floor(extract(epoch from now()) / 3600)::integer
    from (select max(substring(c.relname from '[0-9]+$')::integer) as newest
            from pg_class p left join pg_inherits i on i.inhparent = p.oid left join pg_class c on c.oid = i.inhrelid
           where p.relname in ('tokens', 'spent_jti') and p.relnamespace = 'public'::regnamespace
           group by p.relname) as each_parent
$$;

revoke all on function make_partitions, drop_partition from public;
grant execute on function make_partitions, drop_partition, partitions_ahead to mayfly_app;

select make_partitions(48);
