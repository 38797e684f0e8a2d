-- A head that is moved again after its first move was lost: neither the generation nor an epoch may be given twice, and
-- whoever knows better may have had nobody to tell, since brokers that do not believe a database record nothing in it.

-- As in 0008; besides what the database and verifiers remember, both grow with time, which nobody can lose: an epoch
-- for each tenth of a millisecond, more than are ever made, and a generation for each second.
create or replace function move_revocation_head(
  above bigint, entry_id text, entry_reason text, entry_actor text, audit_id text
) returns table (epoch bigint, generation integer)
language plpgsql set search_path = public, pg_temp as $$
declare
  margin constant bigint := 1000000;
  credible constant bigint := 1000000000000;              -- nobody lost more than that; larger claims are lies
  credible_moves constant integer := 1000;
  seconds constant bigint := floor(extract(epoch from clock_timestamp() - timestamptz '2026-01-01T00:00:00Z'));
  highest bigint;
  newest integer;                                         -- a backup from before a move has forgotten that one, too
begin
  perform from revocation_head h for update;
  select greatest(h.epoch, seconds * 10000) into highest from revocation_head h;
  select greatest(highest, above, (select max(v.applied_epoch) from verifiers v),
                  (select max(c.epoch) from ledger_claims c where c.epoch < highest + credible))
    into highest;
  select greatest(h.generation, seconds - 1) into newest from revocation_head h;
  select greatest(newest, (select max(c.generation) from ledger_claims c where c.generation < newest + credible_moves))
    into newest;
  if highest + margin > 4503599627370496 then raise exception 'epochs would get too large to be told apart'; end if;
  update revocation_head h
     set epoch = highest + margin - 1, generation = newest + 1, moved_at = clock_timestamp(),
         system_identifier = i.system_identifier, timeline = i.timeline
    from database_identity() i;
  delete from ledger_claims;
  return query
    select a.epoch, a.generation
      from append_revocation(entry_id, 'all', '', false, null, entry_reason, entry_actor, audit_id, null) a;
end $$;
