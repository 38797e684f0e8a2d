-- Whose resource a drill missed, so that what follows from it is that resource's alone; and who fell silent while it
-- ran: such a verifier has stopped by its lease, and the drill says when.

alter table drills add column missed text[];              -- of a failed one: audiences; null is every one of them
alter table drill_verifiers add column stopped_at timestamptz; -- before it had said all that it was asked

-- Of those who are asked no more: they said that they leave, or every lease that they had has ended, by the clock and
-- with the margin of receipts.
create function note_stopped(drill text, margin integer) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drill_verifiers v
     set stopped_at = least(n.closed_at, n.lease_ends_at + make_interval(secs => margin))
    from verifiers n
   where v.drill_id = drill and n.instance = v.instance and (v.accepted_at is null or v.refused_at is null)
     and least(n.closed_at, n.lease_ends_at + make_interval(secs => margin)) <= clock_timestamp()
$$;

create function finish_drill(drill text, outcome text, why text, missed_resources text[]) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drills d set finished_at = clock_timestamp(), result = outcome, because = why, missed = missed_resources
   where d.id = drill and d.finished_at is null
$$;

revoke all on function note_stopped, finish_drill(text, text, text, text[]) from public;
grant execute on function note_stopped, finish_drill(text, text, text, text[]) to mayfly_app;
