-- Entries of the record are called what happened: session.revoked, agent.quarantined, kill_switch.engaged. Until now an
-- entry of the ledger was revocation.appended, whatever it ended, and neither its session nor its agent led to it.
-- Entries that are written already keep their names.

-- Where a request came from. A statement that has one says so in mayfly.source, for as long as its transaction lasts;
-- brokers of before say nothing, and their entries have no address.
create function asked_from() returns text language sql stable set search_path = public, pg_temp as $$
  select nullif(current_setting('mayfly.source', true), '')
$$;

-- The hour in which a thing was named, as hourOfToken in token-store.ts; null for what has no such name.
create function hour_of_name(name text) returns integer language sql immutable set search_path = public, pg_temp as $$
  select case when name ~ '^[a-z]{2,8}_[0-7][0-9a-hjkmnp-tv-z]{25}$' then (
    select floor(sum((strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(right(name, 26), n, 1)) - 1)::bigint
                     << (50 - 5 * n)) / 3600000)::integer
      from generate_series(1, 10) as n) end
$$;

-- The line in the record that goes with an entry: as in 0009, and called what happened, with whom it is about and where
-- it came from.
create or replace function record_entry(entry_epoch bigint, audit_id text, audit_request_id text, more jsonb)
returns void language plpgsql set search_path = public, pg_temp as $$
declare
  entry record;
  line_action text;
  session text;
  token text;
  agent text;
begin
  select r.kind, r.target, r.standing, r.releases, r.reason, r.actor,
         exists (select from quarantines q where q.epoch in (r.epoch, r.releases)) as is_quarantine
    into strict entry from revocations r where r.epoch = entry_epoch;
  line_action := case
    when entry.releases is not null and entry.is_quarantine then 'agent.released'
    when entry.releases is not null then 'kill_switch.released'
    when entry.standing and entry.is_quarantine then 'agent.quarantined'
    when entry.standing then 'kill_switch.engaged'
    when entry.kind in ('session', 'token') then entry.kind || '.revoked'
    when entry.kind in ('agent', 'subject') then 'agent.revoked'
    else 'revocation.appended' end;
  if entry.kind = 'session' then
    session := entry.target;
    select s.agent_id into agent from sessions s where s.id = session;
  elsif entry.kind = 'token' then
    token := entry.target;
    select t.session_id, s.agent_id into session, agent
      from tokens t join sessions s on s.id = t.session_id where t.hour = hour_of_name(token) and t.jti = token;
  elsif entry.kind = 'agent' then
    select a.id into agent from agents a where a.name = entry.target order by a.removed_at desc nulls first limit 1;
  elsif entry.kind = 'subject' then
    agent := entry.target;
  end if;
  insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
    values (audit_id, line_action, 'allowed', audit_request_id, entry.actor, session, token,
            jsonb_build_object('epoch', entry_epoch, 'kind', entry.kind, 'target', entry.target,
                               'standing', entry.standing, 'reason', entry.reason)
              || jsonb_strip_nulls(jsonb_build_object('source', asked_from(), 'agent', agent)) || more);
end $$;

