-- Two heads a second for ever are more than anybody asks for: whoever kept an old one gets the proof that the log
-- continues it from the stored hashes, which all stay. After two days, in which the examination compared each of them,
-- those are removed in whose hour a later one has the signatures of the same witnesses, and more. A head at which the key
-- was handed over, or a witness saw another log, stays.

create table audit_thinned (
  only_one boolean not null primary key default true check (only_one),
  size     bigint  not null default 0                     -- heads up to this one were thinned
);
insert into audit_thinned default values;
grant select on audit_thinned to mayfly_app;

-- Whoever asks: what is young, the last of its hour, or refers to something is not removed.
create function refuse_forgetting_head() returns trigger language plpgsql set search_path = public, pg_temp as $$
declare
  next_at timestamptz;
begin
  select c.at into next_at from audit_checkpoints c where c.size > old.size order by c.size limit 1;
  if old.at < now() - interval '48 hours' and date_trunc('hour', next_at, 'UTC') = date_trunc('hour', old.at, 'UTC')
     and not exists (select from audit_hand_overs h where h.size = old.size)
     and not exists (select from audit_doubts d where d.size = old.size) then
    return old;
  end if;
  raise exception 'this row of % is never removed', tg_table_name using errcode = 'insufficient_privilege';
end $$;

create function refuse_forgetting_cosignature() returns trigger language plpgsql set search_path = public, pg_temp as $$
declare
  head_at timestamptz;
  next_at timestamptz;
begin
  select c.at into head_at from audit_checkpoints c where c.size = old.size;
  select c.at into next_at from audit_cosignatures s join audit_checkpoints c on c.size = s.size
   where s.witness = old.witness and s.size > old.size order by s.size limit 1;
  if head_at < now() - interval '48 hours'
     and date_trunc('hour', next_at, 'UTC') = date_trunc('hour', head_at, 'UTC') then
    return old;
  end if;
  raise exception 'this row of % is never removed', tg_table_name using errcode = 'insufficient_privilege';
end $$;

drop trigger audit_checkpoints_append_only on audit_checkpoints;
create trigger audit_checkpoints_append_only before update on audit_checkpoints
  for each row execute function refuse_rewriting();
create trigger audit_checkpoints_kept before delete on audit_checkpoints
  for each row execute function refuse_forgetting_head();
drop trigger audit_cosignatures_append_only on audit_cosignatures;
create trigger audit_cosignatures_append_only before update on audit_cosignatures
  for each row execute function refuse_rewriting();
create trigger audit_cosignatures_kept before delete on audit_cosignatures
  for each row execute function refuse_forgetting_cosignature();

-- Thins the oldest hour that was not. Returns how many heads were removed; null when none is old enough, or somebody
-- else does it.
create function thin_checkpoints() returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  thinned bigint;
  this_hour timestamptz;
  removed bigint[];
  last_size bigint;
begin
  select t.size into thinned from audit_thinned t for update skip locked;
  if not found then return null; end if;
  select date_trunc('hour', c.at, 'UTC') into this_hour
    from audit_checkpoints c where c.size > thinned order by c.size limit 1;
  if this_hour is null or this_hour + interval '49 hours' > now() then return null; end if;
  -- Neighbours of one hour: two brokers may have signed across its end, so hours are not quite in the order of sizes.
  select coalesce(min(c.size) filter (where date_trunc('hour', c.at, 'UTC') <> this_hour) - 1, max(c.size)) into last_size
    from (select c.size, c.at from audit_checkpoints c where c.size > thinned order by c.size limit 50000) c;
  -- The latest first: nearly always it is the one that has all that the others have.
  with heads as materialized (
    select c.size, array(select s.witness from audit_cosignatures s where s.size = c.size) as witnesses
      from audit_checkpoints c where c.size > thinned and c.size <= last_size order by c.size desc
  )
  select coalesce(array_agg(h.size order by h.size), '{}') into removed
    from heads h
   where exists (select from heads l where l.size > h.size and l.witnesses @> h.witnesses)
     and not exists (select from audit_hand_overs o where o.size = h.size)
     and not exists (select from audit_doubts d where d.size = h.size);
  delete from audit_cosignatures s where s.size = any (removed);
  delete from audit_checkpoints c where c.size = any (removed);
  update audit_thinned set size = last_size;
  return cardinality(removed);
end $$;

revoke all on function thin_checkpoints, refuse_forgetting_head, refuse_forgetting_cosignature from public;
grant execute on function thin_checkpoints to mayfly_app;
