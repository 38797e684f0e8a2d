-- A witness that saw another history than this one is believed, also after a restart: nothing more of the log is
-- signed until the owner of the database has looked. Entries go on, and get their places.

create table audit_doubts (
  number  bigint      generated always as identity primary key,
  witness text        not null,
  why     text        not null,
  size    bigint      not null,                           -- of the newest signed head then
  at      timestamptz not null default now()
);

create table audit_doubts_settled (
  number bigint      primary key references audit_doubts (number),
  reason text        not null check (length(btrim(reason)) between 1 and 2000),
  at     timestamptz not null default now()
);

do $$
declare
  name text;
begin
  foreach name in array array['audit_doubts', 'audit_doubts_settled'] loop
    execute format('create trigger %I before update or delete on %I for each row execute function refuse_rewriting()',
                   name || '_append_only', name);
    execute format('create trigger %I before truncate on %I for each statement execute function refuse_rewriting()',
                   name || '_not_truncated', name);
  end loop;
end $$;

create view audit_doubts_standing as
  select d.number, d.witness, d.why, d.size, d.at
    from audit_doubts d
   where not exists (select from audit_doubts_settled s where s.number = d.number);

grant select on audit_doubts, audit_doubts_settled, audit_doubts_standing to mayfly_app;

-- Whoever waited for the lock sees what stands now: no head is kept after a doubt.
create function doubt_audit_log(doubting_witness text, words text, audit_id text) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  signed bigint;
begin
  perform from audit_log_head h for update;
  if exists (select from audit_doubts_standing d where d.witness = doubting_witness) then return false; end if;
  signed := (select coalesce(max(c.size), 0) from audit_checkpoints c);
  insert into audit_doubts (witness, why, size) values (doubting_witness, left(words, 2000), signed);
  insert into audit_entries (id, action, outcome, actor, details)
    values (audit_id, 'audit_log.doubted', 'allowed', null,
            jsonb_build_object('witness', doubting_witness, 'why', left(words, 2000), 'size', signed));
  return true;
end $$;

-- For the owner: the log is signed again, by whoever keeps it. Returns how many doubts that settled.
create function settle_audit_doubts(words text, audit_actor text) returns integer
language plpgsql set search_path = public, pg_temp as $$
declare
  settled integer;
begin
  perform from audit_log_head h for update;
  insert into audit_doubts_settled (number, reason) select d.number, words from audit_doubts_standing d;
  get diagnostics settled = row_count;
  if settled = 0 then return 0; end if;
  insert into audit_entries (id, action, outcome, actor, details)
    values ('aud_' || replace(gen_random_uuid()::text, '-', ''), 'audit_log.trusted', 'allowed', audit_actor,
            jsonb_build_object('reason', words, 'doubts', settled));
  return settled;
end $$;

-- As in 0021, and nothing while a doubt stands.
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
  if exists (select from audit_doubts_standing) then raise exception 'a witness saw another audit log'; end if;
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

create or replace function keep_hand_over(new_kid text, old_kid text, at_size bigint, hand_over_note text)
returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform from audit_log_head h for update;
  if old_kid is distinct from log_speaker() or new_kid = old_kid
     or at_size <> (select coalesce(max(c.size), 0) from audit_checkpoints c)
     or exists (select from audit_hand_overs h where new_kid in (h.from_kid, h.to_kid))
     or exists (select from audit_doubts_standing) then
    return false;
  end if;
  insert into audit_hand_overs (to_kid, from_kid, size, note) values (new_kid, old_kid, at_size, hand_over_note);
  return true;
end $$;

revoke all on function doubt_audit_log, settle_audit_doubts from public;
grant execute on function doubt_audit_log to mayfly_app;

-- Which heads a witness has signed: readers ask for the newest that all of theirs have.
create index audit_cosignatures_by_witness on audit_cosignatures (witness, size);