-- As in 0009, from where it was asked.
create or replace function record_late(at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  late record;
  made integer := 0;
begin
  for late in select r.epoch, r.created_at, r.unrecorded from revocations r
               where r.unrecorded is not null order by r.epoch limit at_most for update skip locked loop
    perform set_config('mayfly.source', coalesce(late.unrecorded->>'source', ''), true);
    perform record_entry(late.epoch, late.unrecorded->>'audit_id', late.unrecorded->>'request_id',
                         jsonb_build_object('at', late.created_at, 'late_because', late.unrecorded->'because'));
    update revocations r set unrecorded = null where r.epoch = late.epoch;
    made := made + 1;
  end loop;
  return made;
end $$;

-- As in 0017, with where it was asked from.
-- outcome: engaged, engaged_before (by this request), standing, repeated, unknown_target, other_request.
create or replace function engage_kill_switch(
  entry_id text, entry_kind text, entry_target text, entry_reason text, entry_actor text,
  audit_id text, audit_request_id text,
  request_client text, request_key text, request_digest text
) returns table (outcome text, id text, epoch bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  is_known constant boolean := is_kill_target(entry_kind, entry_target); -- before the lock: others wait for that
  entry_key text := case when entry_kind = 'all' then 'all' else entry_kind || ':' || entry_target end;
  earlier record;
  found_id text;
  found_epoch bigint;
  result text;
begin
  perform from revocation_head h for update;
  if request_key is not null then
    select k.request_digest as digest, k.answer->>'id' as id, k.answer->>'effect' as effect into earlier
      from idempotency_keys k where k.client_id = request_client and k.key = request_key;
    if found then
      if earlier.digest <> request_digest then
        return query select 'other_request', null::text, null::bigint;
      else
        return query select case when earlier.effect = 'engaged' then 'engaged_before' else 'repeated' end, r.id, r.epoch
                       from revocations r where r.id = earlier.id;
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
  elsif not is_known then
    return query select 'unknown_target', null::text, null::bigint;
    return;
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
                                   'reason', entry_reason)
                  || jsonb_strip_nulls(jsonb_build_object('source', asked_from())));
    end if;
  exception when others or query_canceled then
    if result = 'engaged' then
      update revocations r
         set unrecorded = jsonb_build_object('audit_id', audit_id, 'request_id', audit_request_id,
                                             'because', sqlstate, 'source', asked_from())
       where r.epoch = found_epoch;
    end if;
  end;
  if request_key is not null then
    begin
      perform set_config('lock_timeout', '200ms', true);
      insert into idempotency_keys (client_id, key, request_digest, answer)
        values (request_client, request_key, request_digest, jsonb_build_object('id', found_id, 'effect', result));
    exception when others or query_canceled then
      null;                                               -- sent again, it finds what stands
    end;
  end if;
  return query select result, found_id, found_epoch;
end $$;

