-- How long the text of entries is kept is for the owner of the database to shorten: whoever has a broker's password could
-- otherwise say thirty days where four hundred were meant, and have the older ones dropped.

create table audit_retention (
  only_one boolean not null primary key default true check (only_one),
  days     integer not null default 30 check (days between 30 and 3650)
);
insert into audit_retention default values;
grant select on audit_retention to mayfly_app;

-- Each broker says what it was told; more is taken from anybody, less from nobody. Returns what holds.
create function keep_audit_days(wanted integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update audit_retention r set days = wanted where r.days < wanted;
  return (select r.days from audit_retention r);
end $$;

-- As in 0022, and never less than was ever meant.
create or replace function drop_audit_partition(kept integer) returns text
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms' as $$
declare
  today integer := floor(extract(epoch from now()) / 86400);
  head audit_log_head%rowtype;
  oldest text;
  waits boolean;
begin
  if kept < 30 then raise exception 'at least thirty days have to be kept'; end if;
  kept := greatest(kept, (select r.days from audit_retention r));
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return null; end if;
  select c.relname into oldest
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'audit_entries'::regclass and substring(c.relname from '[0-9]+$')::integer < today - kept
   order by substring(c.relname from '[0-9]+$')::integer limit 1;
  if oldest is null then return null; end if;
  select h.* into head from audit_log_head h;
  if head.cluster <> audit_cluster() then return null; end if;
  if head.moved then
    waits := substring(oldest from '[0-9]+$')::integer >= coalesce(head.settled_day, 0);
  else
    -- Whatever was visible in `seen` has its place: only what was under way then, or came later, may wait. By the index.
    execute format('select exists (select from %I e where e.xid >= pg_snapshot_xmin($1)::text::bigint
                                                      and not pg_visible_in_snapshot(e.xid::text::xid8, $1))', oldest)
      into waits using head.seen;
  end if;
  if waits then return null; end if;
  execute format('drop table %I', oldest);
  return oldest;
end $$;

revoke all on function keep_audit_days from public;
grant execute on function keep_audit_days to mayfly_app;
