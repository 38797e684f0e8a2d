-- One key speaks for the log at a time. It is handed over as soon as there is another one, at the newest head, and
-- neither signs anything after that nor loses its secret before.

alter table audit_hand_overs add column number bigint generated always as identity;

-- The key that signed last, or the one that it was handed over to since. Null before the first head.
create function log_speaker() returns text language sql stable security definer set search_path = public, pg_temp as $$
  select coalesce(
    (select h.to_kid from audit_hand_overs h
      where h.size >= (select coalesce(max(c.size), 0) from audit_checkpoints c) order by h.number desc limit 1),
    (select c.kid from audit_checkpoints c order by c.size desc limit 1))
$$;

-- As in 0019; and by no key that has handed over, which a broker may not have heard of yet, nor by another one than
-- speaks while that one could still hand over.
create or replace function keep_checkpoint(
  checkpoint_size bigint, checkpoint_root bytea, checkpoint_note text, key_kid text
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  log_size bigint;
  speaker text;
begin
  select h.size into log_size from audit_log_head h for update;
  if checkpoint_size > log_size then raise exception 'the log has % leaves only', log_size; end if;
  if checkpoint_size <= coalesce((select max(c.size) from audit_checkpoints c), 0) then return false; end if;
  if exists (select from audit_hand_overs h where h.from_kid = key_kid) then
    raise exception 'the key % of the log has handed over', key_kid;
  end if;
  speaker := log_speaker();
  if speaker <> key_kid
     and exists (select from signing_keys k where k.kid = speaker and k.sealed_secret is not null) then
    raise exception 'the key % of the log has not handed over to %', speaker, key_kid;
  end if;
  insert into audit_checkpoints (size, root, note, kid)
    values (checkpoint_size, checkpoint_root, checkpoint_note, key_kid);
  return true;
end $$;

-- Keeps a hand-over; false when it is not at the newest head, or not from the key that speaks to one that never did.
create or replace function keep_hand_over(new_kid text, old_kid text, at_size bigint, hand_over_note text)
returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform from audit_log_head h for update;
  if old_kid is distinct from log_speaker() or new_kid = old_kid
     or at_size <> (select coalesce(max(c.size), 0) from audit_checkpoints c)
     or exists (select from audit_hand_overs h where new_kid in (h.from_kid, h.to_kid)) then
    return false;
  end if;
  insert into audit_hand_overs (to_kid, from_kid, size, note) values (new_kid, old_kid, at_size, hand_over_note);
  return true;
end $$;

-- As in 0003; but the key of the log keeps its secret until it has handed over, however long nobody does it.
create or replace function erase_signing_key(
  key_kid text, key_tail_seconds integer, audit_id text, audit_actor text
) returns boolean language sql security definer set search_path = public, pg_temp as $$
  with erased as (
    update signing_keys k set sealed_secret = null
      from signing_key_times t
     where k.kid = key_kid and t.kid = k.kid and k.sealed_secret is not null
       and t.retire_at + make_interval(secs => greatest(key_tail_seconds, 0)) <= now()
       and (k.purpose <> 'log' or k.kid is distinct from log_speaker())
    returning k.kid, k.purpose
  ), recorded as (
    insert into audit_entries (id, action, outcome, actor, details)
    select audit_id, 'signing_key.erased', 'allowed', audit_actor,
           jsonb_build_object('kid', kid, 'purpose', purpose)
      from erased
  )
  select count(*) = 1 from erased
$$;

revoke all on function log_speaker from public;
grant execute on function log_speaker to mayfly_app;
