-- People who manage mayfly, beside the agents: both are clients in one namespace, so that a revocation which names
-- a client names one of them. A session of an operator is passed by when a wide target is revoked (ledger rule L4),
-- or nobody could release what was stopped.

alter table agents add column kind text not null default 'agent' check (kind in ('agent', 'operator', 'canary'));
alter table sessions add column exempt_from_wide boolean not null default false;

-- For the list of one client's sessions, which goes by id from the newest.
create index sessions_client_id on sessions (client_id, id);

-- As in 0004, with the kind of what is added: [{"id", "name", "kind"}]; without it, an agent.
create or replace function apply_catalogue(
  expected_version integer, new_digest text, new_document jsonb, actor text,
  added jsonb, removed text[], revoked jsonb, entry_id text
) returns integer
language plpgsql set search_path = public, pg_temp as $$
declare
  new_version integer;
  item jsonb;
begin
  perform pg_advisory_xact_lock(hashtext('mayfly catalogue'));
  if expected_version is distinct from (select c.version from catalogue_versions c where c.active) then
    raise exception 'another version was applied meanwhile' using errcode = 'serialization_failure';
  end if;
  update catalogue_versions c set active = false where c.active;
  insert into catalogue_versions (digest, document, applied_by, active)
    values (new_digest, new_document, actor, true) returning version into new_version;
  update agents a set removed_at = now() where a.removed_at is null and a.name = any (removed);
  insert into agents (id, name, kind)
    select j.id, j.name, coalesce(j.kind, 'agent')
      from jsonb_to_recordset(added) as j (id text, name text, kind text);
  for item in select value from jsonb_array_elements(revoked) loop
    perform append_revocation(item->>'id', item->>'kind', item->>'target', false, null,
                              item->>'reason', actor, item->>'audit_id', null);
  end loop;
  insert into audit_entries (id, action, outcome, actor, details)
    values (entry_id, 'catalogue.changed', 'allowed', actor,
            jsonb_build_object('version', new_version, 'digest', new_digest, 'before', expected_version,
                               'agents_added', added, 'agents_removed', to_jsonb(removed),
                               'revocations', jsonb_array_length(revoked)));
  return new_version;
end $$;

-- Which standing entries are quarantines: those are released by anybody who may, a kill by somebody else only.
create table quarantines (
  epoch    bigint not null primary key references revocations (epoch),
  agent_id text   not null references agents (id)
);

grant select on quarantines to mayfly_app;                -- or a broker could call a kill a quarantine

-- What a request with an Idempotency-Key came to: written by the statement of the change itself, so that a key
-- without an answer is a request without an effect, and may be sent again.
create table idempotency_keys (
  client_id      text        not null,
  key            text        not null,
  request_digest text        not null,                    -- of method, path and body
  answer         jsonb       not null,
  created_at     timestamptz not null default now(),
  primary key (client_id, key)
);

create index idempotency_keys_created_at on idempotency_keys (created_at);

grant select on idempotency_keys to mayfly_app;

