-- Who is asked in a drill: instances that renew their leases. Others that may still decide, for they left without a word
-- and their leases have not ended, are named with the moment at which those end; nobody else can speak for them.

alter table drill_verifiers
  add column absent boolean not null default false,       -- it had not renewed its lease for `present` seconds
  add column stops_at timestamptz;                        -- it does not renew: its last lease ends then, with the margin

-- The canaries are out: whoever renews is to judge them. As in 0010, which brokers of before go on using.
create function publish_drill(drill text, session text, present integer, margin integer) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drills d set session_id = session, minted_at = clock_timestamp() where d.id = drill and d.finished_at is null;
  insert into drill_verifiers (drill_id, instance, resource, absent, stops_at)
    select drill, v.instance, v.resource, s.silent, case when s.silent then s.ends_at end
      from verifiers v cross join lateral (
             select v.renewed_at < clock_timestamp() - make_interval(secs => present) as silent,
                    v.lease_ends_at + make_interval(secs => margin) as ends_at) as s
     where v.closed_at is null and s.ends_at > clock_timestamp()
       and v.resource in (select c.resource from canaries c where c.drill_id = drill)
$$;

-- Of those who have not said all that they were asked: when they stopped, or will. As in 0016, and of those who do not
-- renew any more it is said as well when they will have stopped.
create function note_stopped(drill text, margin integer, present integer) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drill_verifiers v
     set stopped_at = case when s.ends_at <= clock_timestamp() then s.ends_at end,
         stops_at = case when n.closed_at is null and s.silent then s.ends_at end
    from verifiers n cross join lateral (
           select n.renewed_at < clock_timestamp() - make_interval(secs => present) as silent,
                  least(n.closed_at, n.lease_ends_at + make_interval(secs => margin)) as ends_at) as s
   where v.drill_id = drill and n.instance = v.instance and (v.accepted_at is null or v.refused_at is null)
$$;

revoke all on function publish_drill(text, text, integer, integer), note_stopped(text, integer, integer) from public;
grant execute on function publish_drill(text, text, integer, integer), note_stopped(text, integer, integer)
  to mayfly_app;