-- As in 0007, with a line that knows a quarantine from a kill.
create or replace function quarantine_agent(
  named text, entry_id text, entry_reason text, entry_actor text, audit_id text, audit_request_id text,
  asked_key text, asked_digest text,
  out outcome text, out answer jsonb
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
  stopped agents := declared_client(named);
  found_epoch bigint;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if stopped.id is null then
    outcome := 'not_found';
    return;
  end if;
  select q.epoch into found_epoch
    from quarantines q join revocations r on r.epoch = q.epoch
   where r.key = 'agent:' || stopped.name and r.released_epoch is null;
  outcome := 'done';
  if found_epoch is not null then
    answer := told_entry(found_epoch, 'none');
  else
    select a.epoch into found_epoch
      from append_entry(entry_id, 'agent', stopped.name, true, null, entry_reason, entry_actor) a;
    insert into quarantines (epoch, agent_id) values (found_epoch, stopped.id);
    perform record_entry(found_epoch, audit_id, audit_request_id, '{}');
    answer := told_entry(found_epoch, 'revoked');
  end if;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $$;

-- As in 0014; ends have an eleventh member, the address that asked.
create or replace function end_own_sessions(ends jsonb) returns table (n integer, outcome text, answer jsonb)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  at_most constant integer := 200;
  each record;
  found_epoch bigint;
begin
  if jsonb_array_length(ends) > at_most then raise exception 'at most % sessions are ended at once', at_most; end if;
  for each in
    with asked as materialized (
      select e.ordinality::integer - 1 as place, e.value->>0 as client, (e.value->>2)::integer as proof_hour,
             (e.value->>3)::uuid as proof_key, (e.value->>4)::integer as assertion_hour,
             (e.value->>5)::uuid as assertion_key, e.value->>6 as entry_id, e.value->>7 as reason,
             e.value->>8 as audit_id, e.value->>9 as request_id, e.value->>10 as source,
             (select s.id from declared_client(e.value->>0) a join sessions s on s.agent_id = a.id
               where a.name = e.value->>0 and s.jkt = e.value->>1) as session
        from jsonb_array_elements(ends) with ordinality as e
    ), spent as (
      insert into spent_jti (hour, key, token_id)
      select o.hour, o.key, o.audit_id
        from (select a.proof_hour as hour, a.proof_key as key, a.audit_id from asked a where a.session is not null
              union all
              select a.assertion_hour, a.assertion_key, a.audit_id from asked a where a.session is not null) as o
       order by o.hour, o.key, o.audit_id
          on conflict do nothing
      returning key, token_id
    )
    select a.place, a.client, a.session, a.entry_id, a.reason, a.audit_id, a.request_id, a.source,
           case when a.session is null then 'not_found'
                when not exists (select from spent s where s.key = a.assertion_key and s.token_id = a.audit_id)
                  then 'assertion_replayed'
                when not exists (select from spent s where s.key = a.proof_key and s.token_id = a.audit_id)
                  then 'proof_replayed'
                else 'done' end as became
      from asked a order by a.place
  loop
    n := each.place;
    outcome := each.became;
    answer := null;
    if outcome = 'done' then
      perform set_config('mayfly.source', coalesce(each.source, ''), true);
      perform from revocation_head h for update;
      select min(r.epoch) into found_epoch
        from revocations r where r.key = 'session:' || each.session and r.releases is null;
      if found_epoch is not null then
        answer := told_entry(found_epoch, 'none');
        insert into audit_entries (id, action, outcome, request_id, actor, session_id, details)
          values (each.audit_id, 'session.revoked', 'allowed', each.request_id, each.client,
                  each.session,
                  jsonb_build_object('effect', 'none') || jsonb_strip_nulls(jsonb_build_object(
                    'source', asked_from(),
                    'agent', (select s.agent_id from sessions s where s.id = each.session))));
      else
        select told_entry(a.epoch, 'revoked') into answer
          from append_revocation(each.entry_id, 'session', each.session, false, null, each.reason,
                                 each.client, each.audit_id, each.request_id) a;
      end if;
    end if;
    return next;
  end loop;
end $$;

-- As in 0007, with where it was asked from.
create or replace function revoke_signing_key(
  key_kid text, audit_id text, audit_actor text, ledger_entry_id text, ledger_audit_id text,
  revocation_reason text, audit_request_id text
) returns table (done boolean, epoch bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  key_purpose text;
  entry_epoch bigint;
begin
  update signing_keys k set revoked_at = date_trunc('milliseconds', now()), sealed_secret = null
   where k.kid = key_kid and k.revoked_at is null
  returning k.purpose into key_purpose;
  if not found then return query select false, null::bigint; return; end if;
  insert into audit_entries (id, action, outcome, request_id, actor, details)
    values (audit_id, 'signing_key.revoked', 'allowed', audit_request_id, audit_actor,
            jsonb_build_object('kid', key_kid, 'purpose', key_purpose, 'reason', revocation_reason)
              || jsonb_strip_nulls(jsonb_build_object('source', asked_from())));
  if key_purpose in ('token', 'ledger') then
    select a.epoch into entry_epoch
      from append_revocation(ledger_entry_id, 'signing-key', key_kid, false, null, revocation_reason,
                             audit_actor, ledger_audit_id, audit_request_id) a;
  end if;
  return query select true, entry_epoch;
end $$;

-- A receipt cites the line of its entry of the ledger, whatever it is called.
drop index audit_entries_by_epoch;
create index audit_entries_by_epoch on audit_entries ((details->>'epoch'))
  where action in ('revocation.appended', 'revocation.released', 'session.revoked', 'token.revoked', 'agent.revoked',
                   'agent.quarantined', 'agent.released', 'kill_switch.engaged', 'kill_switch.released');

revoke all on function asked_from, hour_of_name, record_entry from public;