-- Keys that are older than `kept` hours, at most `at_most` of them a call.
create function prune_idempotency_keys(kept integer, at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  pruned integer;
begin
  if kept < 1 or at_most not between 1 and 10000 then
    raise exception 'at least one hour is kept, and at most 10000 keys go at once';
  end if;
  delete from idempotency_keys where (client_id, key) in (
    select k.client_id, k.key from idempotency_keys k where k.created_at < now() - make_interval(hours => kept)
     order by k.created_at limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  return pruned;
end $$;

revoke all on function prune_idempotency_keys from public;
grant execute on function prune_idempotency_keys to mayfly_app;

-- As in 0003, with the reason and the request, and with the epoch of the ledger's entry: null for a key of nonces,
-- which nobody else verifies with, and when nothing was changed because it had been revoked before (`done` is false)
-- or is unknown. A revoked key of ledger messages stands in the ledger too: copies of it stop believing that key.
create function revoke_signing_key(
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
            jsonb_build_object('kid', key_kid, 'purpose', key_purpose, 'reason', revocation_reason));
  if key_purpose in ('token', 'ledger') then
    select a.epoch into entry_epoch
      from append_revocation(ledger_entry_id, 'signing-key', key_kid, false, null, revocation_reason,
                             audit_actor, ledger_audit_id, audit_request_id) a;
  end if;
  return query select true, entry_epoch;
end $$;

create or replace function revoke_signing_key(
  key_kid text, audit_id text, audit_actor text, ledger_entry_id text, ledger_audit_id text
) returns boolean
language sql security definer set search_path = public, pg_temp as $$
  select r.done from revoke_signing_key(key_kid, audit_id, audit_actor, ledger_entry_id, ledger_audit_id,
                                        'the signing key was revoked', null) r
$$;

-- What operators do, below: each a function that is one autocommit statement (L1), so that the change, its entry in
-- the ledger, its line in the record and the answer that its idempotency key will get again are there together or
-- not at all. They wait for the head of the ledger first, so that of two at once the second one sees the first.

-- What an idempotency key came to: null when it is new, `repeated` with its answer, or `other_request`.
create function earlier_answer(
  asked_client text, asked_key text, asked_digest text, out outcome text, out answer jsonb
) language plpgsql set search_path = public, pg_temp as $$
begin
  perform from revocation_head h for update;
  if asked_key is null then return; end if;
  select case when k.request_digest = asked_digest then 'repeated' else 'other_request' end,
         case when k.request_digest = asked_digest then k.answer end
    into outcome, answer
    from idempotency_keys k where k.client_id = asked_client and k.key = asked_key;
end $$;

create function keep_answer(asked_client text, asked_key text, asked_digest text, given jsonb) returns void
language sql set search_path = public, pg_temp as $$
  insert into idempotency_keys (client_id, key, request_digest, answer)
  select asked_client, asked_key, asked_digest, given where asked_key is not null on conflict do nothing
$$;

-- An entry of the ledger as the management API tells it; `effect` says whether this request made it. Volatile, or it
-- would not see an entry of the same statement.
create function told_entry(entry_epoch bigint, effect text) returns jsonb
language sql volatile set search_path = public, pg_temp as $$
  select jsonb_build_object('id', r.id, 'epoch', r.epoch, 'kind', r.kind, 'target', r.target,
                            'standing', r.standing, 'releases', r.releases, 'reason', r.reason, 'actor', r.actor,
                            'at', r.created_at, 'effect', effect)
    from revocations r where r.epoch = entry_epoch
$$;

-- Whoever is declared now, by name or by identity.
create function declared_client(client text) returns agents
language sql stable set search_path = public, pg_temp as $$
  select a from agents a
   where (a.name = client or a.id = client) and a.removed_at is null and a.kind <> 'canary'
$$;

-- Ends a session, a token, or what an agent has so far. A session or a token dies once: the entry that killed it is
-- the answer to whoever asks again. What an agent has so far is another thing each time.
-- outcome: done, repeated, other_request, not_found.
create function revoke_as_operator(
  entry_kind text, named text, token_hour integer, entry_id text, entry_reason text, entry_actor text,
  audit_id text, audit_request_id text, asked_key text, asked_digest text,
  out outcome text, out answer jsonb
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
  subject text := case entry_kind
    when 'session' then (select s.id from sessions s where s.id = named)
    when 'token' then (select t.jti from tokens t where t.hour = token_hour and t.jti = named)
    when 'agent' then (select a.name from declared_client(named) a)
  end;
  found_epoch bigint;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if subject is null then
    outcome := 'not_found';
    return;
  end if;
  if entry_kind <> 'agent' then
    select min(r.epoch) into found_epoch
      from revocations r where r.key = entry_kind || ':' || subject and r.releases is null;
  end if;
  outcome := 'done';
  if found_epoch is not null then
    answer := told_entry(found_epoch, 'none');
  else
    select told_entry(a.epoch, 'revoked') into answer
      from append_revocation(entry_id, entry_kind, subject, false, null, entry_reason, entry_actor, audit_id,
                             audit_request_id) a;
  end if;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $$;

-- Stops an agent until it is released. It is one entry however often it is asked for.
-- outcome: done, repeated, other_request, not_found.
create function quarantine_agent(
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
      from append_revocation(entry_id, 'agent', stopped.name, true, null, entry_reason, entry_actor, audit_id,
                             audit_request_id) a;
    insert into quarantines (epoch, agent_id) values (found_epoch, stopped.id);
    answer := told_entry(found_epoch, 'revoked');
  end if;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $$;

-- Releases a quarantine, and nothing that the kill switch stopped. What was minted before stays dead.
-- outcome: done, repeated, other_request, not_found, nothing_quarantined.
create function release_agent(
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
  if found_epoch is null then
    outcome := 'nothing_quarantined';
    return;
  end if;
  outcome := 'done';
  select told_entry(a.epoch, 'released') into answer
    from append_revocation(entry_id, 'agent', stopped.name, false, found_epoch, entry_reason, entry_actor, audit_id,
                           audit_request_id) a;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $$;

-- outcome: done, repeated, other_request, not_found.
create function revoke_signing_key_as_operator(
  key_kid text, entry_id text, entry_reason text, entry_actor text, audit_id text, key_audit_id text,
  audit_request_id text, asked_key text, asked_digest text,
  out outcome text, out answer jsonb
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
  revoked boolean;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if not exists (select from signing_keys k where k.kid = key_kid) then
    outcome := 'not_found';
    return;
  end if;
  outcome := 'done';
  select r.done into revoked
    from revoke_signing_key(key_kid, key_audit_id, entry_actor, entry_id, audit_id, entry_reason, audit_request_id) r;
  select coalesce(told_entry(min(r.epoch), case when revoked then 'revoked' else 'none' end), jsonb_build_object(
           'kind', 'signing-key', 'target', key_kid, 'standing', false, 'reason', entry_reason, 'actor', entry_actor,
           'at', (select k.revoked_at from signing_keys k where k.kid = key_kid),
           'effect', case when revoked then 'revoked' else 'none' end))
    into answer
    from revocations r where r.key = 'signing-key:' || key_kid;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $$;

-- Ends the session of whoever holds its key and is its client. Proof and assertion are spent in the same statement.
-- outcome: done, not_found, assertion_replayed, proof_replayed.
create function end_own_session(
  session_client text, session_jkt text, proof_hour integer, proof_key uuid, assertion_hour integer,
  assertion_key uuid, entry_id text, entry_reason text, audit_id text, audit_request_id text,
  out outcome text, out answer jsonb
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
  session text := (select s.id from declared_client(session_client) a join sessions s on s.agent_id = a.id
                    where a.name = session_client and s.jkt = session_jkt);
  fresh uuid[];
  found_epoch bigint;
begin
  if session is null then
    outcome := 'not_found';
    return;
  end if;
  with spent as (
    insert into spent_jti (hour, key, token_id)
    select o.hour, o.key, audit_id
      from (values (proof_hour, proof_key), (assertion_hour, assertion_key)) as o (hour, key)
     order by o.hour, o.key
        on conflict do nothing
    returning key
  ) select array_agg(s.key) into fresh from spent s;
  outcome := case when assertion_key = any (fresh) is not true then 'assertion_replayed'
                  when proof_key = any (fresh) is not true then 'proof_replayed' else 'done' end;
  if outcome <> 'done' then return; end if;
  perform from revocation_head h for update;
  select min(r.epoch) into found_epoch
    from revocations r where r.key = 'session:' || session and r.releases is null;
  if found_epoch is not null then
    answer := told_entry(found_epoch, 'none');
    insert into audit_entries (id, action, outcome, request_id, actor, session_id, details)
      values (audit_id, 'session.revoked', 'allowed', audit_request_id, session_client, session,
              jsonb_build_object('effect', 'none'));
  else
    select told_entry(a.epoch, 'revoked') into answer
      from append_revocation(entry_id, 'session', session, false, null, entry_reason, session_client, audit_id,
                             audit_request_id) a;
  end if;
end $$;

revoke all on function revoke_signing_key(text, text, text, text, text, text, text), revoke_as_operator,
  quarantine_agent, release_agent, revoke_signing_key_as_operator, end_own_session from public;
grant execute on function revoke_signing_key(text, text, text, text, text, text, text), revoke_as_operator,
  quarantine_agent, release_agent, revoke_signing_key_as_operator, end_own_session to mayfly_app;
