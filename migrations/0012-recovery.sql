-- What a failover lost, revoked again: many entries a call, since whoever held the head of the ledger over one question
-- and answer for each would keep a kill waiting for all of them (L1, L2).

-- Whether what was lost is revoked again already: it stands, it is a signing key, or it was revoked since the head moved.
create function is_recovered(lost_key text, stood boolean, moved_to integer) returns boolean
language sql stable set search_path = public, pg_temp as $$
  select exists (
    select from revocations r
     where r.key = lost_key and r.releases is null
       and ((r.standing and r.released_epoch is null) or r.kind = 'signing-key'
            or (r.generation = moved_to and (r.standing or not stood))))
$$;

-- lost: [[n, kind, target, standing, entry_id, audit_id]]. One autocommit statement; again with the same it does nothing.
-- For the owner alone. Returns what was appended.
create function recover_revocations(lost jsonb, moved_to integer, entry_reason text, entry_actor text)
returns table (n integer, epoch bigint)
language plpgsql set search_path = public, pg_temp as $$
declare
  at_most constant integer := 200;
  each record;
begin
  if jsonb_array_length(lost) > at_most then raise exception 'at most % entries are recovered at once', at_most; end if;
  perform from revocation_head h cross join database_identity() i
    where h.generation = moved_to and h.system_identifier = i.system_identifier and h.timeline = i.timeline
      for update of h;
  if not found then
    raise exception 'the head of the ledger was moved meanwhile' using errcode = 'serialization_failure';
  end if;
  for each in
    select (l.value->>0)::integer as place, l.value->>1 as kind, l.value->>2 as target, (l.value->>3)::boolean as stood,
           l.value->>4 as entry_id, l.value->>5 as audit_id
      from jsonb_array_elements(lost) with ordinality as l order by l.ordinality
  loop
    continue when is_recovered(case when each.kind = 'all' then 'all' else each.kind || ':' || each.target end,
                               each.stood, moved_to);
    return query
      select each.place, a.epoch
        from append_revocation(each.entry_id, each.kind, each.target, each.stood, null, entry_reason, entry_actor,
                               each.audit_id, null) a;
  end loop;
end $$;

revoke all on function is_recovered, recover_revocations from public;
