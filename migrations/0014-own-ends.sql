-- Agents that end their own sessions, many in one statement: however many do at once, of one broker only one of these
-- is at the head of the ledger, and whoever kills waits behind that one (L2).

-- ends: [[client, jkt, proof hour, proof key, assertion hour, assertion key, entry id, reason, audit id, request id]].
-- Answers each by its place. Proofs and assertions are spent in the same statement, in the order of their names, each
-- under its own end's name: of two ends with one proof one has it. outcome: as of end_own_session in 0007.
create function end_own_sessions(ends jsonb) returns table (n integer, outcome text, answer jsonb)
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
             e.value->>8 as audit_id, e.value->>9 as request_id,
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
    select a.place, a.client, a.session, a.entry_id, a.reason, a.audit_id, a.request_id,
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
      perform from revocation_head h for update;
      select min(r.epoch) into found_epoch
        from revocations r where r.key = 'session:' || each.session and r.releases is null;
      if found_epoch is not null then
        answer := told_entry(found_epoch, 'none');
        insert into audit_entries (id, action, outcome, request_id, actor, session_id, details)
          values (each.audit_id, 'session.revoked', 'allowed', each.request_id, each.client,
                  each.session, jsonb_build_object('effect', 'none'));
      else
        select told_entry(a.epoch, 'revoked') into answer
          from append_revocation(each.entry_id, 'session', each.session, false, null, each.reason,
                                 each.client, each.audit_id, each.request_id) a;
      end if;
    end if;
    return next;
  end loop;
end $$;

revoke all on function end_own_sessions from public;
grant execute on function end_own_sessions to mayfly_app;
