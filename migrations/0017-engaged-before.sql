-- A kill that is sent again is what it was, also when the catalogue that was applied since has no such target any more:
-- as in 0015, but what the key remembers and what stands come first.

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
        values (request_client, request_key, request_digest, jsonb_build_object('id', found_id, 'effect', result));
    exception when others or query_canceled then
      null;                                               -- sent again, it finds what stands
    end;
  end if;
  return query select result, found_id, found_epoch;
end $$;
