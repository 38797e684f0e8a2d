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

create index quarantines_agent_id on quarantines (agent_id);

grant select, insert on quarantines to mayfly_app;

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

grant select, insert on idempotency_keys to mayfly_app;

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

-- As in 0003, with the reason and the request, and with the epoch of the ledger's entry: null for a key that signs
-- no tokens, and when nothing was changed because it had been revoked before (`done` is false) or is unknown.
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
  if key_purpose = 'token' then
    select a.epoch into entry_epoch
      from append_revocation(ledger_entry_id, 'signing-key', key_kid, false, null, revocation_reason,
                             audit_actor, ledger_audit_id, audit_request_id) a;
  end if;
  return query select true, entry_epoch;
end $$;

revoke all on function revoke_signing_key(text, text, text, text, text, text, text) from public;
grant execute on function revoke_signing_key(text, text, text, text, text, text, text) to mayfly_app;
