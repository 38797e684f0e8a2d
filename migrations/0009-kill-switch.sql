-- The kill switch: standing entries of the ledger that one call engages and another person releases, and what
-- receipts are made of: which enforcement points have applied an entry, and by when the others have stopped.

alter table revocations
  add column generation integer not null default 1,       -- of the ledger in which the entry was made
  -- What the entry's line in the record still needs, when that could not be written with the entry (L2).
  add column unrecorded jsonb;

update revocations r set generation = h.generation from revocation_head h where h.generation > 1;

create index revocations_unrecorded on revocations (epoch) where unrecorded is not null;
create index revocations_ever_standing on revocations (epoch) where standing;

-- The ledger's part of a revocation, for the functions below that differ in what they ask first and in how much
-- their line in the record matters. Takes the head's lock, if the caller has not: epochs are gapless and visible
-- in order. The digest chains the entry as a JSON array of strings in the canonical form of RFC 8785.
create function append_entry(
  entry_id text, entry_kind text, entry_target text, entry_standing boolean, entry_releases bigint,
  entry_reason text, entry_actor text
) returns table (epoch bigint, generation integer, digest bytea, created_at timestamptz)
language plpgsql set search_path = public, pg_temp as $$
declare
  next_epoch bigint;
  next_generation integer;
  previous bytea;
  next_digest bytea;
  written timestamptz;
begin
  select h.epoch + 1, h.generation, h.digest into next_epoch, next_generation, previous
    from revocation_head h for update;
  written := clock_timestamp();                           -- after the lock: times are ordered as epochs are
  next_digest := sha256(previous || convert_to('[' || array_to_string(array[
    to_json(next_epoch::text), to_json(entry_id), to_json(entry_kind), to_json(entry_target),
    to_json(entry_standing::text), to_json(coalesce(entry_releases::text, '')), to_json(entry_reason),
    to_json(entry_actor), to_json(floor(extract(epoch from written) * 1000)::bigint::text)
  ]::text[], ',') || ']', 'UTF8'));
  update revocation_head h set epoch = next_epoch, digest = next_digest;
  insert into revocations (epoch, id, kind, target, standing, releases, reason, actor, created_at, digest, generation)
    values (next_epoch, entry_id, entry_kind, entry_target, entry_standing, entry_releases, entry_reason,
            entry_actor, written, next_digest, next_generation);
  if entry_releases is not null then
    update revocations r set released_epoch = next_epoch
      where r.epoch = entry_releases and r.standing and r.released_epoch is null;
    if not found then
      raise exception 'epoch % is not a standing revocation that could be released', entry_releases
        using errcode = 'no_data_found';
    end if;
  end if;
  return query select next_epoch, next_generation, next_digest, written;
end $$;

-- The line in the record that goes with an entry.
create function record_entry(entry_epoch bigint, audit_id text, audit_request_id text, more jsonb) returns void
language sql set search_path = public, pg_temp as $$
  insert into audit_entries (id, action, outcome, request_id, actor, details)
  select audit_id, case when r.releases is null then 'revocation.appended' else 'revocation.released' end,
         'allowed', audit_request_id, r.actor,
         jsonb_build_object('epoch', r.epoch, 'kind', r.kind, 'target', r.target, 'standing', r.standing,
                            'reason', r.reason) || more
    from revocations r where r.epoch = entry_epoch
$$;

-- As in 0002.
create or replace function append_revocation(
  entry_id text, entry_kind text, entry_target text, entry_standing boolean, entry_releases bigint,
  entry_reason text, entry_actor text, audit_id text, audit_request_id text
) returns table (epoch bigint, generation integer, digest bytea, created_at timestamptz)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  entry record;
begin
  select * into entry from append_entry(entry_id, entry_kind, entry_target, entry_standing, entry_releases,
                                        entry_reason, entry_actor);
  perform record_entry(entry.epoch, audit_id, audit_request_id, '{}');
  return query select entry.epoch, entry.generation, entry.digest, entry.created_at;
end $$;

-- Whether a kill would name something: looked up in what is applied, not in what some broker read from files.
create function is_kill_target(target_kind text, target text) returns boolean
language sql stable set search_path = public, pg_temp as $$
  select case target_kind
    when 'all' then target = ''
    when 'agent' then exists (
      select from agents a where a.name = target and a.removed_at is null and a.kind <> 'canary')
    when 'subject' then exists (select from agents a where a.id = target and a.kind <> 'canary')
    when 'zone' then exists (
      select from catalogue_versions c, jsonb_array_elements(c.document->'zones') as z
       where c.active and z->>'name' = target)
    when 'resource' then exists (
      select from catalogue_versions c, jsonb_array_elements(c.document->'resources') as r
       where c.active and r->>'audience' = target)
    when 'action' then exists (
      select from catalogue_versions c, jsonb_array_elements(c.document->'resources') as r,
                  jsonb_array_elements(r->'actions') as a
       where c.active and a->>'name' = target)
    else false
  end
$$;

-- Engages the switch; one autocommit statement that waits for nothing but the head's lock. The same target again
-- is the entry that stands already, and so is the same idempotency key again, whatever became of that entry. If the
-- line in the record or the idempotency key cannot be written, the entry counts all the same: it is the record, and
-- its line is made later from it (L2).
-- outcome: engaged, standing, repeated, unknown_target, other_request.
create function engage_kill_switch(
  entry_id text, entry_kind text, entry_target text, entry_reason text, entry_actor text,
  audit_id text, audit_request_id text,
  request_client text, request_key text, request_digest text
) returns table (outcome text, id text, epoch bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  entry_key text := case when entry_kind = 'all' then 'all' else entry_kind || ':' || entry_target end;
  earlier record;
  found_id text;
  found_epoch bigint;
  result text;
begin
  if not is_kill_target(entry_kind, entry_target) then
    return query select 'unknown_target', null::text, null::bigint;
    return;
  end if;
  perform from revocation_head h for update;
  if request_key is not null then
    select k.request_digest as digest, k.answer->>'id' as id into earlier
      from idempotency_keys k where k.client_id = request_client and k.key = request_key;
    if found then
      if earlier.digest <> request_digest then
        return query select 'other_request', null::text, null::bigint;
      else
        return query select 'repeated', r.id, r.epoch from revocations r where r.id = earlier.id;
      end if;
      return;
    end if;
  end if;
  select r.id, r.epoch into found_id, found_epoch
    from revocations r
   where r.key = entry_key and r.standing and r.released_epoch is null
     and not exists (select from quarantines q where q.epoch = r.epoch)
   order by r.epoch limit 1;
  if found then
    result := 'standing';
  else
    result := 'engaged';
    select entry_id, e.epoch into found_id, found_epoch
      from append_entry(entry_id, entry_kind, entry_target, true, null, entry_reason, entry_actor) e;
  end if;
  begin
    perform set_config('lock_timeout', '200ms', true);
    if result = 'engaged' then
      perform record_entry(found_epoch, audit_id, audit_request_id, '{}');
    else
      insert into audit_entries (id, action, outcome, request_id, actor, details)
        values (audit_id, 'kill_switch.found_engaged', 'allowed', audit_request_id, entry_actor,
                jsonb_build_object('epoch', found_epoch, 'kind', entry_kind, 'target', entry_target,
                                   'reason', entry_reason));
    end if;
  exception when others or query_canceled then
    if result = 'engaged' then
      update revocations r
         set unrecorded = jsonb_build_object('audit_id', audit_id, 'request_id', audit_request_id,
                                             'because', sqlstate)
       where r.epoch = found_epoch;
    end if;
  end;
  if request_key is not null then
    begin
      perform set_config('lock_timeout', '200ms', true);
      insert into idempotency_keys (client_id, key, request_digest, answer)
        values (request_client, request_key, request_digest, jsonb_build_object('id', found_id));
    exception when others or query_canceled then
      null;                                               -- sent again, it finds what stands
    end;
  end if;
  return query select result, found_id, found_epoch;
end $$;

-- Who acts, whichever way: the name on the machine from which the glass was broken counts as the operator's.
create function person_of(actor text) returns text language sql immutable
  return regexp_replace(actor, '^break-glass:', '');

-- Releases what stands, unless the person who engaged it asks. It widens what agents can do, so it is not done
-- without its line in the record. outcome: released, released_before, own, unknown, other_request.
create function release_kill_switch(
  switch_id text, entry_id text, entry_reason text, entry_actor text, audit_id text, audit_request_id text,
  request_client text, request_key text, request_digest text
) returns table (outcome text, epoch bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  engaged record;
  earlier text;
  release_epoch bigint;
begin
  perform from revocation_head h for update;
  if request_key is not null then
    select k.request_digest into earlier
      from idempotency_keys k where k.client_id = request_client and k.key = request_key;
    if found and earlier <> request_digest then
      return query select 'other_request', null::bigint;
      return;
    end if;
  end if;
  select r.epoch, r.kind, r.target, r.actor, r.released_epoch into engaged
    from revocations r where r.id = switch_id and r.standing
     and not exists (select from quarantines q where q.epoch = r.epoch);
  if not found then
    return query select 'unknown', null::bigint;
    return;
  end if;
  if engaged.released_epoch is not null then
    return query select 'released_before', engaged.released_epoch;
    return;
  end if;
  if person_of(engaged.actor) = person_of(entry_actor) then
    return query select 'own', null::bigint;
    return;
  end if;
  select e.epoch into release_epoch
    from append_entry(entry_id, engaged.kind, engaged.target, false, engaged.epoch, entry_reason, entry_actor) e;
  perform record_entry(release_epoch, audit_id, audit_request_id, jsonb_build_object('released', switch_id));
  if request_key is not null then
    insert into idempotency_keys (client_id, key, request_digest, answer)
      values (request_client, request_key, request_digest, jsonb_build_object('id', switch_id))
      on conflict do nothing;
  end if;
  return query select 'released', release_epoch;
end $$;

-- What a receipt states of an entry besides the entry itself. Written when somebody first asks, after the entry has
-- been committed: visible is committed. Goes with the entry.
create table receipts (
  epoch            bigint      not null primary key references revocations (epoch) on delete cascade,
  committed_at     timestamptz not null,                  -- the database clock, read after COMMIT had returned (L20)
  replicated       boolean     not null,                  -- a commit at or after it was confirmed by the standby (L21)
  -- Instances that this database has forgotten have stopped by then; null when it has forgotten none (L25).
  unlisted_stop_at timestamptz
);

-- The enforcement points that were live then. Kept here, so that a receipt says the same when they are long gone.
create table receipt_instances (
  epoch      bigint      not null references receipts (epoch) on delete cascade,
  instance   text        not null,
  resource   text        not null,
  applied_at timestamptz,
  stops_at   timestamptz not null,                        -- the end of every lease it had, and the margin
  primary key (epoch, instance)
);

create index receipt_instances_outstanding on receipt_instances (epoch) where applied_at is null;

grant select on receipts, receipt_instances to mayfly_app;

-- Brings what the receipt states up to date, in statements that begin after the commit (L20). Whoever comes first
-- reads the clock and lists who is live; what is stated once is never taken back. Not worth waiting for a standby:
-- lost, it is read again, and is later.
create function settle_receipt(
  entry_epoch bigint, was_replicated boolean, longest_lease integer, margin integer
) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  leeway constant interval := make_interval(secs => margin);
begin
  perform set_config('synchronous_commit', 'local', true);
  insert into receipts (epoch, committed_at, replicated, unlisted_stop_at)
    select entry_epoch, clock_timestamp(), was_replicated,
           (select h.moved_at + make_interval(secs => longest_lease) + leeway from revocation_head h
             where h.moved_at + make_interval(secs => longest_lease) + leeway > clock_timestamp())
     where exists (select from revocations r where r.epoch = entry_epoch)
        on conflict do nothing;
  if found then
    insert into receipt_instances (epoch, instance, resource, stops_at)
      select entry_epoch, v.instance, v.resource, v.lease_ends_at + leeway
        from verifiers v
       where v.closed_at is null and v.lease_ends_at + leeway > clock_timestamp();
  elsif was_replicated then
    update receipts p set replicated = true where p.epoch = entry_epoch and not p.replicated;
  end if;
  update receipt_instances i
     set applied_at = a.applied_at, stops_at = least(i.stops_at, a.closed_at)
    from (select o.instance, v.closed_at,
                 coalesce((select min(k.applied_at) from acknowledgements k
                            where k.instance = o.instance and k.epoch >= entry_epoch),
                          case when v.applied_epoch >= entry_epoch then v.renewed_at end) as applied_at
            from receipt_instances o join verifiers v on v.instance = o.instance
           where o.epoch = entry_epoch and o.applied_at is null) as a
   where i.epoch = entry_epoch and i.instance = a.instance
     and (a.applied_at is not null or a.closed_at < i.stops_at);
end $$;

-- Lines of the record that entries still lack; as many as are made. The reason why they lacked them is said.
create function record_late(at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  late record;
  made integer := 0;
begin
  for late in select r.epoch, r.created_at, r.unrecorded from revocations r
               where r.unrecorded is not null order by r.epoch limit at_most for update skip locked loop
    perform record_entry(late.epoch, late.unrecorded->>'audit_id', late.unrecorded->>'request_id',
                         jsonb_build_object('at', late.created_at, 'late_because', late.unrecorded->'because'));
    update revocations r set unrecorded = null where r.epoch = late.epoch;
    made := made + 1;
  end loop;
  return made;
end $$;

revoke all on function append_entry, record_entry, is_kill_target, engage_kill_switch, person_of, release_kill_switch,
  settle_receipt, record_late from public;
grant execute on function is_kill_target, engage_kill_switch, release_kill_switch, settle_receipt, record_late
  to mayfly_app;
